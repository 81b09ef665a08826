//! Lookups: it starts them, joins equal ones, bounds how many run, remembers the peers that answered, and hands each result to the
//! requests that wait for it. It starts audits and placements as well. What a result means is the caller's business.

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::{Context, Supervised};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::lookup::{RecentPeers, Tally};
use kademlia_dynamic::protocol::store::StoredCopy;
use tokio::sync::oneshot;

use super::clock::{self, Alarmed, timed_actor};
use super::counters::Counter;
use super::events::{Event, EventKind};
use super::handling::Receive;
use super::messages::{
    AfterSets, CountLookups, LaunchLookup, LookupCounts, LookupFinished, LookupKey, LookupOutcome, LookupResult,
    NoLookup, PlaceValue, Priority, PublishValue, SeedLookup, SetValue, StartAudit, StartLookup,
};
use super::operations::audit::Audit;
use super::operations::lookup::Lookup;
use super::operations::place::Place;
use super::operations::runner::Runner;
use super::outcome::Error;
use super::queue::Queue;
use super::shared::{GRACE, Shared};

/// The actor that starts lookups, audits and placements.
pub struct Lookups {
    shared: Rc<Shared>,
    /// Lookups under way and those that wait in the queue.
    jobs: BTreeMap<LookupKey, Job>,
    queue: Queue,
    /// When the lookups under way count as lost, in the order of their start.
    deadlines: VecDeque<(Instant, LookupKey, u64)>,
    started: u64,
    /// The peers that answered lookups lately.
    recent: RecentPeers,
}

struct Job {
    /// What waits for the result; `None`: nothing does, and it is wanted all the same.
    replies: Vec<Option<oneshot::Sender<LookupOutcome>>>,
    /// The audits that go on at the places found.
    audits: Vec<StartAudit>,
    own_vote: Option<StoredCopy>,
    /// Which start of a lookup this is; 0 while it waits in the queue.
    start: u64,
    /// As what it waits or runs.
    priority: Priority,
}

impl Job {
    /// Whether the result is still waited for.
    fn is_wanted(&self) -> bool {
        let is_open = |reply: &Option<oneshot::Sender<_>>| reply.as_ref().is_none_or(|reply| !reply.is_closed());
        self.replies.iter().any(is_open) || self.audits.iter().any(StartAudit::is_wanted)
    }
}

/// The lookup of the places of `key`.
fn places_of(key: &str) -> LookupKey {
    LookupKey::Nodes(NodeId::of_key(key))
}

impl Lookups {
    pub(crate) fn new(shared: &Rc<Shared>) -> Self {
        Self {
            shared: shared.clone(),
            jobs: BTreeMap::new(),
            queue: Queue::new(shared.config.lookup.max_lookups, shared.config.lookup.max_waiting_lookups),
            deadlines: VecDeque::new(),
            started: 0,
            recent: RecentPeers::new(&shared.config),
        }
    }

    /// The lookup of `key`: an equal one that runs or waits, or a new one in the queue, which
    /// [`start_next`](Self::start_next) begins.
    fn job(&mut self, key: LookupKey, priority: Priority) -> Result<&mut Job, NoLookup> {
        match self.jobs.entry(key) {
            // Without a bound, since it is applications that ask for the same at once, each a caller that waits. Nothing that a
            // stranger sends starts a lookup; what it stored is restored by our own schedule, once an interval.
            Entry::Occupied(job) => {
                if job.get().start == 0 && priority == Priority::Foreground {
                    self.queue.raise(job.key());
                }
                Ok(job.into_mut())
            }
            Entry::Vacant(job) if self.queue.push(job.key().clone(), priority) => {
                Ok(job.insert(Job { replies: Vec::new(), audits: Vec::new(), own_vote: None, start: 0, priority }))
            }
            Entry::Vacant(_) => {
                self.shared.counters.count(Counter::LookupRefused);
                let limits = &self.shared.config.lookup;
                Err(NoLookup::Refused { limit: limits.max_lookups + limits.max_waiting_lookups })
            }
        }
    }

    /// Starts those that may begin now.
    fn start_next(&mut self, now: Instant) {
        while let Some((key, priority)) = self.queue.next() {
            let Some(job) = self.jobs.get_mut(&key) else { continue };
            // The callers may have gone while it waited: then no peer is asked in vain.
            if !job.is_wanted() {
                self.jobs.remove(&key);
                continue;
            }
            self.started += 1;
            self.queue.began(priority);
            (job.priority, job.start) = (priority, self.started);
            self.deadlines.push_back((
                now + self.shared.config.lookup.lookup_deadline + GRACE,
                key.clone(),
                self.started,
            ));
            self.shared.counters.count(Counter::Lookups);
            self.shared.handles.table.seed(SeedLookup(key));
        }
    }

    /// Ends a lookup: each request gets the result, or an error if there is none.
    fn finish(&mut self, key: &LookupKey, result: Option<LookupResult>, now: Instant) {
        // A lookup that counted as lost may still end, when its key is free again or waits in the queue.
        if self.jobs.get(key).is_none_or(|job| job.start == 0) {
            return;
        }
        let Some(job) = self.jobs.remove(key) else { return };
        if self.jobs.is_empty() {
            // An empty map has memory for eleven jobs.
            self.jobs = BTreeMap::new();
        }
        self.queue.ended(job.priority);
        let outcome = result.map(Arc::new).ok_or(NoLookup::Broken);
        if let Ok(result) = &outcome {
            self.recent.learn(&result.trace, now);
            self.shared.events.emit(EventKind::LookupEnded, || {
                let (Tally { asked, answered, .. }, found) = (result.trace.tally(), result.value.is_some());
                Event::LookupEnded { target: key.target(), asked, answered, found }
            });
        }
        for reply in job.replies.into_iter().flatten() {
            // The caller may have gone.
            let _ = reply.send(outcome.clone());
        }
        self.audit(job.audits, &outcome);
        self.start_next(now);
    }

    /// Audits the key of `audits` at the places that are found. Audits that have come before that are one.
    fn audit(&self, mut audits: Vec<StartAudit>, places: &LookupOutcome) {
        audits.retain(StartAudit::is_wanted);
        let Some(StartAudit { key, .. }) = audits.first() else { return };
        let heard = || places.as_ref().map_err(|why| Error::from(*why)).and_then(|found| found.heard().map(|()| found));
        if let Ok(found) = heard() {
            return Runner::run(Audit::new(&self.shared.config, key.clone(), audits, found), &self.shared);
        }
        for audit in audits {
            if let Err(error) = heard() {
                // The caller may have gone.
                let _ = audit.answer.send(Err(error));
            }
        }
    }
}

timed_actor!(Lookups);

impl Supervised for Lookups {
    fn restarting(&mut self, _: &mut Self::Context) {
        // Operations that still run end by themselves; the callers see their answers dropped.
        self.jobs.clear();
        self.queue.clear();
        self.deadlines.clear();
        self.recent = RecentPeers::new(&self.shared.config);
    }
}

impl Alarmed for Lookups {
    fn next_alarm(&self) -> Option<Instant> {
        self.deadlines.front().map(|(at, ..)| *at)
    }

    fn alarm(&mut self, now: Instant, _: &mut Self::Context) {
        while self.deadlines.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, key, start)) = self.deadlines.pop_front() else { break };
            if self.jobs.get(&key).is_some_and(|job| job.start == start) {
                tracing::warn!(target = %key.target(), "a lookup was lost");
                self.finish(&key, None, now);
            }
        }
    }
}

impl Receive<StartLookup> for Lookups {
    fn receive(&mut self, StartLookup { key, priority, own_vote, reply }: StartLookup, _: &mut Self::Context) {
        match self.job(key, priority) {
            Ok(job) => {
                job.replies.push(reply);
                job.own_vote = job.own_vote.take().or(own_vote);
                self.start_next(clock::now());
            }
            // The caller may have gone.
            Err(why) => drop(reply.map(|reply| reply.send(Err(why)))),
        }
    }
}

impl Receive<SetValue> for Lookups {
    fn receive(&mut self, SetValue { key, value, enough, answer }: SetValue, _: &mut Self::Context) {
        let (places, found) = oneshot::channel();
        match self.job(places_of(&key), Priority::Foreground) {
            Ok(job) => job.replies.push(Some(places)),
            // The caller may have gone.
            Err(why) => return drop(answer.send(Err(why.into()))),
        }
        let (placing, committed) = oneshot::channel();
        let place = Place::new(&self.shared, key.clone(), committed, found).answering_at(enough);
        self.shared.handles.store.publish(PublishValue { key, value, answer, placing });
        Runner::run(place, &self.shared);
        self.start_next(clock::now());
    }
}

impl Receive<AfterSets> for Lookups {
    fn receive(&mut self, request: AfterSets, _: &mut Self::Context) {
        match request {
            AfterSets::Release(release) => self.shared.handles.store.release(release),
            AfterSets::Pin(pin) => self.shared.handles.store.pin(pin),
            AfterSets::Unpin(unpin) => self.shared.handles.store.unpin(unpin),
        }
    }
}

impl Receive<LaunchLookup> for Lookups {
    fn receive(&mut self, launch: LaunchLookup, _: &mut Self::Context) {
        // It may count as lost by now.
        if let Some(job) = self.jobs.get_mut(&launch.key).filter(|job| job.start > 0) {
            let own_vote = job.own_vote.take();
            let recent = self.recent.nearest(&launch.key.target(), self.shared.config.lookup.k, clock::now());
            Runner::run(Lookup::new(&self.shared, launch, &recent, job.priority, own_vote), &self.shared);
        }
    }
}

impl Receive<LookupFinished> for Lookups {
    fn receive(&mut self, finished: LookupFinished, _: &mut Self::Context) {
        self.finish(&finished.key, finished.result, clock::now());
    }
}

impl Receive<StartAudit> for Lookups {
    fn receive(&mut self, audit: StartAudit, _: &mut Self::Context) {
        match self.job(places_of(&audit.key), audit.priority) {
            Ok(job) => {
                job.audits.push(audit);
                self.start_next(clock::now());
            }
            // The caller may have gone.
            Err(why) => drop(audit.answer.send(Err(why.into()))),
        }
    }
}

impl Receive<PlaceValue> for Lookups {
    fn receive(&mut self, PlaceValue(placing): PlaceValue, _: &mut Context<Self>) {
        let key = placing.key.clone();
        let priority = if placing.answer.is_some() { Priority::Foreground } else { Priority::Background };
        let ((commit, committed), (places, found)) = (oneshot::channel(), oneshot::channel());
        commit.send(placing).expect("this function has the receiver");
        match self.job(places_of(&key), priority) {
            Ok(job) => job.replies.push(Some(places)),
            // The placement reports that it has ended.
            Err(why) => places.send(Err(why)).expect("this function has the receiver"),
        }
        Runner::run(Place::new(&self.shared, key, committed, found), &self.shared);
        self.start_next(clock::now());
    }
}

impl Receive<CountLookups> for Lookups {
    fn receive(&mut self, _: CountLookups, _: &mut Self::Context) -> LookupCounts {
        let (running, waiting) = self.queue.counts();
        LookupCounts { running, waiting, recent_peers: self.recent.count() }
    }
}
