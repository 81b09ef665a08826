//! What came of an event that the table was told of, and what the caller has to do next.

use serde::Serialize;

use crate::protocol::peer::{Peer, Subnet};

/// What came of a peer's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a peer to check is to be pinged, or its bucket keeps dead entries"]
pub enum Insertion {
    /// It is in the table now.
    Added,
    /// It was in the table and is the most recently answered of its bucket now.
    Refreshed,
    /// It was known at another address, had stopped answering there, and is known at the new one now.
    Moved {
        /// Where it was known before.
        from: std::net::SocketAddr,
    },
    /// Its bucket is full of peers that were there first: it waits in the replacement cache.
    Waiting {
        /// The bucket's least recently answered entry, to be pinged. At most one per bucket and [`CHECK_INTERVAL`].
        ///
        /// [`CHECK_INTERVAL`]: super::CHECK_INTERVAL
        check: Option<Peer>,
    },
    /// Its id belongs to a peer at another address that still counts as alive. Nothing was changed.
    Contested {
        /// The peer that has the id, to be pinged: if it stays silent the id may move. Rate as for `Waiting`.
        check: Option<Peer>,
    },
    /// It may not enter. Nothing was inserted.
    Refused(Refusal),
}

impl Insertion {
    /// The peer that the caller is to ping, if any.
    pub fn check(&self) -> Option<Peer> {
        match self {
            Self::Waiting { check } | Self::Contested { check } => *check,
            Self::Added | Self::Refreshed | Self::Moved { .. } | Self::Refused(_) => None,
        }
    }
}

/// Why an answering peer did not enter. All of these can be normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
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

/// An entry left the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evicted {
    /// Who left.
    pub peer: Peer,
    /// Who came out of the replacement cache in its place.
    pub promoted: Option<Peer>,
}

/// What the table turned away or let go since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TableCounters {
    /// Answers that did not insert because of a diversity limit.
    pub refused_by_subnet: u64,
    /// Answers under an id that belongs to a living peer at another address.
    pub contested: u64,
    /// Queries from unknown peers that were not worth a ping.
    pub newcomers_ignored: u64,
    /// Peers that left a replacement cache without having been promoted.
    pub replacements_dropped: u64,
    /// Entries that left the table.
    pub evicted: u64,
}
