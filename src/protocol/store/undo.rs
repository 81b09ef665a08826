//! What is taken back when a store could not commit it. Whoever owns the records decides when that is.

use std::sync::Arc;

use super::record::Record;
use super::records::Records;

/// What was held under a key before a write, for [`Records::undo`].
#[derive(Debug)]
pub struct Checkpoint {
    key: Arc<str>,
    before: Option<Record>,
    /// The version that the write has left; `None` where nothing is held.
    after: Option<u64>,
}

impl Checkpoint {
    /// The key that it is about.
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }
}

impl Records {
    /// What is held under `key` now, for [`Records::undo`].
    pub fn checkpoint(&self, key: &Arc<str>) -> Checkpoint {
        Checkpoint { key: key.clone(), before: self.holdings.get(key).cloned(), after: None }
    }

    /// Notes what has become of the checkpoint's key: that is what an undo takes back.
    pub fn changed_since(&self, checkpoint: &mut Checkpoint) {
        checkpoint.after = self.holdings.get(&checkpoint.key).map(|record| record.stored.version);
    }

    /// The write after `checkpoint` could not be committed: what was held before is held again. A later write of the key
    /// stands.
    pub fn undo(&mut self, checkpoint: Checkpoint) {
        let Checkpoint { key, before, after } = checkpoint;
        if self.holdings.get(&key).map(|record| record.stored.version) == after {
            match before {
                Some(record) => self.holdings.put(record),
                None => drop(self.holdings.take(&key)),
            }
        }
    }

    /// These changes could not be committed, and still hold: the next [`Records::take_changes`] gives them again.
    pub fn still_uncommitted(&mut self, keys: impl IntoIterator<Item = Arc<str>>) {
        self.changed.extend(keys);
    }
}
