//! Recent peers: those that answered a query of a lookup in the last minutes, from which further lookups begin besides the
//! routing table. It holds what peers showed themselves, never what others named, and proves nothing: a lookup queries each of
//! them again.

use std::time::{Duration, Instant};

use super::trace::{CameBack, Trace};
use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::growth::reserve_one;
use crate::protocol::id::{NODE_ID_BITS, NodeId};
use crate::protocol::packed::{PackedAddr, PackedPeer};
use crate::protocol::peer::{Peer, Subnet, nearest};

/// Recent peers that are remembered: those of some ten lookups. Beyond it the one that answered longest ago is forgotten.
pub const MAX_RECENT_PEERS: usize = 256;
/// How long a peer is remembered after its last answer to a lookup. Where the half-life of nodes is an hour, one in twenty has
/// gone by then.
pub const RECENT_FOR: Duration = Duration::from_secs(300);

/// The peers that answered lookups lately, each under the id that it claimed: one id for each address, and one address for
/// each id, the latest that answered. So an id that is claimed at many addresses takes the place of one peer.
///
/// Of one subnet it holds as many as count in a lookup (`max_per_subnet_lookup`), so that one owner cannot fill it from one
/// network; the one of them that answered longest ago makes room.
#[derive(Debug)]
pub struct RecentPeers {
    /// In the order of their ids, so that those near a target lie side by side, and one that answers again is found at once.
    peers: Vec<Recent>,
    /// How many answers there were so far.
    answers: u64,
    diversity: AppliesTo,
    max_per_subnet: usize,
}

#[derive(Debug, Clone, Copy)]
struct Recent {
    peer: PackedPeer,
    /// The subnet of its address, where the number of a subnet's peers is limited.
    subnet: Option<Subnet>,
    /// When the lookup ended that it last answered.
    at: Instant,
    /// Which answer that was: those of one lookup have one time.
    answer: u64,
}

impl Recent {
    fn is_outdated(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= RECENT_FOR
    }
}

impl RecentPeers {
    /// No peers, with the limits of `config`.
    pub fn new(config: &Config) -> Self {
        Self {
            peers: Vec::new(),
            answers: 0,
            diversity: config.table.diversity,
            max_per_subnet: config.table.max_per_subnet_lookup,
        }
    }

    /// The number of peers that are remembered (0..=[`MAX_RECENT_PEERS`]).
    pub fn count(&self) -> usize {
        self.peers.len()
    }

    /// Takes in what the queries of a lookup that has just ended showed: the peers that answered are remembered, and those that
    /// were silent, or have another id by now, are forgotten.
    pub fn learn(&mut self, trace: &Trace, now: Instant) {
        self.peers.retain(|recent| !recent.is_outdated(now));
        for asked in &trace.asked {
            match asked.came_back {
                CameBack::Peers { .. } | CameBack::Value | CameBack::Unsupported => self.answered(asked.peer, now),
                CameBack::Silent | CameBack::WrongId { .. } => {
                    let addr = PackedAddr::from(asked.peer.addr);
                    self.peers.retain(|recent| recent.peer.addr != addr);
                }
                CameBack::Pending | CameBack::Unsent => {}
            }
        }
    }

    /// The `count` peers nearest to `target` of those that are not outdated, nearest first.
    pub fn nearest(&self, target: &NodeId, count: usize, now: Instant) -> Vec<Peer> {
        let valid = |range: &[Recent]| range.iter().filter(|recent| !recent.is_outdated(now)).count();
        // Those that share more first bits with the target are nearer than all others, and lie side by side.
        let mut range = self.peers.as_slice();
        for bit in 0..NODE_ID_BITS {
            let (zero, one) = range.split_at(range.partition_point(|recent| !recent.peer.id.bit(bit)));
            let half = if target.bit(bit) { one } else { zero };
            if valid(half) < count {
                break;
            }
            range = half;
        }
        let of_range = range.iter().filter(|recent| !recent.is_outdated(now)).map(|recent| recent.peer.into());
        nearest(of_range.collect(), target, count)
    }

    fn answered(&mut self, peer: Peer, now: Instant) {
        self.answers += 1;
        let (answer, subnet) = (self.answers, self.diversity.subnet(&peer.addr.ip()));
        let peer = PackedPeer::from(peer);
        if let Ok(at) = self.place(&peer.id)
            && self.peers[at].peer == peer
        {
            self.peers[at] = Recent { at: now, answer, ..self.peers[at] };
            return;
        }
        self.peers.retain(|recent| recent.peer.id != peer.id && recent.peer.addr != peer.addr);
        let is_beside = |recent: &Recent| recent.subnet == subnet;
        if subnet.is_some() && self.peers.iter().filter(|recent| is_beside(recent)).count() >= self.max_per_subnet {
            self.forget_oldest(is_beside);
        }
        if self.peers.len() >= MAX_RECENT_PEERS {
            self.forget_oldest(|_| true);
        }
        reserve_one(&mut self.peers);
        let (Ok(at) | Err(at)) = self.place(&peer.id);
        self.peers.insert(at, Recent { peer, subnet, at: now, answer });
    }

    /// The place of the peer with `id`, or where it would be.
    fn place(&self, id: &NodeId) -> Result<usize, usize> {
        self.peers.binary_search_by_key(id, |recent| recent.peer.id)
    }

    fn forget_oldest(&mut self, of: impl Fn(&Recent) -> bool) {
        let candidates = self.peers.iter().enumerate().filter(|(_, recent)| of(recent));
        if let Some((at, _)) = candidates.min_by_key(|(_, recent)| recent.answer) {
            self.peers.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Failure, Goal, Lookup, Next};
    use std::net::SocketAddr;

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
        let mut entropy = SeededEntropy::new(1);
        // Half of them are beside one id, as those are that a node looks up again and again.
        let crowd = Prefix::of(&NodeId::of_key("crowd"), 20);
        let peers: Vec<Peer> = (0..200)
            .map(|number| match number % 2 {
                0 => peer(number),
                _ => Peer::new(crowd.random_id(&mut entropy), address(number)),
            })
            .collect();
        // At `later` the first hundred are outdated, and still remembered.
        let later = now + RECENT_FOR + Duration::from_millis(1);
        learn(&mut recent, peers[..100].iter().copied(), now);
        learn(&mut recent, peers[100..].iter().copied(), now + RECENT_FOR / 2);
        for (at, valid) in [(now + RECENT_FOR / 2, &peers[..]), (later, &peers[100..]), (later + RECENT_FOR, &[])] {
            for (round, count) in [0, 1, 2, 3, 20, 50, 100, 200, 300].into_iter().cycle().take(90).enumerate() {
                let target = if round % 2 == 0 { Prefix::ALL } else { crowd }.random_id(&mut entropy);
                let mut expected = valid.to_vec();
                expected.sort_by_key(|peer| peer.id.distance(&target));
                expected.truncate(count);
                assert_eq!(recent.nearest(&target, count, at), expected, "{count} at {target}");
            }
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
        learn(&mut recent, [peer(1), peer(0)], now);
        let later = now + RECENT_FOR / 2;
        learn(&mut recent, [peer(0)], later);
        assert_eq!(all(&recent, now + RECENT_FOR), [peer(0)]);
        assert_eq!(all(&recent, later + RECENT_FOR), []);
        learn(&mut recent, [peer(2)], later + RECENT_FOR);
        assert_eq!(recent.count(), 1, "what is outdated is released");
    }

    #[test]
    fn beyond_256_the_peers_that_answered_longest_ago_are_forgotten() {
        let (mut recent, now) = (RecentPeers::new(&config()), Instant::now());
        learn(&mut recent, (0..MAX_RECENT_PEERS).map(peer), now);
        learn(&mut recent, [peer(0), peer(MAX_RECENT_PEERS)], now);
        let known = all(&recent, now);
        assert_eq!((known.len(), recent.count()), (MAX_RECENT_PEERS, MAX_RECENT_PEERS));
        assert!(known.contains(&peer(0)) && !known.contains(&peer(1)));

        // Of one lookup those go that were asked first.
        let traces = [0, 100, 200].map(|from| trace(&(from..from + 100).map(peer).collect::<Vec<_>>(), |_| None, now));
        let mut recent = RecentPeers::new(&config());
        traces.iter().for_each(|trace| recent.learn(trace, now));
        let asked = traces.iter().flat_map(|trace| &trace.asked).map(|asked| asked.peer);
        let mut expected: Vec<Peer> = asked.skip(300 - MAX_RECENT_PEERS).collect();
        expected.sort_by_key(|peer| peer.id);
        assert_eq!(all(&recent, now), expected);
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
        assert_eq!(recent.count(), 5 + 3 + 99, "other subnets lose nothing");
        // An answer of one that is known takes no other one's place.
        learn(&mut recent, [beside([46, 0, 0], 98)], now);
        assert_eq!(recent.count(), 5 + 3 + 99);
    }
}
