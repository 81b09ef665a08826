//! The records themselves and every order in which they are looked up. It knows no rules: whoever changes a record
//! takes it out and puts it back, so that no order can be forgotten.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::outcome::{ClassCount, Refusal};
use super::quota::{Claim, Quota, Reservation};
use super::record::{Class, Record};
use crate::protocol::config::Config;

/// All records of a node.
///
/// Invariant: each record is in the `by_expiry` of its kind, in the `due` of its kind exactly if it has a `due_at`, and charged
/// to `quota` as it is, which offers it for eviction unless it is locked.
#[derive(Debug)]
pub(super) struct Holdings {
    records: HashMap<Arc<str>, Record>,
    /// A publication whose time has run out stays, and must not stand before what has ended.
    published_by_expiry: BTreeSet<(Instant, Arc<str>)>,
    by_expiry: BTreeSet<(Instant, Arc<str>)>,
    /// Publications wait in a row of their own: they must not stand behind whatever strangers have us hold.
    due_published: BTreeSet<(Instant, Arc<str>)>,
    due_held: BTreeSet<(Instant, Arc<str>)>,
    /// Keys about which writes in flight decide.
    locked: HashSet<Arc<str>>,
    quota: Quota,
    published: ClassCount,
    held: ClassCount,
    cached: ClassCount,
}

impl Holdings {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            records: HashMap::new(),
            published_by_expiry: BTreeSet::new(),
            by_expiry: BTreeSet::new(),
            due_published: BTreeSet::new(),
            due_held: BTreeSet::new(),
            locked: HashSet::new(),
            quota: Quota::new(config),
            published: ClassCount::default(),
            held: ClassCount::default(),
            cached: ClassCount::default(),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Record> {
        self.records.get(key)
    }

    /// Takes a record out of everything.
    pub(super) fn take(&mut self, key: &str) -> Option<Record> {
        let record = self.records.remove(key)?;
        self.expiry(record.is_published()).remove(&(record.stored.expires_at, record.stored.key.clone()));
        if let Some(at) = record.due_at {
            self.due(record.is_published()).remove(&(at, record.stored.key.clone()));
        }
        self.quota.discharge(&record);
        let bytes = record.bytes();
        self.count(record.stored.class).subtract(&ClassCount { values: 1, bytes });
        Some(record)
    }

    /// Puts a record in, in the place of any with its key.
    pub(super) fn put(&mut self, record: Record) {
        self.take(&record.stored.key.clone());
        self.expiry(record.is_published()).insert((record.stored.expires_at, record.stored.key.clone()));
        if let Some(at) = record.due_at {
            self.due(record.is_published()).insert((at, record.stored.key.clone()));
        }
        self.quota.count(&record);
        if !self.locked.contains(&record.stored.key) {
            self.quota.offer(&record);
        }
        self.count(record.stored.class).add(&ClassCount { values: 1, bytes: record.bytes() });
        self.records.insert(record.stored.key.clone(), record);
    }

    /// Changes when a record is due, and nothing else.
    pub(super) fn reschedule(&mut self, key: &str, at: Instant) {
        let Some(record) = self.records.get_mut(key) else { return };
        record.put_off = false;
        let (before, key, published) = (record.due_at.replace(at), record.stored.key.clone(), record.is_published());
        let due = self.due(published);
        if let Some(before) = before {
            due.remove(&(before, key.clone()));
        }
        due.insert((at, key));
    }

    /// Nobody knows any more just when anything was published.
    pub(super) fn undate(&mut self) {
        self.records.values_mut().for_each(|record| record.stored.dated = false);
    }

    /// Takes out the records that have ended, but for those of which a write in flight decides. Our own publications do not end
    /// by themselves.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Record> {
        let ended = self.by_expiry.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| key);
        let ended: Vec<_> = ended.filter(|key| !self.locked.contains(*key)).cloned().collect();
        ended.iter().filter_map(|key| self.take(key)).collect()
    }

    /// The publication that is due first, or the copy held for others, and when.
    pub(super) fn first_due(&self, published: bool) -> Option<&(Instant, Arc<str>)> {
        if published { self.due_published.first() } else { self.due_held.first() }
    }

    /// How many publications were due before `before`.
    pub(super) fn published_due_before(&self, before: Instant) -> usize {
        self.due_published.iter().take_while(|(at, _)| *at < before).count()
    }

    fn expiry(&mut self, published: bool) -> &mut BTreeSet<(Instant, Arc<str>)> {
        if published { &mut self.published_by_expiry } else { &mut self.by_expiry }
    }

    fn due(&mut self, published: bool) -> &mut BTreeSet<(Instant, Arc<str>)> {
        if published { &mut self.due_published } else { &mut self.due_held }
    }

    /// See [`Quota::victim`].
    pub(super) fn victim(&self, claim: &Claim) -> Result<Option<Arc<str>>, Refusal> {
        self.quota.victim(claim).map(|key| key.cloned())
    }

    /// Finds room for `claim` in the place of what is held under `key`, and reserves it: which records give way once that is
    /// committed. Nothing gives way before.
    ///
    /// # Errors
    /// Where no eviction would help; nothing is reserved then.
    pub(super) fn reserve(&mut self, key: &str, claim: &Claim) -> Result<(Vec<Arc<str>>, Reservation), Refusal> {
        let Self { records, quota, .. } = self;
        // As if the write had succeeded.
        let mut leaving: Vec<&Record> = records.get(key).into_iter().collect();
        leaving.iter().for_each(|record| quota.discharge(record));
        let own = leaving.len();
        let found = loop {
            match quota.victim(claim) {
                Ok(Some(victim)) => {
                    let victim = records.get(victim).expect("the quota counts what is held");
                    quota.discharge(victim);
                    leaving.push(victim);
                }
                Ok(None) => break Ok(()),
                Err(refusal) => break Err(refusal),
            }
        };
        leaving.iter().for_each(|record| quota.charge(record));
        found?;
        let reservation = quota.reserve(claim, &leaving);
        Ok((leaving[own..].iter().map(|record| record.stored.key.clone()).collect(), reservation))
    }

    /// A write in flight decides about `key` from now on, whether anything is held under it or not: it does not end and gives
    /// way to no other until [`Holdings::unlock`].
    pub(super) fn lock(&mut self, key: &Arc<str>) {
        self.locked.insert(key.clone());
        if let Some(record) = self.records.get(key) {
            self.quota.withdraw(record);
        }
    }

    /// The write that decided about `key` has ended.
    pub(super) fn unlock(&mut self, key: &str) {
        self.locked.remove(key);
        if let Some(record) = self.records.get(key) {
            self.quota.offer(record);
        }
    }

    /// Whether a write in flight decides about `key`.
    pub(super) fn is_locked(&self, key: &str) -> bool {
        self.locked.contains(key)
    }

    /// See [`Quota::free`].
    pub(super) fn free(&mut self, reservation: Reservation) {
        self.quota.free(reservation);
    }

    pub(super) fn of_class(&self, class: Class) -> ClassCount {
        match class {
            Class::Published => self.published,
            Class::Held => self.held,
            Class::Cached => self.cached,
        }
    }

    pub(super) fn quota(&self) -> &Quota {
        &self.quota
    }

    fn count(&mut self, class: Class) -> &mut ClassCount {
        match class {
            Class::Published => &mut self.published,
            Class::Held => &mut self.held,
            Class::Cached => &mut self.cached,
        }
    }

    /// Recounts everything and compares.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self, config: &Config) {
        let mut fresh = Holdings::new(config);
        fresh.locked = self.locked.clone();
        for record in self.records.values() {
            fresh.put(record.clone());
        }
        assert_eq!((&fresh.published_by_expiry, &fresh.by_expiry), (&self.published_by_expiry, &self.by_expiry));
        assert_eq!((&fresh.due_published, &fresh.due_held), (&self.due_published, &self.due_held));
        if self.locked.is_empty() {
            assert_eq!(format!("{:?}", fresh.quota.orders()), format!("{:?}", self.quota.orders()));
        }
        assert_eq!((fresh.published, fresh.held, fresh.cached), (self.published, self.held, self.cached));
    }

    /// All records, those that end last first.
    pub(super) fn by_life(&self) -> impl Iterator<Item = &Record> {
        let (mut ours, mut theirs) =
            (self.published_by_expiry.iter().rev().peekable(), self.by_expiry.iter().rev().peekable());
        let last = move || if ours.peek() > theirs.peek() { ours.next() } else { theirs.next() };
        std::iter::from_fn(last).filter_map(|(_, key)| self.records.get(key))
    }

    #[cfg(test)]
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }
}
