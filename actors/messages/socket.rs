//! What the socket is sent.

use std::net::{IpAddr, SocketAddr};

use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{QueryId, Request, Response, Token};

use super::super::blocklist::Origin;
use super::Permit;
use super::handle::handle;

handle! {
    /// Reaches the socket.
    SocketHandle = SocketInbox {
        send query(TransmitQuery);
        send over(QueryOver);
        send all_over(AllQueriesOver);
        send answer(TransmitAnswer);
        send encoded(TransmitEncoded);
        ask count_losses(CountLosses) -> ();
    }
}

/// Queries → socket: send this query. The socket lets answers from that address past the slots until the query is over.
#[derive(Debug, Clone)]
pub struct TransmitQuery {
    /// The query's id.
    pub id: QueryId,
    /// Where it goes.
    pub to: SocketAddr,
    /// Under which id we ask: our own, or that of the asked peer where we must not be inserted.
    pub claim: Option<NodeId>,
    /// What the asked node gave us to show.
    pub token: Option<Token>,
    /// The query.
    pub request: Request,
    /// Whether it is padded, so that its receiver may answer at once though nothing proves our address to it.
    pub padded: bool,
    /// Whether it was sent before, and is still in flight.
    pub again: bool,
}

/// Queries → socket: a query to this address is over, so one answer less is expected from it.
pub struct QueryOver {
    /// The address that was asked.
    pub to: SocketAddr,
}

/// Queries → socket: all queries so far are over.
pub struct AllQueriesOver;

/// The owner of an answer → socket: send it.
pub struct TransmitAnswer {
    /// Where it goes, and what may be spent on it.
    pub to: ReplyTo,
    /// The answer.
    pub response: Response,
}

/// Dispatcher → socket: send this encoded answer, which waited for its address to answer a ping, or was paid for.
pub struct TransmitEncoded {
    /// Where it goes.
    pub to: SocketAddr,
    /// The address of this machine that was asked, where the node is bound to several: the answer leaves from it.
    pub local: Option<IpAddr>,
    /// The datagram.
    pub payload: Vec<u8>,
    /// The wire's name of its message.
    pub name: &'static str,
}

/// Node → socket: bring [`Counter::KernelDropped`](super::super::counters::Counter) up to date. Answered once that is done.
pub struct CountLosses;

/// Where the answer to a stranger's query goes. It goes with the request from actor to actor.
#[derive(Debug)]
pub struct ReplyTo {
    /// The address that the query came from.
    pub addr: SocketAddr,
    /// The address of this machine that was asked, where the node is bound to several: the answer leaves from it.
    pub local: Option<IpAddr>,
    /// The query's id, to be repeated.
    pub id: QueryId,
    /// The protocol version that the query named; `None` from a legacy node.
    pub version: Option<u32>,
    /// What the answer gives the asker to show with later queries, where its address must prove itself.
    pub token: Option<Token>,
    /// How many bytes may go to it at once; a larger answer is paid for by the address's budget, or waits until it has one.
    pub limit: usize,
    /// Whether an answer that is too large is cut to the limit: its address has used up its budget. One that names fewer peers
    /// is an answer all the same, and brings the token with which to ask again.
    pub cut: bool,
    /// Its dispatch slot.
    pub permit: Option<Permit>,
    /// The datagram that it came in.
    pub origin: Origin,
}
