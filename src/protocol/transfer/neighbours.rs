//! The neighbours of a node: the peers that may receive its copies, by their distance from a key.

use crate::protocol::entropy::Entropy;
use crate::protocol::id::{Distance, NodeId};
use crate::protocol::message::RECONCILE_VERSION;
use crate::protocol::peer::{Peer, nearest};

/// Transfers in flight at once, to one new peer, or in a handoff.
pub const MAX_IN_FLIGHT: usize = 64;
/// The weight of a transfer in the sender's rate at the recipient: `check_store` 1, `set` 4.
pub(super) const COST: u32 = 5;
/// Peers that are asked whether they hold a value of which this node is not one of the k nearest holders.
pub const NEAREST_ASKED: usize = 3;

/// A peer of the routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The peer.
    pub peer: Peer,
    /// The protocol version of its last answer; `None`: a legacy node's.
    pub version: Option<u32>,
}

impl Neighbour {
    /// Whether its last answer was a legacy node's.
    pub fn is_legacy(&self) -> bool {
        self.version.is_none()
    }

    /// Whether it answers `renew` and `reconcile`.
    pub fn reconciles(&self) -> bool {
        self.version >= Some(RECONCILE_VERSION)
    }
}

/// The peers that a node knows at one moment and that answered their last query. It is not one of them.
#[derive(Debug, Clone)]
pub struct Neighbours {
    pub(super) own: NodeId,
    pub(super) known: Vec<Neighbour>,
}

impl Neighbours {
    /// The peers `known` to the node with the id `own`, in any order.
    pub fn new(own: NodeId, known: Vec<Neighbour>) -> Self {
        Self { own, known }
    }

    /// The `count` nearest to `target`.
    pub fn nearest(&self, target: &NodeId, count: usize) -> Vec<Peer> {
        nearest(self.known.iter().map(|other| other.peer).collect(), target, count)
    }

    /// The distance from `key` of the k-th nearest node, this one counted.
    pub(super) fn reach(&self, key: &NodeId, k: usize) -> Distance {
        let mut distances: Vec<Distance> = self.known.iter().map(|other| other.peer.id.distance(key)).collect();
        distances.push(self.own.distance(key));
        if k == 0 || distances.len() <= k {
            return Distance::MAX;
        }
        *distances.select_nth_unstable(k - 1).1
    }

    /// All of them.
    pub fn known(&self) -> &[Neighbour] {
        &self.known
    }

    /// Returns whether `peer`, known or not, is among the `k` nearest to `place`, this node counted.
    pub fn is_holder(&self, peer: &NodeId, place: &NodeId, k: usize) -> bool {
        let ids = self.known.iter().map(|other| &other.peer.id).chain([&self.own]);
        let distance = peer.distance(place);
        ids.filter(|id| id.distance(place) < distance).take(k).count() < k
    }

    /// One of the [`NEAREST_ASKED`] nearest to `place` of those that reconcile, by chance: so that none of them can mislead this node
    /// each time. `None` where none does.
    pub fn near_reconciling(&self, place: &NodeId, entropy: &mut dyn Entropy) -> Option<Neighbour> {
        let mut near: Vec<&Neighbour> = self.known.iter().filter(|other| other.reconciles()).collect();
        let distance = |other: &&Neighbour| other.peer.id.distance(place);
        if near.len() > NEAREST_ASKED {
            near.select_nth_unstable_by_key(NEAREST_ASKED, distance);
            near.truncate(NEAREST_ASKED);
        }
        near.sort_unstable_by_key(distance);
        (!near.is_empty()).then(|| *near[entropy.below(near.len() as u64) as usize])
    }

    /// Those of the `k` nearest to `place` that do not reconcile, and how many of the k do, this node counted. `None` where this node
    /// is not among them, or all of them reconcile.
    pub fn restored(&self, place: &NodeId, k: usize) -> Option<(Vec<Neighbour>, usize)> {
        let reach = self.reach(place, k);
        if self.own.distance(place) > reach {
            return None;
        }
        let holders = self.known.iter().filter(|other| other.peer.id.distance(place) <= reach);
        let (reconcile, others): (Vec<&Neighbour>, Vec<&Neighbour>) = holders.partition(|other| other.reconciles());
        (!others.is_empty()).then(|| (others.into_iter().copied().collect(), reconcile.len() + 1))
    }

    /// The possible recipients of this node's copy of `key` when it stops, in the order in which they are to be asked; the first
    /// that holds none receives it.
    ///
    /// - One of the k nearest nodes transfers its copy to the peer that is k-th nearest then, or where that one holds it already,
    ///   to the next: so the number of copies stays the same, even if others have left unnoticed.
    /// - A publisher or holder that is not one of them asks the [`NEAREST_ASKED`] nearest, which should hold it. The same where
    ///   fewer than k others are known, all of which should.
    pub fn recipients(&self, key: &NodeId, k: usize) -> Vec<Peer> {
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
