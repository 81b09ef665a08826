//! One lookup as a short-lived actor, born with all it needs. It keeps alpha queries in flight and ends in exactly one
//! [`LookupFinished`]. Whom to ask next is the protocol's decision.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::lookup::{self as protocol, Ballot, Failure, Goal, Next, Vote, Votes};
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::{StoredCopy, ValueDigest};
use kademlia_dynamic::protocol::value::Value;

use super::clock::{self, Alarm, Alarmed};
use super::messages::{
    Found, LaunchLookup, LookupFinished, LookupKey, LookupResult, QueryEvent, QueryResult, SendQuery,
};

/// The actor that is one lookup.
pub struct Lookup {
    /// Our own address, under whatever id somebody names it.
    bound: SocketAddr,
    key: LookupKey,
    request: Request,
    machine: protocol::Lookup,
    own_table: Vec<Peer>,
    legacy: bool,
    /// Those who answered and are no legacy nodes.
    of_ours: HashSet<NodeId>,
    value: Option<Found>,
    /// The first peer that gave a value which this node cannot represent.
    unsupported: Option<Peer>,
    /// Where several are to be heard: what they say.
    ballot: Option<Ballot>,
    /// When the machine wants to be looked at again, whatever happens.
    wake: Option<Instant>,
    /// `None` once the result has been sent.
    links: Option<LookupLinks>,
}

/// Whom a lookup tells.
pub(crate) struct LookupLinks {
    pub(crate) query: Recipient<SendQuery>,
    pub(crate) finished: Recipient<LookupFinished>,
}

impl Lookup {
    /// `here` is the copy that this node has a vote for, where votes are counted.
    pub(crate) fn new(
        own: Peer,
        config: &Config,
        launch: LaunchLookup,
        here: Option<StoredCopy>,
        links: LookupLinks,
    ) -> Self {
        let LaunchLookup { key, seeds, legacy } = launch;
        let target = key.target();
        let (goal, request) = match &key {
            LookupKey::Nodes(_) => (Goal::Nodes, Request::FindNode { target }),
            LookupKey::Value(key) | LookupKey::Votes(key, _) => (Goal::Value, Request::FindValue { key: key.clone() }),
        };
        // Only legacy writers put values where a reader must read on to find them.
        let read_on = config.read_on && legacy;
        let mut machine = protocol::Lookup::new(own.id, target, goal, config, read_on, &seeds, clock::now());
        let mut ballot = match &key {
            LookupKey::Votes(_, wanted) => Some(Ballot::new(target, *wanted, config)),
            _ => None,
        };
        if let (Some(ballot), Some(copy)) = (&mut ballot, here) {
            ballot.vote(None, &copy.value, Some(copy.ttl_seconds()));
            machine.voted_here(ValueDigest::of(&copy.value));
        }
        Self {
            bound: own.addr,
            key,
            request,
            machine,
            own_table: seeds,
            legacy,
            of_ours: HashSet::new(),
            value: None,
            unsupported: None,
            ballot,
            wake: None,
            links: Some(links),
        }
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        loop {
            let Some(links) = &self.links else { return };
            match self.machine.next(clock::now()) {
                Next::Query(peer) => {
                    let asker = Some(ctx.address().recipient());
                    let request = self.request.clone();
                    links.query.do_send(SendQuery { to: peer.addr, id: Some(peer.id), request, asker });
                }
                Next::Wait { until } => {
                    self.wake = Some(until);
                    return;
                }
                Next::Finished(_) => {
                    self.finish();
                    ctx.stop();
                    return;
                }
            }
        }
    }

    fn finish(&mut self) {
        let Some(links) = self.links.take() else { return };
        let tally = self.machine.tally();
        let elected = self.ballot.take().and_then(|ballot| ballot.elected());
        let elected = elected.map(|won| Found { value: won.value, ttl: won.ttl, holder: won.holder, votes: won.votes });
        let value = elected.or(self.value.take());
        let cached_at = value.clone().zip(self.machine.nearest_without_value());
        let closest = self.machine.closest();
        let of_ours = closest.iter().filter(|peer| self.of_ours.contains(&peer.id)).copied().collect();
        links.finished.do_send(LookupFinished {
            key: self.key.clone(),
            result: Some(LookupResult {
                closest,
                of_ours,
                own_table: std::mem::take(&mut self.own_table),
                legacy: self.legacy,
                value,
                unsupported: self.unsupported,
                asked: tally.asked,
                answered: tally.answered,
                unheard: self.machine.trace().unheard,
                trace: Arc::new(self.machine.trace().clone()),
            }),
        });
        // The answer is on its way; now leave a copy at the nearest peer that had none (Kademlia paper, section 2.3).
        if let (Some((found, peer)), LookupKey::Value(key) | LookupKey::Votes(key, _)) = (cached_at, &self.key) {
            let target = Some(self.key.target());
            let request = Request::SetCached { key: key.clone(), value: found.value, target, ttl: found.ttl };
            links.query.do_send(SendQuery { to: peer.addr, id: Some(peer.id), request, asker: None });
        }
    }

    fn take(&mut self, event: QueryEvent, now: Instant) {
        let Some(asked) = event.id.map(|id| Peer::new(id, event.to)) else { return };
        match event.result {
            QueryResult::Answered { response, peer, version, .. } => {
                if version.is_some() {
                    self.of_ours.insert(peer.id);
                }
                match response {
                    Response::FindNode { mut peers } | Response::NoValue { mut peers } => {
                        peers.retain(|named| named.addr != self.bound);
                        self.machine.handle_peers(&asked, &peers, now);
                    }
                    Response::Value { value, ttl, .. } => self.take_value(&asked, value, ttl, peer, now),
                    Response::UnsupportedValue => {
                        self.unsupported.get_or_insert(peer);
                        self.machine.handle_unsupported(&asked, now);
                    }
                    // Queries let through only what answers the question.
                    _ => self.machine.handle_failure(&asked, Failure::Silent, now),
                }
            }
            QueryResult::Doubted => self.machine.handle_doubted(&asked),
            QueryResult::Parked | QueryResult::Slow | QueryResult::Resent => self.machine.handle_slow(&asked),
            QueryResult::Silent | QueryResult::WrongId { actual: None } => {
                self.machine.handle_failure(&asked, Failure::Silent, now);
            }
            QueryResult::WrongId { actual: Some(actual) } => {
                self.machine.handle_failure(&asked, Failure::WrongId { actual }, now);
            }
            QueryResult::Unsent => self.machine.handle_failure(&asked, Failure::Unsent, now),
        }
    }
}

impl Lookup {
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

impl Drop for Lookup {
    fn drop(&mut self) {
        // It broke before its end: whoever waits must not wait for ever.
        if let Some(links) = self.links.take() {
            links.finished.do_send(LookupFinished { key: self.key.clone(), result: None });
        }
    }
}

impl Actor for Lookup {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
        self.go_on(ctx);
    }
}

impl Alarmed for Lookup {
    fn next_alarm(&self) -> Option<Instant> {
        self.wake
    }

    fn alarm(&mut self, _: Instant, ctx: &mut Self::Context) {
        self.wake = None;
        self.go_on(ctx);
    }
}

impl Handler<QueryEvent> for Lookup {
    type Result = ();

    fn handle(&mut self, event: QueryEvent, ctx: &mut Self::Context) {
        self.take(event, clock::now());
        self.go_on(ctx);
    }
}
