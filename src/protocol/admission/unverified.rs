//! Items that await the verification of an address: a bounded queue, of which a stranger's address fills only a small part.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Reasons for which an item is not queued. Nothing was changed; the item is to be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnverifiedRefusal {
    /// The queue is full. Normal in a flood of forged sources.
    #[error("too many answers and writes wait for a pong")]
    Full,
    /// The part of the queue that one address may fill is full.
    #[error("too many answers and writes wait for a pong from this address")]
    AddressFull,
}

/// An item was queued until its address is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an item awaits a pong, which only a ping brings"]
pub struct AwaitingVerification {
    /// Whether the address is to be pinged now: no item waited for it before, or those that did could not pay for a ping. All
    /// others wait for the same pong, and for a second ping after half of their time
    /// ([`Admission::ping_again`](super::Admission::ping_again)).
    pub ping: bool,
}

/// The place of an item in the queue: its expiry, and a number that grows with each.
type Place = (Instant, u64);

/// The items that wait for one address, and the bytes that their requests pay for.
#[derive(Debug, Default)]
struct Account {
    /// The places of its items, ascending.
    places: VecDeque<Place>,
    /// Bytes that may still be sent to it for these requests: our pings.
    credit: usize,
    /// The time of the next ping; `None` while the credit does not suffice for one.
    ping_at: Option<Instant>,
}

/// The items that wait, in the order of arrival, which is the order of expiry.
///
/// Invariant: `by_address` holds exactly the places in `queue`, and no account without any; `pings` holds exactly
/// the accounts with a `ping_at`.
#[derive(Debug)]
pub(super) struct UnverifiedItems<T> {
    limit: usize,
    limit_per_address: usize,
    verification_time: Duration,
    ping_len: usize,
    queue: BTreeMap<Place, (SocketAddr, T)>,
    by_address: HashMap<SocketAddr, Account>,
    pings: BTreeSet<(Instant, SocketAddr)>,
    sequence: u64,
}

impl<T> UnverifiedItems<T> {
    /// An empty queue. `ping_len` is the number of bytes that a ping takes out of an address's credit.
    pub(super) fn new(limit: usize, limit_per_address: usize, verification_time: Duration, ping_len: usize) -> Self {
        let (queue, by_address, pings) = (BTreeMap::new(), HashMap::new(), BTreeSet::new());
        Self { limit, limit_per_address, verification_time, ping_len, queue, by_address, pings, sequence: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn most_at_one_address(&self) -> usize {
        self.by_address.values().map(|account| account.places.len()).max().unwrap_or(0)
    }

    /// Queues an item whose request pays for `credit` bytes of pings.
    pub(super) fn insert(
        &mut self,
        addr: SocketAddr,
        item: T,
        credit: usize,
        now: Instant,
    ) -> Result<AwaitingVerification, (T, UnverifiedRefusal)> {
        let waiting_there = self.by_address.get(&addr).map_or(0, |account| account.places.len());
        if waiting_there >= self.limit_per_address {
            return Err((item, UnverifiedRefusal::AddressFull));
        }
        if self.queue.len() >= self.limit {
            return Err((item, UnverifiedRefusal::Full));
        }
        let place = (now + self.verification_time, self.sequence);
        self.sequence += 1;
        self.queue.insert(place, (addr, item));
        let account = self.by_address.entry(addr).or_default();
        account.places.push_back(place);
        account.credit = account.credit.saturating_add(credit);
        let ping = account.ping_at.is_none() && self.pay_ping(addr, now);
        Ok(AwaitingVerification { ping })
    }

    /// The addresses to be pinged again now: those without a pong for half of the time that items wait.
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

    /// Takes a ping out of the credit of `addr`, and schedules the next one. Returns whether the credit suffices.
    fn pay_ping(&mut self, addr: SocketAddr, now: Instant) -> bool {
        let Some(account) = self.by_address.get_mut(&addr) else { return false };
        let Some(rest) = account.credit.checked_sub(self.ping_len) else { return false };
        account.credit = rest;
        let at = now + self.verification_time / 2;
        account.ping_at = Some(at);
        self.pings.insert((at, addr));
        true
    }

    /// The share of each item that waits for `addr` in the credit that pings have left.
    pub(super) fn share(&self, addr: SocketAddr) -> usize {
        self.by_address.get(&addr).map_or(0, |account| account.credit / account.places.len().max(1))
    }

    /// Removes the items that wait for `addr`, and returns them in the order of arrival.
    pub(super) fn release(&mut self, addr: SocketAddr) -> Vec<T> {
        let places = self.forget(addr).places;
        places.iter().filter_map(|place| self.queue.remove(place)).map(|(_, item)| item).collect()
    }

    /// Removes the items whose time is over, and returns them, the oldest first.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= now) {
            let (addr, item) = entry.remove();
            if let Some(account) = self.by_address.get_mut(&addr) {
                account.places.pop_front();
                if account.places.is_empty() {
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

    /// The time at which the next item expires, or the next address is to be pinged again.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        let expiry = self.queue.keys().next().map(|(at, _)| *at);
        let ping = self.pings.first().map(|(at, _)| *at);
        expiry.into_iter().chain(ping).min()
    }

    #[cfg(test)]
    pub(super) fn addresses(&self) -> usize {
        self.by_address.len()
    }
}
