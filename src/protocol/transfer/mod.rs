//! Transfers: copies that this node brings to new peers which are nearer to their keys, to neighbours that lack them, to peers that do
//! not reconcile, and, in the handoff, to the remaining peers when it stops. This module decides which copies go to which peers, and
//! how fast. It sends nothing and stores no values: its owner does, and reports the results.
//!
//! A transferred copy lives no longer than the one that it is made from; it is never a publication. Each recipient is first asked
//! whether it holds the key, many keys at once by `renew` or one by `check_store`, so a copy that is there is not sent again, and a
//! legacy node, which grants a full day to each copy, receives only those that it lacks.

mod neighbours;
mod new_peers;
mod queues;
mod selector;
mod shutdown;
#[cfg(test)]
mod tests;

pub use neighbours::{Neighbour, Neighbours};
pub use new_peers::{NewPeers, Selection};
pub use queues::{MAX_COPIES_PER_PEER, QueuedCopy, Queues};
pub use selector::Selector;
pub use shutdown::{HandoffCopy, MAX_HANDOFF_COPIES, ShutdownHandoff};
