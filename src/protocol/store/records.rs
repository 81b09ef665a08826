//! The records of a node: what is published, held and cached, what is due when, and what time changes. Writes are planned and
//! applied in `plan.rs`, what a store has kept is taken in by `loading.rs`. It sends nothing and keeps nothing on a disk.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backend::Change;
use super::holdings::Holdings;
use super::outcome::{DueCopy, DueCount, FullCopy, MAX_COUNTED, StoreSnapshot, StoredCopy, ToCompare};
use super::record::{Class, Record, StoredRecord, Writer};
use super::slots::Slot;

use crate::protocol::config::{Config, PublisherConflict};
use crate::protocol::entropy::Entropy;
use crate::protocol::id::{Distance, NodeId};
use crate::protocol::value::Value;

/// By what part the times of restores and republications are spread.
const JITTER: f64 = 0.1;
/// When a republication that no peer took is tried again.
const RETRY_DELAY: Duration = Duration::from_secs(60);
/// One that peers refused waits longer: for this part of the time since it was last published.
const REFUSED_PART: u32 = 8;

/// All records of a node, and the rules by which they change.
#[derive(Debug)]
pub struct Records {
    pub(super) own: NodeId,
    pub(super) config: Config,
    pub(super) holdings: Holdings,
    /// Keys whose records time has changed since [`Records::take_changed`]. A store may hold nothing of them.
    pub(super) changed: BTreeSet<Arc<str>>,
    /// How often the dates of all records have become unknown.
    pub(super) undated: u64,
    /// The version given last.
    pub(super) version: u64,
    /// The events only; what is held is filled in when the counts are read.
    pub(super) counts: StoreSnapshot,
}

/// A value that takes its place under a key.
pub(super) struct Arrival {
    pub(super) key: Arc<str>,
    pub(super) value: Arc<Value>,
    pub(super) class: Class,
    pub(super) writer: Writer,
    pub(super) life: Duration,
    /// See [`StoredRecord`]: when it was published at the latest, and whether just then.
    pub(super) published: (Instant, bool),
    /// When it is to be republished or restored.
    pub(super) due_at: Option<Instant>,
    /// What it takes the place of.
    pub(super) before: Option<Slot>,
}

impl Records {
    /// Nothing held at `now`, at a node with the id `own`.
    pub fn new(own: NodeId, config: &Config, now: Instant) -> Self {
        let (config, holdings) = (config.clone(), Holdings::new(config, now));
        Self {
            own,
            config,
            holdings,
            changed: BTreeSet::new(),
            undated: 0,
            version: 0,
            counts: StoreSnapshot::default(),
        }
    }

    // What is held.

    /// The copy of `key`, if one is held that has not ended.
    pub fn get(&self, key: &str, now: Instant) -> Option<StoredCopy> {
        let record = self.holdings.get(key).filter(|record| !record.is_expired(now))?;
        let StoredRecord { value, class, expires_at, .. } = &*record.stored;
        Some(StoredCopy {
            value: value.clone(),
            class: *class,
            ttl_left: expires_at.saturating_duration_since(now),
            expires_at: *expires_at,
            age: record.age(now).filter(|_| record.is_full()),
        })
    }

    /// The full copies that have not ended, those that end last first.
    pub fn full_copies(&self, now: Instant) -> impl Iterator<Item = FullCopy<'_>> {
        let live = self.holdings.by_life().take_while(move |record| !record.is_expired(now));
        live.filter(|record| record.is_full()).map(|record| FullCopy {
            key: &record.stored.key,
            id: self.place(record),
            published: record.is_published(),
            bytes: record.bytes(),
            placed_at: record.placed_at,
        })
    }

    /// The full copy of `key`, as `check_store` tells of it, and whether it counts as held: not where it is [about to
    /// end](Config::nearly_expired). A cached copy is none. A publication that gives way to no other has no age, so that no peer
    /// brings it a later one in vain.
    pub fn has(&self, key: &str, now: Instant) -> (bool, Option<StoredCopy>) {
        let stands = self.holdings.get(key).is_some_and(|record| self.stands(record));
        let copy = self.get(key, now).filter(|copy| copy.class != Class::Cached);
        let copy = copy.map(|copy| StoredCopy { age: copy.age.filter(|_| !stands), ..copy });
        let lasts = copy.as_ref().is_some_and(|copy| copy.ttl_left > self.config.nearly_expired());
        (lasts, copy)
    }

    /// What is to be compared before it is published or restored as `version`: `None` if that is no longer current, or gives way to
    /// no other value.
    pub fn to_compare(&self, key: &str, version: u64, now: Instant) -> Option<ToCompare> {
        let record = self.holdings.get(key).filter(|record| record.is_full() && record.stored.version == version)?;
        let lapsed = record.is_published() && record.is_expired(now);
        let goes_on = lapsed || !record.is_expired(now) && !self.stands(record);
        let (value, age) = (record.stored.value.clone(), record.age_at_least(now));
        goes_on.then_some(ToCompare { value, age, lapsed })
    }

    /// The place of the key of `record`.
    pub(super) fn place(&self, record: &Record) -> NodeId {
        self.own.xor(&NodeId::from_bytes(*record.distance.as_bytes()))
    }

    /// Whether it is a publication of ours that gives way to no other value.
    pub(super) fn stands(&self, record: &Record) -> bool {
        let holds_on = self.config.values.publisher_conflict == PublisherConflict::Hold;
        record.is_published() && (holds_on || record.stored.pinned)
    }

    /// Whether a full copy of `key` is held, even one that has ended and was not dropped yet.
    pub fn is_held(&self, key: &str) -> bool {
        self.holdings.get(key).is_some_and(Record::is_full)
    }

    /// Whether this node publishes `key`. A publication whose time has run out is one all the same: it is not served, since others
    /// may have set the key without notice, and begins anew when its turn comes.
    pub fn is_published(&self, key: &str) -> bool {
        self.published_version(key).is_some()
    }

    /// The version of the publication of `key`.
    pub fn published_version(&self, key: &str) -> Option<u64> {
        self.holdings.get(key).filter(|record| record.is_published()).map(|record| record.stored.version)
    }

    /// Whether our publication of `key` is [pinned](super::Write::Pin).
    pub fn is_pinned(&self, key: &str) -> bool {
        self.holdings.get(key).is_some_and(Record::is_pinned)
    }

    /// Whether what was due as `version` is still to be sent: not set anew, superseded, released, replaced or gone.
    /// To be asked after the lookup, so that an old value is never written back.
    pub fn still_current(&self, key: &str, version: u64) -> bool {
        self.holdings.get(key).is_some_and(|record| record.is_full() && record.stored.version == version)
    }

    /// What is held now, and what happened since the start. What waits is the [backlog](Records::backlog).
    pub fn snapshot(&self) -> StoreSnapshot {
        let (remote_limit, cached_limit) = self.holdings.quota().limits();
        StoreSnapshot {
            published: self.holdings.of_class(Class::Published),
            held: self.holdings.of_class(Class::Held),
            cached: self.holdings.of_class(Class::Cached),
            remote: self.holdings.quota().total(),
            remote_limit,
            cached_limit,
            republications: DueCount::default(),
            restores: DueCount::default(),
            sources: self.holdings.quota().sources(),
            ..self.counts
        }
    }

    // What time brings.

    /// Our republication of `version` is over: our own copy lives for the full expiry again, since its publisher lives, and is a
    /// later publication if others have `stored` it. One that has lapsed goes on only then, since it was not even compared with what
    /// others hold. Late or repeated calls are harmless. `false` if that publication has ended.
    pub fn renewed(&mut self, key: &str, version: u64, stored: bool, now: Instant) -> bool {
        if self.published_version(key) != Some(version) || !stored && self.has_lapsed(key, now) {
            return false;
        }
        self.prolong(key, now + self.config.values.key_expiry, stored.then_some(now));
        self.changed.insert(key.into());
        true
    }

    /// Whether the time of our publication of `key` has run out.
    pub fn has_lapsed(&self, key: &str, now: Instant) -> bool {
        self.holdings.get(key).is_some_and(|record| record.is_published() && record.is_expired(now))
    }

    /// Lets our publication of `key` begin anew if its time has run out, as a `set` would: it is served from now on, and is to be
    /// placed at once. A store learns of it with [`Records::renewed`]: if the node goes before, it is due at once again.
    pub fn resume(&mut self, key: &str, now: Instant) {
        if self.has_lapsed(key, now) {
            self.prolong(key, now + self.config.values.key_expiry, None);
        }
    }

    /// Our republication of `version` has not come to its places: it is due again soon, not only after a full interval. If most
    /// `refused` it, as where they are full, it waits longer the longer that lasts.
    pub fn retry(&mut self, key: &str, version: u64, refused: bool, now: Instant, entropy: &mut dyn Entropy) {
        let Some(record) = self.holdings.get(key).filter(|record| record.is_published()) else { return };
        if record.stored.version == version {
            let patience = if refused { record.age_at_least(now) / REFUSED_PART } else { Duration::ZERO };
            let delay = RETRY_DELAY.max(patience).min(self.config.effective_republish_interval());
            self.holdings.reschedule(key, now + entropy.jitter(delay, JITTER));
        }
    }

    /// Drops the copies that have ended, and says how many. Our own publications do not end by that.
    pub fn expire(&mut self, now: Instant) -> usize {
        let ended = self.holdings.take_expired(now);
        let swept = ended.len();
        ended.into_iter().for_each(|record| self.gone(record));
        self.counts.expired += swept as u64;
        swept
    }

    /// When the next value is due.
    #[cfg(test)]
    pub fn next_due(&self) -> Option<Instant> {
        let due = |published| self.holdings.first_due(published);
        due(true).into_iter().chain(due(false)).min()
    }

    /// What waits for its turn to be published again, and to be restored.
    pub fn backlog(&self, now: Instant) -> (DueCount, DueCount) {
        let values = &self.config.values;
        let count = |published, interval| {
            let before =
                |at: Option<Instant>| at.map_or(0, |at| self.holdings.count_due_before(published, at, MAX_COUNTED));
            let slack = values.key_expiry.saturating_sub(interval) / 2;
            DueCount { due: before(Some(now)), overdue: before(now.checked_sub(slack)) }
        };
        (count(true, self.config.effective_republish_interval()), count(false, values.restore_interval))
    }

    /// The copies held for others that are due to be restored, at most `limit`, the longest overdue first. They stay due until
    /// [`Records::restore_again`].
    pub fn due_copies(&self, now: Instant, limit: usize) -> Vec<DueCopy> {
        let due = self.holdings.due_until(false, now).take(limit);
        let due = due.map(|record| DueCopy {
            key: record.stored.key.clone(),
            place: self.place(record),
            version: record.stored.version,
            bytes: record.bytes(),
        });
        due.collect()
    }

    /// The copy of `key` is due again after `stretch` intervals, varied by a tenth.
    pub fn restore_again(&mut self, key: &str, stretch: f64, now: Instant, entropy: &mut dyn Entropy) {
        let delay = entropy.jitter(self.config.values.restore_interval.mul_f64(stretch), JITTER);
        self.holdings.reschedule(key, now + delay);
    }

    /// How many full copies are held.
    pub fn full_count(&self) -> usize {
        self.holdings.of_class(Class::Published).values + self.holdings.of_class(Class::Held).values
    }

    /// Whether [`Records::take_changed`] has any.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The keys whose records time has changed since the last call: a renewal, an expiry. That holds at once; a store is to be
    /// given [`Records::change_of`] each until it has it.
    pub fn take_changed(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.changed)
    }

    /// What a store is to hold under `key`: not to be given to it while the key is [in flight](Records::is_in_flight).
    pub fn change_of(&self, key: Arc<str>) -> Change {
        match self.holdings.get(&key).filter(|record| record.is_full()) {
            Some(record) => Change::Put(record.stored.clone()),
            None => Change::Remove(key),
        }
    }

    /// The clock has stood still: all that is held is older than it seems. The copies of our publications may have ended meanwhile, so
    /// all are due.
    pub fn undate(&mut self, now: Instant) {
        self.undated += 1;
        self.holdings.undate();
        self.holdings.let_publications_be_due(now);
    }

    // What all of these share.

    /// The record of a value that takes its place at `now`, under a new version, with the distance of its key from this node.
    /// `source`: the remote host in whose quota it counts.
    pub(super) fn record_of(
        &mut self,
        arrival: Arrival,
        distance: Distance,
        source: Option<SocketAddr>,
        now: Instant,
    ) -> Record {
        self.version += 1;
        let Arrival { key, value, class, writer, life, published: (published_at, dated), due_at, before } = arrival;
        let before = before.and_then(|slot| self.holdings.at(slot));
        let stored = StoredRecord {
            class,
            pinned: class == Class::Published && before.is_some_and(Record::is_pinned),
            version: self.version,
            writer,
            source,
            stored_at: now,
            expires_at: now + life,
            published_at,
            dated,
            replaced: before.map_or_else(Vec::new, |before| before.replaced_by(&value)),
            key,
            value,
        };
        let placed_at = (class != Class::Published).then_some(now);
        Record { due_at, placed_at, ..Record::at(distance, stored) }
    }

    /// Where the record of `key` is. One that has ended is dropped first, but for publications of ours, which do not end by themselves,
    /// and for one of which a write in flight decides.
    pub(super) fn find_live(&mut self, key: &str, now: Instant) -> Option<Slot> {
        let slot = self.holdings.find(key)?;
        let record = self.holdings.at(slot)?;
        if record.is_published() || !record.is_expired(now) || self.holdings.is_locked(key) {
            return Some(slot);
        }
        let record = self.holdings.take(key)?;
        self.gone(record);
        self.counts.expired += 1;
        None
    }

    /// Our publication lives until then, if not longer; it was published again at `published_at`, if that is known.
    fn prolong(&mut self, key: &str, expires_at: Instant, published_at: Option<Instant>) {
        if let Some(mut record) = self.holdings.take(key) {
            let stored = record.stored_mut();
            stored.expires_at = stored.expires_at.max(expires_at);
            if let Some(at) = published_at {
                record.date(at, true);
                record.placed_at = Some(at);
            }
            record.placed_at.get_or_insert(record.stored.stored_at);
            self.holdings.put(record);
        }
    }

    pub(super) fn gone(&mut self, record: Record) {
        if record.is_full() {
            self.changed.insert(record.stored.key.clone());
        }
    }

    pub(super) fn restore_delay(&self, entropy: &mut dyn Entropy) -> Duration {
        entropy.jitter(self.config.values.restore_interval, JITTER)
    }

    /// Never more than the interval, so that two rounds fall within one expiry: one that reaches no peer loses nothing.
    pub(super) fn republish_delay(&self, entropy: &mut dyn Entropy) -> Duration {
        entropy.jitter(self.config.effective_republish_interval().mul_f64(1.0 - JITTER), JITTER)
    }
}

#[cfg(test)]
mod tests;
