//! The thread of a store: it alone touches the disk. It groups writes, answers once they are committed, and when the disk
//! fails it opens it again, sets a damaged file aside, and writes down anew what it knows. How it begins is told in `reading`.

mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::disk::{Batch, Disk, Failure};
use super::form::{self, PeerForm};
use super::measures::{self, Measures};
use super::store::{Durability, RELAXED_FLUSH};
use super::times::{Age, Clock};
use crate::protocol::store::{BackendHealth, BackendState, Change, Committed, Recollection, StoreError, StoredRecord};

/// Changes in one transaction. What waits beyond it goes into the next.
const MAX_GROUP: usize = 1_024;
/// The pause after a failed write before the disk is opened again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether the store is still where it was opened, beside each write.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often the time is noted while nothing is written: by so much may a clock that jumps mislead.
const MARK_INTERVAL: Duration = Duration::from_secs(300);
/// Signs of damage, after each of which the file is opened again, before it is set aside.
const STRIKES: u32 = 2;
/// Tries of one write, or of opening, whatever is mended in between.
const MAX_ATTEMPTS: u32 = 2 * STRIKES;

const MARK: &[u8] = b"mark";
const NODE_ID: &[u8] = b"node id";
const PEERS: &[u8] = b"peers";

/// What the thread is told.
pub(super) enum Job {
    /// Commit these changes, and say so.
    Commit(Vec<Change>, Committed),
    /// Note this.
    Remember(Recollection),
}

/// What is committed, as the node reads it: without waiting for a disk. Values are shared with the node's, not copied. It is
/// also what a damaged file is replaced from.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    pub(super) records: BTreeMap<Arc<str>, StoredRecord>,
    pub(super) recollection: Recollection,
    pub(super) health: BackendHealth,
}

/// What the thread and the store share.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Between>);

#[derive(Debug, Default)]
struct Between {
    shadow: Mutex<Shadow>,
    /// Commits that the thread was told of and has not taken up.
    waiting: AtomicUsize,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Shadow> {
        // Nothing panics between two changes that belong together.
        self.0.shadow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread is about to be told this.
    pub(super) fn queue(&self, job: &Job) {
        if matches!(job, Job::Commit(..)) {
            self.0.waiting.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn taken(&self, commits: usize) {
        self.0.waiting.fetch_sub(commits, Ordering::Relaxed);
    }

    /// The thread is no more: nothing is written again, and nobody waits for it.
    pub(super) fn died(&self) {
        self.0.waiting.store(0, Ordering::Relaxed);
        let health = &mut self.lock().health;
        health.failing = true;
        health.state = BackendState::Failing;
    }

    pub(super) fn health(&self) -> BackendHealth {
        BackendHealth { waiting: self.0.waiting.load(Ordering::Relaxed), ..self.lock().health }
    }
}

/// What was done about damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mended {
    /// The file is to be opened again.
    Reopen,
    /// It is out of the way: the next one is empty.
    Anew,
}

/// The thread's state.
pub(super) struct Worker {
    disk: Disk,
    durability: Durability,
    clock: Box<dyn Clock>,
    age: Age,
    shared: Shared,
    /// Keys of which the disk may hold something else than it should: they go with the next write.
    unsure: BTreeSet<Arc<str>>,
    /// Keys written without waiting for the disk since that last happened.
    unflushed: BTreeSet<Arc<str>>,
    /// Keys as bytes under which something unusable stands.
    unusable: Vec<Vec<u8>>,
    /// What the node wants noted.
    recollection: Option<Recollection>,
    /// Signs of damage since a file was last set aside.
    strikes: u32,
    /// Whether the file is to be compared with what is known before it is written again: it showed damage.
    suspect: bool,
    /// The last failure, and when the disk is tried again. Exactly while it is not open.
    broken: Option<(Failure, Instant)>,
    next_mark: Instant,
    /// When it is looked again whether the store is in its place.
    next_look: Instant,
    /// Whether it was not when that was last looked at. Nothing is written then, and nothing opened.
    gone: bool,
    /// When what was written without waiting for the disk is made to last.
    flush: Option<Instant>,
    measures: Measures,
}

impl Worker {
    /// Works until the store is dropped, and then makes sure of all that was said.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let wait = self.next_wakeup().saturating_duration_since(self.clock.now().instant);
            match jobs.recv_timeout(wait) {
                Ok(job) => self.work(job, jobs),
                Err(RecvTimeoutError::Timeout) => self.tick(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if self.write(&[], true).is_err() {
            // There is no later: whatever passes by itself may have passed.
            self.broken = None;
            let _ = self.write(&[], true);
        }
        self.publish();
    }

    /// Tells whoever measures how it fares.
    fn publish(&mut self) {
        self.measures.publish(self.shared.health());
    }

    fn next_wakeup(&self) -> Instant {
        if self.gone { self.next_look } else { self.next_look.min(self.next_write()) }
    }

    /// When something is written though nothing comes.
    fn next_write(&self) -> Instant {
        match &self.broken {
            Some((_, retry)) => *retry,
            None => self.flush.map_or(self.next_mark, |flush| flush.min(self.next_mark)),
        }
    }

    /// Nothing came for a while.
    fn tick(&mut self) {
        let now = self.clock.now().instant;
        let was_gone = self.gone;
        if self.next_look <= now && self.look().is_err() {
            return self.publish();
        }
        // What is back shows by a write that it works.
        if was_gone || self.next_write() <= now {
            let _ = self.write(&[], true);
            self.publish();
        }
    }

    /// Looks whether the store is where it was opened, and tells of it when that has changed.
    fn look(&mut self) -> Result<(), Failure> {
        self.next_look = self.clock.now().instant + LOOK_INTERVAL;
        let was_gone = std::mem::replace(&mut self.gone, !self.disk.is_in_place());
        match (was_gone, self.gone) {
            (false, false) => return Ok(()),
            (true, false) => {
                tracing::warn!("the folder of the store is there again: new values are taken");
                self.broken = None;
                return Ok(());
            }
            (false, true) => {
                tracing::error!(
                    "the folder of the store was removed, moved or replaced: new values are refused until it is there again"
                );
            }
            (true, true) => {}
        }
        let health = &mut self.shared.lock().health;
        health.failing = true;
        health.state = BackendState::Gone;
        Err(Failure::Gone)
    }

    /// Takes `job` and whatever else waits, as one group.
    fn work(&mut self, job: Job, jobs: &Receiver<Job>) {
        let (mut changes, mut waiting) = (Vec::new(), Vec::new());
        // A commit without changes is none: it waits for those before it, or asks whether the disk answers.
        let mut writes = 0;
        let mut next = Some(job);
        while let Some(job) = next {
            match job {
                Job::Commit(more, done) => {
                    writes += usize::from(!more.is_empty());
                    changes.extend(more);
                    waiting.push(done);
                }
                Job::Remember(recollection) => self.recollection = Some(recollection),
            }
            // A group does not wait to grow: while one is written the next one gathers.
            next = if changes.len() < MAX_GROUP { jobs.try_recv().ok() } else { None };
        }
        self.shared.taken(waiting.len());
        let overdue = self.flush.is_some_and(|flush| flush <= self.clock.now().instant);
        let outcome = self.write(&changes, overdue || self.durability == Durability::Durable);
        if outcome.is_ok() && writes > 0 {
            measures::group(writes);
            let health = &mut self.shared.lock().health;
            health.grouped += writes as u64;
            health.largest_group = health.largest_group.max(writes);
        }
        self.publish();
        for done in waiting {
            done(
                outcome
                    .clone()
                    .map_err(|failure| StoreError::Failed { doing: "writing to disk", source: Box::new(failure) }),
            );
        }
    }

    /// Writes a group, and mends what can be mended on the way.
    fn write(&mut self, changes: &[Change], durable: bool) -> Result<(), Failure> {
        self.look()?;
        if let Some((failure, retry)) = &self.broken
            && self.clock.now().instant < *retry
        {
            return Err(failure.clone());
        }
        let mut attempts = 1;
        loop {
            let Err(failure) = self.try_write(changes, durable || !self.disk.is_open()) else { return Ok(()) };
            if let Failure::Gone = failure {
                // What was written is not found again, unless that folder comes back.
                self.unsure.extend(changes.iter().map(|change| change.key().clone()));
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

    /// A handle that failed once is of no use any more, and it is not known which of `changes` are there.
    fn close(&mut self, changes: &[Change]) {
        self.disk.close();
        self.unsure.extend(changes.iter().map(|change| change.key().clone()));
        self.unsure.append(&mut self.unflushed);
        let mut shadow = self.shared.lock();
        shadow.health.failures += 1;
        self.recollection.get_or_insert_with(|| shadow.recollection.clone());
    }

    fn try_write(&mut self, changes: &[Change], durable: bool) -> Result<(), Failure> {
        if !self.disk.is_open() {
            self.disk.open(self.suspect)?;
            if self.suspect {
                self.compare()?;
            }
            self.shared.lock().health.reopened += 1;
        }
        let batch = self.batch(changes);
        self.disk.write(&batch, durable)?;
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
            self.unflushed.extend(changes.iter().map(|change| change.key().clone()));
            self.flush.get_or_insert(self.clock.now().instant + RELAXED_FLUSH);
        }
        Ok(())
    }

    /// All that the next transaction writes: what is not sure to be there, then `changes`, and what is noted.
    fn batch(&self, changes: &[Change]) -> Batch {
        let now = self.clock.now();
        let bytes = |record: &StoredRecord| form::encode(record, &self.age, &now);
        let shadow = self.shared.lock();
        let mut batch = Batch::default();
        batch.records.extend(self.unusable.iter().map(|key| (key.clone(), None)));
        for key in &self.unsure {
            batch.records.push((key.as_bytes().to_vec(), shadow.records.get(key).map(bytes)));
        }
        for change in changes {
            let record = match change {
                Change::Put(record) => Some(bytes(record)),
                Change::Remove(_) => None,
            };
            batch.records.push((change.key().as_bytes().to_vec(), record));
        }
        batch.notes.push((MARK, form::seal(MARK, &self.age.mark(&now))));
        if let Some(Recollection { id, peers }) = &self.recollection {
            let peers: Vec<PeerForm> = peers.iter().map(|peer| (*peer.id.as_bytes(), peer.addr)).collect();
            batch.notes.push((PEERS, form::seal(PEERS, &peers)));
            batch.notes.extend(id.map(|id| (NODE_ID, form::seal(NODE_ID, id.as_bytes()))));
        }
        batch
    }

    /// A transaction is committed.
    fn written(&mut self, durable: bool) {
        if durable {
            self.unflushed.clear();
            self.flush = None;
        }
        self.unsure.clear();
        self.unusable.clear();
        self.next_mark = self.clock.now().instant + MARK_INTERVAL;
        let mut shadow = self.shared.lock();
        if let Some(recollection) = self.recollection.take() {
            shadow.recollection = recollection;
        }
        let health = &mut shadow.health;
        health.commits += 1;
        health.failing = false;
        health.state = match (health.set_aside, health.reopened) {
            (1.., _) => BackendState::SetAside,
            (0, 1..) => BackendState::Reopened,
            (0, 0) => BackendState::Healthy,
        };
        if self.broken.take().is_some() {
            tracing::warn!("the store on disk works again");
        }
    }

    /// After `failure`: what was done so that another try may succeed. A damaged file is opened again and compared with what
    /// is known, and the second time replaced.
    fn mend(&mut self, failure: Failure) -> Result<Mended, Failure> {
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
        self.unsure = shadow.records.keys().cloned().collect();
        self.unusable.clear();
        self.recollection.get_or_insert_with(|| shadow.recollection.clone());
        Ok(Mended::Anew)
    }

    fn fail(&mut self, failure: &Failure) {
        if self.broken.is_none() {
            tracing::error!(%failure, "the store on disk cannot be written: new values are refused until it can");
        }
        let health = &mut self.shared.lock().health;
        health.failing = true;
        health.state = if failure.is_full() { BackendState::Full } else { BackendState::Failing };
        self.broken = Some((failure.clone(), self.clock.now().instant + RETRY_PAUSE));
    }
}
