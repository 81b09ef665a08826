//! Going back a version: what a later one wrote is refused and left as it is, and damage is not taken for it.

use std::fs;
use std::path::Path;

use super::*;
use crate::persist::disk::{Batch, Disk};
use crate::persist::medium::StoreFile;
use crate::persist::{OpenError, STORE_FILE};
use crate::protocol::id::NodeId;
use crate::protocol::store::Recollection;

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
    let content = b"whatever that may mean";
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
