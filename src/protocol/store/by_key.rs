//! Records by their keys. The table keeps the hash of each key beside its record: so it can grow without reading the keys, which lie all
//! over the memory. For a million of them that would take half a second, and nothing else would happen meanwhile.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::hash_table::{Entry, HashTable};

/// A record that knows its key.
pub(super) trait Keyed {
    /// Its key, which stays the same.
    fn key(&self) -> &Arc<str>;
}

/// One record at most for each key, in no particular order.
#[derive(Debug)]
pub(super) struct ByKey<T> {
    /// The hash of its key, and the record.
    entries: HashTable<(u64, T)>,
    /// Strangers choose the keys, so their hashes must not be guessed.
    hasher: RandomState,
}

impl<T> Default for ByKey<T> {
    fn default() -> Self {
        Self { entries: HashTable::new(), hasher: RandomState::new() }
    }
}

impl<T: Keyed> ByKey<T> {
    pub(super) fn get(&self, key: &str) -> Option<&T> {
        self.entries.find(self.hash(key), |(_, record)| **record.key() == *key).map(|(_, record)| record)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        let found = self.entries.find_mut(self.hash(key), |(_, record)| **record.key() == *key);
        found.map(|(_, record)| record)
    }

    /// Puts `record` in the place of the one with its key, which is returned.
    pub(super) fn insert(&mut self, record: T) -> Option<T> {
        let hash = self.hash(record.key());
        match self.entries.entry(hash, |(_, other)| other.key() == record.key(), |(hash, _)| *hash) {
            Entry::Occupied(mut before) => Some(std::mem::replace(&mut before.get_mut().1, record)),
            Entry::Vacant(place) => {
                place.insert((hash, record));
                None
            }
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<T> {
        let found = self.entries.find_entry(self.hash(key), |(_, record)| **record.key() == *key);
        found.ok().map(|entry| entry.remove().0.1)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, record)| record)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().map(|(_, record)| record)
    }

    fn hash(&self, key: &str) -> u64 {
        self.hasher.hash_one(key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A key, and what else there is of a record.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
    struct Numbered(Arc<str>, u32);

    impl Keyed for Numbered {
        fn key(&self) -> &Arc<str> {
            &self.0
        }
    }

    proptest! {
        #[test]
        fn it_holds_what_an_ordered_map_would(changes in proptest::collection::vec((0u8..40, any::<bool>()), 0..400)) {
            let (mut table, mut model) = (ByKey::default(), BTreeMap::new());
            for (number, (key, stays)) in (0..).zip(changes) {
                let record = Numbered(key.to_string().into(), number);
                if stays {
                    prop_assert_eq!(table.insert(record.clone()), model.insert(record.0.clone(), record));
                } else {
                    prop_assert_eq!(table.remove(&record.0), model.remove(&record.0));
                }
                if let Some(changed) = table.get_mut("7") {
                    changed.1 += 1;
                    model.get_mut("7").unwrap().1 += 1;
                }
                table.values_mut().filter(|record| &*record.0 == "8").for_each(|record| record.1 += 1);
                model.get_mut("8").into_iter().for_each(|record| record.1 += 1);
                prop_assert_eq!(table.get(&key.to_string()), model.get(&*key.to_string()));
            }
            let mut all: Vec<&Numbered> = table.values().collect();
            all.sort();
            let mut expected: Vec<&Numbered> = model.values().collect();
            expected.sort();
            prop_assert_eq!(all, expected);
        }
    }
}
