//! The outcomes of the table's events, and the caller's next steps.

use serde::Serialize;

use crate::protocol::peer::{Peer, Subnet};

/// The caller's duties after an event: to report the changes, and to send pings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "each change is to be reported, and each peer named is to be pinged"]
pub struct Outcome {
    /// The entries that left and entered, in this order. All changes since the beginning, taken together, are the table.
    pub changes: Vec<Change>,
    /// Peers to ping: most events name none, and none names more than [`MAX_CLAIMANTS`](super::MAX_CLAIMANTS) and two.
    pub ping: Vec<Peer>,
}

/// A change of the table's entries. Peers in a replacement cache are no entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// This peer is an entry from now on.
    Entered(Peer),
    /// This peer is no entry any more: it fell silent, moved, or another one answers at its address.
    Left(Peer),
}

/// The effect of a peer's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insertion {
    /// The peer is a new entry.
    Added,
    /// The peer was an entry and is the most recently answered of its bucket now.
    Refreshed,
    /// The peer was known at another address, had stopped answering there, and is known at the new one now; or it was known
    /// here before it fell silent, and has its id back.
    Moved {
        /// Its former address.
        from: std::net::SocketAddr,
    },
    /// The bucket is full of older entries: the peer waits in the replacement cache.
    Waiting,
    /// The id belongs to a peer at another address that may be alive. Nothing was changed; that address is pinged.
    Contested,
    /// The peer may not enter. Nothing was inserted.
    Refused(TableRefusal),
}

/// Reasons for which an answering peer did not enter. All of these can be normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableRefusal {
    /// The peer has our own id.
    Own,
    /// Its bucket holds as many peers of its subnet as it may.
    SubnetInBucket(Subnet),
    /// The table holds as many peers of its subnet as it may.
    SubnetInTable(Subnet),
}

/// The effect of a query from a peer. It never inserts or refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a peer to verify is to be pinged, or the table never grows"]
pub enum Sighting {
    /// The peer is known at its address.
    Known,
    /// Ping this peer: the newcomer, to verify it, or the entry whose id was claimed from another address.
    Verify(Peer),
    /// No ping is sent.
    Ignored,
}

/// Counts of what the table refused or removed since it was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct TableCounters {
    /// Answers that did not insert because of a diversity limit.
    pub refused_by_subnet: u64,
    /// Answers under an id that belongs to a peer at another address which may be alive.
    pub contested: u64,
    /// Ids that moved to another address, the earlier one having missed its queries.
    pub moved: u64,
    /// Ids that moved back to the address that had them before.
    pub restored: u64,
    /// Queries from unknown peers that were not pinged.
    pub newcomers_ignored: u64,
    /// Peers that left a replacement cache without having been promoted.
    pub replacements_dropped: u64,
    /// Entries that left the table, those that moved not counted.
    pub evicted: u64,
}
