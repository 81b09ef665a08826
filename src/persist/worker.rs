//! The thread of a store: it alone uses the disk. It groups writes, answers once they are committed, and when the disk fails it
//! opens it again, sets a damaged file aside, and writes again what is committed. `reading` has how it begins.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::disk::{Disk, Failure};
use super::measures::{self, Measures};
use super::outstanding::Outstanding;
use super::shared::{Durability, Job, RELAXED_FLUSH, Shared};
use super::times::{Age, Clock};
use crate::protocol::store::{BackendState, Change, StoreError};

/// Changes in one transaction. What waits beyond it goes into the next.
const MAX_GROUP: usize = 1_024;
/// The pause after a failed write before the disk is opened again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How often the place of the store is checked, beside each write.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often the time is noted while nothing is written: by so much may a clock that jumps mislead.
const MARK_INTERVAL: Duration = Duration::from_secs(300);
/// Signs of damage, after each of which the file is opened again, before it is set aside.
const STRIKES: u32 = 2;
/// Attempts at one write, or at opening, whatever is mended in between.
pub(super) const MAX_ATTEMPTS: u32 = 2 * STRIKES;

/// What was done about damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mended {
    /// The file is to be opened again.
    Reopen,
    /// It is out of the way: the next one is empty.
    Anew,
}

/// The thread's state.
pub(super) struct Worker {
    pub(super) disk: Disk,
    durability: Durability,
    pub(super) clock: Box<dyn Clock>,
    pub(super) age: Age,
    pub(super) shared: Arc<Shared>,
    pub(super) outstanding: Outstanding,
    /// Signs of damage since a file was last set aside.
    strikes: u32,
    /// Whether the file is to be compared with what is committed before it is written again: it showed damage.
    pub(super) suspect: bool,
    /// The last failure, and when the disk is tried again. Exactly while it is not open.
    broken: Option<(Failure, Instant)>,
    next_mark: Instant,
    /// When the place of the store is checked again.
    next_look: Instant,
    /// Whether the store was missing there. Nothing is written then, and nothing opened.
    gone: bool,
    /// When writes that did not wait for the disk are made to last.
    flush: Option<Instant>,
    measures: Measures,
}

impl Worker {
    /// A worker of a disk that is not open yet.
    pub(super) fn new(disk: Disk, durability: Durability, clock: Box<dyn Clock>, shared: Arc<Shared>) -> Self {
        let now = clock.now();
        Self {
            disk,
            durability,
            age: Age::since(None, &now),
            next_mark: now.instant + MARK_INTERVAL,
            next_look: now.instant + LOOK_INTERVAL,
            gone: false,
            clock,
            shared,
            outstanding: Outstanding::default(),
            strikes: 0,
            suspect: false,
            broken: None,
            flush: None,
            measures: Measures::default(),
        }
    }

    /// Works until the store is dropped, and then writes what is left.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let wait = self.next_wakeup().saturating_duration_since(self.now());
            match jobs.recv_timeout(wait) {
                Ok(job) => self.work(job, jobs),
                Err(RecvTimeoutError::Timeout) => self.tick(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if self.write(&[], true).is_err() {
            // There is no later: a failure that passes by itself may have passed.
            self.broken = None;
            let _ = self.write(&[], true);
        }
        self.publish();
    }

    fn now(&self) -> Instant {
        self.clock.now().instant
    }

    /// Publishes the health of the store.
    pub(super) fn publish(&mut self) {
        self.measures.publish(self.shared.health());
    }

    fn next_wakeup(&self) -> Instant {
        if self.gone { self.next_look } else { self.next_look.min(self.next_write()) }
    }

    /// When something is written without a job.
    fn next_write(&self) -> Instant {
        match &self.broken {
            Some((_, retry)) => *retry,
            None => self.flush.map_or(self.next_mark, |flush| flush.min(self.next_mark)),
        }
    }

    /// No job came for a while.
    fn tick(&mut self) {
        let now = self.now();
        let was_gone = self.gone;
        if self.next_look <= now && self.look().is_err() {
            return self.publish();
        }
        // That a store that is back works shows by a write.
        if was_gone || self.next_write() <= now {
            let _ = self.write(&[], true);
            self.publish();
        }
    }

    /// Checks whether the store is where it was opened, and reports when that has changed.
    fn look(&mut self) -> Result<(), Failure> {
        self.next_look = self.now() + LOOK_INTERVAL;
        let was_gone = std::mem::replace(&mut self.gone, !self.disk.is_in_place());
        if !self.gone {
            if was_gone {
                tracing::warn!("the folder of the store is there again: new values are accepted");
                self.broken = None;
            }
            return Ok(());
        }
        if !was_gone {
            tracing::error!(
                "the folder of the store was removed, moved or replaced: new values are refused until it is there again"
            );
        }
        self.shared.failed(BackendState::Gone);
        Err(Failure::Gone)
    }

    /// Takes `job` and all others that wait, as one group.
    fn work(&mut self, job: Job, jobs: &Receiver<Job>) {
        let (mut changes, mut waiting) = (Vec::new(), Vec::new());
        // A commit without changes is no write: it waits for those before it, or asks whether the disk answers.
        let mut writes = 0;
        let mut next = Some(job);
        while let Some(job) = next {
            match job {
                Job::Commit(more, done) => {
                    writes += usize::from(!more.is_empty());
                    changes.extend(more);
                    waiting.push(done);
                }
                Job::Remember(recollection) => self.outstanding.recollection = Some(recollection),
            }
            // A group does not wait to grow: while one is written the next one gathers.
            next = if changes.len() < MAX_GROUP { jobs.try_recv().ok() } else { None };
        }
        self.shared.taken(waiting.len());
        let overdue = self.flush.is_some_and(|flush| flush <= self.now());
        let outcome = self.write(&changes, overdue || self.durability == Durability::Durable);
        if outcome.is_ok() && writes > 0 {
            measures::group(writes);
            let health = &mut self.shared.lock().health;
            health.grouped += writes as u64;
            health.largest_group = health.largest_group.max(writes);
        }
        self.publish();
        for done in waiting {
            let failed = |failure| StoreError::Failed { doing: "writing to disk", source: Box::new(failure) };
            done(outcome.clone().map_err(failed));
        }
    }

    /// Writes a group, and mends what can be mended on the way.
    fn write(&mut self, changes: &[Change], durable: bool) -> Result<(), Failure> {
        self.look()?;
        if let Some((failure, retry)) = &self.broken
            && self.now() < *retry
        {
            return Err(failure.clone());
        }
        let mut attempts = 1;
        loop {
            let Err(failure) = self.try_write(changes, durable || !self.disk.is_open()) else { return Ok(()) };
            if let Failure::Gone = failure {
                // What was written is not found again, unless that folder comes back.
                self.outstanding.unsure_of(changes);
                return self.look().and(Err(failure));
            }
            self.close(changes);
            let mended = if attempts < MAX_ATTEMPTS { self.mend(failure) } else { Err(failure) };
            if let Err(failure) = mended {
                self.fail(&failure);
                return Err(failure);
            }
            attempts += 1;
        }
    }

    /// A handle that failed once is of no use any more, and it is not known which of `changes` the disk has.
    pub(super) fn close(&mut self, changes: &[Change]) {
        self.disk.close();
        let Outstanding { unsure, unflushed, recollection, .. } = &mut self.outstanding;
        unsure.append(unflushed);
        let mut shadow = self.shared.lock();
        recollection.get_or_insert_with(|| shadow.recollection.clone());
        shadow.health.failures += 1;
        self.outstanding.unsure_of(changes);
    }

    fn try_write(&mut self, changes: &[Change], durable: bool) -> Result<(), Failure> {
        if !self.disk.is_open() {
            self.disk.open(self.suspect)?;
            if self.suspect {
                self.compare()?;
            }
            self.shared.lock().health.reopened += 1;
        }
        self.write_once(changes, durable)?;
        if !self.disk.is_in_place() {
            return Err(Failure::Gone);
        }
        let mut shadow = self.shared.lock();
        for change in changes {
            match change {
                Change::Put(record) => drop(shadow.records.insert(record.key.clone(), record.clone())),
                Change::Remove(key) => drop(shadow.records.remove(key)),
            }
        }
        drop(shadow);
        self.written(durable);
        if !durable {
            self.outstanding.unflushed.extend(changes.iter().map(|change| change.key().clone()));
            self.flush.get_or_insert(self.now() + RELAXED_FLUSH);
        }
        Ok(())
    }

    /// Writes `changes` and what is outstanding in one transaction.
    pub(super) fn write_once(&mut self, changes: &[Change], durable: bool) -> Result<(), Failure> {
        let batch = self.outstanding.batch(changes, &self.shared.lock(), &self.age, &self.clock.now());
        self.disk.write(&batch, durable)
    }

    /// A transaction is committed.
    pub(super) fn written(&mut self, durable: bool) {
        if durable {
            self.outstanding.unflushed.clear();
            self.flush = None;
        }
        self.outstanding.unsure.clear();
        self.outstanding.unusable.clear();
        self.next_mark = self.now() + MARK_INTERVAL;
        let mut shadow = self.shared.lock();
        if let Some(recollection) = self.outstanding.recollection.take() {
            shadow.recollection = recollection;
        }
        let health = &mut shadow.health;
        health.commits += 1;
        self.shared.works();
        health.state = match (health.set_aside, health.reopened) {
            (1.., _) => BackendState::SetAside,
            (0, 1..) => BackendState::Reopened,
            (0, 0) => BackendState::Healthy,
        };
        if self.broken.take().is_some() {
            tracing::warn!("the store on disk works again");
        }
    }

    /// After `failure`: what was done so that another attempt may succeed. A damaged file is opened again and compared with
    /// what is committed, and the second time replaced.
    pub(super) fn mend(&mut self, failure: Failure) -> Result<Mended, Failure> {
        let Failure::Damaged(why) = &failure else { return Err(failure) };
        self.disk.close();
        self.strikes += 1;
        self.suspect = true;
        if self.strikes < STRIKES {
            tracing::error!(%why, "the store on disk seems damaged: opening it again");
            return Ok(Mended::Reopen);
        }
        let aside = self.disk.set_aside()?;
        self.strikes = 0;
        self.suspect = false;
        let mut shadow = self.shared.lock();
        tracing::error!(%why, %aside, records = shadow.records.len(), "the store on disk is damaged: it was set aside");
        shadow.health.set_aside += 1;
        self.outstanding.unsure = shadow.records.keys().cloned().collect();
        self.outstanding.unusable.clear();
        self.outstanding.recollection.get_or_insert_with(|| shadow.recollection.clone());
        Ok(Mended::Anew)
    }

    pub(super) fn fail(&mut self, failure: &Failure) {
        if self.broken.is_none() {
            tracing::error!(%failure, "the store on disk cannot be written: new values are refused until it can");
        }
        self.shared.failed(if failure.is_full() { BackendState::Full } else { BackendState::Failing });
        self.broken = Some((failure.clone(), self.now() + RETRY_PAUSE));
    }
}
