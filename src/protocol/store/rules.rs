//! Who wins when a stranger's `set` meets a full copy (DESIGN.md, renewal). It decides and changes nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use super::outcome::Refusal;
use super::record::{Record, Writer};
use crate::protocol::config::PublisherConflict;
use crate::protocol::value::Value;

/// A `set` as it came from the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteWrite {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Arc<Value>,
    /// Absent: a publication. Present: a restore, with the seconds left.
    pub ttl: Option<u32>,
    /// Where the datagram came from.
    pub from: SocketAddr,
    /// Whether the sender is a legacy node, whose restores look like publications.
    pub legacy: bool,
}

/// What is to be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The value is held; its life stays.
    Unchanged,
    /// The value is held; it gets the full expiry.
    Renew,
    /// Another value takes the place of the one held, with full expiry.
    Replace,
    /// The same, and our publication ends.
    Supersede,
    /// An older value came back: ignored.
    Stale,
    /// Nothing is changed.
    Refuse(Refusal),
}

/// What `write` does to the full copy `record`, on which it bears the same key.
pub(super) fn judge(record: &Record, write: &RemoteWrite, conflict: PublisherConflict) -> Verdict {
    let publication = write.ttl.is_none();
    if record.holds(&write.value) {
        // A legacy publication cannot be told from a restore, except by the address that wrote the value.
        let renews = !write.legacy || record.stored.writer == Writer::Peer(write.from);
        return if publication && renews && !record.is_published() { Verdict::Renew } else { Verdict::Unchanged };
    }
    if !publication || is_stale(record, write) {
        return Verdict::Stale;
    }
    match (record.is_published(), conflict) {
        (false, _) => Verdict::Replace,
        (true, PublisherConflict::Hold) => Verdict::Refuse(Refusal::KeyKept),
        (true, _) if record.stored.keep => Verdict::Refuse(Refusal::KeyKept),
        (true, PublisherConflict::Supersede) => Verdict::Supersede,
    }
}

/// Whether the value is one that was replaced here, and comes from somebody who only holds on to it. A `set` without `ttl`
/// is a publication by whoever sends it, and he a writer of the value: only legacy restores look the same, and are told from
/// publications by the address.
fn is_stale(record: &Record, write: &RemoteWrite) -> bool {
    match record.writer_of_replaced(&write.value) {
        None => false,
        // While we publish, we know better than anybody which of our own values is the latest.
        Some(Writer::Own) => record.is_published() || write.legacy,
        Some(Writer::Peer(writer)) => write.legacy && writer != write.from,
        Some(Writer::Unknown) => write.legacy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::NodeId;
    use crate::protocol::store::record::{Class, StoredRecord};
    use std::time::Instant;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    /// A copy of "new" that was written from port 1, in the place of "old" written by `old_writer`.
    fn record(class: Class, old_writer: Writer) -> Record {
        let now = Instant::now();
        let stored = StoredRecord {
            key: "key".into(),
            value: Arc::new("old".into()),
            class,
            keep: false,
            version: 1,
            writer: old_writer,
            source: None,
            stored_at: now,
            expires_at: now,
            replaced: Vec::new(),
        };
        let mut record = Record::new(stored, &NodeId::ZERO);
        let writer = if class == Class::Published { Writer::Own } else { Writer::Peer(addr(1)) };
        record.replace(Arc::new("new".into()), writer);
        record
    }

    fn write(value: &str, ttl: Option<u32>, port: u16, legacy: bool) -> RemoteWrite {
        RemoteWrite { key: "key".into(), value: Arc::new(value.into()), ttl, from: addr(port), legacy }
    }

    fn judged(record: &Record, write: &RemoteWrite) -> Verdict {
        judge(record, write, PublisherConflict::Supersede)
    }

    const OURS: bool = false;
    const LEGACY: bool = true;

    #[test]
    fn a_publication_of_the_held_value_renews_it_but_a_legacy_one_only_from_its_writer() {
        let held = record(Class::Held, Writer::Unknown);
        assert_eq!(judged(&held, &write("new", None, 1, OURS)), Verdict::Renew);
        assert_eq!(judged(&held, &write("new", None, 2, OURS)), Verdict::Renew);
        assert_eq!(judged(&held, &write("new", None, 1, LEGACY)), Verdict::Renew);
        assert_eq!(judged(&held, &write("new", None, 2, LEGACY)), Verdict::Unchanged);
    }

    #[test]
    fn a_restore_neither_renews_nor_replaces() {
        for class in [Class::Held, Class::Published] {
            let record = record(class, Writer::Unknown);
            assert_eq!(judged(&record, &write("new", Some(9), 1, OURS)), Verdict::Unchanged);
            assert_eq!(judged(&record, &write("other", Some(9), 1, OURS)), Verdict::Stale);
        }
    }

    #[test]
    fn another_value_replaces_the_held_one_whoever_publishes_it() {
        let held = record(Class::Held, Writer::Unknown);
        for legacy in [OURS, LEGACY] {
            assert_eq!(judged(&held, &write("other", None, 2, legacy)), Verdict::Replace);
        }
    }

    #[test]
    fn a_replaced_value_comes_back_from_its_writer_or_by_a_publication_not_by_a_legacy_restore() {
        for (old_writer, from, legacy, verdict) in [
            (Writer::Peer(addr(5)), 5, LEGACY, Verdict::Replace),
            (Writer::Peer(addr(5)), 6, LEGACY, Verdict::Stale),
            (Writer::Peer(addr(5)), 6, OURS, Verdict::Replace),
            (Writer::Unknown, 5, LEGACY, Verdict::Stale),
            (Writer::Unknown, 5, OURS, Verdict::Replace),
            (Writer::Own, 5, LEGACY, Verdict::Stale),
            (Writer::Own, 5, OURS, Verdict::Replace),
        ] {
            let held = record(Class::Held, old_writer);
            assert_eq!(judged(&held, &write("old", None, from, legacy)), verdict, "{old_writer:?} {from} {legacy}");
        }
    }

    #[test]
    fn our_publication_is_superseded_by_another_value_but_by_none_that_we_replaced_ourselves() {
        for (old_writer, value, from, legacy, verdict) in [
            (Writer::Own, "other", 5, OURS, Verdict::Supersede),
            (Writer::Own, "other", 5, LEGACY, Verdict::Supersede),
            (Writer::Own, "new", 5, OURS, Verdict::Unchanged),
            (Writer::Own, "new", 5, LEGACY, Verdict::Unchanged),
            (Writer::Own, "old", 5, OURS, Verdict::Stale),
            (Writer::Own, "old", 5, LEGACY, Verdict::Stale),
            (Writer::Peer(addr(5)), "old", 5, LEGACY, Verdict::Supersede),
            (Writer::Peer(addr(5)), "old", 6, LEGACY, Verdict::Stale),
            (Writer::Peer(addr(5)), "old", 6, OURS, Verdict::Supersede),
        ] {
            let ours = record(Class::Published, old_writer);
            let write = write(value, None, from, legacy);
            assert_eq!(judged(&ours, &write), verdict, "{old_writer:?} {write:?}");
        }
    }

    #[test]
    fn a_kept_publication_is_not_superseded() {
        let mut ours = record(Class::Published, Writer::Own);
        let foreign = write("other", None, 5, OURS);
        assert_eq!(judge(&ours, &foreign, PublisherConflict::Hold), Verdict::Refuse(Refusal::KeyKept));
        ours.stored.keep = true;
        assert_eq!(judged(&ours, &foreign), Verdict::Refuse(Refusal::KeyKept));
        assert_eq!(judged(&ours, &write("new", None, 5, OURS)), Verdict::Unchanged);
    }
}
