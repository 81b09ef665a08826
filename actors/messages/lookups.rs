//! What the actor that runs lookups is sent, and what a lookup comes to.

use std::sync::Arc;
use std::time::Duration;

use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::lookup::{Found, Tally, Trace};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::StoredCopy;
use kademlia_dynamic::protocol::value::Value;
use tokio::sync::oneshot;

use super::super::outcome::{Error, FoundNodes, FoundValue, GetOutcome, GetResult, Health, HeldHere, SetOutcome};
use super::handle::handle;
use super::{Answer, PinKey, ReleaseKey, UnpinKey};

handle! {
    /// Reaches the actor that runs lookups, audits and placements.
    LookupsHandle = LookupsInbox {
        send start(StartLookup);
        send set(SetValue);
        send after_sets(AfterSets);
        send seeded(LaunchLookup);
        send finished(LookupFinished);
        send audit(StartAudit);
        send place(PlaceValue);
        ask count(CountLookups) -> LookupCounts;
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
    /// Where the outcome goes. The lookup is wanted as long as the receiver waits; without one, in any case.
    pub reply: Option<oneshot::Sender<LookupOutcome>>,
}

impl StartLookup {
    /// A lookup that a caller waits for.
    pub fn foreground(key: LookupKey, reply: oneshot::Sender<LookupOutcome>) -> Self {
        Self { key, priority: Priority::Foreground, own_vote: None, reply: Some(reply) }
    }
}

/// Node → lookups: publish this value, here and in the network. Its place among the lookups is taken first, so that a `set` that is
/// refused as busy has changed nothing.
pub struct SetValue {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Arc<Value>,
    /// The number of holders at which the outcome is reported; `None`: at the end.
    pub enough: Option<usize>,
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
    /// Whether a caller waits for it, or this node's upkeep.
    pub priority: Priority,
    /// Where the outcome goes.
    pub answer: Answer<Health>,
}

impl StartAudit {
    /// Whether a caller still waits for it.
    pub fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }
}

/// Node → lookups: how many lookups run, how many wait, and how many peers are remembered of those before?
pub struct CountLookups;

/// The answer to [`CountLookups`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupCounts {
    /// Lookups that run.
    pub running: usize,
    /// Lookups that wait in the queue.
    pub waiting: usize,
    /// Peers that answered lookups lately.
    pub recent_peers: usize,
}

/// A value that is to be placed.
#[derive(Debug)]
pub struct Placing {
    /// The key.
    pub key: Arc<str>,
    /// Which version of its value: once the places are found, it is placed only if it is still the current one.
    pub version: u64,
    /// Where the outcome goes, if a caller waits.
    pub answer: Option<Answer<SetOutcome>>,
}

/// Value store → lookups: have the places of this value looked up, and bring it there.
pub struct PlaceValue(pub Placing);

/// What a lookup came to.
#[derive(Debug)]
pub struct LookupResult {
    /// The k nearest that answered, nearest first.
    pub closest: Vec<Peer>,
    /// Those of them that are no legacy nodes.
    pub of_ours: Vec<Peer>,
    /// Those of them that answer `renew` and `reconcile`.
    pub reconciling: Vec<NodeId>,
    /// The nearest of the own table when it began: k at least, where it has as many.
    pub own_table: Vec<Peer>,
    /// Whether legacy peers were in the table.
    pub legacy: bool,
    /// The value, if it was looked for and found.
    pub value: Option<Found>,
    /// A peer that gave a value which this node cannot represent, if one did.
    pub unsupported: Option<Peer>,
    /// What it did, step by step.
    pub trace: Arc<Trace>,
}

impl LookupResult {
    /// The error where peers were asked and none answered.
    ///
    /// # Errors
    /// [`Error::NoneAnswered`].
    pub fn heard(&self) -> Result<(), Error> {
        let Tally { asked, answered, .. } = self.trace.tally();
        if asked > 0 && answered == 0 { Err(Error::NoneAnswered { asked }) } else { Ok(()) }
    }

    /// The answer to an application that wants the value of a key.
    pub fn traced_get(&self) -> GetOutcome {
        let result = match (&self.value, self.unsupported) {
            (Some(found), _) => GetResult::Found {
                value: Value::clone(&found.value),
                holder: found.holder,
                expires_in: found.ttl.map(|seconds| Duration::from_secs(seconds.into())),
                votes: found.votes,
            },
            (None, Some(holder)) => GetResult::Unsupported { holder },
            (None, None) => match self.trace.tally() {
                Tally { asked: asked @ 1.., answered: 0, .. } => GetResult::NoneAnswered { asked },
                Tally { answered, .. } => GetResult::NotFound { answered, unheard: self.trace.unheard },
            },
        };
        GetOutcome { result, trace: Some(self.trace.clone()) }
    }

    /// The answer to an application that wants the value of a key, or the peers nearest to it.
    ///
    /// # Errors
    /// [`Error::UnsupportedValue`], [`Error::NoneAnswered`].
    pub fn found_value(&self) -> Result<FoundValue, Error> {
        match (&self.value, self.unsupported) {
            (Some(found), _) => Ok(FoundValue::Value(Value::clone(&found.value))),
            (None, Some(holder)) => Err(Error::UnsupportedValue { holder }),
            (None, None) => self.nearest().map(FoundValue::Peers),
        }
    }

    /// The answer to an application that wants the peers nearest to an id, and how they were looked for.
    ///
    /// # Errors
    /// [`Error::NoneAnswered`].
    pub fn traced_nodes(&self) -> Result<FoundNodes, Error> {
        let nodes = self.nearest()?;
        Ok(FoundNodes { target: self.trace.target, nodes, trace: self.trace.clone() })
    }

    /// The answer to an application that wants the peers nearest to an id.
    ///
    /// # Errors
    /// [`Error::NoneAnswered`].
    pub fn nearest(&self) -> Result<Vec<Peer>, Error> {
        self.heard().map(|()| self.closest.clone())
    }
}

/// A result that several requests share, or why there is none.
pub type LookupOutcome = Result<Arc<LookupResult>, NoLookup>;

/// Why a lookup has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoLookup {
    /// It was not begun, since so many run and wait already.
    Refused {
        /// How many may.
        limit: usize,
    },
    /// It broke, or got lost.
    Broken,
}

impl From<NoLookup> for Error {
    fn from(why: NoLookup) -> Self {
        match why {
            NoLookup::Refused { limit } => Self::Busy { what: "lookups that run or wait", limit },
            NoLookup::Broken => Self::Interrupted,
        }
    }
}
