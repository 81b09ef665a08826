//! Round-trip times: how long an address is expected to take to answer, and after what time a query is sent again.
//!
//! The times are smoothed per address, after RFC 6298, section 2. An answer to a query that was sent several times is not
//! measured, since it may answer any of the sends (Karn's algorithm): the timeout is backed off instead, until one is measured
//! (section 5.5), so that a peer that has become slower is not sent everything twice for ever.

use std::net::SocketAddr;
use std::time::Duration;

use crate::protocol::lru::Lru;

/// The least that an answer is expected to take: below it, scheduling decides more than the network.
pub const MIN_EXPECTED_RTT: Duration = Duration::from_millis(50);
/// The least that is waited before a query is sent again. RFC 6298 (2.4) requires a second, for TCP's delayed
/// acknowledgements, which there are none of here; Linux waits 200 ms, which outlasts what garbage collection, a busy
/// event loop or a radio's wake-up usually adds to a round trip, and no estimate has seen yet.
pub const MIN_RESEND_TIMEOUT: Duration = Duration::from_millis(200);
/// The time that an answer is expected to take before any was measured.
pub const INITIAL_EXPECTED_RTT: Duration = Duration::from_millis(500);
/// Addresses whose round-trip times are remembered. Beyond it the one measured longest ago is forgotten. Peers that are queried
/// again are mostly in the routing table, which holds fewer.
pub const MAX_MEASURED_ADDRESSES: usize = 1_024;

/// A smoothed round-trip time and its variation, in microseconds: there is one for each address.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    smoothed: u32,
    variation: u32,
}

impl Estimate {
    /// The estimate that follows from the one `known`, if there is one, and `rtt`.
    fn after(known: Option<Self>, rtt: Duration) -> Self {
        let rtt = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        let Some(Self { smoothed, variation }) = known else { return Self { smoothed: rtt, variation: rtt / 2 } };
        // RFC 6298, 2.3: the variation with a weight of a quarter, then the smoothed time with one of an eighth.
        let weighted = |old: u32, weight: u64, new: u32| {
            let sum = u64::from(old) * (weight - 1) + u64::from(new);
            u32::try_from(sum / weight).expect("a mean is no greater than the greater of the two")
        };
        Self { variation: weighted(variation, 4, smoothed.abs_diff(rtt)), smoothed: weighted(smoothed, 8, rtt) }
    }

    /// The time within which most answers come: about nine in ten, as round trips are distributed on the internet.
    fn expected(self) -> Duration {
        self.after_variations(2)
    }

    /// The retransmission timeout of RFC 6298, 2.3. All but about one answer in a hundred come within it.
    fn timeout(self) -> Duration {
        self.after_variations(4)
    }

    fn after_variations(self, times: u64) -> Duration {
        Duration::from_micros(u64::from(self.smoothed) + u64::from(self.variation) * times)
    }
}

/// The knowledge of one address, or over all of them.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// `None` before the first measurement.
    estimate: Option<Estimate>,
    /// How often the timeout is doubled: once for each answer in a row that could not be measured.
    doublings: u32,
}

impl Known {
    fn measured(estimate: Estimate) -> Self {
        Self { estimate: Some(estimate), doublings: 0 }
    }

    fn backed_off(self) -> Self {
        Self { doublings: (self.doublings + 1).min(MAX_DOUBLINGS), ..self }
    }
}

/// Doublings of a timeout. Twice doubled it may be so long that an answer within the query timeout can be measured.
const MAX_DOUBLINGS: u32 = 2;

/// The estimates of each address, and one over all of them.
#[derive(Debug)]
pub(crate) struct RoundTrips {
    ceiling: Duration,
    by_address: Lru<SocketAddr, Known>,
    overall: Known,
}

impl RoundTrips {
    /// Estimates of nothing yet. No answer is ever expected to take longer than `ceiling`.
    pub(crate) fn new(ceiling: Duration) -> Self {
        Self { ceiling, by_address: Lru::new(MAX_MEASURED_ADDRESSES), overall: Known::default() }
    }

    /// Takes in that an answer from `addr` took `rtt`.
    pub(crate) fn measured(&mut self, addr: SocketAddr, rtt: Duration) {
        // An answer read late, after the timeout, must not teach us to wait longer than that.
        let rtt = rtt.min(self.ceiling);
        let overall = self.overall.estimate;
        self.by_address.insert(&addr, Known::measured(Estimate::after(self.known(&addr), rtt)));
        // One address that is far slower than the others shows little of them.
        let usual = overall.map_or(rtt, |overall| rtt.min((overall.timeout() * 2).max(MIN_RESEND_TIMEOUT)));
        self.overall = Known::measured(Estimate::after(overall, usual));
    }

    /// Takes in that `addr` answered a query that was sent more than once, `rtt` after it was sent first. It is taken for the
    /// round trip only where the timeout has been doubled as often as it may be: an address that takes longer than that would
    /// never be measured, and be sent each query twice for ever.
    pub(crate) fn ambiguous(&mut self, addr: SocketAddr, rtt: Duration) {
        let known = self.by_address.get(&addr).copied().unwrap_or_default();
        if known.doublings >= MAX_DOUBLINGS {
            return self.measured(addr, rtt);
        }
        self.by_address.insert(&addr, known.backed_off());
        self.overall = self.overall.backed_off();
    }

    /// The time that an answer from `addr` is expected to take: from what was measured there, otherwise from what was measured
    /// anywhere; at least [`MIN_EXPECTED_RTT`], at most the ceiling.
    pub(crate) fn expected(&self, addr: SocketAddr) -> Duration {
        let expected = self.known(&addr).map_or(INITIAL_EXPECTED_RTT, Estimate::expected);
        expected.max(MIN_EXPECTED_RTT).min(self.ceiling)
    }

    /// The estimate for `addr`; where it was never measured, that over all addresses. Its first round trip shows less of it than
    /// theirs show of how much such times vary.
    fn known(&self, addr: &SocketAddr) -> Option<Estimate> {
        self.by_address.get(addr).and_then(|known| known.estimate).or(self.overall.estimate)
    }

    /// The time to wait for an answer from `addr` before the query is sent again: the retransmission timeout, its own or that
    /// over all addresses, whichever is longer, since an address that has been steady so far is as likely as the others to be
    /// late for once; at least [`MIN_RESEND_TIMEOUT`], at most the ceiling. Backed off once it is at most a quarter of the
    /// ceiling, and twice at most half of it, unless it was measured to be longer: the query can then still be sent three times,
    /// and twice.
    pub(crate) fn resend_timeout(&self, addr: SocketAddr) -> Duration {
        let own = self.by_address.get(&addr);
        let estimates = [own.and_then(|own| own.estimate), self.overall.estimate];
        let measured = estimates.into_iter().flatten().map(Estimate::timeout).max();
        let timeout = measured.unwrap_or(INITIAL_EXPECTED_RTT).max(MIN_RESEND_TIMEOUT);
        // That the others' answers could not be measured concerns an address of which nothing is known, too.
        let doublings = own.map_or(self.overall.doublings.min(1), |own| own.doublings);
        let backed_off = match doublings {
            0 => timeout,
            1 => (timeout * 2).min(self.ceiling / 4),
            _ => (timeout * 4).min(self.ceiling / 2),
        };
        backed_off.max(timeout).min(self.ceiling)
    }

    /// The smoothed round-trip time of `addr`, if one was measured there.
    pub(crate) fn smoothed(&self, addr: SocketAddr) -> Option<Duration> {
        let estimate = self.by_address.get(&addr).and_then(|known| known.estimate);
        estimate.map(|estimate| Duration::from_micros(estimate.smoothed.into()))
    }

    /// The number of addresses that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.by_address.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn addr(host: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, (host >> 8) as u8, host as u8], 7))
    }

    proptest! {
        #[test]
        fn an_expectation_lies_between_its_floor_and_the_timeout(
            answers in prop::collection::vec((0u16..4, 0u64..5_000, prop::bool::ANY), 0..100),
        ) {
            let mut trips = RoundTrips::new(TIMEOUT);
            for (host, ms, sent_once) in answers {
                match sent_once {
                    true => trips.measured(addr(host), Duration::from_millis(ms)),
                    false => trips.ambiguous(addr(host), Duration::from_millis(ms)),
                }
                for host in 0..5 {
                    let expected = trips.expected(addr(host));
                    prop_assert!(expected >= MIN_EXPECTED_RTT && expected <= TIMEOUT);
                    let resend = trips.resend_timeout(addr(host));
                    prop_assert!(expected <= resend && resend <= TIMEOUT && resend >= MIN_RESEND_TIMEOUT);
                }
            }
        }
    }

    #[test]
    fn a_steady_peer_is_expected_to_stay_so() {
        let mut trips = RoundTrips::new(TIMEOUT);
        for _ in 0..60 {
            trips.measured(addr(1), Duration::from_millis(100));
        }
        let expected = trips.expected(addr(1));
        assert!(expected >= Duration::from_millis(100) && expected < Duration::from_millis(110), "{expected:?}");
    }

    #[test]
    fn an_unknown_address_is_expected_to_be_as_fast_as_the_others() {
        let mut trips = RoundTrips::new(TIMEOUT);
        assert_eq!(trips.expected(addr(9)), INITIAL_EXPECTED_RTT);
        trips.measured(addr(1), Duration::from_millis(40));
        assert_eq!(trips.expected(addr(9)), Duration::from_millis(80));
    }

    #[test]
    fn an_address_that_answered_once_is_expected_to_be_as_the_others_and_soon_as_it_is() {
        let mut trips = RoundTrips::new(TIMEOUT);
        for _ in 0..100 {
            trips.measured(addr(1), Duration::from_millis(80));
            trips.measured(addr(2), Duration::from_millis(100));
        }
        let others = trips.expected(addr(9));
        trips.measured(addr(3), Duration::from_millis(40));
        assert!(trips.expected(addr(3)) > others.mul_f64(0.9), "{:?}", trips.expected(addr(3)));
        trips.measured(addr(4), Duration::from_millis(700));
        let resend = trips.resend_timeout(addr(4));
        assert!(resend > Duration::from_millis(700), "{resend:?}");
        for _ in 0..40 {
            trips.measured(addr(3), Duration::from_millis(40));
            trips.measured(addr(4), Duration::from_millis(700));
        }
        assert_eq!(trips.expected(addr(3)), MIN_EXPECTED_RTT);
        assert!(trips.expected(addr(4)) < Duration::from_millis(720), "{:?}", trips.expected(addr(4)));
    }

    #[test]
    fn a_query_is_sent_again_after_the_timeout_of_its_address_or_that_over_all_whichever_is_longer() {
        let mut trips = RoundTrips::new(TIMEOUT);
        let resend = |trips: &RoundTrips, host| trips.resend_timeout(addr(host)).as_millis();
        assert_eq!(resend(&trips, 1), 500);
        trips.measured(addr(1), Duration::from_millis(100));
        assert_eq!([resend(&trips, 1), resend(&trips, 2)], [300, 300]);
        for _ in 0..60 {
            trips.measured(addr(1), Duration::from_millis(1));
        }
        assert_eq!(resend(&trips, 1), 200);
        trips.measured(addr(1), TIMEOUT);
        assert_eq!(resend(&trips, 1), 2_000, "at most the query timeout");
        assert!(resend(&trips, 2) < 400, "the others are as fast as before");
    }

    #[test]
    fn an_answer_to_a_query_that_was_sent_again_is_not_measured_and_backs_the_timeout_off_until_one_is() {
        let mut trips = RoundTrips::new(TIMEOUT);
        for _ in 0..60 {
            trips.measured(addr(1), Duration::from_millis(20));
        }
        let (expected, resend) =
            (trips.expected(addr(1)), |trips: &RoundTrips| trips.resend_timeout(addr(1)).as_millis());
        assert_eq!(resend(&trips), 200);
        // It has become slower than that: the second send, or the third, is answered.
        trips.ambiguous(addr(1), Duration::from_millis(300));
        assert_eq!(resend(&trips), 400);
        trips.ambiguous(addr(1), Duration::from_millis(300));
        assert_eq!((resend(&trips), trips.expected(addr(1))), (800, expected));
        assert_eq!(trips.resend_timeout(addr(2)).as_millis(), 400, "the others may have become slower with it");
        trips.measured(addr(1), Duration::from_millis(300));
        assert!(resend(&trips) < 500, "{}", resend(&trips));
    }

    #[test]
    fn an_address_that_takes_longer_than_any_doubled_timeout_is_measured_all_the_same() {
        let mut trips = RoundTrips::new(TIMEOUT);
        let far = Duration::from_millis(1_500);
        for _ in 0..MAX_DOUBLINGS {
            trips.ambiguous(addr(1), far);
            assert_eq!(trips.expected(addr(1)), INITIAL_EXPECTED_RTT);
        }
        trips.ambiguous(addr(1), far);
        assert!(trips.expected(addr(1)) >= far && trips.resend_timeout(addr(1)) > far);
    }

    #[test]
    fn a_timeout_that_is_backed_off_leaves_room_for_another_send_and_a_measured_one_is_never_cut() {
        let mut trips = RoundTrips::new(TIMEOUT);
        trips.ambiguous(addr(1), Duration::from_millis(300));
        assert_eq!(trips.resend_timeout(addr(1)), TIMEOUT / 4);
        trips.ambiguous(addr(1), Duration::from_millis(300));
        assert_eq!(trips.resend_timeout(addr(1)), TIMEOUT / 2);
        trips.measured(addr(1), Duration::from_millis(600));
        trips.ambiguous(addr(1), Duration::from_millis(300));
        assert_eq!(trips.resend_timeout(addr(1)), Duration::from_millis(1_800));
    }

    #[test]
    fn the_address_measured_longest_ago_is_forgotten_at_the_bound() {
        let mut trips = RoundTrips::new(TIMEOUT);
        trips.measured(addr(0), Duration::from_millis(1_000));
        for host in 1..=MAX_MEASURED_ADDRESSES as u16 {
            trips.measured(addr(host), Duration::from_millis(10));
        }
        assert_eq!(trips.len(), MAX_MEASURED_ADDRESSES);
        assert!(trips.by_address.get(&addr(0)).is_none());
        assert!(trips.by_address.get(&addr(1)).is_some());
    }

    #[test]
    fn a_timeout_below_the_floor_wins() {
        let trips = RoundTrips::new(Duration::from_millis(10));
        assert_eq!(trips.expected(addr(1)), Duration::from_millis(10));
    }
}
