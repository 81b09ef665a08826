//! The dispatcher: it decodes what came in, decides what each source may cost, and routes each message to the actor that
//! owns the answer. It answers nothing itself but pings.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::Supervised;
use kademlia_dynamic::protocol::admission::{Admission, AdmissionCounts, Admitted, Standing, Tokens, WriteAdmission};
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{
    Body, Message, PROTOCOL_VERSION, QueryId, Request, Response, Sender, TOKEN_VERSION,
};
use kademlia_dynamic::protocol::peer::Peer;
use tokio::sync::Semaphore;

use super::blocklist::Blocklist;
use super::clock::{self, Alarmed, timed_actor};
use super::counters::Counter;
use super::handling::Receive;
use super::messages::{
    AddressVerified, AnswerFromStore, AnswerNearest, AnswerReconcile, AwaitVerification, CountAdmitted,
    DatagramsReceived, Incoming, PeerSeen, PingPaid, RenewValues, ReplyTo, ResponseReceived, StoreQuestion, StoreValue,
    TransmitAnswer, TransmitEncoded,
};
use super::shared::Shared;
use super::traffic::Direction;

/// What a datagram counts against its source's rate.
const COST: u32 = 1;
/// What a datagram that wants something stored counts in addition.
const WRITE_COST: u32 = 3;
/// How many entries of a `renew` count as one datagram: what they name is held, so no more than a time is written.
const ENTRIES_PER_COST: usize = 4;
/// What a `reconcile` counts in addition: its answer may fill a datagram.
const RECONCILE_COST: u32 = 1;

/// Why an answer is not sent, or cut short.
const OVER_BUDGET: &str = "the budget of its host, or that of all, is used up";

/// The actor that decodes, admits and routes.
pub struct Dispatcher {
    shared: Rc<Shared>,
    /// They outlive a panic: what was given stays valid.
    tokens: Tokens,
    admission: Admission<Awaiting>,
    /// A permit for each write whose address has proved itself, until it has been dealt with: as many as may wait for that.
    released: Arc<Semaphore>,
    /// It outlives a panic, as it must.
    blocklist: Arc<Blocklist>,
}

/// What waits for the verification of its address.
enum Awaiting {
    /// An encoded answer.
    Answer(TransmitEncoded),
    /// A write of a node without tokens, which takes effect with the pong.
    Write(StoreValue),
}

impl Awaiting {
    fn addr(&self) -> SocketAddr {
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
    fn admit(&mut self, from: SocketAddr, standing: Standing, cost: u32, now: Instant) -> bool {
        let proved = standing == Standing::Proved;
        let admitted = self.admission.admit(from, proved, cost, now) == Admitted::Yes;
        if !admitted {
            self.too_fast(from, now);
        }
        admitted
    }

    fn turn_away(&self, counter: Counter, from: SocketAddr, why: &dyn Display, now: Instant) {
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

    /// Acknowledges a write whose value is of a kind that no node of ours represents. It costs its source as any write does.
    fn refuse_unsupported(&mut self, cached: bool, to: ReplyTo, standing: Standing, now: Instant) {
        if self.admit(to.addr, standing, WRITE_COST, now) {
            let why = "its value is neither text nor bytes";
            self.turn_away(Counter::ValueUnsupported, to.addr, &why, now);
            self.refuse(cached, to);
        }
    }

    /// Whether a request of a kind that only nodes with tokens send may go on. Without a valid token it is answered with `refusal`,
    /// which brings one: its sender is to ask again.
    fn admit_proved(
        &mut self,
        to: ReplyTo,
        standing: Standing,
        cost: u32,
        refusal: Response,
        now: Instant,
    ) -> Option<ReplyTo> {
        if !standing.is_proved() {
            self.shared.counters.count(Counter::NoToken);
            self.shared.handles.socket.answer(TransmitAnswer { to, response: refusal });
            return None;
        }
        (cost == 0 || self.admit(to.addr, standing, cost, now)).then_some(to)
    }

    fn write(&mut self, write: StoreValue, standing: Standing, now: Instant) {
        // One that lacks a token costs its source no more than any request: it is to come again.
        if standing.lacks_token(write.to.version) || self.admit(write.to.addr, standing, WRITE_COST, now) {
            self.judge_write(write, standing, now);
        }
    }

    fn judge_write(&mut self, mut write: StoreValue, standing: Standing, now: Instant) {
        let from = write.to.addr;
        match self.admission.admit_write(from, standing, write.to.version, now) {
            WriteAdmission::Take => self.shared.handles.store.write(write),
            WriteAdmission::NoToken => {
                // A node of ours repeats it with the token that this answer brings: nothing to warn of.
                self.shared.counters.count(Counter::NoToken);
                self.refuse(write.cached, write.to);
            }
            WriteAdmission::TooFast => {
                let why = "its host writes too fast for one that can show no token";
                self.turn_away(Counter::LegacyWrite, from, &why, now);
                self.refuse(write.cached, write.to);
            }
            WriteAdmission::AwaitVerification => {
                // A write that waits gives its slot back: spoofed ones must not block the node.
                write.to.permit = None;
                let credit = write.to.limit;
                self.hold(Awaiting::Write(write), credit, now);
            }
        }
    }

    /// A refused write is acknowledged: a legacy node drops a peer after one silent query.
    fn refuse(&self, cached: bool, to: ReplyTo) {
        let response = if cached { Response::SetCached } else { Response::Set { stored: false, ttl: None } };
        self.shared.handles.socket.answer(TransmitAnswer { to, response });
    }

    /// An answer that the budget of its address does not bear: as much of it as is answered in any case.
    fn shorten(&self, AwaitVerification { to, response, .. }: AwaitVerification, now: Instant) {
        self.turn_away(Counter::OverBudget, to.addr, &OVER_BUDGET, now);
        let response = match response {
            Response::FindNode { .. } | Response::NoValue { .. } => response,
            // A node that knows tokens takes an answer with nothing in it, but a token, for what it is, and asks again.
            Response::Value { .. } if to.version >= Some(TOKEN_VERSION) => Response::NoValue { peers: Vec::new() },
            _ => return,
        };
        self.shared.handles.socket.answer(TransmitAnswer { to: ReplyTo { cut: true, ..to }, response });
    }

    /// Holds what waits for the pong to a ping that `credit` bytes pay for.
    fn hold(&mut self, held: Awaiting, credit: usize, now: Instant) {
        let addr = held.addr();
        match self.admission.await_verification(addr, held, credit, now) {
            Ok(held) => {
                self.shared.counters.count(Counter::Unverified);
                if held.ping {
                    self.shared.handles.queries.ping(PingPaid { to: addr, id: None });
                }
            }
            Err((_, refused)) => {
                self.turn_away(Counter::UnverifiedFull, addr, &refused, now);
            }
        }
    }

    /// `limit` is what its request still bears; the rest is on the budget.
    fn release(&mut self, held: Awaiting, limit: usize, now: Instant) {
        match held {
            Awaiting::Answer(answer) => {
                let beyond = answer.payload.len().saturating_sub(limit);
                if beyond == 0 || self.admission.spend(answer.to, beyond, now) {
                    self.shared.handles.socket.encoded(answer);
                } else {
                    self.turn_away(Counter::OverBudget, answer.to, &OVER_BUDGET, now);
                }
            }
            Awaiting::Write(mut write) => {
                // Its slot is long given back, and a value store that stands still must not collect all that is released.
                let Ok(permit) = self.released.clone().try_acquire_owned() else {
                    let why = "as many writes as may wait for a proof have theirs, and are not dealt with yet";
                    self.turn_away(Counter::UnverifiedFull, write.to.addr, &why, now);
                    return;
                };
                write.to.permit = Some(permit);
                write.to.limit = limit;
                let standing = self.admission.standing(write.to.addr, None, now);
                self.judge_write(write, standing, now);
            }
        }
    }
}

/// Length of a ping that shows no token in bytes, as it is spelled on this wire, at its longest.
fn ping_len(codec: Codec) -> usize {
    let id = QueryId::from_u64(u64::MAX);
    let bound = SocketAddr::new(Ipv4Addr::BROADCAST.into(), u16::MAX);
    let sender = Sender::new(Some(NodeId::ZERO), bound);
    let (version, body) = (Some(PROTOCOL_VERSION), Body::Request(Request::Ping));
    let ping = Message { id, sender, version, token: None, body };
    codec.encode(&ping).expect("a ping fits a datagram").len()
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

impl Receive<AwaitVerification> for Dispatcher {
    fn receive(&mut self, held: AwaitVerification, _: &mut Self::Context) {
        let now = clock::now();
        let ReplyTo { addr: to, local, limit, .. } = held.to;
        if self.admission.standing(to, None, now) == Standing::Unknown {
            let name = held.response.name();
            self.hold(Awaiting::Answer(TransmitEncoded { to, local, payload: held.payload, name }), limit, now);
        } else if self.admission.spend(to, held.payload.len().saturating_sub(limit), now) {
            let name = held.response.name();
            self.shared.handles.socket.encoded(TransmitEncoded { to, local, payload: held.payload, name });
        } else {
            self.shorten(held, now);
        }
    }
}

impl Receive<AddressVerified> for Dispatcher {
    fn receive(&mut self, verified: AddressVerified, _: &mut Self::Context) {
        let now = clock::now();
        let limit = self.admission.released_limit(verified.addr);
        for held in self.admission.verified(verified.addr, verified.version, now) {
            self.release(held, limit, now);
        }
    }
}

impl Receive<CountAdmitted> for Dispatcher {
    fn receive(&mut self, _: CountAdmitted, _: &mut Self::Context) -> (AdmissionCounts, usize) {
        (self.admission.counts(), self.blocklist.len())
    }
}
