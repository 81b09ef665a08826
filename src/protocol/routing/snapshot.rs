//! Snapshots of the table, for operators.

use std::time::Instant;

use serde::Serialize;

use super::RoutingTable;
use super::bucket::{Bucket, Entry};
use super::outcome::TableCounters;
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;

/// The whole table at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TableSnapshot {
    /// Our own id.
    pub own: NodeId,
    /// Entries in all buckets.
    pub peers: usize,
    /// Those of them whose last answer was a legacy node's.
    pub legacy: usize,
    /// Those of them that left our last query unanswered.
    pub failing: usize,
    /// Peers in all replacement caches.
    pub replacements: usize,
    /// Counts of what was refused or removed.
    pub counters: TableCounters,
    /// The buckets, farthest from our own id first.
    pub buckets: Vec<BucketSnapshot>,
}

/// One bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BucketSnapshot {
    /// The bits that all its ids begin with, and a star.
    pub prefix: String,
    /// Its entries, least recently answered first.
    pub peers: Vec<EntrySnapshot>,
    /// Peers in its replacement cache.
    pub replacements: usize,
    /// Milliseconds since a lookup last touched it.
    pub lookup_age_ms: u64,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EntrySnapshot {
    /// The peer.
    pub peer: Peer,
    /// Milliseconds since its last answer.
    pub answer_age_ms: u64,
    /// Queries in a row without an answer.
    pub failures: u32,
    /// Whether its last answer was a legacy node's.
    pub legacy: bool,
}

impl RoutingTable {
    /// A snapshot of the table.
    pub fn snapshot(&self, now: Instant) -> TableSnapshot {
        TableSnapshot {
            own: self.own,
            peers: self.len,
            legacy: self.legacy,
            failing: self.entries().filter(|entry| entry.failures() > 0).count(),
            replacements: self.buckets.iter().map(|bucket| bucket.waiting.len()).sum(),
            counters: self.counters,
            buckets: self.buckets.iter().map(|bucket| bucket.snapshot(now)).collect(),
        }
    }
}

impl Bucket {
    fn snapshot(&self, now: Instant) -> BucketSnapshot {
        let entry = |entry: &Entry| EntrySnapshot {
            peer: entry.peer,
            answer_age_ms: millis(entry.answered, now),
            failures: entry.failures(),
            legacy: entry.is_legacy(),
        };
        BucketSnapshot {
            prefix: self.prefix.to_string(),
            peers: self.live.iter().map(entry).collect(),
            replacements: self.waiting.len(),
            lookup_age_ms: millis(self.touched, now),
        }
    }
}

fn millis(since: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(since).as_millis().try_into().unwrap_or(u64::MAX)
}
