//! The store as the node has it: it answers reads from what is committed, and hands writes to a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;
use std::{fmt, fs, io, thread};

use super::disk::{Disk, Failure};
use super::measures;
use super::medium::{Medium, StoreFile};
use super::occupied::Occupied;
use super::shared::{Durability, Job, Shared};
use super::times::{Clock, SystemClock};
use super::worker::Worker;
use crate::protocol::store::{
    BackendHealth, Change, Committed, MAX_REMEMBERED_PEERS, Recollection, Store, StoreError, StoredRecord,
};

/// How long opening a store waits for one of the same process and folder to end: longer than that waits for its disk.
pub const REOPEN_WITHIN: Duration = Duration::from_secs(3);
/// How long a store that is dropped waits for its disk.
const END_WITHIN: Duration = Duration::from_secs(2);

/// The store cannot be opened. Nothing was changed, except that a damaged file may have been renamed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder is not there and cannot be made.
    #[error("the folder {} cannot be made", .folder.display())]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is open elsewhere: in another process, or in a node of this one that has not ended within [`REOPEN_WITHIN`].
    #[error("the store in {} is used by another process, or by another node of this one", .folder.display())]
    InUse {
        /// Its folder.
        folder: PathBuf,
    },
    /// A later version of this program wrote it. Not a byte of it was changed.
    #[error("the store in {} is of a later version of this program, and was left as it is", .folder.display())]
    LaterVersion {
        /// Its folder.
        folder: PathBuf,
    },
    /// The disk failed.
    #[error("the store in {} cannot be used", .folder.display())]
    Unusable {
        /// Its folder.
        folder: PathBuf,
        /// What failed.
        #[source]
        failure: Failure,
    },
    /// Its thread could not be started.
    #[error("no thread for the store can be started (ulimit -u, or ulimit -v for its stack)")]
    Thread(#[source] io::Error),
}

/// A [`Store`] in a file. All disk work is done on a thread of its own; a write is committed once it is on the disk.
///
/// A full disk fails its writes with a reason until there is room again, also where it is full when the store is opened; a
/// damaged file is set aside, as `store.redb.damaged-1` and so on, and begun anew from what is still known. Wrong bytes are
/// never given out.
pub struct DiskStore {
    shared: Arc<Shared>,
    /// `None` once it has ended.
    jobs: Option<Sender<Job>>,
    /// Its sender goes with the thread.
    ended: Receiver<Result<(), Failure>>,
}

impl DiskStore {
    /// Opens the store in `folder`, which is made if need be, for its owner alone. It blocks on the disk: some milliseconds,
    /// more where many values are held. Where a node of this process has it open, which is dropped or has just been, it waits
    /// until that has ended, for [`REOPEN_WITHIN`] at most; a node of the same thread cannot end meanwhile.
    ///
    /// On Unix, a limit on the size of files (`ulimit -f`) ends a process by SIGXFSZ unless the application ignores that signal
    /// or handles it, as `kad` does: the limit then counts as a full disk.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(folder, Durability::default())
    }

    /// As [`DiskStore::open`], with a choice of when a write counts as committed.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_with(folder: impl AsRef<Path>, durability: Durability) -> Result<Self, OpenError> {
        let folder = folder.as_ref();
        let error = |source| OpenError::Folder { folder: folder.to_owned(), source };
        make(folder).map_err(error)?;
        let in_use = || OpenError::InUse { folder: folder.to_owned() };
        let occupied = Occupied::take(folder, REOPEN_WITHIN).map_err(error)?.ok_or_else(in_use)?;
        let medium = Box::new(StoreFile::new(folder));
        Self::occupying(folder, medium, durability, Box::new(SystemClock), Some(occupied))
    }

    /// The store on `medium`.
    #[cfg(test)]
    pub(super) fn over(
        medium: Box<dyn Medium>,
        durability: Durability,
        clock: Box<dyn Clock>,
    ) -> Result<Self, OpenError> {
        Self::occupying(Path::new("a test's medium"), medium, durability, clock, None)
    }

    /// The store on `medium`, in `folder`, which is `occupied` until it has ended.
    fn occupying(
        folder: &Path,
        medium: Box<dyn Medium>,
        durability: Durability,
        clock: Box<dyn Clock>,
        occupied: Option<Occupied>,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::default());
        let (jobs, inbox) = mpsc::channel();
        let (opened, ended) = mpsc::channel();
        let of_thread = shared.clone();
        let body = move || {
            // Dropped with the thread, which shows the store that it has ended.
            let opened: Sender<Result<(), Failure>> = opened;
            // Dropped before that, and after the worker, which has closed the disk.
            let _occupied = occupied;
            let worker = match Worker::open(Disk::new(medium), durability, clock, of_thread.clone()) {
                Ok(worker) => worker,
                Err(failure) => return drop(opened.send(Err(failure))),
            };
            let _ = opened.send(Ok(()));
            let worked = catch_unwind(AssertUnwindSafe(|| worker.run(&inbox)));
            // From here on no job can be sent, and those that waited are dropped, which their senders notice.
            drop(inbox);
            if worked.is_err() {
                tracing::error!("the thread of the store panicked: nothing is written any more");
                of_thread.died();
                measures::died();
            }
        };
        thread::Builder::new().name("kademlia-store".to_owned()).spawn(body).map_err(OpenError::Thread)?;
        let died = || Failure::Damaged("its thread has died".to_owned());
        let folder = || folder.to_owned();
        ended.recv().unwrap_or_else(|_| Err(died())).map_err(|failure| match failure {
            Failure::InUse => OpenError::InUse { folder: folder() },
            Failure::Later(_) => OpenError::LaterVersion { folder: folder() },
            failure => OpenError::Unusable { folder: folder(), failure },
        })?;
        Ok(Self { shared, jobs: Some(jobs), ended })
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            self.shared.queue(&job);
            // A thread that has died drops the job, which its sender notices.
            if jobs.send(job).is_err() {
                self.shared.died();
            }
        }
    }
}

/// Makes `folder`, with those above it, for its owner alone, or warns where others can read what is there.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        if let Ok(found) = fs::metadata(folder) {
            let mode = found.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                let (folder, mode) = (folder.display(), format_args!("{mode:o}"));
                tracing::warn!(%folder, %mode, "others on this machine may read the store's folder: chmod 700 prevents that");
            }
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
    }
    #[cfg(not(unix))]
    fs::create_dir_all(folder)
}

impl Store for DiskStore {
    fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
        Ok(self.shared.lock().records.values().map(|record| (**record).clone()).collect())
    }

    fn commit(&mut self, changes: Vec<Change>, done: Committed) {
        self.send(Job::Commit(changes, done));
    }

    fn recall(&mut self) -> Option<Recollection> {
        Some(self.shared.lock().recollection.clone())
    }

    fn remember(&mut self, mut recollection: Recollection) {
        recollection.peers.truncate(MAX_REMEMBERED_PEERS);
        self.send(Job::Remember(recollection));
    }

    fn is_failing(&self) -> bool {
        self.shared.is_failing()
    }

    fn health(&self) -> BackendHealth {
        self.shared.health()
    }
}

impl Drop for DiskStore {
    /// Waits until the disk has all that was committed, but not for ever.
    fn drop(&mut self) {
        self.jobs = None;
        let _ = self.ended.recv_timeout(END_WITHIN);
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore").field("health", &self.shared.health()).finish_non_exhaustive()
    }
}
