//! A node whose actors can be reached, among scripted peers, and all that may be asked of it: by an application, by peers,
//! by strangers and by the clock.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::{AppliesTo, Config};
use kademlia_dynamic::protocol::digest::ValueDigest;
use kademlia_dynamic::protocol::entry::{Entries, Entry, EntryState, Nonce};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{self, Body, QueryId, Request, Response, Sender};
use kademlia_dynamic::protocol::prefix::Prefix;
use kademlia_dynamic::protocol::ranges::{Fingerprint, Range, Ranges};
use kademlia_dynamic::protocol::store::{
    Change, Committed, MemoryStore, Recollection, Store, StoreError, StoredRecord,
};
use kademlia_dynamic::protocol::value::Value;
use kademlia_dynamic::sim::{Asked, MemoryNetwork, MemoryTransport, Reply, ScriptedPeers, Silent};
use tokio::task::JoinHandle;

use super::super::super::messages::{AllQueriesOver, QueryUnsent, TableEmpty};
use super::super::super::node_actor::NodeActor;
use super::super::super::operations::join::resolver::Resolver;
use super::super::super::outcome::{Error, GetResult};
use super::super::super::requests::{
    Bootstrap, CheckHealth, CopyOf, Describe, FindNode, FindValue, Get, GetOptions, ListKeys, ListPeers, Pin, Ping,
    Probe, Release, Set, TraceNodes, Unpin, WatchKeys,
};
use super::super::super::socket::transport::Transport;
use super::super::super::wiring::{self, Running, Setup};
use super::super::{drill, panics};

/// Panics further apart than this are no panics in a row.
pub(super) const WINDOW: Duration = Duration::from_secs(1);
/// No request takes longer, by the deadlines of the actors that work on it.
const PATIENCE: Duration = Duration::from_secs(120);
/// Peers that are there from the beginning.
const PEERS: usize = 8;
/// Of these, one that does not always answer, and one that sometimes is another node.
const UNRELIABLE: usize = 6;
const CHANGELING: usize = 7;

/// Of the commits of "pinned", one in so many fails: of those of a new value, and of those that leave it as it is (renewals, and pins
/// of a key that is pinned), by chance.
const FAILS: u64 = 5;
const RENEWALS_FAIL: u64 = 3;

/// Memory that remembers the peers that the node knew, reports the end of a commit a little later as a disk does, and now and then does not
/// take a change of "pinned".
#[derive(Default)]
struct Lasting {
    memory: MemoryStore,
    known: Recollection,
    /// Commits of another value under "pinned".
    commits: u64,
    /// Commits that leave it as it is.
    renewals: u64,
}

impl Lasting {
    fn fails(&mut self, changes: &[Change]) -> bool {
        let Some(change) = changes.iter().find(|change| **change.key() == *"pinned") else { return false };
        let held = self.memory.load().unwrap().into_iter().find(|record| record.key == *change.key());
        let same =
            |put: &StoredRecord| held.is_some_and(|held| held.version == put.version && held.pinned == put.pinned);
        if matches!(change, Change::Put(put) if same(put)) {
            self.renewals += 1;
            // Not every third: what comes in each round at the same turn would fail in all of them.
            let scattered = self.renewals.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            return scattered.is_multiple_of(RENEWALS_FAIL);
        }
        self.commits += 1;
        self.commits.is_multiple_of(FAILS)
    }
}

impl Store for Lasting {
    fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
        self.memory.load()
    }

    fn commit(&mut self, changes: Vec<Change>, done: Committed) {
        let fails = self.fails(&changes);
        if !fails {
            self.memory.commit(changes, Box::new(|_| {}));
        }
        actix_rt::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            done(if fails { Err(StoreError::Ended) } else { Ok(()) });
        });
    }

    fn recall(&mut self) -> Option<Recollection> {
        Some(self.known.clone())
    }

    fn remember(&mut self, known: Recollection) {
        self.known = known;
    }
}

/// What peers do: mostly the usual. No peer ever has enough of "pinned", newcomers with an odd number lack everything and are
/// slow to say so, and newcomers now and then hold other values.
fn script() -> impl FnMut(&Asked) -> Reply {
    let mut count = 0_u64;
    move |asked| {
        count += 1;
        match &asked.request {
            Request::CheckStore { key, .. } if **key == *"pinned" => {
                Response::CheckStore { has_key: false, ttl: None, age: None }.into()
            }
            Request::CheckStore { .. } if asked.peer > PEERS && asked.peer % 2 == 1 => Reply::Silence,
            Request::Renew { entries } if asked.peer > PEERS && count.is_multiple_of(2) => {
                Response::Renew { states: vec![EntryState::Unordered; entries.entries.len()] }.into()
            }
            _ if asked.peer == UNRELIABLE && count.is_multiple_of(3) => Reply::Silence,
            Request::Ping if asked.peer == CHANGELING && count.is_multiple_of(2) => {
                Reply::As(NodeId::of_key("another node"), Response::Pong)
            }
            Request::FindNode { .. } if asked.peer == CHANGELING && count.is_multiple_of(2) => {
                Reply::As(NodeId::of_key("another node"), Response::FindNode { peers: Vec::new() })
            }
            _ => Reply::Usual,
        }
    }
}

pub(super) struct Stage {
    running: Running,
    peers: ScriptedPeers,
    /// A legacy node, to which copies are restored.
    legacy: ScriptedPeers,
    /// A stranger that asks and never answers.
    stranger: MemoryTransport,
    addr: std::net::SocketAddr,
    round: Cell<u64>,
    /// Keys whose value was acknowledged, to the application or to a peer.
    acknowledged: Rc<RefCell<BTreeMap<Arc<str>, Value>>>,
}

impl Stage {
    pub(super) async fn new(seed: u64) -> Self {
        let network = MemoryNetwork::new(seed);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(PEERS);
        let seconds = Duration::from_secs;
        let config = Config::builder()
            .max_restarts(1_000_000)
            .restart_window(WINDOW)
            .source_verification(AppliesTo::Always)
            .bucket_refresh_interval(seconds(60))
            .restore_interval(seconds(150))
            .republish_interval(seconds(150))
            .audit_interval(seconds(30))
            .build()
            .unwrap();
        let endpoint = network.endpoint();
        let addr = endpoint.addr();
        let transport: Rc<dyn Transport> = Rc::new(endpoint);
        let setup = Setup {
            id: NodeId::of_key("ours"),
            codec: Codec::Json,
            config,
            client: false,
            store: Box::new(Lasting::default()),
            known: Some(Recollection::default()),
            seed: Some(seed),
            resolver: Resolver::system(),
        };
        let running = wiring::start(setup, transport);
        peers.on(script());
        let legacy = ScriptedPeers::new(&network, Codec::Json).legacy().with(1);
        let mut asked_before = false;
        legacy.on(move |asked| match &asked.request {
            Request::CheckStore { .. }
                if {
                    asked_before = !asked_before;
                    asked_before
                } =>
            {
                Reply::Silence
            }
            _ => Reply::Usual,
        });
        let stranger = network.endpoint();
        let acknowledged = Rc::default();
        let stage = Self { running, peers, legacy, stranger, addr, round: Cell::new(0), acknowledged };
        let contacts = vec![stage.peers.addr(0).to_string()];
        assert!(stage.running.node.send(Bootstrap { contacts }).await.unwrap().unwrap().joined());
        let set = Set::new("pinned", "v");
        let _ = stage.running.node.send(set).await.unwrap().unwrap();
        stage.running.node.send(Pin { key: "pinned".into(), min_replicas: 2 }).await.unwrap().unwrap();
        stage
    }

    /// Has a peer ping the node as soon as it has panicked; how long the pong took.
    pub(super) fn ping_after_the_panic(&self) -> JoinHandle<Result<Duration, Silent>> {
        let (peers, to) = (self.peers.clone(), self.addr);
        actix_rt::spawn(async move {
            while !drill::is_over() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let asked = tokio::time::Instant::now();
            peers.ask(1, to, Request::Ping).await.map(|_| asked.elapsed())
        })
    }

    /// All that may happen to a node, once, and time for what it does by itself. Every request of the application comes to
    /// an end.
    pub(super) async fn work(&self) {
        let round = self.round.replace(self.round.get() + 1);
        let key = |name: &str| Arc::<str>::from(format!("{name} {round}"));
        let mut requests = Vec::new();
        let (absent, held) = (key("absent"), key("held"));
        self.peers.hold(2, &held, "v");
        requests.push(self.set(key("own")));
        requests.push(self.set("pinned".into()));
        requests.push(self.set("released".into()));
        requests.push(self.request(Get::new(absent.clone())));
        requests.push(self.request(Get::new(held.clone())));
        requests.push(self.request(Get::new(absent.clone()).with(GetOptions::default().trace(true))));
        requests.push(self.request(Get::new(held.clone()).with(GetOptions::default().quorum(2))));
        requests.push(self.request(CheckHealth { key: held.clone() }));
        requests.push(self.request(FindNode { target: NodeId::of_key(&absent) }));
        requests.push(self.request(FindValue { key: key("other") }));
        requests.push(self.request(Ping { addr: self.peers.addr(3).to_string() }));
        requests.push(self.request(Bootstrap { contacts: vec![self.peers.addr(4).to_string()] }));
        requests.push(self.request(CopyOf { key: held.clone() }));
        requests.push(self.request(Pin { key: "pinned".into(), min_replicas: 2 }));
        requests.push(self.request(Unpin { key: absent.clone() }));
        requests.push(self.request(Describe));
        requests.push(self.request(Probe));
        requests.push(self.request(TraceNodes { target: NodeId::of_key(&absent) }));
        requests.push(self.request(ListKeys::new()));
        requests.push(self.request(ListPeers));
        requests.push(self.request(WatchKeys { keys: vec![held.clone()] }));
        requests.push(self.foreign_set(key("foreign")));
        self.peers_ask(&held, round);
        tokio::time::sleep(Duration::from_millis(20)).await;
        requests.push(self.request(Release { key: "released".into() }));
        // What is hardly ever said where nothing is amiss.
        self.running.actors.queries.do_send(QueryUnsent { id: QueryId::from_u64(round) });
        self.running.actors.socket.do_send(AllQueriesOver);
        self.running.actors.maintenance.do_send(TableEmpty { once_known: Vec::new(), attempt: None });
        let all = futures_util::future::join_all(requests);
        let ended = tokio::time::timeout(PATIENCE, all).await.expect("every request comes to an end");
        assert!(ended.into_iter().all(|request| request.is_ok()), "none of them panics");
        self.newcomer(round).await;
        tokio::time::sleep(Duration::from_secs(40)).await;
    }

    fn request<M, T>(&self, message: M) -> JoinHandle<()>
    where
        M: Message<Result = Result<T, Error>> + Send + 'static,
        NodeActor: actix::Handler<M>,
        T: Send + 'static,
    {
        // A value or an error, both are an end.
        let answer = self.running.node.send(message);
        actix_rt::spawn(async move { drop(answer.await) })
    }

    /// Sets `key`, and remembers whether that was acknowledged.
    fn set(&self, key: Arc<str>) -> JoinHandle<()> {
        let (acknowledged, value) = (self.acknowledged.clone(), Value::from("v"));
        let set = self.running.node.send(Set::new(&key, value.clone()));
        actix_rt::spawn(async move {
            if let Ok(Ok(_)) = set.await {
                acknowledged.borrow_mut().insert(key, value);
            }
        })
    }

    /// The same by a peer.
    fn foreign_set(&self, key: Arc<str>) -> JoinHandle<()> {
        let (acknowledged, peers, to) = (self.acknowledged.clone(), self.peers.clone(), self.addr);
        actix_rt::spawn(async move {
            let value = Value::from("v");
            let set = Request::Set { key: key.clone(), value: Arc::new(value.clone()), ttl: None, age: None };
            if let Ok(Response::Set { stored: true, .. }) = peers.ask(5, to, set).await {
                acknowledged.borrow_mut().insert(key, value);
            }
        })
    }

    /// What peers and strangers ask, whether they are answered or not.
    fn peers_ask(&self, held: &Arc<str>, round: u64) {
        let own = Some(self.peers.id(5));
        let tell = |n: usize, body| self.peers.tell(n, own.filter(|_| n == 5), self.addr, body);
        let value = Arc::new(Value::from("v"));
        let digest = ValueDigest::of(&value).keyed(Nonce::default());
        let entry = Entry { place: NodeId::of_key(held), digest, age: None, life: None, kind: Entry::PLAIN };
        for request in [
            Request::Ping,
            Request::FindNode { target: NodeId::of_key(held) },
            Request::FindValue { key: held.clone() },
            Request::Get { key: held.clone() },
            Request::CheckStore { key: held.clone(), size: None },
            Request::Renew { entries: Entries { nonce: Nonce::default(), entries: vec![entry] } },
            Request::Reconcile { ranges: Ranges { nonce: Nonce::default(), ranges: Vec::new() }, wanted: Vec::new() },
            Request::SetCached { key: held.clone(), value, target: None, ttl: Some(60) },
        ] {
            tell(5, Body::Request(request));
        }
        let everything = Range { prefix: Prefix::ALL, fingerprint: Fingerprint(0) };
        let ranges = Ranges { nonce: Nonce([0; 8]), ranges: vec![everything] };
        tell(5, Body::Request(Request::Reconcile { ranges, wanted: vec![NodeId::of_key("pinned")] }));
        tell(5, Body::Response(Response::Pong));
        self.legacy.tell(0, Some(self.legacy.id(0)), self.addr, Body::Request(Request::Ping));
        // Its answer is larger than an unknown address may be sent, and it never proves that it is there.
        let sender = Sender::new(None, self.stranger.addr());
        let body = Body::Request(Request::FindNode { target: NodeId::ZERO });
        let id = QueryId::from_u64(round);
        let message = message::Message { id, sender, version: None, token: None, body };
        self.stranger.send(self.addr, Codec::Json.encode(&message).unwrap());
    }

    /// A new peer, which asks for more than an unknown address may be sent at once, and enters the table by answering.
    async fn newcomer(&self, round: u64) {
        if round % 2 == 1 && drill::is_over() {
            return;
        }
        let number = self.peers.len();
        let _ = self.peers.clone().with(1);
        let _ = self.peers.ask(number, self.addr, Request::FindNode { target: NodeId::ZERO }).await;
    }

    /// What was acknowledged is there, and panics and restarts are counted alike.
    pub(super) async fn assert_sound(&self) {
        let acknowledged = self.acknowledged.borrow().clone();
        for (key, value) in &acknowledged {
            let found = self.running.node.send(CopyOf { key: key.clone() }).await.unwrap().unwrap();
            let found = found.map(|copy| Value::clone(&copy.value));
            assert_eq!(found.as_ref(), Some(value), "{key:?} was acknowledged");
        }
        let first = acknowledged.keys().next().expect("something was acknowledged").clone();
        let got = self.running.node.send(Get::new(first)).await.unwrap().unwrap();
        assert!(matches!(got.result, GetResult::Found { .. }), "{got:?}");

        let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
        for ((actor, _), times) in drill::struck() {
            *expected.entry(panics::name_of(actor)).or_default() += times;
        }
        assert_eq!(self.running.counters.restarts(), expected);
        assert_eq!(self.running.ender.reason(), None);
    }
}
