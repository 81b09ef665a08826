//! Messages to and for the handoff.

use std::sync::Arc;

use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::protocol::transfer::{HandoffCopy, Neighbour, Neighbours, QueuedCopy, Selection};
use tokio::sync::oneshot;

use super::Answer;
use super::handle::handle;

handle! {
    /// Reaches the handoff.
    HandoffHandle = HandoffInbox {
        send entered(PeerEntered);
        send leave(Leave);
        send selected(ValuesSelected);
        send slow(RecipientSlow);
        send ended(TransferEnded);
    }
}

/// Routing table → handoff: this peer has entered the table by an answer of its own. A peer that is promoted from a replacement
/// cache in another's stead has been here before, and is none.
#[derive(Debug, Clone, Copy)]
pub struct PeerEntered(pub Neighbour);

/// Node → handoff: the node is about to stop. Transfer what is stored, within `handoff_time`.
pub struct Leave {
    /// Answered when the handoff is over, complete or not.
    pub answer: Answer<()>,
}

/// The cause of transfers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandoffCause {
    /// Peers have entered the table.
    NewPeers(Selection),
    /// This node leaves.
    Leaving,
}

/// Handoff → routing table: add the known peers, and pass it on as [`SelectValues`].
pub struct FindNeighbours(pub HandoffCause);

/// Routing table → value store: select what is to be transferred, and report it as [`ValuesSelected`].
pub struct SelectValues {
    /// The cause.
    pub cause: HandoffCause,
    /// The known peers.
    pub neighbours: Neighbours,
}

/// Value store → handoff: these are to be transferred.
pub enum ValuesSelected {
    /// To new peers.
    ForNewPeers(Vec<(Neighbour, Vec<QueuedCopy>)>),
    /// To the remaining peers.
    ForLeaving {
        /// The copies, the most urgent first.
        copies: Vec<HandoffCopy>,
        /// The remaining peers.
        neighbours: Neighbours,
    },
}

/// Transfer → value store: a peer lacks this key, so prepare the write that brings it there: what is stored now, with the time
/// that it has left.
pub struct PrepareTransfer {
    /// The key.
    pub key: Arc<str>,
    /// Whether the peer is a legacy node.
    pub legacy: bool,
    /// The receiver of the write. Dropped where there is nothing to send.
    pub answer: oneshot::Sender<Request>,
}

/// Transfer → handoff: this peer is so late that no answer is to be expected, or silent.
#[derive(Debug, Clone, Copy)]
pub struct RecipientSlow(pub NodeId);

/// Transfer → handoff: it is over.
#[derive(Debug, Clone, Copy)]
pub struct TransferEnded {
    /// The new peer that it was for; `None`: it was for any peer that lacked the copy.
    pub new_peer: Option<NodeId>,
    /// Whether a peer that lacked it holds it now.
    pub stored: bool,
    /// Whether no peer at all answered.
    pub silent: bool,
}
