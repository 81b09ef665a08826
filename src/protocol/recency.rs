//! A bounded map that forgets the entry touched longest ago. It knows nothing of what it remembers.
//!
//! Round-trip times, verified addresses and rates are remembered for as many addresses as the bound permits: a
//! stranger with more addresses than that makes us forget, never grow. A process may run thousands of nodes, so a map
//! keeps each key once, and gives memory back when most of it is empty.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;

/// Marks an end of the list of slots.
const NONE: u32 = u32::MAX;
/// Entries for which memory is kept, however few there are.
const SMALL: usize = 16;

/// At most `limit` entries, in the order in which they were last touched. All operations take constant time, amortized.
#[derive(Debug)]
pub(crate) struct RecencyMap<K, V> {
    limit: usize,
    /// Strangers choose the keys, so their hashes must not be guessed.
    hasher: RandomState,
    /// The slot of each key.
    index: HashTable<u32>,
    /// A list threaded through the slots from `oldest` to `newest`. There are never free slots: removing one moves the
    /// last slot into its place.
    slots: Vec<Slot<K, V>>,
    oldest: u32,
    newest: u32,
}

#[derive(Debug)]
struct Slot<K, V> {
    key: K,
    value: V,
    /// Of the key: so that a slot can be moved without hashing its key again.
    hash: u32,
    older: u32,
    newer: u32,
}

/// The index wants its bits at both ends of 64.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl<K: Copy + Eq + Hash, V> RecencyMap<K, V> {
    /// An empty map of at most `limit` entries (at least 1, at most 2^32 - 1).
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, NONE as usize);
        let (hasher, index, slots) = (RandomState::new(), HashTable::new(), Vec::new());
        Self { limit, hasher, index, slots, oldest: NONE, newest: NONE }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The value of `key`; the order stays as it is.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        Some(&self.slots[self.find(key)? as usize].value)
    }

    /// Sets the value of `key` and makes it the newest. Returns the entry that was forgotten for it, if one was.
    pub(crate) fn touch(&mut self, key: K, value: V) -> Option<(K, V)> {
        self.update(key, |_| value)
    }

    /// Sets the value of `key` to what `next` makes of the known one, if there is one, and makes it the newest. Returns the
    /// entry that was forgotten for it, if one was.
    pub(crate) fn update(&mut self, key: K, next: impl FnOnce(Option<&V>) -> V) -> Option<(K, V)> {
        let hash = self.hash(&key);
        if let Some(at) = self.index.find(spread(hash), |at| self.slots[*at as usize].key == key).copied() {
            let value = &mut self.slots[at as usize].value;
            *value = next(Some(value));
            if at != self.newest {
                self.unlink(at);
                self.link_newest(at);
            }
            return None;
        }
        let forgotten = if self.slots.len() == self.limit { self.pop_oldest() } else { None };
        let at = u32::try_from(self.slots.len()).expect("the limit fits 32 bits");
        self.slots.push(Slot { key, value: next(None), hash, older: NONE, newer: NONE });
        let slots = &self.slots;
        self.index.insert_unique(spread(hash), at, |at| spread(slots[*at as usize].hash));
        self.link_newest(at);
        forgotten
    }

    /// The entry touched longest ago.
    pub(crate) fn oldest(&self) -> Option<(&K, &V)> {
        self.slots.get(self.oldest as usize).map(|slot| (&slot.key, &slot.value))
    }

    /// Forgets the entry touched longest ago.
    pub(crate) fn pop_oldest(&mut self) -> Option<(K, V)> {
        (self.oldest != NONE).then(|| self.take(self.oldest))
    }

    /// Forgets the entry of `key`.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(key)?;
        Some(self.take(at).1)
    }

    fn find(&self, key: &K) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        self.index.find(spread(self.hash(key)), |at| self.slots[*at as usize].key == *key).copied()
    }

    fn take(&mut self, at: u32) -> (K, V) {
        self.unlink(at);
        self.set_index(at, None);
        let last = u32::try_from(self.slots.len() - 1).expect("the limit fits 32 bits");
        if last != at {
            // The last slot is about to move here.
            self.set_index(last, Some(at));
        }
        let slot = self.slots.swap_remove(at as usize);
        self.relocate(at);
        self.give_back();
        (slot.key, slot.value)
    }

    fn hash(&self, key: &K) -> u32 {
        // Its lower half.
        self.hasher.hash_one(key) as u32
    }

    /// Points the index of the key in slot `at` elsewhere, or nowhere.
    fn set_index(&mut self, at: u32, to: Option<u32>) {
        let found = self.index.find_entry(spread(self.slots[at as usize].hash), |other| *other == at);
        let mut found = found.expect("each slot is in the index");
        match to {
            Some(to) => *found.get_mut() = to,
            None => drop(found.remove()),
        }
    }

    /// After the last slot moved to `at`: points its neighbours there.
    fn relocate(&mut self, at: u32) {
        let Some(moved) = self.slots.get(at as usize) else { return };
        let (older, newer) = (moved.older, moved.newer);
        match older {
            NONE => self.oldest = at,
            older => self.slots[older as usize].newer = at,
        }
        match newer {
            NONE => self.newest = at,
            newer => self.slots[newer as usize].older = at,
        }
    }

    /// Gives memory back once three quarters of it are empty: each entry popped pays for a share of the move.
    fn give_back(&mut self) {
        let len = self.slots.len();
        if self.slots.capacity() > SMALL && len <= self.slots.capacity() / 4 {
            self.slots.shrink_to((2 * len).max(SMALL));
            let slots = &self.slots;
            self.index.shrink_to(slots.capacity(), |at| spread(slots[*at as usize].hash));
        }
    }

    fn unlink(&mut self, at: u32) {
        let (older, newer) = (self.slots[at as usize].older, self.slots[at as usize].newer);
        match older {
            NONE => self.oldest = newer,
            older => self.slots[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.slots[newer as usize].older = older,
        }
    }

    fn link_newest(&mut self, at: u32) {
        self.slots[at as usize].older = self.newest;
        self.slots[at as usize].newer = NONE;
        match self.newest {
            NONE => self.oldest = at,
            newest => self.slots[newest as usize].newer = at,
        }
        self.newest = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_list_in_order_of_touch(
            limit in 1usize..8,
            steps in prop::collection::vec((0u8..12, any::<u16>(), 0u8..10), 0..200),
        ) {
            let mut map = RecencyMap::new(limit);
            let mut model: Vec<(u8, u16)> = Vec::new();
            for (key, value, action) in steps {
                let known = model.iter().position(|(k, _)| *k == key);
                if action == 0 {
                    let expected = if model.is_empty() { None } else { Some(model.remove(0)) };
                    prop_assert_eq!(map.pop_oldest(), expected);
                } else if action < 3 {
                    prop_assert_eq!(map.remove(&key), known.map(|at| model.remove(at).1));
                } else {
                    if let Some(at) = known { model.remove(at); }
                    let forgotten = (model.len() == limit).then(|| model.remove(0));
                    model.push((key, value));
                    prop_assert_eq!(map.touch(key, value), forgotten);
                }
                prop_assert!(map.len() <= limit);
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(map.oldest().map(|(k, v)| (*k, *v)), model.first().copied());
                for key in 0..12 {
                    let expected = model.iter().find(|(k, _)| *k == key).map(|(_, v)| v);
                    prop_assert_eq!(map.get(&key), expected);
                }
            }
        }
    }

    #[test]
    fn a_map_that_has_been_emptied_gives_its_memory_back() {
        let mut map = RecencyMap::new(10_000);
        for key in 0..10_000u16 {
            map.touch(key, ());
        }
        assert!(map.slots.capacity() >= 10_000 && map.index.capacity() >= 10_000);
        while map.len() > 100 {
            map.pop_oldest();
        }
        assert!(map.slots.capacity() <= 400 && map.index.capacity() <= 800);
        assert!((9_900..10_000).all(|key| map.get(&key).is_some()) && map.get(&0).is_none());
    }
}
