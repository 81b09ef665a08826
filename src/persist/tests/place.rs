//! The folder of a store that is open: who may read it, and what happens when it is moved, removed or replaced.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::causes::Causes;
use crate::persist::STORE_FILE;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_made_is_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (above, folder) = (dir.path().join("above"), dir.path().join("above/folder"));
    let file = folder.join(STORE_FILE);
    drop(DiskStore::open(&folder).unwrap());
    assert_eq!((mode(&above), mode(&folder), mode(&file)), (0o700, 0o700, 0o600));
    // Damaged, and of a time when others could read it.
    fs::write(&file, "damaged").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    drop(DiskStore::open(&folder).unwrap());
    assert_eq!((mode(&file), mode(&folder.join(format!("{STORE_FILE}.damaged-1")))), (0o600, 0o600));
}

#[test]
fn a_folder_that_is_moved_takes_no_values_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, elsewhere) = (dir.path().join("folder"), dir.path().join("elsewhere"));
    for durability in [Durability::Durable, Durability::Relaxed] {
        let mut store = DiskStore::open_with(&folder, durability).unwrap();
        commit(&mut store, vec![put("before", "value", 1)]).unwrap();
        fs::rename(&folder, &elsewhere).unwrap();
        for version in 2..5 {
            let error = commit(&mut store, vec![put("meanwhile", "value", version)]).unwrap_err();
            assert!(Causes(&error).to_string().contains("removed, moved or replaced"), "{error}");
        }
        assert_eq!((store.health().state, store.health().failing), (BackendState::Gone, true));
        assert_eq!(values(&mut store).len(), 1, "what is held is still served");
        fs::rename(&elsewhere, &folder).unwrap();
        // It looks every second.
        until(|| !store.health().failing);
        assert_eq!(store.health().state, BackendState::Healthy);
        commit(&mut store, vec![put("after", "value", 5)]).unwrap();
        drop(store);
        let held = values(&mut DiskStore::open(&folder).unwrap());
        assert_eq!(held.keys().map(String::as_str).collect::<Vec<_>>(), ["after", "before"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn a_folder_that_is_removed_is_seen_though_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    let store = DiskStore::open(&folder).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    until(|| store.health().failing);
    assert_eq!(store.health().state, BackendState::Gone);
    drop(store);
    assert!(!folder.exists(), "nothing is made in its place");
}

#[test]
fn a_folder_that_takes_the_place_of_another_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, other) = (dir.path().join("folder"), dir.path().join("other"));
    drop(DiskStore::open(&other).unwrap());
    let file = fs::read(other.join(STORE_FILE)).unwrap();
    let mut store = DiskStore::open(&folder).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(&other, &folder).unwrap();
    assert!(commit(&mut store, vec![put("key", "value", 1)]).is_err());
    assert_eq!(store.health().state, BackendState::Gone);
    drop(store);
    assert!(fs::read(folder.join(STORE_FILE)).unwrap() == file);
}
