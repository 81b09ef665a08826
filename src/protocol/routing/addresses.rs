//! The addresses of the table: where the peer at an address is to be looked for. The entries have the addresses themselves; of each
//! this index holds a hash, and how many bits its id shares with ours, which decides its bucket.

use std::collections::hash_map::RandomState;
use std::net::SocketAddr;

use hashbrown::hash_table::HashTable;

use crate::protocol::half_hash::HalfHash;

/// The addresses of all live and waiting peers.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses {
    places: HashTable<Hashed>,
    /// Strangers choose the addresses, so their hashes must not be guessed.
    hasher: RandomState,
}

/// An address, as far as this index has it. Two addresses may well have the same hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hashed {
    hash: HalfHash,
    shared_bits: u8,
}

impl Addresses {
    /// The peer at `addr` has an id that shares so many bits with ours.
    pub(super) fn insert(&mut self, addr: &SocketAddr, shared_bits: u32) {
        let place = self.place(addr, shared_bits);
        self.places.insert_unique(place.hash.spread(), place, |other| other.hash.spread());
    }

    /// The peer at `addr`, of which [`Addresses::insert`] was told the same, is gone.
    pub(super) fn remove(&mut self, addr: &SocketAddr, shared_bits: u32) {
        let place = self.place(addr, shared_bits);
        if let Ok(entry) = self.places.find_entry(place.hash.spread(), |other| *other == place) {
            entry.remove();
        }
    }

    /// How many bits the id of the peer at `addr` may share with ours: each answer is to be verified.
    pub(super) fn shared_bits(&self, addr: &SocketAddr) -> impl Iterator<Item = u32> {
        let sought = self.place(addr, 0);
        let alike = self.places.iter_hash(sought.hash.spread()).filter(move |place| place.hash == sought.hash);
        alike.map(|place| place.shared_bits.into())
    }

    /// Forgets all addresses.
    pub(super) fn clear(&mut self) {
        self.places = HashTable::new();
    }

    fn place(&self, addr: &SocketAddr, shared_bits: u32) -> Hashed {
        let hash = HalfHash::of(addr, &self.hasher);
        Hashed { hash, shared_bits: u8::try_from(shared_bits).expect("an id has 160 bits") }
    }

    /// The number of addresses, and the bytes that they take.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.places.len(), self.places.allocation_size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_have_one_hash_do_not_take_each_others_place() {
        // Of so many some four pairs do.
        let addr = |number: u32| SocketAddr::from((number.to_be_bytes(), 7));
        let bits = |number: u32| number % 161;
        let mut addresses = Addresses::default();
        (0..200_000).for_each(|number| addresses.insert(&addr(number), bits(number)));
        let is_found =
            |addresses: &Addresses, number| addresses.shared_bits(&addr(number)).any(|at| at == bits(number));
        assert!((0..200_000).all(|number| is_found(&addresses, number)));
        (0..100_000).for_each(|number| addresses.remove(&addr(number), bits(number)));
        assert!((100_000..200_000).all(|number| is_found(&addresses, number)));
        assert_eq!(addresses.size().0, 100_000);
        // Hardly any other address is looked for in vain.
        assert!((0..100_000).filter(|number| addresses.shared_bits(&addr(*number)).next().is_some()).count() < 40);
    }
}
