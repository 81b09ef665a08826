//! What a store keeps of the node beside its records, and how it fares. Neither changes what is held.

use std::fmt;

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

/// Whether what stands behind the records can be written, and whether it ever could not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BackendState {
    /// It works, and always has since it was opened.
    #[default]
    Healthy,
    /// It has no room. New values are refused, and it looks by itself whether there is room again.
    Full,
    /// It cannot be written for another reason. New values are refused, and it tries again by itself.
    Failing,
    /// It is no longer where it was opened: its folder was removed, moved or replaced. New values are refused, what is held is
    /// served, and it goes on by itself once the same folder is there again.
    Gone,
    /// It works. Since the start it failed at least once, and was opened again with all that was acknowledged.
    Reopened,
    /// It works. Since the start it was damaged, put aside, and begun anew with all that was still known.
    SetAside,
}

impl BackendState {
    /// It as one word or two.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Full => "full",
            Self::Failing => "failing",
            Self::Gone => "gone",
            Self::Reopened => "reopened",
            Self::SetAside => "set aside",
        }
    }
}

impl fmt::Display for BackendState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How whatever stands behind the records fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct BackendHealth {
    /// Whether it can be written.
    pub state: BackendState,
    /// Whether its last write failed: new values are refused until one succeeds.
    pub failing: bool,
    /// Transactions that were committed.
    pub commits: u64,
    /// Writes that they held: by so many times fewer commits than writes were there.
    pub grouped: u64,
    /// The most writes that one transaction held.
    pub largest_group: usize,
    /// Writes that wait to be taken into a transaction.
    pub waiting: usize,
    /// Transactions that failed.
    pub failures: u64,
    /// How often it was opened again after a failure.
    pub reopened: u64,
    /// How often it was put aside for damage and begun anew.
    pub set_aside: u64,
    /// Records that were dropped because they are not as they were written.
    pub damaged: u64,
}
