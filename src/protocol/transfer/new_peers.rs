//! New peers: those that have entered the routing table, and wait for copies to be selected for them. Strangers can enter the table
//! as fast as they invent ids, so they have a bound; peers beyond it get their copies by the exchanges and restores of each hour.

use std::time::{Duration, Instant};

use super::neighbours::Neighbour;
use crate::protocol::config::Config;
use crate::protocol::id::NodeId;

/// New peers that wait for a selection. A further one receives nothing.
pub const MAX_NEW_PEERS: usize = 64;
/// The time for which new peers are collected before copies are selected for all of them.
const COLLECTING: Duration = Duration::from_secs(1);
/// A peer that has entered the routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewPeer {
    /// The peer.
    pub neighbour: Neighbour,
    /// The time at which it entered.
    pub since: Instant,
}

/// The new peers for which copies are to be selected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// The peers that have entered since the last selection.
    pub new_peers: Vec<NewPeer>,
    /// The peers that entered before, and have a queue.
    pub in_progress: Vec<NodeId>,
}

/// The new peers of a node.
#[derive(Debug, Default)]
pub struct NewPeers {
    /// Whether they receive anything.
    served: bool,
    /// The peers that wait for a selection.
    entered: Vec<NewPeer>,
    select_at: Option<Instant>,
}

impl NewPeers {
    /// No peers. A node with a rate of 0 brings them nothing.
    pub fn new(config: &Config) -> Self {
        Self { served: config.values.handoff_rate > 0, ..Self::default() }
    }

    /// A peer has entered the routing table by an answer of its own. `false`: too many have, and it receives nothing.
    pub fn entered(&mut self, neighbour: Neighbour, now: Instant) -> bool {
        if !self.served {
            return true;
        }
        self.entered.retain(|new| new.neighbour.peer.id != neighbour.peer.id);
        if self.entered.len() >= MAX_NEW_PEERS {
            return false;
        }
        self.entered.push(NewPeer { neighbour, since: now });
        self.select_at.get_or_insert(now + COLLECTING);
        true
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.entered.clear();
        self.select_at = None;
    }

    /// The time of the next call of [`NewPeers::selection`].
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.select_at
    }

    /// The peers for which copies are to be selected now, if it is time; `in_progress` have a queue.
    pub fn selection(&mut self, in_progress: impl Iterator<Item = NodeId>, now: Instant) -> Option<Selection> {
        self.select_at.filter(|at| *at <= now)?;
        self.select_at = None;
        let new_peers = std::mem::take(&mut self.entered);
        (!new_peers.is_empty()).then(|| Selection { new_peers, in_progress: in_progress.collect() })
    }
}
