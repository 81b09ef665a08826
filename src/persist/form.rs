//! Records as bytes: a version, a checksum, and MessagePack. Bytes that were changed since they were written are refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

use super::times::{Age, Moment, Times, millis};
use crate::protocol::store::{Class, Replaced, StoredRecord, ValueDigest, Writer};
use crate::protocol::value::Value;

/// The form that is written. A later version of this program reads this one too, by an arm of [`unseal`].
const VERSION: u8 = 2;
/// The version, and the checksum behind it, which covers the version too. So it stays in all later versions: this one then
/// knows what it cannot read from what is damaged.
const HEADER: usize = 5;

/// What was stored cannot be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    /// Its checksum is another, or it is too short to have one.
    #[error("its checksum is wrong")]
    Checksum,
    /// It is as it was written, by a later version of this program: no damage.
    #[error("a later version wrote it, in form {0}, which this version does not know")]
    Later(u8),
    /// The checksum is right, the content is not.
    #[error("it does not hold what it should")]
    Form,
}

/// A record as it is stored. Its key stands beside it, under the same checksum.
#[derive(Serialize, Deserialize)]
struct RecordForm<'a> {
    #[serde(borrow)]
    value: &'a Bytes,
    text: bool,
    published: bool,
    pinned: bool,
    version: u64,
    writer: Writer,
    source: Option<SocketAddr>,
    times: Times,
    replaced: Vec<([u8; 20], Writer)>,
    /// How long before it was written the value had been published, in milliseconds, at least. Form 1 did not say.
    #[serde(default)]
    published_ms: Option<u64>,
}

fn checksum(version: u8, name: &[u8], payload: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version]);
    hasher.update(name);
    hasher.update(payload);
    hasher.finalize().to_le_bytes()
}

/// `content` under its version and checksum, which also says under which name it stands.
pub(super) fn seal(name: &[u8], content: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    rmp_serde::encode::write(&mut bytes, content).expect("a vector takes any bytes, and all lengths are known");
    let sum = checksum(VERSION, name, &bytes[HEADER..]);
    bytes[0] = VERSION;
    bytes[1..HEADER].copy_from_slice(&sum);
    bytes
}

/// What [`seal`] was given.
pub(super) fn unseal<'a, T: Deserialize<'a>>(name: &[u8], bytes: &'a [u8]) -> Result<T, Damage> {
    let (header, payload) = bytes.split_at_checked(HEADER).ok_or(Damage::Checksum)?;
    let version = header[0];
    if header[1..] != checksum(version, name, payload) {
        return Err(Damage::Checksum);
    }
    match version {
        1..=VERSION => rmp_serde::from_slice(payload).map_err(|_| Damage::Form),
        0 => Err(Damage::Form),
        later => Err(Damage::Later(later)),
    }
}

/// Whether `bytes`, which [`unseal`] has read, are of an earlier form than the one that is written.
pub(super) fn is_earlier(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|version| *version < VERSION)
}

/// `record` as it is stored under its key.
pub(super) fn encode(record: &StoredRecord, age: &Age, now: &Moment) -> Vec<u8> {
    let form = RecordForm {
        value: Bytes::new(record.value.as_bytes()),
        text: matches!(*record.value, Value::Text(_)),
        published: record.class == Class::Published,
        pinned: record.pinned,
        version: record.version,
        writer: record.writer,
        source: record.source,
        times: Times::of(record.stored_at, record.expires_at, age, now),
        published_ms: Some(millis(now.instant.saturating_duration_since(record.published_at))),
        replaced: record.replaced.iter().map(|replaced| (replaced.digest.0, replaced.writer)).collect(),
    };
    seal(record.key.as_bytes(), &form)
}

/// The record that was stored under `key`, with its times as they are now.
pub(super) fn decode(key: &[u8], bytes: &[u8], age: Option<&Age>, now: &Moment) -> Result<StoredRecord, Damage> {
    let form: RecordForm = unseal(key, bytes)?;
    let key = std::str::from_utf8(key).map_err(|_| Damage::Form)?;
    let value = if form.text {
        Value::Text(std::str::from_utf8(form.value).map_err(|_| Damage::Form)?.to_owned())
    } else {
        Value::Bytes(form.value.to_vec())
    };
    let (stored_at, expires_at) = form.times.restore(age, now);
    let published = form.published_ms.map(|ms| Duration::from_millis(ms).saturating_add(form.times.passed(age, now)));
    let replaced = |(digest, writer)| Replaced { digest: ValueDigest(digest), writer };
    Ok(StoredRecord {
        key: key.into(),
        value: Arc::new(value),
        class: if form.published { Class::Published } else { Class::Held },
        pinned: form.pinned,
        version: form.version,
        writer: form.writer,
        source: form.source,
        stored_at,
        expires_at,
        // At the latest. A system that has just started may have no instants that far back; and how long the store was closed is
        // not always certain, so there is no date.
        published_at: published.and_then(|ago| now.instant.checked_sub(ago)).unwrap_or(now.instant),
        dated: false,
        replaced: form.replaced.into_iter().map(replaced).collect(),
    })
}

/// What fuzzers and the test of their corpus need of this file: nothing else uses it.
#[doc(hidden)]
pub mod trial {
    use std::time::Instant;

    use super::*;

    /// `content` under the checksum that it has as a record of `key`: what damage alone never gives.
    pub fn sealed(key: &[u8], content: &[u8]) -> Vec<u8> {
        [&[VERSION][..], &checksum(VERSION, key, content), content].concat()
    }

    /// `bytes` read as the record of `key` and written again, twice over. `None` if they are none.
    pub fn rewritten(key: &[u8], bytes: &[u8]) -> Option<[Vec<u8>; 2]> {
        let now = Moment { instant: Instant::now(), wall_ms: 0, boot: None };
        let age = Age::since(None, &now);
        let again = |bytes: &[u8]| decode(key, bytes, Some(&age), &now).ok().map(|record| encode(&record, &age, &now));
        let first = again(bytes)?;
        let second = again(&first)?;
        Some([first, second])
    }
}

/// A peer as it is stored.
pub(super) type PeerForm = ([u8; 20], SocketAddr);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::times::{Clock, SystemClock};
    use crate::protocol::store::contract::record;
    use proptest::prelude::*;

    fn sealed() -> (StoredRecord, Vec<u8>, Age, Moment) {
        let now = SystemClock.now();
        let age = Age::since(None, &now);
        let record = record("key", "value", 7, now.instant);
        let bytes = encode(&record, &age, &now);
        (record, bytes, age, now)
    }

    #[test]
    fn a_record_is_not_read_under_another_key_or_in_another_form() {
        let (_, mut bytes, age, now) = sealed();
        assert_eq!(decode(b"other", &bytes, Some(&age), &now), Err(Damage::Checksum));
        bytes[0] = 3;
        assert_eq!(decode(b"key", &bytes, Some(&age), &now), Err(Damage::Checksum), "a changed byte, no later version");
        let later = [&[3][..], &checksum(3, b"key", &bytes[HEADER..]), &bytes[HEADER..]].concat();
        assert_eq!(decode(b"key", &later, Some(&age), &now), Err(Damage::Later(3)));
        assert_eq!(decode(b"key", &[], Some(&age), &now), Err(Damage::Checksum));
        let other = seal(b"key", &"no record");
        assert_eq!(decode(b"key", &other, Some(&age), &now), Err(Damage::Form));
    }

    #[test]
    fn what_was_written_once_is_read_by_every_later_version() {
        let now = SystemClock.now();
        let bytes = hex::decode(FORM_1).unwrap();
        let record = decode(b"key", &bytes, None, &now).unwrap();
        assert_eq!((&*record.value, record.version, record.class), (&Value::from("value"), 7, Class::Held));
        assert_eq!((record.published_at, record.dated), (now.instant, false));
    }

    #[test]
    fn a_value_was_published_when_it_was_or_before_and_has_no_date_any_more() {
        let (mut record, _, age, now) = sealed();
        record.published_at = now.instant.checked_sub(Duration::from_secs(5)).unwrap();
        record.dated = true;
        let bytes = encode(&record, &age, &now);
        let then = Moment { instant: now.instant + Duration::from_secs(60), ..now.clone() };
        let read = decode(b"key", &bytes, Some(&age), &then).unwrap();
        assert_eq!((read.published_at, read.dated), (record.published_at, false));
    }

    #[test]
    fn every_writer_is_stored_under_the_name_that_earlier_versions_gave_it() {
        let bytes = |writer: Writer| rmp_serde::to_vec(&writer).unwrap();
        assert_eq!((bytes(Writer::Own), bytes(Writer::Unknown)), (b"\xa3Own".to_vec(), b"\xa7Unknown".to_vec()));
        let peer = Writer::Peer("192.0.2.7:8000".parse().unwrap());
        assert_eq!(hex::encode(bytes(peer)), PEER);
        assert_eq!(rmp_serde::from_slice::<Writer>(&hex::decode(PEER).unwrap()).unwrap(), peer);
    }

    const PEER: &str = "81a45065657281a256349294ccc0000207cd1f40";

    const FORM_1: &str = "019297ff4299c40576616c7565c3c2c207a7556e6b6e6f776ec09400cf000001a20401c97d00ce0526831090";

    proptest! {
        #[test]
        fn no_changed_byte_goes_unnoticed(at in any::<prop::sample::Index>(), flip in 1u8..=255) {
            let (_, mut bytes, age, now) = sealed();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(decode(b"key", &bytes, Some(&age), &now).is_err());
        }
    }
}
