//! What the hand-off is told, and what others are told for it.

use std::sync::Arc;

use actix::Message;
use kademlia_dynamic::protocol::hand_off::{Gift, Look, Neighbour, Neighbours, Parting};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::Request;
use tokio::sync::oneshot;

use super::Answer;

/// Routing table → hand-off: this peer has entered the table by an answer of its own. Whoever is promoted from a replacement
/// cache in another's stead has been here before, and is none.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct PeerEntered(pub Neighbour);

/// Node → hand-off: the node is about to stop. Hand over what is held, within `Config::hand_off_time`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Leave {
    /// Told when that is over, done or not.
    pub answer: Answer<()>,
}

/// Why values are handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandOffCause {
    /// Peers have entered the table.
    Newcomers(Look),
    /// This node leaves.
    Leaving,
}

/// Hand-off → routing table: add who is known, and pass it on as [`SelectValues`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FindNeighbours(pub HandOffCause);

/// Routing table → value store: select what is to be handed over, and say so as [`ValuesSelected`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SelectValues {
    /// Why.
    pub cause: HandOffCause,
    /// Who is known.
    pub neighbours: Neighbours,
}

/// Value store → hand-off: these are to be handed over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum ValuesSelected {
    /// To newcomers.
    ForNewcomers(Vec<(Neighbour, Vec<Gift>)>),
    /// To those who stay.
    ForFarewell {
        /// The values, the most urgent first.
        values: Vec<Parting>,
        /// Who stays.
        neighbours: Neighbours,
    },
}

/// Transfer → value store: a peer lacks this key, so hand out the write that brings it there: what is stored now, with the time
/// that it has left.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct GiveValue {
    /// The key.
    pub key: Arc<str>,
    /// Whether the peer is a legacy node.
    pub legacy: bool,
    /// Where the write goes. Dropped where there is nothing to send.
    pub answer: oneshot::Sender<Request>,
}

/// Transfer → hand-off: this peer is so late that no answer is to be expected, or silent.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct HeirSlow(pub NodeId);

/// Transfer → hand-off: it is over.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct HandOverEnded {
    /// The newcomer that it was for; `None`: for whoever lacked it.
    pub newcomer: Option<NodeId>,
    /// Whether a peer that lacked it holds it now.
    pub stored: bool,
    /// Whether nobody at all answered.
    pub silent: bool,
}
