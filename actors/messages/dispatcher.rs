//! What the dispatcher is sent.

use std::net::{IpAddr, SocketAddr};

use kademlia_dynamic::protocol::admission::AdmissionCounts;
use kademlia_dynamic::protocol::message::Response;

use super::handle::handle;
use super::{Permit, ReplyTo};

handle! {
    /// Reaches the dispatcher. Datagrams of strangers are offered, each with its slot; those from addresses that were asked
    /// something need none.
    DispatcherHandle = DispatcherInbox {
        send answers(DatagramsReceived);
        send await_verification(AwaitVerification);
        send verified(AddressVerified);
        offer strangers(DatagramsReceived);
        ask count(CountAdmitted) -> (AdmissionCounts, usize);
    }
}

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
    /// Whether it comes from a global host that was sent nothing lately.
    pub stranger: bool,
}

/// Socket → dispatcher: datagrams came in.
pub struct DatagramsReceived(pub Vec<Incoming>);

/// Socket → dispatcher: this answer is larger than may be sent at once to an address that has not proved itself. Have its budget
/// pay for it, or have it wait until there is one.
pub struct AwaitVerification {
    /// Where it goes, and what may be spent on it.
    pub to: ReplyTo,
    /// The answer.
    pub response: Response,
    /// The same as a datagram.
    pub payload: Vec<u8>,
}

/// Queries → dispatcher: this address echoed a query id of ours, so a node lives there.
pub struct AddressVerified {
    /// The address.
    pub addr: SocketAddr,
    /// The protocol version that its answer named; `None` from a legacy node.
    pub version: Option<u32>,
}

/// Node → dispatcher: how much is remembered of addresses, how much waits for them, and how many datagrams made an actor
/// panic?
pub struct CountAdmitted;
