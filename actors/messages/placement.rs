//! What is sent for the placement of a value.

use std::sync::Arc;
use std::time::Instant;

use actix::Message;
use kademlia_dynamic::protocol::comparison::Later;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::ToCompare;
use kademlia_dynamic::protocol::value::Value;

use super::super::outcome::SetOutcome;
use super::{Answer, LookupResult};

/// A value that wants a place.
#[derive(Debug)]
pub struct Placing {
    /// The key.
    pub key: Arc<str>,
    /// Which publication of it; after the lookup it is placed only if it is still the current one.
    pub version: u64,
    /// Whether its publisher publishes it, or a holder restores it.
    pub restore: bool,
    /// Where the outcome goes, if a caller waits.
    pub answer: Option<Answer<SetOutcome>>,
}

/// Value store → lookups: before this value is placed, compare it with what the nearest of those found hold.
pub struct LaunchCompare {
    /// What is to be placed.
    pub placing: Placing,
    /// The peers nearest to the key that answered, nearest first, and what the lookup's queries say of the network.
    pub found: Arc<LookupResult>,
    /// What is stored here.
    pub copy: ToCompare,
}

/// Compare → value store: the same, and what was published later, if anything was. It comes in any case, once.
pub struct Compared {
    /// What is to be placed.
    pub placing: Placing,
    /// As it was handed over.
    pub found: Arc<LookupResult>,
    /// What another node has published since.
    pub later: Option<Later>,
}

/// Value store → lookups: bring this value to these peers.
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
    /// The peers that are to have it, nearest first.
    pub targets: Vec<Peer>,
    /// Where the outcome goes, if a caller waits.
    pub answer: Option<Answer<SetOutcome>>,
}

/// Publish → lookups: it is over.
pub struct PublishFinished {
    /// The key.
    pub key: Arc<str>,
    /// Which placement.
    pub serial: u64,
}

/// Value store → lookups: another value of this key is stored now, or its publication has ended, so end a placement that
/// is under way.
pub struct EndPlacement(pub Arc<str>);

/// Lookups → publish: a newer value of the same key is on its way, so end with what you have.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Supersede;
