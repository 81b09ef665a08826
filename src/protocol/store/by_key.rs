//! Records by their keys, and by the numbers of their slots. The table keeps the hash of each key beside its slot: so it can grow
//! without reading the keys, which lie all over the memory. For a million of them that would take half a second, and nothing else
//! would happen meanwhile.

use std::collections::hash_map::RandomState;
use std::sync::Arc;

use hashbrown::hash_table::{Entry, HashTable};

use super::slots::{Slot, Slots};
use crate::protocol::half_hash::HalfHash;

/// Keys for which the table has room, however few it holds.
const SMALL: usize = 64;

/// A record that knows its key.
pub(super) trait Keyed {
    /// Its key, which stays the same.
    fn key(&self) -> &Arc<str>;
}

/// One record at most for each key, in no particular order.
#[derive(Debug)]
pub(super) struct ByKey<T> {
    /// A part of the hash of each key, and where its record is.
    table: HashTable<(HalfHash, Slot)>,
    slots: Slots<T>,
    /// Strangers choose the keys, so their hashes must not be guessed.
    hasher: RandomState,
}

impl<T> Default for ByKey<T> {
    fn default() -> Self {
        Self { table: HashTable::new(), slots: Slots::default(), hasher: RandomState::new() }
    }
}

/// Whether an entry of the table is that of the key with this hash. Another key is hardly ever read.
fn is<T: Keyed>(slots: &Slots<T>, hash: HalfHash, key: &str) -> impl Fn(&(HalfHash, Slot)) -> bool {
    move |(other, slot)| *other == hash && slots.get(*slot).is_some_and(|record| **record.key() == *key)
}

impl<T: Keyed> ByKey<T> {
    /// Where the record of `key` is.
    pub(super) fn find(&self, key: &str) -> Option<Slot> {
        let hash = self.hash(key);
        self.table.find(hash.spread(), is(&self.slots, hash, key)).map(|(_, slot)| *slot)
    }

    /// The record in `slot`.
    pub(super) fn at(&self, slot: Slot) -> Option<&T> {
        self.slots.get(slot)
    }

    /// The record in `slot`, to be changed, but for its key.
    pub(super) fn at_mut(&mut self, slot: Slot) -> Option<&mut T> {
        self.slots.get_mut(slot)
    }

    pub(super) fn get(&self, key: &str) -> Option<&T> {
        self.at(self.find(key)?)
    }

    /// Puts `record` in the place of the one with its key, which is returned, and says where it is.
    pub(super) fn insert(&mut self, record: T) -> (Slot, Option<T>) {
        let hash = self.hash(record.key());
        let Self { table, slots, .. } = self;
        match table.entry(hash.spread(), is(slots, hash, record.key()), |(hash, _)| hash.spread()) {
            Entry::Occupied(held) => {
                let slot = held.get().1;
                let place = slots.get_mut(slot).expect("the table names what is held");
                (slot, Some(std::mem::replace(place, record)))
            }
            Entry::Vacant(place) => {
                let slot = slots.insert(record);
                place.insert((hash, slot));
                (slot, None)
            }
        }
    }

    /// Takes the record of `key` out, and says where it was.
    pub(super) fn remove(&mut self, key: &str) -> Option<(Slot, T)> {
        let hash = self.hash(key);
        let Self { table, slots, .. } = self;
        let ((_, slot), _) = table.find_entry(hash.spread(), is(slots, hash, key)).ok()?.remove();
        if table.capacity() > SMALL && table.len() < table.capacity() / 8 {
            table.shrink_to(table.len() * 2, |(hash, _)| hash.spread());
        }
        Some((slot, slots.remove(slot)?))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut()
    }

    fn hash(&self, key: &str) -> HalfHash {
        HalfHash::of_bytes(key.as_bytes(), &self.hasher)
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
        reads.set(0);
        (100..10_000).for_each(|number: usize| drop(table.remove(&number.to_string()).unwrap()));
        assert!(reads.get() < 11_000 && table.table.capacity() < 1_000, "{} {}", reads.get(), table.table.capacity());
        assert!((0..100).all(|number| table.get(&number.to_string()).is_some()));
    }

    proptest! {
        #[test]
        fn it_holds_what_an_ordered_map_would(changes in proptest::collection::vec((0u8..40, any::<bool>()), 0..400)) {
            let (mut table, mut model) = (ByKey::default(), BTreeMap::new());
            for (number, (key, stays)) in (0..).zip(changes) {
                let record = Numbered(key.to_string().into(), number);
                let before = table.find(&record.0);
                if stays {
                    let (slot, replaced) = table.insert(record.clone());
                    prop_assert!(before.is_none_or(|before| before == slot), "it stays where it is");
                    prop_assert_eq!(table.at(slot), Some(&record));
                    prop_assert_eq!(replaced, model.insert(record.0.clone(), record));
                } else {
                    prop_assert_eq!(table.remove(&record.0), before.zip(model.remove(&record.0)));
                }
                if let Some(changed) = table.find("7").and_then(|slot| table.at_mut(slot)) {
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
