//! Prefixes: sets of ids that begin with the same bits, such as those that one bucket covers.

use std::fmt;

use super::entropy::Entropy;
use super::id::{Distance, NODE_ID_BITS, NODE_ID_BYTES, NodeId};

/// The set of ids that share the first `len` bits of `bits`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// All bits from `len` on are zero, so that equal prefixes are equal values.
    bits: NodeId,
    len: u32,
}

impl Prefix {
    /// Every id.
    pub const ALL: Prefix = Prefix { bits: NodeId::ZERO, len: 0 };

    /// The first `len` bits of `id`; `len` above 160 means 160.
    pub fn of(id: &NodeId, len: u32) -> Self {
        let len = len.min(NODE_ID_BITS);
        let mut bytes = *id.as_bytes();
        for (at, byte) in bytes.iter_mut().enumerate() {
            let fixed = len.saturating_sub(8 * at as u32).min(8);
            *byte &= (0xff00u16 >> fixed) as u8;
        }
        Self { bits: NodeId::from_bytes(bytes), len }
    }

    /// The number of fixed bits (0..=160).
    pub fn fixed_bits(&self) -> u32 {
        self.len
    }

    /// The least id with these bits.
    pub fn first(&self) -> NodeId {
        self.bits
    }

    /// Returns whether every id is covered: no bit is fixed.
    pub fn covers_all(&self) -> bool {
        self.len == 0
    }

    /// Returns whether `id` begins with these bits.
    pub fn covers(&self, id: &NodeId) -> bool {
        self.bits.common_prefix(id) >= self.len
    }

    /// The two halves, the next bit 0 first. `None` for a single id.
    pub fn split(&self) -> Option<(Prefix, Prefix)> {
        (self.len < NODE_ID_BITS).then(|| {
            let len = self.len + 1;
            (Prefix { bits: self.bits, len }, Prefix { bits: self.bits.with_bit(self.len, true), len })
        })
    }

    /// The sixteenths, by the next four bits. `None` where fewer are free.
    pub fn sixteenths(&self) -> Option<[Prefix; 16]> {
        let len = self.len + 4;
        let part = |number: usize| {
            let set = |id: NodeId, bit: u32| id.with_bit(self.len + bit, number & (8 >> bit) != 0);
            Prefix { bits: (0..4).fold(self.bits, set), len }
        };
        (len <= NODE_ID_BITS).then(|| std::array::from_fn(part))
    }

    /// The least and the greatest distance from `id` of an id under this prefix: those under it, and no others, are between them.
    pub(crate) fn distances_from(&self, id: &NodeId) -> (Distance, Distance) {
        let least = *Prefix::of(&self.bits.xor(id), self.len).bits.as_bytes();
        let free = *Prefix::of(&NodeId::from_bytes([0xff; NODE_ID_BYTES]), self.len).bits.as_bytes();
        let greatest = std::array::from_fn(|at| least[at] | !free[at]);
        let distance = |bytes| NodeId::ZERO.distance(&NodeId::from_bytes(bytes));
        (distance(least), distance(greatest))
    }

    /// A random id under this prefix: the target of a bucket refresh (Kademlia paper, section 2.3).
    pub fn random_id(&self, entropy: &mut dyn Entropy) -> NodeId {
        let mut random = [0; 20];
        entropy.fill(&mut random);
        let random = NodeId::from_bytes(random);
        let head = Prefix::of(&random, self.len).bits;
        // Clears the head of the random id and sets the fixed bits in its place.
        random.xor(&head).xor(&self.bits)
    }
}

/// Adds `prefix` to a list. Where it and the last one are the two halves of a prefix, that one takes their place, and so on.
pub(crate) fn merge_last(prefixes: &mut Vec<Prefix>, mut prefix: Prefix) {
    while let Some(parent) = prefixes.last().and_then(|last| parent(last, &prefix)) {
        prefixes.pop();
        prefix = parent;
    }
    prefixes.push(prefix);
}

/// The prefix of which these are the two halves.
fn parent(a: &Prefix, b: &Prefix) -> Option<Prefix> {
    let (bits, differ) = (a.len, a.bits.common_prefix(&b.bits));
    (b.len == bits && differ + 1 == bits).then(|| Prefix::of(&a.bits, differ))
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for index in 0..self.len {
            f.write_str(if self.bits.bit(index) { "1" } else { "0" })?;
        }
        f.write_str("*")
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::entropy::SeededEntropy;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_random_id_lies_under_its_prefix(bytes: [u8; 20], len in 0u32..=160, seed: u64) {
            let prefix = Prefix::of(&NodeId::from_bytes(bytes), len);
            let id = prefix.random_id(&mut SeededEntropy::new(seed));
            prop_assert!(prefix.covers(&id));
            prop_assert!(prefix.covers(&NodeId::from_bytes(bytes)));
        }

        #[test]
        fn each_id_lies_in_exactly_one_half(bytes: [u8; 20], len in 0u32..160, seed: u64) {
            let prefix = Prefix::of(&NodeId::from_bytes(bytes), len);
            let id = prefix.random_id(&mut SeededEntropy::new(seed));
            let (zero, one) = prefix.split().unwrap();
            prop_assert_ne!(zero.covers(&id), one.covers(&id));
        }
    }

    proptest! {
        #[test]
        fn the_ids_under_a_prefix_are_those_between_two_distances(bits: [u8; 20], len in 0u32..=160, own: [u8; 20], id: [u8; 20]) {
            let (own, id) = (NodeId::from_bytes(own), NodeId::from_bytes(id));
            let prefix = Prefix::of(&NodeId::from_bytes(bits), len);
            for id in [id, Prefix::of(&prefix.bits, 160).bits, prefix.random_id(&mut SeededEntropy::new(1))] {
                let (least, greatest) = prefix.distances_from(&own);
                prop_assert_eq!((least..=greatest).contains(&own.distance(&id)), prefix.covers(&id));
            }
        }

        #[test]
        fn each_id_under_a_prefix_is_in_exactly_one_of_its_sixteenths(bits: [u8; 20], len in 0u32..=156, seed: u64) {
            let prefix = Prefix::of(&NodeId::from_bytes(bits), len);
            let id = prefix.random_id(&mut SeededEntropy::new(seed));
            let parts = prefix.sixteenths().unwrap();
            prop_assert!(parts.iter().all(|part| part.fixed_bits() == len + 4 && prefix.covers(&part.first())));
            prop_assert_eq!(parts.iter().filter(|part| part.covers(&id)).count(), 1);
            prop_assert!(parts.is_sorted_by_key(Prefix::first));
        }
    }

    #[test]
    fn a_single_id_cannot_be_split() {
        assert!(Prefix::of(&NodeId::of_key("x"), 160).split().is_none());
    }

    #[test]
    fn only_the_prefix_without_fixed_bits_covers_all_ids() {
        assert!(Prefix::ALL.covers_all() && Prefix::ALL.fixed_bits() == 0);
        let (zero, one) = Prefix::ALL.split().unwrap();
        assert!(!zero.covers_all() && !one.covers_all());
    }

    #[test]
    fn it_prints_its_bits() {
        assert_eq!(Prefix::of(&NodeId::from_bytes([0b1010_0000; 20]), 4).to_string(), "1010*");
        assert_eq!(Prefix::ALL.to_string(), "*");
    }
}
