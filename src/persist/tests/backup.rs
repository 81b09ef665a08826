//! Backups: of a store that is open and written meanwhile, and what may not be restored.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::persist::{BackupError, STORE_FILE, backup, restore};
use crate::protocol::id::NodeId;
use crate::protocol::store::{Class, Recollection};

fn remembering(folder: &std::path::Path) -> DiskStore {
    let mut store = DiskStore::open(folder).unwrap();
    store.remember(Recollection { id: Some(NodeId::of_key("me")), peers: Vec::new() });
    store
}

#[test]
fn a_store_that_is_open_is_copied_with_all_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, file, second) = (dir.path().join("data"), dir.path().join("kad.backup"), dir.path().join("second"));
    let mut store = remembering(&folder);
    commit(&mut store, (1..=50).map(|number| put(&format!("key {number}"), "value", number)).collect()).unwrap();
    let Change::Put(mut own) = put("own", "mine", 1) else { panic!() };
    Arc::make_mut(&mut own).class = Class::Published;
    commit(&mut store, vec![Change::Put(own)]).unwrap();
    let saved = backup(&folder, &file).unwrap();
    assert_eq!((saved.values, saved.published, saved.damaged), (51, 1, 0));
    assert_eq!((saved.node_id, saved.bytes), (Some(NodeId::of_key("me")), fs::metadata(&file).unwrap().len()));
    commit(&mut store, vec![put("later", "value", 1)]).unwrap();

    assert_eq!(restore(&file, &second).unwrap().values, 51);
    let mut restored = DiskStore::open(&second).unwrap();
    assert_eq!(restored.recall().unwrap().id, Some(NodeId::of_key("me")));
    let mut expected = values(&mut store);
    expected.remove("later");
    assert_eq!(values(&mut restored), expected);
    let names = |folder: &std::path::Path| fs::read_dir(folder).unwrap().count();
    assert_eq!((names(dir.path()), names(&folder), names(&second)), (3, 1, 1), "nothing is left behind");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&second), mode(&second.join(STORE_FILE))), (0o600, 0o700, 0o600));
    }
}

#[test]
fn each_backup_of_a_store_that_is_written_all_the_time_holds_what_was_acknowledged_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, file) = (dir.path().join("data"), dir.path().join("kad.backup"));
    let mut store = remembering(&folder);
    commit(&mut store, vec![put("key 0", "value", 1)]).unwrap();
    let (ends, written) = (AtomicBool::new(false), std::sync::atomic::AtomicUsize::new(1));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                let number = written.load(Ordering::Relaxed);
                commit(&mut store, vec![put(&format!("key {number}"), &"v".repeat(5_000), 1)]).unwrap();
                written.store(number + 1, Ordering::Relaxed);
            }
        });
        for _ in 0..10 {
            let before = written.load(Ordering::Relaxed);
            let saved = backup(&folder, &file).unwrap();
            // One may be committed and not acknowledged yet.
            let after = written.load(Ordering::Relaxed) + 1;
            assert!((before..=after).contains(&saved.values) && saved.damaged == 0, "{before}, {after}: {saved:?}");
        }
        ends.store(true, Ordering::Relaxed);
    });
}

#[test]
fn what_is_no_store_is_neither_saved_nor_restored_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, file) = (dir.path().join("data"), dir.path().join("file"));
    assert!(matches!(backup(&folder, &file), Err(BackupError::NoStore(_))));
    assert!(matches!(restore(&file, &folder), Err(BackupError::NoStore(_))));
    for content in [&b""[..], b"no store", &[0; 10_000]] {
        fs::write(&file, content).unwrap();
        assert!(matches!(restore(&file, &folder), Err(BackupError::Unusable { .. })), "{content:?}");
        assert_eq!((fs::read(&file).unwrap(), fs::read_dir(&folder).unwrap().count()), (content.to_vec(), 0));
    }
    drop(remembering(&folder));
    fs::write(&file, "an earlier backup").unwrap();
    let mut bytes = fs::read(folder.join(STORE_FILE)).unwrap();
    let middle = bytes.len() / 2;
    bytes[..middle].iter_mut().skip(4_096).for_each(|byte| *byte ^= 0x55);
    fs::write(folder.join(STORE_FILE), bytes).unwrap();
    assert!(matches!(backup(&folder, &file), Err(BackupError::Unusable { .. })));
    assert_eq!(fs::read(&file).unwrap(), b"an earlier backup");
}

#[cfg(unix)]
#[test]
fn a_file_that_the_system_does_not_show_is_not_taken_for_a_missing_one() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, other) = (dir.path().join("data"), dir.path().join("other"));
    fs::create_dir(&folder).unwrap();
    // A link to itself: no user reads it. A folder without permission would be open to root, who may run this test.
    let link = folder.join(STORE_FILE);
    std::os::unix::fs::symlink(&link, &link).unwrap();
    assert!(matches!(backup(&folder, &other), Err(BackupError::Io { .. })));
    assert!(matches!(restore(&link, &other), Err(BackupError::Io { .. })) && !other.exists());
}

#[test]
fn a_store_is_not_restored_over_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, file) = (dir.path().join("data"), dir.path().join("file"));
    let mut store = remembering(&folder);
    commit(&mut store, vec![put("key", "value", 1)]).unwrap();
    backup(&folder, &file).unwrap();
    assert!(matches!(restore(&file, &folder), Err(BackupError::Exists(_))));
    drop(store);
    assert!(matches!(restore(&file, &folder), Err(BackupError::Exists(_))));
    assert_eq!(values(&mut DiskStore::open(&folder).unwrap()).len(), 1);
}
