//! An ordered set whose entries lie side by side in chunks. To find a place takes two binary searches, which read little memory, and an
//! entry takes hardly more than its size. A tree of the standard library compares three times as much and takes twice the memory.

/// Entries of a chunk at most: so many are moved where one is inserted. Beside a million entries there are some 5,000 chunks, which are
/// moved once in a hundred insertions.
const CHUNK: usize = if cfg!(test) { 8 } else { 256 };

/// Entries in their order, each once.
#[derive(Debug, Clone)]
pub(super) struct Sorted<T> {
    /// None is empty, and all entries of one come before those of the next.
    chunks: Vec<Vec<T>>,
    /// The first entry of each chunk: to find a chunk, none of the others is read.
    firsts: Vec<T>,
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), firsts: Vec::new() }
    }
}

impl<T: Ord + Clone> Sorted<T> {
    /// Whether it was not in the set before.
    pub(super) fn insert(&mut self, entry: T) -> bool {
        let at = self.chunk_of(&entry);
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.add_chunk(at, vec![entry]);
            return true;
        };
        let place = chunk.partition_point(|held| *held < entry);
        if chunk.get(place) == Some(&entry) {
            return false;
        }
        if chunk.len() < CHUNK {
            if place == 0 {
                self.firsts[at] = entry.clone();
            }
            chunk.insert(place, entry);
        } else if place == CHUNK {
            // It is less than all of the next chunk. Where each comes after the one before, full chunks are left behind.
            match self.chunks.get_mut(at + 1).filter(|next| next.len() < CHUNK) {
                Some(next) => {
                    next.insert(0, entry.clone());
                    self.firsts[at + 1] = entry;
                }
                None => self.add_chunk(at + 1, vec![entry]),
            }
        } else {
            let second = chunk.split_off(CHUNK / 2);
            self.add_chunk(at + 1, second);
            return self.insert(entry);
        }
        true
    }

    /// Whether it was in the set.
    pub(super) fn remove(&mut self, entry: &T) -> bool {
        let at = self.chunk_of(entry);
        let Some(chunk) = self.chunks.get_mut(at) else { return false };
        let place = chunk.partition_point(|held| held < entry);
        if chunk.get(place) != Some(entry) {
            return false;
        }
        chunk.remove(place);
        if chunk.len() <= chunk.capacity() / 4 {
            chunk.shrink_to(chunk.capacity() / 2);
        }
        match chunk.first() {
            None => self.remove_chunk(at),
            Some(first) if place == 0 => self.firsts[at] = first.clone(),
            Some(_) => {}
        }
        self.join(at);
        true
    }

    /// The least entry.
    pub(super) fn first(&self) -> Option<&T> {
        self.firsts.first()
    }

    /// The greatest entry.
    pub(super) fn last(&self) -> Option<&T> {
        self.chunks.last().and_then(|chunk| chunk.last())
    }

    /// All entries, the least first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Those that are not less than this one.
    pub(super) fn from<'a>(&'a self, least: &T) -> impl Iterator<Item = &'a T> + use<'a, T> {
        let at = self.chunk_of(least);
        let less = self.chunks.get(at).map_or(0, |chunk| chunk.partition_point(|entry| entry < least));
        self.chunks.get(at..).unwrap_or_default().iter().flatten().skip(less)
    }

    /// The chunk where an entry is, or belongs: the first one for what is less than all.
    fn chunk_of(&self, entry: &T) -> usize {
        self.firsts.partition_point(|first| first <= entry).saturating_sub(1)
    }

    fn add_chunk(&mut self, at: usize, chunk: Vec<T>) {
        if let Some(first) = chunk.first() {
            self.firsts.insert(at, first.clone());
            self.chunks.insert(at, chunk);
        }
    }

    fn remove_chunk(&mut self, at: usize) {
        self.firsts.remove(at);
        self.chunks.remove(at);
        if self.chunks.is_empty() {
            *self = Self::default();
        }
    }

    /// Joins the chunk with a neighbour if it is a quarter full at most, and both leave some room in one.
    fn join(&mut self, at: usize) {
        let len = |at: usize| self.chunks.get(at).map(Vec::len);
        let Some(few) = len(at).filter(|few| *few <= CHUNK / 4) else { return };
        let fits = |other: &usize| len(*other).is_some_and(|others| few + others <= CHUNK * 3 / 4);
        let Some(other) = [at + 1, at.wrapping_sub(1)].into_iter().find(fits) else { return };
        let (first, second) = (at.min(other), at.max(other));
        let moved = std::mem::take(&mut self.chunks[second]);
        self.chunks[first].extend(moved);
        self.remove_chunk(second);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    impl Sorted<u16> {
        fn check(&self) {
            assert!(self.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len())));
            assert!(self.chunks.iter().map(|chunk| &chunk[0]).eq(&self.firsts));
        }
    }

    #[test]
    fn entries_in_their_order_fill_chunks_and_what_is_removed_is_given_back() {
        let mut sorted = Sorted::default();
        (0..1_000u16).for_each(|entry| assert!(sorted.insert(entry)));
        assert_eq!(sorted.chunks.len(), 1_000 / CHUNK);
        for entry in (0..1_000u16).filter(|entry| entry % 50 != 7) {
            assert!(sorted.remove(&entry));
        }
        assert!(sorted.chunks.len() <= 20);
        let capacity: usize = sorted.chunks.iter().map(Vec::capacity).sum();
        assert!(sorted.iter().count() == 20 && capacity <= 80, "{capacity}");
        (0..1_000).filter(|entry| entry % 50 == 7).for_each(|entry| assert!(sorted.remove(&entry)));
        assert_eq!((sorted.chunks.capacity(), sorted.firsts.capacity()), (0, 0));
    }

    #[test]
    fn entries_against_their_order_fill_chunks_behind_a_full_one_too() {
        for ascending in [0, CHUNK as u16 - 1, CHUNK as u16, CHUNK as u16 + 1] {
            let mut sorted = Sorted::default();
            (0..ascending).chain((1_000..2_000).rev()).for_each(|entry| assert!(sorted.insert(entry)));
            sorted.check();
            assert!(sorted.chunks.len() <= 3 * 1_000 / CHUNK, "{}", sorted.chunks.len());
        }
    }

    proptest! {
        #[test]
        fn it_has_what_an_ordered_set_would(
            changes in prop::collection::vec((0u16..200, 0u8..10), 0..600), growing in 3u8..8, from in 0u16..210,
        ) {
            let (mut sorted, mut model) = (Sorted::default(), BTreeSet::new());
            for (number, (entry, action)) in changes.into_iter().enumerate() {
                // First it grows, then it shrinks.
                if action < if number < 300 { growing } else { 2 } {
                    prop_assert_eq!(sorted.insert(entry), model.insert(entry));
                } else {
                    prop_assert_eq!(sorted.remove(&entry), model.remove(&entry));
                }
                prop_assert!(sorted.iter().eq(&model));
                prop_assert_eq!((sorted.first(), sorted.last()), (model.first(), model.last()));
                prop_assert!(sorted.from(&from).eq(model.range(from..)));
                sorted.check();
            }
            prop_assert!(sorted.iter().rev().eq(model.iter().rev()));
        }
    }
}
