//! One placement of a value, from the search for its places to the last answer. What is republished or restored is first compared
//! with what the nearest holders have. Which peers are queried is decided elsewhere, and whether the value is still to be placed is
//! the store's decision.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use kademlia_dynamic::protocol::comparison::{self, Comparison, Later};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::placement::{self, Placed};
use tokio::sync::oneshot;

use super::super::events::{Event, EventKind};
use super::super::messages::{
    Answered, Failed, Late, LookupOutcome, LookupResult, NoLookup, PlacementEnded, Placing, PreparePlacement, Prepared,
    Priority,
};
use super::super::outcome::SetOutcome;
use super::super::shared::Shared;
use super::operation::{End, Operation, Step};
use super::sending::Sending;

/// A placement under way.
pub(crate) struct Place {
    shared: Rc<Shared>,
    key: Arc<str>,
    /// What is placed. `None` until it is committed.
    placing: Option<Placing>,
    /// `None` until the places are found.
    found: Option<Arc<LookupResult>>,
    stage: Stage,
    /// What is done next, before all that the stage wants done.
    next: Option<Step<Self>>,
    /// What is left of its way, where most of it is done.
    rest: Option<Rest>,
    /// Dropped with it, by which its owner learns that it has ended.
    _open: Option<oneshot::Sender<()>>,
    /// The peers of which an answer to a query of the comparison may still come.
    compared: Vec<NodeId>,
    superseded: bool,
    /// The number of holders at which the caller is answered, though the rest is still to be placed. `None`: at the end.
    enough: Option<usize>,
    /// Whether the caller was.
    answered: bool,
}

/// What is left of the way of a publication that was renewed at most of its places.
#[derive(Default)]
pub(crate) struct Rest {
    /// Places that hold it.
    pub(crate) held: usize,
    /// Places that are to be sent it.
    pub(crate) lacking: Vec<Peer>,
    /// Places that were not even queried.
    pub(crate) unsent: usize,
    /// Places that refused it.
    pub(crate) refused: usize,
    /// Places that did not answer.
    pub(crate) silent: usize,
}

/// How far a placement is.
enum Stage {
    /// It awaits the commit, the places, or the store.
    Wait,
    Compare(Comparison),
    Send(Sending),
    Over,
}

impl Place {
    /// The placement of a value of `key` that is `committed` meanwhile, at places that are looked up meanwhile. It ends where nothing is
    /// committed.
    pub(crate) fn new(
        shared: &Rc<Shared>,
        key: Arc<str>,
        committed: oneshot::Receiver<Placing>,
        places: oneshot::Receiver<LookupOutcome>,
    ) -> Self {
        let begun = async {
            let placing = committed.await.ok()?;
            Some((placing, places.await.unwrap_or(Err(NoLookup::Broken))))
        };
        Self::after(shared, key, Step::after(begun, Self::begin))
    }

    /// The placement of a publication that is due again, whose places are `found`: of the `rest` of its way, if most of it is done.
    /// `open` is dropped when it ends.
    pub(crate) fn again(
        shared: &Rc<Shared>,
        placing: Placing,
        found: LookupResult,
        rest: Option<Rest>,
        open: oneshot::Sender<()>,
    ) -> Self {
        let key = placing.key.clone();
        let begun = std::future::ready(Some((placing, Ok(Arc::new(found)))));
        Self { rest, _open: Some(open), ..Self::after(shared, key, Step::after(begun, Self::begin)) }
    }

    fn after(shared: &Rc<Shared>, key: Arc<str>, begun: Step<Self>) -> Self {
        Self {
            shared: shared.clone(),
            key,
            placing: None,
            found: None,
            stage: Stage::Wait,
            next: Some(begun),
            rest: None,
            _open: None,
            compared: Vec::new(),
            superseded: false,
            enough: None,
            answered: false,
        }
    }

    /// The same, but its caller is answered as soon as `enough` peers hold the value. The rest is placed all the same.
    pub(crate) fn answering_at(self, enough: Option<usize>) -> Self {
        Self { enough, ..self }
    }

    /// Answers the caller, if enough peers hold the value.
    fn answer_early(&mut self) {
        let (Some(enough), Some(placing), Stage::Send(sending)) = (self.enough, &mut self.placing, &self.stage) else {
            return;
        };
        if sending.placement.outcome().stored >= enough
            && let Some(answer) = placing.answer.take()
        {
            self.answered = true;
            let mut outcome = sending.outcome(self.superseded);
            outcome.pending = sending.placement.fates().filter(|(_, fate)| fate.is_none()).count();
            outcome.asked += outcome.pending;
            // The caller may have gone.
            let _ = answer.send(Ok(outcome));
        }
    }

    fn begin(&mut self, begun: Option<(Placing, LookupOutcome)>, _: Instant) {
        let Some((mut placing, outcome)) = begun else { return self.stage = Stage::Over };
        match outcome {
            Ok(found) => {
                // What an application sets is the latest, and what was renewed at most places was compared there.
                let compare = placing.answer.is_none() && self.rest.is_none() && !found.of_ours.is_empty();
                self.next = Some(self.ask(&placing, &found, compare, None));
                self.found = Some(found);
            }
            Err(why) => {
                // The caller may have gone.
                drop(placing.answer.take().map(|answer| answer.send(Err(why.into()))));
                self.stage = Stage::Over;
            }
        }
        self.placing = Some(placing);
    }

    /// Asks the store whether the value is still to be placed.
    fn ask(&self, placing: &Placing, found: &LookupResult, compare: bool, later: Option<Later>) -> Step<Self> {
        let (answer, prepared) = oneshot::channel();
        // Where no peer answers, what has run out is as ended as it was.
        let resume = placing.answer.is_some() || !found.closest.is_empty();
        self.shared.handles.store.prepare_placement(PreparePlacement {
            key: self.key.clone(),
            version: placing.version,
            compare,
            resume,
            later,
            answer,
        });
        Step::after(prepared, |place: &mut Self, prepared, now| place.go_on(prepared.ok(), now))
    }

    fn go_on(&mut self, prepared: Option<Prepared>, now: Instant) {
        let (Some(placing), Some(found)) = (&mut self.placing, &self.found) else { return };
        let config = &self.shared.config;
        self.stage = match prepared {
            // A value that came in between has a placement of its own.
            Some(Prepared::Obsolete) => {
                self.superseded = true;
                Stage::Over
            }
            Some(Prepared::Compare(copy)) => Stage::Compare(Comparison::new(copy, &found.of_ours, config, now)),
            Some(Prepared::Send(copy, superseded)) => {
                let superseded =
                    Step::after(superseded, |place: &mut Self, report, _| place.superseded |= report.is_ok());
                self.next = Some(superseded);
                let priority = if placing.answer.is_some() { Priority::Foreground } else { Priority::Background };
                let sending = match &self.rest {
                    Some(rest) => Some(Sending::to(&self.shared, copy, &rest.lacking, now)),
                    None => Sending::new(&self.shared, &self.key, copy, found, priority, now),
                };
                sending.map_or(Stage::Over, Stage::Send)
            }
            // The store was restarted, so the caller is interrupted.
            None => {
                placing.answer = None;
                Stage::Over
            }
        };
    }

    /// Whether what has come of `from` belongs to a query of the comparison, which is over.
    fn is_of_comparison(&mut self, from: &NodeId) -> bool {
        let found = self.compared.iter().position(|asked| asked == from);
        found.is_some_and(|at| self.compared.swap_remove(at) == *from)
    }
}

impl Operation for Place {
    const NAME: &'static str = "placement";
    type Target = Peer;

    fn step(&mut self, now: Instant) -> Step<Self> {
        if self.superseded {
            return Step::Finished;
        }
        if let Some(next) = self.next.take() {
            return next;
        }
        let key = self.key.clone();
        match &mut self.stage {
            Stage::Wait => Step::Wait { until: None },
            Stage::Compare(comparison) => match comparison.next(now) {
                comparison::Step::Check(peer) => Step::Query(peer, Request::CheckStore { key, size: None }),
                comparison::Step::Fetch(peer) => Step::Query(peer, Request::FindValue { key }),
                comparison::Step::Wait { until } => Step::Wait { until: Some(until) },
                comparison::Step::Finished => {
                    let later = comparison.take_later();
                    self.compared = comparison.in_flight().collect();
                    self.stage = Stage::Wait;
                    match (&self.placing, &self.found) {
                        (Some(placing), Some(found)) => self.ask(placing, found, false, later),
                        _ => Step::Finished,
                    }
                }
            },
            Stage::Send(sending) => match sending.placement.next(now) {
                placement::Step::Check(peer) => {
                    let size = Some(sending.copy.value.len() as u64);
                    Step::Query(peer, Request::CheckStore { key, size })
                }
                placement::Step::Store(peer) => Step::Query(peer, sending.set(key, now)),
                placement::Step::Wait { until } => Step::Wait { until: Some(until) },
                placement::Step::Finished => Step::Finished,
            },
            Stage::Over => Step::Finished,
        }
    }

    fn answer(&mut self, from: Peer, answer: Answered, now: Instant) {
        if !matches!(answer.response, Response::Set { .. }) && self.is_of_comparison(&from.id) {
            return;
        }
        match &mut self.stage {
            Stage::Compare(comparison) => match answer.response {
                Response::CheckStore { ttl, age, .. } => comparison.handle_checked(&from.id, ttl, age, now),
                Response::Value { value, ttl, age } => comparison.handle_value(&from.id, value, ttl, age, now),
                _ => comparison.handle_failure(&from.id),
            },
            Stage::Send(sending) => {
                sending.answer(&from.id, answer, &self.shared, now);
                self.answer_early();
            }
            Stage::Wait | Stage::Over => {}
        }
    }

    fn late(&mut self, from: Peer, how: Late) {
        match &mut self.stage {
            _ if how == Late::Suspect => {}
            Stage::Compare(comparison) => comparison.handle_slow(&from.id),
            Stage::Send(sending) => sending.placement.handle_slow(&from.id),
            Stage::Wait | Stage::Over => {}
        }
    }

    fn failure(&mut self, from: Peer, why: Failed, _: Instant) {
        if self.is_of_comparison(&from.id) {
            return;
        }
        match &mut self.stage {
            Stage::Compare(comparison) => comparison.handle_failure(&from.id),
            Stage::Send(sending) => sending.placement.handle_failure(&from.id, why.into()),
            Stage::Wait | Stage::Over => {}
        }
    }

    fn finish(self, end: End) {
        let Some(Placing { key, version, answer }) = self.placing else { return };
        let (placed, published, mut outcome) = match &self.stage {
            Stage::Send(sending) => {
                (sending.placement.outcome(), !sending.is_restore(), sending.outcome(self.superseded))
            }
            _ => (Placed::default(), false, SetOutcome { superseded: self.superseded, ..SetOutcome::default() }),
        };
        let rest = self.rest.unwrap_or_default();
        let (renewed, unsent) = (rest.held, placed.unsent + rest.unsent);
        outcome.asked += renewed;
        outcome.stored += renewed;
        let stored = outcome.stored;
        // Where it broke, or most targets were not even queried, it is tried again soon.
        let reached = end == End::Complete && stored > unsent;
        let refused = placed.refused + rest.refused > placed.silent + rest.silent + unsent;
        let ended = PlacementEnded { key: key.clone(), version, stored: reached, refused };
        self.shared.handles.store.placement_ended(ended);
        match answer {
            _ if end == End::Broken || self.answered => {}
            Some(answer) => {
                // The caller may have gone.
                let _ = answer.send(Ok(outcome));
            }
            None if published => {
                let event = || Event::Republished { key: key.to_string(), stored };
                self.shared.events.emit(EventKind::Republished, event);
            }
            None => {}
        }
    }
}
