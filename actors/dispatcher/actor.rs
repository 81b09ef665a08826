//! The dispatcher: it decodes what came in, decides what each source may cost, and routes each message to the actor that
//! owns the answer. It answers nothing itself but pings.

use std::fmt::Display;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::Supervised;
use kademlia_dynamic::protocol::admission::{Admission, AdmissionCounts, Admitted, Standing, Tokens};
use kademlia_dynamic::protocol::message::{Body, Message, Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use tokio::sync::Semaphore;

use super::super::blocklist::Blocklist;
use super::super::clock::{self, Alarmed, timed_actor};
use super::super::counters::Counter;
use super::super::handling::Receive;
use super::super::lengths::ping_len;
use super::super::messages::{
    AnswerFromStore, AnswerNearest, AnswerReconcile, CountAdmitted, DatagramsReceived, Incoming, PeerSeen, PingPaid,
    RenewValues, ReplyTo, ResponseReceived, StoreQuestion, StoreValue, TransmitAnswer, TransmitEncoded,
};
use super::super::shared::Shared;
use super::super::traffic::Direction;

/// What a datagram counts against its source's rate.
const COST: u32 = 1;
/// How many entries of a `renew` count as one datagram: what they name is held, so no more than a time is written.
const ENTRIES_PER_COST: usize = 4;
/// What a `reconcile` counts in addition: its answer may fill a datagram.
const RECONCILE_COST: u32 = 1;

/// The actor that decodes, admits and routes.
pub struct Dispatcher {
    pub(super) shared: Rc<Shared>,
    /// They outlive a panic: what was given stays valid.
    tokens: Tokens,
    pub(super) admission: Admission<Awaiting>,
    /// A permit for each write whose address has proved itself, until it has been dealt with: as many as may wait for that.
    pub(super) released: Arc<Semaphore>,
    /// It outlives a panic, as it must.
    blocklist: Arc<Blocklist>,
}

/// What waits for the verification of its address.
pub(super) enum Awaiting {
    /// An encoded answer.
    Answer(TransmitEncoded),
    /// A write of a node without tokens, which takes effect with the pong.
    Write(StoreValue),
}

impl Awaiting {
    pub(super) fn addr(&self) -> SocketAddr {
        match self {
            Awaiting::Answer(answer) => answer.to,
            Awaiting::Write(write) => write.to.addr,
        }
    }
}

impl Dispatcher {
    pub(crate) fn new(shared: &Rc<Shared>) -> Self {
        let tokens = Tokens::new(&mut shared.entropy(6), clock::now());
        Self {
            shared: shared.clone(),
            admission: Admission::new(&shared.config, ping_len(shared.codec), tokens.clone()),
            tokens,
            released: Arc::new(Semaphore::new(shared.config.verification.max_unverified)),
            blocklist: Arc::default(),
        }
    }

    fn dispatch(&mut self, incoming: Incoming, now: Instant) {
        let Incoming { from, local, payload, permit, asked, stranger } = incoming;
        // Answers that we asked for are held to no rate, so what comes from an address that we asked is decoded first.
        let admitted = if asked { Admitted::Yes } else { self.admission.admit(from, false, COST, now) };
        if admitted == Admitted::No {
            return self.too_fast(from, now);
        }
        let Some(origin) = self.blocklist.admit(payload) else {
            self.turn_away(Counter::Blocked, from, &"it made a part of the node panic before", now);
            return;
        };
        let payload = origin.payload();
        let message = match self.shared.codec.decode(payload) {
            Ok(message) => message,
            Err(error) => {
                if asked {
                    self.shared.unreadable.note(from, payload, self.shared.codec);
                }
                self.turn_away(Counter::from(&error), from, &error, now);
                return;
            }
        };
        tracing::trace!(%from, bytes = payload.len(), message = message.body.name(), id = ?message.id, "message received");
        self.shared.counters.traffic().count(Direction::Received, message.body.name(), payload.len());
        let Message { id, sender, version, token, body } = message;
        match body {
            Body::Response(_) if admitted == Admitted::IfProved => self.too_fast(from, now),
            Body::Response(response) => {
                drop(permit);
                let received = ResponseReceived { from, id, sender: sender.id, version, token, response, origin };
                self.pass_response(received, asked, now);
            }
            Body::Request(request) => {
                tracing::debug!(%from, query = request.name(), "query received");
                if stranger {
                    self.shared.counters.reached(now);
                }
                let (standing, token) = self.admission.judge(from, token, now);
                if (asked || admitted == Admitted::IfProved) && !self.admit(from, standing, COST, now) {
                    return;
                }
                // The sender may say that it is not to be inserted: by an empty id, or by ours.
                let peer = sender.id.filter(|id| *id != self.shared.id).map(|id| Peer::new(id, from));
                let limit = self.admission.answer_limit(standing, payload.len(), peer.is_some());
                if let Some(peer) = peer {
                    self.report_seen(PeerSeen { peer, origin: origin.of_news() }, now);
                }
                let to = ReplyTo { addr: from, local, id, version, token, limit, cut: false, permit, origin };
                self.route(request, peer, to, standing, now);
            }
        }
    }

    /// Reports a stranger to the routing table. No slot is taken for such news, so a table that stands still, as during the
    /// pause before its restart, takes only as many as its mailbox holds.
    fn report_seen(&mut self, news: PeerSeen, now: Instant) {
        let from = news.peer.addr;
        if !self.shared.handles.table.try_seen(news) {
            self.turn_away(Counter::NewsFull, from, &"the routing table does not keep up", now);
        }
    }

    /// Hands on what came as an answer. How many may come from addresses that we asked is bounded by the queries in flight.
    /// For others no slot is taken, since that would let them fill the slots while the queries stand still: of theirs,
    /// only as many are taken as the mailbox holds.
    fn pass_response(&mut self, received: ResponseReceived, asked: bool, now: Instant) {
        let from = received.from;
        if asked {
            self.shared.handles.queries.response(received);
        } else if !self.shared.handles.queries.try_response(received) {
            let why = "nothing was asked there, and the queries do not keep up";
            self.turn_away(Counter::ResponsesFull, from, &why, now);
        }
    }

    /// Whether the rate of `from`, from which came a request of this standing, bears `cost` more.
    pub(super) fn admit(&mut self, from: SocketAddr, standing: Standing, cost: u32, now: Instant) -> bool {
        let proved = standing == Standing::Proved;
        let admitted = self.admission.admit(from, proved, cost, now) == Admitted::Yes;
        if !admitted {
            self.too_fast(from, now);
        }
        admitted
    }

    pub(super) fn turn_away(&self, counter: Counter, from: SocketAddr, why: &dyn Display, now: Instant) {
        self.shared.counters.turned_away(counter, from, why, now);
    }

    fn too_fast(&self, from: SocketAddr, now: Instant) {
        self.turn_away(Counter::TooFast, from, &"its source sends too fast", now);
    }

    fn route(&mut self, request: Request, peer: Option<Peer>, to: ReplyTo, standing: Standing, now: Instant) {
        let legacy = to.version.is_none();
        let question = |question, key, to| AnswerFromStore { question, key, to };
        match request {
            Request::Ping => self.shared.handles.socket.answer(TransmitAnswer { to, response: Response::Pong }),
            Request::FindNode { target } => {
                self.shared.handles.table.nearest(AnswerNearest { target, value_missing: false, to });
            }
            Request::FindValue { key } => self.shared.handles.store.answer(question(StoreQuestion::FindValue, key, to)),
            Request::Get { key } => self.shared.handles.store.answer(question(StoreQuestion::Get, key, to)),
            Request::CheckStore { key, .. } => {
                self.shared.handles.store.answer(question(StoreQuestion::CheckStore, key, to));
            }
            Request::Set { key, value, ttl, age } => {
                let write = StoreValue { key, value, ttl, age, cached: false, legacy, to };
                self.write(write, standing, now);
            }
            // The key is hashed here, whatever the sender claims.
            Request::SetCached { key, value, ttl, .. } => {
                let write = StoreValue { key, value, ttl, age: None, cached: true, legacy, to };
                self.write(write, standing, now);
            }
            Request::SetUnsupported { cached } => self.refuse_unsupported(cached, to, standing, now),
            Request::Renew { entries } => {
                let cost = u32::try_from(entries.entries.len().div_ceil(ENTRIES_PER_COST)).unwrap_or(u32::MAX) - COST;
                let none = Response::Renew { states: Vec::new() };
                if let Some(to) = self.admit_proved(to, standing, cost, none, now) {
                    self.shared.handles.store.renew(RenewValues { entries, to });
                }
            }
            Request::Reconcile { ranges, wanted } => {
                let none = Response::Reconcile { ranges: Vec::new() };
                if let Some(to) = self.admit_proved(to, standing, RECONCILE_COST, none, now) {
                    self.shared.handles.table.reconcile(AnswerReconcile { peer, ranges, wanted, to });
                }
            }
        }
    }
}

timed_actor!(Dispatcher);

impl Supervised for Dispatcher {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.admission = Admission::new(&self.shared.config, ping_len(self.shared.codec), self.tokens.clone());
    }
}

impl Alarmed for Dispatcher {
    fn next_alarm(&self) -> Option<Instant> {
        self.admission.next_wakeup()
    }

    fn alarm(&mut self, now: Instant, _: &mut Self::Context) {
        for held in self.admission.expire(now) {
            self.turn_away(Counter::NotVerified, held.addr(), &"its address did not prove itself", now);
        }
        for to in self.admission.ping_again(now) {
            self.shared.handles.queries.ping(PingPaid { to, id: None });
        }
    }
}

impl Receive<DatagramsReceived> for Dispatcher {
    fn receive(&mut self, batch: DatagramsReceived, _: &mut Self::Context) {
        let now = clock::now();
        for incoming in batch.0 {
            self.dispatch(incoming, now);
        }
    }
}

impl Receive<CountAdmitted> for Dispatcher {
    fn receive(&mut self, _: CountAdmitted, _: &mut Self::Context) -> (AdmissionCounts, usize) {
        (self.admission.counts(), self.blocklist.len())
    }
}
