//! Numbered places for records. A number stands for its record where a key would be larger, and slower to compare.

/// Slots that come at once. None of them ever moves, so that nothing waits while a million records are copied.
const CHUNK: usize = 64;

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
    /// Each but the last has [`CHUNK`] slots.
    chunks: Vec<Vec<Option<T>>>,
    /// Slots that are empty.
    free: Vec<Slot>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Option<&T> {
        let (chunk, at) = slot.place();
        self.chunks.get(chunk)?.get(at)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        let (chunk, at) = slot.place();
        self.chunks.get_mut(chunk)?.get_mut(at)?.as_mut()
    }

    /// Puts `record` into an empty slot.
    pub(super) fn insert(&mut self, record: T) -> Slot {
        let freed = self.free.pop();
        if let Some(slot) = freed
            && let (chunk, at) = slot.place()
            && let Some(empty) = self.chunks.get_mut(chunk).and_then(|chunk| chunk.get_mut(at))
        {
            *empty = Some(record);
            return slot;
        }
        let chunk = self.chunks.pop_if(|last| last.len() < CHUNK);
        // The first one grows with what is held: many nodes hold little.
        let mut chunk = chunk.unwrap_or_else(|| Vec::with_capacity(if self.chunks.is_empty() { 0 } else { CHUNK }));
        chunk.push(Some(record));
        let number = self.chunks.len() * CHUNK + chunk.len() - 1;
        self.chunks.push(chunk);
        Slot(u32::try_from(number).expect("four billion records do not fit into memory"))
    }

    /// Takes a record out of its slot.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<T> {
        let (chunk, at) = slot.place();
        let record = self.chunks.get_mut(chunk)?.get_mut(at)?.take()?;
        self.free.push(slot);
        Some(record)
    }

    /// All records, in the order of their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten().flatten()
    }

    /// All records, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_record_stays_in_its_slot_and_empty_slots_are_filled_first(changes in prop::collection::vec(0usize..400, 0..600)) {
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
