//! A file that is not as it was written: wrong bytes are never given out, and the store goes on.

use super::*;
use crate::persist::{STORE_FILE, form};
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::id::NodeId;
use crate::protocol::store::Recollection;

/// Damages that are tried. `KAD_DAMAGES` asks for more.
fn damages() -> u64 {
    std::env::var("KAD_DAMAGES").map_or(50, |count| count.parse().unwrap())
}

fn value(number: u64) -> String {
    format!("{number} ").repeat(1 + (number as usize * 37) % 700)
}

/// A store of 200 records.
fn filled(clock: &TestClock) -> TestMedium {
    let medium = TestMedium::default();
    let mut store = open(&medium, clock);
    for round in 0..10 {
        let numbers = round * 20..(round + 1) * 20;
        let puts = numbers.map(|number| put(&format!("key {number}"), &value(number), number)).collect();
        commit(&mut store, puts).unwrap();
    }
    drop(store);
    medium
}

/// One of the four kinds of damage, at a random place.
fn harm(bytes: &mut Vec<u8>, entropy: &mut SeededEntropy) -> &'static str {
    let at = entropy.below(bytes.len() as u64) as usize;
    let some = 1 + entropy.below(8_192) as usize;
    let end = bytes.len().min(at + some);
    match entropy.below(5) {
        0 => {
            bytes[at] ^= 1 << entropy.below(8);
            "a flipped bit"
        }
        1 => {
            bytes[at..end].fill(0);
            "zeroed bytes"
        }
        2 => {
            entropy.fill(&mut bytes[at..end]);
            "random bytes"
        }
        3 => {
            bytes.truncate(at);
            "a truncated file"
        }
        _ => {
            bytes.extend((0..some).map(|byte| byte as u8));
            "bytes appended"
        }
    }
}

/// Opens what was damaged, and goes on with it. How many of its values are left, and what opening took.
fn go_on(open: impl Fn() -> DiskStore, what: &str) -> (usize, Duration) {
    let start = Instant::now();
    let mut store = open();
    let took = start.elapsed();
    let found = values(&mut store);
    for (key, found) in &found {
        let original = key.strip_prefix("key ").unwrap().parse().unwrap();
        assert_eq!(*found, Value::from(value(original)), "{what}");
    }
    commit(&mut store, vec![put("new", "value", 1_000), put("key 7", "new", 1_001)]).unwrap();
    drop(store);
    let after = values(&mut open());
    assert_eq!(after["new"], Value::from("value"), "{what}");
    assert_eq!(after["key 7"], Value::from("new"), "{what}");
    (found.len(), took)
}

#[test]
fn whatever_is_damaged_no_wrong_bytes_come_out_and_the_store_goes_on() {
    let clock = TestClock::default();
    let whole = filled(&clock);
    let (mut kept, mut entropy) = (0, SeededEntropy::new(0xda_3a_6e));
    let mut slowest = Duration::ZERO;
    for number in 1..=damages() {
        let medium = whole.copy();
        let mut kind = "";
        medium.damage(|bytes| kind = harm(bytes, &mut entropy));
        let (left, took) = go_on(|| open(&medium, &clock), &format!("damage {number}, {kind}"));
        kept += left as u64;
        slowest = slowest.max(took);
    }
    println!("ready again within {slowest:?} after each of {} damages", damages());
    assert!(kept > damages() * 50, "{kept} records were left of {}", damages() * 200);
}

/// Far beyond what any file takes: only one that hangs is so long about it.
const HANGS: Duration = Duration::from_secs(60);
/// No file of these tests has a reason to be larger.
const LARGE: u64 = 64 << 20;

/// `bytes` as the file of a store, which goes on. How many of its values are left.
fn go_on_in_a_folder(bytes: &[u8], what: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(STORE_FILE), bytes).unwrap();
    let (left, took) = go_on(|| DiskStore::open(folder.path()).unwrap(), what);
    assert!(took < HANGS, "{what}: ready again after {took:?}");
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let len = file.unwrap().metadata().unwrap().len();
        assert!(len < LARGE, "{what}: {len} bytes");
    }
    left
}

#[test]
fn a_file_that_is_damaged_does_as_well_as_a_medium_in_memory() {
    let whole = filled(&TestClock::default()).bytes();
    let (mut kept, mut entropy) = (0, SeededEntropy::new(0xda_3a_71));
    for number in 1..=damages() / 5 {
        let mut bytes = whole.clone();
        let kind = harm(&mut bytes, &mut entropy);
        kept += go_on_in_a_folder(&bytes, &format!("damage {number}, {kind}")) as u64;
    }
    assert!(kept > damages() / 5 * 50, "{kept} records were left of {}", damages() / 5 * 200);
}

#[test]
fn a_file_whose_header_claims_to_be_huge_is_no_larger_for_it() {
    let whole = filled(&TestClock::default()).bytes();
    // The sizes in redb's header: of a page, of the head and the body of a region, how many of these, and of the last one.
    for at in [12, 16, 20, 24, 28] {
        for claim in [u32::MAX, 1 << 19, 0] {
            // As after a good end, and as after a crash.
            for state in [whole[9] & !2, whole[9] | 2] {
                let mut bytes = whole.clone();
                bytes[at..at + 4].copy_from_slice(&claim.to_le_bytes());
                bytes[9] = state;
                go_on_in_a_folder(&bytes, &format!("{claim} at {at}, state {state}"));
            }
        }
    }
}

#[test]
fn damage_while_it_is_open_costs_nothing_that_was_acknowledged() {
    let clock = TestClock::default();
    let whole = filled(&clock);
    let mut entropy = SeededEntropy::new(0xda_3a_6f);
    for number in 1..=damages() / 5 {
        let medium = whole.copy();
        let mut store = open(&medium, &clock);
        store.remember(Recollection { id: Some(NodeId::of_key("me")), peers: Vec::new() });
        medium.damage(|bytes| {
            let len = bytes.len();
            entropy.fill(&mut bytes[len / 8..]);
        });
        for version in 0..40 {
            let outcome = commit(&mut store, vec![put(&format!("key {}", version * 5), "new", 1_000 + version)]);
            outcome.unwrap_or_else(|error| panic!("damage {number}: {error}"));
        }
        assert_eq!(values(&mut store).len(), 200);
        assert_eq!(store.recall().unwrap().id, Some(NodeId::of_key("me")));
        drop(store);
        let mut store = open(&medium, &clock);
        assert_eq!(values(&mut store).len(), 200, "damage {number}: all of it is on the disk again");
        assert_eq!(store.recall().unwrap().id, Some(NodeId::of_key("me")));
    }
}

/// Flips a bit in every copy of `needle`, those in older pages included.
fn spoil(medium: &TestMedium, needle: &str) {
    medium.damage(|bytes| {
        let places: Vec<usize> =
            (0..bytes.len() - needle.len()).filter(|at| bytes[*at..].starts_with(needle.as_bytes())).collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|at| bytes[at + needle.len() / 2] ^= 1);
    });
}

/// Many small records, so that a page holds several.
fn crowded(clock: &TestClock) -> TestMedium {
    let medium = TestMedium::default();
    let put = |number| put(&format!("key {number:03}"), &format!("the value of {number:03}"), number);
    commit(&mut open(&medium, clock), (0..500).map(put).collect()).unwrap();
    medium
}

#[test]
fn one_sign_of_damage_has_the_whole_file_compared_with_what_is_known() {
    let clock = TestClock::default();
    for copied in [false, true] {
        let medium = crowded(&clock);
        let mut store = open(&medium, &clock);
        spoil(&medium, "the value of 250");
        if copied {
            // The page is written anew, rot and all, and with a checksum that fits.
            commit(&mut store, vec![put("key 251", "new", 1_000)]).unwrap();
        }
        medium.misread();
        commit(&mut store, vec![put("key 400", "new", 1_001)]).unwrap();
        let health = store.health();
        assert_eq!((health.failures > 0, health.set_aside), (true, u64::from(!copied)), "{health:?}");
        let known = values(&mut store);
        assert_eq!(known.len(), 500);
        drop(store);
        let mut store = open(&medium, &clock);
        assert!(values(&mut store) == known && store.health().damaged == 0, "copied: {copied}");
    }
}

#[test]
fn whichever_page_rots_one_sign_of_damage_is_enough_to_lose_nothing() {
    let clock = TestClock::default();
    let whole = crowded(&clock);
    // What redb notes of free pages is among them: a page that is taken for a free one is written over.
    for page in 1..whole.bytes().len() / 4_096 {
        let medium = whole.copy();
        let mut store = open(&medium, &clock);
        medium.damage(|bytes| bytes[page * 4_096 + 300] ^= 1);
        medium.misread();
        for round in 0..10 {
            let puts = (0..4).map(|of| put(&format!("key {:03}", 12 * (4 * round + of)), "new", 1_000)).collect();
            commit(&mut store, puts).unwrap();
        }
        let (known, health) = (values(&mut store), store.health());
        assert!(health.failures > 0 && known.len() == 500, "page {page}: {health:?}");
        drop(store);
        assert!(values(&mut open(&medium, &clock)) == known, "page {page}: {health:?}");
    }
}

#[test]
fn a_record_with_a_wrong_checksum_is_dropped_and_counted_and_the_others_are_there() {
    let clock = TestClock::default();
    let medium = filled(&clock);
    spoil(&medium, &value(123));
    let mut store = open(&medium, &clock);
    assert_eq!((values(&mut store).len(), store.health().damaged), (199, 1));
    drop(store);
    let store = open(&medium, &clock);
    assert_eq!(store.health().damaged, 0, "it was removed");
}

#[test]
fn a_damaged_file_is_kept_under_another_name_and_a_bounded_number_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(STORE_FILE);
    for number in 1..=12 {
        std::fs::write(&file, format!("no store, the {number}th time ").repeat(1_000)).unwrap();
        let mut store = DiskStore::open(folder.path()).unwrap();
        assert_eq!((values(&mut store).len(), store.health().set_aside), (0, 1));
        assert_eq!(store.health().state, BackendState::SetAside);
        commit(&mut store, vec![put("key", "value", 1)]).unwrap();
    }
    let aside = |number: u32| std::fs::read_to_string(folder.path().join(format!("{STORE_FILE}.damaged-{number}")));
    assert!(aside(1).unwrap().contains("the 1th time"));
    assert!(aside(9).unwrap().contains("the 12th time"), "the last place is used again");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 10);
}

#[test]
fn notes_too_are_read_only_as_they_were_written() {
    let sealed = form::seal(b"name", &7u32);
    assert_eq!(form::unseal::<u32>(b"name", &sealed), Ok(7));
    assert!(form::unseal::<u32>(b"another", &sealed).is_err());
}
