//! Messages to and for the handoff.

use std::sync::Arc;

use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::protocol::prefix::Prefix;
use kademlia_dynamic::protocol::reconcile::Outcome;
use kademlia_dynamic::protocol::transfer::{HandoffCopy, Neighbour, Neighbours, QueuedCopy, Selection};
use tokio::sync::oneshot;

use super::super::upkeep::UpkeepSnapshot;
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
        send lacking(CopiesLacking);
        send exchange_begun(ExchangeBegun);
        send exchanged(ExchangeEnded);
        send pushed(PushEnded);
        ask describe(DescribeUpkeep) -> UpkeepSnapshot;
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
    /// It is time to look which peers this node is to reconcile with, and what is to be restored to others.
    Upkeep,
    /// This node leaves.
    Leaving,
}

/// Handoff, maintenance → routing table: add the known peers, and pass it on as [`SelectValues`].
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
    NewPeers(Vec<(Neighbour, Vec<QueuedCopy>)>),
    /// To peers that do not reconcile.
    Upkeep {
        /// What is to be restored to each of them.
        restores: Vec<(Neighbour, Vec<QueuedCopy>)>,
        /// The known peers.
        neighbours: Neighbours,
        /// The places that this node and each of them should hold.
        shared: Vec<Vec<Prefix>>,
    },
    /// To the remaining peers.
    Leaving {
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

/// Value store → handoff: this peer wants these copies, and is among the k nearest to them.
pub struct CopiesLacking {
    /// The peer.
    pub to: Neighbour,
    /// The copies.
    pub copies: Vec<QueuedCopy>,
}

/// Value store → handoff: this peer compares what it holds with what this node holds.
#[derive(Debug, Clone, Copy)]
pub struct ExchangeBegun(pub NodeId);

/// Exchange → handoff: it is over.
pub struct ExchangeEnded {
    /// The peer.
    pub partner: Neighbour,
    /// What it has come to.
    pub outcome: Outcome,
}

/// Push → handoff: it is over.
#[derive(Debug, Clone, Copy)]
pub struct PushEnded {
    /// The peer.
    pub to: NodeId,
    /// How many copies it was about.
    pub copies: usize,
    /// How many of them the peer lacked and holds now.
    pub stored: usize,
    /// Whether the peer did not answer at all.
    pub silent: bool,
}

/// Node → handoff: how far are you with comparing what is held?
pub struct DescribeUpkeep;
