//! What an application may ask of a node, as actix messages. Each ends in a value or an error; none can hang.

use std::sync::Arc;

use actix::Message;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::StoredCopy;
use kademlia_dynamic::protocol::value::Value;

use super::outcome::{BootstrapOutcome, Error, FoundValue, GetOutcome, Health, Pong, SetOutcome, TracedGet};
use super::snapshot::Snapshot;

/// Read a value, from here or from the network.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<GetOutcome, Error>")]
pub struct Get {
    /// The key: at most [`Config::max_key_len`](kademlia_dynamic::protocol::config::Config::max_key_len) bytes of UTF-8.
    pub key: Arc<str>,
}

/// Read a value as [`Get`] does, and say how it was looked for. Equal reads are one lookup, so its trace may tell of queries
/// that were sent before this one was asked for.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<TracedGet, Error>")]
pub struct GetTraced {
    /// The key.
    pub key: Arc<str>,
}

/// How a value is read. [`GetOptions::default`] is what [`Get`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetOptions {
    /// How many holders are heard before a value is believed (1..=k). Defaults to 1: the first value found is taken, and a
    /// copy that is held here is enough.
    ///
    /// With more the lookup asks on until so many different peers have answered with a value, and the value that most of
    /// them gave is the outcome. A copy held here counts as one of them. Of one /24 (/64), where
    /// [`Config::diversity`](kademlia_dynamic::protocol::config::Config::diversity) applies, only the first answer counts.
    /// Between equals the value held here wins, then the one that the peer nearest to the key gave. Where fewer hold a
    /// value, it is the best of what there is: `votes` in the outcome says how many agreed.
    ///
    /// It costs a query or two for each more, and a lookup to its end where fewer hold the value. It helps against those who
    /// answer falsely from one network, not against those who overwrite a value at its holders.
    pub quorum: usize,
}

impl Default for GetOptions {
    fn default() -> Self {
        Self { quorum: 1 }
    }
}

impl GetOptions {
    /// The same with this [quorum](GetOptions::quorum).
    #[must_use]
    pub fn quorum(self, quorum: usize) -> Self {
        Self { quorum }
    }
}

/// Read a value as [`GetTraced`] does, in the way that `options` say.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<TracedGet, Error>")]
pub struct GetWith {
    /// The key.
    pub key: Arc<str>,
    /// How it is read.
    pub options: GetOptions,
}

/// See who holds a key: the k nodes nearest to it are looked up, and each is asked.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Health, Error>")]
pub struct CheckHealth {
    /// The key.
    pub key: Arc<str>,
}

/// Publish a value: hold it here, place it in the network, and republish it until the key is released.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<SetOutcome, Error>")]
pub struct Set {
    /// The key.
    pub key: Arc<str>,
    /// The value: at most [`Config::max_value_len`](kademlia_dynamic::protocol::config::Config::max_value_len) bytes.
    pub value: Arc<Value>,
}

/// Find the k nodes nearest to an id.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<Peer>, Error>")]
pub struct FindNode {
    /// The id.
    pub target: NodeId,
}

/// Find a value in the network, or the nodes nearest to its key. What is held here is not looked at.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<FoundValue, Error>")]
pub struct FindValue {
    /// The key.
    pub key: Arc<str>,
}

/// See whether somebody answers at an address, and who.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Pong, Error>")]
pub struct Ping {
    /// `host:port`, an IP address or a name.
    pub addr: String,
}

/// Join a network through these contacts. They are remembered for when nobody is known any more.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<BootstrapOutcome, Error>")]
pub struct Bootstrap {
    /// `host:port` each, an IP address or a name.
    pub contacts: Vec<String>,
}

/// No longer republish a key. The copies in the network live on until they expire. Says whether it was published here.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<bool, Error>")]
pub struct Release {
    /// The key.
    pub key: Arc<str>,
}

/// Keep a key that this node publishes: see to it that it has replicas, and let no other writer supersede it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Keep {
    /// The key.
    pub key: Arc<str>,
    /// The least number of replicas (1..=k).
    pub min_replicas: usize,
}

/// No longer keep a key. It stays published. Says whether it was kept.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<bool, Error>")]
pub struct Unkeep {
    /// The key.
    pub key: Arc<str>,
}

/// Look whether a copy of this key is held here, and which. Nobody is asked.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<StoredCopy>, Error>")]
pub struct CopyOf {
    /// The key.
    pub key: Arc<str>,
}

/// Look in: table, store, queries and counters.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Snapshot, Error>")]
pub struct Describe;

/// Go through the node to whatever stands behind its store, and back.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Probe;

/// Stop the node: hand over what is held to those who will be nearest to it, within
/// [`Config::hand_off_time`](kademlia_dynamic::protocol::config::Config::hand_off_time), and end. Requests under way end in an
/// error then.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Stop;
