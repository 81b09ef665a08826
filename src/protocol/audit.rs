//! One audit: which of the nearest peers report that they hold a key. It places nothing and sends nothing: its owner queries the
//! peers that it names (`check_store`) and reports their answers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::config::Config;
use super::id::NodeId;
use super::lookup::Failure;
use super::peer::Peer;
use super::placement::{Fate, Mode, Placement, Step, targets};
use super::seconds;

/// A copy that a peer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Replica {
    /// The holder.
    pub peer: Peer,
    /// The time until it expires, where the holder reports that: legacy nodes do not.
    #[serde(serialize_with = "seconds::serialize")]
    pub expires_in: Option<Duration>,
}

/// The peers' answers about a key. Each peer of the audit is in exactly one of these lists, nearest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Replicas {
    /// Peers that report a full copy which is not [about to end](Config::nearly_expired). Legacy nodes count their cached copies
    /// too.
    pub confirmed: Vec<Replica>,
    /// Peers that report a full copy which is about to end, and the time. It can be read, but not relied on: the copies of a
    /// living publisher are renewed earlier.
    pub expiring: Vec<Replica>,
    /// Peers that report none.
    pub missing: Vec<Peer>,
    /// Peers that answered neither of two queries; or another node answered in their place.
    pub silent: Vec<Peer>,
    /// Peers that were not queried: this node was busy, or the deadline passed.
    pub unasked: Vec<Peer>,
}

impl Replicas {
    /// The number of peers of the audit.
    pub fn len(&self) -> usize {
        self.answered() + self.silent.len() + self.unasked.len()
    }

    /// Returns whether there was no peer to query.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of peers that answered.
    pub fn answered(&self) -> usize {
        self.confirmed.len() + self.expiring.len() + self.missing.len()
    }

    /// The shortest known time until a copy expires.
    pub fn earliest_expiry(&self) -> Option<Duration> {
        self.confirmed.iter().chain(&self.expiring).filter_map(|replica| replica.expires_in).min()
    }
}

/// One audit. Call [`Audit::next`] until it is not [`Step::Check`], and again after each event; it never returns
/// [`Step::Store`].
///
/// Slots, retries and the deadline are those of a [`Placement`]: at most alpha queries hold a slot, and a silent peer is
/// queried once more. Events about a peer without a query in flight are ignored.
#[derive(Debug, Clone)]
pub struct Audit {
    round: Placement,
    /// The k nearest peers that the lookup found.
    nearest: Vec<NodeId>,
    /// The seconds left that peers reported, whether they report the key or not.
    seconds_left: HashMap<NodeId, u32>,
}

impl Audit {
    /// An audit of `key` at the targets of a placement: the k nearest of `closest`, which a lookup found; with `mixed` also the
    /// k nearest of `own_table` (see [`targets`]).
    pub fn new(key: &NodeId, config: &Config, closest: &[Peer], own_table: &[Peer], mixed: bool, now: Instant) -> Self {
        let nearest = targets(key, config.lookup.k, closest, &[], false).iter().map(|peer| peer.id).collect();
        let asked = targets(key, config.lookup.k, closest, own_table, mixed);
        Self { round: Placement::new(Mode::Audit, &asked, config, now), nearest, seconds_left: HashMap::new() }
    }

    /// The next step.
    pub fn next(&mut self, now: Instant) -> Step {
        self.round.next(now)
    }

    /// `from` answered a `check_store`: whether it holds a full copy with time left, and the seconds until a full copy expires.
    pub fn handle_checked(&mut self, from: &NodeId, has_key: bool, ttl: Option<u32>) {
        // A peer is reported once; answers without a query in flight do not count.
        if self.round.handle_checked(from, has_key)
            && let Some(ttl) = ttl
        {
            self.seconds_left.insert(*from, ttl);
        }
    }

    /// `from` is slower than its expected round trip: its slot is free, but it may still answer.
    pub fn handle_slow(&mut self, from: &NodeId) {
        self.round.handle_slow(from);
    }

    /// The query to `from` failed.
    pub fn handle_failure(&mut self, from: &NodeId, why: Failure) {
        self.round.handle_failure(from, why);
    }

    /// The answers of the k nearest, and of the other peers. Complete once the audit is finished.
    pub fn report(&self) -> (Replicas, Replicas) {
        let (mut nearest, mut beyond) = (Replicas::default(), Replicas::default());
        for (peer, fate) in self.round.fates() {
            let into = if self.nearest.contains(&peer.id) { &mut nearest } else { &mut beyond };
            let expires_in = self.seconds_left.get(&peer.id).map(|seconds| Duration::from_secs(u64::from(*seconds)));
            let replica = Replica { peer, expires_in };
            match fate {
                Some(Fate::HeldAlready) => into.confirmed.push(replica),
                Some(Fate::Lacking) if expires_in.is_some() => into.expiring.push(replica),
                Some(Fate::Lacking) => into.missing.push(peer),
                Some(Fate::Silent | Fate::WrongId) => into.silent.push(peer),
                // An audit stores nothing.
                Some(Fate::Unsent | Fate::Unreached | Fate::Stored | Fate::Refused) | None => into.unasked.push(peer),
            }
        }
        (nearest, beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::entropy::{Entropy, SeededEntropy};
    use proptest::prelude::*;

    /// In order of distance from the key zero.
    fn near(number: u8) -> Peer {
        let mut id = [0; 20];
        id[0] = number + 1;
        Peer::new(NodeId::from_bytes(id), ([127, 0, 0, 1], 4_000 + u16::from(number)).into())
    }

    fn all_near(numbers: std::ops::Range<u8>) -> Vec<Peer> {
        numbers.map(near).collect()
    }

    fn config(k: usize, alpha: usize) -> Config {
        Config::builder().k(k).alpha(alpha).build().unwrap()
    }

    /// The peers that it queries before it waits or ends.
    fn asks(audit: &mut Audit, now: Instant) -> Vec<Peer> {
        std::iter::from_fn(|| match audit.next(now) {
            Step::Check(peer) => Some(peer),
            _ => None,
        })
        .collect()
    }

    proptest! {
        /// For all answers in any order, an audit ends, has at most alpha slots, queries no peer more than twice, stores
        /// nothing, and reports each peer once.
        #[test]
        fn every_audit_ends_and_reports_each_peer_once(
            seed: u64, found in 0u8..30, table in 0u8..30, k in 1usize..25, alpha in 1usize..6, mixed: bool,
        ) {
            let mut entropy = SeededEntropy::new(seed);
            let mut now = Instant::now();
            let (closest, own_table) = (all_near(0..found), all_near(found / 2..found / 2 + table));
            let mut audit = Audit::new(&NodeId::ZERO, &config(k, alpha), &closest, &own_table, mixed, now);
            let mut in_flight: Vec<NodeId> = Vec::new();
            let mut sent = vec![0; 64];
            loop {
                match audit.next(now) {
                    Step::Check(peer) => {
                        in_flight.push(peer.id);
                        sent[usize::from(peer.id.as_bytes()[0])] += 1;
                        prop_assert!(in_flight.len() <= alpha);
                    }
                    Step::Store(_) => prop_assert!(false, "an audit stores nothing"),
                    // Only slow ones are left.
                    Step::Wait { until } if in_flight.is_empty() => now = until,
                    Step::Wait { until } => {
                        let id = in_flight.swap_remove(entropy.below(in_flight.len() as u64) as usize);
                        now += Duration::from_millis(entropy.below(60));
                        match entropy.below(20) {
                            0..9 => audit.handle_checked(&id, entropy.below(2) == 0, Some(7).filter(|_| mixed)),
                            9..14 => audit.handle_failure(&id, Failure::Silent),
                            14..16 => audit.handle_failure(&id, Failure::WrongId { actual: NodeId::ZERO }),
                            16..18 => audit.handle_failure(&id, Failure::Unsent),
                            18 => audit.handle_slow(&id),
                            _ => now = until,
                        }
                    }
                    Step::Finished => break,
                }
            }
            prop_assert!(sent.iter().all(|sent| *sent <= 2));
            let (nearest, beyond) = audit.report();
            prop_assert_eq!(nearest.len(), usize::from(found).min(k));
            let mut reported: Vec<NodeId> = Vec::new();
            for part in [&nearest, &beyond] {
                for replicas in [&part.confirmed, &part.expiring] {
                    reported.extend(replicas.iter().map(|replica| replica.peer.id));
                }
                for peers in [&part.missing, &part.silent, &part.unasked] {
                    prop_assert!(peers.is_sorted_by_key(|peer| peer.id.distance(&NodeId::ZERO)));
                    reported.extend(peers.iter().map(|peer| peer.id));
                }
            }
            reported.sort();
            let mut expected: Vec<NodeId> =
                targets(&NodeId::ZERO, k, &closest, &own_table, mixed).iter().map(|peer| peer.id).collect();
            expected.sort();
            prop_assert_eq!(reported, expected);
        }
    }

    #[test]
    fn the_answer_of_a_peer_decides_its_list() {
        let now = Instant::now();
        let mut audit = Audit::new(&NodeId::ZERO, &config(6, 6), &all_near(0..6), &[], false, now);
        assert_eq!(asks(&mut audit, now), all_near(0..6));
        audit.handle_checked(&near(0).id, true, Some(900));
        audit.handle_checked(&near(1).id, true, None);
        audit.handle_checked(&near(2).id, false, Some(30));
        audit.handle_checked(&near(3).id, false, None);
        audit.handle_failure(&near(4).id, Failure::WrongId { actual: NodeId::ZERO });
        audit.handle_failure(&near(5).id, Failure::Unsent);
        assert_eq!(asks(&mut audit, now), [near(5)], "it is tried once more");
        audit.handle_failure(&near(5).id, Failure::Unsent);
        assert_eq!(audit.next(now), Step::Finished);
        let (nearest, beyond) = audit.report();
        let replica =
            |number, seconds: Option<u64>| Replica { peer: near(number), expires_in: seconds.map(Duration::from_secs) };
        assert_eq!(nearest.confirmed, [replica(0, Some(900)), replica(1, None)]);
        assert_eq!(nearest.expiring, [replica(2, Some(30))]);
        assert_eq!((nearest.missing, nearest.silent, nearest.unasked), (vec![near(3)], vec![near(4)], vec![near(5)]));
        assert!(beyond.is_empty());
    }

    #[test]
    fn the_earliest_expiry_is_the_shortest_reported() {
        let mut replicas = Replicas::default();
        assert_eq!(replicas.earliest_expiry(), None);
        for (number, seconds) in [(0, None), (1, Some(900)), (2, Some(600))] {
            let expires_in = seconds.map(Duration::from_secs);
            replicas.confirmed.push(Replica { peer: near(number), expires_in });
        }
        assert_eq!(replicas.earliest_expiry(), Some(Duration::from_secs(600)));
    }

    #[test]
    fn in_a_mixed_network_the_nearest_of_the_own_table_are_asked_too_and_reported_apart() {
        let now = Instant::now();
        let (closest, own_table) = (all_near(0..3), [near(1), near(7), near(8)]);
        let mut audit = Audit::new(&NodeId::ZERO, &config(3, 8), &closest, &own_table, true, now);
        assert_eq!(asks(&mut audit, now).len(), 5);
        for number in [0, 7] {
            audit.handle_checked(&near(number).id, true, None);
        }
        for number in [1, 2, 8] {
            audit.handle_checked(&near(number).id, false, None);
        }
        let (nearest, beyond) = audit.report();
        assert_eq!((nearest.confirmed.len(), nearest.missing), (1, vec![near(1), near(2)]));
        assert_eq!((beyond.confirmed[0].peer, beyond.missing), (near(7), vec![near(8)]));
    }

    #[test]
    fn a_silent_peer_is_asked_once_more_and_a_slow_one_may_still_answer() {
        let now = Instant::now();
        let mut audit = Audit::new(&NodeId::ZERO, &config(3, 1), &all_near(0..3), &[], false, now);
        assert_eq!(asks(&mut audit, now), [near(0)]);
        audit.handle_failure(&near(0).id, Failure::Silent);
        assert_eq!(asks(&mut audit, now), [near(1)]);
        audit.handle_slow(&near(1).id);
        assert_eq!(asks(&mut audit, now), [near(2)]);
        audit.handle_checked(&near(2).id, true, None);
        assert_eq!(asks(&mut audit, now), [near(0)], "the second time");
        audit.handle_failure(&near(0).id, Failure::Silent);
        audit.handle_checked(&near(1).id, true, Some(5));
        assert_eq!(audit.next(now), Step::Finished);
        let (nearest, _) = audit.report();
        assert_eq!((nearest.confirmed.len(), nearest.silent), (2, vec![near(0)]));
    }
}
