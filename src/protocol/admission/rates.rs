//! How fast a source may send: the generic cell rate algorithm (ITU-T I.371), one timestamp per source.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::protocol::recency::RecencyMap;

/// Sources whose rate is remembered. Beyond it the one admitted longest ago is forgotten, and starts afresh.
pub const MAX_RATED_SOURCES: usize = 16_384;

/// Who has a rate: one IPv4 address, or one IPv6 /64, since a host is handed that many addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl Source {
    fn of(ip: &IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// The rate that each source has used up.
#[derive(Debug)]
pub(super) struct Rates {
    /// The time that one datagram takes at the permitted rate.
    interval: Duration,
    /// How far ahead of `now` a source's time may run.
    burst: Duration,
    /// When each source's datagrams so far would all have come, had they come at the permitted rate. A time that is past
    /// means nothing any more: such a source has its whole burst, as one that is not known.
    arrivals: RecencyMap<Source, Instant>,
}

impl Rates {
    /// `per_second` datagrams a second, `burst` of them at once; both at least 1.
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, burst: interval * burst.max(1), arrivals: RecencyMap::new(MAX_RATED_SOURCES) }
    }

    pub(super) fn admit(&mut self, ip: &IpAddr, cost: u32, now: Instant) -> bool {
        self.forget_past(now);
        let source = Source::of(ip);
        let arrival = self.arrivals.get(&source).map_or(now, |at| now.max(*at)) + self.interval * cost;
        let admitted = arrival.saturating_duration_since(now) <= self.burst;
        if admitted {
            self.arrivals.touch(source, arrival);
        }
        admitted
    }

    /// Forgets the sources that have their whole burst again. A time runs at most a burst ahead, so whoever is kept by an
    /// older one that is not past yet goes soon after.
    fn forget_past(&mut self, now: Instant) {
        while self.arrivals.oldest().is_some_and(|(_, arrival)| *arrival <= now) {
            self.arrivals.pop_oldest();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.arrivals.len()
    }
}
