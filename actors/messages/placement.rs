//! What is sent for the placement of a value.

use std::sync::Arc;

use kademlia_dynamic::protocol::comparison::Later;
use kademlia_dynamic::protocol::store::{StoredCopy, ToCompare};
use tokio::sync::oneshot;

use super::super::outcome::SetOutcome;
use super::Answer;

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

/// Placement → value store: is this value still to be placed? It is asked once before the first query of a placement, and a second
/// time after a comparison.
pub struct PreparePlacement {
    /// The key.
    pub key: Arc<str>,
    /// Which version of its value.
    pub version: u64,
    /// Whether the value is compared with those of other holders before it is sent, where it may give way to one of them.
    pub compare: bool,
    /// Whether a publication whose time has run out begins anew.
    pub resume: bool,
    /// A later value of the key, which another holder has. It is taken in first.
    pub later: Option<Later>,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Prepared>,
}

/// How a placement goes on.
#[derive(Debug)]
pub enum Prepared {
    /// It ends: the value is not the current one any more, or its time has run out.
    Obsolete,
    /// This copy is compared first.
    Compare(ToCompare),
    /// This copy is sent, until the receiver reports that a later placement of the key takes over, or the publication has ended.
    Send(StoredCopy, oneshot::Receiver<()>),
}

/// Placement → value store: it is over.
pub struct PlacementEnded {
    /// The key.
    pub key: Arc<str>,
    /// Which version of its value.
    pub version: u64,
    /// Whether any peer holds it now.
    pub stored: bool,
}
