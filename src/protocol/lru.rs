//! Bounded maps that forget the entry set longest ago.
//!
//! Round-trip times, verified addresses and rates are remembered for as many addresses as a bound permits: a stranger with
//! more addresses than that makes a map forget, never grow. A process may run thousands of nodes, so a map releases memory
//! when most of it is empty.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

use hashlink::LinkedHashMap;

/// Entries for which memory stays allocated, however few there are.
const SMALL: usize = 16;

/// A map of at most `limit` entries, in the order in which they were last set. All operations take constant time, amortized.
#[derive(Debug)]
pub(crate) struct Lru<K, V, S = RandomState> {
    limit: usize,
    /// Strangers choose the keys, so their hashes must not be guessed: hence the hasher of the standard library.
    entries: LinkedHashMap<K, V, S>,
}

impl<K: Eq + Hash, V> Lru<K, V> {
    /// An empty map of at most `limit` entries (at least 1).
    pub(crate) fn new(limit: usize) -> Self {
        Self::with_hasher(limit, RandomState::new())
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> Lru<K, V, S> {
    /// The same, for keys whose hashes need no secret, or have one.
    pub(crate) fn with_hasher(limit: usize, hasher: S) -> Self {
        Self { limit: limit.max(1), entries: LinkedHashMap::with_hasher(hasher) }
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The value of `key`; the order stays as it is.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    /// The value of `key`, to be changed; the order stays as it is.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// Sets the value of `key` and makes it the newest. Returns the entry that was forgotten for it, if one was.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        self.entries.insert(key, value);
        if self.len() > self.limit { self.pop_oldest() } else { None }
    }

    /// Forgets the oldest entries, up to the first one that is not `outdated`.
    pub(crate) fn forget_while(&mut self, outdated: impl Fn(&V) -> bool) {
        while self.entries.front().is_some_and(|(_, value)| outdated(value)) {
            self.pop_oldest();
        }
    }

    /// Forgets the entry set longest ago.
    pub(crate) fn pop_oldest(&mut self) -> Option<(K, V)> {
        let oldest = self.entries.pop_front();
        self.shrink();
        oldest
    }

    /// Forgets the entry of `key`.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let removed = self.entries.remove(key);
        self.shrink();
        removed
    }

    /// Releases memory once three quarters of it are empty: each entry removed pays for a share of the move.
    fn shrink(&mut self) {
        if self.entries.capacity() > SMALL && self.len() <= self.entries.capacity() / 4 {
            self.entries.shrink_to_fit();
        }
    }
}

/// An [`Lru`] whose entries count for a limited time after they were last set.
#[derive(Debug)]
pub(crate) struct Expiring<K, V> {
    lifetime: Duration,
    entries: Lru<K, (Instant, V)>,
}

impl<K: Eq + Hash, V> Expiring<K, V> {
    /// An empty map of at most `limit` entries (at least 1), each valid for `lifetime`.
    pub(crate) fn new(limit: usize, lifetime: Duration) -> Self {
        Self { lifetime, entries: Lru::new(limit) }
    }

    /// The number of entries, those included that are outdated and not forgotten yet.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The value of `key`, unless it is outdated.
    pub(crate) fn get(&self, key: &K, now: Instant) -> Option<&V> {
        let (at, value) = self.entries.get(key)?;
        (now.saturating_duration_since(*at) < self.lifetime).then_some(value)
    }

    /// Sets the value of `key` and forgets outdated entries. Returns whether an entry was forgotten before its time.
    pub(crate) fn insert(&mut self, key: K, value: V, now: Instant) -> bool {
        self.forget_outdated(now);
        self.entries.insert(key, (now, value)).is_some()
    }

    /// Forgets the entry of `key`.
    pub(crate) fn remove(&mut self, key: &K) {
        self.entries.remove(key);
    }

    /// Forgets outdated entries. An entry that is set again becomes the newest, so these are the oldest.
    pub(crate) fn forget_outdated(&mut self, now: Instant) {
        let lifetime = self.lifetime;
        self.entries.forget_while(|(at, _)| now.saturating_duration_since(*at) >= lifetime);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_list_in_the_order_of_setting(
            limit in 1usize..8,
            steps in prop::collection::vec((0u8..12, any::<u16>(), 0u8..10), 0..200),
        ) {
            let mut map = Lru::new(limit);
            let mut model: Vec<(u8, u16)> = Vec::new();
            for (key, value, action) in steps {
                let known = model.iter().position(|(k, _)| *k == key);
                if action == 0 {
                    let expected = if model.is_empty() { None } else { Some(model.remove(0)) };
                    prop_assert_eq!(map.pop_oldest(), expected);
                } else if action == 1 {
                    model.drain(..model.iter().position(|(_, v)| *v >= value).unwrap_or(model.len()));
                    map.forget_while(|v| *v < value);
                } else if action < 4 {
                    prop_assert_eq!(map.remove(&key), known.map(|at| model.remove(at).1));
                } else {
                    if let Some(at) = known { model.remove(at); }
                    let forgotten = (model.len() == limit).then(|| model.remove(0));
                    model.push((key, value));
                    prop_assert_eq!(map.insert(key, value), forgotten);
                }
                prop_assert!(map.len() <= limit);
                prop_assert_eq!(map.entries.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>(), model.clone());
                for key in 0..12 {
                    let expected = model.iter().find(|(k, _)| *k == key).map(|(_, v)| v);
                    prop_assert_eq!(map.get(&key), expected);
                }
            }
        }
    }

    #[test]
    fn a_map_that_has_been_emptied_releases_its_memory() {
        let mut map = Lru::new(10_000);
        for key in 0..10_000u16 {
            map.insert(key, ());
        }
        assert!(map.entries.capacity() >= 10_000);
        while map.len() > 100 {
            map.pop_oldest();
        }
        assert!(map.entries.capacity() <= 800, "{}", map.entries.capacity());
        assert!((9_900..10_000).all(|key| map.get(&key).is_some()) && map.get(&0).is_none());
    }

    #[test]
    fn an_entry_counts_for_its_lifetime_and_is_forgotten_with_the_next_one_that_is_set() {
        let (minute, start) = (Duration::from_secs(60), Instant::now());
        let mut map = Expiring::new(2, minute);
        assert!(!map.insert(1, 'a', start) && !map.insert(2, 'b', start) && !map.insert(1, 'c', start + minute / 2));
        let values = |map: &Expiring<i32, char>, at| [1, 2].map(|key| map.get(&key, at).copied());
        assert_eq!(values(&map, start + minute / 2), [Some('c'), Some('b')]);
        assert_eq!((values(&map, start + minute), map.len()), ([Some('c'), None], 2));
        assert!(!map.insert(3, 'd', start + minute), "the entry forgotten for it was outdated");
        assert_eq!(map.len(), 2);
        assert!(map.insert(4, 'e', start + minute), "that one was not");
        map.remove(&4);
        map.forget_outdated(start + 2 * minute);
        assert_eq!(map.len(), 0);
    }
}
