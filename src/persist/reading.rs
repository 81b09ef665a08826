//! How the thread of a store begins: it reads what is there without a change, and only then opens it for writing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disk::{Disk, Failure};
use super::form::{self, Damage, PeerForm};
use super::outstanding::{MARK, NODE_ID, PEERS};
use super::shared::{Durability, Shared};
use super::times::{Age, Clock, Mark};
use super::worker::{MAX_ATTEMPTS, Mended, Worker};
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;
use crate::protocol::store::{Recollection, StoredRecord};

impl Worker {
    /// Opens the disk and reads it. What is damaged is dropped and counted, or set aside with the file. What a later
    /// version wrote is left as it is. Where there is no room, it is read and not open yet.
    pub(super) fn open(
        disk: Disk,
        durability: Durability,
        clock: Box<dyn Clock>,
        shared: Arc<Shared>,
    ) -> Result<Self, Failure> {
        let mut worker = Self::new(disk, durability, clock, shared);
        let mut mended = None;
        for _ in 0..MAX_ATTEMPTS {
            let Err(failure) = worker.try_open(mended == Some(Mended::Anew)) else {
                worker.publish();
                return Ok(worker);
            };
            match worker.mend(failure) {
                Ok(how) => mended = Some(how),
                // As when it becomes full later: what was read is served, and new values are refused until there is room.
                Err(failure) if failure.is_full() => {
                    worker.close(&[]);
                    worker.fail(&failure);
                    worker.publish();
                    return Ok(worker);
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Damaged("not even an empty one can be stored here".to_owned()))
    }

    /// Reads what the disk holds, unless it is new, and opens it.
    fn try_open(&mut self, new: bool) -> Result<(), Failure> {
        if !new && self.disk.view()? {
            self.read()?;
        }
        self.disk.open(false)?;
        // It also shows that the disk can be written.
        self.write_once(&[], true)?;
        self.written(true);
        self.suspect = false;
        Ok(())
    }

    /// Reads all there is.
    fn read(&mut self) -> Result<(), Failure> {
        let now = self.clock.now();
        let mark: Option<Mark> = self.read_note(MARK)?;
        let id: Option<[u8; 20]> = self.read_note(NODE_ID)?;
        let peers: Option<Vec<PeerForm>> = self.read_note(PEERS)?;
        let mut earlier_notes = false;
        for name in [NODE_ID, PEERS] {
            earlier_notes |= self.disk.note(name)?.is_some_and(|note| form::is_earlier(&note));
        }
        self.age = Age::since(mark.as_ref(), &now);
        let age = mark.is_some().then_some(&self.age);
        self.outstanding.unusable.clear();
        let (mut damaged, mut first, mut later) = (0, None::<Damage>, None);
        let mut earlier = BTreeSet::new();
        let (shared, unusable) = (&self.shared, &mut self.outstanding.unusable);
        let read = self.disk.records(|key, bytes| match form::decode(key, bytes, age, &now) {
            Ok(record) => {
                if form::is_earlier(bytes) {
                    earlier.insert(record.key.clone());
                }
                shared.lock().records.insert(record.key.clone(), Arc::new(record));
            }
            Err(Damage::Later(form)) => later = Some(form),
            Err(why) => {
                damaged += 1;
                first.get_or_insert(why);
                unusable.push(key.to_vec());
            }
        });
        if let Some(form) = later {
            return Err(Failure::Later(form));
        }
        let mut shadow = self.shared.lock();
        shadow.recollection = Recollection {
            id: id.map(NodeId::from_bytes).or(shadow.recollection.id),
            peers: peers.into_iter().flatten().map(|(id, addr)| Peer::new(NodeId::from_bytes(id), addr)).collect(),
        };
        shadow.health.damaged = damaged;
        if let Some(why) = first {
            tracing::error!(records = damaged, %why, "damaged records were dropped from the store");
        }
        if mark.is_none() {
            // Their times count from an age that is lost.
            self.outstanding.unsure = shadow.records.keys().cloned().collect();
        }
        if !earlier.is_empty() || earlier_notes {
            tracing::info!(records = earlier.len(), "the store is of an earlier form: it is written anew");
            self.outstanding.unsure.append(&mut earlier);
            self.outstanding.recollection.get_or_insert_with(|| shadow.recollection.clone());
        }
        read
    }

    fn read_note<T: for<'a> serde::Deserialize<'a>>(&self, name: &[u8]) -> Result<Option<T>, Failure> {
        let Some(bytes) = self.disk.note(name)? else { return Ok(None) };
        match form::unseal(name, &bytes) {
            Ok(note) => Ok(Some(note)),
            Err(Damage::Later(form)) => Err(Failure::Later(form)),
            Err(why) => {
                let name = String::from_utf8_lossy(name);
                tracing::error!(%name, %why, "a damaged note was dropped from the store");
                Ok(None)
            }
        }
    }

    /// After a sign of damage in a file that is open again: the next write replaces what the file does not hold as it should.
    /// All that is acknowledged is in memory, and would be lost with the process.
    pub(super) fn compare(&mut self) -> Result<(), Failure> {
        let now = self.clock.now();
        let mut missing: BTreeSet<Arc<str>> = self.shared.lock().records.keys().cloned().collect();
        let mut unknown = Vec::new();
        let (shared, age) = (&self.shared, &self.age);
        self.disk.records(|key, bytes| {
            // One at a time: the node must not wait while the file is read.
            let known = std::str::from_utf8(key).ok().and_then(|key| shared.lock().records.get(key).cloned());
            match (known, form::decode(key, bytes, Some(age), &now)) {
                (Some(known), Ok(found)) if is_as_known(&found, &known) => drop(missing.remove(&known.key)),
                (Some(_), _) => {}
                (None, _) => unknown.push(key.to_vec()),
            }
        })?;
        let (lost, left_over) = (missing.len(), unknown.len());
        tracing::warn!(missing = lost, unknown = left_over, "the store on disk was compared with what is committed");
        self.outstanding.unsure.append(&mut missing);
        self.outstanding.unusable = unknown;
        self.suspect = false;
        Ok(())
    }
}

/// Whether `found` is what was written for `known`. Times are stored in milliseconds, and the date of a publication is not stored.
fn is_as_known(found: &StoredRecord, known: &StoredRecord) -> bool {
    let near = |a: Instant, b: Instant| a.max(b) - a.min(b) < Duration::from_secs(1);
    let StoredRecord { stored_at, expires_at, published_at, dated, .. } = *known;
    near(found.stored_at, stored_at)
        && near(found.expires_at, expires_at)
        && near(found.published_at, published_at)
        && *known == StoredRecord { stored_at, expires_at, published_at, dated, ..found.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::times::Moment;
    use crate::protocol::store::contract;

    /// What is read 3 ms after `known` was written, which takes a fraction of a millisecond from its times.
    fn read_again(known: &StoredRecord, written: Instant) -> StoredRecord {
        let moment = |after| Moment { instant: written + after, wall_ms: 0, boot: None };
        let now = moment(Duration::from_micros(500));
        let age = Age::since(None, &now);
        let bytes = form::encode(known, &age, &now);
        form::decode(known.key.as_bytes(), &bytes, Some(&age), &moment(Duration::from_micros(3_700))).unwrap()
    }

    #[test]
    fn a_record_on_disk_is_as_known_whether_or_not_its_publication_is_dated() {
        let now = Instant::now();
        for dated in [false, true] {
            let known = StoredRecord { dated, ..contract::record("key", "value", 1, now) };
            assert!(is_as_known(&read_again(&known, now), &known), "dated: {dated}");
        }
    }

    #[test]
    fn a_record_that_was_published_at_another_time_is_not_as_known() {
        let now = Instant::now();
        let known = contract::record("key", "value", 1, now);
        let found = read_again(&known, now);
        for later in [
            StoredRecord { published_at: now + Duration::from_secs(60), ..known.clone() },
            StoredRecord { version: 2, ..known.clone() },
            contract::record("key", "other", 1, now),
        ] {
            assert!(!is_as_known(&found, &later));
        }
    }
}
