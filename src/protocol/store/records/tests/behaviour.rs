use super::*;

#[test]
fn a_publication_lives_for_the_full_expiry_and_is_republished_twice_before_it() {
    let mut bench = Bench::new(Config::default());
    let expiry = bench.config.values.key_expiry;
    for seed in 0..200 {
        bench.entropy = SeededEntropy::new(seed);
        let key = seed.to_string();
        let start = bench.now;
        let publication = bench.publish(&key, "v");
        assert_eq!(publication.expires_at, start + expiry);
        for _ in 0..2 {
            bench.now = bench.records.next_due().unwrap();
            assert!(bench.now < start + expiry, "both rounds come before the expiry");
            let due = bench.due(10);
            assert_eq!(due.len(), 1);
            assert_eq!((bench.records.is_published(&key), due[0].version), (true, publication.version));
        }
        bench.now = start + expiry;
        assert!(bench.get(&key).is_none(), "not served although not swept yet");
        assert!(bench.release(&key) && bench.records.expire(bench.now) == 1);
    }
}

#[test]
fn a_republication_that_reached_its_holders_renews_our_own_copy_unless_it_is_an_old_one() {
    let mut bench = Bench::new(Config::default());
    let first = bench.publish("key", "a");
    bench.now += secs(1_000);
    assert!(bench.records.renewed("key", first.version, true, bench.now));
    assert_eq!(bench.seconds_left("key"), Some(86_410));
    let second = bench.publish("key", "a");
    assert!(second.version > first.version);
    bench.now += secs(1_000);
    assert!(!bench.records.renewed("key", first.version, true, bench.now));
    assert_eq!(bench.seconds_left("key"), Some(85_410));
}

#[test]
fn a_set_during_our_republication_makes_it_outdated() {
    let mut bench = Bench::new(Config::default());
    bench.publish("key", "a");
    bench.now = bench.records.next_due().unwrap();
    let due = bench.due(1).remove(0);
    assert!(bench.records.still_current(&due.key, due.version));
    bench.publish("key", "b");
    assert!(!bench.records.still_current(&due.key, due.version));
}

#[test]
fn a_released_key_is_no_longer_republished_but_held_until_its_expiry() {
    let mut bench = Bench::new(Config::default());
    let publication = bench.publish("key", "a");
    assert!(bench.release("key") && !bench.release("key") && !bench.release("none"));
    assert!(!bench.records.is_published("key"));
    assert!(!bench.records.still_current("key", publication.version));
    assert_eq!((bench.class("key"), bench.seconds_left("key")), (Some(Class::Held), Some(86_410)));
    bench.now = bench.records.next_due().unwrap();
    assert_eq!((bench.due(1).len(), bench.restores(1).len()), (0, 1));
    assert_eq!(bench.set("key", "theirs", 5), Ok(WriteOutcome::Stored));
}

#[test]
fn another_writer_supersedes_our_publication_and_the_old_value_does_not_come_back_by_a_restore() {
    let mut bench = Bench::new(Config::default());
    let publication = bench.publish("key", "ours");
    let ended = Ok(WriteOutcome::Superseded { version: publication.version, ours: value("ours") });
    assert_eq!(bench.set("key", "theirs", 5), ended);
    assert_eq!((bench.class("key"), bench.seconds_left("key")), (Some(Class::Held), Some(86_410)));
    assert!(!bench.records.is_published("key"));
    assert_eq!(bench.write("key", "ours", None, 6, true), Err(Refusal::Stale));
    assert_eq!(bench.write("key", "ours", Some(9_999), 6, false), Err(Refusal::Stale));
    assert_eq!(bench.text("key").as_deref(), Some("theirs"));
}

#[test]
fn our_own_older_value_never_supersedes_our_newer_one() {
    let mut bench = Bench::new(Config::default());
    bench.publish("key", "old");
    bench.publish("key", "new");
    for (ttl, legacy) in [(None, false), (None, true), (Some(5_000), false)] {
        assert_eq!(bench.write("key", "old", ttl, 5, legacy), Err(Refusal::Stale));
    }
    assert!(bench.records.is_published("key"));
    assert_eq!(bench.records.snapshot().refused.stale, 3);
}

#[test]
fn a_pinned_key_and_a_holding_node_refuse_and_acknowledge() {
    let hold = Config::builder().publisher_conflict(PublisherConflict::Hold).build().unwrap();
    let mut holding = Bench::new(hold);
    holding.publish("key", "ours");
    let mut pinning = Bench::new(Config::default());
    pinning.publish("key", "ours");
    assert!(pinning.pin("key") && !pinning.pin("none"));
    pinning.publish("key", "ours too");
    for bench in [&mut holding, &mut pinning] {
        assert_eq!(bench.set("key", "theirs", 5), Err(Refusal::PublicationHeld));
        assert!(bench.records.is_published("key"));
        assert_eq!(bench.records.snapshot().refused.publication_held, 1);
    }
    pinning.release("key");
    assert_eq!(pinning.set("key", "theirs", 5), Ok(WriteOutcome::Stored));
}

#[test]
fn an_unpinned_key_can_be_superseded_again() {
    let mut bench = Bench::new(Config::default());
    bench.publish("key", "ours");
    assert!(!bench.unpin("key") && bench.pin("key") && bench.records.is_pinned("key"));
    assert!(bench.unpin("key") && !bench.records.is_pinned("key") && bench.records.is_published("key"));
    assert!(matches!(bench.set("key", "theirs", 5), Ok(WriteOutcome::Superseded { .. })));
}

#[test]
fn a_restored_copy_lives_as_long_as_it_says_and_no_restore_prolongs_it() {
    let mut bench = Bench::new(Config::default());
    assert_eq!(bench.write("key", "v", Some(500), 5, false), Ok(WriteOutcome::Stored));
    assert_eq!(bench.write("key", "v", Some(80_000), 6, false), Ok(WriteOutcome::Unchanged));
    assert_eq!(bench.write("key", "v", Some(10), 6, false), Ok(WriteOutcome::Unchanged));
    assert_eq!(bench.seconds_left("key"), Some(500));
    assert_eq!(bench.write("key", "v", None, 5, true), Ok(WriteOutcome::Unchanged), "a restorer is no writer");
    assert_eq!(bench.set("key", "v", 7), Ok(WriteOutcome::Renewed));
    assert_eq!(bench.seconds_left("key"), Some(86_410));
    assert_eq!(bench.write("late", "v", Some(0), 5, false), Err(Refusal::NoTimeLeft));
    assert_eq!(bench.write("greedy", "v", Some(u32::MAX), 5, false), Ok(WriteOutcome::Stored));
    assert_eq!(bench.seconds_left("greedy"), Some(86_410));
}

#[test]
fn legacy_restores_do_not_prolong_a_copy() {
    let mut bench = Bench::new(Config::default());
    assert_eq!(bench.write("key", "v", None, 5, true), Ok(WriteOutcome::Stored));
    for _hour in 0..24 {
        bench.now += secs(3_600);
        assert_eq!(bench.write("key", "v", None, 6, true), Ok(WriteOutcome::Unchanged));
    }
    assert_eq!(bench.seconds_left("key"), Some(10));
    assert_eq!(bench.write("key", "v", None, 5, true), Ok(WriteOutcome::Renewed), "its writer prolongs it");
    assert_eq!(bench.seconds_left("key"), Some(86_410));
}

#[test]
fn a_cached_copy_lives_by_distance_and_claim_and_gives_way_to_a_full_one() {
    let mut bench = Bench::new(Config::default());
    let life = cache_ttl_of(&bench, "key").as_secs();
    assert_eq!(bench.cache("key", "v", None, 5), Ok(WriteOutcome::Stored));
    assert_eq!((bench.class("key"), bench.seconds_left("key")), (Some(Class::Cached), Some(life)));
    assert_eq!(has(&bench), (false, None));
    assert!(bench.records.next_due().is_none() && bench.take_changes().is_empty());
    assert_eq!(bench.cache("short", "v", Some(7), 5), Ok(WriteOutcome::Stored));
    assert_eq!(bench.seconds_left("short"), Some(7));
    assert_eq!(bench.cache("none", "v", Some(0), 5), Err(Refusal::NoTimeLeft));
    assert_eq!(bench.write("key", "w", Some(5_000), 6, false), Ok(WriteOutcome::Stored));
    assert_eq!((bench.class("key"), bench.seconds_left("key")), (Some(Class::Held), Some(5_000)));
    assert_eq!(bench.cache("key", "w", None, 7), Ok(WriteOutcome::Unchanged));
    assert_eq!(bench.cache("key", "x", None, 7), Err(Refusal::Stale));
    assert_eq!((bench.text("key").as_deref(), bench.seconds_left("key")), (Some("w"), Some(5_000)));
}

#[test]
fn a_cached_copy_lives_by_the_distance_of_its_key_but_not_beyond_what_is_left() {
    let mut bench = Bench::new(Config::default());
    for (key, left) in [("a", None), ("b", None), ("c", Some(80_000)), ("d", Some(601)), ("e", Some(7))] {
        assert_eq!(bench.cache(key, "v", left, 5), Ok(WriteOutcome::Stored));
        let by_distance = cache_ttl_of(&bench, key).as_secs();
        assert!((600..80_000).contains(&by_distance), "{by_distance}");
        let life = left.map_or(by_distance, |left| by_distance.min(u64::from(left)));
        assert_eq!(bench.seconds_left(key), Some(life), "{key}");
    }
}

fn cache_ttl_of(bench: &Bench, key: &str) -> Duration {
    let values = &bench.config.values;
    let own = NodeId::of_key("own");
    crate::protocol::store::cache_ttl(&own, &NodeId::of_key(key), values.key_expiry, values.min_cache_ttl)
}

/// Whether the key counts as held, and the seconds left in the full copy.
fn has(bench: &Bench) -> (bool, Option<u32>) {
    let (held, copy) = bench.records.has("key", bench.now);
    (held, copy.map(|copy| copy.ttl_seconds()))
}

#[test]
fn a_holder_says_that_it_has_a_key_while_more_than_one_restore_interval_is_left() {
    let mut bench = Bench::new(Config::default());
    assert_eq!(has(&bench), (false, None));
    assert_eq!(bench.set("key", "v", 5), Ok(WriteOutcome::Stored));
    assert_eq!(has(&bench), (true, Some(86_410)));
    bench.now += secs(86_410 - 3_600);
    assert_eq!(has(&bench), (false, Some(3_600)));
    bench.now += secs(3_600);
    assert_eq!(has(&bench), (false, None));
}

#[test]
fn where_values_live_no_longer_than_until_a_restore_a_fresh_copy_is_held_all_the_same() {
    let mut bench = Bench::new(Config::builder().key_expiry(secs(3_600)).build().unwrap());
    assert_eq!(bench.set("key", "v", 5), Ok(WriteOutcome::Stored));
    assert_eq!(has(&bench), (true, Some(3_600)));
    // Its publisher has come back long before.
    bench.now += secs(2_700);
    assert_eq!(has(&bench), (false, Some(900)));
}

#[test]
fn changes_are_one_a_key_and_only_of_full_copies() {
    let mut bench = Bench::new(Config::default());
    bench.publish("b", "1");
    bench.publish("b", "2");
    assert_eq!(bench.set("a", "v", 5), Ok(WriteOutcome::Stored));
    assert_eq!(bench.cache("c", "v", None, 5), Ok(WriteOutcome::Stored));
    let changes = bench.take_changes();
    assert_eq!(changes.iter().map(|change| change.key().to_string()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(matches!(&changes[1], Change::Put(stored) if stored.value == value("2") && stored.version == 2));
    assert!(bench.take_changes().is_empty());
    assert!(bench.release("b"));
    bench.take_changes();
    bench.now += secs(86_410);
    assert_eq!(bench.records.expire(bench.now), 3);
    assert_eq!(bench.take_changes(), [Change::Remove("a".into()), Change::Remove("b".into())]);
}

#[test]
fn too_long_a_key_and_too_large_a_value_are_refused() {
    let config = Config::builder().max_key_len(8).max_value_len(8).build().unwrap();
    let mut bench = Bench::new(config);
    assert_eq!(bench.set("123456789", "", 5), Err(Refusal::KeyTooLong));
    assert_eq!(bench.cache("123456789", "", None, 5), Err(Refusal::KeyTooLong));
    assert_eq!(bench.set("12345678", "123456789", 5), Err(Refusal::ValueTooLarge));
    assert_eq!(bench.cache("12345678", "123456789", None, 5), Err(Refusal::ValueTooLarge));
    assert_eq!(bench.set("12345678", "12345678", 5), Ok(WriteOutcome::Stored));
    let refused = bench.records.snapshot().refused;
    assert_eq!((refused.key_too_long, refused.value_too_large), (2, 2));
}

#[test]
fn a_mapped_source_is_its_ipv4_address() {
    let mut bench = Bench::new(Config::default());
    assert_eq!(bench.write("key", "v", None, 5, true), Ok(WriteOutcome::Stored));
    bench.now += secs(100);
    let from = addr("[::ffff:198.51.5.1]:4000");
    let write = RemoteWrite { key: "key".into(), value: value("v"), ttl: None, age: None, from, legacy: true };
    assert_eq!(bench.ask(Write::Set(write)), Ok(WriteOutcome::Renewed));
}
