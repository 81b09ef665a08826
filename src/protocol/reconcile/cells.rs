//! Cells: the sets of places for which both this node and a peer are among the k nearest, by the peers that this node knows. It knows
//! no values.

use super::region::Region;
use crate::protocol::id::NodeId;
use crate::protocol::prefix::{Prefix, merge_last};

/// The longest prefix that is looked into. What is not decided by so many bits is in no cell, and in the region.
const MAX_BITS: u32 = 64;
/// Prefixes that are looked into. Each half gets half of what is left, so peers that chose ids beside each other, between which many
/// bits decide, use up no more than their part of the ids. What is left out are places for which they may be the k-th nearest.
const MAX_VISITED: usize = 8_192;

/// What a node should hold.
#[derive(Debug)]
pub struct Cells {
    /// With each peer, in their order: the prefixes of the places that both should hold. They do not overlap.
    pub shared: Vec<Vec<Prefix>>,
    /// The places to which the node is among the k nearest, and those that were not examined far enough to decide.
    pub region: Region,
}

/// The cells of the node `own` with each of `peers`, which are all that count towards the `k` nearest beside it.
pub fn cells(own: NodeId, peers: &[NodeId], k: usize) -> Cells {
    let Walk { mut shared, region, .. } = Walk::run(own, peers, k);
    // A node holds them until the peers that it knows have changed.
    shared.iter_mut().for_each(Vec::shrink_to_fit);
    Cells { shared, region: Region::new(region) }
}

/// A walk through the prefixes. For each, the nodes fall into those that are among the k nearest to all places under it, those that
/// are among the nearest to none, and those at the boundary, which the next bits decide.
struct Walk {
    /// The peers, then this node.
    ids: Vec<NodeId>,
    shared: Vec<Vec<Prefix>>,
    /// Where this node is among the nearest, or may be.
    region: Vec<Prefix>,
    /// The nodes that are among the nearest in any case.
    chosen: Vec<usize>,
    /// How many of these were found to share a longer prefix.
    found: usize,
}

impl Walk {
    fn run(own: NodeId, peers: &[NodeId], k: usize) -> Self {
        let mut ids = peers.to_vec();
        ids.push(own);
        let all: Vec<usize> = (0..ids.len()).collect();
        let shared = vec![Vec::new(); peers.len()];
        let mut walk = Self { ids, shared, region: Vec::new(), chosen: Vec::new(), found: 0 };
        if all.len() <= k {
            walk.chosen = all;
            walk.find(Prefix::ALL);
        } else if k > 0 {
            walk.visit(Prefix::ALL, all, k, MAX_VISITED);
        }
        walk
    }

    fn own(&self) -> usize {
        self.ids.len() - 1
    }

    /// Of the nodes at the `boundary`, which are more than that, the nearest `count` complete the k nearest. Returns what is left of
    /// the prefixes that may be looked into.
    fn visit(&mut self, prefix: Prefix, boundary: Vec<usize>, count: usize, budget: usize) -> usize {
        let Some((zero, one)) = prefix.split().filter(|_| budget > 0 && prefix.fixed_bits() < MAX_BITS) else {
            if !self.chosen.contains(&self.own()) {
                merge_last(&mut self.region, prefix);
            }
            return budget;
        };
        let mut budget = budget - 1;
        // The half of this node last, with all that the other one needs not.
        let own_bit = self.ids[self.own()].bit(prefix.fixed_bits());
        let halves = if own_bit { [(zero, false), (one, true)] } else { [(one, true), (zero, false)] };
        for (turn, (half, bit)) in halves.into_iter().enumerate() {
            let is_near = |node: &usize| self.ids[*node].bit(prefix.fixed_bits()) == bit;
            let (near, far): (Vec<usize>, Vec<usize>) = boundary.iter().partition(|node| is_near(node));
            let (chosen, found) = (self.chosen.len(), self.found);
            let (boundary, count) = if near.len() <= count {
                self.chosen.extend(&near);
                (far, count - near.len())
            } else {
                (near, count)
            };
            let is_chosen = self.chosen.contains(&self.own());
            if is_chosen {
                self.find(half);
            }
            if count > 0 && (is_chosen || boundary.contains(&self.own())) {
                let share = if turn == 0 { budget / 2 } else { budget };
                budget = budget - share + self.visit(half, boundary, count, share);
            }
            self.chosen.truncate(chosen);
            self.found = found;
        }
        budget
    }

    /// This node and the others that are chosen are among the k nearest to all places with this prefix.
    fn find(&mut self, prefix: Prefix) {
        let own = self.own();
        for node in &self.chosen[self.found..] {
            let found = if *node == own { &mut self.region } else { &mut self.shared[*node] };
            merge_last(found, prefix);
        }
        self.found = self.chosen.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::entropy::{Entropy, SeededEntropy};
    use proptest::prelude::*;

    fn random_id(entropy: &mut SeededEntropy) -> NodeId {
        Prefix::ALL.random_id(entropy)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// By brute force, for random places and for places near this node. Where nodes crowd, some places may be left out.
        #[test]
        fn a_place_is_in_a_cell_of_a_peer_exactly_if_both_are_among_the_k_nearest_and_in_the_region_if_this_node_is(
            seed: u64, count in 0usize..120, k in 0usize..24, crowded: bool,
        ) {
            let mut entropy = SeededEntropy::new(seed);
            let own = random_id(&mut entropy);
            let peers: Vec<NodeId> = (0..count).map(|_| {
                let near = Prefix::of(&own, entropy.below(40) as u32);
                if crowded { near.random_id(&mut entropy) } else { random_id(&mut entropy) }
            }).collect();
            let Cells { shared, region } = cells(own, &peers, k);
            prop_assert_eq!(shared.len(), peers.len());
            let (mut should, mut does) = (0, 0);
            for number in 0..100 {
                let bits = if number % 2 == 0 { 0 } else { entropy.below(40) as u32 };
                let place = Prefix::of(&own, bits).random_id(&mut entropy);
                let mut nearest: Vec<&NodeId> = peers.iter().chain([&own]).collect();
                nearest.sort_by_key(|id| id.distance(&place));
                nearest.truncate(k);
                let mine = nearest.contains(&&own);
                prop_assert!(region.covers(&place) == mine || crowded && !mine, "{own:?} {place:?}");
                for (peer, shared) in peers.iter().zip(&shared) {
                    let covering = shared.iter().filter(|prefix| prefix.covers(&place)).count();
                    let both = nearest.contains(&&own) && nearest.contains(&peer);
                    prop_assert!(covering <= usize::from(both), "{own:?} {peer:?} {place:?}");
                    (should, does) = (should + usize::from(both), does + covering);
                }
            }
            prop_assert!(should == does || crowded, "{does} of {should}");
        }
    }

    #[test]
    fn where_no_more_than_k_nodes_are_known_all_hold_everything() {
        let mut entropy = SeededEntropy::new(1);
        let peers: Vec<NodeId> = (0..19).map(|_| random_id(&mut entropy)).collect();
        assert_eq!(cells(NodeId::ZERO, &peers, 20).shared, vec![vec![Prefix::ALL]; 19]);
        assert!(cells(NodeId::ZERO, &[], 20).shared.is_empty());
    }

    #[test]
    fn most_pairs_have_a_few_prefixes() {
        for (count, k) in [(100, 20), (300, 20), (300, 4), (1_000, 20)] {
            let mut entropy = SeededEntropy::new(7);
            let peers: Vec<NodeId> = (0..count).map(|_| random_id(&mut entropy)).collect();
            let shared = cells(random_id(&mut entropy), &peers, k).shared;
            let mut counts: Vec<usize> = shared.iter().map(Vec::len).filter(|count| *count > 0).collect();
            counts.sort_unstable();
            assert!(counts[counts.len() * 4 / 5] <= 16, "{count} {k}: {counts:?}");
        }
    }

    #[test]
    fn peers_that_choose_ids_beside_each_other_leave_the_others_their_cells() {
        let mut entropy = SeededEntropy::new(7);
        let own = random_id(&mut entropy);
        let mut peers: Vec<NodeId> = (0..100).map(|_| random_id(&mut entropy)).collect();
        let before = cells(own, &peers, 20).shared;
        let chosen = peers[..10].to_vec();
        peers.extend(chosen.iter().map(|id| Prefix::of(id, 63).random_id(&mut entropy)));
        let shared = cells(own, &peers, 20).shared;
        assert!(shared.iter().map(Vec::len).sum::<usize>() <= 20 * MAX_VISITED);
        let lost = before.iter().zip(&shared).filter(|(before, now)| !before.is_empty() && now.is_empty()).count();
        assert!(lost <= 12, "they take the places of as many at most: {lost}");
        let alike = NodeId::of_key("x");
        let shared = cells(alike.with_bit(159, true), &vec![alike; 1_000], 20).shared;
        assert!(shared.iter().all(Vec::is_empty), "nothing is decided");
    }
}
