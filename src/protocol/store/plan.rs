//! From a write to its plan, and from a plan to what is held: what this node itself does with its publications, and how every plan
//! ends. What peers write is decided in `writes.rs`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backend::Change;
use super::outcome::{Refusal, WriteOutcome};
use super::quota::{Claim, Reservation};
use super::record::{Class, Record, StoredRecord, Writer};
use super::records::{Arrival, Records};
use super::rules::RemoteWrite;
use crate::protocol::entropy::Entropy;
use crate::protocol::id::NodeId;
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

/// What a write changes once it is committed, decided against what is committed already. While it is
/// [held](Records::hold) no other write of its keys is planned, until [`Records::apply`] or [`Records::abandon`] ends it.
#[derive(Debug)]
#[must_use = "the keys of one that is held take no other write until it is applied or abandoned"]
pub struct Plan {
    pub(super) key: Arc<str>,
    pub(super) edit: Edit,
    /// Whether a store is to commit the edit.
    pub(super) lasting: bool,
    /// The keys whose copies give way.
    pub(super) evicted: Vec<Arc<str>>,
    /// What its copy takes up, if a stranger brought it.
    pub(super) claim: Option<Claim>,
    /// What is reserved of that while it is held.
    pub(super) reserved: Option<Reservation>,
    /// Whether it is [held](Records::hold).
    pub(super) held: bool,
    pub(super) outcome: WriteOutcome,
    /// See [`Plan::take_changes`].
    pub(super) changes: Vec<Change>,
    /// What a store holds after it, where that is another record than before.
    pub(super) stored: Option<Arc<StoredRecord>>,
    /// How often the dates of all records had become unknown when it was made.
    pub(super) undated: u64,
}

impl Plan {
    /// A plan that makes this of `key`, which no other copy gives way for.
    pub(super) fn new(key: &Arc<str>, edit: Edit, outcome: WriteOutcome) -> Self {
        let lasting = outcome != WriteOutcome::Unchanged;
        Self {
            key: key.clone(),
            edit,
            lasting,
            evicted: Vec::new(),
            claim: None,
            reserved: None,
            held: false,
            outcome,
            changes: Vec::new(),
            stored: None,
            undated: 0,
        }
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

    /// That key and those whose copies give way.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        std::iter::once(&self.key).chain(&self.evicted)
    }
}

/// What becomes of the record under a key.
#[derive(Debug)]
pub(super) enum Edit {
    /// This one takes its place.
    Put(Record),
    /// It is removed.
    Remove,
    /// It is pinned, or no longer.
    Pin(bool),
    /// It is a publication of this node no more, and held under this version until it ends: `key_expiry` after it was last published.
    Release { version: u64, key_expiry: Duration },
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
}

impl Edit {
    /// What is held after it, where `before` was held. `stored` is what a store has of that, if nothing else has changed it since.
    pub(super) fn apply(self, before: Option<Record>, stored: Option<Arc<StoredRecord>>) -> Option<Record> {
        match self {
            Self::Put(record) => Some(record),
            Self::Remove => None,
            edit => before.map(|mut record| {
                match stored {
                    Some(stored) => record.stored = stored,
                    None => edit.change(&mut record),
                }
                if let Self::Release { .. } = edit {
                    record.place_no_more();
                }
                record
            }),
        }
    }

    /// What a store holds after it, where `before` is held.
    pub(super) fn stored<'a>(&self, before: impl FnOnce() -> Option<&'a Record>) -> Option<Arc<StoredRecord>> {
        match self {
            Self::Put(record) => Some(record.stored.clone()),
            Self::Remove => None,
            edit => before().cloned().map(|mut record| {
                edit.change(&mut record);
                record.stored
            }),
        }
    }

    fn change(&self, record: &mut Record) {
        match self {
            Self::Put(_) | Self::Remove => {}
            Self::Pin(pinned) => record.stored_mut().pinned = *pinned,
            Self::Release { version, key_expiry } => record.release(*version, *key_expiry),
            Self::Renew(Renewal { expires_at, published, writer }) => {
                if let Some(at) = expires_at.filter(|at| *at > record.stored.expires_at) {
                    record.stored_mut().expires_at = at;
                }
                if let Some(writer) = writer {
                    record.stored_mut().writer = *writer;
                }
                if let Some((at, dated)) = published {
                    record.date(*at, *dated);
                }
            }
        }
    }
}

impl Records {
    /// As [`Records::propose`], and [holds](Records::hold) the plan.
    ///
    /// # Errors
    /// [`Refusal`]. Nothing was changed.
    pub fn plan(&mut self, write: Write, now: Instant, entropy: &mut dyn Entropy) -> Result<Plan, Refusal> {
        let mut plan = self.propose(write, now, entropy)?;
        self.hold(&mut plan);
        Ok(plan)
    }

    /// Decides what `write` changes, against what is committed, and changes nothing of it. The plan is to be applied or dropped
    /// before any other write is planned or time changes anything; if that cannot be, it is to be [held](Records::hold) at once. No
    /// write may be planned while its key is [in flight](Records::is_in_flight): it waits until that has ended.
    ///
    /// # Errors
    /// [`Refusal`]. Nothing was changed.
    pub fn propose(&mut self, write: Write, now: Instant, entropy: &mut dyn Entropy) -> Result<Plan, Refusal> {
        debug_assert!(!self.is_in_flight(write.key()), "one write of a key at a time");
        let planned = match write {
            Write::Publish { key, value } => Ok(self.plan_publication(key, value, now, entropy)),
            Write::Set(write) => self.plan_set(write, now, entropy),
            Write::Adopt(write) => self.plan_adoption(write, now, entropy),
            Write::Cache(write) => self.plan_cached(write, now),
            Write::Pin(key) => Ok(self.plan_pin(key, true)),
            Write::Unpin(key) => Ok(self.plan_pin(key, false)),
            Write::Release(key) => Ok(self.plan_release(key)),
        };
        let mut plan = planned.inspect_err(|refusal| self.counts.refused.count(*refusal))?;
        if plan.lasting {
            let record = plan.edit.stored(|| self.holdings.get(&plan.key));
            plan.stored = record.clone();
            plan.changes.push(record.map_or_else(|| Change::Remove(plan.key.clone()), Change::Put));
            let full = |key: &&Arc<str>| self.is_held(key);
            plan.changes.extend(plan.evicted.iter().filter(full).cloned().map(Change::Remove));
        }
        plan.undated = self.undated;
        Ok(plan)
    }

    /// The plan is not applied at once: from now on its keys are in flight, and room for it is reserved, until it ends.
    pub fn hold(&mut self, plan: &mut Plan) {
        plan.reserved = plan.claim.map(|claim| self.holdings.reserve(&plan.key, &plan.evicted, &claim));
        plan.keys().for_each(|key| self.holdings.lock(key));
        plan.held = true;
    }

    /// The changes of `plan` are committed, or there were none: they take effect, with what it evicts.
    pub fn apply(&mut self, plan: Plan) -> WriteOutcome {
        let Plan { key, edit, lasting, evicted, reserved, held, outcome, stored, undated, .. } = plan;
        reserved.into_iter().for_each(|reserved| self.holdings.free(reserved));
        for key in &evicted {
            self.counts.evicted += u64::from(self.holdings.take(key).is_some());
        }
        // What is put takes the place of another by itself.
        let before = if held || !matches!(edit, Edit::Put(_)) { self.holdings.take(&key) } else { None };
        if held {
            std::iter::once(&key).chain(&evicted).for_each(|key| self.holdings.unlock(key));
        }
        // The answer does not wait until a later date of the same copy is committed: it is saved with what time changes.
        let redated = !lasting && matches!(&edit, Edit::Renew(Renewal { published: Some(_), .. }));
        // While it was held, time may have changed what it was decided against.
        if let Some(mut record) = edit.apply(before, stored.filter(|_| !held)) {
            if redated && record.is_full() {
                self.changed.insert(key);
            }
            // The clock may have stood still meanwhile.
            if undated != self.undated {
                record.stored_mut().dated = false;
            }
            self.holdings.put(record);
        }
        outcome
    }

    /// The changes of `plan` could not be committed: all stays as it was.
    pub fn abandon(&mut self, plan: Plan) {
        if plan.held {
            plan.keys().for_each(|key| self.holdings.unlock(key));
        }
        plan.reserved.into_iter().for_each(|reserved| self.holdings.free(reserved));
    }

    /// Whether a plan that is held decides about `key`.
    pub fn is_in_flight(&self, key: &str) -> bool {
        self.holdings.is_locked(key)
    }

    fn plan_publication(&mut self, key: Arc<str>, value: Arc<Value>, now: Instant, entropy: &mut dyn Entropy) -> Plan {
        let before = self.find_live(&key, now);
        let (class, writer, life) = (Class::Published, Writer::Own, self.config.values.key_expiry);
        let due_at = Some(now + self.republish_delay(entropy));
        let arrival = Arrival { key: key.clone(), value, class, writer, life, published: (now, true), due_at, before };
        let distance = self.own.distance(&NodeId::of_key(&key));
        let record = self.record_of(arrival, distance, None, now);
        let outcome = WriteOutcome::Published { version: record.stored.version };
        Plan::new(&key, Edit::Put(record), outcome)
    }

    fn plan_pin(&self, key: Arc<str>, pin: bool) -> Plan {
        let was_pinned = self.is_pinned(&key);
        match pin {
            true if self.is_published(&key) => Plan::new(&key, Edit::Pin(true), WriteOutcome::Pinned { was_pinned }),
            false if was_pinned => Plan::new(&key, Edit::Pin(false), WriteOutcome::Unpinned),
            _ => Plan::unchanged(&key),
        }
    }

    fn plan_release(&mut self, key: Arc<str>) -> Plan {
        if !self.is_published(&key) {
            return Plan::unchanged(&key);
        }
        self.version += 1;
        let edit = Edit::Release { version: self.version, key_expiry: self.config.values.key_expiry };
        Plan::new(&key, edit, WriteOutcome::Released)
    }
}
