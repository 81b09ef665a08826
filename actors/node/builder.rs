//! Builds a node: what it is made of, where it runs, and the network that it joins.

use std::mem::take;
use std::net::SocketAddr;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::{fmt, io, thread};

use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::check_unicast;
use kademlia_dynamic::protocol::store::{MemoryStore, Recollection, Store};
use tokio::sync::oneshot;

use super::super::clock::generate_node_id;
use super::super::limits;
use super::super::operations::join::resolver::{ADDRESS_FORM, Resolver, has_form};
use super::super::outcome::Error;
use super::super::socket::transport::Transport;
use super::super::socket::udp::UdpTransport;
use super::super::supervision::StopReason;
use super::super::wiring::{self, Setup};
use super::Node;

/// Where a node listens by default: on this machine only, at any free port.
pub const DEFAULT_BIND: &str = "127.0.0.1:0";

/// Builds a [`Node`].
#[derive(Default)]
#[must_use = "a builder does nothing until it is started"]
pub struct NodeBuilder {
    bind: Option<String>,
    codec: Codec,
    config: Config,
    contacts: Vec<String>,
    id: Option<NodeId>,
    client: bool,
    store: Option<Box<dyn Store>>,
    seed: Option<u64>,
    on_failure: Option<OnFailure>,
    require_bootstrap: bool,
}

/// Is called when a node has failed.
type OnFailure = Box<dyn FnOnce(StopReason) + Send>;

impl NodeBuilder {
    /// Where it listens: `host:port`; port 0 is any free one. Defaults to [`DEFAULT_BIND`].
    pub fn bind(mut self, addr: impl ToString) -> Self {
        self.bind = Some(addr.to_string());
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

    /// The contacts to join through, `host:port` each. They are tried independently of each other: starting waits for the
    /// first answer and for the lookup that makes this node known, or until each contact has failed, and succeeds then
    /// too. While no peer is known, joining is tried again.
    pub fn bootstrap<C>(mut self, contacts: C) -> Self
    where
        C: IntoIterator,
        C::Item: ToString,
    {
        self.contacts = contacts.into_iter().map(|contact| contact.to_string()).collect();
        self
    }

    /// Whether starting fails where no network was reached: no contact answered, nor a peer that its store remembers, or
    /// there are neither. The node is stopped then, and its port free. Defaults to `false`: it goes on alone and tries again,
    /// and what applications ask of the network meanwhile ends in [`Error::NotJoined`].
    pub fn require_bootstrap(mut self, required: bool) -> Self {
        self.require_bootstrap = required;
        self
    }

    /// Its id. Defaults to the one that its [store](NodeBuilder::store) remembers, or a random one.
    pub fn node_id(mut self, id: NodeId) -> Self {
        self.id = Some(id);
        self
    }

    /// Whether it only uses the network: it is inserted into no table, and so holds nothing for others. For
    /// short-lived programs.
    pub fn client(mut self, client: bool) -> Self {
        self.client = client;
        self
    }

    /// What stands behind its value store. Defaults to memory. One that outlives the process, as `persist::DiskStore`, also
    /// remembers the node's id and its peers: they are asked again at the start, which does not wait for them.
    pub fn store(mut self, store: impl Store + 'static) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// Makes a run repeatable, for tests and simulation. Its query ids can then be guessed: never on an open network.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// What to call when the node has failed: one of its actors panicked more often than `max_restarts` allows, so
    /// it has stopped whole. By then its port is free, and its store has been closed. It is called once, on the node's thread
    /// or Arbiter, and not where the node was stopped or dropped; [`Node::stopped`] reports the same.
    ///
    /// Requests under way, and all that are made from then on, end in [`Error::Stopped`], which names the actor.
    pub fn on_failure(mut self, report: impl FnOnce(StopReason) + Send + 'static) -> Self {
        self.on_failure = Some(Box::new(report));
        self
    }

    /// Starts the node on a thread of its own, with any runtime around it.
    ///
    /// # Errors
    /// A setting out of its range, an address that cannot be bound, a thread that cannot be started, or a limit of the
    /// process that leaves too little for a node; [`Error::NotJoined`] where a bootstrap is [required](NodeBuilder::require_bootstrap).
    pub async fn start(mut self) -> Result<Node, Error> {
        self.config.validate()?;
        limits::check(limits::NODE)?;
        let (contacts, required) = (take(&mut self.contacts), self.require_bootstrap);
        let (ready, started) = oneshot::channel();
        let body = move || {
            let runtime = match runtime() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            actix::System::with_tokio_rt(move || runtime).block_on(async move {
                match self.transport().await {
                    Ok(transport) => {
                        let (node, end) = self.assemble(transport);
                        // Only the caller's handle counts: if it has gone, the node ends at once.
                        let _ = ready.send(Ok(node));
                        end.await;
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            });
        };
        thread::Builder::new().name("kademlia-node".to_owned()).spawn(body).map_err(|error| {
            let limits = "(ulimit -u, or ulimit -v for its stack)";
            Error::Thread(io::Error::new(error.kind(), format!("{error} {limits}")))
        })?;
        let node = started.await.map_err(|_| Error::Interrupted)??;
        join(node, contacts, required).await
    }

    /// Starts the node on the current Arbiter: for tests, for simulation, and for many nodes in one process.
    ///
    /// # Errors
    /// As [`NodeBuilder::start`], and [`Error::NoArbiter`] outside an actix system.
    pub async fn start_local(self) -> Result<Node, Error> {
        self.check_local()?;
        let transport = self.transport().await?;
        self.start_over(transport).await
    }

    /// Starts the node on the current Arbiter, over a transport of the caller's: a network in memory, above all.
    ///
    /// # Errors
    /// As [`NodeBuilder::start_local`]; [`NodeBuilder::bind`] is not used.
    pub async fn start_local_over(self, transport: impl Transport) -> Result<Node, Error> {
        self.check_local()?;
        self.start_over(Rc::new(transport)).await
    }

    fn check_local(&self) -> Result<(), Error> {
        self.config.validate()?;
        actix::System::try_current().map(drop).ok_or(Error::NoArbiter)
    }

    async fn start_over(mut self, transport: Rc<dyn Transport>) -> Result<Node, Error> {
        let (contacts, required) = (take(&mut self.contacts), self.require_bootstrap);
        let (node, end) = self.assemble(transport);
        actix_rt::spawn(end);
        join(node, contacts, required).await
    }

    fn bind_addr(&self) -> &str {
        self.bind.as_deref().unwrap_or(DEFAULT_BIND)
    }

    async fn transport(&self) -> Result<Rc<dyn Transport>, Error> {
        let addr = resolve(self.bind_addr()).await?;
        match UdpTransport::bind_with(addr, self.config.limits.receive_buffer) {
            Ok(transport) => Ok(Rc::new(transport)),
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => Err(Error::PortInUse { addr }),
            Err(source) => Err(Error::Bind { addr, source }),
        }
    }

    /// The node, and what waits for its end and reports a failure.
    fn assemble(self, transport: Rc<dyn Transport>) -> (Node, impl Future<Output = ()> + 'static) {
        let mut store = self.store.unwrap_or_else(|| Box::new(MemoryStore::default()));
        let known = store.recall();
        let last_id = known.as_ref().and_then(|known| known.id);
        let id = self.id.or(last_id).unwrap_or_else(generate_node_id);
        if let Some(Recollection { peers, .. }) = known.clone().filter(|_| last_id != Some(id)) {
            store.remember(Recollection { id: Some(id), peers });
        }
        let (codec, config, client, seed, resolver) =
            (self.codec, self.config, self.client, self.seed, Resolver::system());
        let setup = Setup { id, codec, config, client, store, known, seed, resolver };
        let running = wiring::start(setup, transport);
        let (ended, ender, on_failure) = (running.ended.clone(), running.ender.clone(), self.on_failure);
        let end = async move {
            ended.wait().await;
            let failed = ender.reason().filter(|reason| *reason != StopReason::Asked);
            if let (Some(report), Some(reason)) = (on_failure, failed) {
                report(reason);
            }
        };
        (Node { inner: Arc::new(running) }, end)
    }
}

/// The runtime of a node's thread. tokio panics where it lacks a descriptor for signals.
fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    let build = || tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    match catch_unwind(build) {
        Ok(built) => built.map_err(Error::Thread),
        Err(_) => Err(Error::Thread(io::Error::other("its runtime panicked, for lack of a descriptor (ulimit -n)"))),
    }
}

async fn resolve(bind: &str) -> Result<SocketAddr, Error> {
    let error = |reason: String| Error::Resolve { addr: bind.to_owned(), reason };
    if !has_form(bind) {
        return Err(error(format!("{ADDRESS_FORM}; port 0 is any free one")));
    }
    let found = tokio::net::lookup_host(bind).await.map_err(|found| error(found.to_string()))?;
    // Of a name with addresses of both families the IPv4 one: most of the network speaks nothing else.
    let addr = found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| error("it has no address".to_owned()))?;
    let ip = addr.ip().to_canonical();
    if !ip.is_unspecified() {
        // Whether a port is usable is the system's decision: 0 is any free one.
        check_unicast(&SocketAddr::new(ip, 1)).map_err(|found| error(found.to_string()))?;
    }
    Ok(addr)
}

/// Joins through the contacts, and sees to it that a network was reached where that is required.
async fn join(node: Node, contacts: Vec<String>, required: bool) -> Result<Node, Error> {
    if !contacts.is_empty() {
        let outcome = node.bootstrap(contacts).await?;
        if !outcome.joined() {
            tracing::warn!(contacts = %outcome, "no contact answered");
        }
    }
    if !required {
        return Ok(node);
    }
    let reached = match node.inner.joined.wait().await {
        Ok(true) => return Ok(node),
        Ok(false) => Err(Error::NotJoined { outcome: Box::new(node.joined().await?.unwrap_or_default()) }),
        Err(error) => Err(error),
    };
    node.stop().await;
    reached
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeBuilder")
            .field("bind", &self.bind_addr())
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}
