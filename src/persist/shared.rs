//! What a store and its thread share: the jobs of the thread, when they count as committed, and the state that is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use crate::protocol::store::{BackendHealth, BackendState, Change, Committed, Recollection, StoredRecord};

/// How long a [relaxed](Durability::Relaxed) store leaves writes in memory.
pub const RELAXED_FLUSH: Duration = Duration::from_secs(1);

/// When a write counts as committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Once it is safe on the disk: 3 to 75 ms a group of writes. It survives a kill and a power cut.
    #[default]
    Durable,
    /// At once; the disk follows within [`RELAXED_FLUSH`]. A kill or a power cut loses what was acknowledged since, and
    /// nothing else: an older value is then there again, or none.
    Relaxed,
}

/// A job of the thread.
pub(super) enum Job {
    /// Commit these changes, and say so.
    Commit(Vec<Change>, Committed),
    /// Note this.
    Remember(Recollection),
}

/// What is committed, as the node reads it: without waiting for a disk. Values are shared with the node's, not copied. A
/// damaged file is replaced from it, too.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    pub(super) records: BTreeMap<Arc<str>, Arc<StoredRecord>>,
    pub(super) recollection: Recollection,
    pub(super) health: BackendHealth,
}

/// What the store and its thread share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    shadow: Mutex<Shadow>,
    /// Commits that the thread has not begun.
    waiting: AtomicUsize,
    /// Whether the last write failed. The node asks before each write of a peer, and must not wait for the shadow.
    failing: AtomicBool,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Shadow> {
        // Nothing panics between two changes that belong together.
        self.shadow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `job` is about to be sent to the thread.
    pub(super) fn queue(&self, job: &Job) {
        if matches!(job, Job::Commit(..)) {
            self.waiting.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The thread begins so many commits.
    pub(super) fn taken(&self, commits: usize) {
        self.waiting.fetch_sub(commits, Ordering::Relaxed);
    }

    /// The thread has ended: nothing is written again, and nothing waits for it.
    pub(super) fn died(&self) {
        self.waiting.store(0, Ordering::Relaxed);
        self.failed(BackendState::Failing);
    }

    /// Nothing can be written now, for the reason in `state`.
    pub(super) fn failed(&self, state: BackendState) {
        self.lock().health.state = state;
        // In this order: a node that sees it fail finds the reason.
        self.failing.store(true, Ordering::Release);
    }

    /// A write has succeeded.
    pub(super) fn works(&self) {
        self.failing.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    pub(super) fn health(&self) -> BackendHealth {
        let (waiting, failing) = (self.waiting.load(Ordering::Relaxed), self.is_failing());
        BackendHealth { waiting, failing, ..self.lock().health }
    }
}
