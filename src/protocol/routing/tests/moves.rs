//! Ids that are used from another address: peers that moved, and others that want their place.

use super::*;
use crate::protocol::routing::claims::{CLAIM_INTERVAL, MAX_CLAIMANTS, MISSED_FOR, MISSED_QUERIES};

/// `far(0)` at another address, by its number.
fn claimant(number: u32) -> Peer {
    Peer { addr: far(100_000 + number).addr, ..far(0) }
}

fn known_at(story: &Story) -> Peer {
    story.table.get(&far(0).id).unwrap().peer()
}

/// Pings of `peer` time out, each sent when the one before has timed out, until it is pinged no more. Returns the peers that the
/// last one names.
fn misses(story: &mut Story, peer: Peer) -> Vec<Peer> {
    for _ in 0..MISSED_QUERIES - 1 {
        assert_eq!(story.is_silent_as_all(peer), []);
        assert_eq!(story.pings, [peer]);
    }
    assert_eq!(story.is_silent_as_all(peer), []);
    std::mem::take(&mut story.pings)
}

#[test]
fn a_live_entry_cannot_be_stolen_from_another_address() {
    let mut story = Story::full();
    let thief = at(far(0), "203.0.113.9:9");
    // The claim is a reason to ask the known address at once, never the new one.
    assert_eq!(story.asks(thief), Sighting::Verify(far(0)));
    assert_eq!(story.answers(thief), Insertion::Contested);
    assert_eq!(story.pings, [], "it is being asked");
    assert_eq!(story.answers(far(0)), Insertion::Refreshed);
    for _ in 0..100 {
        assert_eq!(story.asks(thief), Sighting::Ignored, "one check in ten seconds");
        story.pass(Duration::from_millis(1));
        assert_eq!(story.answers(thief), Insertion::Contested);
    }
    story.pass(CLAIM_INTERVAL);
    assert_eq!(story.answers(thief), Insertion::Contested);
    assert_eq!(story.pings, [far(0)]);
    // One packet lost is not enough, nor two.
    for _ in 0..MISSED_QUERIES - 1 {
        assert_eq!(story.is_silent(far(0)), []);
        assert_eq!(story.pings, [far(0)], "it is asked again");
        assert_eq!(story.answers(thief), Insertion::Contested);
    }
    assert_eq!(story.answers(far(0)), Insertion::Refreshed);
    assert_eq!(story.answers(thief), Insertion::Contested);
    assert_eq!(known_at(&story), far(0));
    assert_eq!(story.table.counters.moved, 0);
}

#[test]
fn a_peer_that_moved_is_found_at_its_new_address_once_the_old_one_has_missed_three_pings() {
    let mut story = Story::full();
    // A replacement that waits does not take the place meanwhile.
    assert_eq!(story.answers(far(9)), Insertion::Waiting);
    let (moved, began) = (at(far(0), "203.0.113.9:9"), story.now);
    assert_eq!(story.asks(moved), Sighting::Verify(far(0)));
    assert_eq!(misses(&mut story, far(0)), [moved, far(0)], "it is asked once more");
    assert_eq!(story.answers(moved), Insertion::Moved { from: far(0).addr });
    assert!(story.now - began < Duration::from_secs(7));
    assert_eq!(known_at(&story), moved);
    assert_eq!(story.is_silent(far(0)), []);
    assert_eq!((story.table.len(), story.table.counters.moved), (5, 1));
}

#[test]
fn three_misses_take_three_seconds_however_short_the_query_timeout_is() {
    let timeout = Duration::from_millis(100);
    let mut story = Story::new(Config::builder().k(4).query_timeout(timeout).build().unwrap());
    assert_eq!(story.answers(far(0)), Insertion::Added);
    assert_eq!(story.asks(claimant(1)), Sighting::Verify(far(0)));
    let began = story.now;
    while !story.pings.contains(&claimant(1)) {
        assert_eq!(story.answers(claimant(1)), Insertion::Contested);
        story.pass(timeout);
        assert_eq!(story.falls_silent(far(0)), []);
    }
    assert!((MISSED_FOR..MISSED_FOR + 2 * timeout).contains(&(story.now - began)));
    assert_eq!(story.answers(claimant(1)), Insertion::Moved { from: far(0).addr });
}

#[test]
fn queries_missed_before_the_claim_do_not_count() {
    let mut story = Story::full();
    // An outage of ours: none of them is to blame.
    for _ in 0..50 {
        assert_eq!(story.is_silent_as_all(far(0)), []);
    }
    assert_eq!(story.answers(claimant(1)), Insertion::Contested);
    assert_eq!(story.pings, [far(0)]);
    assert_eq!(story.answers(far(0)), Insertion::Refreshed);
    assert_eq!(known_at(&story), far(0));
}

#[test]
fn silences_of_queries_in_flight_neither_hasten_nor_multiply_the_pings_of_a_check() {
    let mut story = Story::full();
    assert_eq!(story.asks(claimant(1)), Sighting::Verify(far(0)));
    let mut pings = 0;
    for _ in 0..59 {
        story.pass(Duration::from_millis(100));
        assert_eq!(story.falls_silent(far(0)), []);
        pings += story.pings.len();
    }
    assert_eq!(pings, 2, "one every two seconds");
    story.pass(Duration::from_millis(100));
    assert_eq!(story.falls_silent(far(0)), []);
    assert_eq!(story.pings, [claimant(1), far(0)]);
}

#[test]
fn many_claims_of_one_id_cost_a_few_pings() {
    let mut story = Story::full();
    let mut pings = Vec::new();
    // A minute in which the peer answers.
    for number in 0..60_000 {
        story.now += Duration::from_millis(1);
        if let Sighting::Verify(peer) = story.asks_now(claimant(number)) {
            pings.push(peer);
            assert_eq!(story.answers_now(far(0)), Insertion::Refreshed);
        }
    }
    assert_eq!(pings, [far(0); 6]);
    assert!(story.table.get(&far(0).id).unwrap().claimants().count() <= MAX_CLAIMANTS);
    // It falls silent: three of the claimants are asked, and so are those that go on claiming, one at a time.
    story.pass(CLAIM_INTERVAL);
    assert_eq!(story.asks(claimant(7)), Sighting::Verify(far(0)));
    assert_eq!(misses(&mut story, far(0)).len(), MAX_CLAIMANTS + 1);
    let asked = (0..10_000).filter(|number| story.asks_now(claimant(*number)) != Sighting::Ignored);
    assert_eq!(asked.count(), 1, "as newcomers of a full bucket");
}

#[test]
fn an_address_that_has_answered_under_the_id_is_asked_however_many_others_claim_it() {
    let mut story = Story::full();
    for number in 0..100 {
        let _ = story.asks(claimant(number));
    }
    assert_eq!(story.answers(claimant(200)), Insertion::Contested);
    for number in 300..400 {
        assert_eq!(story.asks(claimant(number)), Sighting::Ignored);
    }
    assert_eq!(misses(&mut story, far(0))[0], claimant(200));
}

#[test]
fn an_entry_that_is_claimed_in_vain_leaves_one_silence_later() {
    let mut story = Story::full();
    assert_eq!(story.answers(far(9)), Insertion::Waiting);
    assert_eq!(story.asks(claimant(1)), Sighting::Verify(far(0)));
    for _ in 0..MISSED_QUERIES {
        assert_eq!(story.is_silent(far(0)), []);
    }
    assert_eq!(story.is_silent(far(0)), [Change::Left(far(0)), Change::Entered(far(9))]);
}

#[test]
fn claims_that_wait_are_checked_in_the_next_round_and_those_of_an_entry_that_leaves_at_once() {
    let mut story = Story::full();
    assert_eq!(story.asks(claimant(1)), Sighting::Verify(far(0)));
    assert_eq!(story.answers(far(0)), Insertion::Refreshed);
    assert_eq!(story.asks(claimant(2)), Sighting::Ignored);
    assert_eq!(story.table.checks_due(story.now), []);
    story.pass(CLAIM_INTERVAL);
    assert_eq!(story.table.checks_due(story.now), [far(0)]);
    assert_eq!(story.table.checks_due(story.now), []);
    assert_eq!(story.is_replaced(far(0)), [Change::Left(far(0))]);
    assert_eq!(story.pings, [claimant(2)]);
}

/// A victim that fell silent while it was flooded, and whose id has moved.
fn displaced() -> Story {
    let mut story = Story::full();
    assert_eq!(story.asks(claimant(1)), Sighting::Verify(far(0)));
    let _ = misses(&mut story, far(0));
    assert_eq!(story.answers(claimant(1)), Insertion::Moved { from: far(0).addr });
    story
}

#[test]
fn a_flooded_victim_gets_its_id_back_when_it_answers_within_the_hour() {
    for minutes in [0, 30, 59] {
        let mut story = displaced();
        story.pass(Duration::from_secs(minutes * 60));
        assert_eq!(story.answers(claimant(1)), Insertion::Refreshed);
        let (insertion, outcome) = story.table.peer_answered(far(0), V, story.now);
        assert_eq!(insertion, Insertion::Moved { from: claimant(1).addr }, "after {minutes} minutes");
        assert_eq!(outcome.changes, [Change::Left(claimant(1)), Change::Entered(far(0))]);
        assert_eq!((known_at(&story), story.table.counters.restored), (far(0), 1));
        // The one that lost it has no such claim.
        assert_eq!(story.answers(claimant(1)), Insertion::Contested);
    }
    let mut story = displaced();
    story.pass(DISPLACED_FOR);
    assert_eq!(story.answers(far(0)), Insertion::Contested);
}

#[test]
fn a_displaced_peer_is_asked_when_it_asks_and_every_few_minutes() {
    let mut story = displaced();
    story.pass(TIMEOUT);
    assert_eq!(story.asks(far(0)), Sighting::Verify(far(0)));
    assert_eq!(story.asks(far(0)), Sighting::Ignored, "it is being asked");
    story.pass(TIMEOUT);
    assert_eq!(story.asks(far(0)), Sighting::Verify(far(0)));
    let mut pings = 0;
    for _ in 0..120 {
        story.pass(Duration::from_secs(60));
        pings += story.table.checks_due(story.now).iter().filter(|peer| **peer == far(0)).count();
    }
    assert!((9..=12).contains(&pings), "{pings}, within the hour");
}

#[test]
fn an_id_that_goes_from_address_to_address_goes_back_to_the_first() {
    let mut story = displaced();
    assert_eq!(story.asks(claimant(2)), Sighting::Verify(claimant(1)));
    let _ = misses(&mut story, claimant(1));
    assert_eq!(story.answers(claimant(2)), Insertion::Moved { from: claimant(1).addr });
    assert_eq!(story.answers(claimant(1)), Insertion::Contested);
    assert_eq!(story.answers(far(0)), Insertion::Moved { from: claimant(2).addr });
}

#[test]
fn a_peer_that_left_for_its_silence_gets_its_id_back_from_the_peer_that_entered_under_it() {
    let mut story = Story::full();
    for _ in 0..3 {
        let _ = story.is_silent(far(0));
    }
    assert!(!story.table.contains(&far(0).id));
    assert_eq!(story.answers(claimant(1)), Insertion::Added);
    assert_eq!(story.pings, [far(0)], "it is asked at once");
    assert_eq!(story.answers(far(0)), Insertion::Moved { from: claimant(1).addr });
    assert_eq!(known_at(&story), far(0));
}

#[test]
fn an_address_at_which_another_id_answers_gets_none_back() {
    let mut story = displaced();
    let other = Peer { addr: far(0).addr, ..far(77) };
    assert_eq!(story.answers(other), Insertion::Waiting);
    assert_eq!(story.answers(far(0)), Insertion::Contested);
    assert_eq!(known_at(&story), claimant(1));
}

#[test]
fn silent_peers_are_asked_in_turn_until_they_answer_or_their_time_is_over() {
    let mut story = Story::full();
    for number in 0..3 {
        for _ in 0..3 {
            let _ = story.is_silent(far(number));
        }
    }
    let round =
        |story: &mut Story, n: usize| (0..n).flat_map(|_| story.table.checks_due(story.now)).collect::<Vec<_>>();
    assert_eq!(round(&mut story, 6), [0, 1, 2, 0, 1, 2].map(far));
    assert_eq!(story.answers(far(1)), Insertion::Added);
    assert_eq!(round(&mut story, 2), [0, 2].map(far));
    story.pass(DEPARTED_FOR);
    assert_eq!(round(&mut story, 2), []);
}

#[test]
fn however_many_fall_silent_or_are_displaced_few_are_remembered() {
    let mut story = Story::new(Config::default());
    for number in 0..1_000u32 {
        assert_eq!(story.answers(far(number)), Insertion::Added);
        for _ in 0..3 {
            let _ = story.is_silent(far(number));
        }
        if number % 2 == 0 {
            let elsewhere = Peer { addr: far(200_000 + number).addr, ..far(number) };
            assert_eq!(story.answers(elsewhere), Insertion::Added);
            assert_eq!(story.is_replaced(elsewhere), [Change::Left(elsewhere)]);
        }
        let (silent, displaced) = story.table.departed.sizes();
        assert!(silent <= MAX_DEPARTED && displaced <= MAX_DISPLACED, "{silent}, {displaced}");
    }
}

#[test]
fn a_table_that_forgets_all_reports_it_and_remembers_displaced_peers() {
    let mut story = displaced();
    let mut known: Vec<Change> = story.table.entries().map(|entry| Change::Left(entry.peer)).collect();
    let mut changes = story.table.forget_all(story.now).changes;
    let key = |change: &Change| format!("{change:?}");
    known.sort_by_key(key);
    changes.sort_by_key(key);
    assert_eq!(changes, known);
    story.pass(TIMEOUT);
    assert!(story.table.is_empty());
    assert_eq!(story.answers(claimant(1)), Insertion::Added);
    assert_eq!(story.answers(far(0)), Insertion::Moved { from: claimant(1).addr });
}
