//! What the records answer: outcomes, copies, what is due, and counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::health::BackendHealth;
use super::pass_snapshot::PassSnapshot;
use super::record::Class;
use crate::protocol::id::NodeId;
use crate::protocol::seconds;
use crate::protocol::value::Value;

/// A copy that can be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoredCopy {
    /// The value.
    pub value: Arc<Value>,
    /// Published, held or cached.
    pub class: Class,
    /// How long it lives; never zero.
    #[serde(serialize_with = "seconds::serialize")]
    pub ttl_left: Duration,
    /// When it ends, unless it is renewed.
    #[serde(skip)]
    pub expires_at: Instant,
    /// How long ago the value was last published, where that is known; never of a cached copy.
    #[serde(serialize_with = "seconds::serialize")]
    pub age: Option<Duration>,
}

/// A copy that is compared with those of others before it is published or restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToCompare {
    /// The value.
    pub value: Arc<Value>,
    /// How long ago it was published, at least.
    pub age: Duration,
    /// Whether it is a publication of ours whose time has run out: whatever others hold was published since.
    pub lapsed: bool,
}

impl StoredCopy {
    /// Whole seconds left, as the wire's `ttl` says them.
    pub fn ttl_seconds(&self) -> u32 {
        whole_seconds(self.ttl_left)
    }

    /// When the value was last published, where that is known.
    pub fn published_at(&self) -> Option<Instant> {
        // The age is that of when the copy was read.
        self.age.and_then(|age| (self.expires_at - self.ttl_left).checked_sub(age))
    }

    /// Whole seconds since it was published, as the wire's `age` says them.
    pub fn age_seconds(&self) -> Option<u32> {
        self.age.map(age_seconds)
    }
}

/// A full copy, as one of all that are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FullCopy<'a> {
    /// The key.
    pub key: &'a Arc<str>,
    /// Its place.
    pub id: NodeId,
    /// Whether this node publishes it.
    pub published: bool,
    /// Bytes of key and value.
    pub bytes: usize,
    /// When the value was last brought to its places, as far as this node did so, otherwise when it came here. `None` while it is
    /// placed for the first time.
    pub placed_at: Option<Instant>,
}

/// A copy's age as the wire says it: rather too old by a second than too young, as which it would seem published later with
/// each that hands it on.
pub fn age_seconds(age: Duration) -> u32 {
    whole_seconds(age).saturating_add(u32::from(age.subsec_nanos() > 0))
}

/// Whole seconds of `duration`, as many as the wire's `ttl` can say.
pub(super) fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the answer on the wire and the event of an ended publication depend on it"]
pub enum WriteOutcome {
    /// A new copy, or a new value in the place of another.
    Stored,
    /// The value was held, and now lives longer.
    Renewed,
    /// All is as before: the value was held and lives as long as it did, or there was nothing to unpin or to release, or no
    /// publication to pin.
    Unchanged,
    /// Our publication has ended: a peer's value is held in its place, or nothing where there was no room for that. The application
    /// is to be informed.
    Superseded {
        /// The version of the publication that ended.
        version: u64,
        /// The value that we published.
        ours: Arc<Value>,
    },
    /// This node publishes the value.
    Published {
        /// Which publication: greater than that of any earlier value. See [`super::Records::still_current`].
        version: u64,
    },
    /// Our publication is pinned.
    Pinned {
        /// Whether it was before.
        was_pinned: bool,
    },
    /// Our publication was pinned, and is no longer.
    Unpinned,
    /// Our publication has ended.
    Released,
}

/// Why a peer's write was refused. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The key is longer than [`max_key_len`](crate::protocol::config::StoreConfig::max_key_len).
    #[error("the key is too long")]
    KeyTooLong,
    /// The value is longer than [`max_value_len`](crate::protocol::config::StoreConfig::max_value_len).
    #[error("the value is too large")]
    ValueTooLarge,
    /// It has no second left to live.
    #[error("the copy has no time left")]
    NoTimeLeft,
    /// Its subnet fills its tenth of the store already.
    #[error("the source holds its full share of the store")]
    SourceFull,
    /// No room can be made for it.
    #[error("the store is full")]
    Full,
    /// This node publishes another value under this key, and its policy or a pin protects that.
    #[error("this node publishes another value under the key, which is protected")]
    PublicationHeld,
    /// Another value is held, and the one that came is an older one.
    #[error("it is an older value, which its sender restores")]
    Stale,
}

/// Strangers' writes that were not applied since the start, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Refusals {
    /// The key was too long.
    pub key_too_long: u64,
    /// The value was too large.
    pub value_too_large: u64,
    /// The copy had no time left.
    pub no_time_left: u64,
    /// The source's subnet held its full share of the store.
    pub source_full: u64,
    /// The store was full.
    pub full: u64,
    /// Refused because this node publishes another value under the key, which its policy or a pin protects.
    pub publication_held: u64,
    /// Another value is held, and the one that came is an older one.
    pub stale: u64,
}

impl Refusals {
    pub(super) fn count(&mut self, refusal: Refusal) {
        *match refusal {
            Refusal::KeyTooLong => &mut self.key_too_long,
            Refusal::ValueTooLarge => &mut self.value_too_large,
            Refusal::NoTimeLeft => &mut self.no_time_left,
            Refusal::SourceFull => &mut self.source_full,
            Refusal::Full => &mut self.full,
            Refusal::PublicationHeld => &mut self.publication_held,
            Refusal::Stale => &mut self.stale,
        } += 1;
    }
}

/// How much of one class is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct ClassCount {
    /// Values.
    pub values: usize,
    /// Bytes of their keys and values.
    pub bytes: usize,
}

/// How many values wait to be published again, or restored: each is counted up to [`MAX_COUNTED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DueCount {
    /// Values whose time has come, the overdue ones included. The next round takes them.
    pub due: usize,
    /// Values whose time came so long ago that their copies may end before their turn: half of the time between a round and the
    /// end of a copy.
    pub overdue: usize,
}

/// The most values of one kind that a [`DueCount`] counts, so that it costs little where many wait.
pub const MAX_COUNTED: usize = 10_000;

/// What is held now, and what happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct StoreSnapshot {
    /// What this node publishes, also what has ended here and is about to be published again.
    pub published: ClassCount,
    /// Full copies that it does not publish.
    pub held: ClassCount,
    /// Cached copies.
    pub cached: ClassCount,
    /// What counts towards the bounds: full and cached copies that strangers brought.
    pub remote: ClassCount,
    /// The bound of that.
    pub remote_limit: ClassCount,
    /// The bound of the cached copies among it.
    pub cached_limit: ClassCount,
    /// Publications that wait for their turn to be published again.
    pub republications: DueCount,
    /// How far their renewal has come, while it runs.
    pub pass: Option<PassSnapshot>,
    /// Copies held for others that wait for their turn to be restored.
    pub restores: DueCount,
    /// Subnets that brought them.
    pub sources: usize,
    /// Copies that ended in time.
    pub expired: u64,
    /// Copies that gave way to others.
    pub evicted: u64,
    /// Writes that were not applied.
    pub refused: Refusals,
    /// How whatever keeps them beyond their owner fares.
    pub backend: BackendHealth,
    /// How long the oldest write waits there that has not ended: a disk that hangs reports nothing else. `None`: none waits.
    #[serde(serialize_with = "seconds::serialize")]
    pub oldest_write: Option<Duration>,
}

/// A copy held for others whose time has come to be restored to peers that do not reconcile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCopy {
    /// The key.
    pub key: Arc<str>,
    /// Its place.
    pub place: NodeId,
    /// Which version of its value.
    pub version: u64,
    /// Bytes of key and value.
    pub bytes: usize,
}
