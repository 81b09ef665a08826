//! Records in the order of a number: of a time, or of how far they are. An entry takes twelve bytes, so that the processor has much of
//! an order at hand: a write has to find its place in four of them.

use std::cmp::Ordering;
use std::time::Instant;

use super::slots::Slot;
use super::sorted::Sorted;
use crate::protocol::id::Distance;

/// The slots of records, each with its rank: the least rank first, and slots in the order of their numbers where ranks are equal.
#[derive(Debug, Clone, Default)]
pub(super) struct Order(Sorted<Entry>);

/// The two halves of a rank, which leave no gap beside the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry([u32; 2], Slot);

impl Entry {
    fn new(rank: u64, slot: Slot) -> Self {
        Self([(rank >> 32) as u32, rank as u32], slot)
    }

    fn rank(&self) -> u64 {
        u64::from(self.0[0]) << 32 | u64::from(self.0[1])
    }

    /// All of it as one number, which the processor compares in two steps.
    #[inline]
    fn number(&self) -> u128 {
        u128::from(self.rank()) << 32 | u128::from(self.1.0)
    }
}

impl Ord for Entry {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.number().cmp(&other.number())
    }
}

impl PartialOrd for Entry {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    #[inline]
    fn lt(&self, other: &Self) -> bool {
        self.number() < other.number()
    }

    #[inline]
    fn le(&self, other: &Self) -> bool {
        self.number() <= other.number()
    }
}

impl Order {
    pub(super) fn insert(&mut self, rank: u64, slot: Slot) {
        self.0.insert(Entry::new(rank, slot));
    }

    /// Whether it was in the order with this rank.
    pub(super) fn remove(&mut self, rank: u64, slot: Slot) -> bool {
        self.0.remove(&Entry::new(rank, slot))
    }

    /// Inserts it with this rank, or removes it.
    pub(super) fn set(&mut self, rank: u64, slot: Slot, present: bool) {
        if present {
            self.insert(rank, slot);
        } else {
            self.remove(rank, slot);
        }
    }

    pub(super) fn first(&self) -> Option<Slot> {
        self.0.first().map(|entry| entry.1)
    }

    /// The last one, with its rank.
    pub(super) fn last(&self) -> Option<(u64, Slot)> {
        self.0.last().map(|entry| (entry.rank(), entry.1))
    }

    /// All with their ranks.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, Slot)> {
        self.0.iter().map(|entry| (entry.rank(), entry.1))
    }

    /// Those from this rank on, with their ranks.
    pub(super) fn from(&self, rank: u64) -> impl Iterator<Item = (u64, Slot)> {
        self.0.from(&Entry::new(rank, Slot::FIRST)).map(|entry| (entry.rank(), entry.1))
    }
}

/// Ranks times: by nanoseconds from one that all of them are ranked by. Those more than 292 years from it are ranked alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeline {
    pub(super) epoch: Instant,
}

impl Timeline {
    pub(super) fn rank(&self, at: Instant) -> u64 {
        const EPOCH: u64 = 1 << 63;
        let nanos = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        match at.checked_duration_since(self.epoch) {
            Some(since) => EPOCH.saturating_add(nanos(since)),
            None => EPOCH.saturating_sub(nanos(self.epoch.saturating_duration_since(at))),
        }
    }
}

/// Ranks distances: by their first 64 bits. Two keys of which these are equal count as equally far.
pub(super) fn rank_of(distance: &Distance) -> u64 {
    u64::from_be_bytes(*distance.as_bytes().first_chunk().expect("20 bytes begin with 8"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_takes_twelve_bytes() {
        assert_eq!(size_of::<Entry>(), 12);
    }

    #[test]
    fn times_far_away_are_ranked_too() {
        let timeline = Timeline { epoch: Instant::now() };
        let far = timeline.epoch + Duration::from_secs(400 * 366 * 86_400);
        assert_eq!(timeline.rank(far), u64::MAX);
        assert_eq!(Timeline { epoch: far }.rank(timeline.epoch), 0);
    }

    proptest! {
        #[test]
        fn ranks_are_in_the_order_of_what_they_rank(a: u32, b: u32, one: [u8; 20], other: [u8; 20]) {
            let start = Instant::now();
            // Before it and after it, nanoseconds apart or hours.
            for unit in [1, 2_000] {
                let [a, b] = [a, b].map(|at| start + Duration::from_nanos(u64::from(at) * unit));
                let timeline = Timeline { epoch: start + Duration::from_nanos((1 << 31) * unit) };
                prop_assert_eq!(timeline.rank(a).cmp(&timeline.rank(b)), a.cmp(&b));
            }
            let [one, other] = [one, other].map(|bytes| crate::protocol::id::NodeId::from_bytes(bytes).distance(&Default::default()));
            prop_assert_eq!(rank_of(&one).cmp(&rank_of(&other)), one.cmp(&other));
        }

        #[test]
        fn an_order_has_what_an_ordered_set_would(changes in prop::collection::vec((0u64..9, 0u32..9, any::<bool>()), 0..200), from in 0u64..10) {
            let (mut order, mut model) = (Order::default(), BTreeSet::new());
            for (rank, slot, stays) in changes {
                // Halves of both kinds.
                let rank = rank << 31;
                if stays {
                    order.insert(rank, Slot(slot));
                    model.insert((rank, Slot(slot)));
                } else {
                    prop_assert_eq!(order.remove(rank, Slot(slot)), model.remove(&(rank, Slot(slot))));
                }
            }
            prop_assert_eq!(order.first(), model.first().map(|(_, slot)| *slot));
            prop_assert_eq!(order.last(), model.last().copied());
            prop_assert!(order.iter().eq(model.iter().copied()));
            prop_assert!(order.iter().rev().eq(model.iter().rev().copied()));
            prop_assert!(order.from(from << 31).eq(model.range((from << 31, Slot::FIRST)..).copied()));
        }
    }
}
