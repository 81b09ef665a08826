//! Where a store's bytes are: a file in a folder. It opens and renames; what is in the file is the disk's business.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, StorageBackend};

/// The file in a store's folder.
pub const STORE_FILE: &str = "store.redb";
/// Damaged files that are kept beside it. Beyond it the last one is replaced, so that a failing disk is not filled.
const MAX_SET_ASIDE: usize = 9;
/// Bytes of pages that redb keeps in memory. Records are served from memory anyway.
const PAGE_CACHE: usize = 8 << 20;

/// Something that holds a database.
pub(super) trait Medium: Send {
    /// What is there, for a look at it. `None` where there is nothing yet.
    fn look(&mut self) -> Result<Option<Box<dyn StorageBackend>>, DatabaseError>;
    /// Opens the database, or makes an empty one. One that is `checked` opens only if every page is as it was written, for
    /// which all of it is read.
    fn open(&mut self, checked: bool) -> Result<Database, DatabaseError>;
    /// Puts the database out of the way, so that the next one opened is empty. Says where it is now.
    fn set_aside(&mut self) -> io::Result<String>;
}

/// A file.
#[derive(Debug)]
pub(super) struct StoreFile {
    path: PathBuf,
}

impl StoreFile {
    /// The file in `folder`, which exists.
    pub(super) fn new(folder: &Path) -> Self {
        Self { path: folder.join(STORE_FILE) }
    }

    fn aside(&self, number: usize) -> PathBuf {
        self.path.with_file_name(format!("{STORE_FILE}.damaged-{number}"))
    }
}

impl Medium for StoreFile {
    fn look(&mut self) -> Result<Option<Box<dyn StorageBackend>>, DatabaseError> {
        // Only what may be written can be locked.
        let file = match File::options().read(true).write(true).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if file.metadata()?.len() == 0 {
            return Ok(None);
        }
        Ok(Some(Box::new(FileBackend::new(file)?)))
    }

    fn open(&mut self, checked: bool) -> Result<Database, DatabaseError> {
        builder(checked).create(&self.path)
    }

    fn set_aside(&mut self) -> io::Result<String> {
        let mut free = (1..MAX_SET_ASIDE).map(|number| self.aside(number)).filter(|path| !path.exists());
        let aside = free.next().unwrap_or_else(|| self.aside(MAX_SET_ASIDE));
        fs::rename(&self.path, &aside)?;
        Ok(aside.display().to_string())
    }
}

/// How every database of this room is opened.
pub(super) fn builder(checked: bool) -> redb::Builder {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(PAGE_CACHE).set_check_integrity_on_open(checked);
    builder
}
