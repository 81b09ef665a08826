//! What the queries are told, and what they tell whoever asked.

use std::net::SocketAddr;
use std::time::Duration;

use actix::{Message, Recipient};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{QueryId, Request, Response, Token};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::pending::PendingCounts;

use super::super::poison::Origin;

/// Whoever wants to know something of a peer → queries. Ends in exactly one [`QueryEvent`] that is neither
/// `Doubted` nor `Parked` nor `Slow` nor `Resent`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SendQuery {
    /// Where it goes.
    pub to: SocketAddr,
    /// Who should answer; `None` where only the address is known: one that the application named, or, without an asker, one
    /// that is to prove itself.
    pub id: Option<NodeId>,
    /// The query.
    pub request: Request,
    /// Who wants to know. `None`: the answer only serves the routing table.
    pub asker: Option<Recipient<QueryEvent>>,
}

/// Dispatcher, routing table → queries: ping this address. A request that came from it has paid for that with its bytes, so the
/// ping does not count as one to an address that never answered, and is sent once. No actor is told what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct PingPaid {
    /// Where it goes.
    pub to: SocketAddr,
    /// Who should answer, where that is known.
    pub id: Option<NodeId>,
}

/// Queries → who asked: what became of a query.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct QueryEvent {
    /// Where the query went.
    pub to: SocketAddr,
    /// Who should have answered.
    pub id: Option<NodeId>,
    /// What became of it.
    pub result: QueryResult,
}

/// What became of a query.
#[derive(Debug)]
pub enum QueryResult {
    /// The peer answered.
    Answered {
        /// Its answer.
        response: Response,
        /// Who it is, by its own word.
        peer: Peer,
        /// Its protocol version; `None` from a legacy node.
        version: Option<u32>,
        /// How long it took.
        rtt: Duration,
    },
    /// The last query to this address timed out: do not count on an answer. Said at once. The end is still to come.
    Doubted,
    /// It waits here, as too many went to this address, which never answered, and one of them may still be answered. If it is,
    /// this one is sent. The end is still to come.
    Parked,
    /// It takes longer than this peer usually needs. The end is still to come.
    Slow,
    /// It takes so long that it, or its answer, is most likely lost, or the peer gone: it was sent again. The end is still to
    /// come.
    Resent,
    /// No answer came in time.
    Silent,
    /// Somebody else answers there.
    WrongId {
        /// The id it gave, if any.
        actual: Option<NodeId>,
    },
    /// It was not sent: too many queries are in flight, or too many went to this address, which never answered.
    Unsent,
}

/// Socket → queries: this query never left: it cannot be encoded, or the network takes no more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct QueryUnsent {
    /// The query's id.
    pub id: QueryId,
}

/// Dispatcher → queries: an answer came in.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ResponseReceived {
    /// Where it came from.
    pub from: SocketAddr,
    /// The query's id.
    pub id: QueryId,
    /// Who says it.
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

/// Node → queries: how many are in flight, and how much is remembered of addresses; and how many wait for others?
#[derive(Debug, Message)]
#[rtype(result = "(PendingCounts, usize)")]
pub struct CountQueries;
