//! Bounds over random histories, then the meaning of single audits.

use super::*;
use crate::protocol::entropy::SeededEntropy;
use proptest::prelude::*;

const INTERVAL: Duration = Duration::from_secs(600);

fn pins(max: usize) -> PinnedKeys {
    PinnedKeys::new(&Config::builder().audit_interval(INTERVAL).max_pinned_keys(max).build().unwrap())
}

fn count(confirmed: usize, nearest: usize) -> Count {
    Count { confirmed, nearest }
}

/// One pinned key whose audit is under way, and the time.
fn under_way(min: usize) -> (PinnedKeys, SeededEntropy, u64, Instant) {
    let (mut pins, mut entropy) = (pins(10), SeededEntropy::new(1));
    pins.pin("key".into(), min, Instant::now(), &mut entropy).unwrap();
    let now = pins.next_wakeup().unwrap();
    let (number, _) = pins.next_audit(now).unwrap();
    (pins, entropy, number, now)
}

proptest! {
    /// In every history: at most four audits are under way, they begin at most 20 a second, a pinned key is always due or under
    /// way, and none is forgotten or added.
    #[test]
    fn every_pinned_key_is_due_or_under_way_within_the_bounds(seed: u64, keys in 1u64..40, steps in 1usize..300) {
        let (mut pins, mut entropy, mut chance) = (pins(30), SeededEntropy::new(seed), SeededEntropy::new(!seed));
        let mut now = Instant::now();
        let mut expected: BTreeSet<Arc<str>> = BTreeSet::new();
        let (mut running, mut repairing, mut begun) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..steps {
            let key: Arc<str> = chance.below(keys).to_string().into();
            match chance.below(10) {
                0..3 => match pins.pin(key.clone(), 1 + chance.below(20) as usize, now, &mut entropy) {
                    Ok(()) => drop(expected.insert(key)),
                    Err(full) => prop_assert!(expected.len() == 30 && full.limit == 30 && !expected.contains(&key)),
                },
                3 => prop_assert_eq!(pins.unpin(&key), expected.remove(&key)),
                4 if !running.is_empty() => {
                    let number = running.swap_remove(chance.below(running.len() as u64) as usize);
                    let found = count(chance.below(21) as usize, 20);
                    if pins.audited(number, found, now, &mut entropy).is_some_and(|(_, finding)| finding.repair) {
                        repairing.push(number);
                    }
                }
                5 => repairing.drain(..).for_each(|number| drop(pins.repaired(number, now, &mut entropy))),
                6 if !running.is_empty() => pins.failed(running.remove(0), now, &mut entropy),
                7 if chance.below(10) == 0 => pins.restart(now, &mut entropy),
                _ => now += Duration::from_millis(chance.below(60_000)),
            }
            while let Some((number, key)) = pins.next_audit(now) {
                prop_assert!(expected.contains(&key));
                running.push(number);
                begun.push(now);
            }
            prop_assert!(pins.next_wakeup().is_none_or(|at| at > now));
            prop_assert!(pins.under_way.len() <= AUDITS_AT_ONCE);
            prop_assert!(pins.pinned.keys().all(|key| expected.contains(key)) && pins.pinned.len() == expected.len());
            for (key, pinned) in &pins.pinned {
                let waits = pinned.due.is_some_and(|at| pins.due.contains(&(at, key.clone())));
                let runs = pins.under_way.values().filter(|under_way| *under_way == key).count();
                prop_assert_eq!(usize::from(waits) + runs, 1, "{}", key);
            }
            prop_assert_eq!(pins.due.len() + pins.under_way.len(), expected.len());
        }
        prop_assert!(begun.windows(2).all(|pair| pair[1] - pair[0] >= AUDIT_PAUSE));
    }
}

#[test]
fn a_key_is_repaired_at_its_minimum_and_when_a_fifth_lack_it_but_not_where_all_hold_it() {
    for (min, confirmed, nearest, low, repair) in [
        (3, 20, 20, false, false),
        (3, 16, 20, false, false),
        (3, 15, 20, false, true),
        (18, 18, 20, false, true),
        (18, 19, 20, false, false),
        (18, 17, 20, true, true),
        (3, 2, 20, true, true),
        (3, 0, 20, true, true),
        // There are fewer nodes than it should have replicas: that is reported, but no peer can receive it.
        (3, 2, 2, true, false),
        (2, 2, 2, false, false),
        (3, 1, 2, true, true),
        // No peer answered: the peers of the table are tried.
        (1, 0, 0, true, true),
    ] {
        let (mut pins, mut entropy, number, now) = under_way(min);
        let (_, finding) = pins.audited(number, count(confirmed, nearest), now, &mut entropy).unwrap();
        let expected = Finding { below: low.then_some(min), repair };
        assert_eq!(finding, expected, "{confirmed} of {nearest}, at least {min}");
        assert_eq!(pins.next_wakeup().is_none(), repair, "the repair is waited for");
    }
}

#[test]
fn a_key_in_trouble_is_audited_sooner_and_less_and_less_so_while_that_does_not_help() {
    let (mut pins, mut entropy, mut number, mut now) = under_way(3);
    let mut delays = Vec::new();
    for round in 0..6 {
        let found = if round == 5 { count(20, 20) } else { count(1, 20) };
        let (_, finding) = pins.audited(number, found, now, &mut entropy).unwrap();
        if finding.repair {
            assert_eq!(pins.repaired(number, now, &mut entropy), Some(("key".into(), found)));
        }
        let next = pins.next_wakeup().unwrap();
        delays.push((next - now).as_secs_f64() / INTERVAL.as_secs_f64());
        now = next;
        number = pins.next_audit(now).unwrap().0;
    }
    for (delay, expected) in delays.iter().zip([0.25, 0.5, 1.0, 1.0, 1.0, 1.0]) {
        assert!((delay / expected - 1.0).abs() <= JITTER + 0.001, "{delays:?}");
    }
}

#[test]
fn results_under_a_number_that_is_over_change_nothing() {
    let (mut pins, mut entropy, number, now) = under_way(3);
    pins.restart(now, &mut entropy);
    let before = format!("{pins:?}");
    assert_eq!(pins.audited(number, count(0, 20), now, &mut entropy), None);
    assert_eq!(pins.repaired(number, now, &mut entropy), None);
    pins.failed(number, now, &mut entropy);
    assert_eq!(format!("{pins:?}"), before);

    let (mut pins, mut entropy, number, now) = under_way(3);
    assert!(pins.unpin("key") && !pins.unpin("key"));
    assert_eq!(pins.audited(number, count(0, 20), now, &mut entropy), None);
    assert_eq!((pins.next_wakeup(), pins.snapshot(now)), (None, PinsSnapshot::default()));
}

#[test]
fn a_key_that_was_pinned_again_is_not_unpinned_by_an_older_audit() {
    let (mut pins, mut entropy, outdated, now) = under_way(3);
    assert!(pins.unpin("key"));
    pins.pin("key".into(), 5, now, &mut entropy).unwrap();
    assert_eq!(pins.no_longer_published(outdated), None);
    assert_eq!(pins.snapshot(now).pinned, 1);
    let now = pins.next_wakeup().unwrap();
    let (number, _) = pins.next_audit(now).unwrap();
    assert_eq!(pins.no_longer_published(outdated), None);
    assert_eq!(pins.no_longer_published(number), Some("key".into()));
    assert_eq!((pins.next_wakeup(), pins.snapshot(now)), (None, PinsSnapshot::default()));
}

#[test]
fn a_snapshot_shows_keys_with_the_least_reserve_first_and_is_bounded() {
    let (mut pins, mut entropy, now) = (pins(1_000), SeededEntropy::new(1), Instant::now());
    for number in 0..300 {
        pins.pin(format!("{number:03}").into(), 5, now, &mut entropy).unwrap();
    }
    let mut at = now;
    for confirmed in [9, 2, 7] {
        at = pins.next_wakeup().unwrap();
        let (number, _) = pins.next_audit(at).unwrap();
        let _ = pins.audited(number, count(confirmed, 9), at, &mut entropy);
        pins.repaired(number, at, &mut entropy);
    }
    let snapshot = pins.snapshot(at + Duration::from_secs(1));
    assert_eq!((snapshot.pinned, snapshot.under_way, snapshot.keys.len()), (300, 0, KEYS_SHOWN));
    let shown: Vec<_> = snapshot.keys.iter().map(|key| key.last_audit.map(|(_, count)| count.confirmed)).collect();
    assert_eq!(shown[..4], [Some(2), Some(7), Some(9), None]);
    assert_eq!(snapshot.keys[1].last_audit.unwrap().0, 1_000);
    assert_eq!((snapshot.below_min, snapshot.replicas), (1, BTreeMap::from([(2, 1), (7, 1), (9, 1)])));
}
