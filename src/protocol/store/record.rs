//! One record: a value under a key, how it came here, and which values it replaced.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::by_key::Keyed;
use crate::protocol::digest::ValueDigest;
use crate::protocol::id::{Distance, NodeId};
use crate::protocol::value::Value;

/// Replaced values that a record remembers, to tell a stale restore from a new value. Beyond it the oldest is forgotten.
pub const MAX_REPLACED: usize = 4;

/// What kind of copy is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// This node publishes the value: it republishes it, and never evicts it.
    Published,
    /// A full copy: this node restores it to its other holders.
    Held,
    /// A copy left on the way of a lookup: served, but never restored and never counted as a replica.
    Cached,
}

/// Who published the value that a record holds. A store on disk writes these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Writer {
    /// This node.
    Own,
    /// The node at this address.
    Peer(SocketAddr),
    /// It came by a restore, which does not say.
    Unknown,
}

/// A value that was replaced here, and who had published it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced {
    /// Which value.
    pub digest: ValueDigest,
    /// Who had published it.
    pub writer: Writer,
}

/// All that is needed to rebuild a full copy after a restart. Cached copies are not worth a commit and are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Arc<Value>,
    /// [`Class::Published`] or [`Class::Held`].
    pub class: Class,
    /// Whether the publication is held against any other writer.
    pub pinned: bool,
    /// Grows with each value that this node takes in, over all keys.
    pub version: u64,
    /// Who published the value.
    pub writer: Writer,
    /// The stranger whose quota it counts in: who brought it here. `None` for what this node published.
    pub source: Option<SocketAddr>,
    /// When the value came here.
    pub stored_at: Instant,
    /// When the copy ends, unless it is renewed.
    pub expires_at: Instant,
    /// When the value was last published, at the latest.
    pub published_at: Instant,
    /// Whether it was published just then. Not where a legacy node sent it, which may have published it long before; nor once
    /// the clock has stood still. It is not kept.
    pub dated: bool,
    /// The values that it replaced here, the oldest first; at most [`MAX_REPLACED`].
    pub replaced: Vec<Replaced>,
}

/// A record in memory: what is kept, and where it stands in the indexes.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// What is kept, shared with a store in memory. The class may be [`Class::Cached`] here.
    pub(super) stored: Arc<StoredRecord>,
    /// How far the key is from this node.
    pub(super) distance: Distance,
    /// When it is to be republished or restored; `None` for a cached copy.
    pub(super) due_at: Option<Instant>,
    /// The digest of the value, once it was needed.
    pub(super) digest: OnceCell<ValueDigest>,
    /// When the value was last brought to its places, as far as this node did so, otherwise when it came here. `None` while it is
    /// placed for the first time.
    pub(super) placed_at: Option<Instant>,
}

impl Keyed for Record {
    fn key(&self) -> &Arc<str> {
        &self.stored.key
    }
}

impl Keyed for Arc<StoredRecord> {
    fn key(&self) -> &Arc<str> {
        &self.key
    }
}

impl Record {
    pub(super) fn new(stored: StoredRecord, own: &NodeId) -> Self {
        Self::at(own.distance(&NodeId::of_key(&stored.key)), stored)
    }

    /// The same, where the distance of its key is known.
    pub(super) fn at(distance: Distance, stored: StoredRecord) -> Self {
        let placed_at = Some(match stored.class {
            Class::Published => stored.stored_at.max(stored.published_at),
            Class::Held | Class::Cached => stored.stored_at,
        });
        Self { stored: Arc::new(stored), distance, due_at: None, digest: OnceCell::new(), placed_at }
    }

    /// What is kept, to be changed: a store keeps what it was given.
    pub(super) fn stored_mut(&mut self) -> &mut StoredRecord {
        Arc::make_mut(&mut self.stored)
    }

    /// The digest of the value.
    pub(super) fn digest(&self) -> ValueDigest {
        *self.digest.get_or_init(|| ValueDigest::of(&self.stored.value))
    }

    /// Bytes that it counts: key and value.
    pub(super) fn bytes(&self) -> usize {
        self.stored.key.len() + self.stored.value.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.stored.class != Class::Cached
    }

    pub(super) fn is_published(&self) -> bool {
        self.stored.class == Class::Published
    }

    /// Whether it is a publication of this node that is pinned.
    pub(super) fn is_pinned(&self) -> bool {
        self.is_published() && self.stored.pinned
    }

    /// Whether it is a publication of this node that no other has stored: one that has been is dated after its value came here.
    pub(super) fn is_unplaced(&self) -> bool {
        self.is_published() && self.stored.published_at <= self.stored.stored_at
    }

    /// How long ago the value was last published, where that is known.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.stored.dated.then(|| self.age_at_least(now))
    }

    /// How long ago the value was last published, at least.
    pub(super) fn age_at_least(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.stored.published_at)
    }

    /// It was published at this time, or before.
    pub(super) fn date(&mut self, at: Instant, dated: bool) {
        let stored = self.stored_mut();
        (stored.published_at, stored.dated) = (at, dated);
    }

    /// It is a publication of this node no more, and held under `version` until the copies end that it last brought to its places:
    /// `key_expiry` after that. Renewals that reached none have prolonged the copy here alone.
    pub(super) fn release(&mut self, version: u64, key_expiry: Duration) {
        let stored = self.stored_mut();
        (stored.class, stored.pinned, stored.version) = (Class::Held, false, version);
        stored.expires_at = stored.expires_at.min(stored.published_at + key_expiry);
        self.place_no_more();
    }

    /// This node places it no more: what that has not reached counts as placed when the value came here.
    pub(super) fn place_no_more(&mut self) {
        self.placed_at.get_or_insert(self.stored.stored_at);
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.stored.expires_at <= now
    }

    pub(super) fn holds(&self, value: &Arc<Value>) -> bool {
        Arc::ptr_eq(&self.stored.value, value) || self.stored.value == *value
    }

    /// Who had published `value`, if it is one of those replaced here.
    pub(super) fn writer_of_replaced(&self, value: &Value) -> Option<Writer> {
        if self.stored.replaced.is_empty() {
            return None;
        }
        let digest = ValueDigest::of(value);
        self.stored.replaced.iter().rev().find(|replaced| replaced.digest == digest).map(|replaced| replaced.writer)
    }

    /// The values that are remembered as replaced once `value` is held in its place: its own is one of them if it is a full copy.
    pub(super) fn replaced_by(&self, value: &Arc<Value>) -> Vec<Replaced> {
        let mut replaced = self.stored.replaced.clone();
        if self.holds(value) {
            return replaced;
        }
        if self.is_full() {
            replaced.push(Replaced { digest: self.digest(), writer: self.stored.writer });
        }
        if !replaced.is_empty() {
            let current = ValueDigest::of(value);
            replaced.retain(|replaced| replaced.digest != current);
            replaced.drain(..replaced.len().saturating_sub(MAX_REPLACED));
        }
        replaced
    }
}

#[cfg(test)]
impl Record {
    /// Puts `value` in the place of the one held.
    pub(super) fn replace(&mut self, value: Arc<Value>, writer: Writer) {
        let replaced = self.replaced_by(&value);
        let stored = self.stored_mut();
        (stored.replaced, stored.value, stored.writer) = (replaced, value, writer);
        self.digest = OnceCell::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: &str) -> Record {
        let now = Instant::now();
        let stored = StoredRecord {
            key: "key".into(),
            value: Arc::new(value.into()),
            class: Class::Held,
            pinned: false,
            version: 1,
            writer: Writer::Own,
            source: None,
            stored_at: now,
            expires_at: now,
            published_at: now,
            dated: false,
            replaced: Vec::new(),
        };
        Record::new(stored, &NodeId::ZERO)
    }

    #[test]
    fn a_record_remembers_a_bounded_number_of_replaced_values_the_latest_ones() {
        let mut record = record("0");
        for number in 1..100 {
            record.replace(Arc::new(number.to_string().into()), Writer::Unknown);
            assert!(record.stored.replaced.len() <= MAX_REPLACED);
        }
        for (value, known) in [("0", false), ("94", false), ("95", true), ("98", true), ("99", false)] {
            assert_eq!(record.writer_of_replaced(&value.into()).is_some(), known, "{value}");
        }
    }

    #[test]
    fn a_value_that_came_back_is_no_longer_a_replaced_one() {
        let mut record = record("a");
        record.replace(Arc::new("b".into()), Writer::Unknown);
        assert_eq!(record.writer_of_replaced(&"a".into()), Some(Writer::Own));
        record.replace(Arc::new("a".into()), Writer::Own);
        assert_eq!(record.writer_of_replaced(&"a".into()), None);
        assert_eq!(record.writer_of_replaced(&"b".into()), Some(Writer::Unknown));
    }
}
