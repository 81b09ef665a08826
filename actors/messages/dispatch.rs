//! What the dispatcher is told.

use std::net::{IpAddr, SocketAddr};

use actix::Message;
use kademlia_dynamic::protocol::admission::AdmissionCounts;

use super::Permit;

/// A datagram on its way in.
#[derive(Debug)]
pub struct Incoming {
    /// Where it came from.
    pub from: SocketAddr,
    /// The address of this machine that it came to, where the node is bound to several.
    pub local: Option<IpAddr>,
    /// What it carries.
    pub payload: Vec<u8>,
    /// Its dispatch slot. `None` where none was free, but the address was asked something.
    pub permit: Option<Permit>,
    /// Whether a query of ours to that address is under way, so that this may be its answer.
    pub asked: bool,
}

/// Socket → dispatcher: strangers' datagrams came in, each with its slot.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DatagramsReceived(pub Vec<Incoming>);

/// Socket → dispatcher: datagrams came in from addresses that we asked something. They need no slot.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AnswersReceived(pub Vec<Incoming>);

/// Socket → dispatcher: this answer is larger than an unverified address may be sent. Hold it until it has proved itself.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HoldAnswer {
    /// Where it goes.
    pub to: SocketAddr,
    /// The address of this machine that was asked, where the node is bound to several: the answer leaves from it.
    pub local: Option<IpAddr>,
    /// How many bytes may go there at once.
    pub limit: usize,
    /// The datagram.
    pub payload: Vec<u8>,
}

/// Queries → dispatcher: this address echoed a query id of ours, so it is what it says.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AddressVerified(pub SocketAddr);

/// Node → dispatcher: how much is remembered of addresses, how much waits for them, and how many datagrams made an actor
/// panic?
#[derive(Debug, Message)]
#[rtype(result = "(AdmissionCounts, usize)")]
pub struct CountAdmitted;
