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

    /// Whether its write was the next one of the key after that of `earlier`.
    pub fn follows(&self, earlier: &Self) -> bool {
        let before = self.before.as_ref().map(|record| record.stored.version);
        self.key == earlier.key && before == earlier.after
    }

    /// Whether the publication of `key` was kept before is to be `kept`, if that is the checkpoint's key: what said
    /// otherwise has failed.
    pub fn set_keep(&mut self, key: &str, kept: bool) {
        if let Some(before) = self.before.as_mut().filter(|before| *self.key == *key && before.is_published()) {
            before.stored.keep = kept;
        }
    }

    /// The write of `earlier` has failed, which this one [follows](Checkpoint::follows): if this one fails too, what was
    /// held before both is held again.
    pub fn rest_on(&mut self, earlier: Self) {
        self.before = earlier.before;
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
    /// stands, and the checkpoint is given back.
    pub fn undo(&mut self, checkpoint: Checkpoint) -> Option<Checkpoint> {
        if self.holdings.get(&checkpoint.key).map(|record| record.stored.version) != checkpoint.after {
            return Some(checkpoint);
        }
        match checkpoint.before {
            Some(record) => self.holdings.put(record),
            None => drop(self.holdings.take(&checkpoint.key)),
        }
        None
    }

    /// What has become of these keys could not be committed: the next [`Records::take_changes`] gives it again, as it then is.
    pub fn still_uncommitted(&mut self, keys: impl IntoIterator<Item = Arc<str>>) {
        self.changed.extend(keys);
    }
}
