//! What waits for an address to prove itself: a bounded queue, of which a stranger's address fills only a small part.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Held;

/// Why an item is not held. Nothing was changed; the item is to be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HoldRefused {
    /// As many items wait as may in all. Normal in a flood of forged sources.
    #[error("too many answers and writes wait for a pong")]
    Full,
    /// As many items wait as may for one address.
    #[error("too many answers and writes wait for a pong from this address")]
    AddressFull,
}

#[derive(Debug)]
struct Waiting<T> {
    addr: SocketAddr,
    expires_at: Instant,
    item: T,
}

/// The items that wait, in the order of their coming, which is the order of their expiry.
///
/// Invariant: `by_address` holds exactly the sequence numbers in `queue`, ascending, and no empty list.
#[derive(Debug)]
pub(super) struct HeldItems<T> {
    limit: usize,
    limit_per_address: usize,
    hold_time: Duration,
    queue: BTreeMap<u64, Waiting<T>>,
    by_address: HashMap<SocketAddr, VecDeque<u64>>,
    sequence: u64,
}

impl<T> HeldItems<T> {
    pub(super) fn new(limit: usize, limit_per_address: usize, hold_time: Duration) -> Self {
        let (queue, by_address) = (BTreeMap::new(), HashMap::new());
        Self { limit, limit_per_address, hold_time, queue, by_address, sequence: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn most_at_one_address(&self) -> usize {
        self.by_address.values().map(VecDeque::len).max().unwrap_or(0)
    }

    pub(super) fn hold(&mut self, addr: SocketAddr, item: T, now: Instant) -> Result<Held, (T, HoldRefused)> {
        let waiting_there = self.by_address.get(&addr).map_or(0, VecDeque::len);
        if waiting_there >= self.limit_per_address {
            return Err((item, HoldRefused::AddressFull));
        }
        if self.queue.len() >= self.limit {
            return Err((item, HoldRefused::Full));
        }
        let sequence = self.sequence;
        self.sequence += 1;
        self.queue.insert(sequence, Waiting { addr, expires_at: now + self.hold_time, item });
        self.by_address.entry(addr).or_default().push_back(sequence);
        Ok(Held { ping: waiting_there == 0 })
    }

    pub(super) fn release(&mut self, addr: SocketAddr) -> Vec<T> {
        let sequences = self.by_address.remove(&addr).unwrap_or_default();
        sequences.iter().filter_map(|sequence| self.queue.remove(sequence)).map(|waiting| waiting.item).collect()
    }

    pub(super) fn expire(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.get().expires_at <= now) {
            let Waiting { addr, item, .. } = entry.remove();
            if let Some(sequences) = self.by_address.get_mut(&addr) {
                sequences.pop_front();
                if sequences.is_empty() {
                    self.by_address.remove(&addr);
                }
            }
            expired.push(item);
        }
        expired
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.queue.values().next().map(|waiting| waiting.expires_at)
    }

    #[cfg(test)]
    pub(super) fn addresses(&self) -> usize {
        self.by_address.len()
    }
}
