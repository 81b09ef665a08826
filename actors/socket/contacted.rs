//! Hosts that were sent something lately. A query from any other host shows that this node is reached by strangers, and not only
//! by those for whom it has opened a firewall or an address translation itself.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hashbrown::hash_table::{Entry, HashTable};

/// The time without a datagram to a host after which firewalls and address translations have forgotten that there was any.
pub const QUIET: Duration = Duration::from_secs(600);
/// Hosts that are remembered within one [`QUIET`]. Beyond it the hosts of that time are unknown, and no query shows anything
/// until it has passed.
pub const MAX_HOSTS: usize = 16_384;

/// Global hosts that were sent something within the last one to two [`QUIET`]s. Of each host it holds 64 bits of hash
/// only: a stranger that has those of another host shows nothing.
#[derive(Debug)]
pub(super) struct Contacted {
    latest: HashTable<u64>,
    before: HashTable<u64>,
    hasher: RandomState,
    turned_at: Instant,
    /// Until then not all hosts are known: those of an earlier process at the same port, or of a time with too many.
    unsure_until: Instant,
}

impl Contacted {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            latest: HashTable::new(),
            before: HashTable::new(),
            hasher: RandomState::new(),
            turned_at: now,
            unsure_until: now + QUIET,
        }
    }

    /// Something goes to `host`.
    pub(super) fn note(&mut self, host: IpAddr, now: Instant) {
        self.turn(now);
        let hash = self.hash(host);
        let full = self.latest.len() >= MAX_HOSTS;
        match self.latest.entry(hash, |other| *other == hash, |other| *other) {
            Entry::Vacant(_) if full => self.unsure_until = now + QUIET,
            Entry::Vacant(place) => drop(place.insert(hash)),
            Entry::Occupied(_) => {}
        }
    }

    /// Whether nothing was sent to `host` for [`QUIET`].
    pub(super) fn is_stranger(&mut self, host: IpAddr, now: Instant) -> bool {
        self.turn(now);
        if now < self.unsure_until {
            return false;
        }
        let hash = self.hash(host);
        [&self.latest, &self.before].iter().all(|hosts| hosts.find(hash, |other| *other == hash).is_none())
    }

    fn hash(&self, host: IpAddr) -> u64 {
        self.hasher.hash_one(host)
    }

    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.turned_at);
        if passed < QUIET {
            return;
        }
        self.before = std::mem::take(&mut self.latest);
        if passed >= QUIET * 2 {
            self.before.clear();
        }
        self.turned_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u32) -> IpAddr {
        IpAddr::from((0x0800_0000 + number).to_be_bytes())
    }

    #[test]
    fn a_host_is_a_stranger_again_once_nothing_was_sent_to_it_for_long_enough() {
        let start = Instant::now();
        let mut contacted = Contacted::new(start);
        assert!(!contacted.is_stranger(host(1), start), "an earlier process may have sent something there");
        let sent = start + QUIET;
        contacted.note(host(1), sent);
        assert!(contacted.is_stranger(host(2), sent));
        for after in [0, QUIET.as_secs() - 1, QUIET.as_secs()] {
            assert!(!contacted.is_stranger(host(1), sent + Duration::from_secs(after)), "{after} s");
        }
        assert!(contacted.is_stranger(host(1), sent + QUIET * 2));
    }

    #[test]
    fn a_long_silence_forgets_all_at_once() {
        let start = Instant::now();
        let mut contacted = Contacted::new(start);
        contacted.note(host(1), start);
        assert!(contacted.is_stranger(host(1), start + QUIET * 3));
    }

    #[test]
    fn with_more_hosts_than_are_remembered_no_query_shows_anything() {
        let mut now = Instant::now();
        let mut contacted = Contacted::new(now);
        now += QUIET;
        (0..MAX_HOSTS as u32).for_each(|number| contacted.note(host(number), now));
        assert!(contacted.is_stranger(host(u32::MAX / 8), now));
        contacted.note(host(MAX_HOSTS as u32), now);
        assert!(!contacted.is_stranger(host(u32::MAX / 8), now + QUIET - Duration::from_millis(1)));
        assert!(contacted.is_stranger(host(u32::MAX / 8), now + QUIET * 2));
        assert!(contacted.latest.len() + contacted.before.len() <= 2 * MAX_HOSTS);
    }
}
