//! One placement of a value: it brings the value to its targets and counts how many hold it. The targets, and which of them
//! is asked next, are decided elsewhere.

use std::time::{Duration, Instant};

use actix::{Context, Handler};
use kademlia_dynamic::protocol::lookup::Failure;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::placement::{self, Mode, Placement};
use kademlia_dynamic::protocol::store::{age_seconds, is_later};

use super::super::clock;
use super::super::events::{Event, EventKind};
use super::super::messages::{
    Answered, Failed, Late, LaunchPublish, LookupsHandle, PublishDone, PublishFinished, StoreHandle, Supersede,
};
use super::super::outcome::SetOutcome;
use super::super::shared::Shared;
use super::super::subscriptions::Events;
use super::operation::{End, Operation, Step};
use super::runner::Runner;

/// A placement under way.
pub(crate) struct Place {
    launch: LaunchPublish,
    /// See [`Config::same_publication`].
    margin: Duration,
    /// A legacy node is sent no restore of a value that has less left.
    least_for_legacy: Duration,
    serial: u64,
    placement: Placement,
    /// The shortest life of a copy that its holder reported.
    shortest: Option<Duration>,
    superseded: bool,
    lookups: LookupsHandle,
    store: StoreHandle,
    events: Events,
}

impl Place {
    /// The placement `serial` of this node.
    pub(crate) fn new(
        shared: &Shared,
        serial: u64,
        launch: LaunchPublish,
        lookups: LookupsHandle,
        store: StoreHandle,
    ) -> Self {
        let config = &shared.config;
        let mode = launch.ttl.map_or(Mode::Publish, |ttl| Mode::Restore { ttl });
        Self {
            placement: Placement::new(mode, &launch.targets, config, clock::now()),
            launch,
            margin: config.same_publication(),
            least_for_legacy: config.nearly_expired(),
            serial,
            shortest: None,
            superseded: false,
            lookups,
            store,
            events: shared.events.clone(),
        }
    }

    fn is_restore(&self) -> bool {
        self.launch.ttl.is_some()
    }

    fn check(&self) -> Request {
        Request::CheckStore { key: self.launch.key.clone(), size: Some(self.launch.value.len() as u64) }
    }

    fn set(&self, now: Instant) -> Request {
        let (key, value) = (self.launch.key.clone(), self.launch.value.clone());
        // A restore says what is left now: a placement may take seconds, and no copy may outlive the publication.
        let ttl = self.is_restore().then(|| u32::try_from(self.left(now).as_secs()).unwrap_or(u32::MAX));
        let age = self.age(now).filter(|_| self.is_restore()).map(age_seconds);
        Request::Set { key, value, ttl, age }
    }

    fn age(&self, now: Instant) -> Option<Duration> {
        self.launch.published_at.map(|at| now.saturating_duration_since(at))
    }

    /// Whether a copy that was published so many seconds ago is of an earlier publication than the one that is restored.
    fn is_behind(&self, theirs: Option<u32>, now: Instant) -> bool {
        let theirs = theirs.map(|seconds| Duration::from_secs(seconds.into()));
        self.is_restore() && self.age(now).zip(theirs).is_some_and(|(ours, theirs)| is_later(ours, theirs, self.margin))
    }

    fn left(&self, now: Instant) -> Duration {
        self.launch.expires_at.saturating_duration_since(now)
    }
}

impl Operation for Place {
    const NAME: &'static str = "placement";
    type Target = Peer;

    fn step(&mut self, now: Instant) -> Step<Self> {
        if self.superseded {
            return Step::Finished;
        }
        match self.placement.next(now) {
            placement::Step::Check(peer) => Step::Query(peer, self.check()),
            placement::Step::Store(peer) => Step::Query(peer, self.set(now)),
            placement::Step::Wait { until } => Step::Wait { until: Some(until) },
            placement::Step::Finished => Step::Finished,
        }
    }

    fn answer(&mut self, from: Peer, answer: Answered, now: Instant) {
        match answer.response {
            Response::Set { stored, ttl } => {
                let left = ttl.filter(|_| stored).map(|seconds| Duration::from_secs(seconds.into()));
                self.shortest = self.shortest.into_iter().chain(left).min();
                self.placement.handle_stored(&from.id, stored);
            }
            Response::CheckStore { has_key, age, .. } => {
                let legacy = answer.version.is_none();
                if self.is_restore() && !has_key && legacy && self.left(now) < self.least_for_legacy {
                    self.placement.leave_out(&from.id);
                } else {
                    self.placement.handle_checked(&from.id, has_key && !self.is_behind(age, now));
                }
            }
            _ => self.placement.handle_failure(&from.id, Failure::Silent),
        }
    }

    fn late(&mut self, from: Peer, how: Late) {
        if how != Late::Suspect {
            self.placement.handle_slow(&from.id);
        }
    }

    fn failure(&mut self, from: Peer, why: Failed, _: Instant) {
        self.placement.handle_failure(&from.id, why.into());
    }

    fn finish(self, end: End) {
        let restore = self.is_restore();
        let Self { launch: LaunchPublish { key, version, answer, .. }, serial, lookups, store, events, .. } = self;
        lookups.published(PublishFinished { key: key.clone(), serial });
        let placed = self.placement.outcome();
        let held = placed.stored + placed.held_already;
        // Where it broke, or most targets were not even asked, it is tried again soon.
        let stored = end == End::Complete && held > placed.unsent;
        store.placed(PublishDone { key: key.clone(), version, stored });
        match answer {
            _ if end == End::Broken => {}
            Some(answer) => {
                // The caller may have gone.
                let _ = answer.send(Ok(SetOutcome {
                    asked: placed.asked,
                    stored: held,
                    refused: placed.refused,
                    silent: placed.asked - held - placed.refused,
                    expires_in: self.shortest,
                    superseded: self.superseded,
                }));
            }
            None if !restore => {
                let event = || Event::Republished { key: key.to_string(), stored: held };
                events.emit(EventKind::Republished, event);
            }
            None => {}
        }
    }
}

impl Handler<Supersede> for Runner<Place> {
    type Result = ();

    fn handle(&mut self, _: Supersede, ctx: &mut Context<Self>) {
        self.update(|place, _| place.superseded = true, ctx);
    }
}
