//! Another version's store: one of an earlier form is written anew in the present one; what a later one wrote is refused and
//! left as it is, and damage is not taken for it.

use std::fs;
use std::path::Path;

use super::*;
use crate::persist::disk::{Batch, Disk};
use crate::persist::medium::StoreFile;
use crate::persist::{BackupError, OpenError, STORE_FILE, backup, restore};
use crate::protocol::id::NodeId;
use crate::protocol::store::{Class, Recollection};

/// Where redb has the version of its format, twice.
const FORMATS: [usize; 2] = [64, 192];

/// A folder with a node's store.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut store = DiskStore::open(folder.path()).unwrap();
    store.remember(Recollection { id: Some(NodeId::of_key("me")), peers: Vec::new() });
    commit(&mut store, (1..=50).map(|number| put(&format!("key {number}"), "value", number)).collect()).unwrap();
    folder
}

/// What a later version keeps under `name`: the header stays, the content is its own business.
fn in_form(version: u8, name: &[u8]) -> Vec<u8> {
    sealed(version, name, b"whatever that may mean")
}

fn sealed(version: u8, name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    [&[version][..], name, content].into_iter().for_each(|part| hasher.update(part));
    [&[version][..], &hasher.finalize().to_le_bytes(), content].concat()
}

fn write(folder: &Path, batch: &Batch) {
    let mut disk = Disk::new(Box::new(StoreFile::new(folder)));
    disk.open(false).unwrap();
    disk.write(batch, true).unwrap();
}

fn refused_and_unchanged(folder: &Path) {
    let before = fs::read(folder.join(STORE_FILE)).unwrap();
    let error = DiskStore::open(folder).unwrap_err();
    assert!(matches!(error, OpenError::LaterVersion { .. }), "{error}");
    assert!(fs::read(folder.join(STORE_FILE)).unwrap() == before, "it was changed");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing is set aside");
}

/// A record as version 1 wrote it, of the key "key": one of its own, byte for byte.
const FORM_1: &str = "019297ff4299c40576616c7565c3c2c207a7556e6b6e6f776ec09400cf000001a20401c97d00ce0526831090";

/// What version 1 wrote under `name`: a struct is a list in MessagePack.
fn form_1(name: &[u8], content: impl serde::Serialize) -> Vec<u8> {
    sealed(1, name, &rmp_serde::to_vec(&content).unwrap())
}

/// A store of version 1: a value of another node, one that the node publishes and has pinned, and what it knew.
fn folder_of_version_1() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let bytes = serde_bytes::Bytes::new(b"\xff\x00");
    let times = (0u64, 1_700_000_000_000u64, 1_000u64, 86_400_000u64);
    let own =
        (bytes, false, true, true, 3u64, "Own", None::<std::net::SocketAddr>, times, Vec::<([u8; 20], &str)>::new());
    let peer = (*NodeId::of_key("peer").as_bytes(), "192.0.2.7:8000".parse::<std::net::SocketAddr>().unwrap());
    let mark = (5_000u64, 1_700_000_005_000u64, None::<(String, u64)>);
    let batch = Batch {
        records: vec![
            (b"key".to_vec(), Some(hex::decode(FORM_1).unwrap())),
            (b"own".to_vec(), Some(form_1(b"own", own))),
        ],
        notes: vec![
            (b"mark", form_1(b"mark", mark)),
            (b"node id", form_1(b"node id", NodeId::of_key("me").as_bytes())),
            (b"peers", form_1(b"peers", vec![peer])),
        ],
    };
    write(folder.path(), &batch);
    folder
}

#[test]
fn a_store_of_version_1_is_written_anew_when_it_is_opened_and_loses_nothing() {
    let folder = folder_of_version_1();
    let check = |store: &mut DiskStore| {
        let records = store.load().unwrap();
        let of = |key: &str| records.iter().find(|record| &*record.key == key).unwrap();
        assert_eq!((records.len(), store.health().damaged), (2, 0));
        assert_eq!((&*of("key").value, of("key").version, of("key").pinned), (&Value::from("value"), 7, false));
        let own = of("own");
        assert_eq!(
            (own.value.as_bytes(), own.class, own.pinned, own.version),
            (&b"\xff\x00"[..], Class::Published, true, 3)
        );
        let known = store.recall().unwrap();
        assert_eq!((known.id, known.peers.len()), (Some(NodeId::of_key("me")), 1));
        assert_eq!(known.peers[0].addr, "192.0.2.7:8000".parse().unwrap());
    };
    check(&mut DiskStore::open(folder.path()).unwrap());
    let mut disk = Disk::new(Box::new(StoreFile::new(folder.path())));
    disk.open(true).unwrap();
    let mut forms = Vec::new();
    disk.records(|_, bytes| forms.push(bytes[0])).unwrap();
    forms.extend([&b"mark"[..], b"node id", b"peers"].map(|name| disk.note(name).unwrap().unwrap()[0]));
    assert_eq!(forms, [2; 5]);
    drop(disk);
    check(&mut DiskStore::open(folder.path()).unwrap());
}

#[test]
fn a_backup_of_version_1_is_restored_and_one_of_a_later_version_refused() {
    let (folder, dir) = (folder_of_version_1(), tempfile::tempdir().unwrap());
    let (file, target) = (dir.path().join("file"), dir.path().join("data"));
    let saved = backup(folder.path(), &file).unwrap();
    assert_eq!((saved.values, saved.published, saved.node_id), (2, 1, Some(NodeId::of_key("me"))));
    restore(&file, &target).unwrap();
    assert_eq!(values(&mut DiskStore::open(&target).unwrap()).len(), 2);

    let batch = Batch { records: vec![(b"key".to_vec(), Some(in_form(3, b"key")))], notes: Vec::new() };
    write(folder.path(), &batch);
    let other = dir.path().join("other");
    assert!(matches!(backup(folder.path(), &other), Err(BackupError::LaterVersion(_))) && !other.exists());
    assert!(matches!(restore(folder.path().join(STORE_FILE), &other), Err(BackupError::LaterVersion(_))));
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
}

#[test]
fn a_record_of_a_later_version_is_refused_and_not_a_byte_is_changed() {
    let folder = folder();
    write(folder.path(), &Batch { records: vec![(b"key 7".to_vec(), Some(in_form(3, b"key 7")))], notes: Vec::new() });
    refused_and_unchanged(folder.path());
}

#[test]
fn a_note_of_a_later_version_is_refused_and_not_a_byte_is_changed() {
    for name in [&b"mark"[..], b"node id", b"peers"] {
        let folder = folder();
        write(folder.path(), &Batch { records: Vec::new(), notes: vec![(name, in_form(200, name))] });
        refused_and_unchanged(folder.path());
    }
}

#[test]
fn a_file_in_a_later_format_of_redb_is_refused_and_not_a_byte_is_changed() {
    let folder = folder();
    let file = folder.path().join(STORE_FILE);
    let mut bytes = fs::read(&file).unwrap();
    assert_eq!(FORMATS.map(|at| bytes[at]), [3, 3]);
    FORMATS.into_iter().for_each(|at| bytes[at] = 4);
    fs::write(&file, bytes).unwrap();
    refused_and_unchanged(folder.path());
}

#[test]
fn a_flipped_bit_in_a_version_is_damage_and_no_later_version() {
    let damaged = folder();
    let mut record = in_form(1, b"key 7");
    record[0] ^= 2;
    write(damaged.path(), &Batch { records: vec![(b"key 7".to_vec(), Some(record))], notes: Vec::new() });
    let mut store = DiskStore::open(damaged.path()).unwrap();
    assert_eq!((values(&mut store).len(), store.health().damaged), (49, 1));
    assert_eq!(store.recall().unwrap().id, Some(NodeId::of_key("me")));

    for at in FORMATS {
        let folder = folder();
        let file = folder.path().join(STORE_FILE);
        let mut bytes = fs::read(&file).unwrap();
        bytes[at] ^= 4;
        fs::write(&file, bytes).unwrap();
        assert_eq!(DiskStore::open(folder.path()).unwrap().health().set_aside, 1);
    }
}
