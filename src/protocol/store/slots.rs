//! Numbered places for records. A number stands for its record where a key would be larger, and slower to compare.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Slots that come at once. Beyond the first so many no record moves, so that nothing waits while a million are copied.
const CHUNK: usize = 1_024;

/// Where a record is. It stays there as long as it is held; then another may take its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) u32);

impl Slot {
    /// The one with the least number.
    pub(super) const FIRST: Slot = Slot(0);

    fn place(self) -> (usize, usize) {
        (self.0 as usize / CHUNK, self.0 as usize % CHUNK)
    }
}

/// Records by their slots.
#[derive(Debug)]
pub(super) struct Slots<T> {
    /// Each but the last has [`CHUNK`] slots, and the last has a record.
    chunks: Vec<Chunk<T>>,
    /// Slots that were empty once. The first ones are filled first, so that the last chunks become empty.
    free: BinaryHeap<Reverse<Slot>>,
}

#[derive(Debug)]
struct Chunk<T> {
    slots: Vec<Option<T>>,
    /// How many of them have a record.
    held: usize,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: BinaryHeap::new() }
    }
}

impl<T> Slots<T> {
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Option<&T> {
        let (chunk, at) = slot.place();
        self.chunks.get(chunk)?.slots.get(at)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        let (chunk, at) = slot.place();
        self.chunks.get_mut(chunk)?.slots.get_mut(at)?.as_mut()
    }

    /// Puts `record` into an empty slot.
    pub(super) fn insert(&mut self, record: T) -> Slot {
        while let Some(Reverse(slot)) = self.free.pop() {
            let (chunk, at) = slot.place();
            if let Some(chunk) = self.chunks.get_mut(chunk)
                && let Some(empty) = chunk.slots.get_mut(at).filter(|slot| slot.is_none())
            {
                *empty = Some(record);
                chunk.held += 1;
                return slot;
            }
            // Its chunk was released.
        }
        let mut chunk = self.chunks.pop_if(|last| last.slots.len() < CHUNK).unwrap_or_else(|| {
            // The first one grows with what is held: many nodes hold little.
            let room = if self.chunks.is_empty() { 0 } else { CHUNK };
            Chunk { slots: Vec::with_capacity(room), held: 0 }
        });
        chunk.slots.push(Some(record));
        chunk.held += 1;
        let number = self.chunks.len() * CHUNK + chunk.slots.len() - 1;
        self.chunks.push(chunk);
        Slot(u32::try_from(number).expect("four billion records do not fit into memory"))
    }

    /// Takes a record out of its slot.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<T> {
        let (number, at) = slot.place();
        let chunk = self.chunks.get_mut(number)?;
        let record = chunk.slots.get_mut(at)?.take()?;
        chunk.held -= 1;
        self.free.push(Reverse(slot));
        while self.chunks.pop_if(|last| last.held == 0).is_some() {}
        if self.chunks.is_empty() {
            *self = Self::default();
        }
        Some(record)
    }

    /// All records, in the order of their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| &chunk.slots).flatten()
    }

    /// All records, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flat_map(|chunk| &mut chunk.slots).flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_filled_once_is_released_as_records_end() {
        let mut slots = Slots::default();
        let mut held: Vec<Slot> = (0..20 * CHUNK).map(|number| slots.insert(number)).collect();
        // One of a hundred stays, wherever it is.
        let ended: Vec<Slot> = held.extract_if(.., |slot| slot.0 % 100 != 7).collect();
        assert!(ended.into_iter().all(|slot| slots.remove(slot).is_some()));
        assert_eq!(slots.iter().count(), held.len());
        // Each ends in its turn, and another comes.
        for slot in &mut held {
            slots.remove(*slot).unwrap();
            *slot = slots.insert(0);
        }
        assert_eq!((slots.chunks.len(), slots.iter().count()), (1, held.len()));
        assert!(held.into_iter().all(|slot| slots.remove(slot).is_some()));
        assert_eq!((slots.chunks.len(), slots.free.len()), (0, 0));
    }

    proptest! {
        #[test]
        fn each_record_stays_in_its_slot_and_empty_slots_are_filled_first(changes in prop::collection::vec(0usize..3_000, 0..4_000)) {
            let (mut slots, mut model, mut most) = (Slots::default(), BTreeMap::<Slot, usize>::new(), 0);
            for (number, change) in changes.into_iter().enumerate() {
                // Of those that are held, or none.
                if let Some(slot) = model.keys().nth(change).copied() {
                    prop_assert_eq!(slots.remove(slot), model.remove(&slot));
                    prop_assert_eq!(slots.get(slot), None);
                    prop_assert_eq!(slots.remove(slot), None);
                } else {
                    prop_assert!(model.insert(slots.insert(number), number).is_none());
                    most = most.max(model.len());
                }
                if let Some((slot, held)) = model.iter_mut().nth(change / 2) {
                    *held += 1;
                    *slots.get_mut(*slot).unwrap() += 1;
                }
                prop_assert!(model.keys().all(|slot| (slot.0 as usize) < most));
                prop_assert!(model.iter().all(|(slot, number)| slots.get(*slot) == Some(number)));
            }
            slots.iter_mut().chain(model.values_mut()).for_each(|number| *number *= 2);
            prop_assert!(slots.iter().eq(model.values()));
        }
    }
}
