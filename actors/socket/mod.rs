//! The socket actor: it owns the transport. Batches of datagrams go in and out through it; it encodes what goes out, and
//! knows which addresses were asked, so that answers never wait behind strangers. What is in a datagram is the dispatcher's business.

pub mod transport;
pub mod udp;

#[cfg(target_os = "linux")]
mod batches;
mod contacted;
#[cfg(target_os = "linux")]
mod losses;
#[cfg(target_os = "linux")]
mod packet_info;
mod priority;
mod reader_loop;
mod spare;

use std::collections::VecDeque;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context as TaskContext;

use actix::Supervised;
use kademlia_dynamic::protocol::admission::{Outbound, SendRate};
use kademlia_dynamic::protocol::lru::Lru;
use kademlia_dynamic::protocol::message::{Body, Message, PROTOCOL_VERSION, Response, Sender};
use kademlia_dynamic::protocol::peer::{AddressScope, check_unicast};
use tokio::sync::Semaphore;

use self::contacted::Contacted;
use self::priority::PriorityPath;
use self::spare::Spare;
use self::transport::{Datagram, Sent, Transport};
use super::clock;
use super::counters::{Counter, LOG_EVERY, LogLimit};
use super::handling::Receive;
use super::lengths::PaddedLens;
use super::messages::{
    AllQueriesOver, AwaitVerification, CountLosses, DatagramsReceived, Incoming, QueryOver, QueryUnsent, ReplyTo,
    TransmitAnswer, TransmitEncoded, TransmitQuery,
};
use super::shared::Shared;
use super::traffic::Direction;

/// Datagrams that wait for the network to take them. A further one is dropped and counted.
const OUTBOX: usize = 4_096;

/// Senders whose local address is remembered. Queries to a peer beyond them leave from the address that the system prefers.
const MAX_ASKED_AT: usize = 8_192;

/// The actor that owns the transport.
pub struct Socket {
    shared: Rc<Shared>,
    transport: Rc<dyn Transport>,
    slots: Arc<Semaphore>,
    priority: PriorityPath,
    /// The local address that each of the latest senders used, where the transport has several: a query to the sender leaves from
    /// there too. Otherwise a ping that verifies an address would come from one that the peer's firewall does not let in, and the
    /// peer would see this node at an address that it does not know.
    asked_at: Lru<SocketAddr, IpAddr>,
    contacted: Contacted,
    padded: PaddedLens,
    outbox: VecDeque<Datagram>,
    /// The memory of payloads that were sent.
    spare: Spare,
    rate: SendRate,
    /// Answers in the outbox that are not counted yet: they are counted together, before they leave.
    answered: u64,
    losses: Losses,
}

/// What the system dropped before it could be read.
#[derive(Debug, Default)]
struct Losses {
    /// Whether it reports that at all.
    reported: bool,
    /// How many were counted.
    counted: u64,
    logged: LogLimit,
}

/// What an answer is for the rate of all bytes.
fn weight(body: &Body) -> Outbound {
    match body {
        Body::Response(Response::Pong | Response::Set { .. } | Response::SetCached | Response::CheckStore { .. }) => {
            Outbound::ShortAnswer
        }
        _ => Outbound::Answer,
    }
}

impl Socket {
    pub(crate) fn new(shared: &Rc<Shared>, transport: Rc<dyn Transport>) -> Self {
        let losses = Losses { reported: transport.lost().is_some(), ..Losses::default() };
        Self {
            shared: shared.clone(),
            transport,
            slots: Arc::new(Semaphore::new(shared.config.limits.max_dispatches)),
            priority: PriorityPath::default(),
            asked_at: Lru::new(MAX_ASKED_AT),
            contacted: Contacted::new(clock::now()),
            padded: PaddedLens::new(shared.codec, &shared.config),
            outbox: VecDeque::new(),
            spare: Spare::default(),
            rate: SendRate::new(shared.config.limits.max_send_rate),
            answered: 0,
            losses,
        }
    }

    fn turn_away(&self, counter: Counter, from: SocketAddr, why: &dyn Display) {
        self.shared.counters.turned_away(counter, from, why, clock::now());
    }

    /// Puts the datagram of the message `name` on its way, if there is room, and the rate of all bytes permits it.
    fn send(&mut self, what: Outbound, name: &str, addr: SocketAddr, local: Option<IpAddr>, payload: Vec<u8>) -> bool {
        if self.outbox.len() >= OUTBOX {
            self.turn_away(Counter::OutboxFull, addr, &"the network takes no more");
            return false;
        }
        let admitted = !self.rate.is_limited() || self.rate.admits(what, payload.len(), &addr, clock::now());
        if admitted {
            self.shared.counters.traffic().count(Direction::Sent, name, payload.len());
            let host = addr.ip().to_canonical();
            if AddressScope::of(&host).is_global() {
                self.contacted.note(host, clock::now());
            }
            self.outbox.push_back(Datagram { addr, local, payload });
        } else {
            let query = what == Outbound::Query;
            let counter = if query { Counter::QueryOverRate } else { Counter::AnswerOverRate };
            self.turn_away(counter, addr, &"max_send_rate is used up");
        }
        admitted
    }

    /// The message that carries `response`.
    fn answer(&self, to: &ReplyTo, response: Response) -> Message {
        let sender = Sender::new(self.shared.insertable_id(), self.shared.addr);
        let (version, body) = (Some(PROTOCOL_VERSION), Body::Response(response));
        Message { id: to.id, sender, version, token: to.token, body }
    }

    /// The most bytes of an answer with peers: one frame to a global address, whatever fits a datagram nearby.
    fn room_for(&self, to: &SocketAddr) -> usize {
        if AddressScope::of(&to.ip()).is_global() { self.shared.config.limits.max_global_answer } else { usize::MAX }
    }

    /// Whether fewer datagrams than these could be taken in now.
    fn is_short_of_slots(&self, datagrams: usize) -> bool {
        self.slots.available_permits() < self.shared.config.limits.max_dispatches.min(datagrams)
    }

    /// Sorts a batch into answers on the priority path and datagrams of strangers, which need a slot each. Nothing is decoded yet,
    /// so that what is beyond the slots costs little.
    fn take_in(&mut self, batch: &mut Vec<Datagram>) {
        self.shared.counters.add(Counter::Received, batch.len() as u64);
        let (mut strangers, mut answers) = (Vec::with_capacity(batch.len()), Vec::new());
        let (mut beyond, mut last) = (0, None);
        for Datagram { addr: from, local, payload } in batch.drain(..) {
            if check_unicast(&from).is_err() {
                self.turn_away(Counter::BadSource, from, &"its source cannot be answered");
                continue;
            }
            if self.shared.config.limits.deny.contains(&from.ip()) {
                self.shared.counters.count(Counter::Denied);
                continue;
            }
            if let Some(local) = local {
                self.asked_at.insert(&from, local);
            }
            // Beyond what a query of ours lets pass, an address that was asked is a stranger like any other.
            let asked = self.priority.take(&from);
            let permit = self.slots.clone().try_acquire_owned().ok();
            if permit.is_none() && !asked {
                (beyond, last) = (beyond + 1, Some(from));
                continue;
            }
            let host = from.ip().to_canonical();
            let stranger = AddressScope::of(&host).is_global() && self.contacted.is_stranger(host, clock::now());
            let incoming = Incoming { from, local, payload, permit, asked, stranger };
            if asked { answers.push(incoming) } else { strangers.push(incoming) }
        }
        if let Some(from) = last {
            let why = format_args!("all {} dispatch slots are taken", self.shared.config.limits.max_dispatches);
            self.turn_away(Counter::NoSlot, from, &why);
            self.shared.counters.add(Counter::NoSlot, beyond - 1);
        }
        if !answers.is_empty() {
            self.shared.handles.dispatcher.answers(DatagramsReceived(answers));
        }
        if !strangers.is_empty() {
            let (count, from) = (strangers.len() as u64, strangers[0].from);
            // The permits are the exact bound; the mailbox's own is a second one behind it.
            if !self.shared.handles.dispatcher.strangers(DatagramsReceived(strangers)) {
                self.turn_away(Counter::NoSlot, from, &"the dispatcher's mailbox is full");
                self.shared.counters.add(Counter::NoSlot, count - 1);
            }
        }
    }

    /// Counts what the system dropped since this was last done.
    fn count_losses(&mut self) {
        let Some(lost) = self.transport.lost() else { return };
        let new = lost.saturating_sub(self.losses.counted);
        if new == 0 {
            return;
        }
        self.losses.counted = lost;
        self.shared.counters.add(Counter::KernelDropped, new);
        if self.losses.logged.pass(LOG_EVERY, clock::now()).is_some() {
            tracing::warn!(datagrams = new, "the system dropped datagrams before they could be read");
        }
    }

    /// Sends what waits to be sent.
    fn flush(&mut self, cx: &mut TaskContext<'_>) {
        if self.outbox.is_empty() {
            return;
        }
        let mut report = Sent { spare: self.spare.lend(), ..Sent::default() };
        self.shared.counters.add(Counter::Answered, std::mem::take(&mut self.answered));
        // Pending: what is left is sent when the network takes more, which wakes this actor.
        let _ = self.transport.poll_send(cx, &mut self.outbox, &mut report);
        self.shared.counters.add(Counter::Sent, report.sent as u64);
        if report.failed > 0 {
            self.shared.counters.add(Counter::SendFailed, report.failed as u64);
        }
        self.spare.keep(report.spare);
    }
}

impl Supervised for Socket {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.priority = PriorityPath::default();
        self.outbox.clear();
        self.answered = 0;
    }
}

impl Receive<TransmitQuery> for Socket {
    fn receive(&mut self, query: TransmitQuery, _: &mut Self::Context) {
        let sender = Sender::new(query.claim, self.shared.addr);
        let (version, body) = (Some(PROTOCOL_VERSION), Body::Request(query.request));
        let message = Message { id: query.id, sender, version, token: query.token, body };
        if !query.again {
            self.priority.expect(query.to);
        }
        tracing::trace!(to = %query.to, message = message.body.name(), id = ?query.id, "message sent");
        let len = if query.padded { self.padded.of(&query.to) } else { 0 };
        let sent = match self.shared.codec.encode_padded(&message, len, self.spare.take()) {
            // No answer can come from there, and no peer is to blame for that.
            Ok(_) if !self.transport.speaks_family_of(&query.to) => false,
            Ok(payload) => {
                // Where the peer reached us last may be forged, or a way that is gone: a second send takes the system's choice.
                let local = self.asked_at.get(&query.to).copied().filter(|_| !query.again);
                self.send(Outbound::Query, message.body.name(), query.to, local, payload)
            }
            Err(error) => {
                self.turn_away(Counter::NotEncodable, query.to, &error);
                false
            }
        };
        if sent {
            self.shared.counters.count(if query.again { Counter::Resent } else { Counter::Asked });
        } else if !query.again {
            self.shared.handles.queries.unsent(QueryUnsent { id: query.id });
        }
    }
}

impl Receive<QueryOver> for Socket {
    fn receive(&mut self, over: QueryOver, _: &mut Self::Context) {
        self.priority.over(&over.to);
    }
}

impl Receive<AllQueriesOver> for Socket {
    fn receive(&mut self, _: AllQueriesOver, _: &mut Self::Context) {
        self.priority = PriorityPath::default();
    }
}

impl Receive<TransmitAnswer> for Socket {
    fn receive(&mut self, answer: TransmitAnswer, _: &mut Self::Context) {
        let TransmitAnswer { to, response } = answer;
        let carries_peers = matches!(response, Response::FindNode { .. } | Response::NoValue { .. });
        let room = if carries_peers { self.room_for(&to.addr) } else { usize::MAX };
        let room = if to.cut { room.min(to.limit) } else { room };
        let message = self.answer(&to, response);
        match self.shared.codec.encode_within(&message, room, self.spare.take()) {
            Ok(payload) if payload.len() <= to.limit => {
                tracing::trace!(to = %to.addr, bytes = payload.len(), message = message.body.name(), "message sent");
                if self.send(weight(&message.body), message.body.name(), to.addr, to.local, payload) {
                    self.answered += 1;
                }
            }
            Ok(payload) => {
                let Body::Response(response) = message.body else { return };
                // What waits gives its slot back.
                self.shared.handles.dispatcher.await_verification(AwaitVerification {
                    to: ReplyTo { permit: None, ..to },
                    response,
                    payload,
                });
            }
            // Not even an answer without peers fits: it has been counted.
            Err(_) if to.cut => {}
            Err(error) => {
                self.turn_away(Counter::NotEncodable, to.addr, &error);
            }
        }
    }
}

impl Receive<TransmitEncoded> for Socket {
    fn receive(&mut self, held: TransmitEncoded, _: &mut Self::Context) {
        if self.send(Outbound::Answer, held.name, held.to, held.local, held.payload) {
            self.answered += 1;
        }
    }
}

impl Receive<CountLosses> for Socket {
    fn receive(&mut self, _: CountLosses, _: &mut Self::Context) {
        self.count_losses();
    }
}
