//! The handle to a node, and its builder: what an application holds.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::{fmt, io, thread};

use actix::Addr;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::{MemoryStore, Store};
use kademlia_dynamic::protocol::value::Value;
use tokio::sync::{oneshot, watch};

use super::assembly::{self, House, Plan};
use super::clock::generate_node_id;
use super::counters::Counters;
use super::events::{EventStream, Events};
use super::node_actor::NodeActor;
use super::outcome::{BootstrapOutcome, Error, FoundValue, GetOutcome, Pong, SetOutcome};
use super::requests::{Bootstrap, Describe, FindNode, FindValue, Get, Ping, Release, Set};
use super::snapshot::Snapshot;
use super::socket::transport::Transport;
use super::socket::udp::UdpTransport;
use super::supervision::{Ended, Ender, StopReason};

/// Where a node listens unless it is told otherwise: on this machine only, at any free port.
pub const DEFAULT_BIND: &str = "127.0.0.1:0";

/// A handle to a running node: cheap to clone, usable from any thread and any tokio runtime. The node stops when the last
/// handle is dropped, or by [`Node::stop`].
///
/// ```
/// use kademlia_dynamic::{Codec, Node, Value};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kademlia_dynamic::Error> {
/// let first = Node::builder().bind("127.0.0.1:0").codec(Codec::Json).start().await?;
/// let second = Node::builder().bootstrap([first.local_addr().to_string()]).start().await?;
///
/// let outcome = first.set("greeting", "hello").await?;
/// assert_eq!(outcome.stored, 1);
/// assert_eq!(second.get("greeting").await?, Some(Value::from("hello")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    actor: Addr<NodeActor>,
    id: NodeId,
    addr: SocketAddr,
    codec: Codec,
    ender: Ender,
    counters: Arc<Counters>,
    events: Events,
    /// Turns true when nothing of the node lives any more.
    gone: watch::Receiver<bool>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.ender.end(StopReason::Asked);
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.inner.id).field("addr", &self.inner.addr).finish_non_exhaustive()
    }
}

impl Node {
    /// A builder with the defaults: 127.0.0.1, any free port, JSON, nobody to join.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.inner.id
    }

    /// The address that it is bound to, with the port that it really has.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.addr
    }

    /// How it spells its messages.
    pub fn codec(&self) -> Codec {
        self.inner.codec
    }

    /// Its actor, for applications that would rather send [requests](super::requests) than call methods.
    pub fn actor(&self) -> Addr<NodeActor> {
        self.inner.actor.clone()
    }

    /// Its counters, which stay readable after it has stopped.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// Joins a network through `contacts`, `host:port` each: all are resolved and asked at once. They are remembered for
    /// when nobody is known any more.
    ///
    /// # Errors
    /// Only where the node itself is not able to ask; that nobody answered is an outcome.
    pub async fn bootstrap<C>(&self, contacts: C) -> Result<BootstrapOutcome, Error>
    where
        C: IntoIterator,
        C::Item: ToString,
    {
        let contacts = contacts.into_iter().map(|contact| contact.to_string()).collect();
        self.ask(Bootstrap { contacts }).await
    }

    /// Publishes `value` under `key`: text stays text, bytes stay bytes. It is held here, placed in the network, and
    /// republished until the node stops or the key is [released](Node::release).
    ///
    /// # Errors
    /// Where key or value are too long, or the node is too busy or stopped. That no peer took it is an outcome.
    pub async fn set(&self, key: impl AsRef<str>, value: impl Into<Value>) -> Result<SetOutcome, Error> {
        self.ask(Set { key: key.as_ref().into(), value: Arc::new(value.into()) }).await
    }

    /// The value of `key`; `None` where nobody holds it. [`Node::get_outcome`] says more.
    ///
    /// # Errors
    /// [`Error::NobodyAnswered`] where peers were asked and all kept silent, which says nothing of the value.
    pub async fn get(&self, key: impl AsRef<str>) -> Result<Option<Value>, Error> {
        match self.get_outcome(key).await? {
            GetOutcome::Found { value, .. } => Ok(Some(value)),
            GetOutcome::NotFound { .. } => Ok(None),
            GetOutcome::NobodyAnswered { asked } => Err(Error::NobodyAnswered { asked }),
        }
    }

    /// The value of `key`, who had it, or how many peers said that they do not hold it.
    ///
    /// # Errors
    /// Where the key is too long, or the node is too busy or stopped.
    pub async fn get_outcome(&self, key: impl AsRef<str>) -> Result<GetOutcome, Error> {
        self.ask(Get { key: key.as_ref().into() }).await
    }

    /// The k nodes nearest to `target`, this one excepted, nearest first.
    ///
    /// # Errors
    /// [`Error::NobodyAnswered`], or where the node is too busy or stopped.
    pub async fn find_node(&self, target: NodeId) -> Result<Vec<Peer>, Error> {
        self.ask(FindNode { target }).await
    }

    /// The value of `key` from the network, or the nodes nearest to it. What is held here is not looked at.
    ///
    /// # Errors
    /// As [`Node::get`].
    pub async fn find_value(&self, key: impl AsRef<str>) -> Result<FoundValue, Error> {
        self.ask(FindValue { key: key.as_ref().into() }).await
    }

    /// Who answers at `addr` (`host:port`), and how fast.
    ///
    /// # Errors
    /// [`Error::Silent`] or [`Error::Resolve`].
    pub async fn ping(&self, addr: impl ToString) -> Result<Pong, Error> {
        self.ask(Ping { addr: addr.to_string() }).await
    }

    /// No longer republishes `key`. The copies in the network live on until they expire. Says whether it was published.
    ///
    /// # Errors
    /// Where the node is stopped.
    pub async fn release(&self, key: impl AsRef<str>) -> Result<bool, Error> {
        self.ask(Release { key: key.as_ref().into() }).await
    }

    /// The node at this moment: table, store, queries and counters.
    ///
    /// # Errors
    /// Where the node is stopped.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        self.ask(Describe).await
    }

    /// What happens from now on, as a bounded stream.
    pub fn events(&self) -> EventStream {
        self.inner.events.listen()
    }

    /// Stops the node, and returns when its port is free and no actor of it lives. Requests under way end in an error.
    pub async fn stop(&self) {
        self.inner.ender.end(StopReason::Asked);
        self.stopped().await;
    }

    /// Waits until the node has stopped, and says why.
    pub async fn stopped(&self) -> StopReason {
        // An error means that the sender is gone, and with it the node.
        let _ = self.inner.gone.clone().wait_for(|gone| *gone).await;
        self.inner.ender.reason().unwrap_or(StopReason::Asked)
    }

    async fn ask<M, T>(&self, request: M) -> Result<T, Error>
    where
        M: actix::Message<Result = Result<T, Error>> + Send + 'static,
        NodeActor: actix::Handler<M>,
        T: Send + 'static,
    {
        match self.inner.actor.send(request).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.inner.ender.reason().map_or(Error::Interrupted, Error::Stopped)),
        }
    }
}

/// Builds a [`Node`].
#[must_use = "a builder does nothing until it is started"]
pub struct NodeBuilder {
    bind: String,
    codec: Codec,
    config: Config,
    contacts: Vec<String>,
    id: Option<NodeId>,
    client: bool,
    store: Option<Box<dyn Store>>,
    seed: Option<u64>,
}

impl Default for NodeBuilder {
    fn default() -> Self {
        Self {
            bind: DEFAULT_BIND.to_owned(),
            codec: Codec::default(),
            config: Config::default(),
            contacts: Vec::new(),
            id: None,
            client: false,
            store: None,
            seed: None,
        }
    }
}

impl NodeBuilder {
    /// Where it listens: `host:port`; port 0 is any free one. Defaults to [`DEFAULT_BIND`].
    pub fn bind(mut self, addr: impl ToString) -> Self {
        self.bind = addr.to_string();
        self
    }

    /// How it spells its messages: all nodes of a network do it alike. Defaults to JSON.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// Its settings. Defaults to [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Whom to join through, `host:port` each. Starting waits for their answers, but succeeds without: whoever is first
    /// in a network has nobody to join. Joining is tried again while nobody is known.
    pub fn bootstrap<C>(mut self, contacts: C) -> Self
    where
        C: IntoIterator,
        C::Item: ToString,
    {
        self.contacts = contacts.into_iter().map(|contact| contact.to_string()).collect();
        self
    }

    /// Its id. Defaults to a random one.
    pub fn node_id(mut self, id: NodeId) -> Self {
        self.id = Some(id);
        self
    }

    /// Whether it only uses the network: it is inserted into nobody's table, and so holds nothing for others. For
    /// short-lived programs.
    pub fn client(mut self, client: bool) -> Self {
        self.client = client;
        self
    }

    /// What stands behind its value store. Defaults to memory.
    pub fn store(mut self, store: impl Store + 'static) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// Makes a run repeatable, for tests and simulation. Its query ids can then be guessed: never on an open network.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Starts the node on a thread of its own, with any runtime around it.
    ///
    /// # Errors
    /// A setting out of its range, an address that cannot be bound, a thread that cannot be started.
    pub async fn start(self) -> Result<Node, Error> {
        self.config.validate()?;
        let (ready, started) = oneshot::channel();
        let (gone, is_gone) = watch::channel(false);
        let body = move || {
            actix::System::new().block_on(async move {
                match self.start_here(is_gone).await {
                    Ok((node, contacts, ended)) => {
                        // Only the caller's handle counts: if nobody takes it, the node ends at once.
                        let _ = ready.send(Ok((node, contacts)));
                        ended.wait().await;
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            });
            let _ = gone.send(true);
        };
        thread::Builder::new().name("kademlia-node".to_owned()).spawn(body).map_err(Error::Thread)?;
        let (node, contacts) = started.await.map_err(|_| Error::Interrupted)??;
        join(node, contacts).await
    }

    /// Starts the node on the current Arbiter: for tests, for simulation, and for many nodes in one process.
    ///
    /// # Errors
    /// As [`NodeBuilder::start`], and [`Error::NoArbiter`] outside an actix system.
    pub async fn start_local(self) -> Result<Node, Error> {
        self.config.validate()?;
        check_arbiter()?;
        let (gone, is_gone) = watch::channel(false);
        let (node, contacts, ended) = self.start_here(is_gone).await?;
        announce_end(ended, gone);
        join(node, contacts).await
    }

    /// Starts the node on the current Arbiter, over a transport of the caller's: a network in memory, above all.
    ///
    /// # Errors
    /// As [`NodeBuilder::start_local`]; [`NodeBuilder::bind`] is not used.
    pub async fn start_local_over(self, transport: impl Transport) -> Result<Node, Error> {
        self.config.validate()?;
        check_arbiter()?;
        let (gone, is_gone) = watch::channel(false);
        let (node, contacts, ended) = self.assemble(Rc::new(transport), is_gone);
        announce_end(ended, gone);
        join(node, contacts).await
    }

    async fn start_here(self, gone: watch::Receiver<bool>) -> Result<(Node, Vec<String>, Ended), Error> {
        let addr = resolve(&self.bind).await?;
        let transport = UdpTransport::bind(addr).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => Error::PortInUse { addr },
            _ => Error::Bind { addr, source },
        })?;
        Ok(self.assemble(Rc::new(transport), gone))
    }

    fn assemble(self, transport: Rc<dyn Transport>, gone: watch::Receiver<bool>) -> (Node, Vec<String>, Ended) {
        let (addr, codec) = (transport.local_addr(), self.codec);
        let id = self.id.unwrap_or_else(generate_node_id);
        let store = self.store.unwrap_or_else(|| Box::new(MemoryStore::default()));
        let plan = Plan { id, codec, config: self.config, client: self.client, store, seed: self.seed };
        let (house, ended) = assembly::assemble(plan, transport);
        let House { node: actor, ender, counters, events, .. } = house;
        let inner = Inner { actor, id, addr, codec, ender, counters, events, gone };
        (Node { inner: Arc::new(inner) }, self.contacts, ended)
    }
}

fn check_arbiter() -> Result<(), Error> {
    actix::System::try_current().map(drop).ok_or(Error::NoArbiter)
}

/// Says so when nothing of the node lives any more.
fn announce_end(ended: Ended, gone: watch::Sender<bool>) {
    actix_rt::spawn(async move {
        ended.wait().await;
        let _ = gone.send(true);
    });
}

async fn resolve(bind: &str) -> Result<SocketAddr, Error> {
    let error = |reason: String| Error::Resolve { addr: bind.to_owned(), reason };
    let mut found = tokio::net::lookup_host(bind).await.map_err(|found| error(found.to_string()))?;
    found.next().ok_or_else(|| error("it has no address".to_owned()))
}

async fn join(node: Node, contacts: Vec<String>) -> Result<Node, Error> {
    if !contacts.is_empty() {
        let outcome = node.bootstrap(contacts).await?;
        if !outcome.joined() {
            tracing::warn!(silent = ?outcome.silent, unresolved = ?outcome.unresolved, "no contact answered");
        }
    }
    Ok(node)
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeBuilder").field("bind", &self.bind).field("codec", &self.codec).finish_non_exhaustive()
    }
}
