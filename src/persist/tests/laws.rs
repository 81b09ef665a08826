//! What every store owes, and what outlives the process.

use super::*;
use crate::persist::{OpenError, RELAXED_FLUSH, STORE_FILE};
use crate::protocol::entropy::SeededEntropy;
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;
use crate::protocol::store::contract::{contract, contract_of_what_lasts};
use crate::protocol::store::{MAX_REMEMBERED_PEERS, Recollection};

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_disk_keeps_the_contract_of_a_store() {
    let folders = tempfile::tempdir().unwrap();
    let mut number = 0;
    contract(|| {
        number += 1;
        Box::new(DiskStore::open(folders.path().join(number.to_string())).unwrap())
    });
}

#[test]
fn what_was_committed_is_there_when_the_store_is_opened_again() {
    for durability in [Durability::Durable, Durability::Relaxed] {
        let folder = tempfile::tempdir().unwrap();
        contract_of_what_lasts(|| Box::new(DiskStore::open_with(folder.path(), durability).unwrap()));
    }
}

#[test]
fn the_id_of_a_node_and_a_bounded_number_of_its_peers_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let peer = |number: u16| {
        let mut id = [0; 20];
        id[..2].copy_from_slice(&number.to_be_bytes());
        let ip = if number.is_multiple_of(2) { [192, 0, 2, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        Peer::new(NodeId::from_bytes(id), std::net::SocketAddr::new(ip, number + 1))
    };
    let mut store = DiskStore::open(folder.path()).unwrap();
    assert_eq!(store.recall(), Some(Recollection::default()));
    let id = Some(NodeId::of_key("me"));
    let peers: Vec<Peer> = (0..300).map(peer).collect();
    store.remember(Recollection { id, peers: peers.clone() });
    drop(store);
    let mut store = DiskStore::open(folder.path()).unwrap();
    let kept = peers[..MAX_REMEMBERED_PEERS].to_vec();
    assert_eq!(store.recall(), Some(Recollection { id, peers: kept }));
}

#[test]
fn a_second_store_in_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = DiskStore::open(folder.path()).unwrap();
    assert!(matches!(DiskStore::open(folder.path()), Err(OpenError::InUse { .. })));
}

#[tokio::test]
async fn a_folder_can_be_opened_again_as_soon_as_its_node_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let mut id = None;
    for round in 0..10 {
        let store = DiskStore::open(folder.path()).unwrap();
        let node = crate::Node::builder().store(store).start().await.unwrap();
        assert_eq!(*id.get_or_insert(node.id()), node.id());
        let _ = node.set("key", round.to_string()).await.unwrap();
        drop(node);
    }
    let mut store = DiskStore::open(folder.path()).unwrap();
    assert_eq!(values(&mut store), BTreeMap::from([("key".to_owned(), Value::from("9"))]));
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_and_so_is_a_folder_in_the_place_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    assert!(matches!(DiskStore::open(file.join("below")), Err(OpenError::Folder { .. })));
    std::fs::create_dir_all(folder.path().join("store").join(STORE_FILE)).unwrap();
    let error = DiskStore::open(folder.path().join("store")).unwrap_err();
    assert!(matches!(error, OpenError::Unusable { .. }), "{error}");
}

#[test]
fn a_life_goes_on_while_the_store_is_closed_and_a_value_that_ended_stays_ended() {
    let (medium, clock) = (TestMedium::default(), TestClock::default());
    let mut store = open(&medium, &clock);
    commit(&mut store, vec![put("key", "value", 1)]).unwrap();
    drop(store);
    for passed in [3_600, 90_000] {
        clock.pass(Duration::from_secs(passed));
        let now = clock.now().instant;
        let records = open(&medium, &clock).load().unwrap();
        let left = records[0].expires_at.saturating_duration_since(now).as_secs();
        let expected: u64 = if passed == 3_600 { 86_410 - 3_600 } else { 0 };
        assert!(left.abs_diff(expected) <= 1, "{left} s are left, not {expected}");
    }
}

#[test]
fn a_wall_clock_that_is_set_only_after_the_system_was_started_again_ends_no_value() {
    let (medium, clock) = (TestMedium::default(), TestClock::stopped());
    let today = clock.now().wall_ms;
    let left = |store: &mut DiskStore| {
        let record = store.load().unwrap().remove(0);
        record.expires_at.saturating_duration_since(clock.now().instant).as_secs().div_ceil(3_600)
    };
    clock.set_wall(10_000);
    let mut store = open(&medium, &clock);
    let record =
        StoredRecord { expires_at: clock.now().instant + HOUR * 24, ..record("key", "value", 1, Instant::now()) };
    commit(&mut store, vec![Change::Put(record.into())]).unwrap();
    drop(store);
    clock.set_wall(today);
    let mut store = open(&medium, &clock);
    assert_eq!(left(&mut store), 24);
    // It jumps while the store is open, and is right again before it is opened the next time.
    clock.pass(HOUR);
    clock.set_wall(today * 2);
    assert_eq!(left(&mut store), 23);
    commit(&mut store, vec![put("other", "value", 2)]).unwrap();
    clock.set_wall(today + 3_600_000);
    drop(store);
    clock.pass(HOUR);
    assert_eq!(left(&mut open(&medium, &clock)), 22, "the pause counts once both ends of it are known");
}

fn relaxed(medium: &TestMedium, clock: &TestClock) -> DiskStore {
    DiskStore::over(Box::new(medium.clone()), Durability::Relaxed, Box::new(clock.clone())).unwrap()
}

/// What is there after each of some power cuts at this moment.
fn after_power_cuts(medium: &TestMedium, clock: &TestClock) -> Vec<BTreeMap<String, Value>> {
    let after = |seed| values(&mut open(&medium.after_a_power_cut(&mut SeededEntropy::new(seed)), clock));
    (0..10).map(after).collect()
}

#[test]
fn a_relaxed_store_makes_it_last_within_a_second_by_its_own_timer() {
    let (medium, clock) = (TestMedium::default(), TestClock::stopped());
    let mut store = relaxed(&medium, &clock);
    for version in 1..=20 {
        commit(&mut store, vec![put(&format!("key {version}"), "value", version)]).unwrap();
    }
    let commits = store.health().commits;
    clock.pass(RELAXED_FLUSH);
    until(|| store.health().commits > commits);
    for found in after_power_cuts(&medium, &clock) {
        assert_eq!(found.len(), 20);
    }
}

#[test]
fn a_relaxed_store_that_is_never_idle_makes_it_last_within_a_second_too() {
    let (medium, clock) = (TestMedium::default(), TestClock::stopped());
    let mut store = relaxed(&medium, &clock);
    for version in 1..=20 {
        commit(&mut store, vec![put(&format!("key {version}"), "value", version)]).unwrap();
    }
    clock.pass(RELAXED_FLUSH);
    commit(&mut store, vec![put("last", "value", 21)]).unwrap();
    for found in after_power_cuts(&medium, &clock) {
        assert_eq!(found.len(), 21);
    }
}

#[test]
fn a_power_cut_within_that_second_leaves_older_values_or_none_and_nothing_else() {
    let (medium, clock) = (TestMedium::default(), TestClock::stopped());
    let write = |store: &mut DiskStore, numbers: std::ops::Range<u64>, value: &str| {
        for number in numbers {
            commit(store, vec![put(&number.to_string(), value, number)]).unwrap();
        }
    };
    write(&mut open(&medium, &clock), 0..10, "old");
    let mut store = relaxed(&medium, &clock);
    write(&mut store, 5..15, "new");
    let (old, new) = (Value::from("old"), Value::from("new"));
    let mut lost = 0;
    for found in after_power_cuts(&medium, &clock) {
        for number in 0..15u64 {
            let there = found.get(&number.to_string());
            let may_be = match number {
                0..5 => there == Some(&old),
                5..10 => there == Some(&old) || there == Some(&new),
                _ => there.is_none() || there == Some(&new),
            };
            assert!(may_be, "{number}: {there:?}");
            lost += u64::from(number >= 5 && there != Some(&new));
        }
        assert!(found.len() <= 15);
    }
    assert!(lost > 0, "no time has passed, and yet all of it was on the disk");
}

#[test]
fn a_relaxed_store_loses_nothing_to_a_failure_it_survives() {
    let (medium, clock) = (TestMedium::default(), TestClock::default());
    let mut store = relaxed(&medium, &clock);
    for version in 1..=20 {
        commit(&mut store, vec![put(&format!("key {version}"), "value", version)]).unwrap();
    }
    // The disk fails and is opened again: what was only in memory is written anew.
    medium.fail_at(1);
    clock.pass(Duration::from_secs(2));
    while commit(&mut store, vec![put("last", "value", 21)]).is_err() {
        clock.pass(Duration::from_secs(2));
    }
    assert_eq!(values(&mut store).len(), 21);
    drop(store);
    assert_eq!(values(&mut open(&medium, &clock)).len(), 21);
}
