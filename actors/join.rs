//! One bootstrap as a short-lived actor. It tries its contacts independently of each other: each is resolved once and
//! pinged, and the first answer decides. Then it has the own id looked up, so that the neighbourhood gets to know this
//! node, and the buckets filled. It goes on until each contact has answered or failed.

mod contact;
pub(crate) mod resolver;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Weak;
use std::time::{Duration, Instant};

use actix::fut::wrap_future;
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Recipient};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::protocol::peer::Peer;
use tokio::sync::oneshot;

use self::contact::{Asked, Contact, State};
use self::resolver::{Resolver, addresses_of};
use super::clock::{self, Alarm, Alarmed};
use super::events::{Event, Events};
use super::join_state::Attempt;
use super::messages::{Answer, LookupKey, Purpose, QueryEvent, QueryResult, RefreshBuckets, SendQuery, StartLookup};
use super::outcome::{BootstrapOutcome, ContactFailure, Error, Pong};
use super::own_id;
use super::socket::transport::Transport;
use super::unreadable::Unreadable;

/// The actor that is one bootstrap.
pub(crate) struct Join {
    own: NodeId,
    timeout: Duration,
    contacts: Vec<Contact>,
    /// The addresses that were asked. An address that two contacts stand for is asked once.
    asked: BTreeMap<SocketAddr, Asked>,
    answered: Vec<Peer>,
    /// The first answer.
    first: Option<Pong>,
    stage: Stage,
    give_up: Option<Instant>,
    /// `None` once the outcome has been told.
    aim: Option<Aim>,
    /// `None` where only a pong is wanted.
    attempt: Option<Attempt>,
    events: Events,
    links: JoinLinks,
}

/// How far a bootstrap is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No contact has answered.
    Trying,
    /// The own id is being looked up.
    LookingUp,
    /// The outcome has been told. `late`: a contact has answered since then, so the lookup did not start from it.
    Told { late: bool },
}

/// The actors that a bootstrap tells.
#[derive(Clone)]
pub(crate) struct JoinLinks {
    pub(crate) query: Recipient<SendQuery>,
    pub(crate) lookup: Recipient<StartLookup>,
    pub(crate) refresh: Recipient<RefreshBuckets>,
    pub(crate) resolver: Resolver,
    /// Tells which addresses can be reached. It belongs to the socket.
    pub(crate) transport: Weak<dyn Transport>,
    pub(crate) unreadable: Unreadable,
}

/// What a bootstrap is constructed with.
pub(crate) struct JoinPlan {
    pub(crate) own: NodeId,
    pub(crate) contacts: Vec<String>,
    pub(crate) query_timeout: Duration,
    pub(crate) aim: Aim,
    /// Hears what comes of it; `None` for a ping.
    pub(crate) attempt: Option<Attempt>,
}

/// What the contacts are asked for.
pub(crate) enum Aim {
    /// To become part of their network. A client asks its contacts and no more: no peer needs to know it.
    Join { client: bool, answer: Option<Answer<BootstrapOutcome>> },
    /// To see whether they are there.
    Ping(Answer<Pong>),
}

impl Join {
    pub(crate) fn new(plan: JoinPlan, events: Events, links: JoinLinks) -> Self {
        let mut contacts: Vec<Contact> = Vec::new();
        for name in plan.contacts {
            if contacts.iter().all(|contact| contact.name != name) {
                contacts.push(Contact { name, state: State::Resolving });
            }
        }
        Self {
            own: plan.own,
            timeout: plan.query_timeout,
            contacts,
            asked: BTreeMap::new(),
            answered: Vec::new(),
            first: None,
            stage: Stage::Trying,
            give_up: None,
            aim: Some(plan.aim),
            attempt: plan.attempt,
            events,
            links,
        }
    }

    /// The name of one contact has been resolved, or stands for nothing that can be asked.
    fn resolved(&mut self, contact: usize, found: Result<Vec<SocketAddr>, ContactFailure>, ctx: &mut Context<Self>) {
        let state = match found {
            Ok(addresses) => {
                addresses.iter().for_each(|addr| self.ask(*addr, ctx));
                State::Resolved(addresses)
            }
            Err(failure) => State::Failed(failure),
        };
        if let Some(contact) = self.contacts.get_mut(contact) {
            contact.state = state;
        }
        self.go_on(ctx);
    }

    fn ask(&mut self, to: SocketAddr, ctx: &mut Context<Self>) {
        if self.asked.contains_key(&to) {
            return;
        }
        self.asked.insert(to, Asked::Waiting);
        self.links.unreadable.forget(&to);
        // The queries end by themselves; this is for the case that their end gets lost.
        self.give_up = Some(clock::now() + self.timeout + self.timeout);
        let asker = Some(ctx.address().recipient());
        self.links.query.do_send(SendQuery { to, id: None, request: Request::Ping, asker });
    }

    /// Whether each contact has answered or failed.
    fn is_over(&self) -> bool {
        self.contacts.iter().all(|contact| contact.is_over(&self.asked))
    }

    /// Tells the outcome with the first answer, or once there can be none, and ends once each contact is over.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        let over = self.is_over();
        match (self.stage, &self.aim) {
            (Stage::Trying, _) if self.first.is_none() && !over => {}
            (Stage::Trying, Some(Aim::Join { client, .. })) => {
                let client = *client;
                self.report();
                self.events.emit(Event::Joined(self.outcome()));
                if client || self.first.is_none() { self.tell(ctx) } else { self.look_up(ctx) }
            }
            (Stage::Trying, _) => self.tell(ctx),
            (Stage::LookingUp, _) => {}
            (Stage::Told { late: true }, _) if over => self.look_up(ctx),
            (Stage::Told { .. }, _) if over => self.end(ctx),
            (Stage::Told { .. }, _) => {}
        }
    }

    /// Looks up the own id, and has the buckets filled.
    fn look_up(&mut self, ctx: &mut Context<Self>) {
        self.stage = Stage::LookingUp;
        let (done, looked_up) = oneshot::channel();
        let purpose = Purpose::FindNode(done);
        self.links.lookup.do_send(StartLookup { key: LookupKey::Nodes(self.own), purpose });
        let end = wrap_future::<_, Self>(looked_up).map(|_, join, ctx| {
            join.links.refresh.do_send(RefreshBuckets { all: true });
            join.tell(ctx);
        });
        ctx.spawn(end);
    }

    /// Tells the outcome to the caller, which may have gone.
    fn tell(&mut self, ctx: &mut Context<Self>) {
        let keep_on = matches!(self.aim, None | Some(Aim::Join { .. }));
        match self.aim.take() {
            Some(Aim::Join { answer: Some(answer), .. }) => {
                let _ = answer.send(Ok(self.outcome()));
            }
            Some(Aim::Ping(answer)) => {
                let _ = answer.send(self.pong());
            }
            Some(Aim::Join { answer: None, .. }) | None => {}
        }
        self.stage = Stage::Told { late: false };
        if !keep_on || self.is_over() {
            self.end(ctx);
        }
    }

    fn end(&mut self, ctx: &mut Context<Self>) {
        self.report();
        ctx.stop();
    }

    fn report(&mut self) {
        let outcome = self.outcome();
        if let Some(attempt) = &mut self.attempt {
            attempt.report(outcome);
        }
    }

    /// What no answer from `addr` within its time means.
    fn silence(&self, addr: &SocketAddr) -> ContactFailure {
        match self.links.unreadable.of(addr) {
            Some(wire) => ContactFailure::OtherWire { wire },
            None => ContactFailure::Silent { within: self.timeout },
        }
    }

    fn outcome(&self) -> BootstrapOutcome {
        let (mut failed, mut pending) = (Vec::new(), Vec::new());
        for contact in &self.contacts {
            if !contact.is_over(&self.asked) && !contact.has_answered(&self.asked) {
                pending.push(contact.name.clone());
            }
            failed.extend(contact.failure(&self.asked));
        }
        BootstrapOutcome { answered: self.answered.clone(), failed, pending }
    }

    fn pong(&self) -> Result<Pong, Error> {
        if let Some(pong) = &self.first {
            return Ok(pong.clone());
        }
        let failed = self.contacts.iter().find_map(|contact| contact.failure(&self.asked)).ok_or(Error::Interrupted)?;
        Err(match (&failed.reason, failed.addresses.first()) {
            (ContactFailure::Silent { within }, Some(addr)) => Error::Silent { addr: *addr, within: *within },
            (ContactFailure::Unresolved { reason }, _) => {
                Error::Resolve { addr: failed.contact, reason: reason.clone() }
            }
            _ => Error::Contact(Box::new(failed)),
        })
    }

    /// The query to `addr` has ended.
    fn ended(&mut self, addr: &SocketAddr, end: Result<Pong, ContactFailure>) {
        let Some(asked) = self.asked.get_mut(addr).filter(|asked| **asked == Asked::Waiting) else { return };
        match end {
            Ok(pong) if pong.peer.id == self.own => {
                let bound = self.links.transport.upgrade().map(|transport| transport.local_addr());
                let itself = bound.is_none_or(|bound| own_id::is_at(addr, bound));
                let failure = if itself { ContactFailure::Itself } else { ContactFailure::Copied { id: self.own } };
                if !itself {
                    tracing::error!(%addr, "{failure}");
                }
                *asked = Asked::Failed(failure);
            }
            Ok(pong) => {
                *asked = Asked::Answered;
                self.answered.push(pong.peer);
                self.first.get_or_insert(pong);
                if let Stage::Told { late } = &mut self.stage {
                    *late = true;
                }
            }
            Err(failure) => *asked = Asked::Failed(failure),
        }
    }
}

impl Actor for Join {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
        for (at, contact) in self.contacts.iter().enumerate() {
            let resolving =
                addresses_of(contact.name.clone(), self.links.transport.clone(), self.links.resolver.clone());
            ctx.spawn(wrap_future::<_, Self>(resolving).map(move |found, join, ctx| join.resolved(at, found, ctx)));
        }
        // Without a contact it is over at once.
        self.go_on(ctx);
    }
}

impl Alarmed for Join {
    fn next_alarm(&self) -> Option<Instant> {
        self.give_up
    }

    fn alarm(&mut self, _: Instant, ctx: &mut Self::Context) {
        self.give_up = None;
        let waiting = self.asked.iter().filter(|(_, asked)| **asked == Asked::Waiting);
        for addr in waiting.map(|(addr, _)| *addr).collect::<Vec<_>>() {
            self.ended(&addr, Err(self.silence(&addr)));
        }
        self.go_on(ctx);
    }
}

impl Handler<QueryEvent> for Join {
    type Result = ();

    fn handle(&mut self, event: QueryEvent, ctx: &mut Self::Context) {
        let end = match event.result {
            QueryResult::Answered { peer, rtt, .. } => Ok(Pong { peer, rtt }),
            QueryResult::Doubted | QueryResult::Parked | QueryResult::Slow | QueryResult::Resent => return,
            QueryResult::Silent => Err(self.silence(&event.to)),
            QueryResult::WrongId { .. } => Err(ContactFailure::NoNode),
            QueryResult::Unsent => Err(ContactFailure::NotAsked),
        };
        self.ended(&event.to, end);
        self.go_on(ctx);
    }
}
