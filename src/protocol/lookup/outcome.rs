//! The terms of a lookup: what it is for, what its owner does next, why it ends, and why a query fails.

use std::time::Instant;

use serde::Serialize;

use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;

/// What a lookup is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The k nearest peers: `find_node` is asked.
    Nodes,
    /// The value at the target: `find_value` is asked. The first answer with it ends the lookup, unless its owner wants
    /// to hear [several](super::Lookup::handle_vote).
    Value,
}

/// What the owner of a lookup does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Ask this peer, and call [`Lookup::next`](super::Lookup::next) again.
    Query(Peer),
    /// Nothing to do before something comes back, or before this instant.
    Wait {
        /// The lookup's deadline.
        until: Instant,
    },
    /// It is over; it stays so, and whatever still comes back changes nothing.
    Finished(Ending),
}

/// Why a lookup is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The k nearest that are alive have answered (all, where fewer than k are), and each that is nearer has failed. For
    /// [`Goal::Value`]: none of them holds the value, or fewer do than were wanted, nor did those read on to, as far as
    /// queries and time reached.
    Complete,
    /// A peer answered with the value, or as many did as were wanted.
    Found,
    /// There was nobody to ask, or everybody asked failed.
    NoPeers,
    /// All queries that may be sent were, before the k nearest had answered: many dead peers, or liars that name ever nearer ones.
    OutOfQueries,
    /// The deadline passed before the k nearest had answered.
    DeadlinePassed,
}

/// Why a query brought no answer from the peer it went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing came within the query's timeout.
    Silent,
    /// Another node answered at that address.
    WrongId {
        /// The id that it gave.
        actual: NodeId,
    },
    /// The query never left this node.
    Unsent,
}
