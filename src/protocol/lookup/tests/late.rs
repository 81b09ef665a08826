//! Late answers, and suspects.

use super::*;

#[test]
fn a_slow_peer_frees_its_slot_and_its_late_answer_counts() {
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(2, 1), &all_near(1..4), now);
    assert_eq!(asks(&mut lookup, now), [near(1)]);
    lookup.handle_slow(&near(1));
    assert_eq!(asks(&mut lookup, now + SLOW), [near(2)]);
    lookup.handle_peers(&near(2), &[], now + SLOW);
    // Two answers are wanted, and the slow one may stay silent: the third is asked meanwhile.
    assert_eq!(asks(&mut lookup, now + SLOW), [near(3)]);
    lookup.handle_peers(&near(3), &[], now + SLOW);
    // It is among the nearest, so the lookup waits for it at the end.
    assert!(matches!(lookup.next(now + SLOW), Next::Wait { .. }));
    lookup.handle_peers(&near(1), &[near(0)], now + 2 * SLOW);
    assert_eq!(asks(&mut lookup, now + 2 * SLOW), [near(0)]);
    lookup.handle_peers(&near(0), &[], now + 3 * SLOW);
    assert_eq!(lookup.next(now + 3 * SLOW), Next::Finished(Ending::Complete));
    assert_eq!(lookup.closest(), [near(0), near(1)]);
}

#[test]
fn a_lookup_does_not_wait_for_a_slow_peer_that_is_not_among_the_nearest() {
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(1, 2), &[near(5)], now);
    assert_eq!(asks(&mut lookup, now), [near(5)]);
    lookup.handle_slow(&near(5));
    assert_eq!(asks(&mut lookup, now), []);
    lookup.handle_peers(&near(5), &[near(2), near(1)], now);
    assert_eq!(asks(&mut lookup, now), [near(1)]);
    lookup.handle_slow(&near(1));
    assert_eq!(asks(&mut lookup, now), [near(2)]);
    lookup.handle_peers(&near(1), &[], now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
}

#[test]
fn a_lookup_waits_for_a_late_peer_until_it_fails_though_the_next_nearest_have_answered() {
    let now = Instant::now();
    for goal in [Goal::Nodes, Goal::Value] {
        for answers_at_last in [false, true] {
            let mut lookup = Lookup::new(OWN, NodeId::ZERO, goal, &config(2, 2), false, &all_near(1..5), now);
            assert_eq!(asks(&mut lookup, now), all_near(1..3));
            lookup.handle_slow(&near(1));
            assert_eq!(asks(&mut lookup, now), [near(3)]);
            lookup.handle_peers(&near(2), &[], now);
            lookup.handle_peers(&near(3), &[], now);
            assert!(matches!(lookup.next(now), Next::Wait { .. }), "it may hold the value");
            if answers_at_last {
                lookup.handle_peers(&near(1), &[], now);
            } else {
                lookup.handle_failure(&near(1), Failure::Silent, now);
            }
            assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
            assert_eq!(lookup.closest(), if answers_at_last { all_near(1..3) } else { all_near(2..4) });
            assert_eq!(lookup.trace().unheard, usize::from(!answers_at_last));
        }
    }
}

#[test]
fn late_peers_do_not_delay_a_value() {
    let now = Instant::now();
    let mut lookup = start(Goal::Value, &config(2, 2), &all_near(1..5), now);
    assert_eq!(asks(&mut lookup, now), all_near(1..3));
    lookup.handle_slow(&near(1));
    lookup.handle_value(&near(2), now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Found));
    assert_eq!(lookup.trace().tally().pending, 1);
}

#[test]
fn suspects_have_alpha_slots_of_their_own_and_one_more_peer_is_asked_for_each() {
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(2, 2), &all_near(0..9), now);
    assert_eq!(asks(&mut lookup, now), all_near(0..2));
    lookup.handle_suspect(&near(0));
    lookup.handle_suspect(&near(1));
    assert_eq!(asks(&mut lookup, now), all_near(2..4));
    lookup.handle_suspect(&near(2));
    lookup.handle_suspect(&near(3));
    assert_eq!(asks(&mut lookup, now), [], "four are suspects, two too many");
    lookup.handle_slow(&near(0));
    assert_eq!(asks(&mut lookup, now), [near(4)]);
    lookup.handle_peers(&near(2), &[], now);
    lookup.handle_peers(&near(3), &[], now);
    assert_eq!(asks(&mut lookup, now), [], "two answered, and the rest is farther");
    lookup.handle_failure(&near(0), Failure::Silent, now);
    assert!(matches!(lookup.next(now), Next::Wait { .. }), "a suspect may still answer");
    lookup.handle_failure(&near(1), Failure::Silent, now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
    assert_eq!(lookup.closest(), all_near(2..4));
    let suspects = lookup.trace().asked.iter().filter(|asked| asked.suspect).count();
    assert_eq!(suspects, 4);
}

#[test]
fn reading_on_and_spent_queries_wait_for_the_late_as_well() {
    let now = Instant::now();
    let mut lookup = start(Goal::Value, &config(1, 3), &all_near(0..5), now);
    assert_eq!(asks(&mut lookup, now), [near(0)]);
    lookup.handle_peers(&near(0), &[], now);
    assert_eq!(asks(&mut lookup, now), all_near(1..4));
    lookup.handle_slow(&near(1));
    lookup.handle_peers(&near(2), &[], now);
    lookup.handle_peers(&near(3), &[], now);
    assert_eq!(asks(&mut lookup, now), [near(4)]);
    lookup.handle_peers(&near(4), &[], now);
    assert!(matches!(lookup.next(now), Next::Wait { .. }));
    lookup.handle_failure(&near(1), Failure::Silent, now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));

    let mut lookup = start(Goal::Nodes, &config(4, 3), &all_near(0..100), now);
    let mut late = Vec::new();
    while let Next::Query(peer) = lookup.next(now) {
        if peer == near(9) {
            lookup.handle_peers(&peer, &[], now);
        } else {
            lookup.handle_slow(&peer);
            late.push(peer);
        }
    }
    for peer in late {
        assert!(matches!(lookup.next(now), Next::Wait { .. }));
        lookup.handle_failure(&peer, Failure::Silent, now);
    }
    assert_eq!(lookup.next(now), Next::Finished(Ending::OutOfQueries));
    assert_eq!((lookup.closest(), lookup.trace().tally().asked), (vec![near(9)], 60));
    assert_eq!(lookup.trace().unheard, 99, "40 of them were not asked");
}

#[test]
fn many_dead_peers_in_a_row_cost_one_timeout_together() {
    let mut entropy = SeededEntropy::new(3);
    let (config, now) = (config(4, 3), Instant::now());
    let mut lookup = start(Goal::Nodes, &config, &all_near(0..24), now);
    let run = run(&mut lookup, &config, now, &mut entropy, |asked| {
        if asked.id < near(20).id { Reply::Fails(Failure::Silent) } else { Reply::Peers(Vec::new()) }
    });
    assert_eq!((run.ending, lookup.closest()), (Ending::Complete, all_near(20..24)));
    // Three at a time are found slow, and the last of them fail a timeout later.
    assert!(run.took < 7 * SLOW + LOST, "{:?}", run.took);
}

#[test]
fn a_read_waits_for_as_many_answers_as_the_nearest_peers_that_are_silent_from_k_to_twice_k() {
    let (config, now) = (config(4, 3), Instant::now());
    for (goal, dead, heard) in [
        (Goal::Value, 2, 4),
        (Goal::Value, 4, 4),
        (Goal::Value, 5, 5),
        (Goal::Value, 8, 8),
        (Goal::Value, 9, 8),
        (Goal::Nodes, 9, 4),
    ] {
        let mut lookup = Lookup::new(OWN, NodeId::ZERO, goal, &config, false, &all_near(0..30), now);
        let ending = loop {
            match lookup.next(now) {
                Next::Query(peer) if peer.id < near(dead).id => lookup.handle_failure(&peer, Failure::Silent, now),
                Next::Query(peer) => lookup.handle_peers(&peer, &[], now),
                Next::Wait { .. } => panic!("each query has ended"),
                Next::Finished(ending) => break ending,
            }
        };
        let asked: Vec<Peer> = lookup.trace().asked.iter().map(|asked| asked.peer).collect();
        assert_eq!((ending, asked), (Ending::Complete, all_near(0..dead + heard)), "{goal:?}, {dead} dead");
        assert_eq!(lookup.closest(), all_near(dead..dead + 4), "still no more than k are the result");
    }
}
