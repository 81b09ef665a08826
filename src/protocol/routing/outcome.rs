//! What came of an event that the table was told of, and what the caller has to do next.

use serde::Serialize;

use crate::protocol::peer::{Peer, Subnet};

/// What the caller has to do after an event: tell of what changed, and send pings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "each change is to be told, and who is to be pinged may not be there any more"]
pub struct Outcome {
    /// Which entries left and which came in, in this order. All that ever left and came in, taken together, is the table.
    pub changes: Vec<Change>,
    /// Peers to ping: most events name none, and none names more than [`MAX_CLAIMANTS`](super::MAX_CLAIMANTS) and two.
    pub ping: Vec<Peer>,
}

/// A change of the table's entries. Peers in a replacement cache are no entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// This peer is an entry from now on.
    Entered(Peer),
    /// This peer is none any more: it fell silent, moved, or another one answers at its address.
    Left(Peer),
}

/// What came of a peer's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insertion {
    /// It is in the table now.
    Added,
    /// It was in the table and is the most recently answered of its bucket now.
    Refreshed,
    /// It was known at another address, had stopped answering there, and is known at the new one now; or it was known here
    /// before it fell silent, and has its id back.
    Moved {
        /// Where it was known before.
        from: std::net::SocketAddr,
    },
    /// Its bucket is full of peers that were there first: it waits in the replacement cache.
    Waiting,
    /// Its id belongs to a peer at another address that may be alive. Nothing was changed; that address is being asked.
    Contested,
    /// It may not enter. Nothing was inserted.
    Refused(TableRefusal),
}

/// Why an answering peer did not enter. All of these can be normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TableRefusal {
    /// It has our own id.
    #[error("the id is our own")]
    Own,
    /// Its bucket holds as many peers of its subnet as it may.
    #[error("the bucket holds enough peers of {0}")]
    SubnetInBucket(Subnet),
    /// The table holds as many peers of its subnet as it may.
    #[error("the table holds enough peers of {0}")]
    SubnetInTable(Subnet),
}

/// What a query from a peer means for the table. Nothing is ever inserted or refreshed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a peer to verify is to be pinged, or nobody new is ever met"]
pub enum Sighting {
    /// It has proved itself before.
    Known,
    /// Ping this peer: the newcomer, so that it may prove itself, or the entry whose id was claimed from elsewhere.
    Verify(Peer),
    /// Not worth a datagram.
    Ignored,
}

/// What the table turned away or let go since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TableCounters {
    /// Answers that did not insert because of a diversity limit.
    pub refused_by_subnet: u64,
    /// Answers under an id that belongs to a peer at another address which may be alive.
    pub contested: u64,
    /// Ids that moved to another address, the earlier one having missed its queries.
    pub moved: u64,
    /// Ids that moved back to the address that had them before.
    pub restored: u64,
    /// Queries from unknown peers that were not worth a ping.
    pub newcomers_ignored: u64,
    /// Peers that left a replacement cache without having been promoted.
    pub replacements_dropped: u64,
    /// Entries that left the table, those that moved not counted.
    pub evicted: u64,
}
