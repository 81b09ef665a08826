//! A bounded map that forgets the entry touched longest ago. It knows nothing of what it remembers.
//!
//! Round-trip times, verified addresses and rates are remembered for as many addresses as the bound permits: a
//! stranger with more addresses than that makes us forget, never grow.

use std::collections::HashMap;
use std::hash::Hash;

/// Marks an end of the list of slots.
const NONE: usize = usize::MAX;

/// At most `limit` entries, in the order in which they were last touched. All operations take constant time.
#[derive(Debug)]
pub(crate) struct RecencyMap<K, V> {
    limit: usize,
    index: HashMap<K, usize>,
    /// A list threaded through the slots from `oldest` to `newest`. There are never free slots: removing one moves the
    /// last slot into its place.
    slots: Vec<Slot<K, V>>,
    oldest: usize,
    newest: usize,
}

#[derive(Debug)]
struct Slot<K, V> {
    key: K,
    value: V,
    older: usize,
    newer: usize,
}

impl<K: Copy + Eq + Hash, V> RecencyMap<K, V> {
    /// An empty map of at most `limit` entries (at least 1).
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), index: HashMap::new(), slots: Vec::new(), oldest: NONE, newest: NONE }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The value of `key`; the order stays as it is.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.index.get(key).map(|at| &self.slots[*at].value)
    }

    /// Sets the value of `key` and makes it the newest. Returns the entry that was forgotten for it, if one was.
    pub(crate) fn touch(&mut self, key: K, value: V) -> Option<(K, V)> {
        if let Some(at) = self.index.get(&key).copied() {
            self.slots[at].value = value;
            self.unlink(at);
            self.link_newest(at);
            return None;
        }
        let forgotten = if self.slots.len() == self.limit { self.pop_oldest() } else { None };
        let at = self.slots.len();
        self.slots.push(Slot { key, value, older: NONE, newer: NONE });
        self.index.insert(key, at);
        self.link_newest(at);
        forgotten
    }

    /// The entry touched longest ago.
    pub(crate) fn oldest(&self) -> Option<(&K, &V)> {
        self.slots.get(self.oldest).map(|slot| (&slot.key, &slot.value))
    }

    /// Forgets the entry touched longest ago.
    pub(crate) fn pop_oldest(&mut self) -> Option<(K, V)> {
        (self.oldest != NONE).then(|| self.take(self.oldest))
    }

    /// Forgets the entry of `key`.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.index.get(key).copied()?;
        Some(self.take(at).1)
    }

    fn take(&mut self, at: usize) -> (K, V) {
        self.unlink(at);
        let slot = self.slots.swap_remove(at);
        self.index.remove(&slot.key);
        self.relocate(at);
        (slot.key, slot.value)
    }

    /// After the last slot moved to `at`: points its neighbours and the index there.
    fn relocate(&mut self, at: usize) {
        let Some(moved) = self.slots.get(at) else { return };
        let (key, older, newer) = (moved.key, moved.older, moved.newer);
        self.index.insert(key, at);
        match older {
            NONE => self.oldest = at,
            older => self.slots[older].newer = at,
        }
        match newer {
            NONE => self.newest = at,
            newer => self.slots[newer].older = at,
        }
    }

    fn unlink(&mut self, at: usize) {
        let (older, newer) = (self.slots[at].older, self.slots[at].newer);
        match older {
            NONE => self.oldest = newer,
            older => self.slots[older].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.slots[newer].older = older,
        }
    }

    fn link_newest(&mut self, at: usize) {
        self.slots[at].older = self.newest;
        self.slots[at].newer = NONE;
        match self.newest {
            NONE => self.oldest = at,
            newest => self.slots[newest].newer = at,
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
}
