//! The folders that stores of this process have open. A node that is dropped needs a moment to close its store, and the next
//! store in that folder waits for it. The lock on the file alone would not distinguish it from another process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, io};

static FOLDERS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
/// Notified whenever one is free again.
static LEFT: Condvar = Condvar::new();

/// A folder that a store of this process has open, until this is dropped.
#[derive(Debug)]
pub(super) struct Occupied(PathBuf);

impl Occupied {
    /// Takes `folder`, which exists, once no other store of this process has it; `None` if that takes longer than `patience`.
    pub(super) fn take(folder: &Path, patience: Duration) -> io::Result<Option<Self>> {
        let folder = fs::canonicalize(folder)?;
        let waited = LEFT.wait_timeout_while(folders(), patience, |folders| folders.contains(&folder));
        let (mut folders, _) = waited.unwrap_or_else(PoisonError::into_inner);
        // Made only where the folder was taken: dropping it frees the folder.
        Ok(folders.insert(folder.clone()).then(|| Self(folder)))
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        folders().remove(&self.0);
        LEFT.notify_all();
    }
}

fn folders() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    // A set is changed in one step.
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_stores_until_that_leaves_it_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let first = Occupied::take(dir.path(), Duration::ZERO).unwrap().unwrap();
        let other_name = dir.path().join(".");
        assert!(Occupied::take(&other_name, Duration::ZERO).unwrap().is_none());
        let waiting =
            std::thread::spawn(move || Occupied::take(&other_name, Duration::from_secs(60)).unwrap().is_some());
        drop(first);
        assert!(waiting.join().unwrap());
        assert!(Occupied::take(dir.path(), Duration::ZERO).unwrap().is_some());
        assert!(Occupied::take(&dir.path().join("absent"), Duration::ZERO).is_err());
    }
}
