//! What waits for an address to prove itself: a bounded queue, of which a stranger's address fills only a small part.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

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

/// An item waits for its address to prove itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what waits for an address waits for a pong that only a ping brings"]
pub struct Held {
    /// Whether the address is to be pinged now: nothing waited for it, or what did could not pay for a ping. All others
    /// wait for the same pong, and for a second ping after half of the hold time ([`Admission::ping_again`](super::Admission::ping_again)).
    pub ping: bool,
}

#[derive(Debug)]
struct HeldItem<T> {
    addr: SocketAddr,
    expires_at: Instant,
    item: T,
}

/// What waits for one address, and what its requests have paid for.
#[derive(Debug, Default)]
struct Account {
    /// The sequence numbers of its items, ascending.
    sequences: VecDeque<u64>,
    /// Bytes that may still be sent to it for these requests: our pings.
    credit: usize,
    /// When it is pinged again; `None` while its credit has not sufficed for a ping.
    ping_at: Option<Instant>,
}

/// The items that wait, in the order of their coming, which is the order of their expiry.
///
/// Invariant: `by_address` holds exactly the sequence numbers in `queue`, and no account without any; `pings` holds exactly
/// the accounts with a `ping_at`.
#[derive(Debug)]
pub(super) struct HeldItems<T> {
    limit: usize,
    limit_per_address: usize,
    hold_time: Duration,
    ping_len: usize,
    queue: BTreeMap<u64, HeldItem<T>>,
    by_address: HashMap<SocketAddr, Account>,
    pings: BTreeSet<(Instant, SocketAddr)>,
    sequence: u64,
}

impl<T> HeldItems<T> {
    /// Nothing waits. `ping_len` is what a ping takes out of an address's credit.
    pub(super) fn new(limit: usize, limit_per_address: usize, hold_time: Duration, ping_len: usize) -> Self {
        let (queue, by_address, pings) = (BTreeMap::new(), HashMap::new(), BTreeSet::new());
        Self { limit, limit_per_address, hold_time, ping_len, queue, by_address, pings, sequence: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn most_at_one_address(&self) -> usize {
        self.by_address.values().map(|account| account.sequences.len()).max().unwrap_or(0)
    }

    /// Holds an item whose request bears `credit` bytes of pings.
    pub(super) fn hold(
        &mut self,
        addr: SocketAddr,
        item: T,
        credit: usize,
        now: Instant,
    ) -> Result<Held, (T, HoldRefused)> {
        let waiting_there = self.by_address.get(&addr).map_or(0, |account| account.sequences.len());
        if waiting_there >= self.limit_per_address {
            return Err((item, HoldRefused::AddressFull));
        }
        if self.queue.len() >= self.limit {
            return Err((item, HoldRefused::Full));
        }
        let sequence = self.sequence;
        self.sequence += 1;
        self.queue.insert(sequence, HeldItem { addr, expires_at: now + self.hold_time, item });
        let account = self.by_address.entry(addr).or_default();
        account.sequences.push_back(sequence);
        account.credit = account.credit.saturating_add(credit);
        let ping = account.ping_at.is_none() && self.pay_ping(addr, now);
        Ok(Held { ping })
    }

    /// The addresses to be pinged again now: nothing has come back for half of the hold time, and something still waits.
    pub(super) fn ping_again(&mut self, now: Instant) -> Vec<SocketAddr> {
        let mut again = Vec::new();
        while let Some((_, addr)) = self.pings.first().copied().filter(|(at, _)| *at <= now) {
            self.pings.pop_first();
            if let Some(account) = self.by_address.get_mut(&addr) {
                account.ping_at = None;
            }
            if self.pay_ping(addr, now) {
                again.push(addr);
            }
        }
        again
    }

    /// Takes a ping out of the credit of `addr`, if that bears one, and says when the next one is due.
    fn pay_ping(&mut self, addr: SocketAddr, now: Instant) -> bool {
        let Some(account) = self.by_address.get_mut(&addr) else { return false };
        let Some(rest) = account.credit.checked_sub(self.ping_len) else { return false };
        account.credit = rest;
        let at = now + self.hold_time / 2;
        account.ping_at = Some(at);
        self.pings.insert((at, addr));
        true
    }

    /// What pings have left of the credit of `addr`, for each of the items that wait for it.
    pub(super) fn share(&self, addr: SocketAddr) -> usize {
        self.by_address.get(&addr).map_or(0, |account| account.credit / account.sequences.len().max(1))
    }

    pub(super) fn release(&mut self, addr: SocketAddr) -> Vec<T> {
        let account = self.forget(addr);
        account
            .sequences
            .iter()
            .filter_map(|sequence| self.queue.remove(sequence))
            .map(|waiting| waiting.item)
            .collect()
    }

    pub(super) fn expire(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.get().expires_at <= now) {
            let HeldItem { addr, item, .. } = entry.remove();
            if let Some(account) = self.by_address.get_mut(&addr) {
                account.sequences.pop_front();
                if account.sequences.is_empty() {
                    self.forget(addr);
                }
            }
            expired.push(item);
        }
        expired
    }

    fn forget(&mut self, addr: SocketAddr) -> Account {
        let account = self.by_address.remove(&addr).unwrap_or_default();
        if let Some(at) = account.ping_at {
            self.pings.remove(&(at, addr));
        }
        account
    }

    /// When the next item is given up, or the next address pinged again.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        let expiry = self.queue.values().next().map(|waiting| waiting.expires_at);
        let ping = self.pings.first().map(|(at, _)| *at);
        expiry.into_iter().chain(ping).min()
    }

    #[cfg(test)]
    pub(super) fn addresses(&self) -> usize {
        self.by_address.len()
    }
}
