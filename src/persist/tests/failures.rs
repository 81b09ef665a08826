//! A disk that fails: nothing that was acknowledged is lost, nothing that was refused is there, and it goes on.

use super::*;
use crate::causes::Causes;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::id::NodeId;
use crate::protocol::store::Recollection;

/// Operations of which each fails once. `KAD_DISK_FAILURES` asks for more.
fn failures() -> u64 {
    std::env::var("KAD_DISK_FAILURES").map_or(40, |count| count.parse().unwrap())
}

/// What is committed at step `step` of a life of a store, and what that does to the values.
fn change(step: u64, entropy: &mut SeededEntropy) -> (String, Option<String>) {
    let key = format!("key {}", entropy.below(10));
    let value = (entropy.below(4) > 0).then(|| format!("{step} {}", "x".repeat(entropy.below(5_000) as usize)));
    (key, value)
}

fn as_change((key, value): &(String, Option<String>), version: u64) -> Change {
    match value {
        Some(value) => put(key, value, version),
        None => Change::Remove(key.as_str().into()),
    }
}

fn apply(model: &mut BTreeMap<String, Value>, (key, value): (String, Option<String>)) {
    match value {
        Some(value) => drop(model.insert(key, Value::from(value))),
        None => drop(model.remove(&key)),
    }
}

#[test]
fn whichever_operation_fails_what_was_acknowledged_is_there_and_what_was_refused_is_not() {
    let mut failed = 0;
    for n in 1..=failures() {
        let (medium, clock) = (TestMedium::default(), TestClock::default());
        let (mut model, mut entropy) = (BTreeMap::new(), SeededEntropy::new(n));
        let mut store = open(&medium, &clock);
        medium.fail_at(n);
        let fails_at = medium.operations() + n;
        let (mut step, mut later) = (0, 0);
        // Until it has failed, and some more.
        while later < 4 {
            step += 1;
            later += u64::from(medium.operations() >= fails_at);
            let change = change(step, &mut entropy);
            match commit(&mut store, vec![as_change(&change, step)]) {
                Ok(()) => apply(&mut model, change),
                Err(_) => {
                    failed += 1;
                    assert!(store.health().failing);
                    // Refused without touching the disk, until it is time to try again.
                    let before = medium.operations();
                    assert!(commit(&mut store, vec![as_change(&change, step)]).is_err());
                    assert_eq!(medium.operations(), before);
                    clock.pass(Duration::from_secs(2));
                }
            }
            assert_eq!(values(&mut store), model, "operation {n}, step {step}");
        }
        drop(store);
        assert_eq!(values(&mut open(&medium, &clock)), model, "operation {n}");
    }
    assert!(failed >= failures() * 3 / 4, "only {failed} commits failed");
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_that_was_acknowledged() {
    for n in 1..=failures() {
        let (medium, clock) = (TestMedium::default(), TestClock::default());
        let (mut model, mut entropy) = (BTreeMap::new(), SeededEntropy::new(n));
        let mut store = open(&medium, &clock);
        medium.fail_at(n);
        let mut step = 0;
        let in_doubt = loop {
            step += 1;
            let change = change(step, &mut entropy);
            if commit(&mut store, vec![as_change(&change, step)]).is_err() {
                break Some(change);
            }
            apply(&mut model, change);
            if step == 1_000 {
                break None;
            }
        };
        let found = values(&mut open(&medium.after_a_power_cut(&mut entropy), &clock));
        // What failed may have reached the disk as a whole, and then the power went.
        let mut with_doubt = model.clone();
        in_doubt.into_iter().for_each(|change| apply(&mut with_doubt, change));
        assert!(found == model || found == with_doubt, "operation {n}, step {step}");
    }
}

#[test]
fn a_full_disk_refuses_with_a_reason_and_recovers_by_itself_once_there_is_room() {
    let (medium, clock) = (TestMedium::default(), TestClock::default());
    let mut store = open(&medium, &clock);
    commit(&mut store, vec![put("old", "value", 1)]).unwrap();
    medium.is_full(true);
    for version in 2..10 {
        let error = commit(&mut store, vec![put("new", "value", version)]).unwrap_err();
        let error = Causes(&error).to_string();
        assert!(error.contains("writing to disk") && error.contains("no storage space"), "{error}");
        assert_eq!(values(&mut store).len(), 1, "what is held is still served");
        assert_eq!(store.health().state, BackendState::Full);
        clock.pass(Duration::from_secs(2));
    }
    medium.is_full(false);
    clock.pass(Duration::from_secs(2));
    commit(&mut store, vec![put("new", "value", 10)]).unwrap();
    assert_eq!(store.health().state, BackendState::Reopened);
    drop(store);
    let mut store = open(&medium, &clock);
    assert_eq!(values(&mut store).len(), 2);
    assert_eq!(store.health().state, BackendState::Healthy);
}

#[test]
fn a_store_that_is_opened_on_a_full_disk_serves_what_it_holds_and_takes_values_once_there_is_room() {
    let (medium, clock) = (TestMedium::default(), TestClock::default());
    let id = Some(NodeId::of_key("me"));
    let mut store = open(&medium, &clock);
    store.remember(Recollection { id, peers: Vec::new() });
    commit(&mut store, vec![put("old", "value", 1)]).unwrap();
    // Killed, and started again: more than once.
    medium.is_full(true);
    drop(store);
    for version in 2..5 {
        let mut store = open(&medium, &clock);
        assert_eq!((values(&mut store).len(), store.recall().unwrap().id), (1, id));
        assert_eq!(store.health().state, BackendState::Full);
        let error = commit(&mut store, vec![put("new", "value", version)]).unwrap_err();
        assert!(Causes(&error).to_string().contains("no storage space"), "{error}");
        clock.pass(Duration::from_secs(2));
        if version == 4 {
            medium.is_full(false);
            commit(&mut store, vec![put("new", "value", 5)]).unwrap();
            assert_eq!(store.health().state, BackendState::Reopened);
        }
    }
    let mut store = open(&medium, &clock);
    assert_eq!((values(&mut store).len(), store.recall().unwrap().id), (2, id));
    assert_eq!(store.health().state, BackendState::Healthy);
}

#[test]
fn once_there_is_room_it_recovers_though_nothing_is_written() {
    let (medium, clock) = (TestMedium::default(), TestClock::default());
    let mut store = open(&medium, &clock);
    medium.is_full(true);
    assert!(commit(&mut store, vec![put("key", "value", 1)]).is_err());
    medium.is_full(false);
    // It looks every second.
    until(|| !store.health().failing);
    assert_eq!(store.health().state, BackendState::Reopened);
}

#[test]
fn a_thread_that_dies_is_seen_by_the_health_and_no_caller_waits_for_it() {
    let (medium, clock) = (TestMedium::default(), TestClock::default());
    let mut store = open(&medium, &clock);
    commit(&mut store, vec![put("key", "value", 1)]).unwrap();
    store.commit(Vec::new(), Box::new(|_| panic!("the test wants it")));
    // The first may be in its group, and the second wait behind it.
    for version in 2..5 {
        let (sender, done) = mpsc::channel();
        store.commit(vec![put("key", "new", version)], Box::new(move |outcome| sender.send(outcome).unwrap()));
        assert!(done.recv().is_err(), "who waited is dropped, which says so");
    }
    let health = store.health();
    assert_eq!((health.failing, health.state, health.waiting), (true, BackendState::Failing, 0));
    assert_eq!(values(&mut store).len(), 1, "what is held is still served");
}

#[test]
fn writes_that_wait_go_together() {
    let (medium, clock) = (TestMedium::default(), TestClock::default());
    let mut store = open(&medium, &clock);
    let before = store.health().commits;
    let (sender, done) = mpsc::channel();
    const WRITES: usize = 5_000;
    for version in 0..WRITES as u64 {
        let sender = sender.clone();
        let outcome = Box::new(move |outcome: Result<(), StoreError>| sender.send(outcome.is_ok()).unwrap());
        store.commit(vec![put(&format!("key {version}"), "value", version)], outcome);
    }
    drop(sender);
    assert_eq!(done.iter().filter(|committed| *committed).count(), WRITES);
    let health = store.health();
    let commits = health.commits - before;
    assert!((5..1_000).contains(&commits), "{commits} commits");
    assert_eq!((health.grouped, health.waiting), (WRITES as u64, 0));
    assert!((WRITES / 1_000..=1_024).contains(&health.largest_group), "{} in one", health.largest_group);
}
