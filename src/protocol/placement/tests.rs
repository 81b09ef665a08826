//! Laws of placement, then its behaviour.

use super::*;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::prefix::Prefix;
use proptest::prelude::*;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

const RESTORE: Mode = Mode::Restore;

/// In order of distance from the key zero.
fn near(number: u8) -> Peer {
    let mut id = [0; 20];
    id[0] = number + 1;
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000 + u16::from(number)));
    Peer::new(NodeId::from_bytes(id), addr)
}

fn all_near(numbers: std::ops::Range<u8>) -> Vec<Peer> {
    numbers.map(near).collect()
}

fn start(mode: Mode, targets: &[Peer], alpha: usize, now: Instant) -> Placement {
    Placement::new(mode, targets, &Config::builder().alpha(alpha).build().unwrap(), now)
}

/// What it sends before it waits or ends.
fn sends(placement: &mut Placement, now: Instant) -> Vec<Step> {
    let sent = std::iter::from_fn(|| Some(placement.next(now)));
    sent.take_while(|step| matches!(step, Step::Check(_) | Step::Store(_))).collect()
}

proptest! {
    #[test]
    fn targets_are_the_nearest_of_both_views_in_order_and_once(
        seed: u64, known in 0usize..60, k in 1usize..25, mixed: bool,
    ) {
        let mut entropy = SeededEntropy::new(seed);
        let key = Prefix::ALL.random_id(&mut entropy);
        let peers: Vec<Peer> = (0..known)
            .map(|number| Peer::new(Prefix::ALL.random_id(&mut entropy), near(number as u8).addr))
            .collect();
        let (found, table): (Vec<_>, Vec<_>) = (
            peers.iter().copied().filter(|_| entropy.below(2) == 0).collect(),
            peers.iter().copied().filter(|_| entropy.below(2) == 0).collect(),
        );
        let nearest = |peers: &[Peer]| {
            let mut peers = peers.to_vec();
            peers.sort_by_key(|peer| peer.id.distance(&key));
            peers.truncate(k);
            peers
        };
        let targets = targets(&key, k, &found, &table, mixed);
        prop_assert!(targets.is_sorted_by(|a, b| a.id.distance(&key) < b.id.distance(&key)));
        let mut expected = nearest(&found);
        if mixed { expected.extend(nearest(&table)); }
        prop_assert!(expected.iter().all(|peer| targets.contains(peer)));
        prop_assert!(targets.iter().all(|peer| expected.contains(peer)));
    }

    /// Whatever comes back, in whatever order: it ends, keeps to alpha slots and its number of queries, and counts
    /// each target once; and a transfer ends with the first that has stored.
    #[test]
    fn every_placement_ends_and_counts_each_target_once(
        seed: u64, size in 0u8..50, alpha in 1usize..6,
        mode in prop_oneof![Just(Mode::Publish), Just(RESTORE), Just(Mode::Transfer)],
    ) {
        let mut entropy = SeededEntropy::new(seed);
        let mut now = Instant::now();
        let alpha = if mode == Mode::Transfer { 1 } else { alpha };
        let mut placement = start(mode, &all_near(0..size), alpha, now);
        // (id, whether it was a check, whether it holds a slot)
        let mut in_flight: Vec<(NodeId, bool, bool)> = Vec::new();
        let mut sent = vec![0; usize::from(size) + 1];
        loop {
            let step = placement.next(now);
            match step {
                Step::Check(peer) | Step::Store(peer) => {
                    prop_assert!(!in_flight.iter().any(|(id, ..)| *id == peer.id));
                    in_flight.push((peer.id, matches!(step, Step::Check(_)), true));
                    sent[usize::from(peer.id.as_bytes()[0])] += 1;
                    prop_assert!(in_flight.iter().filter(|(.., holds)| *holds).count() <= alpha);
                }
                Step::Wait { until } => {
                    let at = entropy.below(in_flight.len() as u64) as usize;
                    let (id, check, _) = in_flight[at];
                    let die = entropy.below(9);
                    now += Duration::from_millis(entropy.below(60));
                    if die == 0 {
                        in_flight[at].2 = false;
                        placement.handle_slow(&id);
                        continue;
                    }
                    in_flight.remove(at);
                    match die {
                        1 | 2 => placement.handle_failure(&id, Failure::Silent),
                        3 => placement.handle_failure(&id, Failure::WrongId { actual: NodeId::ZERO }),
                        4 => placement.handle_failure(&id, Failure::Unsent),
                        5 => now = if entropy.below(20) == 0 { until } else { in_flight.push((id, check, false)); placement.handle_slow(&id); now },
                        _ if check => { placement.handle_checked(&id, die == 6); }
                        _ => placement.handle_stored(&id, die != 6),
                    }
                }
                Step::Finished => break,
            }
        }
        prop_assert_eq!(placement.next(now), Step::Finished);
        let most = if mode == Mode::Publish { 2 } else { 3 };
        prop_assert!(sent.iter().all(|sent| *sent <= most));
        let placed = placement.outcome();
        prop_assert_eq!(placed.asked + placed.unsent + placed.unreached, usize::from(size));
        let Placed { stored, refused, held_already, silent, wrong_id, .. } = placed;
        prop_assert!(mode != Mode::Transfer || stored <= 1);
        prop_assert_eq!(placed.asked, stored + refused + held_already + silent + wrong_id);
    }
}

#[test]
fn a_small_value_goes_to_all_targets_at_once_and_a_large_one_to_alpha_or_as_many_as_the_burst_permits() {
    let now = Instant::now();
    for (len, at_once) in [(0, 20), (200, 20), (MAX_BURST / 7, 7), (MAX_BURST / 3 + 1, 3), (60_000, 3), (usize::MAX, 3)]
    {
        let mut publication = start(Mode::Publish, &all_near(0..20), 3, now).at_once(len);
        assert_eq!(sends(&mut publication, now).len(), at_once, "{len} bytes");
    }
    for (mode, at_once) in [(RESTORE, 3), (Mode::Audit, 3), (Mode::Transfer, 1)] {
        let mut placement = start(mode, &all_near(0..20), 3, now).at_once(200);
        assert_eq!(sends(&mut placement, now).len(), at_once, "{mode:?}");
    }
}

#[test]
fn a_lookups_word_on_an_address_counts_more_than_the_tables() {
    let moved = Peer::new(near(1).id, near(9).addr);
    assert_eq!(targets(&NodeId::ZERO, 4, &[near(1)], &[moved, near(0)], true), [near(0), near(1)]);
    assert_eq!(targets(&NodeId::ZERO, 4, &[moved], &[near(9)], true), [moved]);
}

#[test]
fn a_publisher_sets_every_target_whether_it_holds_the_key_or_not() {
    let now = Instant::now();
    let mut placement = start(Mode::Publish, &all_near(0..3), 3, now);
    assert_eq!(sends(&mut placement, now), all_near(0..3).into_iter().map(Step::Store).collect::<Vec<_>>());
    placement.handle_stored(&near(0).id, true);
    placement.handle_stored(&near(1).id, false);
    placement.handle_stored(&near(2).id, true);
    assert_eq!(placement.next(now), Step::Finished);
    assert_eq!(placement.outcome(), Placed { asked: 3, stored: 2, refused: 1, ..Placed::default() });
}

#[test]
fn a_restore_sets_only_where_the_key_is_not_held() {
    let now = Instant::now();
    let mut placement = start(RESTORE, &all_near(0..3), 2, now);
    assert_eq!(sends(&mut placement, now), [Step::Check(near(0)), Step::Check(near(1))]);
    placement.handle_checked(&near(0).id, true);
    placement.handle_checked(&near(1).id, false);
    // What was checked comes before the next check.
    assert_eq!(sends(&mut placement, now), [Step::Store(near(1)), Step::Check(near(2))]);
    placement.handle_checked(&near(2).id, true);
    placement.handle_stored(&near(1).id, true);
    assert_eq!(placement.next(now), Step::Finished);
    assert_eq!(placement.outcome(), Placed { asked: 3, stored: 1, held_already: 2, ..Placed::default() });
    assert_eq!(placement.mode, RESTORE);
}

#[test]
fn a_transfer_asks_one_after_the_other_and_ends_with_the_first_that_lacked_it() {
    let now = Instant::now();
    let mut placement = start(Mode::Transfer, &all_near(0..5), 3, now);
    assert_eq!(sends(&mut placement, now), [Step::Check(near(0))]);
    placement.handle_checked(&near(0).id, true);
    assert_eq!(sends(&mut placement, now), [Step::Check(near(1))]);
    // It may have gone: the next one's turn comes, and its own late answer makes no difference.
    placement.handle_slow(&near(1).id);
    assert_eq!(sends(&mut placement, now), [Step::Check(near(2))]);
    placement.handle_checked(&near(2).id, false);
    assert_eq!(sends(&mut placement, now), [Step::Store(near(2))]);
    placement.handle_stored(&near(2).id, false);
    assert_eq!(sends(&mut placement, now), [Step::Check(near(3))]);
    placement.handle_checked(&near(3).id, false);
    assert_eq!(sends(&mut placement, now), [Step::Store(near(3))]);
    placement.handle_stored(&near(3).id, true);
    assert_eq!(placement.next(now), Step::Finished);
    placement.handle_checked(&near(1).id, false);
    assert_eq!(placement.next(now), Step::Finished);
    let placed = Placed { asked: 3, stored: 1, refused: 1, held_already: 1, unreached: 2, ..Placed::default() };
    assert_eq!(placement.outcome(), placed);
}

#[test]
fn a_silent_target_is_tried_once_more_after_all_others() {
    let now = Instant::now();
    let mut placement = start(Mode::Publish, &all_near(0..3), 1, now);
    assert_eq!(sends(&mut placement, now), [Step::Store(near(0))]);
    placement.handle_failure(&near(0).id, Failure::Silent);
    for number in [1, 2] {
        assert_eq!(sends(&mut placement, now), [Step::Store(near(number))]);
        placement.handle_stored(&near(number).id, true);
    }
    assert_eq!(sends(&mut placement, now), [Step::Store(near(0))]);
    placement.handle_failure(&near(0).id, Failure::Silent);
    assert_eq!(placement.next(now), Step::Finished);
    assert_eq!(placement.outcome(), Placed { asked: 3, stored: 2, silent: 1, ..Placed::default() });
}

#[test]
fn a_slow_target_frees_its_slot_and_its_late_answer_counts() {
    let now = Instant::now();
    let mut placement = start(Mode::Publish, &all_near(0..2), 1, now);
    assert_eq!(sends(&mut placement, now), [Step::Store(near(0))]);
    placement.handle_slow(&near(0).id);
    assert_eq!(sends(&mut placement, now), [Step::Store(near(1))]);
    placement.handle_stored(&near(1).id, true);
    assert!(matches!(placement.next(now), Step::Wait { .. }));
    placement.handle_stored(&near(0).id, true);
    assert_eq!(placement.next(now), Step::Finished);
    assert_eq!(placement.outcome().stored, 2);
}

#[test]
fn the_deadline_ends_a_placement_that_hears_nothing() {
    let now = Instant::now();
    let mut placement = start(Mode::Publish, &all_near(0..5), 2, now);
    assert_eq!(sends(&mut placement, now).len(), 2);
    let Step::Wait { until } = placement.next(now) else { panic!("it does not wait") };
    assert_eq!(until, now + Config::default().lookup.lookup_deadline);
    assert_eq!(placement.next(until), Step::Finished);
    placement.handle_stored(&near(0).id, true);
    assert_eq!(placement.outcome(), Placed { asked: 2, silent: 2, unreached: 3, ..Placed::default() });
}

#[test]
fn answers_that_are_not_awaited_change_nothing() {
    let now = Instant::now();
    let mut placement = start(RESTORE, &all_near(0..2), 1, now);
    assert_eq!(sends(&mut placement, now), [Step::Check(near(0))]);
    placement.handle_stored(&near(0).id, true);
    placement.handle_checked(&near(1).id, true);
    placement.handle_failure(&near(7).id, Failure::Silent);
    assert_eq!(placement.outcome(), Placed::default());
    assert!(matches!(placement.next(now), Step::Wait { .. }));
}
