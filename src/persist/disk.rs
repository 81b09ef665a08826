//! The database: one transaction at a time, and what its failures mean. redb may panic on a damaged file, so panics of it are
//! caught here. The worker decides when to try again.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::medium::{Medium, builder};
use super::overlay::{Overlay, later_format};

/// Keys and their records.
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
/// What is noted of the node itself, by name.
const NOTES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("notes");

/// The database could not do something. What was being written is not there, or not yet known to be.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The medium failed: a full disk, above all. It may pass.
    #[error(transparent)]
    Medium(Arc<redb::Error>),
    /// The file is damaged.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// Another process has the file open. Two at once would spoil it.
    #[error("another process uses it")]
    InUse,
    /// It is no longer where it was opened. Nothing was written there.
    #[error("its folder was removed, moved or replaced while it was open")]
    Gone,
    /// A later version of this program wrote it, in this form, which this one cannot read.
    #[error("a later version wrote it, in form {0}, which this version does not know")]
    Later(u8),
}

impl Failure {
    /// Whether there is no room: it passes once there is some again.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let Self::Medium(error) = self else { return false };
        matches!(&**error, redb::Error::Io(source) if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }
}

impl From<redb::Error> for Failure {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            redb::Error::Io(ref source) if !is_damage(source) => Self::Medium(Arc::new(error)),
            redb::Error::Backend(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
                Self::Medium(Arc::new(error))
            }
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Whether it says that the file does not hold what it should, and not that it cannot be reached.
fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

/// What one transaction changes. Later entries of a name win.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Records by key; `None` removes.
    pub(super) records: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Notes by name.
    pub(super) notes: Vec<(&'static [u8], Vec<u8>)>,
}

/// The database, or the place where it was.
pub(super) struct Disk {
    medium: Box<dyn Medium>,
    database: Option<Database>,
}

impl Disk {
    /// Whether what was opened first is still where it was opened.
    pub(super) fn is_in_place(&self) -> bool {
        self.medium.is_in_place()
    }

    /// Not open yet.
    pub(super) fn new(medium: Box<dyn Medium>) -> Self {
        Self { medium, database: None }
    }

    pub(super) fn is_open(&self) -> bool {
        self.database.is_some()
    }

    /// Opens it to be read, and changes nothing of it: writes go no further than memory. `false` where there is nothing yet.
    pub(super) fn view(&mut self) -> Result<bool, Failure> {
        self.close();
        let Some(beneath) = caught(|| self.medium.view())? else { return Ok(false) };
        if let Some(form) = caught(|| later_format(&*beneath))? {
            return Err(Failure::Later(form));
        }
        let overlay = caught(|| Overlay::over(beneath))?;
        self.database = Some(caught(|| with_tables(builder(false).create_with_backend(overlay)?))?);
        Ok(true)
    }

    /// Opens it, with its tables; a `checked` one only if all of its pages are as they were written. One that is open already
    /// is closed first.
    pub(super) fn open(&mut self, checked: bool) -> Result<(), Failure> {
        self.close();
        let medium = &mut self.medium;
        medium.await_backup();
        self.database = Some(caught(|| with_tables(medium.open(checked)?))?);
        Ok(())
    }

    /// Closes it. A handle that failed once fails for ever.
    pub(super) fn close(&mut self) {
        if let Some(database) = self.database.take() {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
        }
    }

    /// Closes it and puts it out of the way: the next one is empty. Says where it is now.
    pub(super) fn set_aside(&mut self) -> Result<String, Failure> {
        self.close();
        self.medium.set_aside().map_err(|error| redb::Error::Io(error).into())
    }

    /// Writes `batch` as a whole or not at all. After a failure it is unknown which, and it has to be opened again.
    pub(super) fn write(&mut self, batch: &Batch, durable: bool) -> Result<(), Failure> {
        self.medium.await_backup();
        let database = self.database()?;
        caught(|| -> Result<(), redb::Error> {
            let mut transaction = database.begin_write()?;
            transaction.set_quick_repair(true);
            if !durable {
                transaction.set_durability(Durability::None)?;
            }
            {
                let mut records = transaction.open_table(RECORDS)?;
                for (key, record) in &batch.records {
                    match record {
                        Some(record) => drop(records.insert(key.as_slice(), record.as_slice())?),
                        None => drop(records.remove(key.as_slice())?),
                    }
                }
                let mut notes = transaction.open_table(NOTES)?;
                for (name, note) in &batch.notes {
                    notes.insert(*name, note.as_slice())?;
                }
            }
            transaction.commit()?;
            Ok(())
        })
    }

    /// What is noted under `name`.
    pub(super) fn note(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let database = self.database()?;
        caught(|| -> Result<Option<Vec<u8>>, redb::Error> {
            let notes = database.begin_read()?.open_table(NOTES)?;
            Ok(notes.get(name)?.map(|note| note.value().to_vec()))
        })
    }

    /// Gives all records to `take`, in the order of their keys. It may fail after some.
    pub(super) fn records(&self, mut take: impl FnMut(&[u8], &[u8])) -> Result<(), Failure> {
        let database = self.database()?;
        let read = caught(|| -> Result<bool, redb::Error> {
            let records = database.begin_read()?.open_table(RECORDS)?;
            let mut last: Option<Vec<u8>> = None;
            for entry in records.iter()? {
                let (key, record) = entry?;
                // A damaged tree may lead in a circle.
                if last.as_deref().is_some_and(|last| last >= key.value()) {
                    return Ok(false);
                }
                take(key.value(), record.value());
                last = Some(key.value().to_vec());
            }
            Ok(true)
        })?;
        if read { Ok(()) } else { Err(Failure::Damaged("its keys are out of order".to_owned())) }
    }

    fn database(&self) -> Result<&Database, Failure> {
        self.database.as_ref().ok_or_else(|| Failure::Medium(Arc::new(redb::Error::DatabaseClosed)))
    }
}

fn with_tables(database: Database) -> Result<Database, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    transaction.open_table(RECORDS)?;
    transaction.open_table(NOTES)?;
    transaction.commit()?;
    Ok(database)
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close();
    }
}

/// What `work` says; a panic in it is damage.
fn caught<T, E: Into<redb::Error>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.into().into()),
        Err(panic) => Err(Failure::Damaged(format!("redb panicked: {}", message(&*panic)))),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
