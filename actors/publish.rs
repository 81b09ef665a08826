//! One placement of a value as a short-lived actor: it brings the value to its targets and says how many hold it. Who the
//! targets are, and who is asked next, is decided elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::lookup::Failure;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::placement::{Mode, Placement, Step};
use kademlia_dynamic::protocol::store::{age_seconds, is_later};
use kademlia_dynamic::protocol::value::Value;

use super::clock::{self, Alarm, Alarmed};
use super::events::{Event, Events};
use super::messages::{
    Answer, LaunchPublish, PublishDone, PublishFinished, QueryEvent, QueryResult, SendQuery, Supersede,
};
use super::outcome::SetOutcome;

/// The actor that is one placement.
pub struct Publish {
    key: Arc<str>,
    value: Arc<Value>,
    version: u64,
    restore: bool,
    expires_at: Instant,
    published_at: Option<Instant>,
    /// See [`Config::same_publication`].
    margin: Duration,
    /// A legacy node is given no restore of what has less left.
    least_for_legacy: Duration,
    serial: u64,
    placement: Placement,
    answer: Option<Answer<SetOutcome>>,
    /// The shortest life of a copy that its holder told.
    shortest: Option<Duration>,
    superseded: bool,
    wake: Option<Instant>,
    /// `None` once the outcome has been sent.
    links: Option<PublishLinks>,
}

/// Whom a placement tells.
pub(crate) struct PublishLinks {
    pub(crate) query: Recipient<SendQuery>,
    pub(crate) finished: Recipient<PublishFinished>,
    pub(crate) done: Recipient<PublishDone>,
    pub(crate) events: Events,
}

impl Publish {
    /// The placement `serial` of this node.
    pub(crate) fn new(config: &Config, serial: u64, launch: LaunchPublish, links: PublishLinks) -> Self {
        let LaunchPublish { key, value, version, ttl, expires_at, published_at, targets, answer } = launch;
        let mode = ttl.map_or(Mode::Publish, |ttl| Mode::Restore { ttl });
        let placement = Placement::new(mode, &targets, config, clock::now());
        Self {
            key,
            value,
            version,
            restore: ttl.is_some(),
            expires_at,
            published_at,
            margin: config.same_publication(),
            least_for_legacy: config.nearly_expired(),
            serial,
            placement,
            answer,
            shortest: None,
            superseded: false,
            wake: None,
            links: Some(links),
        }
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        loop {
            let Some(links) = &self.links else { return };
            if self.superseded {
                self.finish();
                return ctx.stop();
            }
            let (peer, request) = match self.placement.next(clock::now()) {
                Step::Check(peer) => (peer, self.check()),
                Step::Store(peer) => (peer, self.set()),
                Step::Wait { until } => {
                    self.wake = Some(until);
                    return;
                }
                Step::Finished => {
                    self.finish();
                    return ctx.stop();
                }
            };
            let asker = Some(ctx.address().recipient());
            links.query.do_send(SendQuery { to: peer.addr, id: Some(peer.id), request, asker });
        }
    }

    fn check(&self) -> Request {
        Request::CheckStore { key: self.key.clone(), size: Some(self.value.len() as u64) }
    }

    fn set(&self) -> Request {
        // A restore says what is left now: a placement may take seconds, and no copy may outlive the publication.
        let ttl = self.restore.then(|| u32::try_from(self.left().as_secs()).unwrap_or(u32::MAX));
        let age = self.age().filter(|_| self.restore).map(age_seconds);
        Request::Set { key: self.key.clone(), value: self.value.clone(), ttl, age }
    }

    fn age(&self) -> Option<Duration> {
        self.published_at.map(|at| clock::now().saturating_duration_since(at))
    }

    /// Whether a copy that was published so many seconds ago is of an earlier publication than the one that is restored.
    fn is_behind(&self, theirs: Option<u32>) -> bool {
        let theirs = theirs.map(|seconds| Duration::from_secs(seconds.into()));
        self.restore && self.age().zip(theirs).is_some_and(|(ours, theirs)| is_later(ours, theirs, self.margin))
    }

    fn left(&self) -> Duration {
        self.expires_at.saturating_duration_since(clock::now())
    }

    fn finish(&mut self) {
        let Some(links) = self.links.take() else { return };
        let placed = self.placement.outcome();
        let held = placed.stored + placed.held_already;
        links.finished.do_send(PublishFinished { key: self.key.clone(), serial: self.serial });
        // Where most targets were not even asked, it is tried again soon.
        let stored = held > placed.unsent;
        links.done.do_send(PublishDone { key: self.key.clone(), version: self.version, stored });
        match self.answer.take() {
            Some(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(Ok(SetOutcome {
                    asked: placed.asked,
                    stored: held,
                    refused: placed.refused,
                    silent: placed.asked - held - placed.refused,
                    expires_in: self.shortest,
                    superseded: self.superseded,
                }));
            }
            None if !self.restore => {
                links.events.emit(Event::Republished { key: self.key.to_string(), stored: held });
            }
            None => {}
        }
    }

    fn take(&mut self, event: QueryEvent) {
        let Some(asked) = event.id else { return };
        let failure = match event.result {
            QueryResult::Answered { response: Response::Set { stored, ttl }, .. } => {
                let left = ttl.filter(|_| stored).map(|seconds| Duration::from_secs(seconds.into()));
                self.shortest = self.shortest.into_iter().chain(left).min();
                return self.placement.handle_stored(&asked, stored);
            }
            QueryResult::Answered { response: Response::CheckStore { has_key, age, .. }, version, .. } => {
                if self.restore && !has_key && version.is_none() && self.left() < self.least_for_legacy {
                    self.placement.leave_out(&asked);
                } else {
                    self.placement.handle_checked(&asked, has_key && !self.is_behind(age));
                }
                return;
            }
            QueryResult::Doubted => return,
            QueryResult::Parked | QueryResult::Slow | QueryResult::Resent => {
                return self.placement.handle_slow(&asked);
            }
            QueryResult::WrongId { actual: Some(actual) } => Failure::WrongId { actual },
            QueryResult::Unsent => Failure::Unsent,
            QueryResult::Answered { .. } | QueryResult::Silent | QueryResult::WrongId { actual: None } => {
                Failure::Silent
            }
        };
        self.placement.handle_failure(&asked, failure);
    }
}

impl Drop for Publish {
    fn drop(&mut self) {
        if let Some(links) = self.links.take() {
            links.finished.do_send(PublishFinished { key: self.key.clone(), serial: self.serial });
            // It broke: what it was to place is tried again soon.
            links.done.do_send(PublishDone { key: self.key.clone(), version: self.version, stored: false });
        }
    }
}

impl Actor for Publish {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
        self.go_on(ctx);
    }
}

impl Alarmed for Publish {
    fn next_alarm(&self) -> Option<Instant> {
        self.wake
    }

    fn alarm(&mut self, _: Instant, ctx: &mut Self::Context) {
        self.wake = None;
        self.go_on(ctx);
    }
}

impl Handler<QueryEvent> for Publish {
    type Result = ();

    fn handle(&mut self, event: QueryEvent, ctx: &mut Self::Context) {
        self.take(event);
        self.go_on(ctx);
    }
}

impl Handler<Supersede> for Publish {
    type Result = ();

    fn handle(&mut self, _: Supersede, ctx: &mut Self::Context) {
        self.superseded = true;
        self.go_on(ctx);
    }
}
