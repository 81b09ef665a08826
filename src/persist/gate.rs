//! The gate of a store's folder: a backup closes it, and the node that has the store open begins no write meanwhile. It is a
//! lock of the folder itself, so nothing is left behind by a process that ends.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long a write waits for a backup to end. A backup that takes longer finds that the store has changed.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// How long the gate is not looked at after a wait in vain: a user who may read the folder could hold it closed for ever.
const IGNORED_FOR: Duration = Duration::from_secs(60);
/// How often a write that waits looks again.
const LOOK: Duration = Duration::from_millis(2);
/// How long a backup waits for the gate. Any user that may read the folder can keep it closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// How often a backup that waits looks again.
const CLOSE_LOOK: Duration = Duration::from_millis(20);

/// The side of the node that writes.
#[derive(Debug, Default)]
pub(super) struct Gate {
    ignored_until: Option<Instant>,
}

impl Gate {
    /// Waits while the gate of `folder` is closed. Where the system has no such locks it is always open.
    pub(super) fn pass(&mut self, folder: &Path) {
        let begun = Instant::now();
        if self.ignored_until.is_some_and(|until| begun < until) {
            return;
        }
        self.ignored_until = None;
        let Ok(folder) = File::open(folder) else { return };
        while let Err(TryLockError::WouldBlock) = folder.try_lock_shared() {
            if begun.elapsed() >= MAX_WAIT {
                tracing::warn!("the store's folder has been locked for {MAX_WAIT:?}: values are written all the same");
                self.ignored_until = Some(Instant::now() + IGNORED_FOR);
                return;
            }
            // A lock of a file has no event to wait for, and this thread has nothing else to do.
            thread::sleep(LOOK);
        }
    }
}

/// The closed gate of a folder, until it is dropped.
#[derive(Debug)]
pub(super) struct Closed {
    _folder: Option<File>,
}

impl Closed {
    /// Closes the gate of `folder`, once no other backup has it closed. A write that has begun goes on.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] where another process has it closed for [`CLOSE_WITHIN`].
    pub(super) fn close(folder: &Path) -> Result<Self, TryLockError> {
        Self::close_within(folder, CLOSE_WITHIN)
    }

    fn close_within(folder: &Path, within: Duration) -> Result<Self, TryLockError> {
        if !cfg!(unix) {
            return Ok(Self { _folder: None });
        }
        let (folder, begun) = (File::open(folder).map_err(TryLockError::Error)?, Instant::now());
        loop {
            match folder.try_lock() {
                // Here, too, there is no event to wait for.
                Err(TryLockError::WouldBlock) if begun.elapsed() < within => thread::sleep(CLOSE_LOOK),
                // A file system without locks: what is written meanwhile shows in the file.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(Self { _folder: None });
                }
                locked => return locked.map(|()| Self { _folder: Some(folder) }),
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_write_waits_while_a_backup_runs_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let closed = Closed::close(dir.path()).unwrap();
        let (passed, wait) = mpsc::channel();
        let path = dir.path().to_owned();
        let writer = thread::spawn(move || {
            Gate::default().pass(&path);
            passed.send(()).unwrap();
        });
        assert!(wait.recv_timeout(Duration::from_millis(50)).is_err());
        drop(closed);
        wait.recv_timeout(Duration::from_secs(60)).unwrap();
        writer.join().unwrap();

        let _closed = Closed::close(dir.path()).unwrap();
        let mut gate = Gate::default();
        gate.pass(dir.path());
        assert!(gate.ignored_until.is_some(), "it did not wait, or waited for ever");
        let begun = Instant::now();
        gate.pass(dir.path());
        assert!(begun.elapsed() < MAX_WAIT);
        Gate::default().pass(&dir.path().join("absent"));
    }

    #[test]
    fn a_backup_waits_for_another_one_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let closed = Closed::close(dir.path()).unwrap();
        let refused = Closed::close_within(dir.path(), Duration::from_millis(50));
        assert!(matches!(refused, Err(TryLockError::WouldBlock)), "{refused:?}");
        thread::scope(|scope| {
            let waits = scope.spawn(|| Closed::close_within(dir.path(), Duration::from_secs(60)));
            drop(closed);
            assert!(waits.join().unwrap().is_ok());
        });
        assert!(matches!(Closed::close(&dir.path().join("absent")), Err(TryLockError::Error(_))));
    }
}
