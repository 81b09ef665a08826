//! How requests of an application end: the outcomes, each with its counts, and the errors.
//!
//! Outcomes serialize with serde; durations are seconds then, with their fraction.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kademlia_dynamic::protocol::config::ConfigError;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::seconds;
use kademlia_dynamic::protocol::store::{Class, StoreError};
use kademlia_dynamic::protocol::value::Value;
use serde::Serialize;

pub use kademlia_dynamic::protocol::audit::{Replica, Replicas};
pub use kademlia_dynamic::protocol::lookup::{
    Asked, CameBack, Ending, Goal, MAX_REJECTED, MAX_REJECTED_OF_ONE, Rejected, Rejection, Tally, Trace, TurnedAway,
    Vote, Votes,
};

pub use super::bootstrap::{BootstrapOutcome, ContactFailure, FailedContact, Pong};
pub use super::limits::Limit;
pub use super::supervision::StopReason;

/// What became of a `set`. It succeeded in the sense that the value is held here and was offered to the network; how many
/// of its peers hold it is for the caller to judge.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct SetOutcome {
    /// Peers that were asked to hold the value.
    pub asked: usize,
    /// Peers that hold it now, as they say.
    pub stored: usize,
    /// Peers that refused it.
    pub refused: usize,
    /// Peers that did not answer.
    pub silent: usize,
    /// Peers of which the outcome does not say what became of the value: it was answered before, as soon as the
    /// [quorum](super::requests::SetOptions::quorum) held it. 0 without one.
    #[serde(skip_serializing_if = "is_zero")]
    pub pending: usize,
    /// How long the value lives at its holders unless it is republished, which this node does until it stops or releases the
    /// key: the shortest time, in whole seconds, that one of them reported. `None` where none did: legacy nodes report none, and
    /// have their own setting.
    #[serde(serialize_with = "seconds::serialize")]
    pub expires_in: Option<Duration>,
    /// Whether a later `set` of the same key overtook this one, so that its value was placed instead.
    pub superseded: bool,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What became of a `get`: its result, and how the value was looked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[must_use = "it may say that no peer answered"]
#[non_exhaustive]
pub struct GetOutcome {
    /// The value, or why there is none.
    #[serde(flatten)]
    pub result: GetResult,
    /// Which peers the lookup asked, what came back and how it ended. `None` where
    /// [`GetOptions::trace`](super::requests::GetOptions::trace) did not ask for it, and where the value is held here, so that
    /// nothing was looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Arc<Trace>>,
}

/// How a `get` ended. These four ends are all there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
#[must_use = "it may say that no peer answered"]
pub enum GetResult {
    /// The value.
    #[non_exhaustive]
    Found {
        /// The value.
        value: Value,
        /// The peer that had it; `None`: this node itself.
        holder: Option<Peer>,
        /// How long the copy that was read lives, where that is known.
        #[serde(serialize_with = "seconds::serialize")]
        expires_in: Option<Duration>,
        /// How sure it is: how many of those heard gave this value. 1 of 1, unless a
        /// [quorum](super::requests::GetOptions::quorum) was asked for.
        votes: Votes,
    },
    /// A holder gave a value that this node cannot represent, and no other peer gave one that it can: neither text nor bytes
    /// (a number, a list, a dictionary), or text with a lone surrogate. Legacy nodes can hold such values.
    Unsupported {
        /// The first peer that gave it.
        holder: Peer,
    },
    /// None of those that answered holds it. The k nearest that are alive are among them, unless the lookup's queries or its
    /// time were over before: its [`Trace`] says how it ended. Where `unheard` is 0 this is a fact, as far as those that
    /// answered say the truth.
    NotFound {
        /// Peers that answered. 0 only where this node knows no peers at all.
        answered: usize,
        /// Peers nearer than the k-th that answered of which none came: they were silent for the whole query timeout, or the
        /// lookup ended before they had been asked or could answer. They may be gone, or hold the value.
        unheard: usize,
    },
    /// Peers were asked, and none answered: the network cannot be reached, which says nothing of the value.
    NoneAnswered {
        /// Peers that were asked.
        asked: usize,
    },
}

/// What `find_value` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FoundValue {
    /// The value.
    Value(Value),
    /// No peer that was asked holds it; these are the nearest peers, nearest first.
    Peers(Vec<Peer>),
}

/// The nodes nearest to an id, and how they were looked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FoundNodes {
    /// The id.
    pub target: NodeId,
    /// The k nearest that answered, this node excepted, nearest first.
    pub nodes: Vec<Peer>,
    /// Which peers were asked, what came back, and how it ended.
    pub trace: Arc<Trace>,
}

/// How a key is held in the network at one moment, as the nodes report that should hold it. This node itself is not among
/// them; see [`Health::here`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// The key.
    pub key: Arc<str>,
    /// What the k nearest that are alive said: the replicas that count.
    pub nearest: Replicas,
    /// What those said that are nearest in this node's own table without being among the k nearest of all. They are asked
    /// where legacy nodes are around, which look for values, and put them, where their own tables point
    /// (`mixed_placement`). A dead one stands here as silent.
    pub beyond: Replicas,
    /// The shortest life of a copy that its holder reported: legacy nodes report none.
    #[serde(serialize_with = "seconds::serialize")]
    pub earliest_expiry: Option<Duration>,
    /// The copy that this node itself holds.
    pub here: Option<HeldHere>,
}

/// A copy that this node itself holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HeldHere {
    /// Whether this node publishes the value, holds it for others, or only cached it.
    pub class: Class,
    /// Whether the key is pinned, so that no other writer supersedes the publication.
    pub pinned: bool,
    /// How long the copy lives, unless it is renewed. Zero: what this node publishes has ended, and is about to be published
    /// again.
    #[serde(serialize_with = "seconds::serialize")]
    pub expires_in: Duration,
}

impl Health {
    /// How many of the k nearest hold the value, as they say.
    pub fn confirmed(&self) -> usize {
        self.nearest.confirmed.len()
    }
}

/// Why a request of an application failed. Unless the text says otherwise, nothing was changed by it.
///
/// Its text does not repeat its [`source`](std::error::Error::source): to print an error whole, print both.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address to bind names no socket address.
    #[error("cannot resolve {addr:?}: {reason}")]
    Resolve {
        /// The address as it was given.
        addr: String,
        /// Why it names none.
        reason: String,
    },
    /// The address cannot be bound. `PortInUse` is by far the most frequent reason and has a name of its own.
    #[error("cannot bind {addr}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Another program has the port.
    #[error("{addr} is in use by another program: choose another port, or 0 for any free one")]
    PortInUse {
        /// The address.
        addr: SocketAddr,
    },
    /// The thread of the node, or its runtime, cannot be started.
    #[error("cannot start the node's thread")]
    Thread(#[source] io::Error),
    /// A limit of the process leaves too little for a node.
    #[error("cannot start the node")]
    Limit(#[from] Limit),
    /// `start_local` was called outside an actix system.
    #[error("start_local needs a running actix System on this thread; start() brings its own")]
    NoArbiter,
    /// The key is too long.
    #[error("the key has {len} bytes of UTF-8, but at most {max} are permitted")]
    KeyTooLong {
        /// Its length.
        len: usize,
        /// The greatest length permitted.
        max: usize,
    },
    /// The value is too large.
    #[error("the value has {len} bytes, but at most {max} are permitted")]
    ValueTooLarge {
        /// Its length.
        len: usize,
        /// The greatest length permitted.
        max: usize,
    },
    /// Key and value are permitted, but do not fit one datagram together as this wire spells them.
    #[error("key and value take {encoded} bytes on this wire, but a datagram carries at most {max}")]
    AnswerTooLarge {
        /// Length of the datagram that would carry them.
        encoded: usize,
        /// The greatest length permitted.
        max: usize,
    },
    /// Only a key that this node publishes can be pinned.
    #[error("{key:?} is not published by this node, so it cannot be pinned: set it first")]
    NotPublished {
        /// The key.
        key: String,
    },
    /// A holder gave a value that this node cannot represent: see [`GetResult::Unsupported`].
    #[error("{} holds a value that is neither text nor bytes, which this node cannot represent", holder.addr)]
    UnsupportedValue {
        /// The first peer that gave it.
        holder: Peer,
    },
    /// Contacts were given, and no network has been reached since the start: none of them has answered, nor has another peer
    /// come. Nothing was asked and nothing was changed. What this node itself holds can be read all the same, and joining is
    /// tried again by itself.
    #[error("not joined: no contact has answered: {outcome}")]
    NotJoined {
        /// The contacts, and what came back.
        outcome: Box<BootstrapOutcome>,
    },
    /// Peers were asked, and none answered.
    #[error("none of the {asked} peers asked answered")]
    NoneAnswered {
        /// How many were asked.
        asked: usize,
    },
    /// A peer did not answer a ping in time.
    #[error("{addr} did not answer within {within:?}")]
    Silent {
        /// Its address.
        addr: SocketAddr,
        /// How long it was waited for.
        within: Duration,
    },
    /// A contact cannot be asked, or what answers there is no node of this wire.
    #[error("{0}")]
    Contact(Box<FailedContact>),
    /// Too much is going on here. Try again later.
    #[error("too busy: {what} ({limit}) are all taken")]
    Busy {
        /// What is taken.
        what: &'static str,
        /// How many there are.
        limit: usize,
    },
    /// The store's backend failed. What was asked for was not done: a value is not held here and was not offered to the
    /// network, a key is published and pinned as before.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The actor that worked on this panicked and was restarted. A `set` may have had effect: what this node publishes then is placed
    /// soon all the same.
    #[error("interrupted: a part of the node was restarted meanwhile")]
    Interrupted,
    /// It took longer than anything should. A `set` may have had effect.
    #[error("no end within {0:?}")]
    TookTooLong(Duration),
    /// The node is not running.
    #[error(transparent)]
    Stopped(#[from] StopReason),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json, to_value};

    fn holder() -> (Peer, Json) {
        let peer = Peer::new(NodeId::ZERO, "192.0.2.1:8000".parse().unwrap());
        (peer, json!({"node_id": "0".repeat(40), "ip": "192.0.2.1", "port": 8000}))
    }

    #[test]
    fn what_became_of_a_set_serializes_with_seconds() {
        let expires_in = Some(Duration::from_millis(1_500));
        let outcome = SetOutcome { asked: 3, stored: 1, refused: 1, silent: 1, expires_in, ..SetOutcome::default() };
        let expected =
            json!({"asked": 3, "stored": 1, "refused": 1, "silent": 1, "expires_in": 1.5, "superseded": false});
        assert_eq!(to_value(outcome).unwrap(), expected);
    }

    #[test]
    fn each_end_of_a_get_serializes_under_its_name() {
        let (holder, json) = holder();
        let found = GetResult::Found {
            value: Value::from("v"),
            holder: Some(holder),
            expires_in: Some(Duration::from_secs(2)),
            votes: Votes::SINGLE,
        };
        let value = json!({"kind": "text", "value": "v"});
        let votes = json!({"agreed": 1, "cast": 1, "wanted": 1});
        for (result, expected) in [
            (found, json!({"result": "found", "value": value, "holder": json, "expires_in": 2.0, "votes": votes})),
            (GetResult::Unsupported { holder }, json!({"result": "unsupported", "holder": json})),
            (
                GetResult::NotFound { answered: 2, unheard: 1 },
                json!({"result": "not_found", "answered": 2, "unheard": 1}),
            ),
            (GetResult::NoneAnswered { asked: 3 }, json!({"result": "none_answered", "asked": 3})),
        ] {
            assert_eq!(to_value(GetOutcome { result, trace: None }).unwrap(), expected);
        }
    }

    #[test]
    fn the_other_outcomes_serialize_as_well() {
        let (peer, json) = holder();
        assert_eq!(to_value(FoundValue::Peers(vec![peer])).unwrap(), json!({"peers": [json]}));
        let rtt = Duration::from_millis(250);
        assert_eq!(to_value(Pong { peer, rtt }).unwrap(), json!({"peer": json, "rtt": 0.25}));
        let silent = ContactFailure::Silent { within: Duration::from_secs(2) };
        assert_eq!(to_value(silent).unwrap(), json!({"kind": "silent", "within": 2.0}));
        assert_eq!(to_value(StopReason::Asked).unwrap(), json!({"kind": "asked"}));
        let here = HeldHere { class: Class::Held, pinned: false, expires_in: Duration::ZERO };
        assert_eq!(to_value(here).unwrap()["expires_in"], json!(0.0));
        let replica = Replica { peer, expires_in: None };
        assert_eq!(to_value(replica).unwrap(), json!({"peer": json, "expires_in": null}));
    }
}
