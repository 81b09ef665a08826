//! The handle to a node: what an application holds. [`builder`] makes it.

pub mod builder;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use actix::Addr;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::StoredCopy;
use kademlia_dynamic::protocol::value::Value;

pub use self::builder::{DEFAULT_BIND, NodeBuilder};
use super::counters::Counters;
use super::events::{EventKind, EventStream};
pub use super::node_actor::NodeActor;
use super::outcome::{
    BootstrapOutcome, Error, FoundNodes, FoundValue, GetOutcome, GetResult, Health, Pong, SetOutcome, StopReason,
};
use super::requests::{
    Bootstrap, CheckHealth, CopyOf, Describe, FindNode, FindValue, Get, GetOptions, KeyPage, ListKeys, ListPeers, Pin,
    Ping, Probe, Release, Set, SetOptions, Stop, TraceNodes, Unpin, WatchKeys,
};
use super::snapshot::{KnownPeer, Snapshot};
use super::watch::Watch;
use super::wiring::Running;

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
#[must_use = "the node stops when its last handle is dropped"]
pub struct Node {
    inner: Arc<Running>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.inner.id).field("addr", &self.inner.addr).finish_non_exhaustive()
    }
}

impl Node {
    /// A builder with the defaults: 127.0.0.1, any free port, JSON, no network to join.
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
        self.inner.node.clone()
    }

    /// Its counters, which stay readable after it has stopped.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// Joins a network through `contacts`, `host:port` each. They are tried independently of each other, each name is resolved
    /// once (within 10 s), and the first answer decides: this returns once this node is known in its neighbourhood, or each
    /// contact has failed. Contacts that are [pending](BootstrapOutcome::pending) then are tried on. All are remembered for
    /// when no peer is known any more, and resolved anew then.
    ///
    /// # Errors
    /// Only where the node itself is not able to ask; that no contact answered is an outcome.
    pub async fn bootstrap<C>(&self, contacts: C) -> Result<BootstrapOutcome, Error>
    where
        C: IntoIterator,
        C::Item: ToString,
    {
        self.ask(Bootstrap::new(contacts)).await
    }

    /// What came of the latest bootstrap: of the one at the start, of one through [`Node::bootstrap`], or of one that the node
    /// made by itself since it knew no peer. `None`: there was none. While one is under way that no contact has answered, it
    /// is waited for: 14 s at most with the default settings. [`Event::Joined`](super::events::Event) reports each later one.
    ///
    /// Contacts that were [pending](BootstrapOutcome::pending) at the first answer have answered or failed in what a later call
    /// returns.
    ///
    /// # Errors
    /// Where the node is stopped.
    pub async fn joined(&self) -> Result<Option<BootstrapOutcome>, Error> {
        tokio::select! {
            biased;
            reason = self.stopped() => Err(Error::Stopped(reason)),
            outcome = self.inner.joined.outcome() => Ok(outcome),
        }
    }

    /// Publishes `value` under `key`: text stays text, bytes stay bytes. It is held here, placed in the network, and
    /// republished until the node stops or the key is [released](Node::release), or another node sets it. A node that comes back
    /// from a store on disk goes on with that, however long it was away.
    ///
    /// Nothing bounds how much a node publishes but its memory. 330,000 values are republished in time whatever else it does;
    /// with more, copies may end before they are republished, which a log line reports, unless
    /// [`max_waiting_lookups`](kademlia_dynamic::protocol::config::LookupConfig::max_waiting_lookups) is raised with them.
    ///
    /// # Errors
    /// Where key or value are too long, or the node is too busy or stopped; [`Error::NotJoined`] where contacts were given and
    /// none was reached. That no peer took it is an outcome.
    pub async fn set(&self, key: impl AsRef<str>, value: impl Into<Value>) -> Result<SetOutcome, Error> {
        self.ask(Set::new(key, value)).await
    }

    /// The same as [`Node::set`] with options: with a [quorum](SetOptions::quorum) it returns as soon as so many peers hold the
    /// value, and the node sends it to the other places afterwards.
    ///
    /// ```
    /// # use kademlia_dynamic::{Node, SetOptions};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), kademlia_dynamic::Error> {
    /// # let node = Node::builder().start().await?;
    /// let outcome = node.set_with("greeting", "hello", SetOptions::default().quorum(5)).await?;
    /// println!("{} hold it, {} are yet to answer", outcome.stored, outcome.pending);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Node::set`]; [`Error::Config`] where the quorum is not within 1..=k.
    pub async fn set_with(
        &self,
        key: impl AsRef<str>,
        value: impl Into<Value>,
        options: SetOptions,
    ) -> Result<SetOutcome, Error> {
        self.ask(Set::new(key, value).with(options)).await
    }

    /// The value of `key`; `None` where no peer holds it. [`Node::get_with`] says more.
    ///
    /// # Errors
    /// [`Error::NoneAnswered`] where peers were asked and all were silent, which says nothing of the value;
    /// [`Error::UnsupportedValue`] where it is neither text nor bytes; [`Error::NotJoined`] where contacts were given and none
    /// was reached, unless this node itself holds the value; where the key is too long, or the node is too busy or stopped.
    pub async fn get(&self, key: impl AsRef<str>) -> Result<Option<Value>, Error> {
        match self.ask(Get::new(key)).await?.result {
            GetResult::Found { value, .. } => Ok(Some(value)),
            GetResult::Unsupported { holder } => Err(Error::UnsupportedValue { holder }),
            GetResult::NotFound { .. } => Ok(None),
            GetResult::NoneAnswered { asked } => Err(Error::NoneAnswered { asked }),
        }
    }

    /// The value of `key` and which peer had it, or how many peers said that they do not hold it.
    ///
    /// With a [quorum](GetOptions::quorum) several holders are heard, and the value that most of them gave is the result. With
    /// a [trace](GetOptions::trace) the outcome says which peers the lookup asked, what came back, and how it ended. The
    /// read joins an equal lookup that is under way; a value held here needs none.
    ///
    /// ```
    /// # use kademlia_dynamic::{GetOptions, GetResult, Node};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), kademlia_dynamic::Error> {
    /// # let node = Node::builder().start().await?;
    /// # node.set("greeting", "hello").await?;
    /// let read = node.get_with("greeting", GetOptions::default().quorum(3).trace(true)).await?;
    /// if let GetResult::Found { value, votes, .. } = read.result {
    ///     println!("{value}, say {} of {}", votes.agreed, votes.cast);
    /// }
    /// if let Some(trace) = read.trace {
    ///     println!("{} peers were asked", trace.tally().asked);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where the key is too long, or the node is too busy or stopped; [`Error::NotJoined`] as for [`Node::get`];
    /// [`Error::Config`] where the quorum is not within 1..=k.
    pub async fn get_with(&self, key: impl AsRef<str>, options: GetOptions) -> Result<GetOutcome, Error> {
        self.ask(Get::new(key).with(options)).await
    }

    /// Which nodes hold `key`: the k nodes nearest to it are looked up, and each is asked whether it holds the key. Nothing is
    /// placed or repaired. Their answers are not verified, and say nothing of the value that they hold.
    ///
    /// # Errors
    /// [`Error::NoneAnswered`] where peers were asked for the nearest and all were silent; [`Error::NotJoined`]; where the
    /// key is too long, or the node is too busy or stopped.
    pub async fn health(&self, key: impl AsRef<str>) -> Result<Health, Error> {
        self.ask(CheckHealth::new(key)).await
    }

    /// The k nodes nearest to `target`, this one excepted, nearest first.
    ///
    /// # Errors
    /// [`Error::NoneAnswered`], [`Error::NotJoined`], or where the node is too busy or stopped.
    pub async fn find_node(&self, target: NodeId) -> Result<Vec<Peer>, Error> {
        self.ask(FindNode { target }).await
    }

    /// The same as [`Node::find_node`], and how they were looked for: which peers were asked, what each answered and when.
    ///
    /// # Errors
    /// As [`Node::find_node`].
    pub async fn trace_nodes(&self, target: NodeId) -> Result<FoundNodes, Error> {
        self.ask(TraceNodes { target }).await
    }

    /// A page of the keys that are held here, published by this node or held for others, in the order of their bytes.
    ///
    /// ```
    /// # use kademlia_dynamic::Node;
    /// # use kademlia_dynamic::actors::requests::ListKeys;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), kademlia_dynamic::Error> {
    /// # let node = Node::builder().start().await?;
    /// for key in ["a/1", "a/2", "b/1"] {
    ///     node.set(key, "value").await?;
    /// }
    /// let first = node.keys(ListKeys::new().prefix("a/").limit(1)).await?;
    /// assert_eq!((&*first.keys[0].key, first.more), ("a/1", true));
    /// let second = node.keys(ListKeys::new().prefix("a/").after("a/1")).await?;
    /// assert_eq!((second.keys.len(), second.more), (1, false));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where the node is stopped.
    pub async fn keys(&self, list: ListKeys) -> Result<KeyPage, Error> {
        self.ask(list).await
    }

    /// The peers of the routing table, with the bucket, the last answer and the round trip of each.
    ///
    /// # Errors
    /// Where the node is stopped.
    pub async fn peers(&self) -> Result<Vec<KnownPeer>, Error> {
        self.ask(ListPeers).await
    }

    /// Watches `keys`: a bounded stream of their values, each as it is found first and as it changes.
    ///
    /// A key that this node publishes or holds is read here, and at once when an event reports that it has changed. Any other is
    /// looked up in the network, after [`MIN_INTERVAL`](super::watch::MIN_INTERVAL) and then in intervals that double up to
    /// [`MAX_INTERVAL`](super::watch::MAX_INTERVAL) while its value stays the same. Equal keys are one lookup, however many
    /// watch them. A reader that does not keep up loses the oldest changes, and the stream
    /// [reports](super::watch::Change::Missed) how many.
    ///
    /// ```
    /// # use kademlia_dynamic::{Node, Value};
    /// # use kademlia_dynamic::actors::watch::Change;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), kademlia_dynamic::Error> {
    /// # let node = Node::builder().start().await?;
    /// let mut watch = node.watch(["greeting"]).await?;
    /// node.set("greeting", "hello").await?;
    /// while let Some(change) = watch.next().await {
    ///     if let Change::Value { value, .. } = change {
    ///         assert_eq!(*value, Value::from("hello"));
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Busy`] where the node watches [`MAX_WATCHED`](super::watch::MAX_WATCHED) keys already; where a key is too long, or
    /// the node is stopped.
    pub async fn watch<K>(&self, keys: K) -> Result<Watch, Error>
    where
        K: IntoIterator,
        K::Item: AsRef<str>,
    {
        self.ask(WatchKeys { keys: keys.into_iter().map(|key| key.as_ref().into()).collect() }).await
    }

    /// The value of `key` from the network, or the nodes nearest to it. What is held here is not looked at.
    ///
    /// # Errors
    /// As [`Node::get`].
    pub async fn find_value(&self, key: impl AsRef<str>) -> Result<FoundValue, Error> {
        self.ask(FindValue::new(key)).await
    }

    /// The peer that answers at `addr` (`host:port`), and how fast.
    ///
    /// # Errors
    /// [`Error::Silent`], [`Error::Resolve`], or [`Error::Contact`] where it cannot be asked or is no node of this wire.
    pub async fn ping(&self, addr: impl ToString) -> Result<Pong, Error> {
        self.ask(Ping::new(addr)).await
    }

    /// Pins `key`, which this node publishes: the node asks the nodes nearest to it in intervals (`audit_interval`) whether
    /// they hold it, and publishes it again before fewer than `min_replicas` do. Events report the findings and repairs
    /// ([`Event::ReplicasLow`](super::events::Event), `Repaired`, `Lost`, `NoLongerPinned`). While it is pinned, no other writer
    /// supersedes it here: a foreign value is refused. A later [`Node::set`] by this node is pinned in its place.
    ///
    /// It lasts until [`Node::unpin`] or [`Node::release`], or until the node ends. A node that comes back from its store still
    /// refuses foreign values, but counts replicas only once the key is pinned again. A key that is pinned again has the new
    /// minimum.
    ///
    /// The answers are not verified, and concern the key alone: a value that another writer set there is not noticed, but the
    /// next publication of this node overwrites it in turn.
    ///
    /// # Errors
    /// [`Error::NotPublished`]; [`Error::Config`] where `min_replicas` is not within 1..=k; [`Error::Busy`] where
    /// `max_pinned_keys` are pinned already; [`Error::Store`]. After any of them it is pinned, or not, as before.
    pub async fn pin(&self, key: impl AsRef<str>, min_replicas: usize) -> Result<(), Error> {
        self.ask(Pin::new(key, min_replicas)).await
    }

    /// Unpins `key`. It stays published, and any writer may supersede it again. Returns whether it was pinned, even if that was
    /// before the node started.
    ///
    /// # Errors
    /// [`Error::Store`], and it is pinned as before; or where the node is stopped.
    pub async fn unpin(&self, key: impl AsRef<str>) -> Result<bool, Error> {
        self.ask(Unpin::new(key)).await
    }

    /// Ends the republication of `key`, and unpins it. Its copies in the network live on until they expire. Returns whether it was
    /// published, once a node that comes back from its store does not publish it either.
    ///
    /// # Errors
    /// [`Error::Store`], and it is published as before; or where the node is stopped.
    pub async fn release(&self, key: impl AsRef<str>) -> Result<bool, Error> {
        self.ask(Release::new(key)).await
    }

    /// The copy of `key` that is held here, if any: published, held for others or cached. No peer is asked.
    ///
    /// # Errors
    /// Where the node is stopped.
    pub async fn copy_of(&self, key: impl AsRef<str>) -> Result<Option<StoredCopy>, Error> {
        self.ask(CopyOf::new(key)).await
    }

    /// The node at this moment: table, store, queries and counters.
    ///
    /// # Errors
    /// Where the node is stopped.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        self.ask(Describe).await
    }

    /// Goes through the node to whatever stands behind its store, and back: it comes after all writes that were accepted
    /// before it. For a watchdog: while the node or its disk hangs, there is no answer.
    ///
    /// # Errors
    /// [`Error::Store`] where the store answers that it cannot be written, [`Error::Interrupted`] where a part of the node was
    /// restarted meanwhile, or where the node is stopped.
    pub async fn probe(&self) -> Result<(), Error> {
        self.ask(Probe).await
    }

    /// What happens from now on, as a bounded stream of all events. A program that is about some of them names them:
    /// [`Node::events_of`].
    pub fn events(&self) -> EventStream {
        self.events_of(EventKind::ALL.iter().copied())
    }

    /// What happens from now on, as a bounded stream of the events of these kinds. Others cost the node nothing.
    pub fn events_of(&self, kinds: impl IntoIterator<Item = EventKind>) -> EventStream {
        self.inner.events.subscribe(kinds, self.inner.ended.clone().wait())
    }

    /// Stops the node politely, and returns when its port is free and no actor of it lives. What it holds goes to the peers that
    /// will be nearest to it, which takes at most [`handoff_time`](kademlia_dynamic::protocol::config::ValuesConfig::handoff_time);
    /// a node that holds nothing, or knows no peer, stops at once. Requests under way end in an error.
    ///
    /// A node whose last handle is dropped transfers nothing.
    pub async fn stop(&self) {
        // An actor that panics at this very message forgets it.
        if self.inner.node.send(Stop).await.is_err() {
            self.inner.ender.end(StopReason::Asked);
        }
        self.stopped().await;
    }

    /// Waits until the node has stopped, and says why.
    pub async fn stopped(&self) -> StopReason {
        self.inner.ended.clone().wait().await;
        self.inner.ender.reason().unwrap_or(StopReason::Asked)
    }

    async fn ask<M, T>(&self, request: M) -> Result<T, Error>
    where
        M: actix::Message<Result = Result<T, Error>> + Send + 'static,
        NodeActor: actix::Handler<M>,
        T: Send + 'static,
    {
        match self.inner.node.send(request).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.inner.ender.reason().map_or(Error::Interrupted, Error::Stopped)),
        }
    }
}
