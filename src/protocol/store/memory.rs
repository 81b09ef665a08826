//! Records kept in memory: they outlive the actor that owns them, not the process.

use std::sync::Arc;

use super::backend::{Change, Committed, Store, StoreError};
use super::by_key::ByKey;
use super::record::StoredRecord;

/// A [`Store`] in memory. It commits at once and never fails; records are shared with the node, not copied.
#[derive(Debug, Default)]
pub struct MemoryStore {
    records: ByKey<Arc<StoredRecord>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
        let mut records: Vec<StoredRecord> = self.records.values().map(|record| (**record).clone()).collect();
        // One seed gives one run: what is drawn for each record is drawn in one order.
        records.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        Ok(records)
    }

    fn commit(&mut self, changes: Vec<Change>, done: Committed) {
        done(self.commit_at_once(changes).map_err(|_| StoreError::Ended));
    }

    fn commit_at_once(&mut self, changes: Vec<Change>) -> Result<(), Vec<Change>> {
        for change in changes {
            match change {
                Change::Put(record) => {
                    self.records.insert(record);
                }
                Change::Remove(key) => {
                    self.records.remove(&key);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::store::contract::contract;

    #[test]
    fn memory_keeps_the_contract_of_a_store() {
        contract(|| Box::new(MemoryStore::new()));
    }
}
