//! The rate of all bytes that a node sends, and what gives way first where it is reached.

use std::net::SocketAddr;
use std::time::Instant;

/// The headers of a UDP datagram over IPv4 and over IPv6, in bytes.
const HEADERS: [usize; 2] = [28, 48];

/// What is about to be sent.
///
/// Answers that carry values or peers are nearly all of what strangers can make a node send, and the peer that asked can ask another
/// holder: they go first. Short answers come next: a legacy node drops a peer that leaves one query unanswered. The node's own
/// queries hold its place in the network and keep its values alive: they go last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outbound {
    /// A query of this node.
    Query,
    /// An answer of a fixed, short length.
    ShortAnswer,
    /// An answer with peers or a value.
    Answer,
}

/// The bytes that may be sent now. Unused ones are kept for one second.
#[derive(Debug)]
pub struct SendRate {
    /// Bytes a second; `None`: there is no limit.
    rate: Option<f64>,
    /// Below zero: what was sent beyond them, which the next ones wait for.
    available: f64,
    updated: Option<Instant>,
}

impl SendRate {
    /// A rate of so many bytes a second; 0 is none.
    pub fn new(bytes: u64) -> Self {
        let rate = (bytes > 0).then_some(bytes as f64);
        Self { rate, available: bytes as f64, updated: None }
    }

    /// Whether there is a limit at all. Without one everything is admitted.
    pub fn is_limited(&self) -> bool {
        self.rate.is_some()
    }

    /// Whether a datagram of `len` bytes to `to` may be sent. If so, it is counted, with its headers.
    pub fn admits(&mut self, what: Outbound, len: usize, to: &SocketAddr, now: Instant) -> bool {
        let Some(rate) = self.rate else { return true };
        let passed = self.updated.map_or(0.0, |updated| now.saturating_duration_since(updated).as_secs_f64());
        self.available = rate.min(self.available + passed * rate);
        self.updated = Some(now);
        let reserved = match what {
            Outbound::Query => 0.0,
            Outbound::ShortAnswer => 0.25,
            Outbound::Answer => 0.5,
        };
        // The length does not count here: a long datagram has its turn as a short one has, and is paid for afterwards.
        let admitted = self.available > reserved * rate;
        if admitted {
            self.available -= (len + HEADERS[usize::from(to.is_ipv6())]) as f64;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const TO: &str = "192.0.2.7:8000";

    #[test]
    fn answers_give_way_first_then_short_ones_and_queries_last() {
        let (now, to) = (Instant::now(), TO.parse().unwrap());
        let mut rate = SendRate::new(100_000);
        let mut count = |what, len| (0..10_000).take_while(|_| rate.admits(what, len, &to, now)).count();
        assert_eq!(count(Outbound::Answer, 972), 50);
        assert_eq!(count(Outbound::Answer, 0), 0);
        assert_eq!(count(Outbound::ShortAnswer, 972), 25);
        assert_eq!(count(Outbound::Query, 972), 25);
        assert_eq!(count(Outbound::Query, 0), 0);
    }

    #[test]
    fn over_any_time_no_more_is_sent_than_the_rate_one_second_and_one_datagram() {
        let (begun, to) = (Instant::now(), TO.parse().unwrap());
        let mut rate = SendRate::new(10_000);
        let mut sent = 0;
        for ms in 0..60_000 {
            if rate.admits(Outbound::Query, 60_000, &to, begun + Duration::from_millis(ms)) {
                sent += 60_028;
            }
        }
        assert!((600_000..=670_028).contains(&sent), "{sent}");
    }

    #[test]
    fn without_a_rate_everything_is_sent_and_headers_count_by_family() {
        let (now, v6) = (Instant::now(), "[2001:db8::1]:1".parse().unwrap());
        let mut free = SendRate::new(0);
        assert!((0..1_000).all(|_| free.admits(Outbound::Answer, 60_000, &v6, now)));
        let mut rate = SendRate::new(10_000);
        assert!(rate.admits(Outbound::Query, 952, &v6, now));
        assert!((rate.available - 9_000.0).abs() < 1e-6);
    }
}
