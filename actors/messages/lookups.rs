//! What the lookup coordinator is told, and what lookups and placements tell.

use std::sync::Arc;
use std::time::Instant;

use actix::Message;
use kademlia_dynamic::protocol::comparison::Later;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::lookup::{Trace, Votes};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::{StoredCopy, ToCompare};
use kademlia_dynamic::protocol::value::Value;

use super::super::outcome::{FoundValue, Health, HeldHere, SetOutcome, TracedGet};
use super::Answer;

/// What is looked up. Equal ones are one lookup.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LookupKey {
    /// The nodes nearest to an id: they are asked for, or a value belongs at them.
    Nodes(NodeId),
    /// The value of a key.
    Value(Arc<str>),
    /// The value of a key that most of so many holders give (at least 2).
    Votes(Arc<str>, usize),
}

impl LookupKey {
    /// The id that is approached.
    pub fn target(&self) -> NodeId {
        match self {
            LookupKey::Nodes(id) => *id,
            LookupKey::Value(key) | LookupKey::Votes(key, _) => NodeId::of_key(key),
        }
    }
}

/// Why something is looked up, and so what happens with the result.
#[derive(Debug)]
pub enum Purpose {
    /// An application wants the value.
    Get(Answer<TracedGet>),
    /// An application wants the value that most holders give.
    Elect(Electing),
    /// An application wants the value or the nearest peers.
    FindValue(Answer<FoundValue>),
    /// An application wants the nearest peers.
    FindNode(Answer<Vec<Peer>>),
    /// A value wants a place.
    Place(Placing),
    /// Somebody wants to know who holds a key.
    Audit(Auditing),
    /// A bucket wants to be refreshed.
    Refresh,
}

/// A value that is to be agreed upon.
#[derive(Debug)]
pub struct Electing {
    /// The copy that is held here, which has a vote.
    pub here: Option<StoredCopy>,
    /// Where the outcome goes.
    pub answer: Answer<TracedGet>,
}

/// A key whose holders somebody wants to know.
#[derive(Debug)]
pub struct Auditing {
    /// The key.
    pub key: Arc<str>,
    /// How it is held here.
    pub here: Option<HeldHere>,
    /// Where the outcome goes.
    pub answer: Answer<Health>,
}

/// A value that wants a place.
#[derive(Debug)]
pub struct Placing {
    /// The key.
    pub key: Arc<str>,
    /// Which publication of it; after the lookup it is placed only if it is still the current one.
    pub version: u64,
    /// Whether its publisher publishes it, or a holder restores it.
    pub restore: bool,
    /// Where the outcome goes, if somebody waits.
    pub answer: Option<Answer<SetOutcome>>,
}

/// Node, value store, maintenance, routing table → coordinator: look this up.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StartLookup {
    /// What.
    pub key: LookupKey,
    /// Why.
    pub purpose: Purpose,
}

/// Routing table → coordinator: the peers that a lookup starts from.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LaunchLookup {
    /// Which lookup.
    pub key: LookupKey,
    /// The nearest peers known, nearest first.
    pub seeds: Vec<Peer>,
    /// Whether legacy peers are in the table.
    pub legacy: bool,
}

/// What a lookup came to.
#[derive(Debug)]
pub struct LookupResult {
    /// The k nearest that answered, nearest first.
    pub closest: Vec<Peer>,
    /// Those of them that are no legacy nodes.
    pub of_ours: Vec<Peer>,
    /// The nearest of the own table when it began: k at least, where it has as many.
    pub own_table: Vec<Peer>,
    /// Whether legacy peers were in the table.
    pub legacy: bool,
    /// The value, if it was looked for and found.
    pub value: Option<Found>,
    /// A peer that gave a value which this node cannot represent, if one did.
    pub unsupported: Option<Peer>,
    /// How many peers were asked.
    pub asked: usize,
    /// How many answered.
    pub answered: usize,
    /// Of how many ids nearer than the k-th that answered no answer came.
    pub unheard: usize,
    /// What it did, step by step.
    pub trace: Arc<Trace>,
}

/// A value that a lookup found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The value.
    pub value: Arc<Value>,
    /// Seconds until the copy that was read expires, where its holder says so.
    pub ttl: Option<u32>,
    /// Who had it; `None`: this node itself.
    pub holder: Option<Peer>,
    /// How sure it is.
    pub votes: Votes,
}

/// Lookup → coordinator: it is over. `None`: it broke, and whoever waits gets an error.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LookupFinished {
    /// Which lookup.
    pub key: LookupKey,
    /// What it came to.
    pub result: Option<LookupResult>,
}

/// Value store → coordinator: before this value is placed, compare it with what the nearest of those found hold.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LaunchCompare {
    /// What is to be placed.
    pub placing: Placing,
    /// The peers nearest to the key that answered, nearest first, and what the lookup's queries say of the network.
    pub found: Arc<LookupResult>,
    /// What is held here.
    pub copy: ToCompare,
}

/// Compare → value store: the same, and what was published later, if anything was. It comes in any case, once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Compared {
    /// What is to be placed.
    pub placing: Placing,
    /// As it was handed over.
    pub found: Arc<LookupResult>,
    /// What another has published since.
    pub later: Option<Later>,
}

/// Value store → coordinator: bring this value to these peers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LaunchPublish {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Arc<Value>,
    /// Which publication.
    pub version: u64,
    /// A restore's seconds left; `None` for a publication.
    pub ttl: Option<u32>,
    /// When the value expires here.
    pub expires_at: Instant,
    /// When it was published, where that is known.
    pub published_at: Option<Instant>,
    /// Who shall have it, nearest first.
    pub targets: Vec<Peer>,
    /// Where the outcome goes, if somebody waits.
    pub answer: Option<Answer<SetOutcome>>,
}

/// Publish → coordinator: it is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PublishFinished {
    /// The key.
    pub key: Arc<str>,
    /// Which placement.
    pub serial: u64,
}

/// Value store → coordinator: another value of this key is held now, or its publication has ended, so end a placement that
/// is under way.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct EndPlacement(pub Arc<str>);

/// Coordinator → publish: a newer value of the same key is on its way, so end with what you have.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Supersede;

/// Node → coordinator: how many lookups run, and how many wait?
#[derive(Debug, Message)]
#[rtype(result = "(usize, usize)")]
pub struct CountLookups;
