//! Full copies by the places of their keys, as they are compared with those of other nodes. It changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome::{age_seconds, whole_seconds};
use super::record::Record;
use super::records::Records;
#[cfg(doc)]
use crate::protocol::config::Config;
use crate::protocol::digest::ValueDigest;
use crate::protocol::entry::{Entry, Nonce};
use crate::protocol::id::NodeId;
use crate::protocol::prefix::Prefix;

/// A full copy, as it is compared with those of other nodes.
#[derive(Debug, Clone, Copy)]
pub struct PlacedCopy<'a> {
    record: &'a Record,
    /// The place of its key.
    pub place: NodeId,
    /// Whether it gives way to no other value.
    pub stands: bool,
}

impl PlacedCopy<'_> {
    /// Its key.
    pub fn key(&self) -> &Arc<str> {
        &self.record.stored.key
    }

    /// Which version of its value it is.
    pub fn version(&self) -> u64 {
        self.record.stored.version
    }

    /// Whether this node publishes it.
    pub fn is_published(&self) -> bool {
        self.record.is_published()
    }

    /// Bytes of key and value.
    pub fn bytes(&self) -> usize {
        self.record.bytes()
    }

    /// The digest of its value. It is computed once.
    pub fn digest(&self) -> ValueDigest {
        self.record.digest()
    }

    /// How long ago the value was last published, where that is known. Not of a copy that gives way to no other, so that no peer
    /// brings it a later one in vain.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.record.age(now).filter(|_| !self.stands)
    }

    /// How long ago the value was last published, at least.
    pub fn age_at_least(&self, now: Instant) -> Duration {
        self.record.age_at_least(now)
    }

    /// How long it lives.
    pub fn left(&self, now: Instant) -> Duration {
        self.record.stored.expires_at.saturating_duration_since(now)
    }

    /// It as an entry of a message with this nonce, with the life that it has left.
    pub fn entry(&self, nonce: Nonce, now: Instant) -> Entry {
        Entry {
            place: self.place,
            digest: self.digest().keyed(nonce),
            age: self.age(now).map(age_seconds),
            life: Some(whole_seconds(self.left(now))),
            kind: Entry::PLAIN,
        }
    }
}

impl Records {
    /// The full copies with this prefix that have not ended, in no particular order.
    pub fn in_prefix(&self, prefix: &Prefix, now: Instant) -> impl Iterator<Item = PlacedCopy<'_>> {
        let (nearest, farthest) = prefix.distances_from(&self.own);
        let live = self.holdings.within(nearest, farthest).filter(move |record| !record.is_expired(now));
        live.map(|record| self.placed(record))
    }

    /// Those of them that count when nodes compare what they hold: not what is [about to end](Config::nearly_expired), which ends at
    /// its holders within seconds, and is then brought again only by a later publication.
    pub fn counted(&self, prefix: &Prefix, now: Instant) -> impl Iterator<Item = PlacedCopy<'_>> {
        let least = self.config.nearly_expired();
        self.in_prefix(prefix, now).filter(move |copy| copy.left(now) > least)
    }

    /// See [`Config::same_publication`].
    pub fn same_publication(&self) -> Duration {
        self.config.same_publication()
    }

    /// The full copy at this place, unless it has ended.
    pub fn at_place(&self, place: &NodeId, now: Instant) -> Option<PlacedCopy<'_>> {
        self.in_prefix(&Prefix::of(place, u32::MAX), now).next()
    }

    /// The full copy of `key`, unless it has ended.
    pub fn full_copy(&self, key: &str, now: Instant) -> Option<PlacedCopy<'_>> {
        let record = self.holdings.get(key).filter(|record| record.is_full() && !record.is_expired(now))?;
        Some(self.placed(record))
    }

    fn placed<'a>(&self, record: &'a Record) -> PlacedCopy<'a> {
        PlacedCopy { record, place: self.place(record), stands: self.stands(record) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::config::Config;
    use crate::protocol::entropy::{Entropy, SeededEntropy};
    use crate::protocol::store::Class;
    use crate::protocol::store::contract::record;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Whatever is held, and for whomever: a prefix has exactly the full copies whose places begin with it.
        #[test]
        fn a_prefix_has_exactly_the_full_copies_under_it(seed: u64, len in 0u32..12, own: [u8; 20]) {
            let (mut entropy, now) = (SeededEntropy::new(seed), Instant::now());
            let mut records = Records::new(NodeId::from_bytes(own), &Config::default(), now);
            let kept = (0..200).map(|number| {
                let mut stored = record(&format!("{seed} {number}"), "value", number, now);
                if entropy.below(2) == 0 {
                    stored.class = Class::Published;
                } else {
                    stored.source = Some(([192, 0, 2, number as u8], 1).into());
                }
                stored
            });
            let kept: Vec<_> = kept.collect();
            records.load(kept.clone(), now, &mut entropy);
            let prefix = Prefix::of(&NodeId::of_key(&kept[0].key), len);
            let found: BTreeSet<_> = records.in_prefix(&prefix, now).map(|copy| copy.key().clone()).collect();
            let expected: BTreeSet<_> =
                kept.iter().map(|kept| kept.key.clone()).filter(|key| prefix.covers(&NodeId::of_key(key))).collect();
            prop_assert_eq!(found, expected);
            for kept in &kept {
                let place = NodeId::of_key(&kept.key);
                let copy = records.at_place(&place, now).unwrap();
                prop_assert_eq!((copy.key(), copy.place, copy.digest()), (&kept.key, place, ValueDigest::of(&kept.value)));
            }
            prop_assert!(records.at_place(&NodeId::of_key("none"), now).is_none());
        }
    }
}
