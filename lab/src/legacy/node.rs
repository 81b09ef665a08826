//! The state of a legacy node, and what it does with the datagrams that arrive. Its table is `table.rs`, which peers it
//! queries is `lookup.rs`, what it does by itself is `upkeep.rs`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use kademlia_dynamic::actors::transport::Datagram;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Request, Response, Sender};
use kademlia_dynamic::protocol::store::cache_ttl;
use kademlia_dynamic::sim::MemoryTransport;
use kademlia_dynamic::{Codec, Config, NodeId, Peer, Value};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::table::Table;

/// Which version of the Python package a legacy node is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LegacyVersion {
    /// 1.0.0: it takes an answer from any address, restores to all of the k nearest without checking which hold the value, no
    /// longer publishes a key that another node has set, and answers `get`.
    V1_0_0,
    /// 1.1.1.
    #[default]
    V1_1_1,
}

pub(super) struct Inner {
    /// For what goes on after a datagram has been dealt with.
    me: Weak<Inner>,
    pub(super) endpoint: Rc<MemoryTransport>,
    pub(super) own: NodeId,
    pub(super) codec: Codec,
    pub(super) version: LegacyVersion,
    pub(super) settings: Settings,
    pub(super) entropy: RefCell<SeededEntropy>,
    pub(super) table: RefCell<Table>,
    pub(super) values: RefCell<BTreeMap<Arc<str>, Held>>,
    /// The queries in flight, each with the address that is to answer.
    pub(super) waiting: RefCell<HashMap<QueryId, (SocketAddr, oneshot::Sender<Response>)>>,
    /// What reads the endpoint.
    pub(super) reader: RefCell<Option<AbortHandle>>,
    pub(super) stopped: Cell<bool>,
}

/// The settings that a legacy node has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) alpha: usize,
    pub(super) query_timeout: Duration,
    pub(super) refresh_interval: Duration,
    pub(super) key_expiry: Duration,
    pub(super) restore_interval: Duration,
    pub(super) republish_interval: Duration,
    pub(super) min_cache_ttl: Duration,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            alpha: config.lookup.alpha,
            query_timeout: config.lookup.query_timeout,
            refresh_interval: config.table.bucket_refresh_interval,
            key_expiry: config.values.key_expiry,
            restore_interval: config.values.restore_interval,
            republish_interval: config.values.republish_interval,
            min_cache_ttl: config.values.min_cache_ttl,
        }
    }
}

/// A value as it is held: a copy is a copy, full or cached.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) value: Arc<Value>,
    /// Whether it was set here.
    pub(super) published: bool,
    pub(super) expires_at: Instant,
    pub(super) republished_at: Instant,
}

impl Inner {
    pub(super) fn new(
        me: Weak<Self>,
        endpoint: MemoryTransport,
        codec: Codec,
        config: &Config,
        version: LegacyVersion,
        seed: u64,
    ) -> Self {
        let mut entropy = SeededEntropy::new(seed);
        let mut id = [0; 20];
        entropy.fill(&mut id);
        let own = NodeId::from_bytes(id);
        Self {
            me,
            endpoint: Rc::new(endpoint),
            own,
            codec,
            version,
            settings: config.into(),
            entropy: RefCell::new(entropy),
            table: RefCell::new(Table::new(own, config.lookup.k)),
            values: RefCell::default(),
            waiting: RefCell::default(),
            reader: RefCell::default(),
            stopped: Cell::new(false),
        }
    }

    /// The copy of `key`, unless it has expired.
    pub(super) fn held(&self, key: &str) -> Option<Held> {
        self.values.borrow().get(key).filter(|held| held.expires_at >= Instant::now()).cloned()
    }

    /// Takes a value in the place of whatever is held.
    pub(super) fn hold(&self, key: Arc<str>, value: Arc<Value>, published: bool, life: Duration) {
        let now = Instant::now();
        let held = Held { value, published, expires_at: now + life, republished_at: now };
        self.values.borrow_mut().insert(key, held);
    }

    pub(super) fn say(&self, to: SocketAddr, id: QueryId, body: Body) {
        let sender = Sender::new(Some(self.own), self.endpoint.addr());
        let message = Message { id, sender, version: None, token: None, body };
        // What is too large for a datagram is lost without a report.
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
            // It knows no others.
            _ => return None,
        };
        Some(response)
    }

    /// Hands an answer to the query that it is for.
    fn heard(&self, from: SocketAddr, id: QueryId, response: Response) {
        let mut waiting = self.waiting.borrow_mut();
        let from_anywhere = self.version == LegacyVersion::V1_0_0;
        if waiting.get(&id).is_some_and(|(asked, _)| *asked == from || from_anywhere)
            && let Some((_, waiting)) = waiting.remove(&id)
        {
            // Its caller may have gone.
            let _ = waiting.send(response);
        }
    }

    pub(super) fn next_query_id(&self) -> QueryId {
        QueryId::from_u64(self.entropy.borrow_mut().next_u64())
    }
}

impl Inner {
    pub(super) fn receive(&self, Datagram { addr, payload, .. }: Datagram) {
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
                // Of the answers only a pong inserts its sender, solicited or not.
                self.insert(sender.filter(|_| response == Response::Pong));
                self.heard(addr, message.id, response);
            }
        }
    }

    /// Inserts a sender unverified.
    fn insert(&self, sender: Option<Peer>) {
        let Some(sender) = sender.filter(|sender| sender.id != self.own) else { return };
        let oldest = self.table.borrow_mut().insert(sender, Instant::now());
        if let (Some(oldest), Some(me)) = (oldest, self.me.upgrade()) {
            actix_rt::spawn(async move { me.query(oldest, Request::Ping).await });
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.abort();
        }
    }
}
