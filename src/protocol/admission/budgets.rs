//! Budgets of answers to addresses that have answered a ping and show no token. Any participant answers pings, so their requests
//! may be forged: beyond three times a request's bytes, an answer is taken out of the budget of its host, and of that of all hosts.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::rates::{MAX_RATED_SOURCES, Rate};
use crate::protocol::peer::host;

/// Bytes that a host (an IPv4 address, an IPv6 /64) may be sent at once beyond three times those that came in its name.
pub const HOST_BUDGET: u32 = 256_000;
/// Bytes a second by which the budget of a host fills again.
pub const HOST_BUDGET_REFILL: u32 = 8_000;
/// Bytes a second by which the budgets of all hosts together fill again.
pub const ALL_BUDGETS_REFILL: u32 = 1_000_000;
/// Bytes that all hosts together may be sent at once.
pub const ALL_BUDGETS: u32 = 4_000_000;
/// Hosts whose budget is remembered. Beyond it the one charged longest ago is forgotten, and has its whole budget again. To
/// cause that takes this many datagrams: four times the bytes of a budget.
pub const MAX_BUDGETS: usize = MAX_RATED_SOURCES;

/// The budgets that hosts have used up.
#[derive(Debug)]
pub(super) struct Budgets {
    pub(super) hosts: Rate<IpAddr>,
    all: Rate<()>,
}

impl Budgets {
    /// Full budgets.
    pub(super) fn new() -> Self {
        Self {
            hosts: Rate::new(HOST_BUDGET_REFILL, HOST_BUDGET, MAX_BUDGETS),
            all: Rate::new(ALL_BUDGETS_REFILL, ALL_BUDGETS, 1),
        }
    }

    /// Takes `bytes` out of the budget of the host of `addr`, and of that of all hosts. Returns whether both allow it; if not,
    /// neither is changed.
    pub(super) fn spend(&mut self, addr: SocketAddr, bytes: usize, now: Instant) -> bool {
        let host = host(&addr.ip());
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Some(arrival) = self.hosts.allows(&host, bytes, now) else { return false };
        let Some(together) = self.all.allows(&(), bytes, now) else { return false };
        self.hosts.take(host, arrival);
        self.all.take((), together);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn addr(host: u32, port: u16) -> SocketAddr {
        SocketAddr::from(((0x3200_0000 + host).to_be_bytes(), port))
    }

    proptest! {
        #[test]
        fn no_host_is_sent_more_than_its_budget_and_what_fills_it_again(
            steps in prop::collection::vec((0u64..2_000, 1u16..4, 1usize..65_507), 1..300),
        ) {
            let mut budgets = Budgets::new();
            let start = Instant::now();
            let (mut now, mut sent) = (start, 0);
            for (gap, port, bytes) in steps {
                now += Duration::from_millis(gap);
                if budgets.spend(addr(1, port), bytes, now) {
                    sent += bytes;
                }
                let elapsed = (now - start).as_millis() as usize;
                prop_assert!(sent <= 256_000 + 8 * elapsed, "{sent} in {elapsed} ms");
            }
        }
    }

    #[test]
    fn all_hosts_together_are_sent_four_megabytes_and_one_more_a_second() {
        let (mut budgets, start) = (Budgets::new(), Instant::now());
        let mut sent = |second: u64| {
            let now = start + Duration::from_secs(second);
            (0..500).filter(|host| budgets.spend(addr(1_000 * second as u32 + host, 1), 50_000, now)).count() * 50_000
        };
        assert_eq!([sent(0), sent(1), sent(2)], [4_000_000, 1_000_000, 1_000_000]);
    }

    #[test]
    fn the_hosts_that_are_remembered_are_bounded_and_forgotten_when_their_budget_is_whole() {
        let (mut budgets, now) = (Budgets::new(), Instant::now());
        assert!((0..MAX_BUDGETS as u32 + 100).all(|host| budgets.spend(addr(host, 1), 100, now)));
        assert_eq!(budgets.hosts.len(), MAX_BUDGETS);
        assert!(budgets.spend(addr(0, 1), 100, now + Duration::from_secs(60)));
        assert_eq!(budgets.hosts.len(), 1);
    }

    #[test]
    fn a_legacy_node_reads_fifty_kilobytes_each_fifteen_seconds_for_ever() {
        let (mut budgets, start) = (Budgets::new(), Instant::now());
        let reads = |n: u64| start + Duration::from_secs(15 * n);
        assert!((0..10_000).all(|n| budgets.spend(addr(1, 1), 50_300, reads(n))));
    }
}
