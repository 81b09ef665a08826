//! Hand-off: which values a node gives to whom, and how fast, when a newcomer is nearer to them, or when it leaves itself. It
//! sends nothing and holds no values: its owner does, and tells it what came of it.
//!
//! What is given is a copy that lives no longer than the one it is made from, never a publication. Who gets one is always
//! asked first (`check_store`) whether it holds the key, so what is there is not sent again, and a legacy node, which
//! grants a full day to whatever it is given, is given only what it lacks.

mod farewell;
mod newcomers;
mod serving;
#[cfg(test)]
mod tests;

pub use farewell::{Farewell, MAX_PARTING, Parting};
pub use newcomers::{Gift, Look, MAX_GIFTS, Newcomers};

use super::id::{Distance, NodeId};
use super::peer::Peer;

/// Values on their way at once, to one newcomer, or at a farewell.
pub const MAX_IN_FLIGHT: usize = 64;
/// What handing over a value counts against its sender's rate at the receiver: `check_store` 1, `set` 4.
const COST: u32 = 5;

/// A peer of the routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// Who.
    pub peer: Peer,
    /// Whether its last answer was a legacy node's.
    pub legacy: bool,
}

/// The peers that a node knows at one moment and that answered when they were last asked. It is not one of them.
#[derive(Debug, Clone)]
pub struct Neighbours {
    own: NodeId,
    known: Vec<Neighbour>,
}

impl Neighbours {
    /// Those `known` to the node with the id `own`, in any order.
    pub fn new(own: NodeId, known: Vec<Neighbour>) -> Self {
        Self { own, known }
    }

    /// The `count` nearest to this node.
    fn nearest_to_own(&self, count: usize) -> Vec<Peer> {
        self.nearest(&self.own, count)
    }

    fn nearest(&self, target: &NodeId, count: usize) -> Vec<Peer> {
        let mut peers: Vec<Peer> = self.known.iter().map(|other| other.peer).collect();
        let distance = |peer: &Peer| peer.id.distance(target);
        if peers.len() > count {
            peers.select_nth_unstable_by_key(count, distance);
            peers.truncate(count);
        }
        peers.sort_unstable_by_key(distance);
        peers
    }

    /// The distance from `key` of the k-th nearest node, this one counted.
    fn reach(&self, key: &NodeId, k: usize) -> Distance {
        let mut distances: Vec<Distance> = self.known.iter().map(|other| other.peer.id.distance(key)).collect();
        distances.push(self.own.distance(key));
        if k == 0 || distances.len() <= k {
            return Distance::MAX;
        }
        *distances.select_nth_unstable(k - 1).1
    }

    /// Who comes into question for this node's copy of `key` when it leaves, in the order in which they are to be asked; the
    /// first who holds none gets it.
    ///
    /// - One of the k nearest leaves its place to the one that is k-th nearest then, or where that one holds it already, to
    ///   the next: so the number of copies stays what it was, whoever else has left unnoticed.
    /// - A publisher or holder that is not one of them looks to the [`NEAREST_ASKED`] nearest: they should hold it. The same
    ///   where fewer than k others are known, all of which should.
    pub fn heirs(&self, key: &NodeId, k: usize) -> Vec<Peer> {
        let mut peers = self.nearest(key, 2 * k);
        let own = self.own.distance(key);
        let nearer = peers.iter().filter(|peer| peer.id.distance(key) < own).count();
        if peers.len() < k || nearer >= k {
            peers.truncate(NEAREST_ASKED);
        } else {
            peers.drain(..k - 1);
        }
        peers
    }
}

/// Peers that are asked whether they hold a value of which this node is not one of the k nearest holders.
pub const NEAREST_ASKED: usize = 3;
