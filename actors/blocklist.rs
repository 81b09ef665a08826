//! The blocklist: datagrams that made an actor panic are not handled again. Which actor it was does not matter: what a datagram
//! sets going carries its [`Origin`] from actor to actor, and an origin that a panic drops is blocked. Until an actor has
//! panicked nothing is hashed.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use hashlink::LinkedHashSet;

use super::counters::locked;

/// Datagrams that are blocked at once. Beyond it the oldest are forgotten, and may do their harm once more.
pub const MAX_BLOCKED: usize = 1_024;

/// The blocked datagrams, by hash. The hash has a key of its own, so that no stranger can make a datagram that is taken for
/// another.
#[derive(Default)]
pub(crate) struct Blocklist {
    /// Set with the first hash.
    key: OnceLock<RandomState>,
    /// Whether there are any: without, nothing is looked up.
    any: AtomicBool,
    /// The oldest first.
    hashes: Mutex<LinkedHashSet<u64>>,
}

impl Blocklist {
    /// The origin of all that `datagram` sets going; `None` if it is blocked.
    pub(crate) fn admit(self: &Arc<Self>, datagram: Vec<u8>) -> Option<Origin> {
        let blocked = self.any.load(Ordering::Relaxed) && {
            let hash = self.hash(&datagram);
            locked(&self.hashes).contains(&hash)
        };
        (!blocked).then(|| Origin(Some(Arc::new(Datagram { payload: datagram, blocklist: self.clone() }))))
    }

    /// How many are blocked.
    pub(crate) fn len(&self) -> usize {
        locked(&self.hashes).len()
    }

    fn block(&self, datagram: &[u8]) {
        let hash = self.hash(datagram);
        let mut hashes = locked(&self.hashes);
        // One that is blocked already stays where it is.
        hashes.replace(hash);
        if hashes.len() > MAX_BLOCKED {
            hashes.pop_front();
        }
        drop(hashes);
        self.any.store(true, Ordering::Relaxed);
    }

    fn hash(&self, datagram: &[u8]) -> u64 {
        self.key.get_or_init(RandomState::new).hash_one(datagram)
    }
}

/// The datagram that something came of, wherever that has got to. If a panic drops it, the datagram is blocked from then on. The
/// default is the origin of what no datagram set going.
#[derive(Clone, Default)]
pub struct Origin(Option<Arc<Datagram>>);

struct Datagram {
    payload: Vec<u8>,
    blocklist: Arc<Blocklist>,
}

/// The longest datagram that news of its sender carries along, in bytes. A mailbox of news holds 1,024 of them.
const LONGEST_OF_NEWS: usize = 2_048;

impl Origin {
    /// The origin of news that waits where many wait: a long datagram is not kept for that.
    pub(crate) fn of_news(&self) -> Self {
        if self.payload().len() <= LONGEST_OF_NEWS { self.clone() } else { Self::default() }
    }

    /// The bytes of the datagram.
    pub(crate) fn payload(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |datagram| &datagram.payload)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(datagram) = &self.0
            && thread::panicking()
        {
            datagram.blocklist.block(&datagram.payload);
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Origin").field(&self.payload().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// Handles `datagram`, and panics.
    fn fails_at(blocklist: &Arc<Blocklist>, datagram: &[u8]) {
        let origin = blocklist.admit(datagram.to_vec());
        let handled = catch_unwind(AssertUnwindSafe(|| {
            let _origin = origin;
            panic!("injected by a test");
        }));
        assert!(handled.is_err());
    }

    #[test]
    fn a_datagram_that_was_dropped_by_a_panic_is_not_admitted_again_and_any_other_is() {
        let blocklist = Arc::new(Blocklist::default());
        drop(blocklist.admit(b"harmless".to_vec()));
        fails_at(&blocklist, b"harmful");
        assert!(blocklist.admit(b"harmful".to_vec()).is_none());
        assert!(blocklist.admit(b"harmless".to_vec()).is_some() && blocklist.admit(b"".to_vec()).is_some());
    }

    #[test]
    fn nothing_is_hashed_until_an_actor_has_panicked() {
        let blocklist = Arc::new(Blocklist::default());
        assert!((0..100).all(|n| blocklist.admit(vec![n]).is_some()));
        assert!(blocklist.key.get().is_none());
        fails_at(&blocklist, b"harmful");
        assert!(blocklist.key.get().is_some() && blocklist.admit(b"harmful".to_vec()).is_none());
    }

    #[test]
    fn of_more_than_1024_the_oldest_are_forgotten() {
        let blocklist = Arc::new(Blocklist::default());
        let datagrams: Vec<[u8; 4]> = (0..MAX_BLOCKED as u32 + 10).map(u32::to_be_bytes).collect();
        for datagram in &datagrams {
            blocklist.block(datagram);
            blocklist.block(datagram);
        }
        let known = |datagram: &[u8; 4]| blocklist.admit(datagram.to_vec()).is_none();
        assert!(!datagrams[..10].iter().any(known) && datagrams[10..].iter().all(known));
        assert_eq!(blocklist.len(), MAX_BLOCKED);
    }

    #[test]
    fn no_two_nodes_have_the_same_hash_of_a_datagram() {
        assert_ne!(Blocklist::default().hash(b"x"), Blocklist::default().hash(b"x"));
    }
}
