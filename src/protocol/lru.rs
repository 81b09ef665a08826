//! Bounded maps that forget the entry set longest ago.
//!
//! Round-trip times, verified addresses and rates are remembered for as many addresses as a bound permits: a stranger with
//! more addresses than that makes a map forget, never grow. A process may run thousands of nodes, so entries lie side by side in
//! one piece of memory, which has little room to spare and is released when most of it is empty.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use hashbrown::hash_table::HashTable;

use super::growth::reserve_one;

/// Entries for which memory stays allocated, however few there are.
const SMALL: usize = 16;
/// The place of no entry.
const NONE: u32 = u32::MAX;

/// A map of at most `limit` entries, in the order in which they were last set. All operations take constant time, amortized.
///
/// Of a key it holds 64 bits of hash, under a secret of this map. Two of the keys that are held have the same ones, and so one entry,
/// with a probability of one to 10^11 (of 16,384 keys) or 10^10 (of 65,536), and no stranger can find two that do.
#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    limit: usize,
    /// The entries, in no order: where one is removed, the last one takes its place.
    slots: Vec<Linked<V>>,
    /// The place of each entry, by its hash.
    places: HashTable<u32>,
    oldest: u32,
    newest: u32,
    /// Strangers choose the keys, so their hashes must not be guessed: hence the hasher of the standard library.
    hasher: RandomState,
    keys: PhantomData<fn(&K)>,
}

/// An entry, and its neighbours in the order.
#[derive(Debug)]
struct Linked<V> {
    hash: u64,
    value: V,
    older: u32,
    newer: u32,
}

impl<K: Hash, V> Lru<K, V> {
    /// An empty map of at most `limit` entries (at least 1).
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            // A place is a number below `NONE`.
            limit: limit.clamp(1, NONE as usize),
            slots: Vec::new(),
            places: HashTable::new(),
            oldest: NONE,
            newest: NONE,
            hasher: RandomState::new(),
            keys: PhantomData,
        }
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The value of `key`; the order stays as it is.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.find(self.hash(key)).map(|at| &self.slots[at as usize].value)
    }

    /// The value of `key`, to be changed; the order stays as it is.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.find(self.hash(key)).map(|at| &mut self.slots[at as usize].value)
    }

    /// Sets the value of `key` and makes it the newest. Returns the value that was forgotten for it, if one was.
    pub(crate) fn insert(&mut self, key: &K, value: V) -> Option<V> {
        let hash = self.hash(key);
        if let Some(at) = self.find(hash) {
            self.slots[at as usize].value = value;
            if at != self.newest {
                self.unlink(at);
                self.link_newest(at);
            }
            return None;
        }
        let forgotten = if self.len() >= self.limit { self.pop_oldest() } else { None };
        self.push(hash, value);
        forgotten
    }

    /// Forgets the entries whose value is not to be `kept`; the others keep their order.
    pub(crate) fn retain(&mut self, kept: impl Fn(&V) -> bool) {
        for _ in 0..self.len() {
            let Linked { hash, value, .. } = self.take(self.oldest);
            if kept(&value) {
                self.push(hash, value);
            }
        }
    }

    /// Forgets the oldest entries, up to the first one that is not `outdated`.
    pub(crate) fn forget_while(&mut self, outdated: impl Fn(&V) -> bool) {
        while self.slots.get(self.oldest as usize).is_some_and(|slot| outdated(&slot.value)) {
            self.take(self.oldest);
        }
    }

    /// Forgets the entry of `key`.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(self.hash(key))?;
        Some(self.take(at).value)
    }

    fn pop_oldest(&mut self) -> Option<V> {
        (self.len() > 0).then(|| self.take(self.oldest).value)
    }

    fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    fn find(&self, hash: u64) -> Option<u32> {
        self.places.find(hash, |at| self.slots[*at as usize].hash == hash).copied()
    }

    /// Adds an entry as the newest.
    fn push(&mut self, hash: u64, value: V) {
        let at = u32::try_from(self.slots.len()).expect("the limit is a u32");
        reserve_one(&mut self.slots);
        self.slots.push(Linked { hash, value, older: NONE, newer: NONE });
        let slots = &self.slots;
        self.places.insert_unique(hash, at, |at| slots[*at as usize].hash);
        self.link_newest(at);
    }

    /// Takes out the entry at `at`.
    fn take(&mut self, at: u32) -> Linked<V> {
        self.unlink(at);
        let last = self.slots.len() as u32 - 1;
        let taken = self.slots.swap_remove(at as usize);
        if let Ok(place) = self.places.find_entry(taken.hash, |place| *place == at) {
            place.remove();
        }
        if let Some(&Linked { hash, older, newer, .. }) = self.slots.get(at as usize) {
            if let Some(place) = self.places.find_mut(hash, |place| *place == last) {
                *place = at;
            }
            *self.newer_of(older) = at;
            *self.older_of(newer) = at;
        }
        self.shrink();
        taken
    }

    fn link_newest(&mut self, at: u32) {
        let slot = &mut self.slots[at as usize];
        (slot.older, slot.newer) = (self.newest, NONE);
        *self.newer_of(self.newest) = at;
        self.newest = at;
    }

    fn unlink(&mut self, at: u32) {
        let Linked { older, newer, .. } = self.slots[at as usize];
        *self.newer_of(older) = newer;
        *self.older_of(newer) = older;
    }

    /// Where the entry after the one at `at` is noted. Before the first one there is [`NONE`].
    fn newer_of(&mut self, at: u32) -> &mut u32 {
        self.slots.get_mut(at as usize).map_or(&mut self.oldest, |slot| &mut slot.newer)
    }

    /// Where the entry before the one at `at` is noted. After the last one there is [`NONE`].
    fn older_of(&mut self, at: u32) -> &mut u32 {
        self.slots.get_mut(at as usize).map_or(&mut self.newest, |slot| &mut slot.older)
    }

    /// Releases memory once three quarters of it are empty: each entry removed pays for a share of the move.
    fn shrink(&mut self) {
        if self.slots.capacity() > SMALL && self.slots.len() <= self.slots.capacity() / 4 {
            self.slots.shrink_to_fit();
            let slots = &self.slots;
            self.places.shrink_to_fit(|at| slots[*at as usize].hash);
        }
    }
}

/// An [`Lru`] whose entries count for a limited time after they were last set.
#[derive(Debug)]
pub(crate) struct Expiring<K, V> {
    lifetime: Duration,
    /// When the first entry was set, from which the times of all are counted.
    start: Option<Instant>,
    entries: Lru<K, Timed<V>>,
}

/// A value, and when it was set: in nanoseconds from the start, which take half of what an `Instant` does.
#[derive(Debug)]
struct Timed<V> {
    value: V,
    at: u64,
}

impl<V> Timed<V> {
    /// Its age so many nanoseconds from the start.
    fn age(&self, now: u64) -> Duration {
        Duration::from_nanos(now.saturating_sub(self.at))
    }
}

impl<K: Hash, V> Expiring<K, V> {
    /// An empty map of at most `limit` entries (at least 1), each valid for `lifetime`.
    pub(crate) fn new(limit: usize, lifetime: Duration) -> Self {
        Self { lifetime, start: None, entries: Lru::new(limit) }
    }

    /// The number of entries, those included that are outdated and not forgotten yet.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The value of `key`, unless it is outdated.
    pub(crate) fn get(&self, key: &K, now: Instant) -> Option<&V> {
        self.get_with_age(key, now).map(|(value, _)| value)
    }

    /// The value of `key` and the time since it was set, unless it is outdated.
    pub(crate) fn get_with_age(&self, key: &K, now: Instant) -> Option<(&V, Duration)> {
        let entry = self.entries.get(key)?;
        let age = entry.age(self.nanoseconds(now));
        (age < self.lifetime).then_some((&entry.value, age))
    }

    /// Sets the value of `key` and forgets outdated entries. Returns whether an entry was forgotten before its time.
    pub(crate) fn insert(&mut self, key: &K, value: V, now: Instant) -> bool {
        self.start.get_or_insert(now);
        self.forget_outdated(now);
        let at = self.nanoseconds(now);
        self.entries.insert(key, Timed { value, at }).is_some()
    }

    /// Forgets the entry of `key`.
    pub(crate) fn remove(&mut self, key: &K) {
        self.entries.remove(key);
    }

    /// Forgets outdated entries. An entry that is set again becomes the newest, so these are the oldest.
    pub(crate) fn forget_outdated(&mut self, now: Instant) {
        let (lifetime, now) = (self.lifetime, self.nanoseconds(now));
        self.entries.forget_while(|entry| entry.age(now) >= lifetime);
    }

    /// The time from the start to `now`, at most 584 years.
    fn nanoseconds(&self, now: Instant) -> u64 {
        let since = self.start.map_or(Duration::ZERO, |start| now.saturating_duration_since(start));
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The values, oldest first; read from the newest on, they are the same.
    fn in_order(map: &Lru<u8, u16>) -> Vec<u16> {
        let walk = |first: u32, next: fn(&Linked<u16>) -> u32| {
            let at = |place: u32| map.slots.get(place as usize);
            let slots = std::iter::successors(at(first), |slot| at(next(slot))).take(map.len() + 1);
            slots.map(|slot| slot.value).collect::<Vec<_>>()
        };
        let (values, mut back) = (walk(map.oldest, |slot| slot.newer), walk(map.newest, |slot| slot.older));
        back.reverse();
        assert_eq!((values.len(), map.places.len()), (map.len(), map.len()));
        assert_eq!(values, back);
        values
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_list_in_the_order_of_setting(
            limit in prop_oneof![1usize..8, 60usize..100],
            steps in prop::collection::vec((0u8..120, any::<u16>(), 0u8..40), 0..400),
            keys in prop_oneof![Just(12u8), Just(120)],
        ) {
            let mut map = Lru::new(limit);
            let mut model: Vec<(u8, u16)> = Vec::new();
            for (key, value, action) in steps {
                let key = key % keys;
                let known = model.iter().position(|(k, _)| *k == key);
                match action {
                    0 => {
                        model.retain(|(_, v)| *v < value);
                        map.retain(|v| *v < value);
                    }
                    1 => {
                        model.drain(..model.iter().position(|(_, v)| *v >= value).unwrap_or(model.len()));
                        map.forget_while(|v| *v < value);
                    }
                    2..=4 => prop_assert_eq!(map.remove(&key), known.map(|at| model.remove(at).1)),
                    _ => {
                        if let Some(at) = known { model.remove(at); }
                        let forgotten = (model.len() == limit).then(|| model.remove(0).1);
                        model.push((key, value));
                        prop_assert_eq!(map.insert(&key, value), forgotten);
                    }
                }
                prop_assert!(map.len() <= limit);
                prop_assert_eq!(in_order(&map), model.iter().map(|(_, v)| *v).collect::<Vec<_>>());
                for key in 0..keys {
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
            map.insert(&key, ());
        }
        let capacities = |map: &Lru<u16, ()>| [map.slots.capacity(), map.places.capacity()];
        assert!(capacities(&map).iter().all(|capacity| (10_000..20_000).contains(capacity)), "{:?}", capacities(&map));
        let kept = std::cell::Cell::new(0);
        map.forget_while(|()| kept.replace(kept.get() + 1) < 9_900);
        assert!(capacities(&map).iter().all(|capacity| *capacity <= 800), "{:?}", capacities(&map));
        assert!((9_900..10_000).all(|key| map.get(&key).is_some()) && map.get(&0).is_none());
    }

    #[test]
    fn each_map_has_a_secret_of_its_own() {
        let hashes = [(); 2].map(|()| Lru::<u16, ()>::new(1).hash(&1));
        assert_ne!(hashes[0], hashes[1]);
    }

    #[test]
    fn a_map_has_little_more_memory_than_its_entries_need() {
        let mut map = Lru::new(10_000);
        for key in 0..10_000u16 {
            map.insert(&key, ());
            assert!(map.slots.capacity() <= (map.len() + map.len() / 4).max(SMALL), "{key}");
        }
        // Once it is full, an entry takes the memory of the one that is forgotten for it.
        let full = map.slots.capacity();
        for key in 10_000..30_000 {
            map.insert(&key, ());
        }
        assert_eq!((map.slots.capacity(), map.len()), (full, 10_000));
    }

    #[test]
    fn an_entry_counts_for_its_lifetime_and_is_forgotten_with_the_next_one_that_is_set() {
        let (minute, start) = (Duration::from_secs(60), Instant::now());
        let mut map = Expiring::new(2, minute);
        assert!(!map.insert(&1, 'a', start) && !map.insert(&2, 'b', start) && !map.insert(&1, 'c', start + minute / 2));
        let values = |map: &Expiring<i32, char>, at| [1, 2].map(|key| map.get(&key, at).copied());
        assert_eq!(values(&map, start + minute / 2), [Some('c'), Some('b')]);
        assert_eq!((values(&map, start + minute), map.len()), ([Some('c'), None], 2));
        assert_eq!(map.get_with_age(&1, start + minute), Some((&'c', minute / 2)));
        assert!(!map.insert(&3, 'd', start + minute), "the entry forgotten for it was outdated");
        assert_eq!(map.len(), 2);
        assert!(map.insert(&4, 'e', start + minute), "that one was not");
        map.remove(&4);
        map.forget_outdated(start + 2 * minute);
        assert_eq!(map.len(), 0);
    }
}
