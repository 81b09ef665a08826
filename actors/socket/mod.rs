//! The socket actor: it owns the transport. Batches of datagrams go in and out through it; it encodes what goes out, and
//! knows whom we asked, so that answers never wait behind strangers. What is in a datagram is the dispatcher's business.

pub mod transport;
pub mod udp;

mod lane;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context, Recipient, Supervised};
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Body, Message, PROTOCOL_VERSION, Response, Sender};
use kademlia_dynamic::protocol::peer::{AddressScope, check_unicast};
use tokio::sync::Semaphore;
use tokio::time::Sleep;

use self::lane::Lane;
use self::transport::{Datagram, Sent, Transport};
use super::clock;
use super::counters::{Counter, Counters};
use super::handling::Handler;
use super::messages::{
    AnswersReceived, DatagramsReceived, HoldAnswer, Incoming, QueryOver, QueryUnsent, TransmitAnswer, TransmitHeld,
    TransmitQuery,
};

/// Datagrams read before the other actors get their turn. A loop that reads on would take all there are while nobody
/// works on them, and so run out of slots in the middle of a burst that an idle node can bear.
const READ_AT_ONCE: usize = 32;
/// How many turns the others get to work off a batch before the next one is read.
const TURNS_FOR_OTHERS: u32 = 8;
/// Datagrams that wait for the network to take them. A further one is dropped and counted.
const OUTBOX: usize = 4_096;
/// Errors of the transport in a row after which reading pauses for [`PAUSE_AFTER_ERRORS`]: a broken network must not
/// keep a processor busy.
const ERRORS_IN_A_ROW: u32 = 16;
const PAUSE_AFTER_ERRORS: Duration = Duration::from_millis(100);

/// The actor that owns the transport.
pub struct Socket {
    transport: Rc<dyn Transport>,
    codec: Codec,
    /// Our id as our answers tell it; `None` for a client, whom nobody is to insert.
    own: Option<NodeId>,
    max_global_answer: usize,
    slots: Arc<Semaphore>,
    all_slots: usize,
    lane: Lane,
    outbox: VecDeque<Datagram>,
    counters: Arc<Counters>,
    received: Recipient<DatagramsReceived>,
    answers: Recipient<AnswersReceived>,
    hold: Recipient<HoldAnswer>,
    unsent: Recipient<QueryUnsent>,
}

/// Whom the socket talks to.
pub(crate) struct SocketLinks {
    pub(crate) unsent: Recipient<QueryUnsent>,
    pub(crate) received: Recipient<DatagramsReceived>,
    pub(crate) answers: Recipient<AnswersReceived>,
    pub(crate) hold: Recipient<HoldAnswer>,
}

impl Socket {
    pub(crate) fn new(
        transport: Rc<dyn Transport>,
        codec: Codec,
        own: Option<NodeId>,
        config: &Config,
        counters: Arc<Counters>,
        links: SocketLinks,
    ) -> Self {
        Self {
            transport,
            codec,
            own,
            max_global_answer: config.max_global_answer,
            slots: Arc::new(Semaphore::new(config.max_dispatches)),
            all_slots: config.max_dispatches,
            lane: Lane::default(),
            outbox: VecDeque::new(),
            counters,
            received: links.received,
            answers: links.answers,
            hold: links.hold,
            unsent: links.unsent,
        }
    }

    /// Sorts a batch into the lane of answers and the strangers, who need a slot each.
    fn take_in(&mut self, batch: &mut Vec<Datagram>) {
        self.counters.add(Counter::Received, batch.len() as u64);
        let (mut strangers, mut answers) = (Vec::new(), Vec::new());
        for Datagram { addr: from, payload } in batch.drain(..) {
            if check_unicast(&from).is_err() {
                self.counters.turned_away(Counter::BadSource, from, &"its source cannot be answered", clock::now());
            } else if let Ok(permit) = self.slots.clone().try_acquire_owned() {
                let asked = self.lane.is_asked(&from);
                let incoming = Incoming { from, payload, permit: Some(permit), asked };
                if asked { answers.push(incoming) } else { strangers.push(incoming) }
            } else if self.lane.take(&from) {
                // No slot is free, but this may be an answer to a query of ours.
                answers.push(Incoming { from, payload, permit: None, asked: true });
            } else {
                let why = format_args!("all {} dispatch slots are taken", self.all_slots);
                self.counters.turned_away(Counter::NoSlot, from, &why, clock::now());
            }
        }
        if !answers.is_empty() {
            self.answers.do_send(AnswersReceived(answers));
        }
        if !strangers.is_empty() {
            let (count, from) = (strangers.len() as u64, strangers[0].from);
            // The permits are the exact bound; the mailbox's own is a second one behind it.
            if self.received.try_send(DatagramsReceived(strangers)).is_err() {
                self.counters.turned_away(Counter::NoSlot, from, &"the dispatcher's mailbox is full", clock::now());
                self.counters.add(Counter::NoSlot, count - 1);
            }
        }
    }

    /// Puts a datagram on its way, if there is room.
    fn send(&mut self, addr: SocketAddr, payload: Vec<u8>) -> bool {
        let room = self.outbox.len() < OUTBOX;
        if room {
            self.outbox.push_back(Datagram { addr, payload });
        } else {
            self.counters.turned_away(Counter::OutboxFull, addr, &"the network takes no more", clock::now());
        }
        room
    }

    fn flush(&mut self, cx: &mut TaskContext<'_>) {
        if self.outbox.is_empty() {
            return;
        }
        let mut report = Sent::default();
        // Pending: what is left is sent when the network takes more, which wakes this actor.
        let _ = self.transport.poll_send(cx, &mut self.outbox, &mut report);
        self.counters.add(Counter::Sent, report.sent as u64);
        if report.failed > 0 {
            self.counters.add(Counter::SendFailed, report.failed as u64);
        }
    }

    /// The most bytes of an answer with peers: one frame to a global address, whatever fits a datagram nearby.
    fn room_for(&self, to: &SocketAddr) -> usize {
        if AddressScope::of(&to.ip()).is_global() { self.max_global_answer } else { usize::MAX }
    }
}

impl Actor for Socket {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(Pump::default());
    }
}

impl Supervised for Socket {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.lane = Lane::default();
        self.outbox.clear();
    }
}

/// Moves datagrams between the transport and the actor. It is polled whenever the actor has been awake.
#[derive(Default)]
struct Pump {
    batch: Vec<Datagram>,
    /// Turns that the others still get before the next batch.
    turns: u32,
    /// Errors in a row.
    errors: u32,
    /// Set after too many of them.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Pump {
    fn read(&mut self, socket: &mut Socket, cx: &mut TaskContext<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if self.turns > 0 {
            self.turns -= 1;
            if socket.slots.available_permits() < socket.all_slots.min(READ_AT_ONCE) && self.turns > 0 {
                return Poll::Ready(());
            }
            self.turns = 0;
        }
        match ready!(socket.transport.poll_receive(cx, &mut self.batch, READ_AT_ONCE)) {
            Ok(()) => {
                self.errors = 0;
                let room = READ_AT_ONCE - self.batch.len();
                // Mostly that was all. To hear so now saves this actor from being woken to look once more.
                let all = room > 0 && socket.transport.poll_receive(cx, &mut self.batch, room).is_pending();
                socket.take_in(&mut self.batch);
                if all {
                    self.turns = TURNS_FOR_OTHERS;
                    return Poll::Pending;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "nothing received");
                self.errors += 1;
                if self.errors >= ERRORS_IN_A_ROW {
                    self.errors = 0;
                    self.pause = Some(Box::pin(tokio::time::sleep(PAUSE_AFTER_ERRORS)));
                }
            }
        }
        self.turns = TURNS_FOR_OTHERS;
        Poll::Ready(())
    }
}

impl ActorFuture<Socket> for Pump {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        socket: &mut Socket,
        _: &mut Context<Socket>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        socket.flush(cx);
        if self.read(socket, cx).is_ready() {
            // There may be more: come back once the others had a turn.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Handler<TransmitQuery> for Socket {
    type Result = ();

    fn handle(&mut self, query: TransmitQuery, _: &mut Self::Context) {
        let sender = Sender::new(query.claim, self.transport.local_addr());
        let message =
            Message { id: query.id, sender, version: Some(PROTOCOL_VERSION), body: Body::Request(query.request) };
        self.lane.expect(query.to);
        let sent = match self.codec.encode(&message) {
            Ok(payload) => self.send(query.to, payload),
            Err(error) => {
                self.counters.turned_away(Counter::NotEncodable, query.to, &error, clock::now());
                false
            }
        };
        if sent {
            self.counters.count(Counter::Asked);
        } else {
            self.unsent.do_send(QueryUnsent { id: query.id });
        }
    }
}

impl Handler<QueryOver> for Socket {
    type Result = ();

    fn handle(&mut self, over: QueryOver, _: &mut Self::Context) {
        self.lane.over(&over.to);
    }
}

impl Handler<TransmitAnswer> for Socket {
    type Result = ();

    fn handle(&mut self, answer: TransmitAnswer, _: &mut Self::Context) {
        let TransmitAnswer { to, response } = answer;
        let carries_peers = matches!(response, Response::FindNode { .. } | Response::NoValue { .. });
        let room = if carries_peers { self.room_for(&to.addr) } else { usize::MAX };
        let sender = Sender::new(self.own, self.transport.local_addr());
        let message = Message { id: to.id, sender, version: Some(PROTOCOL_VERSION), body: Body::Response(response) };
        match self.codec.encode_within(&message, room) {
            Ok(payload) if payload.len() <= to.limit => {
                self.counters.count(Counter::Answered);
                self.send(to.addr, payload);
            }
            Ok(payload) => self.hold.do_send(HoldAnswer { to: to.addr, payload }),
            Err(error) => {
                self.counters.turned_away(Counter::NotEncodable, to.addr, &error, clock::now());
            }
        }
    }
}

impl Handler<TransmitHeld> for Socket {
    type Result = ();

    fn handle(&mut self, held: TransmitHeld, _: &mut Self::Context) {
        self.counters.count(Counter::Answered);
        self.send(held.to, held.payload);
    }
}
