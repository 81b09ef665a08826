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

/// Whether an entry is that of the key with this hash. Another key is hardly ever read.
fn is<T: Keyed>(hash: u64, key: &str) -> impl Fn(&(u64, T)) -> bool {
    move |(other, record)| *other == hash && **record.key() == *key
}

impl<T: Keyed> ByKey<T> {
    pub(super) fn get(&self, key: &str) -> Option<&T> {
        let hash = self.hash(key);
        self.entries.find(hash, is(hash, key)).map(|(_, record)| record)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        let hash = self.hash(key);
        self.entries.find_mut(hash, is(hash, key)).map(|(_, record)| record)
    }

    /// Puts `record` in the place of the one with its key, which is returned.
    pub(super) fn insert(&mut self, record: T) -> Option<T> {
        let hash = self.hash(record.key());
        match self.entries.entry(hash, is(hash, record.key()), |(hash, _)| *hash) {
            Entry::Occupied(mut before) => Some(std::mem::replace(&mut before.get_mut().1, record)),
            Entry::Vacant(place) => {
                place.insert((hash, record));
                None
            }
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<T> {
        let hash = self.hash(key);
        self.entries.find_entry(hash, is(hash, key)).ok().map(|entry| entry.remove().0.1)
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
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::rc::Rc;

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

    /// A record that counts how often its key is read.
    struct Counted(Arc<str>, Rc<Cell<usize>>);

    impl Keyed for Counted {
        fn key(&self) -> &Arc<str> {
            self.1.update(|reads| reads + 1);
            &self.0
        }
    }

    #[test]
    fn it_grows_without_reading_the_keys_of_what_it_holds() {
        let (reads, mut table) = (Rc::new(Cell::new(0)), ByKey::default());
        for number in 0..10_000 {
            table.insert(Counted(number.to_string().into(), reads.clone()));
        }
        // Each is read twice, for its hash and to be compared. To read all whenever the table doubles would be 10,000 more at least.
        assert!(reads.get() < 21_000, "{}", reads.get());
        assert_eq!(table.values().count(), 10_000);
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
