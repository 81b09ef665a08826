//! The survey: which nodes lie where, learned from a few lookups, so that the places of many values follow without a lookup each.
//! It sends nothing; the caller looks up what it names, and reports what that found.

mod pass;
mod regions;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::{Duration, Instant};

pub use self::pass::{Pass, Renewed, Step};
use self::regions::{Interval, Regions, ball, head, id_of};
use super::id::NodeId;
use super::peer::Peer;
use super::prefix::Prefix;

/// How long the nodes of a region count as known. A node that comes later gets what belongs to it from its neighbours.
pub const KNOWN_FOR: Duration = Duration::from_secs(600);
/// Nodes, and parts of regions, that are remembered. Beyond either all are forgotten, and what is still needed is looked up again.
pub const MAX_KNOWN: usize = 20_000;

/// A node that a survey found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surveyed {
    /// The node.
    pub peer: Peer,
    /// Whether it answers `renew`.
    pub reconciles: bool,
}

/// The nodes known of a network, and the regions of which all are known.
///
/// A lookup that found the k nearest to its target proves that no other node is as near as the last of them. So the k nearest known
/// to a place are its k nearest if all that is as near to it as the last of them lies in such regions.
#[derive(Debug)]
pub struct Survey {
    k: usize,
    /// Each with when it was last found.
    nodes: BTreeMap<NodeId, (Surveyed, Instant)>,
    regions: Regions,
    /// The radius of the last region.
    radius: Option<u128>,
}

impl Survey {
    /// Nothing is known yet, of a network with `k` places a value.
    pub fn new(k: usize) -> Self {
        Self { k, nodes: BTreeMap::new(), regions: Regions::default(), radius: None }
    }

    /// The k nearest nodes to `place`, nearest first; fewer only if the network has fewer.
    ///
    /// # Errors
    /// The target of the lookup that brings most to what is lacking: the place itself, if nothing is known there.
    pub fn places(&self, place: &NodeId) -> Result<Vec<Surveyed>, NodeId> {
        let nearest = self.nearest(place);
        let center = head(place);
        let radius =
            (nearest.len() >= self.k).then(|| nearest.last().map(|last| center ^ head(&last.peer.id))).flatten();
        let gap = |part: &Interval| self.regions.gap(*part);
        match ball(center, radius).iter().find_map(gap) {
            None => Ok(nearest),
            Some((first, last)) if self.regions.gap((center, center)).is_none() => {
                Err(id_of(first + (last - first) / 2))
            }
            Some(_) => Err(*place),
        }
    }

    /// A lookup of `target` found `closest`, the nearest first: all nodes of the network if they are fewer than k.
    pub fn learned(&mut self, target: &NodeId, closest: &[Surveyed], now: Instant) {
        if self.nodes.len() + closest.len() > MAX_KNOWN || self.regions.len() > MAX_KNOWN {
            (self.nodes, self.regions) = (BTreeMap::new(), Regions::default());
        }
        self.nodes.extend(closest.iter().map(|node| (node.peer.id, (*node, now))));
        let center = head(target);
        let last = closest.get(self.k - 1);
        self.radius = last.map(|last| center ^ head(&last.peer.id));
        for part in ball(center, self.radius) {
            self.regions.insert(part, now);
        }
        // What lies where the target does is known, however near the last of them is.
        self.regions.insert((center, center), now);
    }

    /// Whether a lookup of `target` is likely to bring the places of `place`, too: it lies within four times the last radius.
    pub fn is_near(&self, place: &NodeId, target: &NodeId) -> bool {
        self.radius.is_none_or(|radius| (head(place) ^ head(target)) >> 2 <= radius)
    }

    /// This node is gone, or another than it was.
    pub fn lost(&mut self, id: &NodeId) {
        self.nodes.remove(id);
    }

    /// Forgets what has been known for [`KNOWN_FOR`].
    pub fn forget(&mut self, now: Instant) {
        let Some(since) = now.checked_sub(KNOWN_FOR) else { return };
        self.regions.forget_before(since);
        self.nodes.retain(|_, (_, at)| *at >= since);
    }

    /// The nearest known, at most k.
    fn nearest(&self, place: &NodeId) -> Vec<Surveyed> {
        let bits = self.shared_bits(place);
        let first = Prefix::of(place, bits).first();
        let under = self.nodes.range(first..).take_while(|(id, _)| id.common_prefix(place) >= bits);
        let mut nearest: Vec<Surveyed> = under.map(|(_, (node, _))| *node).collect();
        let distance = |node: &Surveyed| node.peer.id.distance(place);
        if nearest.len() > self.k {
            nearest.select_nth_unstable_by_key(self.k, distance);
            nearest.truncate(self.k);
        }
        nearest.sort_unstable_by_key(distance);
        nearest
    }

    /// The bits that at least k nodes share with `place`: those that share most are its neighbours in the order of ids.
    fn shared_bits(&self, place: &NodeId) -> u32 {
        let below = self.nodes.range(..place).rev().take(self.k);
        let above = self.nodes.range((Bound::Included(place), Bound::Unbounded)).take(self.k);
        let mut shared: Vec<u32> = below.chain(above).map(|(id, _)| id.common_prefix(place)).collect();
        if shared.len() < self.k {
            return 0;
        }
        let (_, kth, _) = shared.select_nth_unstable_by(self.k - 1, |a, b| b.cmp(a));
        *kth
    }
}
