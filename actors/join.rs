//! One bootstrap as a short-lived actor: it resolves the contacts, pings them all at once, and says who answered. Then it
//! has the own id looked up, so that the neighbourhood gets to know this node, and the buckets filled.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use actix::fut::wrap_future;
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Recipient};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::protocol::peer::{canonical, check_unicast};
use tokio::sync::oneshot;

use super::clock::{self, Alarm, Alarmed};
use super::events::{Event, Events};
use super::messages::{Answer, LookupKey, Purpose, QueryEvent, QueryResult, RefreshBuckets, SendQuery, StartLookup};
use super::outcome::{BootstrapOutcome, Error, Pong, Unresolved};

/// How long a name may take to resolve.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses of one contact that are tried.
const ADDRESSES_PER_CONTACT: usize = 8;

/// The actor that is one bootstrap.
pub(crate) struct Join {
    own: NodeId,
    /// The address that we are bound to: a contact that is ourselves is left out, and only our family is tried.
    bound: SocketAddr,
    contacts: Vec<String>,
    timeout: Duration,
    waiting: Vec<SocketAddr>,
    outcome: BootstrapOutcome,
    /// Who answered first, and how fast.
    first: Option<Pong>,
    pinged: bool,
    give_up: Option<Instant>,
    /// `None` once the outcome has been told.
    aim: Option<Aim>,
    events: Events,
    links: JoinLinks,
}

/// Whom a bootstrap tells.
#[derive(Clone)]
pub(crate) struct JoinLinks {
    pub(crate) query: Recipient<SendQuery>,
    pub(crate) lookup: Recipient<StartLookup>,
    pub(crate) refresh: Recipient<RefreshBuckets>,
}

/// What a bootstrap is born with.
pub(crate) struct JoinPlan {
    pub(crate) own: NodeId,
    pub(crate) bound: SocketAddr,
    pub(crate) contacts: Vec<String>,
    pub(crate) query_timeout: Duration,
    pub(crate) aim: Aim,
}

/// What the contacts are asked for.
pub(crate) enum Aim {
    /// To become part of their network. A client asks its contacts and no more: nobody needs to know it.
    Join { client: bool, answer: Option<Answer<BootstrapOutcome>> },
    /// To see whether they are there.
    Ping(Answer<Pong>),
}

impl Join {
    pub(crate) fn new(plan: JoinPlan, events: Events, links: JoinLinks) -> Self {
        Self {
            own: plan.own,
            bound: plan.bound,
            contacts: plan.contacts,
            timeout: plan.query_timeout,
            waiting: Vec::new(),
            outcome: BootstrapOutcome { answered: Vec::new(), silent: Vec::new(), unresolved: Vec::new() },
            first: None,
            pinged: false,
            give_up: None,
            aim: Some(plan.aim),
            events,
            links,
        }
    }

    fn ping_all(&mut self, resolved: Vec<Result<Vec<SocketAddr>, Unresolved>>, ctx: &mut Context<Self>) {
        for contact in resolved {
            match contact {
                Ok(addresses) => self.waiting.extend(addresses),
                Err(unresolved) => self.outcome.unresolved.push(unresolved),
            }
        }
        self.waiting.sort();
        self.waiting.dedup();
        self.pinged = true;
        // The queries end by themselves; this is for the case that their end gets lost.
        self.give_up = Some(clock::now() + self.timeout + self.timeout);
        for to in &self.waiting {
            let asker = Some(ctx.address().recipient());
            self.links.query.do_send(SendQuery { to: *to, id: None, request: Request::Ping, asker });
        }
        self.go_on(ctx);
    }

    /// Once all have answered or kept silent: look ourselves up, then tell.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        // Whoever only wants to know whether somebody is there has its answer with the first one.
        let answered = matches!(self.aim, Some(Aim::Ping(_))) && self.first.is_some();
        if !self.pinged || !(self.waiting.is_empty() || answered) {
            return;
        }
        self.pinged = false;
        self.give_up = None;
        if let Some(Aim::Join { .. }) = self.aim {
            self.events.emit(Event::Joined { answered: self.outcome.answered.len() });
        }
        if !self.outcome.joined() || !matches!(self.aim, Some(Aim::Join { client: false, .. })) {
            return self.finish(ctx);
        }
        let (done, looked_up) = oneshot::channel();
        let purpose = Purpose::FindNode(done);
        self.links.lookup.do_send(StartLookup { key: LookupKey::Nodes(self.own), purpose });
        let end = wrap_future::<_, Self>(looked_up).map(|_, join, ctx| {
            join.links.refresh.do_send(RefreshBuckets { all: true });
            join.finish(ctx);
        });
        ctx.spawn(end);
    }

    fn finish(&mut self, ctx: &mut Context<Self>) {
        // Whoever asked may have gone.
        match self.aim.take() {
            Some(Aim::Join { answer: Some(answer), .. }) => {
                let _ = answer.send(Ok(self.outcome.clone()));
            }
            Some(Aim::Ping(answer)) => {
                let _ = answer.send(self.pong());
            }
            Some(Aim::Join { answer: None, .. }) | None => {}
        }
        ctx.stop();
    }

    fn pong(&self) -> Result<Pong, Error> {
        match (&self.first, self.outcome.silent.first(), self.outcome.unresolved.first()) {
            (Some(pong), ..) => Ok(pong.clone()),
            (None, Some(addr), _) => Err(Error::Silent { addr: *addr, within: self.timeout }),
            (None, None, Some(Unresolved { contact, reason })) => {
                Err(Error::Resolve { addr: contact.clone(), reason: reason.clone() })
            }
            (None, None, None) => Err(Error::Interrupted),
        }
    }

    fn over(&mut self, addr: &SocketAddr, answered: Option<Pong>) {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting != addr);
        if self.waiting.len() == before {
            return;
        }
        match answered {
            // Our own voice is no company.
            Some(pong) if pong.peer.id == self.own => {
                let reason = "it is this node itself".to_owned();
                self.outcome.unresolved.push(Unresolved { contact: addr.to_string(), reason });
            }
            Some(pong) => {
                self.outcome.answered.push(pong.peer);
                self.first.get_or_insert(pong);
            }
            None => self.outcome.silent.push(*addr),
        }
    }
}

/// The addresses of one contact that this node can send to.
async fn resolve(contact: String, bound: SocketAddr) -> Result<Vec<SocketAddr>, Unresolved> {
    let unresolved = |reason: String| Unresolved { contact: contact.clone(), reason };
    let found = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(contact.as_str())).await;
    let all: Vec<SocketAddr> = match found {
        Ok(Ok(addresses)) => addresses.map(canonical).collect(),
        Ok(Err(error)) => return Err(unresolved(error.to_string())),
        Err(_) => return Err(unresolved(format!("its name did not resolve within {RESOLVE_TIMEOUT:?}"))),
    };
    let usable = |addr: &SocketAddr| {
        addr.is_ipv4() == bound.is_ipv4() && check_unicast(addr).is_ok() && *addr != canonical(bound)
    };
    let addresses: Vec<SocketAddr> = all.iter().copied().filter(usable).take(ADDRESSES_PER_CONTACT).collect();
    match all.first() {
        None => Err(unresolved("its name has no address".to_owned())),
        Some(own) if addresses.is_empty() && *own == canonical(bound) => {
            Err(unresolved("it is this node itself".to_owned()))
        }
        Some(first) if addresses.is_empty() => Err(unresolved(format!("{first} cannot be asked from {bound}"))),
        Some(_) => Ok(addresses),
    }
}

impl Actor for Join {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
        let bound = self.bound;
        let resolving = std::mem::take(&mut self.contacts).into_iter().map(move |contact| resolve(contact, bound));
        let all = futures_util::future::join_all(resolving);
        ctx.spawn(wrap_future::<_, Self>(all).map(|resolved, join, ctx| join.ping_all(resolved, ctx)));
    }
}

impl Alarmed for Join {
    fn next_alarm(&self) -> Option<Instant> {
        self.give_up
    }

    fn alarm(&mut self, _: Instant, ctx: &mut Self::Context) {
        self.give_up = None;
        for addr in std::mem::take(&mut self.waiting) {
            self.outcome.silent.push(addr);
        }
        self.go_on(ctx);
    }
}

impl Handler<QueryEvent> for Join {
    type Result = ();

    fn handle(&mut self, event: QueryEvent, ctx: &mut Self::Context) {
        match event.result {
            QueryResult::Answered { peer, rtt, .. } => self.over(&event.to, Some(Pong { peer, rtt })),
            QueryResult::Doubted | QueryResult::Parked | QueryResult::Slow | QueryResult::Resent => return,
            QueryResult::Silent | QueryResult::WrongId { .. } | QueryResult::Unsent => self.over(&event.to, None),
        }
        self.go_on(ctx);
    }
}
