//! What the next transaction has to write beside new changes, since the disk may not have it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::disk::Batch;
use super::form::{self, PeerForm};
use super::shared::Shadow;
use super::times::{Age, Moment};
use crate::protocol::store::{Change, Recollection, StoredRecord};

pub(super) const MARK: &[u8] = b"mark";
pub(super) const NODE_ID: &[u8] = b"node id";
pub(super) const PEERS: &[u8] = b"peers";

/// What the next transaction writes beside new changes.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    /// Keys of which the disk may hold another record than it should.
    pub(super) unsure: BTreeSet<Arc<str>>,
    /// Keys written without waiting for the disk since that last happened.
    pub(super) unflushed: BTreeSet<Arc<str>>,
    /// Keys, as bytes, of records that cannot be used.
    pub(super) unusable: Vec<Vec<u8>>,
    /// What the node wants noted.
    pub(super) recollection: Option<Recollection>,
}

impl Outstanding {
    /// The disk may have some of `changes`, all or none.
    pub(super) fn unsure_of(&mut self, changes: &[Change]) {
        self.unsure.extend(changes.iter().map(|change| change.key().clone()));
    }

    /// All that the next transaction writes: what is outstanding, then `changes`, and the time.
    pub(super) fn batch(&self, changes: &[Change], shadow: &Shadow, age: &Age, now: &Moment) -> Batch {
        let bytes = |record: &StoredRecord| form::encode(record, age, now);
        let unusable = self.unusable.iter().map(|key| (key.clone(), None));
        let unsure = self
            .unsure
            .iter()
            .map(|key| (key.as_bytes().to_vec(), shadow.records.get(key).map(|record| bytes(record))));
        let changed = changes.iter().map(|change| match change {
            Change::Put(record) => (record.key.as_bytes().to_vec(), Some(bytes(record))),
            Change::Remove(key) => (key.as_bytes().to_vec(), None),
        });
        let mut notes = vec![(MARK, form::seal(MARK, &age.mark(now)))];
        if let Some(Recollection { id, peers }) = &self.recollection {
            let peers: Vec<PeerForm> = peers.iter().map(|peer| (*peer.id.as_bytes(), peer.addr)).collect();
            notes.push((PEERS, form::seal(PEERS, &peers)));
            notes.extend(id.map(|id| (NODE_ID, form::seal(NODE_ID, id.as_bytes()))));
        }
        Batch { records: unusable.chain(unsure).chain(changed).collect(), notes }
    }
}
