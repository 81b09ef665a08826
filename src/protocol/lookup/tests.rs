//! The lookup's behaviour, case by case. What it does about late answers is `late.rs`.

mod late;

use std::time::Instant;

use super::simulation::{LOST, Reply, SLOW, address, peer, run};
use super::*;
use crate::protocol::config::AppliesTo;
use crate::protocol::entropy::SeededEntropy;

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

/// The numbers of those that the lookup asks before it waits or ends.
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
    lookup.handle_peers(&near(3).id, &[near(2)], now);
    assert_eq!(asks(&mut lookup, now), [near(2)]);
    lookup.handle_failure(&near(1).id, Failure::Silent, now);
    assert_eq!(asks(&mut lookup, now), [near(5)]);
}

#[test]
fn without_anybody_to_ask_there_are_no_peers() {
    let now = Instant::now();
    assert_eq!(start(Goal::Nodes, &config(4, 2), &[], now).next(now), Next::Finished(Ending::NoPeers));
    let mut lookup = start(Goal::Value, &config(4, 2), &[near(1)], now);
    assert_eq!(asks(&mut lookup, now), [near(1)]);
    lookup.handle_failure(&near(1).id, Failure::Unsent, now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::NoPeers));
    assert_eq!(lookup.tally(), Tally { asked: 1, unsent: 1, ..Tally::default() });
}

#[test]
fn the_deadline_ends_a_lookup_that_hears_nothing() {
    let (config, now) = (config(4, 2), Instant::now());
    let mut lookup = start(Goal::Nodes, &config, &all_near(0..9), now);
    assert_eq!(asks(&mut lookup, now).len(), 2);
    let Next::Wait { until } = lookup.next(now) else { panic!("it does not wait") };
    assert_eq!(until, now + config.lookup_deadline);
    assert_eq!(lookup.next(until), Next::Finished(Ending::DeadlinePassed));
    lookup.handle_peers(&near(0).id, &[near(10)], until);
    assert_eq!((lookup.closest(), lookup.tally().pending), (Vec::new(), 2));
}

#[test]
fn when_the_queries_are_spent_what_is_under_way_still_counts() {
    let (config, now) = (config(4, 3), Instant::now());
    let mut lookup = start(Goal::Nodes, &config, &all_near(0..100), now);
    let mut asked = 0;
    loop {
        match lookup.next(now) {
            Next::Query(peer) if peer == near(0) => lookup.handle_slow(&peer.id),
            Next::Query(peer) => lookup.handle_failure(&peer.id, Failure::Silent, now),
            Next::Wait { .. } => break,
            Next::Finished(ending) => panic!("it ended early: {ending:?}"),
        }
        asked += 1;
    }
    assert_eq!(asked, config.lookup_queries());
    lookup.handle_peers(&near(0).id, &[], now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::OutOfQueries));
    assert_eq!(lookup.closest(), [near(0)]);
}

#[test]
fn what_was_not_sent_is_no_query_up_to_eight_times_as_many() {
    let (config, now) = (config(4, 3), Instant::now());
    let (queries, unsent) = (config.lookup_queries(), UNSENT_PER_QUERY * config.lookup_queries());
    for (surplus, left) in [(0, queries), (10, queries - 10)] {
        let mut lookup = start(Goal::Nodes, &config, &[near(60_000)], now);
        let (mut refused, mut sent) = (0, 0);
        let mut named = (0..20_000).rev().map(near);
        // Each answer names ever nearer ones, of whom all but one are not asked.
        while let Next::Query(peer) = lookup.next(now) {
            if refused < unsent + surplus && (refused + sent) % 32 > 0 {
                refused += 1;
                lookup.handle_failure(&peer.id, Failure::Unsent, now);
            } else {
                sent += 1;
                let peers: Vec<Peer> = named.by_ref().take(32).collect();
                lookup.handle_peers(&peer.id, &peers, now);
            }
        }
        assert_eq!(lookup.next(now), Next::Finished(Ending::OutOfQueries));
        assert_eq!((refused, sent), (unsent + surplus, left));
        assert_eq!((lookup.tally().unsent, lookup.tally().answered), (refused, sent));
    }
}

#[test]
fn while_a_query_waits_to_be_sent_the_queries_are_not_all_spent() {
    let (config, now) = (config(4, 3), Instant::now());
    for is_sent in [false, true] {
        let mut lookup = start(Goal::Nodes, &config, &all_near(0..100), now);
        while let Next::Query(peer) = lookup.next(now) {
            if peer == near(0) {
                lookup.handle_parked(&peer.id);
                lookup.handle_overdue(&peer.id);
            } else if peer == near(1) {
                lookup.handle_peers(&peer.id, &[], now);
            } else {
                lookup.handle_failure(&peer.id, Failure::Silent, now);
            }
        }
        assert_eq!(lookup.tally().asked, config.lookup_queries());
        assert!(matches!(lookup.next(now), Next::Wait { .. }), "one of them may not be sent");
        let why = if is_sent { Failure::Silent } else { Failure::Unsent };
        lookup.handle_failure(&near(0).id, why, now);
        assert_eq!(asks(&mut lookup, now).len(), usize::from(!is_sent), "and then one more may be");
        lookup.handle_failure(&near(60).id, Failure::Silent, now);
        assert_eq!(lookup.next(now), Next::Finished(Ending::OutOfQueries));
    }
}

#[test]
fn a_value_ends_the_lookup_and_a_copy_goes_to_the_nearest_that_lacks_it() {
    let now = Instant::now();
    let mut lookup = start(Goal::Value, &config(4, 3), &all_near(0..4), now);
    assert_eq!(asks(&mut lookup, now).len(), 3);
    lookup.handle_peers(&near(2).id, &[], now);
    lookup.handle_peers(&near(1).id, &[], now);
    lookup.handle_value(&near(0).id, now);
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
        // Some are doubted, and one more is asked for each.
        assert!(run.asked.len() <= expected + 2 * config.alpha, "{}", run.asked.len());
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

/// A lookup with k 4 that has asked one informant, far away, and is told of `named`.
fn told(config: &Config, named: &[Peer]) -> (Lookup, Instant) {
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, config, &[near(60_000)], now);
    assert_eq!(asks(&mut lookup, now), [near(60_000)]);
    lookup.handle_peers(&near(60_000).id, named, now);
    (lookup, now)
}

#[test]
fn the_rest_of_a_long_answer_is_not_read() {
    let (lookup, _) = told(&config(4, 3), &all_near(0..50));
    assert_eq!(lookup.trace().turned_away.unread, 18);
    assert_eq!(lookup.trace().asked[0].came_back, CameBack::Peers { named: 50, taken: 32 });
    let (lookup, _) = told(&config(40, 3), &all_near(0..50));
    assert_eq!(lookup.trace().turned_away.unread, 10);
}

#[test]
fn a_full_list_drops_the_farthest_for_a_nearer_one() {
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(4, 3), &all_near(100..220), now);
    assert_eq!((lookup.shortlist.iter().count(), lookup.trace().turned_away.too_far), (100, 20));
    assert_eq!(asks(&mut lookup, now), all_near(100..103));
    lookup.handle_peers(&near(100).id, &[near(7), near(230)], now);
    assert_eq!((lookup.shortlist.iter().count(), lookup.trace().turned_away.too_far), (100, 21));
    assert_eq!(lookup.shortlist.iter().last().map(|last| last.peer), Some(near(198)));
}

fn in_subnet(number: u16, ip: &str) -> Peer {
    Peer::new(near(number).id, format!("{ip}.{}:4000", number + 1).parse().unwrap())
}

#[test]
fn a_lookup_takes_three_of_one_global_subnet_the_nearest_before_they_are_asked() {
    let crowd: Vec<Peer> = (0..6).rev().map(|number| in_subnet(number, "198.51.100")).collect();
    let (mut lookup, now) = told(&config(4, 3), &crowd);
    assert_eq!(asks(&mut lookup, now), [crowd[5], crowd[4], crowd[3]]);
    assert_eq!(lookup.shortlist.iter().count(), 4);

    // Those that were asked keep their places against nearer ones, until one of them fails.
    let (mut lookup, now) = told(&config(8, 3), &crowd[..3]);
    assert_eq!(asks(&mut lookup, now).len(), 3);
    lookup.handle_peers(&crowd[0].id, &crowd[3..], now);
    assert_eq!(lookup.trace().turned_away.subnet_full, 3);
    assert_eq!(asks(&mut lookup, now), []);
    lookup.handle_failure(&crowd[1].id, Failure::Silent, now);
    lookup.handle_peers(&crowd[2].id, &crowd[3..], now);
    assert_eq!(asks(&mut lookup, now), [crowd[5]]);
}

#[test]
fn private_ranges_are_exempt_from_the_subnet_limit_unless_it_applies_always() {
    let now = Instant::now();
    let crowd: Vec<Peer> = (0..6).map(|number| in_subnet(number, "10.0.0")).collect();
    for (diversity, taken) in [(AppliesTo::Global, 6), (AppliesTo::Off, 6), (AppliesTo::Always, 3)] {
        let config = Config::builder().diversity(diversity).build().unwrap();
        assert_eq!(start(Goal::Nodes, &config, &crowd, now).shortlist.iter().count(), taken, "{diversity:?}");
    }
    let crowd: Vec<Peer> = (0..6).map(|number| in_subnet(number, "198.51.100")).collect();
    let config = Config::builder().diversity(AppliesTo::Off).build().unwrap();
    assert_eq!(start(Goal::Nodes, &config, &crowd, now).shortlist.iter().count(), 6);
}

#[test]
fn peers_are_turned_away_for_a_reason_that_the_trace_counts() {
    let narrow = in_subnet(1, "10.0.0");
    let same_address = Peer::new(near(8).id, near(7).addr);
    let named = [narrow, peer(OWN, 9), near(7), near(7), same_address, near(60_000)];
    let (lookup, _) = told(&config(4, 3), &named);
    let expected = TurnedAway { known: 2, own_id: 1, bad_address: 1, address_in_use: 1, ..TurnedAway::default() };
    assert_eq!(lookup.trace().turned_away, expected);
    assert_eq!(lookup.trace().asked[0].came_back, CameBack::Peers { named: 6, taken: 1 });
    assert_eq!(lookup.trace().asked[0].turned_away, expected, "and says whose answer named them");
    let rejected = |peer, why| Rejected { peer, named_by: Some(0), why };
    let expected = [rejected(narrow, Rejection::BadAddress), rejected(same_address, Rejection::AddressInUse)];
    assert_eq!(lookup.trace().rejected, expected, "and who they were");
}

#[test]
fn candidates_that_make_room_for_nearer_ones_are_counted_and_named() {
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(4, 3), &all_near(100..200), now);
    assert_eq!(asks(&mut lookup, now), all_near(100..103));
    let by_list = [near(7), near(8)];
    lookup.handle_peers(&near(100).id, &by_list, now);
    // A nearer one at the address of one that was just named, in the same answer.
    lookup.handle_peers(&near(101).id, &[near(9), Peer::new(near(5).id, near(9).addr)], now);
    let trace = lookup.trace();
    assert_eq!((trace.turned_away.displaced, trace.asked[1].turned_away.displaced), (4, 1));
    assert_eq!(trace.asked[1].came_back, CameBack::Peers { named: 2, taken: 2 });
    let own = |n| Rejected { peer: near(n), named_by: None, why: Rejection::Displaced };
    let of_answer = Rejected { peer: near(9), named_by: Some(1), why: Rejection::Displaced };
    assert_eq!(trace.rejected, [own(199), own(198), own(197), of_answer]);
}

#[test]
fn rejected_peers_are_named_up_to_a_bound_for_each_informant_and_for_all() {
    let config = config(4, 1);
    let (mut lookup, now) = told(&config, &[near(1_000)]);
    let mut nearer = 1_000;
    while let [asked] = asks(&mut lookup, now)[..] {
        nearer -= 1;
        let bad = (0..20).map(|n| in_subnet(n, "10.0.0"));
        lookup.handle_peers(&asked.id, &bad.chain([near(nearer)]).collect::<Vec<_>>(), now);
    }
    let Trace { asked, turned_away, rejected, .. } = lookup.trace();
    assert_eq!((asked.len(), turned_away.bad_address), (60, 59 * 20));
    assert_eq!(rejected.len(), MAX_REJECTED);
    let of = |by| rejected.iter().filter(|rejected| rejected.named_by == Some(by)).count();
    assert!((1..=16).all(|by| of(by) == MAX_REJECTED_OF_ONE));
}

#[test]
fn an_address_is_not_asked_again_under_another_id() {
    let (mut lookup, now) = told(&config(4, 3), &[near(5)]);
    assert_eq!(asks(&mut lookup, now), [near(5)]);
    lookup.handle_peers(
        &near(5).id,
        &[Peer::new(near(1).id, near(5).addr), Peer::new(near(2).id, near(60_000).addr)],
        now,
    );
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
}

#[test]
fn a_peer_named_under_a_false_id_is_asked_once_more_under_its_own() {
    let honest = near(9);
    let (mut lookup, now) = told(&config(4, 3), &[Peer::new(near(0).id, honest.addr)]);
    assert_eq!(asks(&mut lookup, now).len(), 1);
    lookup.handle_failure(&near(0).id, Failure::WrongId { actual: honest.id }, now);
    assert_eq!(asks(&mut lookup, now), [honest]);
    // Once: who gives a new id each time is not asked for ever.
    lookup.handle_failure(&honest.id, Failure::WrongId { actual: near(3).id }, now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
    assert_eq!((lookup.closest(), lookup.tally().wrong_id), (vec![near(60_000)], 2));
}

#[test]
fn a_peer_that_claims_anothers_id_does_not_take_its_place() {
    let victim = near(1);
    let (mut lookup, now) = told(&config(4, 1), &[near(0), victim]);
    assert_eq!(asks(&mut lookup, now), [near(0)]);
    lookup.handle_failure(&near(0).id, Failure::WrongId { actual: victim.id }, now);
    assert_eq!(asks(&mut lookup, now), [victim]);
    // Only where the one that others named is silent does the claim get its chance.
    lookup.handle_failure(&victim.id, Failure::Silent, now);
    assert_eq!(asks(&mut lookup, now), [Peer::new(victim.id, near(0).addr)]);
    let claimed = &lookup.trace().asked[3];
    assert_eq!((claimed.named_by, claimed.hop), (Some(1), 2), "by the one that claims it, told by the trace");
}

#[test]
fn our_own_node_named_under_a_false_id_is_not_asked_again() {
    let (mut lookup, now) = told(&config(4, 3), &[near(0)]);
    assert_eq!(asks(&mut lookup, now), [near(0)]);
    lookup.handle_failure(&near(0).id, Failure::WrongId { actual: OWN }, now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
}

#[test]
fn a_peer_that_came_back_on_another_port_is_tried_there_when_its_old_one_is_silent() {
    let back = Peer::new(near(2).id, address(9_999));
    let (mut lookup, now) = told(&config(4, 3), &[near(2), back]);
    assert_eq!(asks(&mut lookup, now), [near(2)]);
    lookup.handle_overdue(&near(2).id);
    assert!(matches!(lookup.next(now), Next::Wait { .. }), "there is another address to try");
    lookup.handle_failure(&near(2).id, Failure::Silent, now);
    assert_eq!(asks(&mut lookup, now), [back]);
    lookup.handle_peers(&back.id, &[], now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
    assert_eq!(lookup.closest(), [back, near(60_000)]);
}

#[test]
fn events_about_peers_that_nobody_waits_for_change_nothing() {
    let (mut lookup, now) = told(&config(4, 3), &[near(2)]);
    let before = lookup.trace().clone();
    for id in [near(2).id, near(3).id, near(60_000).id, OWN] {
        lookup.handle_peers(&id, &all_near(0..3), now);
        lookup.handle_value(&id, now);
        lookup.handle_slow(&id);
        lookup.handle_failure(&id, Failure::Silent, now);
    }
    assert_eq!(*lookup.trace(), before);
    assert_eq!(lookup.closest(), [near(60_000)]);
}

#[test]
fn a_trace_tells_hops_distances_and_times() {
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(4, 3), &[near(0x7fff)], now);
    assert_eq!(asks(&mut lookup, now).len(), 1);
    lookup.handle_slow(&near(0x7fff).id);
    lookup.handle_peers(&near(0x7fff).id, &[near(0)], now + SLOW);
    assert_eq!(asks(&mut lookup, now + SLOW), [near(0)]);
    lookup.handle_failure(&near(0).id, Failure::Silent, now + SLOW + LOST);
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
