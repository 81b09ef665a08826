//! Who wins when a stranger's `set` meets a full copy (docs/wire.md, 9.7). It decides and changes nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome::Refusal;
use super::record::{Record, Writer};
use crate::protocol::config::{Config, PublisherConflict};
use crate::protocol::value::Value;

/// A `set` or a `set_cached` as it came from the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteWrite {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Arc<Value>,
    /// Absent: a publication. Present: a restore, with the seconds left. With `set_cached`: the seconds left in the copy that this
    /// one was made from, where its sender reports them.
    pub ttl: Option<u32>,
    /// In a restore: seconds since the publication, where they are known.
    pub age: Option<u32>,
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
    /// The value is held, and was published again since: it gets what is left of that.
    Prolong,
    /// We publish the value, and another has published it since: from then on it counts as old as that.
    Redate,
    /// Another value takes the place of the one held, with full expiry.
    Replace,
    /// The same, and our publication ends.
    Supersede,
    /// An older value came back: ignored.
    Stale,
    /// Nothing is changed.
    Refuse(Refusal),
}

/// Whether a copy of the age `theirs` is of a later publication than one of the age `ours`: by more than `margin`, which is
/// [`Config::same_publication`].
pub fn is_later(theirs: Duration, ours: Duration, margin: Duration) -> bool {
    theirs.saturating_add(margin) < ours
}

/// What `write` does at `now` to the full copy `record`, on which it bears the same key.
pub(super) fn judge(record: &Record, write: &RemoteWrite, now: Instant, config: &Config) -> Verdict {
    let publication = write.ttl.is_none();
    if record.holds(&write.value) {
        if record.is_published() {
            let later = if publication { !write.legacy } else { brings_later(record, write, now, config) };
            return if later { Verdict::Redate } else { Verdict::Unchanged };
        }
        // A legacy publication cannot be reported from a restore, except by the address that wrote the value.
        let renews = !write.legacy || record.stored.writer == Writer::Peer(write.from);
        return match publication {
            true if renews => Verdict::Renew,
            false if brings_later(record, write, now, config) => Verdict::Prolong,
            _ => Verdict::Unchanged,
        };
    }
    if is_stale(record, write, now, config) {
        return Verdict::Stale;
    }
    take_the_place(record, config)
}

/// The same where our publication `record` has run out: what is restored was published less than an expiry ago, and so after it. Of
/// two writers the last has won, and it was not us.
pub(super) fn judge_lapsed(record: &Record, write: &RemoteWrite, now: Instant, config: &Config) -> Verdict {
    match judge(record, &RemoteWrite { ttl: None, ..write.clone() }, now, config) {
        // A value of ours that we replaced comes from a peer that missed that, unless it says that it was published since.
        Verdict::Stale if write.ttl.is_some() && brings_later(record, write, now, config) => {
            take_the_place(record, config)
        }
        verdict => verdict,
    }
}

/// What another value does that is no older.
fn take_the_place(record: &Record, config: &Config) -> Verdict {
    match (record.is_published(), config.values.publisher_conflict) {
        (false, _) => Verdict::Replace,
        (true, PublisherConflict::Hold) => Verdict::Refuse(Refusal::PublicationHeld),
        (true, _) if record.stored.pinned => Verdict::Refuse(Refusal::PublicationHeld),
        (true, PublisherConflict::Supersede) => Verdict::Supersede,
    }
}

/// Whether a restore is of a later publication than the copy held. Where it does not say when that was, it is unknown.
fn brings_later(record: &Record, write: &RemoteWrite, now: Instant, config: &Config) -> bool {
    let theirs = write.age.map(|seconds| Duration::from_secs(seconds.into()));
    theirs.is_some_and(|theirs| is_later(theirs, record.age_at_least(now), config.same_publication()))
}

/// Whether the value comes from a peer that only holds it. A `set` without `ttl` is a publication by its sender,
/// which so is a writer of the value: only legacy restores look the same, and are distinguished from publications by the address. A
/// restore brings what was published later and did not get here. What was replaced here was published again then, so both
/// dates must be certain. Of our own publication it is certain that it is as old as it seems at least; a legacy copy may have been
/// published again since.
fn is_stale(record: &Record, write: &RemoteWrite, now: Instant, config: &Config) -> bool {
    let replaced = record.writer_of_replaced(&write.value);
    if write.ttl.is_some() {
        let certain = record.stored.dated || record.is_published();
        return replaced.is_some() && !certain || !brings_later(record, write, now, config);
    }
    match replaced {
        None => false,
        // While we publish, we know better than any other node which of our own values is the latest.
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
            pinned: false,
            version: 1,
            writer: old_writer,
            source: None,
            stored_at: now,
            expires_at: now,
            published_at: now,
            dated: false,
            replaced: Vec::new(),
        };
        let mut record = Record::new(stored, &NodeId::ZERO);
        let writer = if class == Class::Published { Writer::Own } else { Writer::Peer(addr(1)) };
        record.replace(Arc::new("new".into()), writer);
        record
    }

    fn write(value: &str, ttl: Option<u32>, port: u16, legacy: bool) -> RemoteWrite {
        RemoteWrite { key: "key".into(), value: Arc::new(value.into()), ttl, age: None, from: addr(port), legacy }
    }

    fn judged(record: &Record, write: &RemoteWrite) -> Verdict {
        judge(record, write, Instant::now(), &Config::default())
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

    /// What a restore does that says it is of a publication `theirs` seconds ago, to a copy of one an hour ago.
    fn restored(class: Class, value: &str, theirs: Option<u32>, ours: Option<u64>) -> Verdict {
        let now = Instant::now() + Duration::from_secs(86_400);
        let mut record = record(class, Writer::Unknown);
        // What has no date came half an hour ago.
        record.date(now - Duration::from_secs(ours.unwrap_or(1_800)), ours.is_some());
        let write = RemoteWrite { age: theirs, ..write(value, Some(9_999), 5, OURS) };
        judge(&record, &write, now, &Config::default())
    }

    #[test]
    fn a_restore_of_a_later_publication_prolongs_its_value_and_replaces_another() {
        let (held, ours) = (Class::Held, Class::Published);
        for (class, value, theirs, verdict) in [
            (held, "new", 60, Verdict::Prolong),
            (held, "another", 60, Verdict::Replace),
            (ours, "new", 60, Verdict::Redate),
            (ours, "another", 60, Verdict::Supersede),
            // It was replaced here, and has been published again since.
            (held, "old", 60, Verdict::Replace),
            (ours, "old", 60, Verdict::Supersede),
            (held, "old", 3_587, Verdict::Stale),
            // Thirteen seconds are within one publication.
            (held, "new", 3_586, Verdict::Prolong),
            (held, "new", 3_587, Verdict::Unchanged),
            (held, "another", 3_587, Verdict::Stale),
            (held, "another", 7_200, Verdict::Stale),
        ] {
            assert_eq!(restored(class, value, Some(theirs), Some(3_600)), verdict, "{class:?} {value} {theirs}");
        }
    }

    #[test]
    fn a_restore_without_a_date_changes_nothing_and_what_has_none_was_published_when_it_came_at_the_latest() {
        for (theirs, ours, later) in [
            (None, Some(3_600), false),
            (None, None, false),
            // It came later than the one at hand.
            (Some(60), None, true),
            (Some(1_790), None, false),
            (Some(2_400), None, false),
        ] {
            let (same, other) =
                if later { (Verdict::Prolong, Verdict::Replace) } else { (Verdict::Unchanged, Verdict::Stale) };
            assert_eq!(restored(Class::Held, "new", theirs, ours), same);
            assert_eq!(restored(Class::Held, "another", theirs, ours), other);
            assert_eq!(restored(Class::Held, "old", theirs, ours), Verdict::Stale, "both must be certain");
            // As after a restart: our own publication is no younger than it seems.
            let old = if later { Verdict::Supersede } else { Verdict::Stale };
            assert_eq!(restored(Class::Published, "old", theirs, ours), old);
        }
    }

    #[test]
    fn another_value_replaces_the_held_one_whichever_node_publishes_it() {
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
            (Writer::Own, "new", 5, OURS, Verdict::Redate),
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
    fn a_pinned_publication_is_not_superseded() {
        let mut ours = record(Class::Published, Writer::Own);
        let foreign = write("other", None, 5, OURS);
        let hold = Config::builder().publisher_conflict(PublisherConflict::Hold).build().unwrap();
        assert_eq!(judge(&ours, &foreign, Instant::now(), &hold), Verdict::Refuse(Refusal::PublicationHeld));
        ours.stored_mut().pinned = true;
        assert_eq!(judged(&ours, &foreign), Verdict::Refuse(Refusal::PublicationHeld));
        assert_eq!(judged(&ours, &write("new", None, 5, OURS)), Verdict::Redate);
    }
}
