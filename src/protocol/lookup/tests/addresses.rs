//! Which ids and addresses a lookup asks, and which of those that peers name it rejects.

use super::*;

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
