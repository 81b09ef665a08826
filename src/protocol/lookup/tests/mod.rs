//! The lookup's behaviour, case by case. Late answers are in `late.rs`.

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
fn once_nothing_nearer_comes_a_read_asks_all_of_the_k_nearest_at_once() {
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
    for (goal, expected) in [(Goal::Nodes, 2), (Goal::Value, 4)] {
        let mut lookup = start(goal, &config(5, 2), &all_near(1..9), now);
        assert_eq!(asks(&mut lookup, now).len(), 2);
        lookup.handle_peers(&near(1), &[], now);
        // One is under way already.
        assert_eq!(1 + asks(&mut lookup, now).len(), expected, "{goal:?}");
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
fn an_id_at_several_addresses_is_asked_at_each_and_an_informant_names_one() {
    let at = |number| Peer::new(near(1).id, address(number));
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(4, 3), &[near(1_000), near(1_001)], now);
    assert_eq!(asks(&mut lookup, now).len(), 2);
    lookup.handle_peers(&near(1_000), &[at(7_000), at(7_001)], now);
    assert_eq!(lookup.trace().turned_away.known, 1, "the same informant has named it elsewhere");
    lookup.handle_peers(&near(1_001), &[at(7_002)], now);
    assert_eq!(asks(&mut lookup, now), [at(7_000), at(7_002)]);
    lookup.handle_peers(&at(7_000), &[], now);
    assert!(matches!(lookup.next(now), Next::Wait { .. }), "either may be the true one");
    lookup.handle_peers(&at(7_002), &[], now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
    assert_eq!(lookup.closest(), [at(7_000), near(1_000), near(1_001)], "an id is one of the nearest once");
}

#[test]
fn an_address_under_several_ids_is_asked_by_one_of_them_and_then_by_its_own() {
    let honest = near(3);
    let lie = |number| Peer::new(near(number).id, honest.addr);
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(4, 3), &[near(1_000), near(1_001), near(1_002)], now);
    assert_eq!(asks(&mut lookup, now).len(), 3);
    lookup.handle_peers(&near(1_000), &[lie(0), lie(1), lie(2)], now);
    assert_eq!(asks(&mut lookup, now), [lie(0)], "one query at a time to an address");
    lookup.handle_peers(&near(1_001), &[honest], now);
    lookup.handle_failure(&lie(0), Failure::WrongId { actual: honest.id }, now);
    assert_eq!(lookup.trace().turned_away.address_in_use, 2);
    assert_eq!(asks(&mut lookup, now), [honest]);
    lookup.handle_peers(&honest, &[], now);
    lookup.handle_peers(&near(1_002), &[lie(1), lie(5), honest], now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
    assert_eq!(lookup.closest(), [honest, near(1_000), near(1_001), near(1_002)]);
}

fn in_subnet(number: u16, ip: &str) -> Peer {
    Peer::new(near(number).id, format!("{ip}.{}:4000", number + 1).parse().unwrap())
}

#[test]
fn a_lookup_takes_three_of_one_global_subnet_the_nearest_before_they_are_asked() {
    let crowd: Vec<Peer> = (0..6).rev().map(|number| in_subnet(number, "198.51.100")).collect();
    let (mut lookup, now) = informed(&config(8, 4), &crowd);
    assert_eq!(asks(&mut lookup, now), [crowd[5], crowd[4], crowd[3]]);
    // A peer that is late or fails makes room: three that do not exist keep no other one out.
    lookup.handle_slow(&crowd[5]);
    assert_eq!(asks(&mut lookup, now), [crowd[2]]);
    lookup.handle_failure(&crowd[4], Failure::Silent, now);
    assert_eq!(asks(&mut lookup, now), [crowd[1]]);
    // Those that have answered keep their places.
    lookup.handle_peers(&crowd[3], &[], now);
    lookup.handle_peers(&crowd[2], &[], now);
    lookup.handle_peers(&crowd[1], &[in_subnet(6, "198.51.100")], now);
    assert_eq!((lookup.trace().turned_away.subnet_full, asks(&mut lookup, now)), (2, vec![]));
    assert_eq!(lookup.trace().rejected[0].peer, crowd[0], "a candidate named before is dropped as well");
    lookup.handle_peers(&crowd[5], &[], now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
    assert_eq!(
        lookup.closest(),
        [crowd[5], crowd[3], crowd[2], near(60_000)],
        "a fourth that answered late does not count"
    );
}

#[test]
fn private_ranges_are_exempt_from_the_subnet_limit_unless_it_applies_always() {
    let now = Instant::now();
    let crowd: Vec<Peer> = (0..6).map(|number| in_subnet(number, "10.0.0")).collect();
    for (diversity, taken) in [(AppliesTo::Global, 6), (AppliesTo::Off, 6), (AppliesTo::Always, 3)] {
        let config = Config::builder().diversity(diversity).alpha(8).build().unwrap();
        assert_eq!(asks(&mut start(Goal::Nodes, &config, &crowd, now), now).len(), taken, "{diversity:?}");
    }
    let crowd: Vec<Peer> = (0..6).map(|number| in_subnet(number, "198.51.100")).collect();
    let config = Config::builder().diversity(AppliesTo::Off).alpha(8).build().unwrap();
    assert_eq!(asks(&mut start(Goal::Nodes, &config, &crowd, now), now).len(), 6);
}

#[test]
fn peers_are_rejected_for_a_reason_that_the_trace_counts() {
    let narrow = in_subnet(1, "10.0.0");
    let same_address = Peer::new(near(8).id, near(60_000).addr);
    let named = [narrow, peer(OWN, 9), near(7), near(7), same_address, near(60_000)];
    let (lookup, _) = informed(&config(4, 3), &named);
    let expected = TurnedAway { known: 2, own_id: 1, bad_address: 1, address_in_use: 1, ..TurnedAway::default() };
    assert_eq!(lookup.trace().turned_away, expected);
    assert_eq!(lookup.trace().asked[0].came_back, CameBack::Peers { named: 6, taken: 1 });
    assert_eq!(lookup.trace().asked[0].turned_away, expected, "and shows the answer that named them");
    let rejected = |peer, why| Rejected { peer, named_by: Some(0), why };
    let expected = [rejected(narrow, Rejection::BadAddress), rejected(same_address, Rejection::AddressInUse)];
    assert_eq!(lookup.trace().rejected, expected, "and names them");
}

#[test]
fn candidates_that_are_rejected_later_are_counted_and_named() {
    let (mut lookup, now) = informed(&config(4, 3), &[near(9), Peer::new(near(50).id, near(9).addr)]);
    assert_eq!(lookup.trace().asked[0].came_back, CameBack::Peers { named: 2, taken: 2 });
    assert_eq!(asks(&mut lookup, now), [near(9)]);
    lookup.handle_peers(&near(9), &[], now);
    let trace = lookup.trace();
    assert_eq!((trace.turned_away.address_in_use, trace.asked[0].turned_away.address_in_use), (1, 1));
    let peer = Peer::new(near(50).id, near(9).addr);
    assert_eq!(trace.rejected, [Rejected { peer, named_by: Some(0), why: Rejection::AddressInUse }]);
}

#[test]
fn rejected_peers_are_named_up_to_a_bound_for_each_informant_and_for_all() {
    let config = config(4, 1);
    let (mut lookup, now) = informed(&config, &[near(1_000)]);
    let mut nearer = 1_000;
    while let [asked] = asks(&mut lookup, now)[..] {
        nearer -= 1;
        let bad = (0..20).map(|n| in_subnet(n, "10.0.0"));
        lookup.handle_peers(&asked, &bad.chain([near(nearer)]).collect::<Vec<_>>(), now);
    }
    let Trace { asked, turned_away, rejected, .. } = lookup.trace();
    assert_eq!((asked.len(), turned_away.bad_address), (60, 59 * 20));
    assert_eq!(rejected.len(), MAX_REJECTED);
    let of = |by| rejected.iter().filter(|rejected| rejected.named_by == Some(by)).count();
    assert!((1..=16).all(|by| of(by) == MAX_REJECTED_OF_ONE));
}

#[test]
fn an_address_is_not_asked_again_under_another_id() {
    let (mut lookup, now) = informed(&config(4, 3), &[near(5)]);
    assert_eq!(asks(&mut lookup, now), [near(5)]);
    lookup.handle_peers(
        &near(5),
        &[Peer::new(near(1).id, near(5).addr), Peer::new(near(2).id, near(60_000).addr)],
        now,
    );
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
}

#[test]
fn a_peer_named_under_a_false_id_is_asked_once_more_under_its_own() {
    let honest = near(9);
    let lie = Peer::new(near(0).id, honest.addr);
    let (mut lookup, now) = informed(&config(4, 3), &[lie]);
    assert_eq!(asks(&mut lookup, now), [lie]);
    lookup.handle_failure(&lie, Failure::WrongId { actual: honest.id }, now);
    assert_eq!(asks(&mut lookup, now), [honest]);
    // Once: a peer that answers with a new id each time is not asked for ever.
    lookup.handle_failure(&honest, Failure::WrongId { actual: near(3).id }, now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
    assert_eq!((lookup.closest(), lookup.trace().tally().wrong_id), (vec![near(60_000)], 2));
}

#[test]
fn a_peer_that_claims_anothers_id_does_not_take_its_place() {
    let (victim, claim) = (near(1), Peer::new(near(1).id, near(0).addr));
    for victim_answers in [false, true] {
        let (mut lookup, now) = informed(&config(4, 1), &[near(0), victim]);
        assert_eq!(asks(&mut lookup, now), [near(0)]);
        lookup.handle_failure(&near(0), Failure::WrongId { actual: victim.id }, now);
        assert_eq!(asks(&mut lookup, now), [victim], "the peer that others named goes first");
        if victim_answers {
            lookup.handle_peers(&victim, &[], now);
        } else {
            lookup.handle_failure(&victim, Failure::Silent, now);
        }
        assert_eq!(asks(&mut lookup, now), [claim]);
        let claimed = &lookup.trace().asked[3];
        assert_eq!((claimed.named_by, claimed.hop), (Some(1), 2), "by the peer that claims it");
        lookup.handle_peers(&claim, &[], now);
        assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
        assert_eq!(lookup.closest(), [if victim_answers { victim } else { claim }, near(60_000)]);
    }
}

#[test]
fn our_own_node_named_under_a_false_id_is_not_asked_again() {
    let (mut lookup, now) = informed(&config(4, 3), &[near(0)]);
    assert_eq!(asks(&mut lookup, now), [near(0)]);
    lookup.handle_failure(&near(0), Failure::WrongId { actual: OWN }, now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
}

#[test]
fn a_peer_that_came_back_on_another_port_is_asked_there_as_well() {
    let back = Peer::new(near(2).id, address(9_999));
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(4, 2), &[near(60_000), near(60_001)], now);
    assert_eq!(asks(&mut lookup, now).len(), 2);
    lookup.handle_peers(&near(60_000), &[near(2)], now);
    assert_eq!(asks(&mut lookup, now), [near(2)]);
    lookup.handle_peers(&near(60_001), &[back], now);
    assert_eq!(asks(&mut lookup, now), [back]);
    lookup.handle_peers(&back, &[], now);
    lookup.handle_failure(&near(2), Failure::Silent, now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
    assert_eq!((lookup.closest(), lookup.trace().unheard), (vec![back, near(60_000), near(60_001)], 0));
}

#[test]
fn the_nearest_peers_that_did_not_answer_are_unheard() {
    let now = Instant::now();
    let mut lookup = Lookup::new(OWN, NodeId::ZERO, Goal::Value, &config(2, 8), false, &all_near(0..9), now);
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

#[test]
fn an_id_at_an_address_that_was_silent_under_another_one_is_not_asked_and_counts_as_unheard() {
    // A liar names the holder's address under a false id, farther than all others; an honest peer names the holder.
    let (holder, honest, liar) = (near(1), near(30), near(40));
    let false_id = Peer::new(near(200).id, holder.addr);
    for named_late in [false, true] {
        let (config, now) = (config(3, 3), Instant::now());
        let mut lookup = Lookup::new(OWN, NodeId::ZERO, Goal::Value, &config, false, &[honest, liar], now);
        assert_eq!(asks(&mut lookup, now).len(), 2);
        let mut named = vec![holder];
        lookup.handle_peers(&liar, &[false_id], now);
        assert_eq!(asks(&mut lookup, now), [false_id]);
        if !named_late {
            lookup.handle_peers(&honest, &std::mem::take(&mut named), now);
            assert!(asks(&mut lookup, now).is_empty(), "its address is being asked");
        }
        lookup.handle_failure(&false_id, Failure::Silent, now);
        lookup.handle_peers(&honest, &named, now);
        assert!(asks(&mut lookup, now).is_empty());
        assert!(matches!(lookup.next(now), Next::Finished(Ending::Complete)));
        assert_eq!(lookup.trace().unheard, 2, "the false id and the holder, named late: {named_late}");
    }
}
