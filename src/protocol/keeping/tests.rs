//! Bounds and turns over random histories, then what single audits mean.

use super::*;
use crate::protocol::entropy::SeededEntropy;
use proptest::prelude::*;

const INTERVAL: Duration = Duration::from_secs(600);

fn keeping(max: usize) -> Keeping {
    Keeping::new(&Config::builder().audit_interval(INTERVAL).max_kept_keys(max).build().unwrap())
}

fn count(confirmed: usize, nearest: usize) -> Count {
    Count { confirmed, nearest }
}

/// One kept key whose audit is under way, and the time.
fn under_way(min: usize) -> (Keeping, SeededEntropy, u64, Instant) {
    let (mut keeping, mut entropy) = (keeping(10), SeededEntropy::new(1));
    keeping.keep("key".into(), min, Instant::now(), &mut entropy).unwrap();
    let now = keeping.next_wakeup().unwrap();
    let (number, _) = keeping.next_audit(now).unwrap();
    (keeping, entropy, number, now)
}

proptest! {
    /// Whatever happens: at most four are under way, they begin at most 20 a second, a kept key is always due or under
    /// way, and none is forgotten or added.
    #[test]
    fn every_kept_key_is_due_or_under_way_within_the_bounds(seed: u64, keys in 1u64..40, steps in 1usize..300) {
        let (mut keeping, mut entropy, mut chance) = (keeping(30), SeededEntropy::new(seed), SeededEntropy::new(!seed));
        let mut now = Instant::now();
        let mut expected: BTreeSet<Arc<str>> = BTreeSet::new();
        let (mut running, mut repairing, mut begun) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..steps {
            let key: Arc<str> = chance.below(keys).to_string().into();
            match chance.below(10) {
                0..3 => match keeping.keep(key.clone(), 1 + chance.below(20) as usize, now, &mut entropy) {
                    Ok(()) => drop(expected.insert(key)),
                    Err(full) => prop_assert!(expected.len() == 30 && full.limit == 30 && !expected.contains(&key)),
                },
                3 => prop_assert_eq!(keeping.release(&key), expected.remove(&key)),
                4 if !running.is_empty() => {
                    let number = running.swap_remove(chance.below(running.len() as u64) as usize);
                    let found = count(chance.below(21) as usize, 20);
                    if keeping.audited(number, found, now, &mut entropy).is_some_and(|(_, finding)| finding.repair) {
                        repairing.push(number);
                    }
                }
                5 => repairing.drain(..).for_each(|number| drop(keeping.repaired(number, now, &mut entropy))),
                6 if !running.is_empty() => keeping.came_to_nothing(running.remove(0), now, &mut entropy),
                7 if chance.below(10) == 0 => keeping.restart(now, &mut entropy),
                _ => now += Duration::from_millis(chance.below(60_000)),
            }
            while let Some((number, key)) = keeping.next_audit(now) {
                prop_assert!(expected.contains(&key));
                running.push(number);
                begun.push(now);
            }
            prop_assert!(keeping.next_wakeup().is_none_or(|at| at > now));
            prop_assert!(keeping.under_way.len() <= AUDITS_AT_ONCE);
            prop_assert!(keeping.kept.keys().all(|key| expected.contains(key)) && keeping.kept.len() == expected.len());
            for (key, kept) in &keeping.kept {
                let waits = kept.due.is_some_and(|at| keeping.due.contains(&(at, key.clone())));
                let runs = keeping.under_way.values().filter(|under_way| *under_way == key).count();
                prop_assert_eq!(usize::from(waits) + runs, 1, "{}", key);
            }
            prop_assert_eq!(keeping.due.len() + keeping.under_way.len(), expected.len());
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
        // There are fewer nodes than it shall have replicas: that is told, but nobody is there to help.
        (3, 2, 2, true, false),
        (2, 2, 2, false, false),
        (3, 1, 2, true, true),
        // Nobody answered: whoever is in the table is worth the try.
        (1, 0, 0, true, true),
    ] {
        let (mut keeping, mut entropy, number, now) = under_way(min);
        let (_, finding) = keeping.audited(number, count(confirmed, nearest), now, &mut entropy).unwrap();
        let expected = Finding { below: low.then_some(min), repair };
        assert_eq!(finding, expected, "{confirmed} of {nearest}, at least {min}");
        assert_eq!(keeping.next_wakeup().is_none(), repair, "the repair is waited for");
    }
}

#[test]
fn a_key_in_trouble_is_audited_sooner_and_less_and_less_so_while_that_does_not_help() {
    let (mut keeping, mut entropy, mut number, mut now) = under_way(3);
    let mut delays = Vec::new();
    for round in 0..6 {
        let found = if round == 5 { count(20, 20) } else { count(1, 20) };
        let (_, finding) = keeping.audited(number, found, now, &mut entropy).unwrap();
        if finding.repair {
            assert_eq!(keeping.repaired(number, now, &mut entropy), Some(("key".into(), found)));
        }
        let next = keeping.next_wakeup().unwrap();
        delays.push((next - now).as_secs_f64() / INTERVAL.as_secs_f64());
        now = next;
        number = keeping.next_audit(now).unwrap().0;
    }
    for (delay, expected) in delays.iter().zip([0.25, 0.5, 1.0, 1.0, 1.0, 1.0]) {
        assert!((delay / expected - 1.0).abs() <= JITTER + 0.001, "{delays:?}");
    }
}

#[test]
fn what_comes_in_under_a_number_that_is_over_changes_nothing() {
    let (mut keeping, mut entropy, number, now) = under_way(3);
    keeping.restart(now, &mut entropy);
    let before = format!("{keeping:?}");
    assert_eq!(keeping.audited(number, count(0, 20), now, &mut entropy), None);
    assert_eq!(keeping.repaired(number, now, &mut entropy), None);
    keeping.came_to_nothing(number, now, &mut entropy);
    assert_eq!(format!("{keeping:?}"), before);

    let (mut keeping, mut entropy, number, now) = under_way(3);
    assert!(keeping.release("key") && !keeping.release("key"));
    assert_eq!(keeping.audited(number, count(0, 20), now, &mut entropy), None);
    assert_eq!((keeping.next_wakeup(), keeping.snapshot(now)), (None, KeepingSnapshot::default()));
}

#[test]
fn a_key_that_was_kept_anew_is_not_released_by_what_an_older_audit_found() {
    let (mut keeping, mut entropy, outdated, now) = under_way(3);
    assert!(keeping.release("key"));
    keeping.keep("key".into(), 5, now, &mut entropy).unwrap();
    assert_eq!(keeping.no_longer_published(outdated), None);
    assert_eq!(keeping.snapshot(now).kept, 1);
    let now = keeping.next_wakeup().unwrap();
    let (number, _) = keeping.next_audit(now).unwrap();
    assert_eq!(keeping.no_longer_published(outdated), None);
    assert_eq!(keeping.no_longer_published(number), Some("key".into()));
    assert_eq!((keeping.next_wakeup(), keeping.snapshot(now)), (None, KeepingSnapshot::default()));
}

#[test]
fn a_snapshot_shows_those_in_need_first_and_no_more_than_it_may() {
    let (mut keeping, mut entropy, now) = (keeping(1_000), SeededEntropy::new(1), Instant::now());
    for number in 0..300 {
        keeping.keep(format!("{number:03}").into(), 5, now, &mut entropy).unwrap();
    }
    let mut at = now;
    for confirmed in [9, 2, 7] {
        at = keeping.next_wakeup().unwrap();
        let (number, _) = keeping.next_audit(at).unwrap();
        let _ = keeping.audited(number, count(confirmed, 9), at, &mut entropy);
        keeping.repaired(number, at, &mut entropy);
    }
    let snapshot = keeping.snapshot(at + Duration::from_secs(1));
    assert_eq!((snapshot.kept, snapshot.under_way, snapshot.keys.len()), (300, 0, KEYS_SHOWN));
    let shown: Vec<_> = snapshot.keys.iter().map(|key| key.last_audit.map(|(_, count)| count.confirmed)).collect();
    assert_eq!(shown[..4], [Some(2), Some(7), Some(9), None]);
    assert_eq!(snapshot.keys[1].last_audit.unwrap().0, 1_000);
}
