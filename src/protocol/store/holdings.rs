//! The records themselves and every order in which they are looked up. It knows no rules: the code that changes a record
//! takes it out and puts it back, so that no order can be forgotten.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::by_key::ByKey;
use super::key_order::KeyOrder;
use super::order::{Order, Timeline};
use super::outcome::{ClassCount, Refusal};
use super::quota::{Claim, Quota, Reservation};
use super::record::{Class, Record};
use super::slots::Slot;
use crate::protocol::config::Config;
use crate::protocol::id::Distance;

/// All records of a node.
///
/// Invariant: the key of each record is in `keys`, and the record is in the `by_expiry` of its kind, in the `due` of its kind
/// exactly if it has a `due_at`, and charged to `quota` as it is, which offers it for eviction unless it is locked.
#[derive(Debug)]
pub(super) struct Holdings {
    timeline: Timeline,
    /// A hash is quicker than an order of strings in memory all over the place. What the orders rank by is changed only by taking the
    /// record out and putting it back.
    records: ByKey<Record>,
    /// Their keys in order, for lists.
    keys: KeyOrder,
    /// Other copies, then publications: one whose time has run out stays, and must not stand before what has ended.
    by_expiry: [Order; 2],
    /// Other copies, then publications, which must not stand behind what remote hosts store here.
    due: [Order; 2],
    /// Keys about which writes in flight decide.
    locked: HashSet<Arc<str>>,
    quota: Quota,
    /// What is held of each [`Class`].
    counts: [ClassCount; 3],
}

impl Holdings {
    /// Nothing yet. Times are ranked by what lies between them and `now`.
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        let timeline = Timeline { epoch: now };
        Self {
            timeline,
            records: ByKey::default(),
            keys: KeyOrder::default(),
            by_expiry: Default::default(),
            due: Default::default(),
            locked: HashSet::new(),
            quota: Quota::new(config, timeline),
            counts: Default::default(),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Record> {
        self.records.get(key)
    }

    /// Where the record of `key` is, as long as it is held.
    pub(super) fn find(&self, key: &str) -> Option<Slot> {
        self.records.find(key)
    }

    pub(super) fn at(&self, slot: Slot) -> Option<&Record> {
        self.records.at(slot)
    }

    /// The full copies at these distances from this node, both included: those whose places begin with the same bits. They are in no
    /// particular order.
    pub(super) fn within(&self, nearest: Distance, farthest: Distance) -> impl Iterator<Item = &Record> {
        let records = self.quota.within(nearest, farthest).filter_map(|slot| self.at(slot));
        records.filter(move |record| (nearest..=farthest).contains(&record.distance))
    }

    /// The full copies of keys at this distance: one, unless two keys have one place.
    pub(super) fn at_place(&self, distance: Distance) -> impl Iterator<Item = &Record> {
        self.within(distance, distance)
    }

    /// The full copies at least so far from this node, and perhaps some that are nearly so, that give way to no other, its own
    /// publications among them: in the order of their distances, as far as their first 64 bits differ.
    pub(super) fn fixed_from(&self, nearest: Distance) -> impl Iterator<Item = &Record> {
        self.quota.fixed_from(nearest).filter_map(|slot| self.at(slot))
    }

    /// Takes a record out of everything.
    pub(super) fn take(&mut self, key: &str) -> Option<Record> {
        let (slot, record) = self.records.remove(key)?;
        self.unlist(slot, &record);
        self.keys.remove(record.stored.key.clone());
        Some(record)
    }

    /// Puts a record in, in the place of any with its key.
    pub(super) fn put(&mut self, record: Record) {
        let (slot, before) = self.records.insert(record);
        if let Some(before) = &before {
            self.unlist(slot, before);
        }
        let record = self.records.at(slot).expect("it was put there");
        let Record { stored, due_at, .. } = record;
        let published = usize::from(record.is_published());
        self.by_expiry[published].insert(self.timeline.rank(stored.expires_at), slot);
        if let Some(at) = *due_at {
            self.due[published].insert(self.timeline.rank(at), slot);
        }
        if self.locked.is_empty() || !self.locked.contains(&stored.key) {
            self.quota.charge(slot, record);
        } else {
            self.quota.count(slot, record);
        }
        self.counts[stored.class as usize].add(&record.amount());
        if before.is_none() {
            self.keys.add(stored.key.clone());
        }
    }

    /// Takes `record` out of all orders but that of the keys, and counts it no more.
    fn unlist(&mut self, slot: Slot, record: &Record) {
        let Record { stored, due_at, .. } = record;
        let published = usize::from(record.is_published());
        // What stayed in an order would name whichever record is given the slot next.
        let mut listed = self.by_expiry[published].remove(self.timeline.rank(stored.expires_at), slot);
        if let Some(at) = *due_at {
            listed &= self.due[published].remove(self.timeline.rank(at), slot);
        }
        debug_assert!(listed, "a record is in its orders");
        self.quota.discharge(slot, record);
        self.counts[stored.class as usize].subtract(&record.amount());
    }

    /// Changes when a record is due, and nothing else.
    pub(super) fn reschedule(&mut self, key: &str, at: Instant) {
        let Some(slot) = self.records.find(key) else { return };
        let Some(record) = self.records.at_mut(slot) else { return };
        let before = record.due_at.replace(at);
        let due = &mut self.due[usize::from(record.is_published())];
        if let Some(before) = before {
            due.remove(self.timeline.rank(before), slot);
        }
        due.insert(self.timeline.rank(at), slot);
    }

    /// From now on it is unknown when anything was published.
    pub(super) fn undate(&mut self) {
        let dated = self.records.values_mut().filter(|record| record.stored.dated);
        dated.for_each(|record| record.stored_mut().dated = false);
    }

    /// All publications are due at `now`, if they were not before.
    pub(super) fn let_publications_be_due(&mut self, now: Instant) {
        let from = self.timeline.rank(now);
        let later =
            self.due[1].from(from).filter_map(|(_, slot)| self.at(slot)).map(|record| record.stored.key.clone());
        let later: Vec<Arc<str>> = later.collect();
        later.iter().for_each(|key| self.reschedule(key, now));
    }

    /// Takes out the records that have ended, but for those of which a write in flight decides. Our own publications do not end
    /// by themselves.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Record> {
        let until = self.timeline.rank(now);
        let ended = self.by_expiry[0].iter().take_while(|(rank, _)| *rank <= until);
        let ended = ended.filter_map(|(_, slot)| self.at(slot)).filter(|record| record.is_expired(now));
        let ended = ended.map(|record| &record.stored.key);
        let ended: Vec<_> = ended.filter(|key| !self.locked.contains(*key)).cloned().collect();
        ended.iter().filter_map(|key| self.take(key)).collect()
    }

    /// When the first publication is due, or the first copy held for others.
    pub(super) fn first_due(&self, published: bool) -> Option<Instant> {
        self.due[usize::from(published)].first().and_then(|slot| self.at(slot)).and_then(|record| record.due_at)
    }

    /// How many publications, or copies held for others, were due before `before`: at most `limit` are counted.
    pub(super) fn count_due_before(&self, published: bool, before: Instant, limit: usize) -> usize {
        let before = self.timeline.rank(before);
        self.due[usize::from(published)].iter().take_while(|(rank, _)| *rank < before).take(limit).count()
    }

    /// The publications, or the copies held for others, that are due at `now` or were before, the longest overdue first.
    pub(super) fn due_until(&self, published: bool, now: Instant) -> impl Iterator<Item = &Record> {
        let until = self.timeline.rank(now);
        let due = self.due[usize::from(published)].iter().take_while(move |(rank, _)| *rank <= until);
        due.filter_map(|(_, slot)| self.at(slot))
    }

    /// Finds room for `claim` in the place of what is held under `key`: which records are to give way. Nothing is changed.
    ///
    /// # Errors
    /// Where no eviction would help.
    pub(super) fn make_room(&mut self, key: &str, claim: &Claim) -> Result<Vec<Arc<str>>, Refusal> {
        let Self { records, quota, .. } = self;
        let held = |slot| (slot, records.at(slot).expect("what is counted is held"));
        // As if the write had succeeded.
        let mut leaving: Vec<(Slot, &Record)> = records.find(key).map(held).into_iter().collect();
        leaving.iter().for_each(|(slot, record)| quota.discharge(*slot, record));
        let own = leaving.len();
        let found = loop {
            match quota.victim(claim) {
                Ok(Some(slot)) => {
                    let victim = held(slot);
                    quota.discharge(slot, victim.1);
                    leaving.push(victim);
                }
                Ok(None) => break Ok(()),
                Err(refusal) => break Err(refusal),
            }
        };
        leaving.iter().for_each(|(slot, record)| quota.charge(*slot, record));
        found?;
        Ok(leaving[own..].iter().map(|(_, record)| record.stored.key.clone()).collect())
    }

    /// Reserves what `claim` takes up in the place of what is held under `key` and of what is `evicted` for it.
    pub(super) fn reserve(&mut self, key: &str, evicted: &[Arc<str>], claim: &Claim) -> Reservation {
        let Self { records, quota, .. } = self;
        let keys = std::iter::once(key).chain(evicted.iter().map(|key| &**key));
        let leaving: Vec<&Record> = keys.filter_map(|key| records.get(key)).collect();
        quota.reserve(claim, &leaving)
    }

    /// A write in flight decides about `key` from now on, whether anything is held under it or not: it does not end and gives
    /// way to no other until [`Holdings::unlock`].
    pub(super) fn lock(&mut self, key: &Arc<str>) {
        self.locked.insert(key.clone());
        if let Some(slot) = self.records.find(key)
            && let Some(record) = self.records.at(slot)
        {
            self.quota.withdraw(slot, record);
        }
    }

    /// The write that decided about `key` has ended.
    pub(super) fn unlock(&mut self, key: &str) {
        self.locked.remove(key);
        if let Some(slot) = self.records.find(key)
            && let Some(record) = self.records.at(slot)
        {
            self.quota.offer(slot, record);
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
        self.counts[class as usize]
    }

    pub(super) fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Recounts everything and compares.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self, config: &Config) {
        use std::collections::BTreeSet;

        let (mut listed, keys) =
            (self.keys.clone(), self.records().map(|record| &record.stored.key).collect::<BTreeSet<_>>());
        assert!(listed.range("").eq(keys));
        let mut fresh = Holdings::new(config, self.timeline.epoch);
        fresh.locked = self.locked.clone();
        for record in self.records.values() {
            fresh.put(record.clone());
        }
        let orders = |holdings: &Holdings| {
            let key = |slot| holdings.at(slot).expect("what is in an order is held").stored.key.clone();
            let named = |order: &Order| order.iter().map(|(rank, slot)| (rank, key(slot))).collect::<BTreeSet<_>>();
            let of_evictions = if self.locked.is_empty() { holdings.quota.orders(key) } else { String::new() };
            (holdings.by_expiry.each_ref().map(named), holdings.due.each_ref().map(named), of_evictions)
        };
        assert_eq!(orders(&fresh), orders(self));
        assert_eq!(fresh.counts, self.counts);
    }

    /// All records, those that end last first.
    pub(super) fn by_life(&self) -> impl Iterator<Item = &Record> {
        let [mut theirs, mut ours] = self.by_expiry.each_ref().map(|order| order.iter().rev().peekable());
        let last = move || if ours.peek() > theirs.peek() { ours.next() } else { theirs.next() };
        std::iter::from_fn(last).filter_map(|(_, slot)| self.at(slot))
    }

    /// The records from this key on, in the order of their keys.
    pub(super) fn by_key(&mut self, from: &str) -> impl Iterator<Item = &Record> {
        let Self { records, keys, .. } = self;
        keys.range(from).filter_map(|key| records.get(key))
    }

    #[cfg(test)]
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }
}
