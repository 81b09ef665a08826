//! Datagrams that made an actor panic: remembered by hash, so that none does it twice. Whose actor it was does not matter:
//! what a datagram sets going carries its [`Origin`] from room to room, and an origin that a panic drops is poison.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Datagrams remembered. Beyond it the oldest are forgotten, and may do their harm once more.
pub const REMEMBERED: usize = 1_024;

/// What is remembered of them. Its hash has a key of its own, so nobody can make a datagram that is taken for another.
#[derive(Default)]
pub(crate) struct Poisons {
    key: RandomState,
    /// Whether there are any: without, nothing is looked up.
    any: AtomicBool,
    known: Mutex<Known>,
}

/// Invariant: both hold the same.
#[derive(Debug, Default)]
struct Known {
    hashes: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Poisons {
    /// The origin of whatever `datagram` sets going; `None` if it made an actor panic before.
    pub(crate) fn admit(self: &Arc<Self>, datagram: &[u8]) -> Option<Origin> {
        let hash = self.key.hash_one(datagram);
        let known = self.any.load(Ordering::Relaxed) && self.with(|known| known.hashes.contains(&hash));
        (!known).then(|| Origin(Some(Datagram { hash, poisons: self.clone() })))
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.with(|known| known.order.len().max(known.hashes.len()))
    }

    fn remember(&self, hash: u64) {
        self.with(|known| {
            if !known.hashes.insert(hash) {
                return;
            }
            known.order.push_back(hash);
            if known.order.len() > REMEMBERED
                && let Some(oldest) = known.order.pop_front()
            {
                known.hashes.remove(&oldest);
            }
        });
        self.any.store(true, Ordering::Relaxed);
    }

    fn with<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The datagram that something came of, wherever that has got to. Dropped by a panic it has the datagram remembered; dropped
/// otherwise it does nothing. That of no datagram is the default.
#[derive(Clone, Default)]
pub struct Origin(Option<Datagram>);

#[derive(Clone)]
struct Datagram {
    hash: u64,
    poisons: Arc<Poisons>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(Datagram { hash, poisons }) = &self.0
            && thread::panicking()
        {
            poisons.remember(*hash);
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Origin").field(&self.0.as_ref().map(|datagram| datagram.hash)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// Handles `datagram`, and panics.
    fn fails_at(poisons: &Arc<Poisons>, datagram: &[u8]) {
        let origin = poisons.admit(datagram);
        let handled = catch_unwind(AssertUnwindSafe(|| {
            let _origin = origin;
            panic!("injected by a test");
        }));
        assert!(handled.is_err());
    }

    #[test]
    fn a_datagram_that_was_dropped_by_a_panic_is_not_admitted_again_and_any_other_is() {
        let poisons = Arc::new(Poisons::default());
        drop(poisons.admit(b"harmless"));
        fails_at(&poisons, b"harmful");
        assert!(poisons.admit(b"harmful").is_none());
        assert!(poisons.admit(b"harmless").is_some() && poisons.admit(b"").is_some());
    }

    #[test]
    fn of_more_than_1024_the_oldest_are_forgotten() {
        let poisons = Arc::new(Poisons::default());
        let datagrams: Vec<[u8; 4]> = (0..REMEMBERED as u32 + 10).map(u32::to_be_bytes).collect();
        for datagram in &datagrams {
            poisons.remember(poisons.key.hash_one(datagram.as_slice()));
            poisons.remember(poisons.key.hash_one(datagram.as_slice()));
        }
        let known = |datagram: &[u8; 4]| poisons.admit(datagram).is_none();
        assert!(!datagrams[..10].iter().any(known) && datagrams[10..].iter().all(known));
        poisons.with(|known| assert_eq!((known.hashes.len(), known.order.len()), (REMEMBERED, REMEMBERED)));
    }

    #[test]
    fn no_two_nodes_have_the_same_hash_of_a_datagram() {
        assert_ne!(Poisons::default().key.hash_one(b"x"), Poisons::default().key.hash_one(b"x"));
    }
}
