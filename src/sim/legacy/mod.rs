//! A legacy node in a simulation: it does what a node of the Python package does, where that matters to others (docs/wire.md,
//! 8 and 10), so that networks of both kinds can be tried without Python. Its table is `table.rs`, whom
//! it asks is `lookup.rs`, what it does by itself is `upkeep.rs`. A test compares it with the package.

mod lookup;
mod table;
#[cfg(test)]
mod tests;
mod upkeep;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use self::table::Table;
use super::endpoint::{Listener, MemoryTransport};
use super::network::MemoryNetwork;
use crate::actors::socket::transport::Datagram;
use crate::protocol::codec::Codec;
use crate::protocol::config::Config;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::id::NodeId;
use crate::protocol::message::{Body, Message, QueryId, Request, Response, Sender};
use crate::protocol::peer::Peer;
use crate::protocol::store::cache_ttl;
use crate::protocol::value::Value;

/// Which version of the Python package a legacy node is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LegacyVersion {
    /// 1.0.0: it takes an answer from anywhere, restores to all of the k nearest without asking who holds the value, no
    /// longer publishes what somebody else set, and answers `get`.
    V1_0_0,
    /// 1.1.1.
    #[default]
    V1_1_1,
}

/// A node that behaves as one of the Python package. Cheap to clone; it leaves the network with the last clone.
///
/// ```
/// use kademlia_dynamic::sim::{LegacyNode, LegacyVersion, MemoryNetwork, in_virtual_time};
/// use kademlia_dynamic::{Codec, Config, Node, Value};
///
/// in_virtual_time(async {
///     let network = MemoryNetwork::new(7);
///     let ours = Node::builder().codec(Codec::Json).start_local_over(network.endpoint()).await.unwrap();
///     let legacy = LegacyNode::start(&network, Codec::Json, &Config::default(), LegacyVersion::V1_1_1);
///     legacy.bootstrap(&[ours.local_addr()]).await;
///     legacy.set("greeting", "hello").await;
///     assert_eq!(ours.get("greeting").await.unwrap(), Some(Value::from("hello")));
/// });
/// ```
#[derive(Clone)]
pub struct LegacyNode(Rc<Inner>);

struct Inner {
    /// For what goes on after a datagram has been dealt with.
    me: Weak<Inner>,
    network: MemoryNetwork,
    endpoint: MemoryTransport,
    own: NodeId,
    codec: Codec,
    version: LegacyVersion,
    settings: Settings,
    entropy: RefCell<SeededEntropy>,
    table: RefCell<Table>,
    values: RefCell<BTreeMap<Arc<str>, Held>>,
    /// Who waits for an answer, and from where it is to come.
    waiting: RefCell<HashMap<QueryId, (SocketAddr, oneshot::Sender<Response>)>>,
    stopped: Cell<bool>,
}

/// The settings that a legacy node has.
#[derive(Debug, Clone, Copy)]
struct Settings {
    alpha: usize,
    query_timeout: Duration,
    refresh_interval: Duration,
    key_expiry: Duration,
    restore_interval: Duration,
    republish_interval: Duration,
    min_cache_ttl: Duration,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            alpha: config.alpha,
            query_timeout: config.query_timeout,
            refresh_interval: config.bucket_refresh_interval,
            key_expiry: config.key_expiry,
            restore_interval: config.restore_interval,
            republish_interval: config.republish_interval,
            min_cache_ttl: config.min_cache_ttl,
        }
    }
}

/// A value as it is held: a copy is a copy, full or cached.
#[derive(Debug, Clone)]
struct Held {
    value: Arc<Value>,
    /// Whether it was set here.
    published: bool,
    expires_at: Instant,
    republished_at: Instant,
}

impl LegacyNode {
    /// A node on `network` that knows nobody. Of `config` it takes what the package has settings for: k, alpha, the query
    /// timeout, the intervals, the expiry and the shortest life of a cached copy. Its id and chances come from the
    /// network's seed.
    ///
    /// # Panics
    /// Outside an actix system.
    pub fn start(network: &MemoryNetwork, codec: Codec, config: &Config, version: LegacyVersion) -> Self {
        let mut entropy = SeededEntropy::new(network.seed());
        let mut id = [0; 20];
        entropy.fill(&mut id);
        let own = NodeId::from_bytes(id);
        let inner = Rc::new_cyclic(|weak: &Weak<Inner>| Inner {
            me: weak.clone(),
            network: network.clone(),
            endpoint: network.listen(weak.clone()),
            own,
            codec,
            version,
            settings: config.into(),
            entropy: RefCell::new(entropy),
            table: RefCell::new(Table::new(own, config.k)),
            values: RefCell::default(),
            waiting: RefCell::default(),
            stopped: Cell::new(false),
        });
        upkeep::start(&inner);
        Self(inner)
    }

    /// Who it is.
    pub fn peer(&self) -> Peer {
        Peer::new(self.0.own, self.0.endpoint.addr())
    }

    /// Joins by each of `contacts`, one after the other. It does not say whether any answered.
    pub async fn bootstrap(&self, contacts: &[SocketAddr]) {
        for contact in contacts {
            self.0.bootstrap(*contact).await;
        }
    }

    /// Sets a value in the network, skipping who holds the key already, and holds it.
    pub async fn set(&self, key: &str, value: impl Into<Value>) {
        self.0.set(key.into(), Arc::new(value.into())).await;
    }

    /// The value of `key`, from here or from the network; whether it is absent or nobody answered, it cannot say.
    pub async fn get(&self, key: &str) -> Option<Value> {
        match self.held(key) {
            Some(value) => Some(value),
            None => self.0.find_value(key.into()).await.map(Arc::unwrap_or_clone),
        }
    }

    /// The peers that it finds nearest to `target`.
    pub async fn find_node(&self, target: NodeId) -> Vec<Peer> {
        self.0.find_node(target).await
    }

    /// What it holds under `key` itself.
    pub fn held(&self, key: &str) -> Option<Value> {
        self.0.held(key).map(|held| Value::clone(&held.value))
    }

    /// Its routing table.
    pub fn table(&self) -> Vec<Peer> {
        self.0.table.borrow().peers()
    }

    /// Leaves without a word, as all of its kind do.
    pub fn stop(&self) {
        self.0.stopped.set(true);
        self.0.network.remove(self.0.endpoint.addr());
    }
}

impl fmt::Debug for LegacyNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacyNode").field("peer", &self.peer()).finish_non_exhaustive()
    }
}

impl Inner {
    /// The copy of `key`, unless it has expired.
    fn held(&self, key: &str) -> Option<Held> {
        self.values.borrow().get(key).filter(|held| held.expires_at >= Instant::now()).cloned()
    }

    /// Takes a value in the place of whatever is held.
    fn hold(&self, key: Arc<str>, value: Arc<Value>, published: bool, life: Duration) {
        let now = Instant::now();
        let held = Held { value, published, expires_at: now + life, republished_at: now };
        self.values.borrow_mut().insert(key, held);
    }

    fn say(&self, to: SocketAddr, id: QueryId, body: Body) {
        let sender = Sender::new(Some(self.own), self.endpoint.addr());
        let message = Message { id, sender, version: None, token: None, body };
        // What is too large for a datagram is lost without a word.
        if let Ok(payload) = self.codec.encode(&message) {
            self.endpoint.send(to, payload);
        }
    }

    fn answer(&self, request: Request) -> Option<Response> {
        let response = match request {
            Request::Ping => Response::Pong,
            Request::FindNode { target } => Response::FindNode { peers: self.table.borrow().nearest(&target) },
            Request::FindValue { key } => match self.held(&key) {
                Some(held) => Response::Value { value: held.value, ttl: None, age: None },
                None => Response::NoValue { peers: self.table.borrow().nearest(&NodeId::of_key(&key)) },
            },
            Request::Set { key, value, .. } => {
                let published = self.version != LegacyVersion::V1_0_0 && self.held(&key).is_some_and(|it| it.published);
                self.hold(key, value, published, self.settings.key_expiry);
                Response::Set { stored: true, ttl: None }
            }
            Request::SetCached { key, value, target, .. } => {
                let target = target.unwrap_or_else(|| NodeId::of_key(&key));
                let Settings { key_expiry, min_cache_ttl, .. } = self.settings;
                self.hold(key, value, false, cache_ttl(&self.own, &target, key_expiry, min_cache_ttl));
                Response::SetCached
            }
            // It would be held; here it is only acknowledged.
            Request::SetUnsupported { cached: false } => Response::Set { stored: true, ttl: None },
            Request::SetUnsupported { cached: true } => Response::SetCached,
            Request::CheckStore { key, .. } => {
                Response::CheckStore { has_key: self.held(&key).is_some(), ttl: None, age: None }
            }
            Request::Get { .. } if self.version != LegacyVersion::V1_0_0 => return None,
            Request::Get { key } => Response::Get { value: self.held(&key).map(|held| held.value) },
        };
        Some(response)
    }

    /// Hands an answer to whoever waits for it.
    fn heard(&self, from: SocketAddr, id: QueryId, response: Response) {
        let mut waiting = self.waiting.borrow_mut();
        let from_anywhere = self.version == LegacyVersion::V1_0_0;
        if waiting.get(&id).is_some_and(|(asked, _)| *asked == from || from_anywhere)
            && let Some((_, waiting)) = waiting.remove(&id)
        {
            // Whoever asked may have gone.
            let _ = waiting.send(response);
        }
    }

    fn next_query_id(&self) -> QueryId {
        QueryId::from_u64(self.entropy.borrow_mut().next_u64())
    }
}

impl Listener for Inner {
    fn receive(&self, _: SocketAddr, Datagram { addr, payload, .. }: Datagram) {
        let Ok(message) = self.codec.decode(&payload) else { return };
        let sender = message.sender.id.map(|id| Peer::new(id, SocketAddr::new(addr.ip(), message.sender.port)));
        match message.body {
            Body::Request(request) => {
                if let Some(response) = self.answer(request) {
                    self.say(addr, message.id, Body::Response(response));
                }
                self.insert(sender);
            }
            Body::Response(response) => {
                // An answer inserts nobody, but for a pong, asked for or not.
                self.insert(sender.filter(|_| response == Response::Pong));
                self.heard(addr, message.id, response);
            }
        }
    }
}

impl Inner {
    /// Inserts a sender unverified.
    fn insert(&self, sender: Option<Peer>) {
        let Some(sender) = sender.filter(|sender| sender.id != self.own) else { return };
        let oldest = self.table.borrow_mut().insert(sender, Instant::now());
        if let (Some(oldest), Some(me)) = (oldest, self.me.upgrade()) {
            actix_rt::spawn(async move { me.query(oldest, Request::Ping).await });
        }
    }
}
