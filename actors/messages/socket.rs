//! What the socket is told.

use std::net::{IpAddr, SocketAddr};

use actix::Message;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{QueryId, Request, Response};

use super::super::poison::Origin;
use super::Permit;

/// Queries → socket: send this query. The socket lets answers from that address past the slots until the query is over.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct TransmitQuery {
    /// The query's id.
    pub id: QueryId,
    /// Where it goes.
    pub to: SocketAddr,
    /// Under which id we ask: our own, or that of the asked peer where we must not be inserted.
    pub claim: Option<NodeId>,
    /// The query.
    pub request: Request,
    /// Whether it was sent before, and is still in flight.
    pub again: bool,
}

/// Queries → socket: a query to this address is over, so one answer less is expected from it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct QueryOver {
    /// The address that was asked.
    pub to: SocketAddr,
}

/// The owner of an answer → socket: send it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TransmitAnswer {
    /// To whom, and what may be spent on it.
    pub to: ReplyTo,
    /// The answer.
    pub response: Response,
}

/// Dispatcher → socket: send this encoded answer, which waited for its address to prove itself.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TransmitHeld {
    /// Where it goes.
    pub to: SocketAddr,
    /// The address of this machine that was asked, where the node is bound to several: the answer leaves from it.
    pub local: Option<IpAddr>,
    /// The datagram.
    pub payload: Vec<u8>,
}

/// Node → socket: bring [`Counter::KernelDropped`](super::super::counters::Counter) up to date. Answered once that is done.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CountLosses;

/// Where the answer to a stranger's query goes. It walks with the request from room to room.
#[derive(Debug)]
pub struct ReplyTo {
    /// The address that the query came from.
    pub addr: SocketAddr,
    /// The address of this machine that was asked, where the node is bound to several: the answer leaves from it.
    pub local: Option<IpAddr>,
    /// The query's id, to be repeated.
    pub id: QueryId,
    /// How many bytes may go to it at once; a larger answer waits until the address has proved itself.
    pub limit: usize,
    /// Its dispatch slot.
    pub permit: Option<Permit>,
    /// The datagram that it came in.
    pub origin: Origin,
}
