//! Who did not answer lately, by address. Whether that is worth a query is its asker's decision.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::protocol::recency::RecencyMap;

/// For how long a silence is remembered: for as long as the dead are named by others, who notice within a refresh of
/// their buckets. Who comes back earlier has it forgotten by its first answer.
pub const SILENT_FOR: Duration = Duration::from_secs(3_600);
/// Silent addresses that are remembered. Beyond it the one that was silent longest ago is forgotten.
pub const MAX_SILENT_ADDRESSES: usize = 4_096;

/// When each address that has not answered since was silent last.
#[derive(Debug)]
pub(super) struct Silences(RecencyMap<SocketAddr, Instant>);

impl Default for Silences {
    fn default() -> Self {
        Self(RecencyMap::new(MAX_SILENT_ADDRESSES))
    }
}

impl Silences {
    /// A query to `addr` timed out.
    pub(super) fn silent(&mut self, addr: SocketAddr, now: Instant) {
        self.0.touch(addr, now);
    }

    /// Somebody at `addr` answered.
    pub(super) fn answered(&mut self, addr: SocketAddr) {
        self.0.remove(&addr);
    }

    /// Addresses that are remembered.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn was_silent(&self, addr: SocketAddr, now: Instant) -> bool {
        self.0.get(&addr).is_some_and(|at| now.saturating_duration_since(*at) < SILENT_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(host: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, (host >> 8) as u8, host as u8], 7))
    }

    #[test]
    fn a_silence_is_remembered_until_the_next_answer_or_for_an_hour() {
        let (mut silences, now) = (Silences::default(), Instant::now());
        silences.silent(addr(1), now);
        silences.silent(addr(2), now);
        silences.answered(addr(2));
        silences.answered(addr(3));
        let silent_at = |at| [1, 2, 3].map(|host| silences.was_silent(addr(host), at));
        assert_eq!(silent_at(now), [true, false, false]);
        assert_eq!(silent_at(now + SILENT_FOR), [false; 3]);
    }

    #[test]
    fn the_address_that_was_silent_longest_ago_is_forgotten_at_the_bound() {
        let (mut silences, now) = (Silences::default(), Instant::now());
        for host in 0..=MAX_SILENT_ADDRESSES as u16 {
            silences.silent(addr(host), now);
        }
        assert_eq!(silences.0.len(), MAX_SILENT_ADDRESSES);
        assert!(!silences.was_silent(addr(0), now) && silences.was_silent(addr(1), now));
    }
}
