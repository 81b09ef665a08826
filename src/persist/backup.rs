//! Copies of a store: of one that a running node has open, too. redb never overwrites what the last commit wrote before the
//! next commit, which changes the header. So a copy during which the header stays the same is whole, as after a crash at that
//! moment. Each copy is then opened and read, all of its pages and records, before it takes its place.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

use super::disk::{Disk, Failure};
use super::drafts::DraftFolder;
use super::form::{self, Damage};
use super::gate::Closed;
use super::medium::{STORE_FILE, StoreFile};
use super::outstanding::{MARK, NODE_ID};
use super::store::make;
use super::times::{Age, Clock, Mark, SystemClock};
use crate::protocol::id::NodeId;
use crate::protocol::store::Class;

/// The part of a file that each commit changes.
const HEADER: usize = 512;
/// Attempts at a copy. The first may meet a write that had begun; the gate lets none begin after it for two seconds.
const ATTEMPTS: u32 = 8;

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// Values that can be read.
    pub values: usize,
    /// Those among them that the node publishes itself.
    pub published: usize,
    /// Records that cannot be read any more: a node that opens the copy drops them.
    pub damaged: usize,
    /// The node's id.
    pub node_id: Option<NodeId>,
    /// Length of the file.
    pub bytes: u64,
}

/// A store was not copied. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is nothing to copy.
    #[error("there is no store at {}", .0.display())]
    NoStore(PathBuf),
    /// There is one already where the copy is to be.
    #[error("there is a store at {} already", .0.display())]
    Exists(PathBuf),
    /// A node writes faster than its store can be copied.
    #[error("the store at {} was written during each of {ATTEMPTS} attempts to copy it", .0.display())]
    Busy(PathBuf),
    /// Another process has the folder locked for longer than a backup waits.
    #[error("another process has locked the folder {}", .0.display())]
    Locked(PathBuf),
    /// A later version of this program wrote it.
    #[error("the store at {} is of a later version of this program", .0.display())]
    LaterVersion(PathBuf),
    /// What was copied is no store, or a damaged one.
    #[error("the copy of {} cannot be used", .path.display())]
    Unusable {
        /// What was copied.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        failure: Failure,
    },
    /// The system refuses something.
    #[error("cannot copy {} to {}", .from.display(), .to.display())]
    Io {
        /// What was copied.
        from: PathBuf,
        /// Where to.
        to: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Copies the store in `folder` to the file `target`, which is replaced if it exists. A node may have the store open: its writes
/// wait while the file is read. What that node has acknowledged is in the copy, under
/// [`Relaxed`](super::Durability::Relaxed) but for the last second.
///
/// # Errors
/// [`BackupError`], and `target` is as it was.
pub fn backup(folder: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<Saved, BackupError> {
    let (source, target) = (folder.as_ref().join(STORE_FILE), target.as_ref());
    let draft = Draft::of(&source, parent(target), target, Some(parent(&source)))?;
    draft.finish(target)
}

/// Copies the file `source`, which [`backup`] made, into `folder`, where a node then finds its store. The folder is made if need
/// be; it may hold no store.
///
/// # Errors
/// [`BackupError`], and there is no store in `folder`, as before.
pub fn restore(source: impl AsRef<Path>, folder: impl AsRef<Path>) -> Result<Saved, BackupError> {
    let (source, folder) = (source.as_ref(), folder.as_ref());
    let target = folder.join(STORE_FILE);
    let failed = |error| BackupError::Io { from: source.to_owned(), to: target.clone(), source: error };
    if target.try_exists().map_err(failed)? {
        return Err(BackupError::Exists(target));
    }
    if !is_file(source).map_err(failed)? {
        return Err(BackupError::NoStore(source.to_owned()));
    }
    make(folder).map_err(failed)?;
    // Nothing writes to a backup, and its folder may be anyone's to lock. Were it the store of a node, a write would show.
    let draft = Draft::of(source, folder, &target, None)?;
    if target.try_exists().map_err(failed)? {
        return Err(BackupError::Exists(target));
    }
    draft.finish(&target)
}

/// Whether there is a file at `path`. That this cannot be found out, as in a folder of another user, is an error.
fn is_file(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        found => found.map(|found| found.is_file()),
    }
}

/// The folder of a file.
fn parent(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A whole copy that is not in its place yet.
struct Draft {
    /// A folder for it. It is removed in the end.
    folder: DraftFolder,
    source: PathBuf,
    saved: Saved,
}

impl Draft {
    /// Copies `source` to a folder of its own in `beside`, while the gate of the folder `gate` is closed, and checks the copy.
    /// `target` is where it is to be.
    fn of(source: &Path, beside: &Path, target: &Path, gate: Option<&Path>) -> Result<Self, BackupError> {
        let failed = |error| BackupError::Io { from: source.to_owned(), to: target.to_owned(), source: error };
        if !is_file(source).map_err(failed)? {
            return Err(BackupError::NoStore(source.to_owned()));
        }
        let folder = DraftFolder::make(beside).map_err(failed)?;
        let copy = folder.path().join(STORE_FILE);
        let closed = gate.map(Closed::close).transpose().map_err(|error| match error {
            TryLockError::WouldBlock => BackupError::Locked(parent(source).to_owned()),
            TryLockError::Error(error) => failed(error),
        })?;
        let mut attempts = 0;
        while !copied(source, &copy).map_err(failed)? {
            attempts += 1;
            if attempts == ATTEMPTS {
                return Err(BackupError::Busy(source.to_owned()));
            }
        }
        drop(closed);
        let mut saved = check(folder.path()).map_err(|failure| match failure {
            Failure::Later(_) => BackupError::LaterVersion(source.to_owned()),
            failure => BackupError::Unusable { path: source.to_owned(), failure },
        })?;
        saved.bytes =
            File::open(&copy).and_then(|copy| copy.sync_all().and_then(|()| copy.metadata())).map_err(failed)?.len();
        Ok(Self { folder, source: source.to_owned(), saved })
    }

    /// Puts the copy where it is to be.
    fn finish(self, target: &Path) -> Result<Saved, BackupError> {
        let Self { folder, source, saved } = self;
        let moved = fs::rename(folder.path().join(STORE_FILE), target).and_then(|()| sync_folder(parent(target)));
        moved.map_err(|error| BackupError::Io { from: source, to: target.to_owned(), source: error })?;
        Ok(saved)
    }
}

/// Has the name of a new file last as well.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Copies `source` to `copy`. `false`: it was written meanwhile.
fn copied(source: &Path, copy: &Path) -> io::Result<bool> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let (mut source, mut copy) = (File::open(source)?, options.open(copy)?);
    let before = header(&mut source)?;
    io::copy(&mut source, &mut copy)?;
    Ok(header(&mut source)? == before)
}

/// The header, and the file's position behind nothing.
fn header(file: &mut File) -> io::Result<Vec<u8>> {
    let mut header = Vec::with_capacity(HEADER);
    file.rewind()?;
    file.take(HEADER as u64).read_to_end(&mut header)?;
    file.rewind()?;
    Ok(header)
}

/// Opens the copy in `folder`, each page of it as it was written, and reads all records.
fn check(folder: &Path) -> Result<Saved, Failure> {
    let mut disk = Disk::new(Box::new(StoreFile::new(folder)));
    if !disk.view()? {
        return Err(Failure::Damaged("the file is empty".to_owned()));
    }
    disk.open(true)?;
    let now = SystemClock.now();
    let note = |name: &[u8]| disk.note(name);
    let mark: Option<Mark> = read_note(MARK, note(MARK)?)?;
    let node_id: Option<[u8; 20]> = read_note(NODE_ID, note(NODE_ID)?)?;
    let age = mark.as_ref().map(|mark| Age::since(Some(mark), &now));
    let mut saved = Saved { values: 0, published: 0, damaged: 0, node_id: node_id.map(NodeId::from_bytes), bytes: 0 };
    let mut later = None;
    disk.records(|key, bytes| match form::decode(key, bytes, age.as_ref(), &now) {
        Ok(record) => {
            saved.values += 1;
            saved.published += usize::from(record.class == Class::Published);
        }
        Err(Damage::Later(form)) => later = Some(form),
        Err(_) => saved.damaged += 1,
    })?;
    later.map_or(Ok(saved), |form| Err(Failure::Later(form)))
}

/// What is noted under `name`; nothing where it is damaged, as for a node that opens the store.
fn read_note<T: for<'a> serde::Deserialize<'a>>(name: &[u8], bytes: Option<Vec<u8>>) -> Result<Option<T>, Failure> {
    match bytes.map(|bytes| form::unseal(name, &bytes)) {
        Some(Err(Damage::Later(form))) => Err(Failure::Later(form)),
        Some(Ok(note)) => Ok(Some(note)),
        Some(Err(_)) | None => Ok(None),
    }
}
