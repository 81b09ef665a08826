//! The folder in which a copy of a store is made, before the copy takes its place. It is locked while its process lives, so that
//! the next copy knows those that were left behind by processes that were killed, and removes them.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;

use tempfile::TempDir;

/// What the names of such folders begin with.
const PREFIX: &str = ".kad-copy-";

/// A folder for a copy, for its owner alone. It is removed when this is dropped.
#[derive(Debug)]
pub(super) struct DraftFolder {
    folder: TempDir,
    /// It, locked; `None` where that is not possible. It stays so until the folder is removed.
    _lock: Option<File>,
}

impl DraftFolder {
    /// A new one in `beside`. Those of this user that are left behind there are removed.
    pub(super) fn make(beside: &Path) -> io::Result<Self> {
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(beside)?;
            let lock = File::open(folder.path()).map_err(TryLockError::Error);
            match lock.and_then(|lock| lock.try_lock().map(|()| lock)) {
                Ok(lock) if folder.path().exists() => {
                    remove_left(beside, &lock);
                    return Ok(Self { folder, _lock: Some(lock) });
                }
                // Another copy has taken it for one that was left behind, before it was locked.
                Ok(_) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::NotFound => {}
                // Without locks none is known to be left behind.
                Err(TryLockError::Error(_)) => return Ok(Self { folder, _lock: None }),
            }
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders in `beside` that belong to the owner of `own`, and that no process has locked.
fn remove_left(beside: &Path, own: &File) {
    let Ok(own) = own.metadata() else { return };
    for entry in fs::read_dir(beside).into_iter().flatten().flatten() {
        let is_draft = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // A link is none.
        if is_draft && entry.metadata().is_ok_and(|found| found.is_dir() && have_one_owner(&found, &own)) {
            let unlocked = File::open(entry.path()).ok().filter(|folder| folder.try_lock().is_ok());
            // Another copy may remove it too.
            let _ = unlocked.map(|_locked| fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(unix)]
fn have_one_owner(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    one.uid() == other.uid()
}

#[cfg(not(unix))]
fn have_one_owner(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_behind_is_removed_and_what_is_in_use_is_not() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".kad-copy-left", ".kad-copy-left/deeper", "other"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink(dir.path().join("other"), dir.path().join(".kad-copy-link")).unwrap();
        let names = || {
            let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let first = DraftFolder::make(dir.path()).unwrap();
        let second = DraftFolder::make(dir.path()).unwrap();
        let mut expected = [first.path(), second.path()].map(|path| path.file_name().unwrap().to_owned()).to_vec();
        expected.extend([".kad-copy-link", "other"].map(Into::into));
        expected.sort();
        assert_eq!(names(), expected);
        drop((first, second));
        assert_eq!(names(), [".kad-copy-link", "other"]);
    }
}
