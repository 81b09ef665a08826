//! The requests of an application, as actix messages to [`Node::actor`](super::node::Node::actor). Each ends in a value or an
//! error; none can hang. Their constructors take what the methods of [`Node`](super::node::Node) take.

use std::sync::Arc;

use actix::Message;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::StoredCopy;
use kademlia_dynamic::protocol::value::Value;

use super::outcome::{BootstrapOutcome, Error, FoundNodes, FoundValue, GetOutcome, Health, Pong, SetOutcome};
use super::snapshot::{KnownPeer, Snapshot};
use super::watch::Watch;

pub use kademlia_dynamic::protocol::store::{HeldKey, KeyPage, MAX_PAGE};

/// Defines requests that name a key and nothing else, with what they end in.
macro_rules! of_key {
    ($($(#[doc = $doc:literal])* $request:ident -> $outcome:ty;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone)]
        pub struct $request {
            /// The key.
            pub key: Arc<str>,
        }

        impl $request {
            /// The request about `key`.
            pub fn new(key: impl AsRef<str>) -> Self {
                Self { key: key.as_ref().into() }
            }
        }

        impl Message for $request {
            type Result = Result<$outcome, Error>;
        }
    )*};
}

of_key! {
    /// See which nodes hold a key: the k nodes nearest to it are looked up, and each is asked.
    CheckHealth -> Health;
    /// Find a value in the network, or the nodes nearest to its key. What is held here is not looked at.
    FindValue -> FoundValue;
    /// No longer republish a key. The copies in the network live on until they expire. Says whether it was published here.
    Release -> bool;
    /// Unpin a key. It stays published. The result is whether it was pinned.
    Unpin -> bool;
    /// Look whether a copy of this key is held here, and which. No peer is asked.
    CopyOf -> Option<StoredCopy>;
}

/// Read a value, from here or from the network. Equal reads are one lookup, so a trace may contain queries that were sent
/// before this one was made.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<GetOutcome, Error>")]
pub struct Get {
    /// The key: at most [`max_key_len`](kademlia_dynamic::protocol::config::StoreConfig::max_key_len) bytes of UTF-8.
    pub key: Arc<str>,
    /// How it is read.
    pub options: GetOptions,
}

impl Get {
    /// Reads `key` with the default options.
    pub fn new(key: impl AsRef<str>) -> Self {
        Self { key: key.as_ref().into(), options: GetOptions::default() }
    }

    /// The same with these options.
    #[must_use]
    pub fn with(self, options: GetOptions) -> Self {
        Self { options, ..self }
    }
}

/// How a value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetOptions {
    /// How many holders are heard before a value is believed (1..=k). Defaults to 1: the first value found is taken, and a
    /// copy that is held here is enough.
    ///
    /// With more the lookup asks on until so many different peers have answered with a value, and the value that most of
    /// them gave is the outcome. A copy held here counts as one of them. Of one /24 (/64), where
    /// [`diversity`](kademlia_dynamic::protocol::config::TableConfig::diversity) applies, only the first answer counts.
    /// Between equals the value held here wins, then the one that the peer nearest to the key gave. Where fewer hold a
    /// value, it is the best of what there is: `votes` in the outcome says how many agreed.
    ///
    /// It costs a query or two for each more, and a lookup to its end where fewer hold the value. It helps against peers that
    /// answer falsely from one network, not against writers that overwrite a value at its holders.
    pub quorum: usize,
    /// Whether the outcome says how the value was looked for: [`GetOutcome::trace`]. Defaults to `false`.
    pub trace: bool,
    /// Whether the network is asked even where this node holds the key. Its own copy has no vote then. Defaults to `false`.
    pub fresh: bool,
}

impl Default for GetOptions {
    fn default() -> Self {
        Self { quorum: 1, trace: false, fresh: false }
    }
}

impl GetOptions {
    /// The same with this [quorum](GetOptions::quorum).
    #[must_use]
    pub fn quorum(self, quorum: usize) -> Self {
        Self { quorum, ..self }
    }

    /// The same with a [trace](GetOptions::trace), or without.
    #[must_use]
    pub fn trace(self, trace: bool) -> Self {
        Self { trace, ..self }
    }

    /// The same, [fresh](GetOptions::fresh) from the network or not.
    #[must_use]
    pub fn fresh(self, fresh: bool) -> Self {
        Self { fresh, ..self }
    }
}

/// Publish a value: hold it here, place it in the network, and republish it until the key is released.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<SetOutcome, Error>")]
pub struct Set {
    /// The key.
    pub key: Arc<str>,
    /// The value: at most [`max_value_len`](kademlia_dynamic::protocol::config::StoreConfig::max_value_len) bytes.
    pub value: Arc<Value>,
    /// When the outcome is reported.
    pub options: SetOptions,
}

impl Set {
    /// Publishes `value` under `key`.
    pub fn new(key: impl AsRef<str>, value: impl Into<Value>) -> Self {
        Self { key: key.as_ref().into(), value: Arc::new(value.into()), options: SetOptions::default() }
    }

    /// The same with these options.
    #[must_use]
    pub fn with(self, options: SetOptions) -> Self {
        Self { options, ..self }
    }
}

/// When a `set` reports its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SetOptions {
    /// The number of peers (1..=k) that must hold the value before the outcome is reported. The others are sent it all the
    /// same, and count as [pending](SetOutcome::pending) in the outcome. Where fewer can be reached, the outcome is reported at the
    /// end. Defaults to `None`: at the end, when each of the k nearest has acknowledged it, refused it or failed.
    pub quorum: Option<usize>,
}

impl SetOptions {
    /// The same with this [quorum](SetOptions::quorum).
    #[must_use]
    pub fn quorum(self, quorum: usize) -> Self {
        Self { quorum: Some(quorum), ..self }
    }
}

/// Find the k nodes nearest to an id.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<Peer>, Error>")]
pub struct FindNode {
    /// The id.
    pub target: NodeId,
}

/// Find the k nodes nearest to an id, and report how they were looked for.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<FoundNodes, Error>")]
pub struct TraceNodes {
    /// The id.
    pub target: NodeId,
}

/// See whether a node answers at an address, and which.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Pong, Error>")]
pub struct Ping {
    /// `host:port`, an IP address or a name.
    pub addr: String,
}

impl Ping {
    /// Pings `addr`.
    pub fn new(addr: impl ToString) -> Self {
        Self { addr: addr.to_string() }
    }
}

/// Join a network through these contacts. They are remembered for when no peer is known any more.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<BootstrapOutcome, Error>")]
pub struct Bootstrap {
    /// `host:port` each, an IP address or a name.
    pub contacts: Vec<String>,
}

impl Bootstrap {
    /// Joins through `contacts`.
    pub fn new<C>(contacts: C) -> Self
    where
        C: IntoIterator,
        C::Item: ToString,
    {
        Self { contacts: contacts.into_iter().map(|contact| contact.to_string()).collect() }
    }
}

/// Pin a key that this node publishes: watch its replicas, and let no other writer supersede it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Pin {
    /// The key.
    pub key: Arc<str>,
    /// The least number of replicas (1..=k).
    pub min_replicas: usize,
}

impl Pin {
    /// A request to pin `key` with at least `min_replicas`.
    pub fn new(key: impl AsRef<str>, min_replicas: usize) -> Self {
        Self { key: key.as_ref().into(), min_replicas }
    }
}

/// List the keys that are held here in the order of their bytes, a page at a time: published and held ones, cached ones never.
#[derive(Debug, Clone, Default, PartialEq, Eq, Message)]
#[rtype(result = "Result<KeyPage, Error>")]
#[non_exhaustive]
pub struct ListKeys {
    /// What the keys begin with. Empty: all keys.
    pub prefix: String,
    /// The last key of the page before. `None`: the first page.
    pub after: Option<String>,
    /// The most keys of the page: 1 to [`MAX_PAGE`] (0 counts as [`MAX_PAGE`]).
    pub limit: usize,
}

impl ListKeys {
    /// The first page of all keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same of the keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// The same from behind this key.
    #[must_use]
    pub fn after(self, key: impl Into<String>) -> Self {
        Self { after: Some(key.into()), ..self }
    }

    /// The same with at most so many keys.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }
}

/// List the known peers with what is known of each.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<KnownPeer>, Error>")]
pub struct ListPeers;

/// Watch keys: see [`Node::watch`](super::node::Node::watch).
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Watch, Error>")]
pub struct WatchKeys {
    /// The keys.
    pub keys: Vec<Arc<str>>,
}

/// Look in: table, store, queries and counters.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Snapshot, Error>")]
pub struct Describe;

/// Go through the node to whatever stands behind its store, and back.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Probe;

/// Stop the node: transfer its copies to the peers that are nearest to them then, within
/// [`handoff_time`](kademlia_dynamic::protocol::config::ValuesConfig::handoff_time), and end. Requests under way end in an
/// error then.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Stop;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_take_what_the_methods_take() {
        let set = Set::new("k", "v");
        assert_eq!((&*set.key, &*set.value), ("k", &Value::Text("v".into())));
        let key = String::from("k");
        let set = Set::new(&key, b"v");
        assert_eq!((&*set.key, &*set.value), ("k", &Value::Bytes(b"v".to_vec())));
        let get = Get::new(Arc::<str>::from("k")).with(GetOptions::default().quorum(3).trace(true));
        assert_eq!((&*get.key, get.options.quorum, get.options.trace), ("k", 3, true));
        assert_eq!(Get::new("k").options, GetOptions::default());
        assert_eq!(Bootstrap::new([std::net::SocketAddr::from(([127, 0, 0, 1], 1))]).contacts, ["127.0.0.1:1"]);
        assert_eq!(Ping::new("a:1").addr, "a:1");
        assert_eq!(Pin::new("k", 2).min_replicas, 2);
        assert_eq!(&*Release::new("k").key, "k");
    }
}
