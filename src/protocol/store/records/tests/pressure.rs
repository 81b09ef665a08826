//! What gives way when strangers have filled what they may.

use super::*;

fn bounded(values: usize, bytes: usize) -> Config {
    Config::builder().max_values(values).max_store_bytes(bytes).build().unwrap()
}

/// Keys from the nearest to this node to the farthest.
fn keys_by_distance(count: usize) -> Vec<String> {
    let own = NodeId::of_key("own");
    let mut keys: Vec<String> = (0..count).map(|number| format!("key {number:04}")).collect();
    keys.sort_by_key(|key| own.distance(&NodeId::of_key(key)));
    keys
}

#[test]
fn one_subnet_fills_a_tenth_and_is_refused_then_unless_it_is_private() {
    let mut bench = Bench::new(bounded(100, 1_000_000));
    for number in 0..10 {
        assert_eq!(bench.set(&format!("key {number}"), "v", 5), Ok(WriteOutcome::Stored));
    }
    assert_eq!(bench.set("one more", "v", 5), Err(Refusal::SourceFull));
    assert_eq!(bench.set("key 0", "another value", 5), Ok(WriteOutcome::Stored), "replacing takes no more room");
    assert_eq!(bench.set("of another", "v", 6), Ok(WriteOutcome::Stored));
    for number in 0..50 {
        assert_eq!(bench.set(&format!("private {number}"), "v", 0), Ok(WriteOutcome::Stored));
    }
    assert_eq!(bench.records.snapshot().refused.source_full, 1);
    assert_eq!(bench.records.snapshot().evicted, 0);
}

#[test]
fn the_tenth_of_a_subnet_is_one_of_bytes_too_and_can_be_extended_to_private_ranges() {
    let config = Config::builder().max_store_bytes(1_000).diversity(AppliesTo::Always).build().unwrap();
    let mut bench = Bench::new(config);
    assert_eq!(bench.set("a", &"x".repeat(60), 0), Ok(WriteOutcome::Stored));
    assert_eq!(bench.set("b", &"x".repeat(60), 1), Err(Refusal::SourceFull));
    assert_eq!(bench.set("a", &"x".repeat(100), 0), Err(Refusal::SourceFull));
    assert_eq!(bench.get("a").unwrap().value.len(), 60, "what was refused has changed nothing");
}

#[test]
fn cached_copies_fill_a_tenth_and_push_out_the_one_that_ends_soonest() {
    let mut bench = Bench::new(bounded(100, 1_000_000));
    for number in 0..30 {
        assert_eq!(bench.cache(&number.to_string(), "v", Some(600 - number), 0), Ok(WriteOutcome::Stored));
        assert!(bench.records.snapshot().cached.values <= 10);
    }
    let left: Vec<u32> = (0..30).filter(|number| bench.get(&number.to_string()).is_some()).collect();
    assert_eq!(left, [0, 1, 2, 3, 4, 5, 6, 7, 8, 29]);
}

#[test]
fn what_has_ended_gives_way_first_then_cached_copies_then_what_is_farthest() {
    let mut bench = Bench::new(bounded(40, 1_000_000));
    let keys = keys_by_distance(50);
    // 35 full copies at middle distances, 3 that are cached, 2 that have ended.
    for key in &keys[6..41] {
        assert_eq!(bench.set(key, "v", 0), Ok(WriteOutcome::Stored));
    }
    for key in ["c 1", "c 2", "c 3"] {
        assert_eq!(bench.cache(key, "v", None, 0), Ok(WriteOutcome::Stored));
    }
    for key in ["e 1", "e 2"] {
        assert_eq!(bench.write(key, "v", Some(10), 0, false), Ok(WriteOutcome::Stored));
    }
    bench.now += secs(10);
    let gone = |bench: &Bench| (bench.records.snapshot().expired, bench.records.snapshot().evicted);
    assert_eq!(bench.set(&keys[0], "v", 0), Ok(WriteOutcome::Stored));
    assert_eq!(gone(&bench), (2, 0));
    assert_eq!(bench.set(&keys[1], "v", 0), Ok(WriteOutcome::Stored));
    for (number, key) in keys[2..5].iter().enumerate() {
        assert_eq!(bench.set(key, "v", 0), Ok(WriteOutcome::Stored));
        assert_eq!(gone(&bench), (2, number as u64 + 1));
    }
    assert_eq!(bench.records.snapshot().cached.values, 0);
    assert_eq!(bench.records.snapshot().held.values, 40);
    assert_eq!(bench.set(&keys[5], "v", 0), Ok(WriteOutcome::Stored));
    assert!(bench.get(&keys[40]).is_none() && bench.get(&keys[39]).is_some(), "the farthest gave way");
}

#[test]
fn the_farthest_newcomer_displaces_the_oldest_copy_of_the_largest_source() {
    let config = Config::builder().max_values(10).diversity(AppliesTo::Off).build().unwrap();
    let mut bench = Bench::new(config);
    let keys = keys_by_distance(20);
    for (number, key) in keys[..10].iter().enumerate() {
        // Source 6 holds six, source 7 four.
        let from = if number < 6 { 6 } else { 7 };
        bench.now += secs(1);
        assert_eq!(bench.set(key, "v", from), Ok(WriteOutcome::Stored));
    }
    bench.now += secs(1);
    assert_eq!(bench.set(&keys[10], "v", 5), Ok(WriteOutcome::Stored));
    assert!(bench.get(&keys[0]).is_none(), "the oldest of source 6 gave way");
    assert_eq!(bench.set(&keys[11], "v", 5), Ok(WriteOutcome::Stored));
    assert!(bench.get(&keys[1]).is_none());
    // Now 6 and 7 hold four each, 5 two. It may grow to be as large as they are, and then displaces itself only.
    for key in &keys[12..20] {
        assert_eq!(bench.set(key, "v", 5), Ok(WriteOutcome::Stored));
    }
    let held = |range: std::ops::Range<usize>| keys[range].iter().filter(|key| bench.get(key).is_some()).count();
    assert_eq!((held(0..6), held(6..10), held(10..20)), (3, 3, 4));
    assert!(bench.get(&keys[19]).is_some());
}

#[test]
fn a_source_as_large_as_the_largest_displaces_its_own_oldest_copy() {
    let config = Config::builder().max_values(10).diversity(AppliesTo::Off).build().unwrap();
    let keys = keys_by_distance(11);
    for (newcomer, other) in [(5, 6), (6, 5)] {
        let mut bench = Bench::new(config.clone());
        for (number, key) in keys[..10].iter().enumerate() {
            bench.now += secs(1);
            assert_eq!(bench.set(key, "v", if number < 5 { other } else { newcomer }), Ok(WriteOutcome::Stored));
        }
        assert_eq!(bench.set(&keys[10], "v", newcomer), Ok(WriteOutcome::Stored));
        assert!(bench.get(&keys[5]).is_none() && bench.get(&keys[0]).is_some());
    }
}

#[test]
fn a_cached_copy_finds_room_among_cached_copies_only() {
    let mut bench = Bench::new(bounded(20, 1_000_000));
    let keys = keys_by_distance(25);
    for key in &keys[..19] {
        assert_eq!(bench.set(key, "v", 0), Ok(WriteOutcome::Stored));
    }
    assert_eq!(bench.cache(&keys[20], "v", Some(100), 0), Ok(WriteOutcome::Stored));
    assert_eq!(bench.cache(&keys[21], "v", Some(200), 0), Ok(WriteOutcome::Stored));
    assert_eq!((bench.class(&keys[20]), bench.class(&keys[21])), (None, Some(Class::Cached)));
    assert_eq!(bench.set(&keys[19], "v", 0), Ok(WriteOutcome::Stored));
    assert_eq!(bench.cache(&keys[22], "v", None, 0), Err(Refusal::Full));
    assert_eq!(bench.records.snapshot().held.values, 20);
}

#[test]
fn own_values_fill_no_quota_and_are_never_evicted() {
    let mut bench = Bench::new(bounded(10, 1_000));
    for number in 0..50 {
        bench.publish(&format!("own {number}"), &"x".repeat(100));
    }
    for number in 0..500 {
        assert_eq!(bench.set(&format!("theirs {number}"), "v", 0), Ok(WriteOutcome::Stored));
    }
    let snapshot = bench.records.snapshot();
    assert_eq!((snapshot.published.values, snapshot.held.values, snapshot.remote.values), (50, 10, 10));
    assert!(bench.release("own 0"));
    assert_eq!(bench.records.snapshot().remote.values, 10, "nor does what we have released");
    assert_eq!(bench.class("own 0"), Some(Class::Held));
}

#[test]
fn a_store_without_room_for_others_refuses_strangers_and_keeps_its_own() {
    let mut bench = Bench::new(bounded(0, 0));
    assert_eq!(bench.set("key", "v", 0), Err(Refusal::Full));
    assert_eq!(bench.cache("key", "v", None, 0), Err(Refusal::Full));
    bench.publish("key", "ours");
    assert_eq!(bench.set("key", "theirs", 0), Err(Refusal::Full));
    assert!(bench.records.is_published("key"), "what was refused has superseded nothing");
}

#[test]
fn a_flood_into_a_full_store_is_dealt_with_in_its_stride() {
    // 30,000 writes into a store of 5,000: a scan for each would look at 150 million records.
    let mut bench = Bench::new(bounded(5_000, 64 << 20));
    for number in 0..30_000u32 {
        bench.now += Duration::from_millis(1);
        let _ = bench.set(&number.to_string(), "v", 0);
    }
    assert_eq!(bench.records.snapshot().remote.values, 5_000);
    bench.records.holdings.assert_consistent(&bench.config);
}

#[test]
fn smaller_bounds_are_kept_when_the_records_are_rebuilt() {
    let mut bench = Bench::new(bounded(100, 1_000_000));
    for key in keys_by_distance(50) {
        assert_eq!(bench.set(&key, "v", 0), Ok(WriteOutcome::Stored));
    }
    let mut store = MemoryStore::new();
    store.commit(bench.take_changes(), Box::new(|outcome| outcome.unwrap()));
    let mut smaller = Bench::new(bounded(10, 1_000_000));
    smaller.records.load(store.load().unwrap(), smaller.now, &mut smaller.entropy);
    assert_eq!(smaller.records.snapshot().held.values, 10);
    store.commit(smaller.take_changes(), Box::new(|outcome| outcome.unwrap()));
    assert_eq!(store.load().unwrap().len(), 10);
    for key in &keys_by_distance(50)[..10] {
        assert!(smaller.get(key).is_some(), "the nearest stay");
    }
}
