//! How often an address is asked that never answered: whoever names a victim's address to us, or sends in its name, must
//! not have us send it more than it can bear.

use std::collections::VecDeque;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::Target;
use super::resends::NamedBy;
use crate::protocol::peer::AddressScope;
use crate::protocol::recency::RecencyMap;

/// Addresses without an answer whose queries are counted, and as many hosts. Beyond it the one asked longest ago starts
/// afresh: the queries of 136 lookups within a minute, all to different addresses at which nobody is.
pub const MAX_UNANSWERED_ADDRESSES: usize = 8_192;
/// Addresses that are remembered as having answered, which are asked as often as anybody likes. Beyond it the one that
/// answered longest ago is forgotten.
pub const MAX_ANSWERED_ADDRESSES: usize = 16_384;
/// In what time [`Config::max_unanswered`](crate::protocol::config::Config::max_unanswered) may be sent.
pub const UNANSWERED_WINDOW: Duration = Duration::from_secs(60);
/// How many times as much as one address all ports of a global host get at which nobody has answered.
pub const PORTS_TOGETHER: usize = 3;

/// Who has answered, and what each of the others was sent within the window.
#[derive(Debug)]
pub(super) struct Unanswered {
    answered: RecencyMap<SocketAddr, ()>,
    addresses: Sent<SocketAddr>,
    hosts: Sent<IpAddr>,
}

impl Unanswered {
    /// At most `limit` queries in [`UNANSWERED_WINDOW`].
    pub(super) fn new(limit: u32) -> Self {
        let limit = limit as usize;
        Self {
            answered: RecencyMap::new(MAX_ANSWERED_ADDRESSES),
            addresses: Sent::new(limit),
            hosts: Sent::new(limit.saturating_mul(PORTS_TOGETHER)),
        }
    }

    /// Whether one more query may go to `addr`; if so, and nobody is known to have answered there, it counts.
    pub(super) fn admit(&mut self, addr: SocketAddr, now: Instant) -> bool {
        if self.answered.get(&addr).is_some() {
            return true;
        }
        // On this machine and in private networks one host may well be many nodes.
        let host = Some(host(addr.ip())).filter(|ip| AddressScope::of(ip).is_global());
        if !self.addresses.bears(&addr, now) || !host.is_none_or(|host| self.hosts.bears(&host, now)) {
            return false;
        }
        self.addresses.count(addr, now);
        if let Some(host) = host {
            self.hosts.count(host, now);
        }
        true
    }

    /// Whether a query that was sent `sends` times to `target` may be sent once more. If so, and nothing is known to have
    /// answered there, it counts as another query does.
    pub(super) fn may_send_again(&mut self, target: &Target, sends: u32, now: Instant) -> bool {
        let answered = self.answered.get(&target.addr).is_some();
        sends < target.named_by.max_sends(answered)
            && (target.named_by == NamedBy::Application || self.admit(target.addr, now))
    }

    /// How many are remembered: of those who have answered, of the other addresses, and of their hosts.
    pub(super) fn sizes(&self) -> [usize; 3] {
        [self.answered.len(), self.addresses.at.len(), self.hosts.at.len()]
    }

    /// Somebody at `addr` answered.
    pub(super) fn answered(&mut self, addr: SocketAddr) {
        self.answered.touch(addr, ());
        self.addresses.forget(&addr);
        self.hosts.forget(&host(addr.ip()));
    }
}

/// An IPv4 address, or an IPv6 /64, since a host is handed that many.
fn host(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => std::net::Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// When each was sent its queries within the last window.
#[derive(Debug)]
struct Sent<K> {
    limit: usize,
    at: RecencyMap<K, VecDeque<Instant>>,
}

impl<K: Copy + Eq + Hash> Sent<K> {
    fn new(limit: usize) -> Self {
        Self { limit, at: RecencyMap::new(MAX_UNANSWERED_ADDRESSES) }
    }

    fn bears(&self, key: &K, now: Instant) -> bool {
        self.at.get(key).is_none_or(|sent| sent.iter().filter(|at| is_recent(at, now)).count() < self.limit)
    }

    fn count(&mut self, key: K, now: Instant) {
        while self.at.oldest().is_some_and(|(_, sent)| !sent.back().is_some_and(|last| is_recent(last, now))) {
            self.at.pop_oldest();
        }
        let mut sent = self.at.remove(&key).unwrap_or_default();
        while sent.front().is_some_and(|at| !is_recent(at, now)) {
            sent.pop_front();
        }
        sent.push_back(now);
        self.at.touch(key, sent);
    }

    fn forget(&mut self, key: &K) {
        self.at.remove(key);
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

    /// How many of 100 are admitted.
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
    fn all_of_it_may_be_sent_at_once_and_whoever_has_answered_is_sent_any_number() {
        let (mut unanswered, now) = (Unanswered::new(10), Instant::now());
        assert_eq!(at_once(&mut unanswered, addr(1), now), 10);
        assert_eq!(at_once(&mut unanswered, addr(1), now + UNANSWERED_WINDOW / 2), 0);
        assert_eq!(at_once(&mut unanswered, addr(1), now + UNANSWERED_WINDOW), 10);
        assert!(unanswered.admit(addr(2), now), "of others it says nothing");
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
