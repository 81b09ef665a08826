//! Laws of the lookup, in many random networks.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::simulation::{LOST, Network, Reply, Run, address, peer, random_id, run};
use super::*;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::prefix::Prefix;

const NETWORKS: u64 = 10_000;

struct Case {
    network: Network,
    target: NodeId,
    config: Config,
    own: NodeId,
    seeds: Vec<Peer>,
    start: Instant,
    entropy: SeededEntropy,
}

/// A random network of 5..=80 nodes with k 2..=8; its first node looks up, from its own table.
fn case(seed: u64, dead: f64) -> Case {
    let mut entropy = SeededEntropy::new(seed);
    let target = random_id(&mut entropy);
    let size = 5 + entropy.below(76) as usize;
    let k = 2 + entropy.below(7) as usize;
    let mut network = Network::random(size, k, dead, &target, &mut entropy);
    network.alive[0] = true;
    let own = network.peers[0].id;
    let seeds = network.answer(&own, &target, true);
    let config = Config::builder().k(k).alpha(1 + entropy.below(5) as usize).build().unwrap();
    Case { network, target, config, own, seeds, start: Instant::now(), entropy }
}

impl Case {
    fn lookup(&self, goal: Goal) -> Lookup {
        Lookup::new(self.own, self.target, goal, &self.config, true, &self.seeds, self.start)
    }

    /// A run in which the living answer and the dead are silent.
    fn run_honestly(&mut self, lookup: &mut Lookup, tidy: bool) -> Run {
        let (network, target) = (&self.network, self.target);
        run(lookup, &self.config, self.start, &mut self.entropy, |peer| {
            if network.is_alive(&peer.id) {
                Reply::Peers(network.answer(&peer.id, &target, tidy))
            } else {
                Reply::Fails(Failure::Silent)
            }
        })
    }

    /// The k nearest that are alive, the seeker excepted.
    fn truth(&self) -> Vec<Peer> {
        let others = self.network.living(&self.target).into_iter().filter(|peer| peer.id != self.own);
        others.take(self.config.lookup.k).collect()
    }
}

fn assert_no_repetition(asked: &[Peer], own: &NodeId) {
    let ids: HashSet<_> = asked.iter().map(|peer| peer.id).collect();
    let addresses: HashSet<_> = asked.iter().map(|peer| peer.addr).collect();
    assert_eq!((ids.len(), addresses.len()), (asked.len(), asked.len()), "a peer was asked twice");
    assert!(!ids.contains(own), "asked itself");
}

#[test]
fn a_lookup_finds_the_true_k_nearest() {
    for seed in 0..NETWORKS {
        let mut case = case(seed, 0.0);
        let mut lookup = case.lookup(Goal::Nodes);
        let run = case.run_honestly(&mut lookup, true);
        assert_eq!(lookup.closest(), case.truth(), "network {seed}");
        assert_eq!(run.ending, Ending::Complete);
        assert_no_repetition(&run.asked, &case.own);
    }
}

#[test]
fn a_lookup_among_dead_peers_finds_the_true_k_nearest_of_the_living() {
    for seed in 0..NETWORKS {
        let mut case = case(seed, 0.3);
        let mut lookup = case.lookup(Goal::Nodes);
        let run = case.run_honestly(&mut lookup, true);
        assert_eq!(lookup.closest(), case.truth(), "network {seed}");
        assert!(run.asked.len() <= case.config.lookup_queries());
        assert_no_repetition(&run.asked, &case.own);
    }
}

#[test]
fn a_complete_lookup_has_an_answer_or_a_timeout_of_each_nearer_peer_that_was_named() {
    for seed in 0..NETWORKS / 4 {
        let mut case = case(seed, 0.5);
        let mut lookup = case.lookup(if seed % 2 == 0 { Goal::Nodes } else { Goal::Value });
        let run = case.run_honestly(&mut lookup, seed % 4 < 2);
        let (trace, k) = (lookup.trace(), case.config.lookup.k);
        let timed_out = |asked: &Asked| asked.came_back == CameBack::Silent && asked.took() == Some(LOST);
        let answered = |asked: &Asked| matches!(asked.came_back, CameBack::Peers { .. });
        if run.ending == Ending::Complete {
            let end = lookup.closest().get(k - 1).map(|last| last.id.distance(&case.target));
            let nearer = |peer: &Peer| end.is_none_or(|end| peer.id.distance(&case.target) < end);
            let named = lookup.shortlist.iter().map(|candidate| candidate.peer).filter(nearer);
            let ended = |peer: Peer| trace.asked.iter().any(|a| a.peer == peer && (timed_out(a) || answered(a)));
            assert!(named.into_iter().all(ended), "network {seed}: {trace:?}");
        }
    }
}

#[test]
fn each_peer_asked_was_named_by_one_asked_before_and_one_hop_nearer_to_us() {
    for seed in 0..NETWORKS / 10 {
        let mut case = case(seed, 0.3);
        let mut lookup = case.lookup(Goal::Nodes);
        case.run_honestly(&mut lookup, true);
        let asked = &lookup.trace().asked;
        for (at, entry) in asked.iter().enumerate() {
            match entry.named_by {
                None => assert!(entry.hop == 1 && case.seeds.contains(&entry.peer), "network {seed}"),
                Some(by) => assert!(by < at && asked[by].hop + 1 == entry.hop, "network {seed}"),
            }
        }
    }
}

#[test]
fn no_living_peer_that_was_named_is_nearer_than_those_found() {
    for seed in 0..NETWORKS / 4 {
        let mut case = case(seed, 0.5);
        let mut lookup = case.lookup(Goal::Nodes);
        // Dead peers take the places of living ones here, so not all can be found.
        let run = case.run_honestly(&mut lookup, false);
        if run.ending != Ending::Complete {
            assert_eq!(run.ending, Ending::NoPeers);
            continue;
        }
        let found = lookup.closest();
        let worst = found.last().unwrap().id.distance(&case.target);
        let named = found.iter().flat_map(|peer| case.network.answer(&peer.id, &case.target, false));
        for named in named.chain(case.seeds.iter().copied()).filter(|peer| peer.id != case.own) {
            let missed = case.network.is_alive(&named.id) && !found.contains(&named);
            assert!(
                !missed || found.len() == case.config.lookup.k && named.id.distance(&case.target) > worst,
                "{seed}"
            );
        }
    }
}

#[test]
fn every_lookup_stays_within_its_bounds_whatever_peers_answer() {
    let mut endings = HashSet::new();
    for seed in 0..NETWORKS {
        let mut case = case(seed, 0.1);
        let goal = if seed % 2 == 0 { Goal::Nodes } else { Goal::Value };
        let mut lookup = case.lookup(goal);
        let mut dice = SeededEntropy::new(!seed);
        let (network, target) = (&case.network, case.target);
        let run = run(&mut lookup, &case.config, case.start, &mut case.entropy, |asked| match dice.below(12) {
            0 => Reply::Fails(Failure::Silent),
            1 => Reply::Fails(Failure::Unsent),
            2 => Reply::Fails(Failure::WrongId { actual: random_id(&mut dice) }),
            3 if dice.below(4) == 0 => Reply::Value,
            3..6 => {
                // Anything at all: inventions, repetitions, many of one address, more than is read.
                let count = dice.below(60) as usize;
                let near = Prefix::of(&target, 2 * dice.below(80) as u32);
                let invent = |_| peer(near.random_id(&mut dice), 1_000 + dice.below(300) as usize);
                Reply::Peers((0..count).map(invent).collect())
            }
            _ if network.is_alive(&asked.id) => Reply::Peers(network.answer(&asked.id, &target, false)),
            _ => Reply::Fails(Failure::Silent),
        });
        endings.insert(run.ending);
        assert!(
            lookup.trace().tally().asked - lookup.trace().tally().unsent <= case.config.lookup_queries(),
            "network {seed}"
        );
        assert!(run.took <= case.config.lookup.lookup_deadline);
        assert!(lookup.shortlist.iter().count() <= named_so_far(&case, lookup.trace()), "network {seed}");
        assert!(lookup.closest().len() <= case.config.lookup.k);
        let trace = lookup.trace();
        assert_eq!(trace.asked.iter().map(|entry| entry.peer).collect::<Vec<_>>(), run.asked);
        let tally = lookup.trace().tally();
        let sum = tally.answered + tally.silent + tally.wrong_id + tally.unsent + tally.pending;
        assert_eq!((tally.asked, sum), (run.asked.len(), run.asked.len()));
        // No pair twice, and an address twice only where it answered under another id, or was not sent the first query.
        let pairs: HashSet<_> = run.asked.iter().collect();
        assert_eq!(pairs.len(), run.asked.len());
        for entry in &trace.asked {
            let sent = |other: &&Asked| other.peer.addr == entry.peer.addr && other.came_back != CameBack::Unsent;
            match trace.asked.iter().filter(sent).collect::<Vec<_>>()[..] {
                [] | [_] => {}
                [first, second] => {
                    assert_eq!(first.came_back, CameBack::WrongId { actual: second.peer.id }, "network {seed}");
                }
                ref more => panic!("network {seed}: {more:?}"),
            }
        }
    }
    assert!(endings.contains(&Ending::Complete) && endings.contains(&Ending::Found));
}

/// The most candidates that a lookup can have: the seeds, the peers of each answer as far as it is read, and the ids with which
/// addresses answered instead.
fn named_so_far(case: &Case, trace: &Trace) -> usize {
    let brought = trace.asked.iter().map(|entry| match entry.came_back {
        CameBack::Peers { named, .. } => named.min(MAX_PEERS_READ),
        CameBack::WrongId { .. } => 1,
        _ => 0,
    });
    case.seeds.len() + brought.sum::<usize>()
}

#[test]
fn unsent_queries_cost_a_lookup_nothing_and_it_finds_the_true_k_nearest() {
    let mut most = 0;
    for seed in 0..NETWORKS / 4 {
        let mut case = case(seed, 0.0);
        let mut lookup = case.lookup(Goal::Nodes);
        let mut dice = SeededEntropy::new(!seed);
        // Every third peer names, besides its own table, up to twelve nearer ones at addresses that are not queried any more.
        let (network, target, mut invented) = (&case.network, case.target, 2_000);
        let run = run(&mut lookup, &case.config, case.start, &mut case.entropy, |asked| {
            if !network.is_alive(&asked.id) {
                return Reply::Fails(Failure::Unsent);
            }
            let mut peers = network.answer(&asked.id, &target, true);
            if dice.below(3) == 0 {
                let nearer = Prefix::of(&target, 30);
                peers.extend((0..dice.below(13)).map(|_| {
                    invented += 1;
                    peer(nearer.random_id(&mut dice), invented)
                }));
            }
            Reply::Peers(peers)
        });
        let tally = lookup.trace().tally();
        assert_eq!((run.ending, lookup.closest()), (Ending::Complete, case.truth()), "network {seed}: {tally:?}");
        assert!(run.asked.len() <= named_so_far(&case, lookup.trace()), "network {seed}: {tally:?}");
        assert_no_repetition(&run.asked, &case.own);
        most = most.max(tally.unsent);
    }
    assert!(most > case(0, 0.0).config.lookup_queries(), "at most {most} were not sent");
}

#[test]
fn a_lookup_among_addresses_that_are_not_queried_ends_within_its_bounds() {
    let mut endings = HashSet::new();
    for seed in 0..NETWORKS / 10 {
        let mut case = case(seed, 0.0);
        let mut lookup = case.lookup(if seed % 2 == 0 { Goal::Nodes } else { Goal::Value });
        let (target, mut invented) = (case.target, 2_000);
        let mut dice = SeededEntropy::new(!seed);
        let share = 1 + seed % 40;
        let run = run(&mut lookup, &case.config, case.start, &mut case.entropy, |asked| {
            if dice.below(share) > 0 {
                return Reply::Fails(Failure::Unsent);
            }
            let shared = (asked.id.common_prefix(&target) + 1).min(100);
            let nearer = (0..40).map(|_| {
                invented += 1;
                peer(Prefix::of(&target, shared).random_id(&mut dice), invented)
            });
            Reply::Peers(nearer.collect())
        });
        endings.insert(run.ending);
        let (tally, queries) = (lookup.trace().tally(), case.config.lookup_queries());
        assert!(tally.asked - tally.unsent <= queries, "network {seed}: {tally:?}");
        assert!(tally.asked <= (1 + UNSENT_PER_QUERY) * queries, "network {seed}: {tally:?}");
        assert!(tally.asked <= named_so_far(&case, lookup.trace()), "network {seed}: {tally:?}");
        assert!(run.took <= case.config.lookup.lookup_deadline, "network {seed}: {:?}", run.took);
        assert_no_repetition(&run.asked, &case.own);
    }
    assert!(endings.contains(&Ending::OutOfQueries) && endings.contains(&Ending::NoPeers), "{endings:?}");
}

/// A lookup whose every answer names ever nearer inventions: its run and its tally.
fn run_among_liars(inventions_answer: bool, alpha: usize) -> (Run, Tally) {
    let mut case = case(7, 0.0);
    case.config = Config::builder().alpha(alpha).build().unwrap();
    let mut lookup = case.lookup(Goal::Nodes);
    let target = case.target;
    let mut dice = SeededEntropy::new(1);
    let mut invented = 1_000;
    let seeds = case.seeds.clone();
    let run = run(&mut lookup, &case.config, case.start, &mut case.entropy, |asked| {
        if !inventions_answer && !seeds.contains(asked) {
            return Reply::Fails(Failure::Silent);
        }
        let shared = (asked.id.common_prefix(&target) + 1).min(150);
        let nearer = (0..32).map(|_| {
            invented += 1;
            peer(Prefix::of(&target, shared).random_id(&mut dice), invented)
        });
        Reply::Peers(nearer.collect())
    });
    (run, lookup.trace().tally())
}

#[test]
fn liars_that_invent_ever_nearer_peers_end_a_lookup_within_its_budget() {
    for alpha in [1, 3, 10] {
        let (run, tally) = run_among_liars(true, alpha);
        assert_eq!((run.ending, tally.asked), (Ending::OutOfQueries, 60));
        let (run, tally) = run_among_liars(false, alpha);
        assert!(matches!(run.ending, Ending::OutOfQueries | Ending::DeadlinePassed), "{:?}", run.ending);
        assert!(tally.asked <= 60 && tally.answered > 0 && run.took <= Duration::from_secs(10));
    }
}

/// The first peer that a lookup asks names `lies` besides its own table, all others answer truly: the true nearest are found.
fn one_liar_hides_none(case: &mut Case, mut lies: Vec<Peer>, truth: Vec<Peer>, seed: u64) {
    let mut lookup = case.lookup(Goal::Nodes);
    let (network, target) = (&case.network, case.target);
    let run = run(&mut lookup, &case.config, case.start, &mut case.entropy, |asked| {
        let mut named = std::mem::take(&mut lies);
        match network.peers.iter().find(|peer| peer.addr == asked.addr) {
            Some(there) if there.id == asked.id => {
                named.extend(network.answer(&asked.id, &target, true));
                Reply::Peers(named)
            }
            Some(there) => Reply::Fails(Failure::WrongId { actual: there.id }),
            None => Reply::Fails(Failure::Silent),
        }
    });
    assert_eq!((run.ending, lookup.closest()), (Ending::Complete, truth), "network {seed}");
}

#[test]
fn a_liar_cannot_hide_the_nearest_behind_false_addresses_or_false_ids() {
    for seed in 0..NETWORKS / 4 {
        let mut case = case(seed, 0.0);
        let truth = case.truth();
        let mut dice = SeededEntropy::new(!seed);
        let target = case.target;
        // The liar is the first to be asked; besides what it knows it names each of the nearest falsely.
        let lies: Vec<Peer> = truth
            .iter()
            .enumerate()
            .map(|(number, honest)| match dice.below(2) {
                0 => Peer::new(honest.id, address(2_000 + number)),
                _ => Peer::new(Prefix::of(&target, 100).random_id(&mut dice), honest.addr),
            })
            .collect();
        one_liar_hides_none(&mut case, lies, truth, seed);
    }
}

#[test]
fn a_liar_that_names_two_false_addresses_for_each_of_the_nearest_hides_none() {
    for seed in 0..2_000 {
        let mut case = case(seed, 0.0);
        let truth = case.truth();
        let false_addresses = |(number, honest): (usize, &Peer)| {
            [2_000, 3_000].map(|first| Peer::new(honest.id, address(first + number)))
        };
        // The liar is the first to be asked.
        let lies: Vec<Peer> = truth.iter().enumerate().flat_map(false_addresses).collect();
        one_liar_hides_none(&mut case, lies, truth, seed);
    }
}
