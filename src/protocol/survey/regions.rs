//! Regions: the parts of the id space of which all nodes are known, and the ball of the ids that are nearer to one than a node is.
//! Only the first 128 bits of an id count: no network has so many nodes that two of them share these.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::protocol::id::NodeId;

/// The bits of a ball's radius that count, from its highest on: the rest is less than 2^-23 of it.
const EXACT: u32 = 24;

/// The first 128 bits of `id`.
pub(super) fn head(id: &NodeId) -> u128 {
    u128::from_be_bytes(*id.as_bytes().first_chunk().expect("20 bytes begin with 16"))
}

/// The id that begins with these bits and has no others.
pub(super) fn id_of(head: u128) -> NodeId {
    let mut bytes = [0; 20];
    bytes[..16].copy_from_slice(&head.to_be_bytes());
    NodeId::from_bytes(bytes)
}

/// Ids from the first to the last of these heads.
pub(super) type Interval = (u128, u128);

/// The ids nearer to `center` than `radius`, `None` being all ids: intervals that a prefix each has, the largest first.
pub(super) fn ball(center: u128, radius: Option<u128>) -> Vec<Interval> {
    let Some(radius) = radius else { return vec![(0, u128::MAX)] };
    let shift = (u128::BITS - radius.leading_zeros()).saturating_sub(EXACT);
    let radius = radius >> shift << shift;
    let bits = (0..u128::BITS).rev().filter(|bit| radius >> bit & 1 == 1);
    let parts = bits.map(|bit| {
        let below = (1 << bit) - 1;
        // The distances that agree with the radius above this bit, and have none here.
        let nearest = radius & !below & !(1 << bit);
        let first = (center ^ nearest) & !below;
        (first, first | below)
    });
    parts.collect()
}

/// The parts of the id space that are known, and since when.
///
/// Invariant: the intervals do not overlap; the key is the first of each.
#[derive(Debug, Default)]
pub(super) struct Regions(BTreeMap<u128, (u128, Instant)>);

impl Regions {
    /// From `at` on all nodes of this interval are known.
    pub(super) fn insert(&mut self, (first, last): Interval, at: Instant) {
        let (mut first, mut last) = (first, last);
        let overlapping: Vec<u128> = self.touching(first, last).map(|(first, _)| first).collect();
        for start in overlapping {
            let Some((end, since)) = self.0.remove(&start) else { continue };
            if since == at {
                // They become one.
                (first, last) = (first.min(start), last.max(end));
                continue;
            }
            if start < first {
                self.0.insert(start, (first - 1, since));
            }
            if end > last {
                self.0.insert(last + 1, (end, since));
            }
        }
        self.0.insert(first, (last, at));
    }

    /// The first part of this interval that is not known.
    pub(super) fn gap(&self, (first, last): Interval) -> Option<Interval> {
        let mut next = first;
        for (start, end) in self.touching(first, last) {
            if start > next {
                return Some((next, (start - 1).min(last)));
            }
            if end >= last {
                return None;
            }
            next = next.max(end + 1);
        }
        (next <= last).then_some((next, last))
    }

    /// Forgets what is known since before `since`.
    pub(super) fn forget_before(&mut self, since: Instant) {
        self.0.retain(|_, (_, at)| *at >= since);
    }

    /// The number of intervals.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The intervals that share an id with this one, in their order.
    fn touching(&self, first: u128, last: u128) -> impl Iterator<Item = Interval> {
        let before = self.0.range(..first).next_back().filter(move |(_, (end, _))| *end >= first);
        before.into_iter().chain(self.0.range(first..=last)).map(|(start, (end, _))| (*start, *end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        #[test]
        fn a_ball_has_the_ids_nearer_than_its_radius_and_no_others(center: u128, radius: u128, bits in 0u32..128, other: u128) {
            let radius = radius >> bits;
            let parts = ball(center, Some(radius));
            prop_assert!(parts.len() <= EXACT as usize);
            prop_assert!(parts.iter().all(|(first, last)| (last - first + 1).is_power_of_two() && first & (last - first) == 0));
            // One near the center is likelier to be inside.
            for id in [other, center ^ (other >> bits), center] {
                let covered = parts.iter().filter(|(first, last)| (*first..=*last).contains(&id)).count();
                let distance = center ^ id;
                prop_assert!(covered <= 1, "they do not overlap");
                prop_assert!(covered == 0 || distance < radius);
                // What is left out is within 2^-23 of the radius.
                prop_assert!(covered == 1 || distance >= radius - (radius >> 23));
            }
        }

        #[test]
        fn what_was_inserted_and_not_forgotten_is_known_and_nothing_else(
            given in proptest::collection::vec((0u128..200, 0u128..60, 0u64..4), 0..20), asked in (0u128..260, 0u128..40), forget in 0u64..4,
        ) {
            let start = Instant::now();
            let at = |round| start + Duration::from_secs(round);
            let mut regions = Regions::default();
            let mut known = [None; 300];
            for (first, len, round) in given {
                regions.insert((first, first + len), at(round));
                known[first as usize..=(first + len) as usize].fill(Some(round));
            }
            regions.forget_before(at(forget));
            let is_known = |id: u128| known[id as usize].is_some_and(|round| round >= forget);
            let (first, last) = (asked.0, asked.0 + asked.1);
            let expected = (first..=last).find(|id| !is_known(*id));
            let gap = regions.gap((first, last));
            prop_assert_eq!(gap.map(|(from, _)| from), expected);
            if let Some((from, to)) = gap {
                prop_assert!((from..=to).all(|id| !is_known(id)) && to <= last);
                prop_assert!(to == last || is_known(to + 1), "the whole gap");
            }
        }
    }

    #[test]
    fn all_ids_are_one_region() {
        let mut regions = Regions::default();
        assert_eq!(regions.gap((5, 9)), Some((5, 9)));
        for interval in ball(7, None) {
            regions.insert(interval, Instant::now());
        }
        assert_eq!((regions.gap((0, u128::MAX)), regions.len()), (None, 1));
        assert!(ball(7, Some(0)).is_empty(), "no id is nearer than the center itself");
    }

    #[test]
    fn a_head_is_the_first_sixteen_bytes() {
        let id = NodeId::from_bytes(std::array::from_fn(|at| at as u8));
        assert_eq!(head(&id), 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);
        assert_eq!(id_of(head(&id)).common_prefix(&id), 128 + 3, "then 0x10");
    }
}
