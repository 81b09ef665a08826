//! The terms of a lookup: its goal, its next step, the reasons for its end, and those for which a query fails.

use std::time::Instant;

use serde::Serialize;

use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;

/// The goal of a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The k nearest peers, by `find_node`.
    Nodes,
    /// The value at the target, by `find_value`. The first answer with it ends the lookup, unless its owner wants
    /// [several votes](super::Lookup::handle_vote).
    Value,
}

/// The next step of a lookup's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Query this peer, and call [`Lookup::next`](super::Lookup::next) again.
    Query(Peer),
    /// Wait for a result, or until this instant.
    Wait {
        /// The lookup's deadline.
        until: Instant,
    },
    /// The lookup is over; later results change nothing.
    Finished(Ending),
}

/// The reason for which a lookup is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// The k nearest living peers have answered (all, where there are fewer), and each that is nearer has failed. For
    /// [`Goal::Value`]: none of them holds the value, or fewer do than were wanted, nor did the peers beyond the k nearest, as
    /// far as queries and time reached.
    Complete,
    /// A peer answered with the value, or all wanted votes were cast.
    Found,
    /// There was no peer to query, or all queries failed.
    NoPeers,
    /// All queries were spent before the k nearest had answered: many peers are dead, or liars name ever nearer ones.
    OutOfQueries,
    /// The deadline passed before the k nearest had answered.
    DeadlinePassed,
}

/// Reasons for which a query brought no answer from its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No answer came within the query's timeout.
    Silent,
    /// Another node answered at that address.
    WrongId {
        /// The id in its answer.
        actual: NodeId,
    },
    /// The query never left this node.
    Unsent,
}
