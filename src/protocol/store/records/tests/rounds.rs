//! What comes in rounds: restores, republications, and what a restart makes of them.

use super::*;

#[test]
fn a_publication_that_is_due_does_not_wait_behind_what_is_held_for_others() {
    let mut bench = Bench::new(Config::builder().restore_interval(secs(60)).build().unwrap());
    bench.publish("ours", "a");
    for n in 0..1_000 {
        assert_eq!(bench.set(&n.to_string(), "theirs", 5), Ok(WriteOutcome::Stored));
    }
    bench.now += bench.config.effective_republish_interval();
    let due = bench.due(1);
    assert_eq!((due.len(), &*due[0].key, bench.restores(10).len()), (1, "ours", 10));
}

#[test]
fn the_backlog_says_what_waits_for_its_turn_and_what_waits_for_so_long_that_its_copies_may_end() {
    let config = Config::builder().restore_interval(secs(60)).key_expiry(secs(1_000)).build().unwrap();
    let interval = config.effective_republish_interval();
    let mut bench = Bench::new(config);
    let count = |due, overdue| DueCount { due, overdue };
    for n in 0..3 {
        bench.publish(&format!("ours {n}"), "a");
        assert_eq!(bench.set(&format!("theirs {n}"), "a", 5), Ok(WriteOutcome::Stored));
    }
    assert_eq!(bench.records.backlog(bench.now), (count(0, 0), count(0, 0)));
    bench.now += interval.max(secs(70));
    assert_eq!(bench.records.backlog(bench.now), (count(3, 0), count(3, 0)));
    bench.now += (secs(1_000) - interval) / 2;
    assert_eq!(bench.records.backlog(bench.now).0, count(3, 3));
    bench.now += secs(470);
    assert_eq!(bench.records.backlog(bench.now), (count(3, 3), count(3, 3)));
    assert_eq!((bench.due(10).len(), bench.restores(10).len()), (3, 3));
    assert_eq!(bench.records.backlog(bench.now), (count(0, 0), count(0, 0)));
}

#[test]
fn no_peer_puts_our_restores_off() {
    for (ttl, legacy) in [(None, true), (Some(80_000), false), (None, false)] {
        let mut bench = Bench::new(Config::default());
        assert_eq!(bench.set("key", "v", 5), Ok(WriteOutcome::Stored));
        let mut restores = 0;
        for _ in 1..=24 * 60 {
            bench.now += secs(60);
            assert!(bench.write("key", "v", ttl, 6, legacy).is_ok());
            restores += bench.restores(10).len();
        }
        assert!((22..=26).contains(&restores), "{restores} in a day: {ttl:?} {legacy}");
    }
}

#[test]
fn a_restore_that_many_do_comes_less_often() {
    let mut bench = Bench::new(Config::default());
    assert_eq!(bench.set("key", "v", 5), Ok(WriteOutcome::Stored));
    bench.now = bench.records.next_due().unwrap();
    bench.records.restore_again("key", 10.0, bench.now, &mut bench.entropy);
    let next = bench.records.next_due().unwrap() - bench.now;
    assert!((secs(32_400)..=secs(39_600)).contains(&next), "{next:?}");
}

#[test]
fn what_is_due_comes_in_bounded_batches_each_record_at_a_time_of_its_own() {
    let mut bench = Bench::new(Config::default());
    for key in 0..50 {
        assert_eq!(bench.set(&key.to_string(), "v", 0), Ok(WriteOutcome::Stored));
    }
    assert!(bench.restores(100).is_empty());
    bench.now += secs(3_600);
    let at_once = bench.restores(100).len();
    assert!((10..40).contains(&at_once), "{at_once} of 50 after one interval");
    bench.now += secs(360);
    let (mut rest, mut batches) = (50 - at_once, 0);
    while rest > 0 {
        let batch = bench.restores(7).len();
        assert_eq!(batch, rest.min(7));
        (rest, batches) = (rest - batch, batches + 1);
    }
    assert!(batches > 1 && bench.restores(7).is_empty());
}

#[test]
fn after_a_restart_what_was_published_is_due_when_it_would_have_been_and_versions_go_on_counting() {
    let mut bench = Bench::new(Config::default());
    let versions: Vec<u64> = (0..100).map(|key| bench.publish(&key.to_string(), "v").version).collect();
    bench.now += secs(1);
    for (key, version) in versions.into_iter().enumerate() {
        assert!(bench.records.renewed(&key.to_string(), version, true, bench.now));
    }
    let kept: Vec<StoredRecord> = bench.take_changes().into_iter().map(put).collect();
    let mut rebuilt = Bench::new(Config::default());
    rebuilt.now = bench.now + secs(40_000);
    rebuilt.records.load(kept, rebuilt.now, &mut rebuilt.entropy);
    assert!(rebuilt.take_changes().is_empty());
    assert_eq!(rebuilt.publish("more", "v").version, 101);
    // Each is due after nine tenths of the interval, a tenth of that more or less.
    let early = rebuilt.due(1_000).len();
    assert!((45..85).contains(&early), "{early} of 100 after 40,000 s of 34,996 to 42,773");
    rebuilt.now += secs(2_774);
    assert_eq!(rebuilt.due(1_000).len(), 100 - early);
}

/// A bench in which a store has come back after `pause`, and how many publications had ended meanwhile.
fn after(mut bench: Bench, pause: Duration) -> (Bench, usize) {
    let kept: Vec<StoredRecord> = bench.take_changes().into_iter().map(put).collect();
    let mut rebuilt = Bench::new(bench.config);
    rebuilt.now = bench.now + pause;
    let lapsed = rebuilt.records.load(kept, rebuilt.now, &mut rebuilt.entropy);
    (rebuilt, lapsed)
}

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn a_publication_whose_time_ran_out_while_the_node_was_off_is_due_at_once_and_can_go_on() {
    let mut bench = Bench::new(Config::default());
    bench.publish("released", "v");
    assert!(bench.release("released"));
    assert_eq!(bench.set("held", "v", 5), Ok(WriteOutcome::Stored));
    for key in ["ours", "pinned"] {
        bench.publish(key, "v");
    }
    assert!(bench.pin("pinned"));
    let (mut bench, lapsed) = after(bench, 30 * DAY);
    assert_eq!((lapsed, bench.records.snapshot().published.values, bench.records.snapshot().expired), (2, 2, 2));
    assert_eq!(bench.take_changes(), [Change::Remove("held".into()), Change::Remove("released".into())]);
    assert_eq!((bench.get("ours"), bench.records.has("ours", bench.now)), (None, (false, None)));
    assert_eq!(bench.records.full_copies(bench.now).count(), 0, "nor is it handed over");
    assert_eq!(bench.records.expire(bench.now), 0);

    let due = bench.due(1);
    assert_eq!((due.len(), bench.records.is_published(&due[0].key)), (1, true), "of as many as a round takes");
    let (first, second) = if &*due[0].key == "ours" { ("ours", "pinned") } else { ("pinned", "ours") };
    // It goes on only where no peer is found to hold what was published since, so not where none was even asked.
    assert!(!bench.records.renewed(first, due[0].version, false, bench.now));
    assert_eq!((bench.get(first), bench.take_changes()), (None, Vec::new()));
    let copy = bench.records.to_compare(first, due[0].version, bench.now).expect("it is current");
    assert!(copy.lapsed && copy.age >= 30 * DAY, "{copy:?}");
    bench.records.resume(first, bench.now);
    assert_eq!((bench.seconds_left(first), bench.get(second)), (Some(86_410), None));
    // Should the node go before that has come to anything, it is due again at once.
    assert!(bench.take_changes().is_empty());
    assert!(bench.records.renewed(first, due[0].version, true, bench.now));
    assert!(matches!(&bench.take_changes()[..], [Change::Put(record)] if *record.key == *first));
    assert!(bench.records.is_pinned("pinned"));
    bench.now += secs(3_600);
    let due = bench.due(9);
    assert_eq!((due.len(), &*due[0].key), (1, second));
}

#[test]
fn a_publication_that_falls_behind_while_the_node_runs_is_published_all_the_same() {
    let mut bench = Bench::new(Config::default());
    bench.publish("key", "v");
    bench.now += 2 * DAY;
    assert_eq!((bench.get("key"), bench.records.expire(bench.now)), (None, 0));
    assert!(bench.records.is_published("key"));
    assert_eq!(bench.due(1).len(), 1);
    bench.records.resume("key", bench.now);
    assert_eq!((bench.text("key").as_deref(), bench.seconds_left("key")), (Some("v"), Some(86_410)));
}

#[test]
fn what_others_say_of_a_key_whose_publisher_was_off_is_later_than_what_it_said_itself() {
    for (write, ttl, legacy, outcome, left) in [
        ("theirs", None, false, "superseded", Some(86_410)),
        ("theirs", None, true, "superseded", Some(86_410)),
        ("theirs", Some(500), false, "superseded", Some(500)),
        ("older", None, false, "stale", None),
        ("older", Some(500), false, "stale", None),
        ("ours", None, false, "renewed", Some(86_410)),
        ("ours", Some(500), false, "renewed", Some(500)),
        ("ours", Some(0), false, "refused", None),
        ("theirs", Some(0), false, "refused", None),
    ] {
        for pinned in [false, true] {
            let name = format!("{write:?} with {ttl:?}, legacy {legacy}, pinned {pinned}");
            let mut bench = Bench::new(Config::default());
            bench.publish("key", "older");
            bench.publish("key", "ours");
            assert!(!pinned || bench.pin("key"));
            let (mut bench, _) = after(bench, 2 * DAY);
            let became = bench.write("key", write, ttl, 5, legacy);
            let refused = pinned && write == "theirs";
            let (outcome, left) = if refused { ("held", None) } else { (outcome, left) };
            assert_eq!((super::conflict::word(&became), bench.seconds_left("key")), (outcome, left), "{name}");
            assert_eq!(bench.records.is_published("key"), outcome != "superseded", "{name}");
            assert_eq!(bench.cache("key", "cached", None, 6), Err(Refusal::Stale), "{name}");
            bench.records.holdings.assert_consistent(&bench.config);
        }
    }
}

#[test]
fn of_what_others_say_of_a_lapsed_key_the_dates_count_where_there_are_any() {
    for (age, outcome) in [(Some(5 * 3_600), "superseded"), (Some(3 * 86_400), "stale"), (None, "stale")] {
        let mut bench = Bench::new(Config::default());
        bench.publish("key", "on");
        bench.publish("key", "off");
        let (mut bench, _) = after(bench, 2 * DAY);
        let write = RemoteWrite {
            key: "key".into(),
            value: Arc::new("on".into()),
            ttl: Some(60_000),
            age,
            from: "192.0.2.5:4000".parse().unwrap(),
            legacy: false,
        };
        let became = bench.ask(Write::Set(write));
        assert_eq!(super::conflict::word(&became), outcome, "on again, {age:?}");
    }
    // A legacy copy of our own value does not say that no node has set another since.
    let mut bench = Bench::new(Config::default());
    bench.publish("key", "ours");
    let (mut bench, _) = after(bench, 2 * DAY);
    assert_eq!(super::conflict::word(&bench.write("key", "ours", None, 5, true)), "renewed");
    let version = bench.records.published_version("key").unwrap();
    let copy = bench.records.to_compare("key", version, bench.now).unwrap();
    assert!(!copy.lapsed && copy.age >= 2 * DAY, "{copy:?}");
}

#[test]
fn a_publication_gives_way_to_a_later_value_without_room_only_where_it_is_one_and_not_pinned() {
    let mut bench = Bench::new(Config::builder().max_values(1).build().unwrap());
    assert_eq!(bench.set("held", "v", 0), Ok(WriteOutcome::Stored));
    let ours = bench.publish("ours", "v");
    bench.publish("pinned", "v");
    assert!(bench.pin("pinned"));
    bench.take_changes();
    let mut adopt = |key: &str| {
        let value = value(&"x".repeat(bench.config.store.max_value_len + 1));
        let write = RemoteWrite { key: key.into(), value, ttl: Some(60), age: Some(0), from: source(5), legacy: false };
        bench.ask(Write::Adopt(write))
    };
    let ended = WriteOutcome::Superseded { version: ours.version, ours: value("v") };
    assert_eq!(adopt("ours"), Ok(ended));
    for key in ["pinned", "held", "none"] {
        assert_eq!(adopt(key), Err(Refusal::ValueTooLarge), "{key}");
    }
    assert_eq!(bench.take_changes(), [Change::Remove("ours".into())]);
    assert_eq!((bench.get("ours"), bench.text("held").as_deref()), (None, Some("v")));
}

#[test]
fn a_publication_that_never_reached_its_places_is_due_at_once_after_a_restart() {
    let mut bench = Bench::new(Config::default());
    for key in ["placed", "unplaced", "set again", "refused"] {
        let version = bench.publish(key, "v").version;
        bench.now += secs(1);
        let reached = match key {
            "placed" | "set again" => Some(true),
            "refused" => Some(false),
            _ => None,
        };
        if let Some(stored) = reached {
            assert!(bench.records.renewed(key, version, stored, bench.now));
        }
    }
    bench.publish("set again", "w");
    let (mut bench, _) = after(bench, secs(60));
    let due: Vec<_> = bench.due(9).into_iter().map(|due| due.key).collect();
    let at_once = ["refused", "set again", "unplaced"];
    assert_eq!(due.len(), 3);
    for key in at_once {
        assert!(due.iter().any(|due| **due == *key) && bench.records.is_published(key), "{key}: {due:?}");
        assert!(bench.get(key).is_some(), "and served meanwhile");
    }
}

fn put(change: Change) -> StoredRecord {
    match change {
        Change::Put(stored) => (*stored).clone(),
        Change::Remove(key) => panic!("{key} was removed"),
    }
}

#[test]
fn a_publication_is_placed_once_its_first_placement_is_over_whatever_came_of_it() {
    for stored in [true, false] {
        let mut bench = Bench::new(Config::default());
        let (version, begun) = (bench.publish("key", "v").version, bench.now);
        let placed =
            |bench: &Bench| bench.records.full_copies(bench.now).map(|copy| copy.placed_at).collect::<Vec<_>>();
        assert_eq!(placed(&bench), [None]);
        bench.now += secs(5);
        assert!(bench.records.renewed("key", version, stored, bench.now));
        assert_eq!(placed(&bench), [Some(if stored { bench.now } else { begun })]);
    }
}
