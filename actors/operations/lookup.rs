//! One lookup. It keeps alpha queries in flight and ends in exactly one [`LookupFinished`]. Which peer to ask next is the
//! protocol's decision.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::lookup::{self as protocol, Ballot, Failure, Found, Goal, Next, Vote, Votes};
use kademlia_dynamic::protocol::message::{RECONCILE_VERSION, Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::{StoredCopy, ValueDigest};
use kademlia_dynamic::protocol::value::Value;

use super::super::clock;
use super::super::messages::{
    Answered, Failed, Handles, Late, LaunchLookup, LookupFinished, LookupKey, LookupResult, Priority, Question,
    SendQuery,
};
use super::super::shared::Shared;
use super::operation::{End, Operation, Step};

/// A lookup under way.
pub(crate) struct Lookup {
    shared: Rc<Shared>,
    key: LookupKey,
    request: Request,
    machine: protocol::Lookup,
    own_table: Vec<Peer>,
    legacy: bool,
    /// The peers that answered and are no legacy nodes.
    of_ours: HashSet<NodeId>,
    /// Those of them that renew and reconcile.
    reconciling: HashSet<NodeId>,
    value: Option<Found>,
    /// The first peer that gave a value which this node cannot represent.
    unsupported: Option<Peer>,
    /// The values that peers gave, where several are to be heard.
    ballot: Option<Ballot>,
    /// As what it runs, until it is decided whether it may query all of the k nearest at once.
    undecided: Option<Priority>,
}

impl Lookup {
    /// It begins from the peers of the table and those that answered other lookups lately. `own_vote` is the copy that this node
    /// votes for, where votes are counted.
    pub(crate) fn new(
        shared: &Rc<Shared>,
        launch: LaunchLookup,
        recent: &[Peer],
        priority: Priority,
        own_vote: Option<StoredCopy>,
    ) -> Self {
        let config = &shared.config;
        let LaunchLookup { key, seeds, legacy } = launch;
        let target = key.target();
        let (goal, request) = match &key {
            LookupKey::Nodes(_) => (Goal::Nodes, Request::FindNode { target }),
            LookupKey::Value(key) | LookupKey::Votes(key, _) => (Goal::Value, Request::FindValue { key: key.clone() }),
        };
        // Only legacy writers put values where a reader must read on to find them.
        let read_on = config.lookup.read_on && legacy;
        let known = [&seeds, recent].concat();
        let mut machine = protocol::Lookup::new(shared.id, target, goal, config, read_on, &known, clock::now());
        let mut ballot = match &key {
            LookupKey::Votes(_, wanted) => Some(Ballot::new(target, *wanted, config)),
            _ => None,
        };
        if let (Some(ballot), Some(copy)) = (&mut ballot, own_vote) {
            ballot.vote(None, &copy.value, Some(copy.ttl_seconds()));
            machine.voted_here(ValueDigest::of(&copy.value));
        }
        Self {
            shared: shared.clone(),
            key,
            request,
            machine,
            own_table: seeds,
            legacy,
            of_ours: HashSet::new(),
            reconciling: HashSet::new(),
            value: None,
            unsupported: None,
            ballot,
            // In a read each peer is sent one datagram, and no write may follow.
            undecided: (goal == Goal::Nodes).then_some(priority),
        }
    }

    fn take_value(&mut self, asked: &Peer, value: Arc<Value>, ttl: Option<u32>, holder: Peer, now: Instant) {
        let Some(ballot) = &mut self.ballot else {
            // The first one is the lookup's; a later one comes from a query that was under way.
            self.value.get_or_insert(Found { value, ttl, holder: Some(holder), votes: Votes::SINGLE });
            return self.machine.handle_value(asked, now);
        };
        let counted = ballot.vote(Some(holder), &value, ttl);
        self.machine.handle_vote(asked, Vote { value: ValueDigest::of(&value), counted }, now);
        if ballot.is_decided() {
            self.machine.found(now);
        }
    }
}

impl Operation for Lookup {
    const NAME: &'static str = "lookup";
    type Target = Peer;

    fn step(&mut self, now: Instant) -> Step<Self> {
        if let Some(priority) = self.undecided.take_if(|_| self.machine.is_wide())
            && !self.shared.may_burst(priority, now)
        {
            self.machine.keep_alpha();
        }
        match self.machine.next(now) {
            Next::Query(peer) => Step::Query(peer, self.request.clone()),
            Next::Wait { until } => Step::Wait { until: Some(until) },
            Next::Finished(_) => Step::Finished,
        }
    }

    fn answer(&mut self, from: Peer, answer: Answered, now: Instant) {
        if answer.version.is_some() {
            self.of_ours.insert(answer.peer.id);
        }
        if answer.version >= Some(RECONCILE_VERSION) {
            self.reconciling.insert(answer.peer.id);
        }
        match answer.response {
            Response::FindNode { mut peers } | Response::NoValue { mut peers } => {
                // This node, under any id that the peer may name it.
                peers.retain(|named| named.addr != self.shared.addr);
                self.machine.handle_peers(&from, &peers, now);
            }
            Response::Value { value, ttl, .. } => self.take_value(&from, value, ttl, answer.peer, now),
            Response::UnsupportedValue => {
                self.unsupported.get_or_insert(answer.peer);
                self.machine.handle_unsupported(&from, now);
            }
            _ => self.machine.handle_failure(&from, Failure::Silent, now),
        }
    }

    fn late(&mut self, from: Peer, how: Late) {
        match how {
            Late::Suspect => self.machine.handle_suspect(&from),
            Late::Deferred | Late::Slow | Late::Resent => self.machine.handle_slow(&from),
        }
    }

    fn failure(&mut self, from: Peer, why: Failed, now: Instant) {
        self.machine.handle_failure(&from, why.into(), now);
    }

    fn finish(self, end: End) {
        let Self { shared, key, machine, own_table, legacy, of_ours, reconciling, value, unsupported, ballot, .. } =
            self;
        let Handles { lookups, queries, .. } = &shared.handles;
        if end == End::Broken {
            return lookups.finished(LookupFinished { key, result: None });
        }
        let value = ballot.and_then(|ballot| ballot.elected()).or(value);
        let cached_at = value.clone().zip(machine.nearest_without_value());
        let closest = machine.closest();
        lookups.finished(LookupFinished {
            key: key.clone(),
            result: Some(LookupResult {
                of_ours: closest.iter().filter(|peer| of_ours.contains(&peer.id)).copied().collect(),
                reconciling: closest.iter().map(|peer| peer.id).filter(|id| reconciling.contains(id)).collect(),
                closest,
                own_table,
                legacy,
                value,
                unsupported,
                trace: Arc::new(machine.into_trace()),
            }),
        });
        // The answer is on its way; now leave a copy at the nearest peer that had none (Kademlia paper, section 2.3).
        if let (Some((found, peer)), LookupKey::Value(name) | LookupKey::Votes(name, _)) = (cached_at, &key) {
            let target = Some(key.target());
            let request = Request::SetCached { key: name.clone(), value: found.value, target, ttl: found.ttl };
            queries.send(SendQuery { question: Question::new(peer.addr, Some(peer.id), None), request });
        }
    }
}
