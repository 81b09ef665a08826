//! Recent peers: those that answered a query of a lookup in the last minutes, from which further lookups begin besides the
//! routing table. It holds what peers showed themselves, never what others named, and proves nothing: a lookup queries each of
//! them again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::trace::{CameBack, Trace};
use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::id::NodeId;
use crate::protocol::lru::Expiring;
use crate::protocol::peer::{Peer, Subnet, nearest};

/// Recent peers that are remembered: those of some ten lookups. Each answer and each beginning lookup looks at all of them. Beyond it the one that answered longest ago is forgotten.
pub const MAX_RECENT_PEERS: usize = 256;
/// How long a peer is remembered after its last answer to a lookup. Where the half-life of nodes is an hour, one in twenty has
/// gone by then.
pub const RECENT_FOR: Duration = Duration::from_secs(300);

/// The peers that answered lookups lately, each under the id that it claimed, by address: one id for each address, and one address for
/// each id, the latest that answered. So an id that is claimed at many addresses takes the place of one peer.
///
/// Of one subnet it holds as many as count in a lookup (`max_per_subnet_lookup`), so that one owner cannot fill it from one
/// network; the one of them that answered longest ago makes room.
#[derive(Debug)]
pub struct RecentPeers {
    peers: Expiring<SocketAddr, (NodeId, Option<Subnet>)>,
    diversity: AppliesTo,
    max_per_subnet: usize,
}

impl RecentPeers {
    /// No peers, with the limits of `config`.
    pub fn new(config: &Config) -> Self {
        Self {
            peers: Expiring::new(MAX_RECENT_PEERS, RECENT_FOR),
            diversity: config.table.diversity,
            max_per_subnet: config.table.max_per_subnet_lookup,
        }
    }

    /// The number of peers that are remembered (0..=[`MAX_RECENT_PEERS`]).
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Takes in what the queries of a lookup that has just ended showed: the peers that answered are remembered, and those that
    /// were silent, or have another id by now, are forgotten.
    pub fn learn(&mut self, trace: &Trace, now: Instant) {
        for asked in &trace.asked {
            match asked.came_back {
                CameBack::Peers { .. } | CameBack::Value | CameBack::Unsupported => self.answered(asked.peer, now),
                CameBack::Silent | CameBack::WrongId { .. } => self.peers.remove(&asked.peer.addr),
                CameBack::Pending | CameBack::Unsent => {}
            }
        }
    }

    /// The `count` peers nearest to `target` of those that are not outdated, nearest first.
    pub fn nearest(&self, target: &NodeId, count: usize, now: Instant) -> Vec<Peer> {
        let peers = self.peers.iter(now).map(|(addr, (id, _))| Peer::new(*id, *addr));
        nearest(peers.collect(), target, count)
    }

    fn answered(&mut self, peer: Peer, now: Instant) {
        let subnet = self.diversity.subnet(&peer.addr.ip());
        // It comes to the end of the order, and its place in the subnet is its own.
        self.peers.remove(&peer.addr);
        let (mut same_id, mut of_subnet, mut oldest) = (None, 0, None);
        for (addr, (id, other)) in self.peers.iter(now) {
            if *id == peer.id {
                same_id = Some(*addr);
            } else if subnet.is_some() && *other == subnet {
                of_subnet += 1;
                oldest.get_or_insert(*addr);
            }
        }
        let crowded = oldest.filter(|_| of_subnet >= self.max_per_subnet);
        same_id.into_iter().chain(crowded).for_each(|addr| self.peers.remove(&addr));
        self.peers.insert(peer.addr, (peer.id, subnet), now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Failure, Goal, Lookup, Next};
    use super::*;
    use crate::protocol::entropy::SeededEntropy;
    use crate::protocol::prefix::Prefix;

    /// A global address in a /24 of its own, for numbers below 2^16.
    fn address(number: usize) -> SocketAddr {
        SocketAddr::from(([45, (number >> 8) as u8, number as u8, 1], 4_000))
    }

    fn peer(number: usize) -> Peer {
        Peer::new(NodeId::of_key(&number.to_string()), address(number))
    }

    fn config() -> Config {
        Config::builder().build().unwrap()
    }

    /// The trace of a lookup whose peers fail as `fails` says, or answer.
    fn trace(peers: &[Peer], fails: impl Fn(&Peer) -> Option<Failure>, now: Instant) -> Trace {
        let config = Config::builder().k(100).build().unwrap();
        let target = NodeId::of_key("target");
        let mut lookup = Lookup::new(NodeId::of_key("own"), target, Goal::Nodes, &config, false, peers, now);
        while let Next::Query(asked) = lookup.next(now) {
            match fails(&asked) {
                // What an answer names is not verified by it.
                None => lookup.handle_peers(&asked, &[], now),
                Some(why) => lookup.handle_failure(&asked, why, now),
            }
        }
        lookup.into_trace()
    }

    fn learn(recent: &mut RecentPeers, peers: impl IntoIterator<Item = Peer>, now: Instant) {
        peers.into_iter().for_each(|peer| recent.learn(&trace(&[peer], |_| None, now), now));
    }

    fn all(recent: &RecentPeers, now: Instant) -> Vec<Peer> {
        recent.nearest(&NodeId::ZERO, usize::MAX, now)
    }

    #[test]
    fn the_nearest_of_the_peers_that_answered_come_first() {
        let (mut recent, now) = (RecentPeers::new(&config()), Instant::now());
        learn(&mut recent, (0..200).map(peer), now);
        let mut entropy = SeededEntropy::new(1);
        for count in [0, 1, 20, 200, 300] {
            let target = Prefix::ALL.random_id(&mut entropy);
            let mut expected: Vec<Peer> = (0..200).map(peer).collect();
            expected.sort_by_key(|peer| peer.id.distance(&target));
            expected.truncate(count);
            assert_eq!(recent.nearest(&target, count, now), expected);
        }
    }

    #[test]
    fn only_peers_that_answered_themselves_enter() {
        let (mut recent, now) = (RecentPeers::new(&config()), Instant::now());
        let named: Vec<Peer> = (0..5).map(peer).collect();
        let failure = |asked: &Peer| match named.iter().position(|peer| peer == asked) {
            Some(0) => Some(Failure::Silent),
            Some(1) => Some(Failure::Unsent),
            Some(2) => Some(Failure::WrongId { actual: peer(9).id }),
            _ => None,
        };
        recent.learn(&trace(&named, failure, now), now);
        // At the address of the third another id answers, which is asked by that.
        let mut expected = vec![named[3], named[4], Peer::new(peer(9).id, named[2].addr)];
        expected.sort_by_key(|peer| peer.id);
        assert_eq!(all(&recent, now), expected);
    }

    #[test]
    fn a_peer_that_was_silent_since_is_forgotten_and_one_that_was_not_asked_stays() {
        let (mut recent, now) = (RecentPeers::new(&config()), Instant::now());
        learn(&mut recent, (0..3).map(peer), now);
        recent.learn(&trace(&[peer(0)], |_| Some(Failure::Silent), now), now);
        recent.learn(&trace(&[peer(1)], |_| Some(Failure::Unsent), now), now);
        assert_eq!(all(&recent, now).len(), 2);
        assert!(!all(&recent, now).contains(&peer(0)));
        let moved = Peer::new(NodeId::of_key("another"), peer(2).addr);
        learn(&mut recent, [moved], now);
        assert!(all(&recent, now).contains(&moved) && !all(&recent, now).contains(&peer(2)), "an address has one id");
    }

    #[test]
    fn an_id_that_answers_at_many_addresses_is_one_peer_at_the_latest_of_them() {
        let (mut recent, now) = (RecentPeers::new(&config()), Instant::now());
        learn(&mut recent, (0..3).map(peer), now);
        learn(&mut recent, (10..60).map(|number| Peer::new(peer(0).id, address(number))), now);
        let mut expected = vec![Peer::new(peer(0).id, address(59)), peer(1), peer(2)];
        expected.sort_by_key(|peer| peer.id);
        assert_eq!(all(&recent, now), expected);
    }

    #[test]
    fn a_peer_is_forgotten_five_minutes_after_its_last_answer() {
        let (mut recent, now) = (RecentPeers::new(&config()), Instant::now());
        learn(&mut recent, [peer(0), peer(1)], now);
        let later = now + RECENT_FOR / 2;
        learn(&mut recent, [peer(0)], later);
        assert_eq!(all(&recent, now + RECENT_FOR), [peer(0)]);
        assert_eq!(all(&recent, later + RECENT_FOR), []);
        learn(&mut recent, [peer(2)], later + RECENT_FOR);
        assert_eq!(recent.len(), 1, "what is outdated is released");
    }

    #[test]
    fn beyond_256_the_peers_that_answered_longest_ago_are_forgotten() {
        let (mut recent, now) = (RecentPeers::new(&config()), Instant::now());
        learn(&mut recent, (0..MAX_RECENT_PEERS).map(peer), now);
        learn(&mut recent, [peer(0), peer(MAX_RECENT_PEERS)], now);
        let known = all(&recent, now);
        assert_eq!((known.len(), recent.len()), (MAX_RECENT_PEERS, MAX_RECENT_PEERS));
        assert!(known.contains(&peer(0)) && !known.contains(&peer(1)));
    }

    #[test]
    fn a_global_subnet_has_as_many_as_count_in_a_lookup_and_a_private_one_any_number() {
        let (mut recent, now) = (RecentPeers::new(&config()), Instant::now());
        let beside = |ip: [u8; 3], host: u8| {
            let [a, b, c] = ip;
            Peer::new(NodeId::of_key(&format!("{ip:?} {host}")), SocketAddr::from(([a, b, c, host], 4_000)))
        };
        learn(&mut recent, (0..5).map(peer), now);
        learn(&mut recent, (1..100).map(|host| beside([46, 0, 0], host)), now);
        let mut known = all(&recent, now);
        known.retain(|peer| peer.addr.to_string().starts_with("46."));
        known.sort_by_key(|peer| peer.addr);
        assert_eq!(known, [97, 98, 99].map(|host| beside([46, 0, 0], host)), "the latest");
        learn(&mut recent, (1..100).map(|host| beside([10, 0, 0], host)), now);
        assert_eq!(recent.len(), 5 + 3 + 99, "other subnets lose nothing");
        // An answer of one that is known takes no other one's place.
        learn(&mut recent, [beside([46, 0, 0], 98)], now);
        assert_eq!(recent.len(), 5 + 3 + 99);
    }
}
