//! The peers that an answer names where not all of them fit: the nearest, and a sample of the others.
//!
//! If all nodes around a target named only their nearest ten of twenty, all would name the same ten, and no asker would
//! learn of the others: with answers cut to 1,200 bytes of JSON a lookup among 1,000 nodes finds 84 % of the true 20
//! nearest. With half of the room for a sample it finds all of them, by as many queries.

use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::message::QueryId;
use crate::protocol::peer::Peer;

/// `fit` of `peers`, in their order: the first half of them, and a sample of the rest. `query` seeds the sample, so that each
/// answer holds another one. All of them where `fit` is large enough.
pub(super) fn choose(peers: &[Peer], fit: usize, query: &QueryId) -> Vec<Peer> {
    if fit >= peers.len() {
        return peers.to_vec();
    }
    let nearest = fit.div_ceil(2);
    let mut entropy =
        SeededEntropy::new(query.as_str().bytes().fold(0, |seed, byte| (seed << 5) ^ (seed >> 59) ^ u64::from(byte)));
    let mut others: Vec<usize> = (nearest..peers.len()).collect();
    for place in 0..fit - nearest {
        let drawn = place + entropy.below((others.len() - place) as u64) as usize;
        others.swap(place, drawn);
    }
    others.truncate(fit - nearest);
    others.sort_unstable();
    peers[..nearest].iter().copied().chain(others.into_iter().map(|at| peers[at])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::NodeId;
    use proptest::prelude::*;

    fn peers(count: usize) -> Vec<Peer> {
        let peer = |n: usize| Peer::new(NodeId::of_key(&n.to_string()), ([10, 0, 0, 1], 1_000 + n as u16).into());
        (0..count).map(peer).collect()
    }

    proptest! {
        #[test]
        fn the_nearest_half_is_named_and_the_rest_is_a_sample_in_order(count in 0usize..40, fit in 0usize..40, id: u64) {
            let peers = peers(count);
            let chosen = choose(&peers, fit, &QueryId::from_u64(id));
            prop_assert_eq!(chosen.len(), fit.min(count));
            let places: Vec<_> = chosen.iter().map(|peer| peers.iter().position(|other| other == peer).unwrap()).collect();
            prop_assert!(places.is_sorted_by(|a, b| a < b), "{:?}", places);
            prop_assert_eq!(&chosen[..fit.div_ceil(2).min(count)], &peers[..fit.div_ceil(2).min(count)]);
        }
    }

    #[test]
    fn over_many_queries_every_peer_is_named() {
        let peers = peers(20);
        let mut named = std::collections::HashSet::new();
        for id in 0..40 {
            named.extend(choose(&peers, 10, &QueryId::from_u64(id)).into_iter().map(|peer| peer.id));
        }
        assert_eq!(named.len(), 20);
    }
}
