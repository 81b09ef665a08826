//! Deferred queries: they wait for the end of others to the same address, which has been sent enough for one that never answered,
//! and may be about to answer for the first time. Nothing is sent here.

use std::collections::HashMap;
use std::net::SocketAddr;

/// Queries that wait, to all addresses together. A further one is not sent.
pub const MAX_DEFERRED: usize = 4_096;

/// What waits, by address, in the order of its coming.
#[derive(Debug)]
pub(super) struct Deferred<T> {
    waiting: HashMap<SocketAddr, Vec<T>>,
    len: usize,
}

impl<T> Default for Deferred<T> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), len: 0 }
    }
}

impl<T> Deferred<T> {
    /// Lets `query` wait for `addr`.
    ///
    /// # Errors
    /// The query, if too many wait.
    pub(super) fn defer(&mut self, addr: SocketAddr, query: T) -> Result<(), T> {
        if self.len >= MAX_DEFERRED {
            return Err(query);
        }
        self.len += 1;
        self.waiting.entry(addr).or_default().push(query);
        Ok(())
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What waited for `addr`.
    pub(super) fn release(&mut self, addr: &SocketAddr) -> Vec<T> {
        let released = self.waiting.remove(addr).unwrap_or_default();
        self.len -= released.len();
        released
    }

    /// All that waited.
    pub(super) fn release_all(&mut self) -> Vec<T> {
        self.len = 0;
        std::mem::take(&mut self.waiting).into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_for_its_own_address_and_there_is_a_bound() {
        let addr = |n: usize| SocketAddr::from(([10, 0, 0, n as u8], 7));
        let mut deferred = Deferred::default();
        for n in 0..MAX_DEFERRED {
            assert_eq!(deferred.defer(addr(n % 2), n), Ok(()));
        }
        assert_eq!(deferred.defer(addr(3), MAX_DEFERRED), Err(MAX_DEFERRED));
        assert_eq!((deferred.release(&addr(1)).len(), deferred.release(&addr(1)).len()), (MAX_DEFERRED / 2, 0));
        assert_eq!(deferred.defer(addr(3), MAX_DEFERRED), Ok(()));
        assert_eq!((deferred.release_all().len(), deferred.len), (MAX_DEFERRED / 2 + 1, 0));
    }
}
