//! What the actor that runs lookups is sent.

use std::sync::Arc;

use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::StoredCopy;
use kademlia_dynamic::protocol::value::Value;

use super::super::outcome::{Health, HeldHere, SetOutcome};
use super::handle::handle;
use super::{Answer, LookupOutcome, LookupReply, LookupResult, PinKey, PlaceValue, ReleaseKey, UnpinKey};

handle! {
    /// Reaches the actor that runs lookups, audits and placements.
    LookupsHandle = LookupsInbox {
        send start(StartLookup);
        send set(SetValue);
        send after_sets(AfterSets);
        send seeded(LaunchLookup);
        send finished(LookupFinished);
        send audit(StartAudit);
        send audit_at(AuditPlaces);
        send place(PlaceValue);
        ask count(CountLookups) -> (usize, usize);
    }
}

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

/// Which of the lookups that wait begins first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// A caller waits for it.
    Foreground,
    /// The node's own upkeep: republications, restores, refreshes. A round of them may be hundreds.
    Background,
}

/// Node, value store, routing table, a bootstrap → lookups: look this up.
pub struct StartLookup {
    /// What is looked up.
    pub key: LookupKey,
    /// Its place in the queue.
    pub priority: Priority,
    /// The copy that is stored here, which has a vote where votes are counted.
    pub own_vote: Option<StoredCopy>,
    /// How the request goes on.
    pub reply: LookupReply,
}

impl StartLookup {
    /// A lookup that a caller waits for.
    pub fn foreground(key: LookupKey, reply: LookupReply) -> Self {
        Self { key, priority: Priority::Foreground, own_vote: None, reply }
    }
}

/// Node → lookups: publish this value, here and in the network. Its place among the lookups is taken first, so that a `set` that is
/// refused as busy has changed nothing.
pub struct SetValue {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Arc<Value>,
    /// Where the outcome goes.
    pub answer: Answer<SetOutcome>,
}

/// Node → lookups: a request to the value store that must not overtake the values that were set before it. It goes on at once.
pub enum AfterSets {
    /// Ends a publication.
    Release(ReleaseKey),
    /// Pins a key.
    Pin(PinKey),
    /// Unpins a key.
    Unpin(UnpinKey),
}

/// Routing table → lookups: the peers that a lookup starts from.
pub struct LaunchLookup {
    /// Which lookup.
    pub key: LookupKey,
    /// The nearest peers known, nearest first.
    pub seeds: Vec<Peer>,
    /// Whether legacy peers are in the table.
    pub legacy: bool,
}

/// Lookup → lookups: it is over. `None`: it broke, and its callers get an error.
pub struct LookupFinished {
    /// Which lookup.
    pub key: LookupKey,
    /// What it came to.
    pub result: Option<LookupResult>,
}

/// Value store → lookups: have the peers asked that should hold this key.
pub struct StartAudit {
    /// The key.
    pub key: Arc<str>,
    /// How it is stored here.
    pub here: Option<HeldHere>,
    /// Where the outcome goes.
    pub answer: Answer<Health>,
}

/// A lookup → lookups: the peers that an audit is to ask.
pub struct AuditPlaces {
    /// The key.
    pub key: Arc<str>,
    /// The lookup for it.
    pub found: LookupOutcome,
}

/// Node → lookups: how many lookups run, and how many wait?
pub struct CountLookups;
