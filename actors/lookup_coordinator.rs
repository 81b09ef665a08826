//! The lookup coordinator: it starts lookups, joins equal ones, bounds how many run, and hands each result to whoever
//! wants it. How a lookup goes is the lookup's business.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, AsyncContext, Context, Recipient, Supervised};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::value::Value;

use super::clock::{self, Alarm, Alarmed};
use super::counters::{Counter, Counters};
use super::events::{Event, Events};
use super::handling::Handler;
use super::messages::{
    Auditing, Compared, CountLookups, Electing, EndPlacement, LaunchCompare, LaunchLookup, LaunchPublish, LookupDone,
    LookupFinished, LookupKey, LookupResult, PlacesFound, Placing, PublishDone, PublishFinished, Purpose, SeedLookup,
    SendQuery, StartLookup, Supersede,
};
use super::operations::audit::Audit;
use super::operations::compare::Compare;
use super::operations::lookup::{Lookup, LookupLinks};
use super::operations::operation::Operation;
use super::operations::place::{Place, PlaceLinks};
use super::operations::runner::Runner;
use super::outcome::{Error, FoundValue, GetOutcome, TracedGet};
use super::supervision::Lifetime;
use super::turns::{Turns, Urgency};

/// How much longer than its deadline a lookup may be gone before it is taken for lost.
const GRACE: Duration = Duration::from_secs(1);

/// The longest that a lookup with a placement or an audit after it takes, its turn in the queue included: a last resort
/// behind the deadlines of those who do the work.
pub(super) fn patience(config: &Config) -> Duration {
    // Upkeep may hold half of the places.
    let rounds = 3 + 2 * config.max_waiting_lookups / config.max_lookups;
    (config.lookup_deadline + GRACE) * u32::try_from(rounds).unwrap_or(u32::MAX)
}

/// The actor that starts lookups and placements.
pub struct LookupCoordinator {
    own: Peer,
    config: Config,
    /// Lookups under way and those that wait for their turn.
    jobs: BTreeMap<LookupKey, Job>,
    turns: Turns,
    /// When the lookups under way are taken for lost, in the order of their start.
    watched: VecDeque<(Instant, LookupKey, u64)>,
    started: u64,
    /// The placement under way for a key, by its serial number.
    placements: HashMap<Arc<str>, (u64, Recipient<Supersede>)>,
    placed: u64,
    lifetime: Lifetime,
    counters: Arc<Counters>,
    events: Events,
    links: CoordinatorLinks,
}

/// Whom the coordinator tells.
pub(crate) struct CoordinatorLinks {
    pub(crate) seed: Recipient<SeedLookup>,
    pub(crate) done: Recipient<LookupDone>,
    pub(crate) query: Recipient<SendQuery>,
    pub(crate) places: Recipient<PlacesFound>,
    pub(crate) compared: Recipient<Compared>,
    pub(crate) published: Recipient<PublishDone>,
}

struct Job {
    /// Who wants the result.
    purposes: Vec<Purpose>,
    /// Which start of a lookup this is; 0 while it waits for its turn.
    start: u64,
    /// As what it waits or runs.
    urgency: Urgency,
}

impl LookupCoordinator {
    pub(crate) fn new(
        own: Peer,
        config: Config,
        lifetime: Lifetime,
        counters: Arc<Counters>,
        events: Events,
        links: CoordinatorLinks,
    ) -> Self {
        Self {
            own,
            turns: Turns::new(config.max_lookups, config.max_waiting_lookups),
            config,
            jobs: BTreeMap::new(),
            watched: VecDeque::new(),
            started: 0,
            placements: HashMap::new(),
            placed: 0,
            lifetime,
            counters,
            events,
            links,
        }
    }

    fn run<O: Operation>(&self, operation: O) -> Addr<Runner<O>> {
        self.lifetime.run(Runner::new(operation, self.links.query.clone()))
    }

    /// Starts those whose turn it is.
    fn start_next(&mut self, now: Instant) {
        while let Some((key, urgency)) = self.turns.next() {
            // Who waited may have gone: then nobody is asked in vain.
            if let Some(job) = self.jobs.get_mut(&key) {
                job.purposes.retain(|purpose| !is_closed(purpose));
                if job.purposes.is_empty() {
                    self.jobs.remove(&key);
                    continue;
                }
            }
            self.start(key, urgency, now);
        }
    }

    fn start(&mut self, key: LookupKey, urgency: Urgency, now: Instant) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        self.started += 1;
        self.turns.began(urgency);
        job.urgency = urgency;
        job.start = self.started;
        self.watched.push_back((now + self.config.lookup_deadline + GRACE, key.clone(), self.started));
        self.counters.count(Counter::Lookups);
        self.links.seed.do_send(SeedLookup(key));
    }

    /// Ends a lookup: each purpose gets the result, or an error if there is none.
    fn finish(&mut self, key: &LookupKey, result: Option<LookupResult>, now: Instant) {
        // A lookup that was taken for lost may still end, when its key is free again or waits for its turn.
        if self.jobs.get(key).is_none_or(|job| job.start == 0) {
            return;
        }
        let Some(job) = self.jobs.remove(key) else { return };
        self.turns.ended(job.urgency);
        if let Some(result) = result {
            self.links.done.do_send(LookupDone(key.target()));
            self.events.emit(Event::LookupEnded {
                target: key.target(),
                asked: result.asked,
                answered: result.answered,
                found: result.value.is_some(),
            });
            let result = Arc::new(result);
            let mut audits = Vec::new();
            for purpose in job.purposes {
                match purpose {
                    Purpose::Audit(audit) => audits.push(audit),
                    purpose => self.deliver(purpose, &result),
                }
            }
            self.audit(audits, &result);
        } else {
            for purpose in job.purposes {
                self.abandon(purpose);
            }
        }
        self.start_next(now);
    }

    /// A lookup that has no result: whoever waits sees the answer dropped. What is published here is so all the same, whether
    /// somebody waits or not: it is placed soon.
    fn abandon(&self, purpose: Purpose) {
        if let Purpose::Place(Placing { key, version, restore: false, .. }) = purpose {
            self.links.published.do_send(PublishDone { key, version, stored: false });
        }
    }

    /// Has those asked who should hold a key: once, for all who want to know.
    fn audit(&self, audits: Vec<Auditing>, result: &LookupResult) {
        if result.asked > 0 && result.answered == 0 {
            for audit in audits {
                // Whoever asked may have gone.
                let _ = audit.answer.send(Err(Error::NobodyAnswered { asked: result.asked }));
            }
        } else if let Some(key) = audits.first().map(|audit| audit.key.clone()) {
            self.run(Audit::new(&self.config, key, audits, result));
        }
    }

    fn deliver(&self, purpose: Purpose, result: &Arc<LookupResult>) {
        let nobody = result.asked > 0 && result.answered == 0;
        let silence = || Error::NobodyAnswered { asked: result.asked };
        // Whoever asked may have gone, so what `send` returns does not matter.
        match purpose {
            Purpose::Get(answer) | Purpose::Elect(Electing { answer, .. }) => {
                let _ = answer.send(Ok(TracedGet { outcome: get_outcome(result), trace: Some(result.trace.clone()) }));
            }
            Purpose::FindValue(answer) => {
                let found = match value_of(result) {
                    Some(value) => Ok(FoundValue::Value(value)),
                    None if let Some(holder) = result.unsupported => Err(Error::UnsupportedValue { holder }),
                    None if nobody => Err(silence()),
                    None => Ok(FoundValue::Peers(result.closest.clone())),
                };
                let _ = answer.send(found);
            }
            Purpose::FindNode(answer) => {
                let _ = answer.send(if nobody { Err(silence()) } else { Ok(result.closest.clone()) });
            }
            Purpose::Place(placing) => self.links.places.do_send(PlacesFound { placing, found: result.clone() }),
            Purpose::Audit(audit) => self.audit(vec![audit], result),
            Purpose::Refresh => {}
        }
    }
}

fn value_of(result: &LookupResult) -> Option<Value> {
    result.value.as_ref().map(|found| Value::clone(&found.value))
}

fn get_outcome(result: &LookupResult) -> GetOutcome {
    match (&result.value, result.unsupported) {
        (Some(found), _) => GetOutcome::Found {
            value: Value::clone(&found.value),
            holder: found.holder,
            expires_in: found.ttl.map(|seconds| Duration::from_secs(seconds.into())),
            votes: found.votes,
        },
        (None, Some(holder)) => GetOutcome::Unsupported { holder },
        (None, None) if result.asked > 0 && result.answered == 0 => GetOutcome::NobodyAnswered { asked: result.asked },
        (None, None) => GetOutcome::NotFound { answered: result.answered, unheard: result.unheard },
    }
}

/// Whether somebody waits for it.
fn urgency(purpose: &Purpose) -> Urgency {
    match purpose {
        Purpose::Refresh | Purpose::Place(Placing { answer: None, .. }) => Urgency::Upkeep,
        _ => Urgency::Wanted,
    }
}

/// Whether whoever wanted this has gone.
fn is_closed(purpose: &Purpose) -> bool {
    match purpose {
        Purpose::Get(answer) | Purpose::Elect(Electing { answer, .. }) => answer.is_closed(),
        Purpose::FindValue(answer) => answer.is_closed(),
        Purpose::FindNode(answer) => answer.is_closed(),
        Purpose::Audit(audit) => audit.answer.is_closed(),
        // A value is placed, whether somebody waits for the outcome or not.
        Purpose::Place(_) | Purpose::Refresh => false,
    }
}

/// Tells whoever waits for `purpose` that there are too many lookups.
fn refuse(purpose: Purpose, limit: usize) {
    let busy = || Error::Busy { what: "lookups that run or wait", limit };
    match purpose {
        Purpose::Get(answer) | Purpose::Elect(Electing { answer, .. }) => drop(answer.send(Err(busy()))),
        Purpose::FindValue(answer) => drop(answer.send(Err(busy()))),
        Purpose::FindNode(answer) => drop(answer.send(Err(busy()))),
        Purpose::Audit(audit) => drop(audit.answer.send(Err(busy()))),
        Purpose::Place(placing) => {
            if let Some(answer) = placing.answer {
                let _ = answer.send(Err(busy()));
            }
        }
        // It becomes due again.
        Purpose::Refresh => {}
    }
}

impl Actor for LookupCoordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
    }
}

impl Supervised for LookupCoordinator {
    fn restarting(&mut self, _: &mut Self::Context) {
        // Lookups that still run end by themselves; whoever waits for them sees the answer dropped.
        for purpose in std::mem::take(&mut self.jobs).into_values().flat_map(|job| job.purposes) {
            self.abandon(purpose);
        }
        self.turns.clear();
        self.watched.clear();
        self.placements.clear();
    }
}

impl Alarmed for LookupCoordinator {
    fn next_alarm(&self) -> Option<Instant> {
        self.watched.front().map(|(at, ..)| *at)
    }

    fn alarm(&mut self, now: Instant, _: &mut Self::Context) {
        while let Some((at, ..)) = self.watched.front()
            && *at <= now
        {
            let Some((_, key, start)) = self.watched.pop_front() else { break };
            if self.jobs.get(&key).is_some_and(|job| job.start == start) {
                tracing::warn!(target = %key.target(), "a lookup was lost");
                self.finish(&key, None, now);
            }
        }
    }
}

impl Handler<StartLookup> for LookupCoordinator {
    type Result = ();

    fn handle(&mut self, start: StartLookup, _: &mut Self::Context) {
        let StartLookup { key, purpose } = start;
        let urgency = urgency(&purpose);
        if let Some(job) = self.jobs.get_mut(&key) {
            // Without a bound, since it is applications that want the same at once, each a caller who waits. Nothing that a
            // stranger sends starts a lookup; what he stored is restored by our own schedule, once an interval.
            job.purposes.push(purpose);
            if job.start == 0 && urgency == Urgency::Wanted {
                self.turns.hasten(&key);
            }
            return;
        }
        if !self.turns.queue(key.clone(), urgency) {
            self.counters.count(Counter::LookupRefused);
            if let Purpose::Place(Placing { key, version, restore: false, .. }) = &purpose {
                let (key, version) = (key.clone(), *version);
                self.links.published.do_send(PublishDone { key, version, stored: false });
            }
            refuse(purpose, self.config.max_lookups + self.config.max_waiting_lookups);
            return;
        }
        self.jobs.insert(key, Job { purposes: vec![purpose], start: 0, urgency });
        self.start_next(clock::now());
    }
}

impl Handler<LaunchLookup> for LookupCoordinator {
    type Result = ();

    fn handle(&mut self, launch: LaunchLookup, ctx: &mut Self::Context) {
        // It may have been taken for lost meanwhile.
        if let Some(job) = self.jobs.get(&launch.key).filter(|job| job.start > 0) {
            let here = job.purposes.iter().find_map(|purpose| match purpose {
                Purpose::Elect(Electing { here, .. }) => here.clone(),
                _ => None,
            });
            let links = LookupLinks { query: self.links.query.clone(), finished: ctx.address().recipient() };
            self.run(Lookup::new(self.own, &self.config, launch, here, links));
        }
    }
}

impl Handler<LookupFinished> for LookupCoordinator {
    type Result = ();

    fn handle(&mut self, finished: LookupFinished, _: &mut Self::Context) {
        self.finish(&finished.key, finished.result, clock::now());
    }
}

impl Handler<LaunchCompare> for LookupCoordinator {
    type Result = ();

    fn handle(&mut self, launch: LaunchCompare, _: &mut Self::Context) {
        self.run(Compare::new(&self.config, launch, self.links.compared.clone()));
    }
}

impl Handler<LaunchPublish> for LookupCoordinator {
    type Result = ();

    fn handle(&mut self, launch: LaunchPublish, ctx: &mut Self::Context) {
        let key = launch.key.clone();
        self.placed += 1;
        let links = PlaceLinks {
            finished: ctx.address().recipient(),
            done: self.links.published.clone(),
            events: self.events.clone(),
        };
        if let Some((_, older)) = self.placements.get(&key) {
            older.do_send(Supersede);
        }
        let place = self.run(Place::new(&self.config, self.placed, launch, links));
        self.placements.insert(key, (self.placed, place.recipient()));
    }
}

impl Handler<PublishFinished> for LookupCoordinator {
    type Result = ();

    fn handle(&mut self, finished: PublishFinished, _: &mut Self::Context) {
        if self.placements.get(&finished.key).is_some_and(|(serial, _)| *serial == finished.serial) {
            self.placements.remove(&finished.key);
        }
    }
}

impl Handler<EndPlacement> for LookupCoordinator {
    type Result = ();

    fn handle(&mut self, end: EndPlacement, _: &mut Self::Context) {
        if let Some((_, placement)) = self.placements.get(&end.0) {
            placement.do_send(Supersede);
        }
    }
}

impl Handler<CountLookups> for LookupCoordinator {
    type Result = actix::MessageResult<CountLookups>;

    fn handle(&mut self, _: CountLookups, _: &mut Self::Context) -> Self::Result {
        actix::MessageResult(self.turns.counts())
    }
}
