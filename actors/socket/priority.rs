//! The priority path: datagrams from addresses that were asked may be answers, and pass the slots and the rates. Each query lets
//! a few pass, so an address that was asked cannot flood.

use std::collections::HashMap;
use std::net::SocketAddr;

#[derive(Debug, Default)]
pub(super) struct PriorityPath {
    expected: HashMap<SocketAddr, Expected>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Expected {
    /// Queries in flight to the address.
    queries: u32,
    /// Datagrams that may still pass.
    passes: u32,
}

/// Datagrams that one query lets pass: its answer, and queries that the peer happens to send first.
const PASSES_PER_QUERY: u32 = 4;

/// Addresses for which room stays while none is asked. For one more a hash table would take twice as much.
const SMALL: usize = 3;

impl PriorityPath {
    /// A query goes to `addr`.
    pub(super) fn expect(&mut self, addr: SocketAddr) {
        let expected = self.expected.entry(addr).or_default();
        expected.queries += 1;
        expected.passes = expected.passes.saturating_add(PASSES_PER_QUERY);
    }

    /// A query to `addr` is over.
    pub(super) fn over(&mut self, addr: &SocketAddr) {
        if let Some(expected) = self.expected.get_mut(addr) {
            expected.queries = expected.queries.saturating_sub(1);
            expected.passes = expected.passes.min(expected.queries * PASSES_PER_QUERY);
            if expected.queries == 0 {
                self.expected.remove(addr);
                if self.expected.is_empty() {
                    self.expected.shrink_to(SMALL);
                }
            }
        }
    }

    /// Whether a datagram from `addr` may pass; it takes the pass.
    pub(super) fn take(&mut self, addr: &SocketAddr) -> bool {
        match self.expected.get_mut(addr) {
            Some(expected) if expected.passes > 0 => {
                expected.passes -= 1;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_passes_while_it_is_asked_and_only_so_often() {
        let addr: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let mut path = PriorityPath::default();
        assert!(!path.take(&addr));
        path.expect(addr);
        assert!((0..PASSES_PER_QUERY).all(|_| path.take(&addr)) && !path.take(&addr));
        path.expect(addr);
        path.over(&addr);
        assert!(path.take(&addr), "one query is still in flight");
        path.over(&addr);
        assert!(!path.take(&addr));
        assert!(path.expected.is_empty());
    }
}
