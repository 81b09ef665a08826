//! One pass over the publications that are due, region by region: a few lookups find the nodes of a region, and what those hold is
//! renewed with many values a message. A value that a place lacks, or holds otherwise, is placed by itself. Which nodes are asked
//! for what is the protocol's decision, and which values are due that of the store.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use kademlia_dynamic::protocol::comparison::COMPARED;
use kademlia_dynamic::protocol::entry::{Entries, EntryState};
use kademlia_dynamic::protocol::id::{Distance, NodeId};
use kademlia_dynamic::protocol::lookup::{Ending, Trace};
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::placement;
use kademlia_dynamic::protocol::store::DueValue;
use kademlia_dynamic::protocol::survey::{Pass, Renewed, Step as PassStep, Survey, Surveyed};
use kademlia_dynamic::protocol::transfer::Neighbours;
use tokio::sync::oneshot;

use super::super::clock;
use super::super::events::{Event, EventKind};
use super::super::messages::{
    Answered, DueSelected, Failed, LookupKey, LookupOutcome, LookupResult, PlaceValue, PlacementEnded, Placing,
    PrepareRenewals, Priority, SelectDue, ShareNeighbours, StartLookup,
};
use super::super::shared::Shared;
use super::operation::{End, Operation, Step};
use super::place::{Place, Rest};
use super::runner::Runner;

/// Lookups of regions that run at once.
const MAX_LOOKUPS: usize = 8;
/// Values that wait for a lookup while others go on.
const MAX_BLOCKED: usize = 1_000;
/// Values that are placed by themselves at once.
const MAX_PLACED: usize = 64;
/// Lookups that reach no peer after which the pass ends. What is left stays due.
const MAX_FAILED: u32 = 3;

/// How far a pass is.
#[derive(Debug)]
pub(crate) struct Progress {
    /// When it began.
    pub(crate) begun: Instant,
    /// Values that it is done with.
    pub(crate) done: Cell<u64>,
    /// The place of the value that it took last.
    pub(crate) place: Cell<Option<NodeId>>,
}

impl Progress {
    /// A pass that begins at `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Self { begun: now, done: Cell::new(0), place: Cell::new(None) }
    }
}

/// The values that the store has yet to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Those from this distance on; `None`: all.
    From(Option<Distance>),
    /// It was asked for them.
    Asked,
    /// There are no more.
    Empty,
}

/// A pass under way.
pub(crate) struct Republish {
    shared: Rc<Shared>,
    progress: Rc<Progress>,
    survey: Survey,
    pass: Pass,
    /// What is done next, before anything else.
    next: VecDeque<Step<Self>>,
    source: Source,
    /// Values whose turn has come, and those that wait for a lookup.
    input: VecDeque<DueValue>,
    blocked: VecDeque<DueValue>,
    /// The lookups that run, by their targets, each with the value that it is for.
    lookups: BTreeMap<NodeId, DueValue>,
    failed_lookups: u32,
    /// The peers of the own table, and whether legacy ones are among them.
    table: Option<(Neighbours, bool)>,
    /// Of each value of the messages in flight, whether it was named.
    named: HashMap<NodeId, Vec<bool>>,
    /// Values that are placed by themselves.
    placed: usize,
    trace: Option<Arc<Trace>>,
}

impl Republish {
    /// A pass that reports by `progress`.
    pub(crate) fn new(shared: &Rc<Shared>, progress: Rc<Progress>) -> Self {
        let config = &shared.config;
        Self {
            shared: shared.clone(),
            progress,
            survey: Survey::new(config.lookup.k),
            pass: Pass::new(shared.codec.entries_per_datagram(), config.limits.source_rate),
            next: VecDeque::new(),
            source: Source::From(None),
            input: VecDeque::new(),
            blocked: VecDeque::new(),
            lookups: BTreeMap::new(),
            failed_lookups: 0,
            table: None,
            named: HashMap::new(),
            placed: 0,
            trace: None,
        }
    }

    /// Fetches the next values that are due.
    fn fetch(&mut self, from: Option<Distance>) -> Step<Self> {
        self.source = Source::Asked;
        let ((share, shared), (answer, selected)) = (oneshot::channel(), oneshot::channel());
        self.shared.handles.table.share_neighbours(ShareNeighbours(share));
        self.shared.handles.store.select_due(SelectDue { from, answer });
        let both = async { (shared.await.ok(), selected.await.ok()) };
        Step::after(both, |pass: &mut Self, (table, selected): (_, Option<DueSelected>), now| {
            pass.table = table.or(pass.table.take());
            pass.survey.forget(now);
            pass.pass.forget_idle(now);
            // Without an answer the store was restarted: what is left stays due.
            let DueSelected { values, next } = selected.unwrap_or_default();
            pass.input.extend(values);
            pass.source = next.map_or(Source::Empty, |next| Source::From(Some(next)));
        })
    }

    /// Takes values in as far as their places are known, and looks up what is not.
    fn take_in(&mut self, now: Instant) -> Option<Step<Self>> {
        while self.pass.has_room()
            && self.placed < MAX_PLACED
            && self.blocked.len() < MAX_BLOCKED
            && let Some(value) = self.input.pop_front()
        {
            if self.lookups.keys().any(|target| self.survey.is_near(&value.place, target)) {
                self.blocked.push_back(value);
                continue;
            }
            match self.survey.places(&value.place) {
                Ok(places) => self.place(value, &places, now),
                // As well where it lies in the middle of a gap that is the next one of both.
                Err(target) if self.lookups.contains_key(&target) => self.blocked.push_back(value),
                Err(target) if self.lookups.len() < MAX_LOOKUPS => return Some(self.look_up(target, value)),
                Err(_) => {
                    self.input.push_front(value);
                    return None;
                }
            }
        }
        None
    }

    fn look_up(&mut self, target: NodeId, value: DueValue) -> Step<Self> {
        self.lookups.insert(target, value);
        let (reply, found) = oneshot::channel();
        let key = LookupKey::Nodes(target);
        let (priority, own_vote, reply) = (Priority::Background, None, Some(reply));
        self.shared.handles.lookups.start(StartLookup { key, priority, own_vote, reply });
        Step::after(found, move |pass: &mut Self, outcome, now| {
            pass.looked_up(&target, outcome.ok().and_then(LookupOutcome::ok), now);
        })
    }

    fn looked_up(&mut self, target: &NodeId, found: Option<Arc<LookupResult>>, now: Instant) {
        let Some(value) = self.lookups.remove(target) else { return };
        let all = |found: &LookupResult| found.trace.ending == Some(Ending::Complete);
        let enough = |found: &Arc<LookupResult>| {
            !found.closest.is_empty() && (all(found) || found.closest.len() >= self.shared.config.lookup.k)
        };
        if let Some(found) = found.filter(enough) {
            self.failed_lookups = 0;
            let node = |peer: &Peer| Surveyed { peer: *peer, reconciles: found.reconciling.contains(&peer.id) };
            self.survey.learned(target, &found.closest.iter().map(node).collect::<Vec<_>>(), now);
            self.trace = Some(found.trace.clone());
            self.input.push_front(value);
        } else {
            // It is tried as any value that is placed by itself: where the table points.
            self.failed_lookups += 1;
            let placing = Placing { key: value.key, version: value.version, answer: None };
            self.shared.handles.lookups.place(PlaceValue(placing));
        }
        while let Some(blocked) = self.blocked.pop_back() {
            self.input.push_front(blocked);
        }
    }

    /// Renews `value` at its places that reconcile, and has it placed at the others.
    fn place(&mut self, value: DueValue, places: &[Surveyed], now: Instant) {
        self.progress.place.set(Some(value.place));
        let targets = self.targets(&value.place, places);
        let reconciles = |peer: &Peer| places.iter().any(|node| node.reconciles && node.peer.id == peer.id);
        let (renewing, others): (Vec<Peer>, Vec<Peer>) = targets.iter().partition(|peer| reconciles(peer));
        // So many are to say whether a later value is there.
        if value.lapsed || renewing.len() < COMPARED.min(targets.len()) {
            self.place_alone(value.key, value.version, None);
        } else {
            self.pass.add(value.key, value.version, &renewing, others, now);
        }
    }

    /// Where a value goes: to these places, and while legacy peers are known, where the own table points.
    fn targets(&self, place: &NodeId, places: &[Surveyed]) -> Vec<Peer> {
        let config = &self.shared.config.lookup;
        let closest: Vec<Peer> = places.iter().map(|node| node.peer).collect();
        let own_table = self.own_table(place);
        placement::targets(place, config.k, &closest, &own_table, !own_table.is_empty())
    }

    /// The nearest of the own table, where a value goes there, too.
    fn own_table(&self, place: &NodeId) -> Vec<Peer> {
        let config = &self.shared.config.lookup;
        match &self.table {
            Some((table, true)) if config.mixed_placement => table.nearest(place, config.k),
            _ => Vec::new(),
        }
    }

    /// A value is done with at the places that reconcile.
    fn ended(&mut self, renewed: Renewed) {
        let Renewed { key, version, held, lacking, unsent, refused, silent, differs } = renewed;
        if differs {
            self.place_alone(key, version, None);
        } else if !lacking.is_empty() {
            self.place_alone(key, version, Some(Rest { held, lacking, unsent, refused, silent }));
        } else {
            self.progress.done.set(self.progress.done.get() + 1);
            let event = || Event::Republished { key: key.to_string(), stored: held };
            self.shared.events.emit(EventKind::Republished, event);
            let (stored, refused) = (held > unsent, refused > silent + unsent);
            self.shared.handles.store.placement_ended(PlacementEnded { key, version, stored, refused });
        }
    }

    /// Has a value placed by itself: at those places that lack it, or compared with what all its places hold.
    fn place_alone(&mut self, key: Arc<str>, version: u64, rest: Option<Rest>) {
        let place = NodeId::of_key(&key);
        let placing = Placing { key, version, answer: None };
        let places = self.survey.places(&place).ok().zip(self.trace.clone());
        let Some((places, trace)) = places.filter(|(places, _)| !places.is_empty()) else {
            self.progress.done.set(self.progress.done.get() + 1);
            return self.shared.handles.lookups.place(PlaceValue(placing));
        };
        let own_table = self.own_table(&place);
        let of_ours = |node: &&Surveyed| node.reconciles;
        let found = LookupResult {
            closest: places.iter().map(|node| node.peer).collect(),
            of_ours: places.iter().filter(of_ours).map(|node| node.peer).collect(),
            reconciling: places.iter().filter(of_ours).map(|node| node.peer.id).collect(),
            legacy: !own_table.is_empty(),
            own_table,
            value: None,
            unsupported: None,
            trace,
        };
        // It is dropped with the placement.
        let (open, over) = oneshot::channel::<()>();
        Runner::run(Place::again(&self.shared, placing, found, rest, open), &self.shared);
        self.placed += 1;
        self.next.push_back(Step::after(over, |pass: &mut Self, _, _| {
            pass.placed -= 1;
            pass.progress.done.set(pass.progress.done.get() + 1);
        }));
    }

    /// Asks the store for the entries of these values, and sends them.
    fn renew(&mut self, to: Peer, numbers: Vec<u64>) -> Step<Self> {
        let (answer, prepared) = oneshot::channel();
        let value = |number: &u64| self.pass.value(*number).map(|(key, version)| (key.clone(), version));
        let values = numbers.iter().map(value).collect();
        self.shared.handles.store.prepare_renewals(PrepareRenewals { values, answer });
        Step::after(prepared, move |pass: &mut Self, prepared, _| {
            let Ok((nonce, prepared)) = prepared else { return pass.pass.failed(&to.id) };
            for (number, _) in numbers.iter().zip(&prepared).filter(|(_, entry)| entry.is_none()) {
                pass.pass.obsolete(*number);
            }
            pass.named.insert(to.id, prepared.iter().map(Option::is_some).collect());
            let entries: Vec<_> = prepared.into_iter().flatten().collect();
            if entries.is_empty() {
                return pass.pass.failed(&to.id);
            }
            pass.next.push_back(Step::Query(to, Request::Renew { entries: Entries { nonce, entries } }));
        })
    }

    fn is_over(&self) -> bool {
        let idle =
            self.source == Source::Empty && self.input.is_empty() && self.blocked.is_empty() && self.lookups.is_empty();
        self.failed_lookups >= MAX_FAILED || idle && self.pass.is_empty() && self.placed == 0
    }
}

impl Operation for Republish {
    const NAME: &'static str = "republication";
    type Target = Peer;

    fn step(&mut self, now: Instant) -> Step<Self> {
        if let Some(next) = self.next.pop_front() {
            return next;
        }
        if let Source::From(from) = self.source
            && self.input.is_empty()
            && self.pass.has_room()
        {
            return self.fetch(from);
        }
        if let Some(look_up) = self.take_in(now) {
            return look_up;
        }
        // What is placed by itself may have come to its bound meanwhile.
        while self.placed < MAX_PLACED {
            match self.pass.next(now) {
                PassStep::Renew(to, numbers) => return self.renew(to, numbers),
                PassStep::Ended(renewed) => self.ended(renewed),
                PassStep::Wait { until } => {
                    return match self.next.pop_front() {
                        Some(next) => next,
                        None if self.is_over() => Step::Finished,
                        None => Step::Wait { until },
                    };
                }
            }
        }
        self.next.pop_front().unwrap_or(Step::Wait { until: None })
    }

    fn answer(&mut self, from: Peer, answer: Answered, _: Instant) {
        let named = self.named.remove(&from.id).unwrap_or_default();
        let Response::Renew { states } = answer.response else { return self.pass.failed(&from.id) };
        let mut states = states.into_iter();
        // What was not named has ended. Without a state a value is sent.
        let state = |named: &bool| if *named { states.next() } else { Some(EntryState::Held) };
        let states: Vec<_> = named.iter().map(state).map(|state| state.unwrap_or(EntryState::Lacking)).collect();
        self.pass.answered(&from.id, &states);
    }

    fn failure(&mut self, from: Peer, why: Failed, _: Instant) {
        self.named.remove(&from.id);
        if why == Failed::Unsent {
            return self.pass.unsent(&from.id);
        }
        self.pass.lost(&from.id);
        self.survey.lost(&from.id);
    }

    fn finish(self, end: End) {
        let lasted = clock::now().saturating_duration_since(self.progress.begun);
        tracing::debug!(values = self.progress.done.get(), ?lasted, ?end, "publications were renewed");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kademlia_dynamic::protocol::config::Config;

    use super::super::super::messages::Handles;
    use super::super::super::tests::shared;
    use super::*;

    #[actix::test]
    async fn values_whose_places_one_lookup_is_to_find_wait_for_it() {
        let shared = shared(Config::builder().k(2).build().unwrap(), Handles::ignored());
        let now = clock::now();
        let mut pass = Republish::new(&shared, Rc::new(Progress::new(now)));
        let id = |first: u8| NodeId::from_bytes([&[first][..], &[0; 19]].concat().try_into().unwrap());
        let node = |first| Surveyed { peer: Peer::new(id(first), ([192, 0, 2, first], 1).into()), reconciles: true };
        pass.survey.learned(&id(0), &[node(0x01), node(0x0f)], now);
        pass.survey.learned(&id(0x80), &[node(0x81), node(0x82)], now);
        [0x01, 0x0f].into_iter().for_each(|gone| pass.survey.lost(&id(gone)));
        for first in [0x03, 0x05] {
            let key = first.to_string().into();
            pass.input.push_back(DueValue { key, place: id(first), version: 1, lapsed: false });
        }
        // The gap that both come to has its middle far from either.
        assert!(pass.take_in(now).is_some() && pass.take_in(now).is_none());
        assert_eq!((pass.lookups.len(), pass.blocked.len()), (1, 1));
        let target = *pass.lookups.keys().next().unwrap();
        assert!(!pass.survey.is_near(&id(0x05), &target));
        let mut taken: BTreeSet<_> = pass.lookups.values().map(|value| value.key.clone()).collect();
        pass.looked_up(&target, None, now);
        assert!(pass.take_in(now).is_some());
        taken.extend(pass.lookups.values().map(|value| value.key.clone()));
        assert_eq!(taken.len(), 2, "none is lost");
    }
}
