//! What a store keeps of the node beside its records, and how it fares. Neither changes what is held.

use serde::Serialize;

use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;

/// Peers that a store keeps. Beyond it those are left out that answered longest ago.
pub const MAX_REMEMBERED_PEERS: usize = 200;

/// Who a node was, and whom it knew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recollection {
    /// Its id.
    pub id: Option<NodeId>,
    /// Peers that had answered, the latest first; at most [`MAX_REMEMBERED_PEERS`]. They have to prove themselves again.
    pub peers: Vec<Peer>,
}

/// How whatever stands behind the records fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct BackendHealth {
    /// Whether its last write failed: new values are refused until one succeeds.
    pub failing: bool,
    /// Transactions that were committed.
    pub commits: u64,
    /// Transactions that failed.
    pub failures: u64,
    /// How often it was opened again after a failure.
    pub reopened: u64,
    /// How often it was put aside for damage and begun anew.
    pub set_aside: u64,
    /// Records that were dropped because they are not as they were written.
    pub damaged: u64,
}
