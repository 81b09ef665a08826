//! Peers without a node behind them, for tests of applications: they say what a script wants, else the usual (`usual.rs`).

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::endpoint::Listener;
use super::network::MemoryNetwork;
use super::script::{Asked, Reply, Silent};
use super::transport::MemoryTransport;
use super::usual::Usual;
use crate::actors::socket::transport::Datagram;
use crate::protocol::codec::Codec;
use crate::protocol::config::Config;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::id::NodeId;
use crate::protocol::message::{Body, Message, PROTOCOL_VERSION, QueryId, Request, Response, Sender, Token};
use crate::protocol::peer::Peer;
use crate::protocol::value::Value;

/// Requests that are remembered. Beyond it the oldest are forgotten.
pub const HEARD: usize = 10_000;

/// Peers on a [`MemoryNetwork`] that do as they are reported. Cheap to clone; they leave the network with the last clone.
///
/// ```
/// use kademlia_dynamic::protocol::message::Request;
/// use kademlia_dynamic::sim::{MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};
/// use kademlia_dynamic::{GetOptions, Codec, GetResult, Node, Value};
///
/// in_virtual_time(async {
///     let network = MemoryNetwork::new(7);
///     let peers = ScriptedPeers::new(&network, Codec::Json).with(3);
///     peers.hold(2, "greeting", "hello");
///
///     let node = Node::builder().bootstrap([peers.addr(0)]).start_local_over(network.endpoint()).await.unwrap();
///     assert_eq!(node.get("greeting").await.unwrap(), Some(Value::from("hello")));
///
///     // From now on no peer answers a `find_value`; all else is as usual.
///     peers.on(|asked| match asked.request {
///         Request::FindValue { .. } => Reply::Silence,
///         _ => Reply::Usual,
///     });
///     assert_eq!(node.get_with("other", GetOptions::default()).await.unwrap().result, GetResult::NoneAnswered { asked: 3 });
///
///     let asked = peers.heard().into_iter().filter(|asked| asked.request.name() == "find_value");
///     assert!(asked.count() > 3);
/// });
/// ```
///
/// A script that panics, as a failed assertion does, panics again in [`ScriptedPeers::heard`], or when they are dropped.
#[derive(Clone)]
pub struct ScriptedPeers(Rc<Stage>);

type Script = Box<dyn FnMut(&Asked) -> Reply>;

struct Stage {
    network: MemoryNetwork,
    codec: Codec,
    version: Cell<Option<u32>>,
    entropy: RefCell<SeededEntropy>,
    usual: RefCell<Usual>,
    /// The number of each peer.
    numbers: RefCell<HashMap<SocketAddr, usize>>,
    /// They keep the addresses.
    endpoints: RefCell<Vec<MemoryTransport>>,
    /// `None` while it runs.
    script: RefCell<Option<Script>>,
    heard: RefCell<VecDeque<Asked>>,
    /// Who waits for an answer.
    asking: RefCell<HashMap<QueryId, oneshot::Sender<Response>>>,
    /// What each peer was given by each node, to be shown with its next query.
    tokens: RefCell<HashMap<(SocketAddr, SocketAddr), Token>>,
    /// What a script panicked with.
    panic: RefCell<Option<Box<dyn Any + Send>>>,
}

impl ScriptedPeers {
    /// No peers yet, on `network` and speaking `codec`: [`ScriptedPeers::with`] brings peers in.
    pub fn new(network: &MemoryNetwork, codec: Codec) -> Self {
        let entropy = RefCell::new(SeededEntropy::new(network.seed()));
        Self(Rc::new(Stage {
            network: network.clone(),
            codec,
            version: Cell::new(Some(PROTOCOL_VERSION)),
            entropy,
            usual: RefCell::default(),
            numbers: RefCell::default(),
            endpoints: RefCell::default(),
            script: RefCell::new(Some(Box::new(|_| Reply::Usual))),
            heard: RefCell::default(),
            asking: RefCell::default(),
            tokens: RefCell::default(),
            panic: RefCell::default(),
        }))
    }

    /// The same peers and `n` more, with random ids.
    #[must_use]
    pub fn with(self, n: usize) -> Self {
        (0..n).fold(self, |peers, _| {
            let mut id = [0; 20];
            peers.0.entropy.borrow_mut().fill(&mut id);
            peers.with_id(NodeId::from_bytes(id))
        })
    }

    /// The same peers and one more, with this id.
    #[must_use]
    pub fn with_id(self, id: NodeId) -> Self {
        let stage: Weak<Stage> = Rc::downgrade(&self.0);
        let endpoint = self.0.network.listen(stage);
        let mut endpoints = self.0.endpoints.borrow_mut();
        self.0.numbers.borrow_mut().insert(endpoint.addr(), endpoints.len());
        self.0.usual.borrow_mut().add(Peer::new(id, endpoint.addr()));
        endpoints.push(endpoint);
        drop(endpoints);
        self
    }

    /// The same peers as legacy nodes, which send no version.
    #[must_use]
    pub fn legacy(self) -> Self {
        self.0.version.set(None);
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.endpoints.borrow().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Peer `n`.
    ///
    /// # Panics
    /// If there is none of that number, as all that take one.
    pub fn peer(&self, n: usize) -> Peer {
        self.0.usual.borrow().peers[n]
    }

    /// All of them, by number.
    pub fn all(&self) -> Vec<Peer> {
        self.0.usual.borrow().peers.clone()
    }

    /// The address of peer `n`.
    pub fn addr(&self, n: usize) -> SocketAddr {
        self.peer(n).addr
    }

    /// The id of peer `n`.
    pub fn id(&self, n: usize) -> NodeId {
        self.peer(n).id
    }

    /// Asks `script` for the reply to each request from now on, in place of any script before. It runs when a request
    /// arrives, and must not call [`ScriptedPeers::on`] itself.
    pub fn on(&self, script: impl FnMut(&Asked) -> Reply + 'static) {
        *self.0.script.borrow_mut() = Some(Box::new(script));
    }

    /// Lets peer `n` hold a value.
    pub fn hold(&self, n: usize, key: &str, value: impl Into<Value>) {
        self.0.usual.borrow_mut().hold(n, key, value.into());
    }

    /// What peer `n` holds under `key`.
    pub fn held(&self, n: usize, key: &str) -> Option<Value> {
        self.0.usual.borrow().held(n, key).map(|value| Value::clone(&value))
    }

    /// The requests received so far in the order of their coming, at most the last [`HEARD`].
    ///
    /// # Panics
    /// If the script has.
    pub fn heard(&self) -> Vec<Asked> {
        self.0.raise();
        self.0.heard.borrow().iter().cloned().collect()
    }

    /// Forgets them.
    pub fn forget_heard(&self) {
        self.0.heard.borrow_mut().clear();
    }

    /// Lets peer `n` ask `to` something, and waits for the answer for as long as a node does (2 s). It shows the token that it
    /// was given, and repeats a write once that was refused for want of one, unless it is a legacy node.
    ///
    /// # Errors
    /// [`Silent`] if none came in time, or one that does not answer the question.
    pub async fn ask(&self, n: usize, to: SocketAddr, request: Request) -> Result<Response, Silent> {
        let is_write = matches!(request, Request::Set { .. } | Request::SetCached { .. });
        let shown = self.0.token(self.addr(n), to);
        let response = self.ask_once(n, to, request.clone()).await?;
        let given = self.0.token(self.addr(n), to);
        let refused = matches!(response, Response::Set { stored: false, .. } | Response::SetCached);
        if is_write && refused && given != shown { self.ask_once(n, to, request).await } else { Ok(response) }
    }

    /// Lets peer `n` publish a value at `to`, and returns whether it was stored there. ([`ScriptedPeers::hold`] lets a peer
    /// hold a value itself.)
    ///
    /// # Errors
    /// As [`ScriptedPeers::ask`].
    pub async fn set(&self, n: usize, to: SocketAddr, key: &str, value: impl Into<Value>) -> Result<bool, Silent> {
        let set = Request::Set { key: key.into(), value: Arc::new(value.into()), ttl: None, age: None };
        Ok(matches!(self.ask(n, to, set).await?, Response::Set { stored: true, .. }))
    }

    async fn ask_once(&self, n: usize, to: SocketAddr, request: Request) -> Result<Response, Silent> {
        let within = Config::DEFAULT.lookup.query_timeout;
        let (answer, answered) = oneshot::channel();
        let kind = request.name();
        let id = self.0.say(n, Some(self.id(n)), to, Body::Request(request));
        self.0.asking.borrow_mut().insert(id, answer);
        let _forget = Forget { stage: &self.0, id };
        match tokio::time::timeout(within, answered).await {
            Ok(Ok(response)) if response.answers() == kind => Ok(response),
            _ => Err(Silent { to, within }),
        }
    }

    /// Lets peer `n` say something under this id, and does not wait: an answer to nothing, a query that nothing waits for.
    pub fn tell(&self, n: usize, claim: Option<NodeId>, to: SocketAddr, body: Body) {
        self.0.say(n, claim, to, body);
    }

    /// Lets peer `n` send these bytes.
    pub fn send(&self, n: usize, to: SocketAddr, payload: Vec<u8>) {
        self.0.network.send(self.addr(n), to, payload);
    }
}

impl fmt::Debug for ScriptedPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedPeers").field("peers", &self.all()).finish_non_exhaustive()
    }
}

/// Ends the wait for an answer, however it ended.
struct Forget<'a> {
    stage: &'a Stage,
    id: QueryId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.stage.asking.borrow_mut().remove(&self.id);
    }
}

impl Stage {
    fn say(&self, n: usize, claim: Option<NodeId>, to: SocketAddr, body: Body) -> QueryId {
        let id = QueryId::from_u64(self.entropy.borrow_mut().next_u64());
        let addr = self.usual.borrow().peers[n].addr;
        let token = if matches!(body, Body::Request(_)) { self.token(addr, to) } else { None };
        self.network.send(addr, to, self.spell(addr, claim, id, token, body));
        id
    }

    /// What `peer` shows to `to`: nothing where it is a legacy node.
    fn token(&self, peer: SocketAddr, to: SocketAddr) -> Option<Token> {
        self.version.get().and_then(|_| self.tokens.borrow().get(&(peer, to)).copied())
    }

    fn spell(&self, addr: SocketAddr, claim: Option<NodeId>, id: QueryId, token: Option<Token>, body: Body) -> Vec<u8> {
        let message = Message { id, sender: Sender::new(claim, addr), version: self.version.get(), token, body };
        match self.codec.encode(&message) {
            Ok(payload) => payload,
            Err(error) => panic!("a scripted peer cannot say this: {error}"),
        }
    }

    fn take(&self, to: SocketAddr, Datagram { addr: from, payload, .. }: Datagram) {
        let Some(peer) = self.numbers.borrow().get(&to).copied() else { return };
        let Ok(message) = self.codec.decode(&payload) else { return };
        match message.body {
            Body::Response(response) => {
                if let Some(token) = message.token {
                    self.tokens.borrow_mut().insert((to, from), token);
                }
                if let Some(waiting) = self.asking.borrow_mut().remove(&message.id) {
                    // The caller may have gone.
                    let _ = waiting.send(response);
                }
            }
            Body::Request(request) => {
                let asked = Asked {
                    peer,
                    from,
                    sender: message.sender.id,
                    version: message.version,
                    query: message.id,
                    request,
                    bytes: payload.len(),
                    at: Instant::now(),
                };
                self.remember(asked.clone());
                // It may look at the peers while it runs, so nothing of them is borrowed.
                let script = self.script.borrow_mut().take();
                let Some(mut script) = script else { return };
                let reply = script(&asked);
                self.script.borrow_mut().get_or_insert(script);
                self.reply(&asked, to, reply, Duration::ZERO);
            }
        }
    }

    fn remember(&self, asked: Asked) {
        let mut heard = self.heard.borrow_mut();
        if heard.len() == HEARD {
            heard.pop_front();
        }
        heard.push_back(asked);
    }

    fn reply(&self, asked: &Asked, own: SocketAddr, reply: Reply, delay: Duration) {
        let id = self.usual.borrow().peers[asked.peer].id;
        let (id, response) = match reply {
            Reply::Usual => (id, self.usual.borrow_mut().answer(asked.peer, &asked.request)),
            Reply::Answer(response) => (id, response),
            Reply::As(other, response) => (other, response),
            Reply::Silence => return,
            Reply::After(more, reply) => return self.reply(asked, own, *reply, delay + more),
            Reply::Raw(payload) => {
                self.network.send_later(delay, own, asked.from, payload);
                return;
            }
        };
        let payload = self.spell(own, Some(id), asked.query, None, Body::Response(response));
        self.network.send_later(delay, own, asked.from, payload);
    }

    /// Panics if the script has.
    fn raise(&self) {
        let panicked = self.panic.borrow_mut().take();
        if let Some(panic) = panicked {
            resume_unwind(panic);
        }
    }
}

impl Listener for Stage {
    fn receive(&self, to: SocketAddr, datagram: Datagram) {
        // It is the network's driver that calls: a panic here would end it, and no test would see why.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.take(to, datagram))) {
            self.panic.borrow_mut().get_or_insert(panic);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.raise();
        }
    }
}
