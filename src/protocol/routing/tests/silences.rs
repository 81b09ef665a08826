//! The effects of silences on entries.

use super::*;

#[test]
fn one_lost_packet_evicts_no_peer_even_where_a_replacement_waits() {
    let mut story = Story::full();
    let _ = story.answers(far(9));
    assert_eq!(story.is_silent(far(0)), []);
    assert!(story.table.contains(&far(0).id));
    assert_eq!(story.is_silent(far(0)), [Change::Left(far(0)), Change::Entered(far(9))]);
}

#[test]
fn without_a_replacement_it_takes_max_failures() {
    let mut story = Story::full();
    assert_eq!(story.is_silent(far(0)), []);
    assert_eq!(story.is_silent(far(0)), []);
    assert_eq!(story.is_silent(far(0)), [Change::Left(far(0))]);
}

#[test]
fn an_answer_ends_the_count_of_failures() {
    let mut story = Story::full();
    for _ in 0..10 {
        assert_eq!(story.is_silent(far(0)), []);
        assert_eq!(story.is_silent(far(0)), []);
        assert_eq!(story.answers(far(0)), Insertion::Refreshed);
        assert_eq!(story.failures(far(0)), 0);
    }
}

#[test]
fn queries_lost_together_count_once() {
    let mut story = Story::full();
    let _ = story.answers(far(9));
    story.pass(TIMEOUT);
    for _ in 0..20 {
        story.pass(Duration::from_millis(50));
        assert_eq!(story.falls_silent(far(0)), []);
    }
    assert_eq!(story.failures(far(0)), 1);
}

#[test]
fn evicting_twice_promotes_once() {
    let mut story = Story::full();
    for number in 9..12 {
        let _ = story.answers(far(number));
    }
    for _ in 0..2 {
        let _ = story.is_silent(far(0));
    }
    assert!(story.table.contains(&far(11).id), "the one that answered last comes in");
    assert_eq!(story.is_silent(far(0)), []);
    assert_eq!(story.is_replaced(far(0)), []);
    assert_eq!(story.table.len(), 5);
    assert!(!story.table.contains(&far(10).id));
    assert_eq!(story.table.counters.evicted, 1);
}

#[test]
fn an_outage_of_the_whole_network_evicts_no_peer() {
    let mut story = Story::full();
    let _ = story.answers(far(9));
    let all: Vec<Peer> = story.table.verified_peers(99);
    for _ in 0..100 {
        for peer in &all {
            assert_eq!(story.is_silent_as_all(*peer), []);
        }
    }
    assert_eq!(story.table.len(), 5);
    assert!(story.table.nearest_for(&OWN, 9, &addr("192.0.2.1:1")).is_empty(), "the failing are not named to others");
    assert_eq!(story.table.nearest(&OWN, 9).len(), 5, "but asked by ourselves");
    // The first answer ends the outage; queries sent before it time out after it, and still blame no peer.
    assert_eq!(story.answers(far(0)), Insertion::Refreshed);
    story.pass(TIMEOUT - Duration::from_millis(100));
    for peer in &all[..4] {
        assert_eq!(story.falls_silent(*peer), []);
    }
    for number in 0..4 {
        assert_eq!(story.answers(far(number)), Insertion::Refreshed);
        assert_eq!(story.failures(far(number)), 0);
    }
    assert_eq!(story.table.nearest_for(&OWN, 9, &addr("192.0.2.1:1")).len(), 4);
}

#[test]
fn of_each_bucket_the_entry_that_was_silent_longest_ago_is_asked_again_in_each_round() {
    let mut story = Story::full();
    assert_eq!(story.table.checks_due(story.now), []);
    assert_eq!((story.is_silent(far(1)), story.is_silent(far(0))), (vec![], vec![]));
    assert_eq!(story.table.checks_due(story.now), [far(1)]);
    // Its ping is not answered either, so it is the other one's turn.
    assert_eq!(story.is_silent(far(1)), []);
    assert_eq!(story.table.checks_due(story.now), [far(0)]);
    assert_eq!(story.answers(far(0)), Insertion::Refreshed);
    assert_eq!(story.table.checks_due(story.now), [far(1)]);
    assert_eq!(story.is_silent(far(1)), [Change::Left(far(1))]);
    // From now on it is asked as a departed one.
    assert_eq!(story.table.checks_due(story.now), [far(1)]);
    let near = peer(0x01, 1_000);
    assert_eq!((story.is_silent(far(2)), story.is_silent_as_all(near)), (vec![], vec![]));
    let due = story.table.checks_due(story.now);
    assert!(due.len() == 3 && [far(1), far(2), near].iter().all(|peer| due.contains(peer)), "{due:?}");
}

#[test]
fn an_entry_whose_ping_cannot_be_sent_keeps_no_other_from_its_turn() {
    let mut story = Story::full();
    assert_eq!((story.is_silent(far(1)), story.is_silent(far(0))), (vec![], vec![]));
    for due in [far(1), far(0), far(1), far(0)] {
        story.now += Duration::from_secs(60);
        assert_eq!(story.table.checks_due(story.now), [due]);
    }
}

#[test]
fn local_answers_do_not_evict_the_internet() {
    let mut story = Story::small();
    let (local, global) = (at(far(1), "127.0.0.1:7"), far(2));
    for peer in [local, global] {
        assert_eq!(story.answers(peer), Insertion::Added);
    }
    for _ in 0..50 {
        assert_eq!(story.answers(local), Insertion::Refreshed);
        assert_eq!(story.is_silent_as_all(global), []);
    }
    assert_eq!(story.failures(global), 50);
}

#[test]
fn silence_at_an_address_that_a_stranger_named_is_not_the_entrys() {
    let mut story = Story::full();
    for _ in 0..10 {
        assert_eq!(story.is_silent(at(far(0), "203.0.113.9:9")), []);
    }
    assert_eq!(story.is_replaced(at(far(0), "203.0.113.9:9")), []);
    assert_eq!(story.failures(far(0)), 0);
}
