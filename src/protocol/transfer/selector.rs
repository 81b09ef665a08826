//! The selection of copies for new peers. A node with 100,000 values goes through all of them whenever peers have entered, which
//! strangers can cause at will: so all that depends on the peers alone is computed once.

use std::collections::HashSet;
use std::time::Instant;

use super::neighbours::{Neighbour, Neighbours};
use super::new_peers::Selection;
use crate::protocol::id::{NODE_ID_BYTES, NodeId};

/// Selects the recipients of each copy.
#[derive(Debug)]
pub struct Selector<'a> {
    neighbours: &'a Neighbours,
    selection: &'a Selection,
    /// The bits at which the id of some peer that could transfer copies first differs from ours. Such a peer is nearer to a key
    /// than we are exactly if that bit of the key is not ours.
    senders: [u8; NODE_ID_BYTES],
    last_entered: Option<Instant>,
}

impl<'a> Selector<'a> {
    /// A selector for the new peers of `selection`, which are among `neighbours`.
    pub fn new(neighbours: &'a Neighbours, selection: &'a Selection) -> Self {
        let entered = selection.new_peers.iter().map(|new| new.neighbour.peer.id);
        let new: HashSet<NodeId> = selection.in_progress.iter().copied().chain(entered).collect();
        let mut senders = [0; NODE_ID_BYTES];
        for sender in neighbours.known.iter().filter(|other| !other.is_legacy() && !new.contains(&other.peer.id)) {
            let bit = neighbours.own.common_prefix(&sender.peer.id) as usize;
            if let Some(byte) = senders.get_mut(bit / 8) {
                *byte |= 0x80 >> (bit % 8);
            }
        }
        let last_entered = selection.new_peers.iter().map(|new| new.since).max();
        Self { neighbours, selection, senders, last_entered }
    }

    /// The new peers to which this node transfers its copy of `key`: those among the `k` nearest to the key, this node counted,
    /// that entered later than `placed_at`, when the value was brought to the nearest of its time.
    ///
    /// There are none if another node transfers it: that is the nearest to the key of the nodes of our kind, since legacy nodes
    /// transfer nothing to new peers, and new peers have nothing yet (Kademlia paper, 2.5).
    pub fn recipients(&self, key: &NodeId, placed_at: Instant, k: usize) -> Vec<&'a Neighbour> {
        if self.last_entered.is_none_or(|entered| entered < placed_at) || self.another_sends(key) {
            return Vec::new();
        }
        let reach = self.neighbours.reach(key, k);
        let later = self.selection.new_peers.iter().filter(|new| new.since >= placed_at);
        later.map(|new| &new.neighbour).filter(|neighbour| neighbour.peer.id.distance(key) <= reach).collect()
    }

    /// Returns whether a peer that could transfer the copy is nearer to `key` than we are.
    fn another_sends(&self, key: &NodeId) -> bool {
        let own = self.neighbours.own.distance(key);
        own.as_bytes().iter().zip(&self.senders).any(|(differs, sender)| differs & sender != 0)
    }
}
