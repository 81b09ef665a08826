//! How long answers take: smoothed round-trip times per address, after RFC 6298, section 2.
//! There is no back-off: a query is sent once, so each answer is measured without ambiguity.

use std::net::SocketAddr;
use std::time::Duration;

use crate::protocol::recency::RecencyMap;

/// The least that an answer is expected to take: below it, scheduling decides more than the network.
pub const MIN_EXPECTED_RTT: Duration = Duration::from_millis(50);
/// The least that is waited before an answer is taken for lost. RFC 6298 (2.4) says a second, for TCP's delayed
/// acknowledgements, which there are none of here; Linux waits 200 ms, which outlasts what garbage collection, a busy
/// event loop or a radio's wake-up usually adds to a round trip, and no estimate has seen yet.
pub const MIN_PATIENCE: Duration = Duration::from_millis(200);
/// What an answer is expected to take before anything was measured.
pub const INITIAL_EXPECTED_RTT: Duration = Duration::from_millis(500);
/// Addresses whose round-trip times are remembered. Beyond it the one measured longest ago is forgotten. Whoever is asked
/// again is mostly in the routing table, which holds fewer.
pub const MAX_MEASURED_ADDRESSES: usize = 1_024;

/// A smoothed round-trip time and its variation, in microseconds: there is one for each address.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    smoothed: u32,
    variation: u32,
}

impl Estimate {
    /// What was known, if anything was, and then `rtt`.
    fn after(known: Option<Self>, rtt: Duration) -> Self {
        let rtt = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        known.map_or(Self { smoothed: rtt, variation: rtt / 2 }, |estimate| estimate.next(rtt))
    }

    /// RFC 6298, 2.3: the variation with a weight of a quarter, then the smoothed time with one of an eighth.
    fn next(self, rtt: u32) -> Self {
        let weighted = |old: u32, weight: u64, new: u32| {
            let sum = u64::from(old) * (weight - 1) + u64::from(new);
            u32::try_from(sum / weight).expect("a mean is no greater than the greater of the two")
        };
        Self {
            variation: weighted(self.variation, 4, self.smoothed.abs_diff(rtt)),
            smoothed: weighted(self.smoothed, 8, rtt),
        }
    }

    /// Within this most answers come: about nine in ten, as round trips are distributed on the internet.
    fn expected(self) -> Duration {
        self.after_variations(2)
    }

    /// RFC 6298, 2.3: the retransmission timeout. Within this all but about one in a hundred come.
    fn timeout(self) -> Duration {
        self.after_variations(4)
    }

    fn after_variations(self, times: u64) -> Duration {
        Duration::from_micros(u64::from(self.smoothed) + u64::from(self.variation) * times)
    }
}

/// The estimates of each address, and one over all of them.
#[derive(Debug)]
pub(super) struct RoundTrips {
    ceiling: Duration,
    by_address: RecencyMap<SocketAddr, Estimate>,
    overall: Option<Estimate>,
}

impl RoundTrips {
    /// Nothing measured; nothing is ever expected to take longer than `ceiling`.
    pub(super) fn new(ceiling: Duration) -> Self {
        Self { ceiling, by_address: RecencyMap::new(MAX_MEASURED_ADDRESSES), overall: None }
    }

    /// Takes in that an answer from `addr` took `rtt`.
    pub(super) fn measured(&mut self, addr: SocketAddr, rtt: Duration) {
        // An answer read late, after the timeout, must not teach us to wait longer than that.
        let rtt = rtt.min(self.ceiling);
        let overall = self.overall;
        self.by_address.update(addr, |known| Estimate::after(known.copied().or(overall), rtt));
        // One that is far slower than the others says something of itself, and little of them.
        let usual = overall.map_or(rtt, |overall| rtt.min((overall.timeout() * 2).max(MIN_PATIENCE)));
        self.overall = Some(Estimate::after(overall, usual));
    }

    /// How long an answer from `addr` is expected to take.
    pub(super) fn expected(&self, addr: SocketAddr) -> Duration {
        let expected = self.known(&addr).map_or(INITIAL_EXPECTED_RTT, Estimate::expected);
        expected.max(MIN_EXPECTED_RTT).min(self.ceiling)
    }

    /// What is known of `addr`: of one that was never measured, that it is like the others. Its first round trip says
    /// less of it than theirs do of how much such times vary.
    fn known(&self, addr: &SocketAddr) -> Option<Estimate> {
        self.by_address.get(addr).copied().or(self.overall)
    }

    /// How long to wait for an answer from `addr` before it is taken for lost: twice the retransmission timeout, as far
    /// as RFC 6298 backs off once (5.5), its own or that over all addresses, so that an answer that only surprises its
    /// estimate is not missed. Three times where nobody ever answered: who does not know our address may ask it for a proof
    /// first, and then needs two trips. Where somebody was `silent` lately, once, and no floor: there is little to be
    /// missed.
    pub(super) fn patience(&self, addr: SocketAddr, silent: bool) -> Duration {
        let (times, floor) = match self.by_address.get(&addr) {
            _ if silent => (1, MIN_EXPECTED_RTT),
            Some(_) => (2, MIN_PATIENCE),
            None => (3, MIN_PATIENCE),
        };
        // An address that has been steady so far is as likely as the others to be late for once.
        let known = [self.by_address.get(&addr).copied(), self.overall];
        let timeout = known.into_iter().flatten().map(Estimate::timeout).max().unwrap_or(INITIAL_EXPECTED_RTT);
        (timeout * times).max(floor).min(self.ceiling)
    }

    /// Addresses that are remembered.
    pub(super) fn len(&self) -> usize {
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
            measured in prop::collection::vec((0u16..4, 0u64..5_000), 0..100),
        ) {
            let mut trips = RoundTrips::new(TIMEOUT);
            for (host, ms) in measured {
                trips.measured(addr(host), Duration::from_millis(ms));
                for host in 0..5 {
                    let expected = trips.expected(addr(host));
                    prop_assert!(expected >= MIN_EXPECTED_RTT && expected <= TIMEOUT);
                    let [patience, less] = [false, true].map(|silent| trips.patience(addr(host), silent));
                    prop_assert!(expected <= less && less <= patience && patience <= TIMEOUT);
                    prop_assert!(patience >= MIN_PATIENCE);
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
        let patience = trips.patience(addr(4), true);
        assert!(patience > Duration::from_millis(700), "{patience:?}");
        for _ in 0..40 {
            trips.measured(addr(3), Duration::from_millis(40));
            trips.measured(addr(4), Duration::from_millis(700));
        }
        assert_eq!(trips.expected(addr(3)), MIN_EXPECTED_RTT);
        assert!(trips.expected(addr(4)) < Duration::from_millis(720), "{:?}", trips.expected(addr(4)));
    }

    #[test]
    fn patience_is_twice_the_timeout_thrice_where_nobody_ever_answered_and_once_where_somebody_was_silent() {
        let mut trips = RoundTrips::new(TIMEOUT);
        let patience =
            |trips: &RoundTrips, host| [false, true].map(|silent| trips.patience(addr(host), silent).as_millis());
        assert_eq!(patience(&trips, 1), [1_500, 500]);
        trips.measured(addr(1), Duration::from_millis(100));
        assert_eq!(patience(&trips, 1), [600, 300]);
        assert_eq!(patience(&trips, 2), [900, 300]);
        for _ in 0..60 {
            trips.measured(addr(1), Duration::from_millis(1));
        }
        assert_eq!(patience(&trips, 1), [200, 50]);
        trips.measured(addr(1), TIMEOUT);
        assert_eq!(patience(&trips, 1), [2_000, 2_000]);
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
