//! The dispatch slots: 64 datagrams of strangers in flight are taken, the next is dropped; answers to our own queries pass.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use actix::Addr;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Request, Response, Sender};
use kademlia_dynamic::test_log::log_to;
use tracing_subscriber::fmt::MakeWriter;

use super::super::counters::{Counter, Counters};
use super::super::dispatcher::Dispatcher;
use super::super::messages::*;
use super::super::node::Node;
use super::super::socket::Socket;
use super::super::socket::transport::{Datagram, Sent, Transport};
use super::super::supervision::{Lifetime, Mailbox};
use super::{settle, shared};

/// A transport that a test feeds by hand. What is sent is gone.
#[derive(Default)]
pub(super) struct Feed {
    waiting: RefCell<VecDeque<Datagram>>,
    waker: RefCell<Option<Waker>>,
}

impl Feed {
    pub(super) fn push(&self, addr: SocketAddr, payload: Vec<u8>) {
        self.waiting.borrow_mut().push_back(Datagram::new(addr, payload));
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

pub(super) struct Fed(pub(super) Rc<Feed>);

impl Transport for Fed {
    fn local_addr(&self) -> SocketAddr {
        addr(9)
    }

    fn poll_receive(&self, cx: &mut TaskContext<'_>, batch: &mut Vec<Datagram>, max: usize) -> Poll<io::Result<()>> {
        let mut waiting = self.0.waiting.borrow_mut();
        if waiting.is_empty() {
            *self.0.waker.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let take = waiting.len().min(max);
        batch.extend(waiting.drain(..take));
        Poll::Ready(Ok(()))
    }

    fn poll_send(&self, _: &mut TaskContext<'_>, batch: &mut VecDeque<Datagram>, report: &mut Sent) -> Poll<()> {
        report.sent += batch.len();
        batch.clear();
        Poll::Ready(())
    }
}

/// An owner of answers that answers nothing, in the place of all actors but the socket and the dispatcher: it keeps what it
/// gets, and with it the slots.
#[derive(Clone, Default)]
struct Hoarder(Arc<Mutex<Hoard>>);

#[derive(Default)]
struct Hoard {
    requests: Vec<ReplyTo>,
    responses: usize,
}

impl Hoarder {
    fn keep(&self, to: ReplyTo) {
        self.0.lock().unwrap().requests.push(to);
    }
}

impl TableInbox for Hoarder {
    fn nearest(&self, asked: AnswerNearest) {
        self.keep(asked.to);
    }
}

impl StoreInbox for Hoarder {
    fn answer(&self, asked: AnswerFromStore) {
        self.keep(asked.to);
    }

    fn write(&self, write: StoreValue) {
        self.keep(write.to);
    }
}

impl QueriesInbox for Hoarder {
    fn response(&self, _: ResponseReceived) {
        self.0.lock().unwrap().responses += 1;
    }
}

struct Stage {
    feed: Rc<Feed>,
    hoarder: Hoarder,
    counters: Arc<Counters>,
    socket: Addr<Socket>,
    _lifetime: Lifetime,
}

impl Stage {
    /// How many requests hold their slot.
    fn requests(&self) -> usize {
        self.hoarder.0.lock().unwrap().requests.len()
    }

    /// Answers all requests but so many.
    fn keep_requests(&self, count: usize) {
        self.hoarder.0.lock().unwrap().requests.truncate(count);
    }

    /// Has the socket ping `to`, by query 1.
    async fn ping(&self, to: SocketAddr) {
        let (id, request) = (QueryId::from_u64(1), Request::Ping);
        let ping = TransmitQuery { id, to, claim: None, token: None, request, padded: false, again: false };
        self.socket.send(ping).await.unwrap();
    }

    fn responses(&self) -> usize {
        self.hoarder.0.lock().unwrap().responses
    }
}

/// The real socket and the real dispatcher, with a hoarder in the place of their neighbours.
fn stage(config: &Config) -> Stage {
    let (feed, hoarder) = (Rc::new(Feed::default()), Hoarder::default());
    let (socket, dispatcher) = (Mailbox::<Socket>::new(64), Mailbox::<Dispatcher>::new(config.limits.max_dispatches));
    let handles = Handles {
        socket: Arc::new(socket.addr()),
        dispatcher: Arc::new(dispatcher.addr()),
        queries: Arc::new(hoarder.clone()),
        table: Arc::new(hoarder.clone()),
        store: Arc::new(hoarder.clone()),
        ..Handles::ignored()
    };
    let (shared, addr) = (shared(config.clone(), handles), socket.addr());
    socket.supervise(&shared.lifetime, "socket", Socket::new(&shared, Rc::new(Fed(feed.clone()))));
    dispatcher.supervise(&shared.lifetime, "dispatcher", Dispatcher::new(&shared));
    Stage { feed, hoarder, counters: shared.counters.clone(), socket: addr, _lifetime: shared.lifetime.clone() }
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub(super) fn datagram(id: u64, from: SocketAddr, body: Body) -> Vec<u8> {
    let sender = Sender::new(Some(NodeId::of_key(&from.to_string())), from);
    Codec::Json.encode(&Message { id: QueryId::from_u64(id), sender, version: None, token: None, body }).unwrap()
}

fn find_node(id: u64, from: SocketAddr) -> Vec<u8> {
    datagram(id, from, Body::Request(Request::FindNode { target: NodeId::ZERO }))
}

/// Counts the lines that are logged on this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn that_say(&self, what: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap()).lines().filter(|line| line.contains(what)).count()
    }
}

#[actix::test]
async fn sixty_four_datagrams_in_flight_are_taken_and_the_sixty_fifth_is_dropped_counted_and_logged_once() {
    let lines = Lines::default();
    let _logging = log_to(tracing_subscriber::fmt().with_writer(lines.clone()).finish());
    let stage = stage(&Config::default());
    for port in 1..=64 {
        stage.feed.push(addr(1_000 + port), find_node(port.into(), addr(1_000 + port)));
    }
    settle().await;
    assert_eq!(stage.requests(), 64);
    assert_eq!(stage.counters.get(Counter::NoSlot), 0);

    for port in 0..10 {
        stage.feed.push(addr(2_000 + port), find_node(port.into(), addr(2_000 + port)));
    }
    settle().await;
    assert_eq!(stage.requests(), 64, "the sixty-fifth waits nowhere");
    assert_eq!(stage.counters.get(Counter::NoSlot), 10);
    assert_eq!(lines.that_say("all 64 dispatch slots are taken"), 1);

    // Each one that is dealt with makes actor for one more.
    stage.keep_requests(62);
    for port in 0..3 {
        stage.feed.push(addr(3_000 + port), find_node(port.into(), addr(3_000 + port)));
    }
    settle().await;
    assert_eq!(stage.requests(), 64);
    assert_eq!(stage.counters.get(Counter::NoSlot), 11);
}

#[actix::test]
async fn answers_to_our_own_queries_pass_while_strangers_fill_the_slots() {
    let stage = stage(&Config::default());
    let asked = addr(7);
    for port in 1..=100 {
        stage.feed.push(addr(1_000 + port), find_node(port.into(), addr(1_000 + port)));
    }
    settle().await;
    assert_eq!(stage.counters.get(Counter::NoSlot), 36, "the slots are full");

    stage.ping(asked).await;
    stage.feed.push(asked, datagram(1, asked, Body::Response(Response::Pong)));
    settle().await;
    assert_eq!(stage.responses(), 1, "the answer passed");

    // Once the query is over, its address is a stranger's like any other.
    stage.socket.send(QueryOver { to: asked }).await.unwrap();
    stage.feed.push(asked, datagram(1, asked, Body::Response(Response::Pong)));
    settle().await;
    assert_eq!(stage.responses(), 1);
    assert_eq!(stage.counters.get(Counter::NoSlot), 37);
}

#[actix::test]
async fn in_a_flood_whatever_waits_is_read_so_that_an_answer_behind_it_comes_at_once() {
    let stage = stage(&Config::default());
    let asked = addr(7);
    stage.ping(asked).await;
    const FLOOD: u64 = 20_000;
    for n in 0..FLOOD {
        let from = addr(1_000 + (n % 60_000) as u16);
        stage.feed.push(from, find_node(n, from));
    }
    stage.feed.push(asked, datagram(1, asked, Body::Response(Response::Pong)));
    settle().await;
    // No slot is given back, and each turn of the socket is one of some hundred.
    assert_eq!(stage.responses(), 1, "the answer has passed");
    assert_eq!(stage.counters.get(Counter::NoSlot), FLOOD - 64);
    assert_eq!(stage.counters.get(Counter::Received), FLOOD + 1);
}

#[actix::test]
async fn after_a_flood_bursts_are_borne_again() {
    let stage = stage(&Config::default());
    let mut number = 0;
    let mut burst = |size: u64| {
        for _ in 0..size {
            number += 1;
            let from = addr(1_000 + number as u16);
            stage.feed.push(from, find_node(number, from));
        }
    };
    let work_off = async || {
        for _ in 0..100 {
            settle().await;
            stage.keep_requests(0);
        }
    };
    burst(10_000);
    work_off().await;
    let dropped = stage.counters.get(Counter::NoSlot);
    assert!(dropped > 9_000, "{dropped} of the flood were dropped");
    for _ in 0..4 {
        burst(60);
        work_off().await;
    }
    assert_eq!(stage.counters.get(Counter::NoSlot), dropped);
}

#[actix::test]
async fn a_write_that_waits_for_a_pong_gives_its_slot_back_and_waits_within_a_bound_of_its_own() {
    // However slow the machine is, none of them has waited too long.
    let stage = stage(&Config::builder().verification_time(Duration::from_secs(60)).build().unwrap());
    for n in 0..300u32 {
        let from = SocketAddr::from(([198, 51, (n / 200) as u8, (n % 200) as u8], 4_000));
        let set = Request::Set { key: "k".into(), value: Arc::new("v".into()), ttl: None, age: None };
        stage.feed.push(from, datagram(n.into(), from, Body::Request(set)));
        settle().await;
    }
    assert_eq!(stage.counters.get(Counter::NoSlot), 0, "none of the 300 holds a slot");
    assert_eq!(stage.counters.get(Counter::UnverifiedFull), 300 - 256);
    assert!(stage.requests() == 0, "and none has taken effect");
}

#[actix::test]
async fn a_burst_of_250_datagrams_on_an_idle_node_loses_nothing() {
    let node = Node::builder().start_local().await.unwrap();
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let from = client.local_addr().unwrap();
    // Nothing of the node runs meanwhile: all 250 wait in the kernel.
    for n in 0..250 {
        client.send_to(&find_node(n, from), node.local_addr()).unwrap();
    }
    let all_answered = async {
        while node.counters().get(Counter::Answered) < 250 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), all_answered).await;
    assert!(waited.is_ok(), "{:?}", node.counters());
    assert_eq!(node.counters().get(Counter::NoSlot), 0);
    node.stop().await;
}
