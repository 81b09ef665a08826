//! The lookup's behaviour, case by case. Late answers are in `late.rs`, ids and addresses in `addresses.rs`.

mod addresses;
mod cut_answers;
mod late;
mod laws;
mod liars;
mod simulation;

use std::time::Instant;

use super::*;
use crate::protocol::config::AppliesTo;
use crate::protocol::entropy::SeededEntropy;
use simulation::{LOST, Reply, SLOW, address, peer, run};

/// Ids in order of distance from the target zero: `near(0)` is the nearest.
fn near(number: u16) -> Peer {
    let mut bytes = [0; 20];
    bytes[..2].copy_from_slice(&(number + 1).to_be_bytes());
    peer(NodeId::from_bytes(bytes), number as usize)
}

fn all_near(numbers: std::ops::Range<u16>) -> Vec<Peer> {
    numbers.map(near).collect()
}

const OWN: NodeId = NodeId::from_bytes([0xff; 20]);

fn config(k: usize, alpha: usize) -> Config {
    Config::builder().k(k).alpha(alpha).build().unwrap()
}

fn start(goal: Goal, config: &Config, seeds: &[Peer], now: Instant) -> Lookup {
    Lookup::new(OWN, NodeId::ZERO, goal, config, true, seeds, now)
}

/// The peers that the lookup asks before it waits or ends.
fn asks(lookup: &mut Lookup, now: Instant) -> Vec<Peer> {
    std::iter::from_fn(|| match lookup.next(now) {
        Next::Query(peer) => Some(peer),
        _ => None,
    })
    .collect()
}

#[test]
fn alpha_queries_hold_slots_and_the_nearest_are_asked_first() {
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(4, 2), &[near(5), near(3), near(9), near(1)], now);
    assert_eq!(asks(&mut lookup, now), [near(1), near(3)]);
    lookup.handle_peers(&near(3), &[near(2)], now);
    assert_eq!(asks(&mut lookup, now), [near(2)]);
    lookup.handle_failure(&near(1), Failure::Silent, now);
    assert_eq!(asks(&mut lookup, now), [near(5)]);
}

#[test]
fn once_nothing_nearer_comes_a_lookup_asks_all_of_the_k_nearest_at_once() {
    let now = Instant::now();
    for goal in [Goal::Nodes, Goal::Value] {
        let mut lookup = start(goal, &config(5, 2), &all_near(1..9), now);
        assert_eq!(asks(&mut lookup, now), all_near(1..3));
        lookup.handle_peers(&near(2), &[], now);
        assert_eq!(asks(&mut lookup, now), [near(3)], "a nearer one may still name one that is nearer still");
        lookup.handle_peers(&near(1), &[near(0)], now);
        assert_eq!(asks(&mut lookup, now), [near(0)]);
        lookup.handle_peers(&near(3), &[], now);
        assert_eq!(asks(&mut lookup, now), [near(4)]);
        lookup.handle_failure(&near(4), Failure::Silent, now);
        lookup.handle_peers(&near(0), &[], now);
        assert_eq!(asks(&mut lookup, now).len(), 1, "{goal:?}: four have answered, and five are wanted");
    }
    for goal in [Goal::Nodes, Goal::Value] {
        let mut lookup = start(goal, &config(5, 2), &all_near(1..9), now);
        assert_eq!(asks(&mut lookup, now).len(), 2);
        lookup.handle_peers(&near(1), &[], now);
        // One is under way already.
        assert_eq!(1 + asks(&mut lookup, now).len(), 4, "{goal:?}");
    }
}

#[test]
fn a_lookup_without_a_peer_to_ask_ends_with_no_peers() {
    let now = Instant::now();
    assert_eq!(start(Goal::Nodes, &config(4, 2), &[], now).next(now), Next::Finished(Ending::NoPeers));
    let mut lookup = start(Goal::Value, &config(4, 2), &[near(1)], now);
    assert_eq!(asks(&mut lookup, now), [near(1)]);
    lookup.handle_failure(&near(1), Failure::Unsent, now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::NoPeers));
    assert_eq!(lookup.trace().tally(), Tally { asked: 1, unsent: 1, ..Tally::default() });
}

#[test]
fn the_deadline_ends_a_lookup_without_answers() {
    let (config, now) = (config(4, 2), Instant::now());
    let mut lookup = start(Goal::Nodes, &config, &all_near(0..9), now);
    assert_eq!(asks(&mut lookup, now).len(), 2);
    let Next::Wait { until } = lookup.next(now) else { panic!("it does not wait") };
    assert_eq!(until, now + config.lookup.lookup_deadline);
    assert_eq!(lookup.next(until), Next::Finished(Ending::DeadlinePassed));
    lookup.handle_peers(&near(0), &[near(10)], until);
    assert_eq!((lookup.closest(), lookup.trace().tally().pending), (Vec::new(), 2));
}

#[test]
fn when_the_queries_are_spent_those_in_flight_still_count() {
    let (config, now) = (config(4, 3), Instant::now());
    let mut lookup = start(Goal::Nodes, &config, &all_near(0..100), now);
    let mut asked = 0;
    loop {
        match lookup.next(now) {
            Next::Query(peer) if peer == near(0) => lookup.handle_slow(&peer),
            Next::Query(peer) => lookup.handle_failure(&peer, Failure::Silent, now),
            Next::Wait { .. } => break,
            Next::Finished(ending) => panic!("it ended early: {ending:?}"),
        }
        asked += 1;
    }
    assert_eq!(asked, config.lookup_queries());
    lookup.handle_peers(&near(0), &[], now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::OutOfQueries));
    assert_eq!(lookup.closest(), [near(0)]);
}

#[test]
fn unsent_queries_do_not_count_up_to_eight_times_as_many() {
    let (config, now) = (config(4, 3), Instant::now());
    let (queries, unsent) = (config.lookup_queries(), UNSENT_PER_QUERY * config.lookup_queries());
    for (surplus, left) in [(0, queries), (10, queries - 10)] {
        let mut lookup = start(Goal::Nodes, &config, &[near(60_000)], now);
        let (mut refused, mut sent) = (0, 0);
        let mut named = (0..20_000).rev().map(near);
        // Each answer names ever nearer ones, of which all but one are not queried.
        while let Next::Query(peer) = lookup.next(now) {
            if refused < unsent + surplus && (refused + sent) % 32 > 0 {
                refused += 1;
                lookup.handle_failure(&peer, Failure::Unsent, now);
            } else {
                sent += 1;
                let peers: Vec<Peer> = named.by_ref().take(32).collect();
                lookup.handle_peers(&peer, &peers, now);
            }
        }
        assert_eq!(lookup.next(now), Next::Finished(Ending::OutOfQueries));
        assert_eq!((refused, sent), (unsent + surplus, left));
        assert_eq!((lookup.trace().tally().unsent, lookup.trace().tally().answered), (refused, sent));
    }
}

#[test]
fn while_a_query_waits_to_be_sent_the_queries_are_not_all_spent() {
    let (config, now) = (config(4, 3), Instant::now());
    for is_sent in [false, true] {
        let mut lookup = start(Goal::Nodes, &config, &all_near(0..100), now);
        while let Next::Query(peer) = lookup.next(now) {
            if peer == near(0) {
                lookup.handle_slow(&peer);
            } else if peer == near(1) {
                lookup.handle_peers(&peer, &[], now);
            } else {
                lookup.handle_failure(&peer, Failure::Silent, now);
            }
        }
        assert_eq!(lookup.trace().tally().asked, config.lookup_queries());
        assert!(matches!(lookup.next(now), Next::Wait { .. }), "one of them may not be sent");
        let why = if is_sent { Failure::Silent } else { Failure::Unsent };
        lookup.handle_failure(&near(0), why, now);
        assert_eq!(asks(&mut lookup, now).len(), usize::from(!is_sent), "and then one more may be");
        lookup.handle_failure(&near(60), Failure::Silent, now);
        assert_eq!(lookup.next(now), Next::Finished(Ending::OutOfQueries));
    }
}

#[test]
fn a_value_ends_the_lookup_and_a_copy_goes_to_the_nearest_that_lacks_it() {
    let now = Instant::now();
    let mut lookup = start(Goal::Value, &config(4, 3), &all_near(0..4), now);
    assert_eq!(asks(&mut lookup, now).len(), 3);
    lookup.handle_peers(&near(2), &[], now);
    lookup.handle_peers(&near(1), &[], now);
    lookup.handle_value(&near(0), now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Found));
    assert_eq!(lookup.nearest_without_value(), Some(near(1)));
    assert_eq!(start(Goal::Nodes, &config(4, 3), &[], now).nearest_without_value(), None);
}

#[test]
fn a_missed_value_is_read_on_for_up_to_five_k() {
    let (config, now) = (config(2, 3), Instant::now());
    for (read_on, expected) in [(true, 10), (false, 2)] {
        let mut entropy = SeededEntropy::new(1);
        let mut lookup = Lookup::new(OWN, NodeId::ZERO, Goal::Value, &config, read_on, &all_near(0..30), now);
        let run = run(&mut lookup, &config, now, &mut entropy, |_| Reply::Peers(Vec::new()));
        assert_eq!((run.ending, run.asked.len() >= expected), (Ending::Complete, true));
        // Some are suspects, and one more is asked for each.
        assert!(run.asked.len() <= expected + 2 * config.lookup.alpha, "{}", run.asked.len());
        assert_eq!(lookup.closest(), all_near(0..2));
    }
}

#[test]
fn reading_on_spends_no_more_than_the_lookups_queries() {
    let now = Instant::now();
    let config = Config::builder().build().unwrap();
    let mut entropy = SeededEntropy::new(1);
    let mut lookup = start(Goal::Value, &config, &all_near(0..100), now);
    let run = run(&mut lookup, &config, now, &mut entropy, |_| Reply::Peers(Vec::new()));
    assert_eq!((run.ending, run.asked.len()), (Ending::Complete, 60));
}

#[test]
fn a_value_misplaced_beyond_k_is_found_by_reading_on() {
    let (config, now) = (config(2, 3), Instant::now());
    let mut entropy = SeededEntropy::new(1);
    let mut lookup = start(Goal::Value, &config, &all_near(0..30), now);
    let run = run(&mut lookup, &config, now, &mut entropy, |asked| {
        if *asked == near(7) { Reply::Value } else { Reply::Peers(Vec::new()) }
    });
    assert_eq!((run.ending, lookup.nearest_without_value()), (Ending::Found, Some(near(0))));
}

/// A lookup with k 4 that has asked one informant, far away, which answered with `named`.
fn informed(config: &Config, named: &[Peer]) -> (Lookup, Instant) {
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, config, &[near(60_000)], now);
    assert_eq!(asks(&mut lookup, now), [near(60_000)]);
    lookup.handle_peers(&near(60_000), named, now);
    (lookup, now)
}

#[test]
fn the_rest_of_a_long_answer_is_not_read() {
    let (lookup, _) = informed(&config(4, 3), &all_near(0..50));
    assert_eq!(lookup.trace().turned_away.unread, 18);
    assert_eq!(lookup.trace().asked[0].came_back, CameBack::Peers { named: 50, taken: 32 });
    let (lookup, _) = informed(&config(40, 3), &all_near(0..50));
    assert_eq!(lookup.trace().turned_away.unread, 10);
}

#[test]
fn however_many_nearer_ones_are_named_what_another_informant_named_stays() {
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(4, 3), &all_near(1_000..1_020), now);
    assert_eq!(asks(&mut lookup, now), all_near(1_000..1_003));
    for informant in 1_000..1_003_u16 {
        let nearer = 32 * (informant - 1_000);
        lookup.handle_peers(&near(informant), &all_near(nearer..nearer + 40), now);
    }
    assert_eq!(lookup.shortlist.iter().count(), 20 + 3 * MAX_PEERS_READ);
    assert_eq!(lookup.shortlist.iter().last().map(|last| last.peer), Some(near(1_019)));
}

#[test]
fn informants_of_whose_names_one_has_failed_or_is_late_wait_for_the_others() {
    let now = Instant::now();
    for late in [false, true] {
        let mut lookup = start(Goal::Nodes, &config(4, 1), &[near(1_000), near(1_001)], now);
        assert_eq!(asks(&mut lookup, now), [near(1_000)]);
        lookup.handle_peers(&near(1_000), &all_near(0..32), now);
        assert_eq!(asks(&mut lookup, now), [near(0)], "the nearest");
        if late {
            lookup.handle_slow(&near(0));
        } else {
            lookup.handle_failure(&near(0), Failure::Silent, now);
        }
        assert_eq!(asks(&mut lookup, now), [near(1_001)], "from this node's own table");
        lookup.handle_peers(&near(1_001), &[near(40), near(5)], now);
        assert_eq!(asks(&mut lookup, now), [near(5)], "named by an informant without a failure as well");
        lookup.handle_peers(&near(5), &[], now);
        assert_eq!(asks(&mut lookup, now), [near(40)]);
        lookup.handle_peers(&near(40), &[], now);
        assert_eq!(asks(&mut lookup, now), [near(1)], "there are no others");
    }
}

#[test]
fn the_nearest_peers_that_did_not_answer_are_unheard() {
    let now = Instant::now();
    let mut lookup = Lookup::new(OWN, NodeId::ZERO, Goal::Nodes, &config(2, 8), false, &all_near(0..9), now);
    assert_eq!(asks(&mut lookup, now), all_near(0..2));
    lookup.handle_slow(&near(0));
    lookup.handle_slow(&near(1));
    assert_eq!(asks(&mut lookup, now), all_near(2..4));
    lookup.handle_failure(&near(2), Failure::WrongId { actual: OWN }, now);
    lookup.handle_peers(&near(3), &[], now);
    lookup.handle_failure(&near(1), Failure::Silent, now);
    assert_eq!(asks(&mut lookup, now), [near(4)]);
    lookup.handle_peers(&near(4), &[], now);
    assert_eq!(lookup.trace().unheard, 0, "it runs");
    let Next::Wait { until } = lookup.next(now) else { panic!("one of the nearest may still answer") };
    assert_eq!(lookup.next(until), Next::Finished(Ending::DeadlinePassed));
    assert_eq!(
        lookup.trace().unheard,
        2,
        "one was silent, one has not answered by the deadline; at one address is another"
    );
}

#[test]
fn events_about_peers_without_a_query_in_flight_change_nothing() {
    let (mut lookup, now) = informed(&config(4, 3), &[near(2)]);
    let before = lookup.trace().clone();
    for from in [near(2), near(3), near(60_000), peer(OWN, 1), Peer::new(near(2).id, address(9_999))] {
        lookup.handle_peers(&from, &all_near(0..3), now);
        lookup.handle_value(&from, now);
        lookup.handle_slow(&from);
        lookup.handle_failure(&from, Failure::Silent, now);
    }
    assert_eq!(*lookup.trace(), before);
    assert_eq!(lookup.closest(), [near(60_000)]);
}

#[test]
fn a_trace_shows_hops_distances_and_times() {
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(4, 3), &[near(0x7fff)], now);
    assert_eq!(asks(&mut lookup, now).len(), 1);
    lookup.handle_slow(&near(0x7fff));
    lookup.handle_peers(&near(0x7fff), &[near(0)], now + SLOW);
    assert_eq!(asks(&mut lookup, now + SLOW), [near(0)]);
    lookup.handle_failure(&near(0), Failure::Silent, now + SLOW + LOST);
    assert_eq!(lookup.next(now + SLOW + LOST), Next::Finished(Ending::Complete));
    let json = serde_json::to_value(lookup.trace()).unwrap();
    let first = &json["asked"][0];
    assert_eq!((&first["bits"], &first["hop"], &first["slow"]), (&160.into(), &1.into(), &true.into()));
    assert_eq!(first["came_back"], serde_json::json!({"peers": {"named": 1, "taken": 1}}));
    let second = &json["asked"][1];
    assert_eq!((&second["bits"], &second["hop"], &second["came_back"]), (&145.into(), &2.into(), &"silent".into()));
    assert_eq!((&second["asked_us"], &second["ended_us"]), (&50_000.into(), &2_050_000.into()));
    assert_eq!((&json["ending"], &json["lasted_us"]), (&"complete".into(), &2_050_000.into()));
    assert_eq!(lookup.trace().asked[1].took(), Some(LOST));
}
