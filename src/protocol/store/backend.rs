//! The trait of a store that keeps the records of a node, and what it is given. It decides nothing.

use std::error::Error;
use std::sync::Arc;

use super::health::{BackendHealth, Recollection};
use super::record::StoredRecord;

/// What became of one key: what a [`Store`] is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The record is as follows, whatever was kept under its key. It is shared with the node, which changes a copy of it.
    Put(Arc<StoredRecord>),
    /// Nothing is held under this key any more. It may never have been kept.
    Remove(Arc<str>),
}

impl Change {
    /// The key that it is about.
    pub fn key(&self) -> &Arc<str> {
        match self {
            Change::Put(record) => &record.key,
            Change::Remove(key) => key,
        }
    }
}

/// What a [`Store`] calls, exactly once, when a commit is over.
pub type Committed = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Keeps the records of a node beyond the life of the actor that owns them.
///
/// Commits take effect in the order in which they were given, each as a whole or not at all, and are reported of in that order;
/// within one, a later change of a key wins. One that fails says nothing of those behind it. What was committed is what
/// [`Store::load`] returns.
pub trait Store: Send {
    /// All records that were committed, in any order.
    ///
    /// # Errors
    /// [`StoreError`]; what is kept was not changed.
    fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError>;

    /// Takes `changes` and calls `done` once they are committed or have failed: at once from memory, later and from
    /// another thread from a disk. It never blocks on a disk itself.
    fn commit(&mut self, changes: Vec<Change>, done: Committed);

    /// Commits `changes` before it returns, where that takes no longer than any change in memory and cannot fail.
    ///
    /// # Errors
    /// The changes, which are then to be [committed](Store::commit): nothing was changed. So it is here.
    fn commit_at_once(&mut self, changes: Vec<Change>) -> Result<(), Vec<Change>> {
        Err(changes)
    }

    /// Who the node was and whom it knew, as last reported to [`Store::remember`]. `None`, as here, where nothing of the kind
    /// outlives the process: it is then never reported.
    fn recall(&mut self) -> Option<Recollection> {
        None
    }

    /// Keeps who the node is and whom it knows, in the place of what was kept before, when it comes to it.
    fn remember(&mut self, _: Recollection) {}

    /// Whether it is known that a commit would fail now: keys that are not held are refused until one succeeds. Asked before each
    /// write of a peer, so it must be cheap, and must not wait for a disk. `false`, as here, where that is not known.
    fn is_failing(&self) -> bool {
        false
    }

    /// How it fares. A store that cannot fail has nothing to say.
    fn health(&self) -> BackendHealth {
        BackendHealth::default()
    }
}

/// Records could not be kept or read. The commit that it is about left nothing behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The medium failed. Trying again may help: a full disk can be emptied.
    #[error("the store failed while {doing}")]
    Failed {
        /// What it was doing, as "writing a commit".
        doing: &'static str,
        /// What the medium said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store has ended and takes nothing any more. Normal while the node stops.
    #[error("the store has ended")]
    Ended,
}
