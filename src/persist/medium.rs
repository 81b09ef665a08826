//! Where a store's bytes are: a file in a folder, which is opened and renamed here. [`Disk`](super::disk::Disk) reads and
//! writes it.

use std::fs::{self, File, Metadata};
use std::io;
#[cfg(unix)]
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, StorageBackend};

use super::gate::Gate;

/// The file in a store's folder.
pub const STORE_FILE: &str = "store.redb";
/// A store's file is for its owner alone.
#[cfg(unix)]
const FILE_MODE: u32 = 0o600;
/// Damaged files that stay beside it. A further one replaces the last, so that a failing disk is not filled.
const MAX_SET_ASIDE: usize = 9;
/// Bytes of pages that redb caches. Records are served from memory anyway.
const PAGE_CACHE: usize = 8 << 20;

/// Something that holds a database.
pub(super) trait Medium: Send {
    /// What is there, to be read without a change. `None` where there is nothing yet.
    fn view(&mut self) -> Result<Option<Box<dyn StorageBackend>>, DatabaseError>;
    /// Opens the database, or makes an empty one. One that is `checked` opens only if every page is as it was written, for
    /// which all of it is read.
    fn open(&mut self, checked: bool) -> Result<Database, DatabaseError>;
    /// Puts the database out of the way, so that the next one opened is empty. Says where it is now.
    fn set_aside(&mut self) -> io::Result<String>;
    /// Waits while a backup copies the database. It is called before each write.
    fn await_backup(&mut self) {}
    /// Whether the database that was opened first, or since one was set aside, is still the one that is opened here.
    fn is_in_place(&self) -> bool {
        true
    }
}

/// Which file of this machine it is, whatever its name: device and inode. `None` where the system does not say.
fn identity(file: &Metadata) -> Option<(u64, u64)> {
    #[cfg(unix)]
    return Some((file.dev(), file.ino()));
    #[cfg(not(unix))]
    None
}

/// A file.
#[derive(Debug)]
pub(super) struct StoreFile {
    path: PathBuf,
    /// The file that was opened, unless it was set aside: no other one may take its place.
    opened: Option<(u64, u64)>,
    gate: Gate,
}

impl StoreFile {
    /// The file in `folder`, which exists.
    pub(super) fn new(folder: &Path) -> Self {
        Self { path: folder.join(STORE_FILE), opened: None, gate: Gate::default() }
    }

    fn aside(&self, number: usize) -> PathBuf {
        self.path.with_file_name(format!("{STORE_FILE}.damaged-{number}"))
    }
}

impl Medium for StoreFile {
    fn view(&mut self) -> Result<Option<Box<dyn StorageBackend>>, DatabaseError> {
        // Only what may be written can be locked.
        let file = match File::options().read(true).write(true).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let found = file.metadata()?;
        if found.len() == 0 {
            return Ok(None);
        }
        self.opened = identity(&found);
        Ok(Some(Box::new(FileBackend::new(file)?)))
    }

    fn open(&mut self, checked: bool) -> Result<Database, DatabaseError> {
        let mut options = File::options();
        // Where there was one before, an empty one is no substitute.
        options.read(true).write(true).create(self.opened.is_none()).truncate(false);
        #[cfg(unix)]
        options.mode(FILE_MODE);
        let file = options.open(&self.path)?;
        let identity = identity(&file.metadata()?);
        if self.opened.is_some() && self.opened != identity {
            return Err(io::Error::new(io::ErrorKind::NotFound, "another file has taken its place").into());
        }
        self.opened = identity;
        builder(checked).create_with_backend(FileBackend::new(file)?)
    }

    fn set_aside(&mut self) -> io::Result<String> {
        let mut free = (1..MAX_SET_ASIDE).map(|number| self.aside(number)).filter(|path| !path.exists());
        let aside = free.next().unwrap_or_else(|| self.aside(MAX_SET_ASIDE));
        fs::rename(&self.path, &aside)?;
        self.opened = None;
        #[cfg(unix)]
        if let Err(error) = fs::set_permissions(&aside, fs::Permissions::from_mode(FILE_MODE)) {
            tracing::warn!(file = %aside.display(), %error, "others may be able to read a damaged store");
        }
        Ok(aside.display().to_string())
    }

    fn await_backup(&mut self) {
        if let Some(folder) = self.path.parent() {
            self.gate.pass(folder);
        }
    }

    fn is_in_place(&self) -> bool {
        use io::ErrorKind::{NotADirectory, NotFound};
        let Some(opened) = self.opened else { return true };
        match fs::metadata(&self.path) {
            Ok(found) => identity(&found) == Some(opened),
            // Where this cannot be known, the next use of the file fails with the reason.
            Err(error) => !matches!(error.kind(), NotFound | NotADirectory),
        }
    }
}

/// How every database is opened.
pub(super) fn builder(checked: bool) -> redb::Builder {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(PAGE_CACHE).set_check_integrity_on_open(checked);
    builder
}
