//! Transfers: copies that this node brings to new peers which are nearer to their keys, and, in the handoff, to the remaining
//! peers when it stops. This module decides which copies go to which peers, and how fast. It sends nothing and stores no values:
//! its owner does, and reports the results.
//!
//! A transferred copy lives no longer than the one that it is made from; it is never a publication. Each recipient is first asked
//! by `check_store` whether it holds the key, so a copy that is there is not sent again, and a legacy node, which grants a full
//! day to each copy, receives only those that it lacks.

mod neighbours;
mod new_peers;
mod selector;
mod shutdown;
#[cfg(test)]
mod tests;

pub use neighbours::{Neighbour, Neighbours};
pub use new_peers::{MAX_COPIES_PER_PEER, NewPeers, QueuedCopy, Selection};
pub use selector::Selector;
pub use shutdown::{HandoffCopy, MAX_HANDOFF_COPIES, ShutdownHandoff};
