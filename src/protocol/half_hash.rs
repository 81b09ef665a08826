//! Half of a hash: for tables of what lies elsewhere, which need not read that when they grow, and of which an entry is small.

use std::hash::{BuildHasher, Hash, Hasher};

/// 32 bits of a hash. Two values may well have the same ones: what is found by it is to be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HalfHash(u32);

impl HalfHash {
    /// That of `value`.
    pub(crate) fn of(value: &(impl Hash + ?Sized), hasher: &impl BuildHasher) -> Self {
        Self(hasher.hash_one(value) as u32)
    }

    /// That of these bytes, in a table of nothing else: the standard library adds another one to a text, so that it ends somewhere.
    pub(crate) fn of_bytes(bytes: &[u8], hasher: &impl BuildHasher) -> Self {
        let mut state = hasher.build_hasher();
        state.write(bytes);
        Self(state.finish() as u32)
    }

    /// What a table takes for a hash, of which it reads the bits at both ends.
    pub(crate) fn spread(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}
