//! What a lookup does about answers that are slow or overdue, and about peers of which little is hoped.

use super::super::simulation::OVERDUE;
use super::*;

#[test]
fn a_slow_peer_frees_its_slot_and_its_late_answer_counts() {
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(2, 1), &all_near(1..4), now);
    assert_eq!(asks(&mut lookup, now), [near(1)]);
    lookup.handle_slow(&near(1).id);
    assert_eq!(asks(&mut lookup, now + SLOW), [near(2)]);
    lookup.handle_peers(&near(2).id, &[], now + SLOW);
    // Two answers are wanted, and the slow one may stay silent: the third is asked meanwhile.
    assert_eq!(asks(&mut lookup, now + SLOW), [near(3)]);
    lookup.handle_peers(&near(3).id, &[], now + SLOW);
    // It is among the nearest, so it is waited for at the end.
    assert!(matches!(lookup.next(now + SLOW), Next::Wait { .. }));
    lookup.handle_peers(&near(1).id, &[near(0)], now + 2 * SLOW);
    assert_eq!(asks(&mut lookup, now + 2 * SLOW), [near(0)]);
    lookup.handle_peers(&near(0).id, &[], now + 3 * SLOW);
    assert_eq!(lookup.next(now + 3 * SLOW), Next::Finished(Ending::Complete));
    assert_eq!(lookup.closest(), [near(0), near(1)]);
}

#[test]
fn a_slow_peer_that_is_not_among_the_nearest_is_not_waited_for() {
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(1, 2), &[near(5)], now);
    assert_eq!(asks(&mut lookup, now), [near(5)]);
    lookup.handle_slow(&near(5).id);
    assert_eq!(asks(&mut lookup, now), []);
    lookup.handle_peers(&near(5).id, &[near(2), near(1)], now);
    assert_eq!(asks(&mut lookup, now), [near(1)]);
    lookup.handle_slow(&near(1).id);
    assert_eq!(asks(&mut lookup, now), [near(2)]);
    lookup.handle_peers(&near(1).id, &[], now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
}

#[test]
fn an_overdue_peer_is_not_waited_for_once_the_next_nearest_have_answered() {
    let now = Instant::now();
    for answers_at_last in [false, true] {
        let mut lookup = start(Goal::Nodes, &config(2, 2), &all_near(1..5), now);
        assert_eq!(asks(&mut lookup, now), all_near(1..3));
        lookup.handle_slow(&near(1).id);
        assert_eq!(asks(&mut lookup, now), [near(3)]);
        lookup.handle_overdue(&near(1).id);
        lookup.handle_slow(&near(1).id);
        assert!(matches!(lookup.next(now), Next::Wait { .. }), "two answers are wanted");
        lookup.handle_peers(&near(2).id, &[], now);
        assert!(matches!(lookup.next(now), Next::Wait { .. }), "two answers are wanted");
        if answers_at_last {
            lookup.handle_peers(&near(1).id, &[], now);
        } else {
            lookup.handle_peers(&near(3).id, &[], now);
        }
        assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
        assert_eq!(lookup.closest(), if answers_at_last { all_near(1..3) } else { all_near(2..4) });
        assert_eq!(lookup.tally().pending, 1);
    }
}

#[test]
fn whoever_is_overdue_where_there_are_no_others_is_not_waited_for_either_if_anybody_answered() {
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(4, 3), &all_near(1..4), now);
    assert_eq!(asks(&mut lookup, now), all_near(1..4));
    for overdue in all_near(1..4) {
        lookup.handle_overdue(&overdue.id);
    }
    assert!(matches!(lookup.next(now), Next::Wait { .. }), "any answer is better than none");
    lookup.handle_peers(&near(3).id, &[], now);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
    assert_eq!(lookup.closest(), [near(3)]);
}

#[test]
fn doubted_peers_have_alpha_slots_of_their_own_and_one_more_is_asked_for_each() {
    let now = Instant::now();
    let mut lookup = start(Goal::Nodes, &config(2, 2), &all_near(0..9), now);
    assert_eq!(asks(&mut lookup, now), all_near(0..2));
    lookup.handle_doubted(&near(0).id);
    lookup.handle_doubted(&near(1).id);
    assert_eq!(asks(&mut lookup, now), all_near(2..4));
    lookup.handle_doubted(&near(2).id);
    lookup.handle_doubted(&near(3).id);
    assert_eq!(asks(&mut lookup, now), [], "four are doubted, two too many");
    lookup.handle_overdue(&near(0).id);
    assert_eq!(asks(&mut lookup, now), [near(4)]);
    lookup.handle_peers(&near(2).id, &[], now);
    lookup.handle_peers(&near(3).id, &[], now);
    assert_eq!(asks(&mut lookup, now), [], "two answered, and the rest is farther");
    assert!(matches!(lookup.next(now), Next::Wait { .. }), "a doubted one may still answer");
    lookup.handle_overdue(&near(1).id);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));
    assert_eq!(lookup.closest(), all_near(2..4));
    let doubted = lookup.trace().asked.iter().filter(|asked| asked.doubted).count();
    assert_eq!(doubted, 4);
}

#[test]
fn reading_on_and_spent_queries_do_not_wait_for_the_overdue() {
    let now = Instant::now();
    let mut lookup = start(Goal::Value, &config(1, 3), &all_near(0..5), now);
    assert_eq!(asks(&mut lookup, now), [near(0)]);
    lookup.handle_peers(&near(0).id, &[], now);
    assert_eq!(asks(&mut lookup, now), all_near(1..4));
    lookup.handle_overdue(&near(1).id);
    lookup.handle_peers(&near(2).id, &[], now);
    lookup.handle_peers(&near(3).id, &[], now);
    assert_eq!(asks(&mut lookup, now), [near(4)]);
    lookup.handle_overdue(&near(4).id);
    assert_eq!(lookup.next(now), Next::Finished(Ending::Complete));

    let mut lookup = start(Goal::Nodes, &config(4, 3), &all_near(0..100), now);
    while let Next::Query(peer) = lookup.next(now) {
        if peer == near(9) {
            lookup.handle_peers(&peer.id, &[], now);
        } else {
            lookup.handle_overdue(&peer.id);
        }
    }
    assert_eq!(lookup.next(now), Next::Finished(Ending::OutOfQueries));
    assert_eq!((lookup.closest(), lookup.tally().asked), (vec![near(9)], 60));
}

#[test]
fn many_dead_peers_in_a_row_cost_less_than_one_timeout() {
    let mut entropy = SeededEntropy::new(3);
    let (config, now) = (config(4, 3), Instant::now());
    let mut lookup = start(Goal::Nodes, &config, &all_near(0..24), now);
    let run = run(&mut lookup, &config, now, &mut entropy, |asked| {
        if asked.id < near(20).id { Reply::Fails(Failure::Silent) } else { Reply::Peers(Vec::new()) }
    });
    assert_eq!((run.ending, lookup.closest()), (Ending::Complete, all_near(20..24)));
    // Three at a time are found slow, then the last ones overdue; three trips are left for those that live.
    assert!(run.took < 7 * SLOW + OVERDUE + 9 * SLOW && run.took < LOST, "{:?}", run.took);
}
