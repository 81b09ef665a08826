//! Unanswered queries: how many go to an address that has never answered. A node that names a victim's address to us, or
//! forges it as its own, must not have us send there more than the victim can bear.

use std::collections::VecDeque;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::protocol::lru::Lru;
use crate::protocol::peer::{AddressScope, host};

/// Sends of one query, the first included, to an address that has answered before. A line that loses a tenth each way
/// fails one query in 150 then, and one in five that is sent once.
pub const MAX_SENDS: u32 = 3;
/// Sends of one query, the first included, to an address that has never answered: there may be no node.
pub const MAX_SENDS_UNANSWERED: u32 = 2;
/// Addresses without an answer whose queries are counted, and as many hosts. Beyond it the one queried longest ago starts
/// afresh: the queries of 136 lookups within a minute, all to different addresses without a node.
pub const MAX_UNANSWERED_ADDRESSES: usize = 8_192;
/// Addresses that are remembered as having answered, which are queried without a limit. Beyond it the one that answered
/// longest ago is forgotten.
pub const MAX_ANSWERED_ADDRESSES: usize = 16_384;
/// The time within which [`max_unanswered`](crate::protocol::config::LookupConfig::max_unanswered) queries may be sent.
pub const UNANSWERED_WINDOW: Duration = Duration::from_secs(60);
/// The queries that all ports of a global host get together before any of them has answered, in multiples of what one gets.
pub const PORTS_TOGETHER: usize = 3;

/// The source of the address that a query goes to, which decides how often it may be sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// The application named it: the queries to it have no budget.
    Application,
    /// Other nodes named it: until it has answered, each send counts in its
    /// [budget](crate::protocol::pending::Pending::may_ask).
    Others,
    /// A request came in its name. That request's bytes pay for what is sent to it, so a query is sent once.
    Request,
}

impl NamedBy {
    /// Sends of one query, the first included, to an address that has `answered` before, or has not.
    fn max_sends(self, answered: bool) -> u32 {
        match self {
            NamedBy::Application | NamedBy::Others if answered => MAX_SENDS,
            NamedBy::Application | NamedBy::Others => MAX_SENDS_UNANSWERED,
            NamedBy::Request => 1,
        }
    }
}

/// The addresses that have answered, and what each of the others was sent within the window.
#[derive(Debug)]
pub(crate) struct Unanswered {
    answered: Lru<SocketAddr, ()>,
    addresses: Sent<SocketAddr>,
    hosts: Sent<IpAddr>,
}

impl Unanswered {
    /// A budget of `limit` queries to one address in [`UNANSWERED_WINDOW`].
    pub(crate) fn new(limit: u32) -> Self {
        let limit = limit as usize;
        Self {
            answered: Lru::new(MAX_ANSWERED_ADDRESSES),
            addresses: Sent::new(limit),
            hosts: Sent::new(limit.saturating_mul(PORTS_TOGETHER)),
        }
    }

    /// Returns whether one more query may go to `addr`. If so, and no answer from there is known, it counts.
    pub(crate) fn admit(&mut self, addr: SocketAddr, now: Instant) -> bool {
        if self.answered.get(&addr).is_some() {
            return true;
        }
        // On this machine and in private networks one host may well be many nodes.
        let host = Some(host(&addr.ip())).filter(|ip| AddressScope::of(ip).is_global());
        if !self.addresses.allows(&addr, now) || !host.is_none_or(|host| self.hosts.allows(&host, now)) {
            return false;
        }
        self.addresses.count(addr, now);
        if let Some(host) = host {
            self.hosts.count(host, now);
        }
        true
    }

    /// Returns whether a query that was sent `sends` times to `addr` may be sent once more. If so, and no answer from there is
    /// known, it counts as another query does.
    pub(crate) fn may_send_again(&mut self, addr: SocketAddr, named_by: NamedBy, sends: u32, now: Instant) -> bool {
        sends < named_by.max_sends(self.answered.get(&addr).is_some())
            && (named_by == NamedBy::Application || self.admit(addr, now))
    }

    /// The number of addresses that have answered, of the others, and of the hosts of those.
    pub(crate) fn sizes(&self) -> [usize; 3] {
        [self.answered.len(), self.addresses.at.len(), self.hosts.at.len()]
    }

    /// An answer came from `addr`.
    pub(crate) fn answered(&mut self, addr: SocketAddr) {
        self.answered.insert(&addr, ());
        self.addresses.at.remove(&addr);
        self.hosts.at.remove(&host(&addr.ip()));
    }
}

/// The times at which each key was sent its queries within the last window.
#[derive(Debug)]
struct Sent<K> {
    limit: usize,
    at: Lru<K, VecDeque<Instant>>,
}

impl<K: Copy + Eq + Hash> Sent<K> {
    fn new(limit: usize) -> Self {
        Self { limit, at: Lru::new(MAX_UNANSWERED_ADDRESSES) }
    }

    fn allows(&self, key: &K, now: Instant) -> bool {
        self.at.get(key).is_none_or(|sent| sent.iter().filter(|at| is_recent(at, now)).count() < self.limit)
    }

    fn count(&mut self, key: K, now: Instant) {
        self.at.forget_while(|sent| !sent.back().is_some_and(|last| is_recent(last, now)));
        let mut sent = self.at.remove(&key).unwrap_or_default();
        while sent.front().is_some_and(|at| !is_recent(at, now)) {
            sent.pop_front();
        }
        sent.push_back(now);
        self.at.insert(&key, sent);
    }
}

fn is_recent(at: &Instant, now: Instant) -> bool {
    now.saturating_duration_since(*at) < UNANSWERED_WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addr(host: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, (host >> 8) as u8, host as u8], 7))
    }

    /// The number of 100 queries that are admitted.
    fn at_once(unanswered: &mut Unanswered, addr: SocketAddr, now: Instant) -> usize {
        (0..100).filter(|_| unanswered.admit(addr, now)).count()
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
                let within = |sent: &[Instant]| sent.iter().filter(|at| is_recent(at, now)).count();
                let admitted = unanswered.admit(addr(1), now);
                prop_assert_eq!(admitted, within(&sent) < limit as usize);
                if admitted {
                    sent.push(now);
                }
            }
        }
    }

    #[test]
    fn all_of_it_may_be_sent_at_once_and_an_address_that_has_answered_is_sent_any_number() {
        let (mut unanswered, now) = (Unanswered::new(10), Instant::now());
        assert_eq!(at_once(&mut unanswered, addr(1), now), 10);
        assert_eq!(at_once(&mut unanswered, addr(1), now + UNANSWERED_WINDOW / 2), 0);
        assert_eq!(at_once(&mut unanswered, addr(1), now + UNANSWERED_WINDOW), 10);
        assert!(unanswered.admit(addr(2), now), "other addresses are counted apart");
        unanswered.answered(addr(1));
        assert_eq!(at_once(&mut unanswered, addr(1), now + UNANSWERED_WINDOW), 100);
    }

    #[test]
    fn all_ports_of_a_global_host_get_three_times_as_much_until_one_of_them_answers() {
        let (mut unanswered, now) = (Unanswered::new(10), Instant::now());
        let port = |ip: [u8; 4], port: u16| SocketAddr::from((ip, port));
        let ports =
            |unanswered: &mut Unanswered, ip| (1..=1_000).filter(|n| unanswered.admit(port(ip, *n), now)).count();
        assert_eq!(ports(&mut unanswered, [45, 0, 0, 1]), 30);
        assert_eq!(ports(&mut unanswered, [45, 0, 0, 2]), 30);
        unanswered.answered(port([45, 0, 0, 1], 2_000));
        assert_eq!(ports(&mut unanswered, [45, 0, 0, 1]), 30);
        assert_eq!(ports(&mut unanswered, [10, 0, 0, 1]), 1_000, "private hosts may be many nodes");
        let v6 = |n: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 1, 0, 0, 0, n], 7));
        assert_eq!((0..1_000).filter(|n| unanswered.admit(v6(*n), now)).count(), 30);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_goes_with_its_time() {
        let (mut unanswered, now) = (Unanswered::new(10), Instant::now());
        assert!((0..20_000).all(|host| unanswered.admit(addr(host), now)));
        assert_eq!(unanswered.addresses.at.len(), MAX_UNANSWERED_ADDRESSES);
        assert!(unanswered.admit(addr(1), now + UNANSWERED_WINDOW));
        assert_eq!(unanswered.addresses.at.len(), 1);
        (0..20_000).for_each(|host| unanswered.answered(addr(host)));
        assert_eq!(unanswered.answered.len(), MAX_ANSWERED_ADDRESSES);
    }
}
