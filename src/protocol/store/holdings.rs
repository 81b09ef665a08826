//! The records themselves and every order in which they are looked up. It knows no rules: whoever changes a record
//! takes it out and puts it back, so that no order can be forgotten.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::outcome::{ClassCount, Refusal};
use super::quota::{Claim, Quota};
use super::record::{Class, Record};
use crate::protocol::config::Config;

/// All records of a node.
///
/// Invariant: each record is in the `by_expiry` of its kind, in the `due` of its kind exactly if it has a `due_at`, and charged
/// to `quota` as it is.
#[derive(Debug)]
pub(super) struct Holdings {
    records: HashMap<Arc<str>, Record>,
    /// A publication whose time has run out stays, and must not stand before what has ended.
    published_by_expiry: BTreeSet<(Instant, Arc<str>)>,
    by_expiry: BTreeSet<(Instant, Arc<str>)>,
    /// Publications wait in a row of their own: they must not stand behind whatever strangers have us hold.
    due_published: BTreeSet<(Instant, Arc<str>)>,
    due_held: BTreeSet<(Instant, Arc<str>)>,
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
        self.count(record.stored.class).subtract(record.bytes());
        Some(record)
    }

    /// Puts a record in, in the place of any with its key.
    pub(super) fn put(&mut self, record: Record) {
        self.take(&record.stored.key.clone());
        self.expiry(record.is_published()).insert((record.stored.expires_at, record.stored.key.clone()));
        if let Some(at) = record.due_at {
            self.due(record.is_published()).insert((at, record.stored.key.clone()));
        }
        self.quota.charge(&record);
        self.count(record.stored.class).add(record.bytes());
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

    /// The same, by somebody else's doing: it is remembered until the record has been due.
    pub(super) fn put_off(&mut self, key: &str, at: Instant) {
        self.reschedule(key, at);
        if let Some(record) = self.records.get_mut(key) {
            record.put_off = true;
        }
    }

    /// Takes out the record that ended first, if one has. Our own publications do not end by themselves.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<Record> {
        let key = self.by_expiry.first().filter(|(at, _)| *at <= now).map(|(_, key)| key.clone())?;
        self.take(&key)
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
        for record in self.records.values() {
            fresh.put(record.clone());
        }
        assert_eq!((&fresh.published_by_expiry, &fresh.by_expiry), (&self.published_by_expiry, &self.by_expiry));
        assert_eq!((&fresh.due_published, &fresh.due_held), (&self.due_published, &self.due_held));
        assert_eq!(format!("{:?}", fresh.quota.orders()), format!("{:?}", self.quota.orders()));
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
