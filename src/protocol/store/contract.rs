//! What every store owes: one suite, run over each implementation by its own tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::{Change, Class, MAX_REPLACED, Replaced, Store, StoredRecord, ValueDigest, Writer};
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::value::Value;

/// Checks that the stores made by `make`, each of them fresh and empty, keep the contract of [`Store`]. Instants may
/// come back a second off, since a disk keeps them by the wall clock.
///
/// # Panics
/// With the broken law.
pub(crate) fn contract(mut make: impl FnMut() -> Box<dyn Store>) {
    a_fresh_store_is_empty(make().as_mut());
    what_was_put_comes_back_whole(make().as_mut());
    a_later_change_of_a_key_wins(make().as_mut());
    removing_what_was_never_kept_is_no_error(make().as_mut());
    an_empty_commit_is_a_commit(make().as_mut());
    commits_in_flight_take_effect_in_their_order(make().as_mut());
    any_history_ends_as_in_a_map(make().as_mut());
}

/// Checks that what was committed to a store made by `open` is in the next one that it makes, as from a process to the next.
///
/// # Panics
/// With the broken law.
#[cfg(feature = "persist")] // nothing else lasts
pub(crate) fn contract_of_what_lasts(mut open: impl FnMut() -> Box<dyn Store>) {
    let (now, mut entropy) = (Instant::now(), SeededEntropy::new(0x1a57));
    let mut model: BTreeMap<Arc<str>, StoredRecord> = BTreeMap::new();
    for version in 1..=5 {
        let mut store = open();
        let found = load(store.as_mut());
        assert!(found.keys().eq(model.keys()));
        model.iter().for_each(|(key, expected)| assert_same(&found[key], expected));
        commit(store.as_mut(), random_changes(&mut model, version, 30, now, &mut entropy));
    }
}

/// A record of `key`, for tests of stores.
pub(crate) fn record(key: &str, value: impl Into<Value>, version: u64, now: Instant) -> StoredRecord {
    StoredRecord {
        key: key.into(),
        value: Arc::new(value.into()),
        class: Class::Held,
        pinned: false,
        version,
        writer: Writer::Unknown,
        source: None,
        stored_at: now,
        published_at: now,
        dated: false,
        expires_at: now + Duration::from_secs(86_410),
        replaced: Vec::new(),
    }
}

fn commit(store: &mut dyn Store, changes: Vec<Change>) {
    let (sender, done) = mpsc::channel();
    store.commit(changes, Box::new(move |outcome| sender.send(outcome).expect("the test waits for it")));
    done.recv().expect("`done` is called").expect("the commit succeeds");
}

fn load(store: &mut dyn Store) -> BTreeMap<Arc<str>, StoredRecord> {
    let records = store.load().expect("the store can be read");
    let count = records.len();
    let by_key: BTreeMap<_, _> = records.into_iter().map(|record| (record.key.clone(), record)).collect();
    assert_eq!(by_key.len(), count, "each key comes back once");
    by_key
}

/// The same but for instants, and those within a second.
fn assert_same(found: &StoredRecord, expected: &StoredRecord) {
    for (a, b) in [
        (found.stored_at, expected.stored_at),
        (found.expires_at, expected.expires_at),
        (found.published_at, expected.published_at),
    ] {
        let apart = a.max(b) - a.min(b);
        assert!(apart <= Duration::from_secs(1), "{:?} came back {apart:?} off", expected.key);
    }
    let StoredRecord { stored_at, expires_at, published_at, dated, .. } = *expected;
    assert_eq!(StoredRecord { stored_at, expires_at, published_at, dated, ..found.clone() }, *expected);
}

fn a_fresh_store_is_empty(store: &mut dyn Store) {
    assert!(load(store).is_empty());
}

fn what_was_put_comes_back_whole(store: &mut dyn Store) {
    let now = Instant::now();
    let v4: SocketAddr = "192.0.2.1:4000".parse().expect("an address");
    let v6: SocketAddr = "[2001:db8::1]:65535".parse().expect("an address");
    let replaced = [Writer::Own, Writer::Unknown, Writer::Peer(v4), Writer::Peer(v6)];
    let replaced = replaced.map(|writer| Replaced { digest: ValueDigest::of(&"old".into()), writer }).to_vec();
    assert_eq!(replaced.len(), MAX_REPLACED);
    let records = [
        record("", "", 1, now),
        record("text", "ключ \u{1f511} \0", 2, now),
        record("bytes", vec![0xff, 0, 0x80], 3, now),
        record("no bytes", Vec::new(), 4, now),
        record("large", vec![7; 60_000], u64::MAX, now),
        record(&"ключ".repeat(128), "a long key", 6, now),
        StoredRecord {
            class: Class::Published,
            pinned: true,
            writer: Writer::Own,
            replaced,
            ..record("published", "ours", 7, now)
        },
        StoredRecord { writer: Writer::Peer(v4), source: Some(v6), ..record("remote", "theirs", 8, now) },
    ];
    commit(store, records.iter().map(|record| Change::Put(record.clone().into())).collect());
    let found = load(store);
    assert_eq!(found.len(), records.len());
    for expected in &records {
        assert_same(&found[&expected.key], expected);
    }
}

fn a_later_change_of_a_key_wins(store: &mut dyn Store) {
    let now = Instant::now();
    let put = |key: &str, version: u64| Change::Put(record(key, version.to_string().as_str(), version, now).into());
    let remove = |key: &str| Change::Remove(key.into());
    commit(store, vec![put("a", 1), put("b", 1), put("a", 2), put("c", 1), remove("c"), remove("d"), put("d", 1)]);
    let versions = |store: &mut dyn Store| -> Vec<(String, u64)> {
        load(store).values().map(|record| (record.key.to_string(), record.version)).collect()
    };
    assert_eq!(versions(store), [("a".into(), 2), ("b".into(), 1), ("d".into(), 1)]);
    commit(store, vec![put("b", 3), remove("a")]);
    assert_eq!(versions(store), [("b".into(), 3), ("d".into(), 1)]);
}

fn removing_what_was_never_kept_is_no_error(store: &mut dyn Store) {
    commit(store, vec![Change::Remove("nothing".into())]);
    assert!(load(store).is_empty());
}

fn an_empty_commit_is_a_commit(store: &mut dyn Store) {
    commit(store, Vec::new());
}

fn commits_in_flight_take_effect_in_their_order(store: &mut dyn Store) {
    let now = Instant::now();
    let (sender, done) = mpsc::channel();
    for version in 1..=50 {
        let sender = sender.clone();
        let changes = vec![Change::Put(record("key", version.to_string().as_str(), version, now).into())];
        store.commit(changes, Box::new(move |outcome| sender.send((version, outcome.is_ok())).expect("waited for")));
    }
    drop(sender);
    let outcomes: Vec<(u64, bool)> = done.iter().collect();
    assert_eq!(outcomes, (1..=50).map(|version| (version, true)).collect::<Vec<_>>());
    assert_eq!(load(store)["key"].version, 50);
}

fn any_history_ends_as_in_a_map(store: &mut dyn Store) {
    let (now, mut entropy) = (Instant::now(), SeededEntropy::new(0x5e_ed));
    let mut model: BTreeMap<Arc<str>, StoredRecord> = BTreeMap::new();
    for version in 1..=40 {
        commit(store, random_changes(&mut model, version, 8, now, &mut entropy));
    }
    let found = load(store);
    assert!(found.keys().eq(model.keys()));
    for (key, expected) in &model {
        assert_same(&found[key], expected);
    }
}

/// Fewer than `limit` changes of a few keys, and `model` after them.
fn random_changes(
    model: &mut BTreeMap<Arc<str>, StoredRecord>,
    version: u64,
    limit: u64,
    now: Instant,
    entropy: &mut SeededEntropy,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for _ in 0..entropy.below(limit) {
        let key: Arc<str> = format!("key {}", entropy.below(12)).into();
        if entropy.below(3) == 0 {
            model.remove(&key);
            changes.push(Change::Remove(key));
        } else {
            let value = vec![version as u8; entropy.below(2_000) as usize];
            let put = record(&key, value, version, now);
            model.insert(key, put.clone());
            changes.push(Change::Put(put.into()));
        }
    }
    changes
}
