//! How much each peer may have read: to answer costs a hash for each copy in the ranges that it asks about.

use std::time::{Duration, Instant};

use super::answering::MAX_READ;
use crate::protocol::id::NodeId;
use crate::protocol::lru::Lru;

/// Peers that are remembered. Beyond it the one that asked longest ago is forgotten, and may have as much read again.
const MAX_PEERS: usize = 256;
/// What a peer may have read in an interval, in multiples of all that is held.
const SHARE: usize = 4;

/// What was read for each peer in the current interval.
#[derive(Debug)]
pub struct Allowances {
    interval: Duration,
    read: Lru<NodeId, Read>,
}

#[derive(Debug, Clone, Copy)]
struct Read {
    since: Instant,
    copies: usize,
}

impl Allowances {
    /// Nothing was read yet, at a node that exchanges once in this `interval` with each peer.
    pub fn new(interval: Duration) -> Self {
        Self { interval, read: Lru::new(MAX_PEERS) }
    }

    /// Returns whether copies may be read for `peer`, of `held` in all.
    pub fn may_read(&mut self, peer: &NodeId, held: usize, now: Instant) -> bool {
        self.current(peer, now).copies < SHARE * held + MAX_READ
    }

    /// So many copies were read for `peer`.
    pub fn was_read(&mut self, peer: &NodeId, copies: usize, now: Instant) {
        let read = self.current(peer, now);
        self.read.insert(peer, Read { copies: read.copies + copies, ..read });
    }

    fn current(&mut self, peer: &NodeId, now: Instant) -> Read {
        let read = self.read.get(peer).filter(|read| now.saturating_duration_since(read.since) < self.interval);
        read.copied().unwrap_or(Read { since: now, copies: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_four_times_what_is_held_read_in_an_interval_and_no_more() {
        let (interval, start) = (Duration::from_secs(60), Instant::now());
        let mut allowances = Allowances::new(interval);
        let [a, b] = ["a", "b"].map(NodeId::of_key);
        let mut read = 0;
        while allowances.may_read(&a, 100_000, start) {
            allowances.was_read(&a, 10_000, start);
            read += 10_000;
        }
        assert_eq!(read, 420_000);
        assert!(allowances.may_read(&b, 0, start) && allowances.may_read(&a, 100_000, start + interval));
    }

    #[test]
    fn a_bounded_number_of_peers_is_remembered() {
        let (mut allowances, now) = (Allowances::new(Duration::from_secs(60)), Instant::now());
        for number in 0..1_000 {
            allowances.was_read(&NodeId::of_key(&number.to_string()), usize::MAX / 2, now);
        }
        assert_eq!(allowances.read.len(), MAX_PEERS);
    }
}
