//! The network in memory: one heap of datagrams under way, one timer, and an endpoint at each address. What happens on the
//! way is `link.rs`, what takes the datagrams that arrive is `endpoint.rs`; what a datagram says is not known here.

use std::cell::{Cell, RefCell};
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::addresses::Addresses;
use super::delivery::{Delivery, fingerprint};
use super::endpoint::{Endpoint, Listener};
use super::link::Link;
use super::transport::{Carrier, MemoryTransport};
use crate::actors::socket::transport::Datagram;
use crate::protocol::config::MAX_DATAGRAM;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::peer::AddressScope;

/// What became of the datagrams of a network. `sent` + `duplicated` is the sum of all others and of those
/// [under way](MemoryNetwork::in_flight).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NetworkCounters {
    /// Handed in.
    pub sent: u64,
    /// Arrived.
    pub delivered: u64,
    /// Lost on the way.
    pub lost: u64,
    /// Made on the way: the second copies.
    pub duplicated: u64,
    /// Lost: sender and receiver were in different parts when it should have arrived.
    pub cut: u64,
    /// Lost: no endpoint is at that address.
    pub no_such_address: u64,
    /// Lost: the inbox was full.
    pub overflowed: u64,
}

/// A network in memory. It is cheap to clone, and lives on one thread.
///
/// ```
/// use kademlia_dynamic::sim::{MemoryNetwork, in_virtual_time};
/// use kademlia_dynamic::{Node, Value};
///
/// in_virtual_time(async {
///     let network = MemoryNetwork::new(7);
///     let first = Node::builder().start_local_over(network.endpoint()).await.unwrap();
///     let contact = [first.local_addr()];
///     let second = Node::builder().bootstrap(contact).start_local_over(network.endpoint()).await.unwrap();
///     assert_eq!(first.set("greeting", "hello").await.unwrap().stored, 1);
///
///     network.partition([first.local_addr()]);
///     assert_eq!(second.get("greeting").await.unwrap(), Some(Value::from("hello")));
/// });
/// ```
#[derive(Clone)]
pub struct MemoryNetwork(Rc<Inner>);

struct Inner {
    state: RefCell<State>,
    endpoints: RefCell<HashMap<SocketAddr, Rc<Endpoint>>>,
    /// Wakes the driver, when it sleeps.
    driver: Cell<Option<Waker>>,
}

struct State {
    entropy: SeededEntropy,
    addresses: Addresses,
    link: Link,
    /// The part that an address is in; those that are not named are in part 0.
    parts: HashMap<SocketAddr, u32>,
    last_part: u32,
    /// By how much later what these addresses send arrives.
    delays: HashMap<SocketAddr, Duration>,
    /// When the first datagram was sent. The driver runs since then.
    started: Option<Instant>,
    under_way: BinaryHeap<Delivery>,
    sequence: u64,
    counters: NetworkCounters,
    trace: u64,
}

/// There is an endpoint at this address already. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an endpoint is at {0} already")]
pub struct AddressTaken(pub SocketAddr);

impl MemoryNetwork {
    /// A network on loopback addresses whose links take 1 ms and lose nothing. All its chances come from `seed`.
    pub fn new(seed: u64) -> Self {
        let state = State {
            entropy: SeededEntropy::new(seed),
            addresses: Addresses::new(AddressScope::Loopback),
            link: Link::default(),
            parts: HashMap::new(),
            last_part: 0,
            delays: HashMap::new(),
            started: None,
            under_way: BinaryHeap::new(),
            sequence: 0,
            counters: NetworkCounters::default(),
            trace: 0,
        };
        let endpoints = RefCell::default();
        Self(Rc::new(Inner { state: RefCell::new(state), endpoints, driver: Cell::default() }))
    }

    /// The same network, giving out addresses of `scope` from here on. Nodes trust loopback and private addresses more
    /// than global ones; global ones lie in a /24 each, as if everybody had a provider of his own.
    #[must_use]
    pub fn with_scope(self, scope: AddressScope) -> Self {
        self.0.state.borrow_mut().addresses = Addresses::new(scope);
        self
    }

    /// The same network with these links.
    #[must_use]
    pub fn with_link(self, link: Link) -> Self {
        self.set_link(link);
        self
    }

    /// Changes all links. What is under way arrives as it would have.
    pub fn set_link(&self, link: Link) {
        self.0.state.borrow_mut().link = link;
    }

    /// The links as they are now.
    pub fn link(&self) -> Link {
        self.0.state.borrow().link
    }

    /// An endpoint at a fresh address.
    pub fn endpoint(&self) -> MemoryTransport {
        let addr = self.fresh_addr();
        self.attach(addr, Endpoint::Inbox(RefCell::default()))
    }

    /// An endpoint at this address, for a node that comes back.
    ///
    /// # Errors
    /// [`AddressTaken`] while another endpoint is there.
    pub fn endpoint_at(&self, addr: SocketAddr) -> Result<MemoryTransport, AddressTaken> {
        if self.is_taken(&addr) {
            return Err(AddressTaken(addr));
        }
        Ok(self.attach(addr, Endpoint::Inbox(RefCell::default())))
    }

    /// Takes away the endpoint at `addr`, as a crash or a pulled cable does: what is sent there from now on, and from
    /// there, is lost, and the address is free. Says whether there was one.
    pub fn remove(&self, addr: SocketAddr) -> bool {
        self.0.state.borrow_mut().delays.remove(&addr);
        self.0.endpoints.borrow_mut().remove(&addr).is_some()
    }

    /// Cuts these addresses off from all others, but not from each other. Each call makes a part of its own. What is
    /// under way between two parts is lost.
    pub fn partition(&self, addrs: impl IntoIterator<Item = SocketAddr>) {
        let mut state = self.0.state.borrow_mut();
        state.last_part += 1;
        let part = state.last_part;
        state.parts.extend(addrs.into_iter().map(|addr| (addr, part)));
    }

    /// Gives `addr` a slow line: what is sent from there arrives so much later than it would. Zero makes it a usual one.
    pub fn delay(&self, addr: SocketAddr, delay: Duration) {
        let delays = &mut self.0.state.borrow_mut().delays;
        if delay.is_zero() {
            delays.remove(&addr);
        } else {
            delays.insert(addr, delay);
        }
    }

    /// Joins all parts again.
    pub fn heal(&self) {
        self.0.state.borrow_mut().parts.clear();
    }

    /// Sends a datagram as if `from` had, which need not exist: forged sources are a part of life. Says whether the
    /// network took it: not if it is longer than a UDP datagram can be (65,507 bytes).
    ///
    /// # Panics
    /// Outside an actix system, if it is the first datagram of this network.
    pub fn send(&self, from: SocketAddr, to: SocketAddr, payload: Vec<u8>) -> bool {
        self.send_later(Duration::ZERO, from, to, payload)
    }

    /// What became of the datagrams so far.
    pub fn counters(&self) -> NetworkCounters {
        self.0.state.borrow().counters
    }

    /// Datagrams under way.
    pub fn in_flight(&self) -> usize {
        self.0.state.borrow().under_way.len()
    }

    /// A fingerprint of everything that was sent: when (since the first datagram), from whom, to whom, and what. Two
    /// runs with the same fingerprint are the same. It is not made to withstand forgery.
    pub fn trace_hash(&self) -> u64 {
        self.0.state.borrow().trace
    }

    /// Random bits of this network, for those who live in it.
    pub(super) fn seed(&self) -> u64 {
        self.0.state.borrow_mut().entropy.next_u64()
    }

    /// An endpoint at a fresh address that calls `listener` instead of being read.
    pub(super) fn listen(&self, listener: Weak<dyn Listener>) -> MemoryTransport {
        self.attach(self.fresh_addr(), Endpoint::Listener(listener))
    }

    pub(super) fn send_later(&self, delay: Duration, from: SocketAddr, to: SocketAddr, payload: Vec<u8>) -> bool {
        if payload.len() > MAX_DATAGRAM {
            return false;
        }
        let mut state = self.0.state.borrow_mut();
        let now = state.now(&self.0);
        let delay = delay + state.delays.get(&from).copied().unwrap_or_default();
        let next = state.next_due();
        state.dispatch(now, delay, from, to, payload);
        if state.next_due() != next {
            self.0.wake_driver();
        }
        true
    }

    fn fresh_addr(&self) -> SocketAddr {
        loop {
            let addr = self.0.state.borrow_mut().addresses.next();
            if !self.is_taken(&addr) {
                return addr;
            }
        }
    }

    fn is_taken(&self, addr: &SocketAddr) -> bool {
        self.0.endpoints.borrow().contains_key(addr)
    }

    fn attach(&self, addr: SocketAddr, endpoint: Endpoint) -> MemoryTransport {
        let endpoint = Rc::new(endpoint);
        self.0.endpoints.borrow_mut().insert(addr, endpoint.clone());
        MemoryTransport::new(Rc::new(self.clone()), addr, endpoint)
    }
}

impl Carrier for MemoryNetwork {
    fn carry(&self, from: SocketAddr, to: SocketAddr, payload: Vec<u8>) -> bool {
        self.send(from, to, payload)
    }

    fn has(&self, addr: &SocketAddr, endpoint: &Rc<Endpoint>) -> bool {
        self.0.endpoints.borrow().get(addr).is_some_and(|there| Rc::ptr_eq(there, endpoint))
    }

    fn detach(&self, addr: SocketAddr) {
        self.remove(addr);
    }
}

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints = self.0.endpoints.borrow().len();
        f.debug_struct("MemoryNetwork")
            .field("endpoints", &endpoints)
            .field("in_flight", &self.in_flight())
            .field("counters", &self.counters())
            .finish()
    }
}

impl State {
    /// Nanoseconds since the first datagram, which starts the driver.
    fn now(&mut self, network: &Rc<Inner>) -> u64 {
        let now = Instant::now();
        let started = *self.started.get_or_insert_with(|| {
            actix_rt::spawn(Driver { network: Rc::downgrade(network), started: now, sleep: None });
            now
        });
        nanos(now - started)
    }

    fn next_due(&self) -> Option<u64> {
        self.under_way.peek().map(|delivery| delivery.due)
    }

    fn dispatch(&mut self, now: u64, delay: Duration, from: SocketAddr, to: SocketAddr, payload: Vec<u8>) {
        self.counters.sent += 1;
        self.trace = fingerprint(self.trace, now, &from, &to, &payload);
        if self.chance(self.link.loss) {
            self.counters.lost += 1;
            return;
        }
        if self.chance(self.link.duplication) {
            self.counters.duplicated += 1;
            self.put(now, delay, from, to, payload.clone());
        }
        self.put(now, delay, from, to, payload);
    }

    fn put(&mut self, now: u64, delay: Duration, from: SocketAddr, to: SocketAddr, payload: Vec<u8>) {
        let latency = self.link.latency.sample(&mut self.entropy);
        let due = now.saturating_add(nanos(delay + latency));
        self.sequence += 1;
        self.under_way.push(Delivery { due, sequence: self.sequence, from, to, payload });
    }

    fn chance(&mut self, part: f64) -> bool {
        part > 0.0 && self.entropy.unit() < part
    }

    /// The next datagram that has arrived, if any has.
    fn arrived(&mut self, now: u64) -> Option<Delivery> {
        while self.next_due()? <= now {
            let delivery = self.under_way.pop()?;
            let part = |addr| self.parts.get(addr).copied().unwrap_or(0);
            if self.parts.is_empty() || part(&delivery.from) == part(&delivery.to) {
                return Some(delivery);
            }
            self.counters.cut += 1;
        }
        None
    }
}

impl Inner {
    fn wake_driver(&self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    fn deliver(&self, delivery: Delivery) {
        let Delivery { from, to, payload, .. } = delivery;
        let endpoint = self.endpoints.borrow().get(&to).cloned();
        let datagram = Datagram::new(from, payload);
        let listener = match endpoint.as_deref() {
            None => None,
            Some(Endpoint::Listener(listener)) => listener.upgrade(),
            Some(Endpoint::Inbox(inbox)) => {
                let fits = inbox.borrow_mut().push(datagram);
                let counters = &mut self.state.borrow_mut().counters;
                *if fits { &mut counters.delivered } else { &mut counters.overflowed } += 1;
                return;
            }
        };
        match listener {
            None => self.state.borrow_mut().counters.no_such_address += 1,
            Some(listener) => {
                self.state.borrow_mut().counters.delivered += 1;
                listener.receive(to, datagram);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // It sees that the network has gone, and ends.
        self.wake_driver();
    }
}

/// Delivers what is due, and sleeps until the next is. One for the whole network.
struct Driver {
    network: Weak<Inner>,
    started: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(network) = self.network.upgrade() else { return Poll::Ready(()) };
        loop {
            let now = nanos(Instant::now() - self.started);
            loop {
                let Some(delivery) = network.state.borrow_mut().arrived(now) else { break };
                network.deliver(delivery);
            }
            network.driver.set(Some(cx.waker().clone()));
            let Some(due) = network.state.borrow().next_due() else { return Poll::Pending };
            let at = self.started + Duration::from_nanos(due);
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            if sleep.deadline() != at {
                sleep.as_mut().reset(at);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
