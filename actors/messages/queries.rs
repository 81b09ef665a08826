//! What the queries are sent, and what they report to the actor that asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::{Message, Recipient};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::lookup::Failure;
use kademlia_dynamic::protocol::message::{QueryId, Request, Response, Token};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::pending::PendingCounts;

use super::super::blocklist::Origin;
use super::handle::handle;

handle! {
    /// Reaches the queries in flight.
    QueriesHandle = QueriesInbox {
        send send(SendQuery);
        send ping(PingPaid);
        send unsent(QueryUnsent);
        send response(ResponseReceived);
        offer try_response(ResponseReceived);
        ask count(CountQueries) -> (PendingCounts, usize);
        ask round_trips(MeasuredRoundTrips) -> Vec<Option<Duration>>;
    }
}

/// Any actor that wants to know something of a peer → queries.
pub struct SendQuery {
    /// Whom it asks, and what hears of its end.
    pub question: Question,
    /// The query.
    pub request: Request,
}

/// A query whose end is still to come. The actor that asked hears of exactly one, also where a panic takes the query with it: then it
/// is [not known to be sent](Failed::Unsent).
#[derive(Debug)]
pub struct Question {
    /// Where it goes.
    pub to: SocketAddr,
    /// The node that should answer; `None` where only the address is known: one that the application named, or, where no actor waits, one
    /// that is to prove itself.
    pub id: Option<NodeId>,
    /// The actor that waits for the end. `None`: the answer only serves the routing table, or the end was reported.
    asker: Option<Asker>,
}

impl Question {
    /// A question to this address. Without an `asker` its answer only serves the routing table.
    pub fn new(to: SocketAddr, id: Option<NodeId>, asker: Option<Asker>) -> Self {
        Self { to, id, asker }
    }

    /// Whether an actor asked it.
    pub fn has_asker(&self) -> bool {
        self.asker.is_some()
    }

    /// Whether the actor that asked has ended meanwhile.
    pub fn is_obsolete(&self) -> bool {
        self.asker.as_ref().is_some_and(Asker::is_gone)
    }

    /// Reports that its answer is late.
    pub fn late(&self, how: Late) {
        self.report(QueryResult::Late(how));
    }

    /// Reports the answer.
    pub fn answered(mut self, answer: Answered) {
        self.end(QueryResult::Answered(answer));
    }

    /// Reports that no answer will come.
    pub fn failed(mut self, why: Failed) {
        self.end(QueryResult::Failed(why));
    }

    fn end(&mut self, result: QueryResult) {
        self.report(result);
        self.asker = None;
    }

    fn report(&self, result: QueryResult) {
        if let Some(Asker(actor)) = &self.asker {
            actor.do_send(QueryEvent { to: self.to, id: self.id, result });
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // Otherwise the node stops, and so does the actor that asked.
        if std::thread::panicking() {
            self.end(QueryResult::Failed(Failed::Unsent));
        }
    }
}

/// The actor that waits for the end of a query. It is made once for each actor: a clone of a `Recipient` for each query costs
/// an allocation and more.
#[derive(Debug, Clone)]
pub struct Asker(Arc<Recipient<QueryEvent>>);

impl Asker {
    /// Reports the end to this actor.
    pub fn new(actor: Recipient<QueryEvent>) -> Self {
        Self(Arc::new(actor))
    }

    /// Whether the actor has ended, so that nothing waits for the answer any more.
    fn is_gone(&self) -> bool {
        !self.0.connected()
    }
}

/// Dispatcher, routing table → queries: ping this address. A request that came from it has paid for that with its bytes, so the
/// ping does not count as one to an address that never answered, and is sent once. What becomes of it is reported to no actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PingPaid {
    /// Where it goes.
    pub to: SocketAddr,
    /// The node that should answer, where that is known.
    pub id: Option<NodeId>,
}

/// Queries → the actor that asked: what became of a query.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct QueryEvent {
    /// Where the query went.
    pub to: SocketAddr,
    /// The node that should have answered.
    pub id: Option<NodeId>,
    /// What became of it.
    pub result: QueryResult,
}

/// What became of a query.
#[derive(Debug)]
pub enum QueryResult {
    /// The peer answered.
    Answered(Answered),
    /// No answer has come yet. The end is still to come.
    Late(Late),
    /// No answer will come.
    Failed(Failed),
}

/// The answer of a peer, from the address and with the id that were asked.
#[derive(Debug)]
pub struct Answered {
    /// The answer, of the kind that was asked for.
    pub response: Response,
    /// The peer, by the id that it gives.
    pub peer: Peer,
    /// Its protocol version; `None` from a legacy node.
    pub version: Option<u32>,
    /// How long it took.
    pub rtt: Duration,
}

/// Why an answer is not to be expected, or not soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// The last query to this address timed out. Reported at once.
    Suspect,
    /// The query is deferred: enough went to this address, which never answered, and one of them may still be answered. If
    /// that happens, this one is sent.
    Deferred,
    /// It takes longer than this peer usually needs.
    Slow,
    /// It takes so long that it, or its answer, is most likely lost, or the peer gone: it was sent again.
    Resent,
}

/// Why a query brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// No answer came in time.
    Silent,
    /// Another node answers at that address.
    WrongId {
        /// The id that it gave.
        actual: NodeId,
    },
    /// What answers at that address gives no node id.
    NoId,
    /// It was not sent, as far as is known: too many queries are in flight, or too many went to this address, which never answered; or a
    /// panic took it along.
    Unsent,
}

/// A peer without an id counts as one that is silent.
impl From<Failed> for Failure {
    fn from(why: Failed) -> Self {
        match why {
            Failed::Silent | Failed::NoId => Self::Silent,
            Failed::WrongId { actual } => Self::WrongId { actual },
            Failed::Unsent => Self::Unsent,
        }
    }
}

/// Socket → queries: this query never left: it cannot be encoded, or the network takes no more.
pub struct QueryUnsent {
    /// The query's id.
    pub id: QueryId,
}

/// Dispatcher → queries: an answer came in.
pub struct ResponseReceived {
    /// Where it came from.
    pub from: SocketAddr,
    /// The query's id.
    pub id: QueryId,
    /// The id of its sender.
    pub sender: Option<NodeId>,
    /// Its protocol version.
    pub version: Option<u32>,
    /// What it gives us to show with later queries.
    pub token: Option<Token>,
    /// The answer.
    pub response: Response,
    /// The datagram that it came in.
    pub origin: Origin,
}

/// Node → queries: the smoothed round-trip time of each of these addresses, where one was measured.
pub struct MeasuredRoundTrips(pub Vec<SocketAddr>);

/// Node → queries: how many are in flight, and how much is remembered of addresses; and how many wait for others?
pub struct CountQueries;
