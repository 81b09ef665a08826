//! Lookups: it starts them, joins equal ones, bounds how many run, and hands each result to the requests that wait for it. It
//! starts audits and placements as well. What a result means is the caller's business.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, Addr, Context, Supervised};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::store::StoredCopy;
use tokio::sync::oneshot;

use super::clock::{self, Alarm, Alarmed};
use super::counters::Counter;
use super::events::{Event, EventKind};
use super::handles::Handles;
use super::handling::Receive;
use super::messages::{
    AfterSets, AuditPlaces, CountLookups, LaunchLookup, LookupFinished, LookupKey, LookupReply, LookupResult,
    LookupsHandle, NoLookup, PlaceValue, Placing, Priority, PublishValue, QueriesHandle, SeedLookup, SetValue,
    StartAudit, StartLookup, StoreHandle, TableHandle,
};
use super::operations::audit::Audit;
use super::operations::lookup::Lookup;
use super::operations::operation::Operation;
use super::operations::place::Place;
use super::operations::runner::Runner;
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
    /// The audits that wait for the lookup of their places, by key.
    audits: BTreeMap<Arc<str>, Vec<StartAudit>>,
    /// This actor.
    lookups: LookupsHandle,
    table: TableHandle,
    queries: QueriesHandle,
    store: StoreHandle,
}

struct Job {
    /// The requests that wait for the result.
    replies: Vec<LookupReply>,
    own_vote: Option<StoredCopy>,
    /// Which start of a lookup this is; 0 while it waits in the queue.
    start: u64,
    /// As what it waits or runs.
    priority: Priority,
}

impl Lookups {
    pub(crate) fn new(shared: &Rc<Shared>, handles: &Handles) -> Self {
        Self {
            shared: shared.clone(),
            jobs: BTreeMap::new(),
            queue: Queue::new(shared.config.lookup.max_lookups, shared.config.lookup.max_waiting_lookups),
            deadlines: VecDeque::new(),
            started: 0,
            audits: BTreeMap::new(),
            lookups: handles.lookups.clone(),
            table: handles.table.clone(),
            queries: handles.queries.clone(),
            store: handles.store.clone(),
        }
    }

    fn run<O: Operation>(&self, operation: O) -> Addr<Runner<O>> {
        Runner::run(operation, &self.shared.lifetime, &self.queries)
    }

    /// Puts a lookup into the queue, or adds the request to an equal one; the request hears why there is no room.
    fn look_up(&mut self, start: StartLookup) {
        match self.enqueue(start) {
            Ok(()) => self.start_next(clock::now()),
            Err((reply, why)) => reply.resume(Err(why)),
        }
    }

    /// The same, where the lookup begins with [`start_next`](Self::start_next), and the request comes back if there is no room.
    fn enqueue(&mut self, start: StartLookup) -> Result<(), (LookupReply, NoLookup)> {
        let StartLookup { key, priority, own_vote, reply } = start;
        if let Some(job) = self.jobs.get_mut(&key) {
            // Without a bound, since it is applications that ask for the same at once, each a caller that waits. Nothing that a
            // stranger sends starts a lookup; what it stored is restored by our own schedule, once an interval.
            job.replies.push(reply);
            job.own_vote = job.own_vote.take().or(own_vote);
            if job.start == 0 && priority == Priority::Foreground {
                self.queue.raise(&key);
            }
            return Ok(());
        }
        if !self.queue.push(key.clone(), priority) {
            self.shared.counters.count(Counter::LookupRefused);
            let limit = self.shared.config.lookup.max_lookups + self.shared.config.lookup.max_waiting_lookups;
            return Err((reply, NoLookup::Refused { limit }));
        }
        self.jobs.insert(key, Job { replies: vec![reply], own_vote, start: 0, priority });
        Ok(())
    }

    /// The placement of a value of `key` that is `committed` meanwhile, and the lookup of its places.
    fn placement(
        &self,
        key: Arc<str>,
        priority: Priority,
        committed: oneshot::Receiver<Placing>,
    ) -> (Place, StartLookup) {
        let (places, found) = oneshot::channel();
        let target = LookupKey::Nodes(NodeId::of_key(&key));
        let reply = LookupReply::report(places);
        let place = Place::new(&self.shared, &self.store, key, committed, found);
        (place, StartLookup { key: target, priority, own_vote: None, reply })
    }

    /// Starts those that may begin now.
    fn start_next(&mut self, now: Instant) {
        while let Some((key, priority)) = self.queue.next() {
            let Some(job) = self.jobs.get_mut(&key) else { continue };
            // The callers may have gone while it waited: then no peer is asked in vain.
            job.replies.retain(LookupReply::is_wanted);
            if job.replies.is_empty() {
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
            self.table.seed(SeedLookup(key));
        }
    }

    /// Ends a lookup: each request gets the result, or an error if there is none.
    fn finish(&mut self, key: &LookupKey, result: Option<LookupResult>, now: Instant) {
        // A lookup that counted as lost may still end, when its key is free again or waits in the queue.
        if self.jobs.get(key).is_none_or(|job| job.start == 0) {
            return;
        }
        let Some(job) = self.jobs.remove(key) else { return };
        self.queue.ended(job.priority);
        let outcome = result.map(Arc::new).ok_or(NoLookup::Broken);
        if let Ok(result) = &outcome {
            self.shared.events.emit(EventKind::LookupEnded, || Event::LookupEnded {
                target: key.target(),
                asked: result.asked,
                answered: result.answered,
                found: result.value.is_some(),
            });
        }
        for reply in job.replies {
            reply.resume(outcome.clone());
        }
        self.start_next(now);
    }
}

impl Actor for Lookups {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
    }
}

impl Supervised for Lookups {
    fn restarting(&mut self, _: &mut Self::Context) {
        // Operations that still run end by themselves; the callers see their answers dropped.
        for reply in std::mem::take(&mut self.jobs).into_values().flat_map(|job| job.replies) {
            reply.resume(Err(NoLookup::Broken));
        }
        self.queue.clear();
        self.deadlines.clear();
        self.audits.clear();
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
    fn receive(&mut self, start: StartLookup, _: &mut Self::Context) {
        self.look_up(start);
    }
}

impl Receive<SetValue> for Lookups {
    fn receive(&mut self, set: SetValue, _: &mut Self::Context) {
        let SetValue { key, value, answer } = set;
        let (placing, committed) = oneshot::channel();
        let (place, lookup) = self.placement(key.clone(), Priority::Foreground, committed);
        if let Err((_, why)) = self.enqueue(lookup) {
            // The caller may have gone.
            let _ = answer.send(Err(why.into()));
            return;
        }
        self.store.publish(PublishValue { key, value, answer, placing });
        self.run(place);
        self.start_next(clock::now());
    }
}

impl Receive<AfterSets> for Lookups {
    fn receive(&mut self, request: AfterSets, _: &mut Self::Context) {
        match request {
            AfterSets::Release(release) => self.store.release(release),
            AfterSets::Pin(pin) => self.store.pin(pin),
            AfterSets::Unpin(unpin) => self.store.unpin(unpin),
        }
    }
}

impl Receive<LaunchLookup> for Lookups {
    fn receive(&mut self, launch: LaunchLookup, _: &mut Self::Context) {
        // It may count as lost by now.
        if let Some(job) = self.jobs.get_mut(&launch.key).filter(|job| job.start > 0) {
            let own_vote = job.own_vote.take();
            self.run(Lookup::new(&self.shared, launch, own_vote, self.queries.clone(), self.lookups.clone()));
        }
    }
}

impl Receive<LookupFinished> for Lookups {
    fn receive(&mut self, finished: LookupFinished, _: &mut Self::Context) {
        self.finish(&finished.key, finished.result, clock::now());
    }
}

impl Receive<StartAudit> for Lookups {
    /// Audits of one key that come before its lookup has ended are one.
    fn receive(&mut self, audit: StartAudit, _: &mut Self::Context) {
        let key = audit.key.clone();
        let waiting = self.audits.entry(key.clone()).or_default();
        waiting.push(audit);
        if waiting.len() == 1 {
            let (target, lookups) = (LookupKey::Nodes(NodeId::of_key(&key)), self.lookups.clone());
            let reply = LookupReply::then(move |found| lookups.audit_at(AuditPlaces { key, found }));
            self.look_up(StartLookup::foreground(target, reply));
        }
    }
}

impl Receive<AuditPlaces> for Lookups {
    fn receive(&mut self, AuditPlaces { key, found }: AuditPlaces, _: &mut Self::Context) {
        let mut audits = self.audits.remove(&key).unwrap_or_default();
        audits.retain(|audit| !audit.answer.is_closed());
        match found {
            Ok(found) if found.heard().is_ok() && !audits.is_empty() => {
                self.run(Audit::new(&self.shared.config, key, audits, &found));
            }
            found => {
                for audit in audits {
                    let failed = found.as_ref().map_or_else(|why| Err((*why).into()), |found| found.heard());
                    if let Err(error) = failed {
                        // The caller may have gone.
                        let _ = audit.answer.send(Err(error));
                    }
                }
            }
        }
    }
}

impl Receive<PlaceValue> for Lookups {
    fn receive(&mut self, PlaceValue(placing): PlaceValue, _: &mut Context<Self>) {
        let (commit, committed) = oneshot::channel();
        let priority = if placing.answer.is_some() { Priority::Foreground } else { Priority::Background };
        let (place, lookup) = self.placement(placing.key.clone(), priority, committed);
        commit.send(placing).expect("the placement has the receiver");
        self.run(place);
        self.look_up(lookup);
    }
}

impl Receive<CountLookups> for Lookups {
    fn receive(&mut self, _: CountLookups, _: &mut Self::Context) -> (usize, usize) {
        self.queue.counts()
    }
}
