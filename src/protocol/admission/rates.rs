//! Rates: how fast a source may send, and all sources of one network together. It is the generic cell rate algorithm (ITU-T
//! I.371), with one timestamp for each.

use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::protocol::config::Config;
use crate::protocol::lru::Lru;
use crate::protocol::peer::{first_bits, host};

/// Sources whose rate is remembered. Beyond it the one admitted longest ago is forgotten, and starts afresh.
pub const MAX_RATED_SOURCES: usize = 16_384;
/// Networks whose rate is remembered. Beyond it the one admitted longest ago is forgotten, and starts afresh.
pub const MAX_RATED_PREFIXES: usize = 16_384;

/// The decision on a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Admitted {
    /// It is within the rates. It has been counted.
    Yes,
    /// It is admitted only if its sender proves its address: its network sends too fast, its source does not. It has not been
    /// counted.
    IfProved,
    /// It is refused: its source sends too fast. It has not been counted.
    No,
}

/// The rates that sources and their networks have used up.
#[derive(Debug)]
pub(super) struct Rates {
    pub(super) sources: Rate<IpAddr>,
    pub(super) prefixes: Rate<IpAddr>,
}

impl Rates {
    /// Unused rates.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            sources: Rate::new(config.limits.source_rate, config.limits.source_burst, MAX_RATED_SOURCES),
            prefixes: Rate::new(config.limits.prefix_rate, config.limits.prefix_burst, MAX_RATED_PREFIXES),
        }
    }

    /// Counts `cost` against the rates of `ip` and of its network, if both allow it. If not, neither is changed: one source that
    /// sends too fast does not use up the rate of its neighbours. A source that has `proved` its address is bound by its own
    /// rate alone, as it may be the only honest one of a network in whose name another sends.
    pub(super) fn admit(&mut self, ip: &IpAddr, proved: bool, cost: u32, now: Instant) -> Admitted {
        // A host, and the least that one owner usually has.
        let (source, network) = (host(ip), first_bits(ip, 24, 48));
        let Some(arrival) = self.sources.allows(&source, cost, now) else { return Admitted::No };
        if !proved {
            let Some(together) = self.prefixes.allows(&network, cost, now) else { return Admitted::IfProved };
            self.prefixes.take(network, together);
        }
        self.sources.take(source, arrival);
        Admitted::Yes
    }
}

/// A rate that applies to each key separately.
#[derive(Debug)]
pub(super) struct Rate<K> {
    /// The time that one datagram takes at the permitted rate.
    interval: Duration,
    /// How far ahead of `now` a time may run.
    burst: Duration,
    /// The time at which the datagrams of each key so far would all have arrived at the permitted rate. A time that is past
    /// means nothing: its key has its whole burst, as an unknown one has.
    arrivals: Lru<K, Instant>,
}

impl<K: Copy + Eq + Hash> Rate<K> {
    /// `per_second` datagrams, or bytes, a second, `burst` of them at once, both at least 1; for `limit` at most.
    pub(super) fn new(per_second: u32, burst: u32, limit: usize) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, burst: interval * burst.max(1), arrivals: Lru::new(limit) }
    }

    /// The time of `key` once it has used up `cost` more, if the rate allows that.
    pub(super) fn allows(&mut self, key: &K, cost: u32, now: Instant) -> Option<Instant> {
        self.forget_past(now);
        let arrival = self.arrivals.get(key).map_or(now, |at| now.max(*at)) + self.interval * cost;
        (arrival.saturating_duration_since(now) <= self.burst).then_some(arrival)
    }

    /// Notes that `key` has used up what [`Rate::allows`] allowed.
    pub(super) fn take(&mut self, key: K, arrival: Instant) {
        self.arrivals.insert(&key, arrival);
    }

    /// The number of keys that are remembered.
    pub(super) fn len(&self) -> usize {
        self.arrivals.len()
    }

    /// Forgets the keys that have their whole burst again. A time runs at most a burst ahead, so a key that an older one
    /// retains goes soon after.
    fn forget_past(&mut self, now: Instant) {
        self.arrivals.forget_while(|arrival| *arrival <= now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Addresses of one network.
    type Network = fn(u8) -> IpAddr;

    fn rates(source: (u32, u32), prefix: (u32, u32)) -> Rates {
        let config = Config::builder().source_rate(source.0).source_burst(source.1);
        Rates::new(&config.prefix_rate(prefix.0).prefix_burst(prefix.1).build().unwrap())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_addresses_of_one_network_share_a_rate_that_is_larger_than_that_of_each() {
        let now = Instant::now();
        let networks: [[Network; 2]; 2] = [
            [|host| [198, 51, 100, host].into(), |host| [198, 51, 101, host].into()],
            [
                |site| [0x2001, 0xdb8, 1, site.into(), 0, 0, 0, 1].into(),
                |site| [0x2001, 0xdb8, 2, site.into(), 0, 0, 0, 1].into(),
            ],
        ];
        for [here, elsewhere] in networks {
            let mut rates = rates((10, 20), (100, 50));
            let mut admitted = |network: Network, at| {
                let tries = (0..50)
                    .flat_map(|_| 0..=255)
                    .filter(|host| rates.admit(&network(*host), false, 1, at) == Admitted::Yes);
                tries.count()
            };
            assert_eq!(admitted(here, now), 50);
            assert_eq!(admitted(elsewhere, now), 50, "another network has its own");
            assert_eq!(admitted(here, now + Duration::from_millis(200)), 20, "100 a second");
        }
    }

    #[test]
    fn one_source_that_sends_too_fast_uses_up_nothing_of_its_neighbours() {
        let (mut rates, now) = (rates((10, 20), (100, 50)), Instant::now());
        assert_eq!(
            (0..10_000).filter(|_| rates.admit(&ip("198.51.100.1"), false, 1, now) == Admitted::Yes).count(),
            20
        );
        assert_eq!(
            (0..10_000).filter(|_| rates.admit(&ip("198.51.100.2"), false, 1, now) == Admitted::Yes).count(),
            20
        );
        assert_eq!(
            (0..10_000).filter(|_| rates.admit(&ip("198.51.100.3"), false, 1, now) == Admitted::Yes).count(),
            10
        );
        // A datagram that the network's rate refuses costs the source nothing: it has its burst when the network has room again.
        let later = now + Duration::from_secs(1);
        assert_eq!(
            (0..10_000).filter(|_| rates.admit(&ip("198.51.100.3"), false, 1, later) == Admitted::Yes).count(),
            20
        );
    }

    #[test]
    fn the_networks_with_a_rate_are_bounded_and_forgotten_when_they_have_their_burst_again() {
        let (mut rates, now) = (rates((50, 100), (500, 1_000)), Instant::now());
        for network in 0..MAX_RATED_PREFIXES as u32 + 1_000 {
            let [_, a, b, c] = network.to_be_bytes();
            assert_eq!(rates.admit(&[50 + a, b, c, 1].into(), false, 1, now), Admitted::Yes);
        }
        assert_eq!((rates.sources.len(), rates.prefixes.len()), (MAX_RATED_SOURCES, MAX_RATED_PREFIXES));
        assert_eq!(rates.admit(&ip("198.51.100.1"), false, 1, now + Duration::from_secs(2)), Admitted::Yes);
        assert_eq!((rates.sources.len(), rates.prefixes.len()), (1, 1));
    }

    proptest! {
        #[test]
        fn no_network_gets_more_than_its_burst_and_its_rate(
            steps in prop::collection::vec((0u64..50, 0u8..8, 1u32..5), 1..300),
        ) {
            let mut rates = rates((50, 10), (100, 20));
            let start = Instant::now();
            let (mut now, mut used) = (start, 0u64);
            for (gap, host, cost) in steps {
                now += Duration::from_millis(gap);
                if rates.admit(&[198, 51, 100, host].into(), false, cost, now) == Admitted::Yes {
                    used += u64::from(cost);
                }
                let elapsed = (now - start).as_millis() as u64;
                prop_assert!(used <= 20 + elapsed * 100 / 1_000, "{used} in {elapsed} ms");
            }
        }
    }
}
