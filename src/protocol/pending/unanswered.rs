//! How often an address is asked that does not answer: whoever names a victim's address to us, or sends in its name, must
//! not have us send it more than it can bear. Whether anybody answered there is its caller's knowledge.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::protocol::recency::RecencyMap;

/// Addresses without an answer whose queries are counted. Beyond it the one asked longest ago starts afresh: the queries of
/// 136 lookups within a minute, all to different addresses at which nobody is.
pub const MAX_UNANSWERED_ADDRESSES: usize = 8_192;
/// In what time [`Config::max_unanswered`](crate::protocol::config::Config::max_unanswered) may be sent.
pub const UNANSWERED_WINDOW: Duration = Duration::from_secs(60);

/// What each address may still be sent that has not answered: half of it at once, the other half evenly over the window, so
/// that no window of whatever beginning sees more than all of it. Who comes back is met again by the next of those.
#[derive(Debug)]
pub(super) struct Unanswered {
    /// The time that one query takes at the even rate.
    interval: Duration,
    /// How far ahead of `now` an address's time may run.
    burst: Duration,
    /// When the queries to each address so far would all have been sent, had they been sent at the even rate.
    sent: RecencyMap<SocketAddr, Instant>,
}

impl Unanswered {
    /// At most `limit` queries (at least 2) in [`UNANSWERED_WINDOW`].
    pub(super) fn new(limit: u32) -> Self {
        let at_once = (limit / 2).max(1);
        let interval = UNANSWERED_WINDOW / limit.saturating_sub(at_once).max(1);
        Self { interval, burst: interval * at_once, sent: RecencyMap::new(MAX_UNANSWERED_ADDRESSES) }
    }

    /// Whether one more query may go to `addr`, where nobody answered lately; if so, it counts.
    pub(super) fn admit(&mut self, addr: SocketAddr, now: Instant) -> bool {
        self.forget_past(now);
        let sent = self.sent.get(&addr).map_or(now, |at| now.max(*at)) + self.interval;
        let admitted = sent.saturating_duration_since(now) <= self.burst;
        if admitted {
            self.sent.touch(addr, sent);
        }
        admitted
    }

    /// Somebody at `addr` answered.
    pub(super) fn answered(&mut self, addr: SocketAddr) {
        self.sent.remove(&addr);
    }

    /// Forgets the addresses whose time is past: they may be sent as much as one that was never asked.
    fn forget_past(&mut self, now: Instant) {
        while self.sent.oldest().is_some_and(|(_, sent)| *sent <= now) {
            self.sent.pop_oldest();
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.sent.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addr(host: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, (host >> 8) as u8, host as u8], 7))
    }

    proptest! {
        #[test]
        fn no_minute_sees_more_than_the_limit(
            limit in 2u32..40,
            gaps in prop::collection::vec(0u64..20_000, 1..300),
        ) {
            let mut unanswered = Unanswered::new(limit);
            let (mut now, mut sent) = (Instant::now(), Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                if unanswered.admit(addr(1), now) {
                    sent.push(now);
                }
            }
            for (first, begin) in sent.iter().enumerate() {
                let within = sent[first..].iter().filter(|at| **at - *begin < UNANSWERED_WINDOW).count();
                prop_assert!(within <= limit as usize, "{within} of {limit}");
            }
        }
    }

    #[test]
    fn half_may_be_sent_at_once_and_one_whenever_its_time_has_come() {
        let (mut unanswered, now) = (Unanswered::new(10), Instant::now());
        let at_once = |unanswered: &mut Unanswered, at| (0..100).filter(|_| unanswered.admit(addr(1), at)).count();
        assert_eq!(at_once(&mut unanswered, now), 5);
        assert_eq!(at_once(&mut unanswered, now + Duration::from_secs(11)), 0);
        assert_eq!(at_once(&mut unanswered, now + Duration::from_secs(12)), 1);
        assert!(unanswered.admit(addr(2), now), "of others it says nothing");
        unanswered.answered(addr(1));
        assert_eq!(at_once(&mut unanswered, now + Duration::from_secs(12)), 5);
        assert_eq!(at_once(&mut unanswered, now + Duration::from_secs(3_600)), 5);
        assert_eq!(unanswered.len(), 1, "what is past is forgotten");
    }

    #[test]
    fn the_addresses_counted_are_bounded() {
        let (mut unanswered, now) = (Unanswered::new(10), Instant::now());
        assert!((0..20_000).all(|host| unanswered.admit(addr(host), now)));
        assert_eq!(unanswered.len(), MAX_UNANSWERED_ADDRESSES);
    }
}
