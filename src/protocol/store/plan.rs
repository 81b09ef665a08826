//! A write before it is committed: what it asks for, and what it changes once it is committed. It decides nothing.

use std::sync::Arc;
use std::time::Instant;

use super::backend::Change;
use super::outcome::WriteOutcome;
use super::quota::Reservation;
use super::record::{Record, StoredRecord, Writer};
use super::rules::RemoteWrite;
use crate::protocol::value::Value;

/// What is asked of the records of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// This node publishes a value, in the place of what it holds. It lives for the full expiry, is republished well before,
    /// counts in no quota and is never evicted. A key that is pinned stays so.
    Publish {
        /// The key.
        key: Arc<str>,
        /// The value.
        value: Arc<Value>,
    },
    /// A peer's `set`.
    Set(RemoteWrite),
    /// A later value that this node has found at another holder: as [`Write::Set`], but our own publication ends for it even
    /// where there is no room for it, unless it gives way to no other value. Nothing is held under the key then.
    Adopt(RemoteWrite),
    /// A peer's `set_cached`. A full copy stays as it is; a cached one of another value gives way, since the one that comes was
    /// read later.
    Cache(RemoteWrite),
    /// From now on no other writer supersedes our publication of this key, until it is released.
    Pin(Arc<str>),
    /// From now on another writer may supersede our publication of this key again.
    Unpin(Arc<str>),
    /// Our publication of this key ends: it is republished no more, and one under way is no longer current. Our copy stays until
    /// its expiry, as a held one outside the quotas.
    Release(Arc<str>),
}

impl Write {
    /// The key that it is about.
    pub fn key(&self) -> &Arc<str> {
        match self {
            Self::Set(write) | Self::Adopt(write) | Self::Cache(write) => &write.key,
            Self::Publish { key, .. } | Self::Pin(key) | Self::Unpin(key) | Self::Release(key) => key,
        }
    }
}

/// What a write changes once it is committed, decided against what is committed already. Until it ends, by
/// [`Records::apply`](super::Records::apply) or [`Records::abandon`](super::Records::abandon), no other write of its keys is
/// planned.
#[derive(Debug)]
#[must_use = "its keys take no other write until it is applied or abandoned"]
pub struct Plan {
    pub(super) key: Arc<str>,
    pub(super) edit: Edit,
    /// Whether a store is to commit the edit.
    pub(super) lasting: bool,
    /// The keys whose copies give way.
    pub(super) evicted: Vec<Arc<str>>,
    pub(super) reserved: Option<Reservation>,
    pub(super) outcome: WriteOutcome,
    /// See [`Plan::take_changes`].
    pub(super) changes: Vec<Change>,
    /// How often the dates of all records had become unknown when it was made.
    pub(super) undated: u64,
}

impl Plan {
    /// A plan that makes this of `key`, which no other copy gives way for.
    pub(super) fn new(key: &Arc<str>, edit: Edit, outcome: WriteOutcome) -> Self {
        let lasting = outcome != WriteOutcome::Unchanged;
        let (evicted, reserved, changes) = (Vec::new(), None, Vec::new());
        Self { key: key.clone(), edit, lasting, evicted, reserved, outcome, changes, undated: 0 }
    }

    /// A plan that leaves everything as it is.
    pub(super) fn unchanged(key: &Arc<str>) -> Self {
        Self::new(key, Edit::Renew(Renewal::default()), WriteOutcome::Unchanged)
    }

    /// What a store is to commit before the plan is applied, as one commit: evictions are part of it. If there is nothing, the
    /// plan is to be applied at once.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The key that its write is about.
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// That key and those whose copies give way: they take no other write until it ends.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        std::iter::once(&self.key).chain(&self.evicted)
    }
}

/// What becomes of the record under a key.
#[derive(Debug)]
pub(super) enum Edit {
    /// This one takes its place.
    Put(Box<Record>),
    /// It is removed.
    Remove,
    /// It is pinned, or no longer.
    Pin(bool),
    /// It is a publication of this node no more, and held under this version until it ends.
    Release { version: u64 },
    /// It is the same value, which came again.
    Renew(Renewal),
}

/// What a value that comes again changes of its record.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    /// It lives until then, if not longer.
    pub(super) expires_at: Option<Instant>,
    /// When it was published at the latest, and whether just then.
    pub(super) published: Option<(Instant, bool)>,
    /// Who published it, if that was not known.
    pub(super) writer: Option<Writer>,
    /// Until when its next restore can wait.
    pub(super) put_off: Option<Instant>,
}

impl Edit {
    /// What is held after it, where `before` was held.
    pub(super) fn apply(self, before: Option<Record>) -> Option<Record> {
        match self {
            Self::Put(record) => Some(*record),
            Self::Remove => None,
            edit => before.map(|mut record| {
                edit.change(&mut record);
                record
            }),
        }
    }

    /// What a store holds after it, where `before` is held.
    pub(super) fn stored(&self, before: Option<&Record>) -> Option<StoredRecord> {
        match self {
            Self::Put(record) => Some(record.stored.clone()),
            Self::Remove => None,
            edit => before.cloned().map(|mut record| {
                edit.change(&mut record);
                record.stored
            }),
        }
    }

    fn change(&self, record: &mut Record) {
        match self {
            Self::Put(_) | Self::Remove => {}
            Self::Pin(pinned) => record.stored.pinned = *pinned,
            Self::Release { version } => record.release(*version),
            Self::Renew(Renewal { expires_at, published, writer, put_off }) => {
                record.stored.expires_at =
                    expires_at.map_or(record.stored.expires_at, |at| record.stored.expires_at.max(at));
                record.stored.writer = writer.unwrap_or(record.stored.writer);
                if let Some((at, dated)) = published {
                    record.date(*at, *dated);
                }
                if put_off.is_some() {
                    record.due_at = *put_off;
                    record.put_off = true;
                }
            }
        }
    }
}
