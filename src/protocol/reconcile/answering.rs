//! The answer to a `reconcile`. It keeps no state and changes nothing.

use std::time::Instant;

use sha1::{Digest, Sha1};

use crate::protocol::entry::Nonce;
use crate::protocol::prefix::Prefix;
use crate::protocol::ranges::{Fingerprint, PART_BITS, PARTS, RangeAnswer, RangeState, Ranges};
use crate::protocol::store::{PlacedCopy, Records};

/// Copies that are read for one datagram, the asker's or the answer: some 10 ms of a processor. A range with more is split unread.
pub const MAX_READ: usize = 16_384;
/// Copies that are listed rather than split: as long as five splits, which would take two more rounds.
pub(super) const MAX_LISTED: usize = 16;

/// Bytes of the longest packed split.
const SPLIT_LEN: usize = 22 + 8 * PARTS;

/// What is held in a range that was read.
pub(super) struct Contents {
    /// Of all of it.
    pub(super) fingerprint: Fingerprint,
    /// Of each of its sixteen parts.
    pub(super) parts: [Fingerprint; PARTS],
    /// How many copies.
    pub(super) count: usize,
    /// How many copies were read, also those that do not count.
    read: usize,
}

impl Contents {
    /// Reads what counts under `prefix`. `None` if there are more than `limit` copies, also of those that do not count.
    pub(super) fn read(records: &Records, prefix: &Prefix, nonce: Nonce, limit: usize, now: Instant) -> Option<Self> {
        let read = records.in_prefix(prefix, now).take(limit.saturating_add(1)).count();
        if read > limit {
            return None;
        }
        let (mut parts, mut count) = ([0_u64; PARTS], 0);
        for copy in records.counted(prefix, now) {
            let part = &mut parts[part_of(prefix, &copy)];
            *part = part.wrapping_add(term(nonce, &copy));
            count += 1;
        }
        let sum = parts.iter().fold(0, |sum: u64, part| sum.wrapping_add(*part));
        Some(Self { fingerprint: Fingerprint(sum), parts: parts.map(Fingerprint), count, read })
    }
}

/// What a copy adds to the fingerprint of its range.
fn term(nonce: Nonce, copy: &PlacedCopy) -> u64 {
    let mut hasher = Sha1::new();
    hasher.update(nonce.0);
    hasher.update(copy.place.as_bytes());
    hasher.update(copy.digest().0);
    let hash: [u8; 20] = hasher.finalize().into();
    u64::from_be_bytes(*hash.first_chunk().expect("20 bytes begin with 8"))
}

/// In which part of `prefix` a copy under it is. A prefix that has no parts has one.
fn part_of(prefix: &Prefix, copy: &PlacedCopy) -> usize {
    let bits = prefix.fixed_bits()..(prefix.fixed_bits() + PART_BITS).min(160);
    bits.fold(0, |part, bit| 2 * part + usize::from(copy.place.bit(bit)))
}

/// The answer to `asked` in at most `room` packed bytes, and how many copies were read for it. What does not fit, or would need more
/// than [`MAX_READ`], is not answered; the peer asks again.
pub fn answer(records: &Records, asked: &Ranges, room: usize, now: Instant) -> (Vec<RangeAnswer>, usize) {
    let (mut answers, mut left, mut read) = (Vec::new(), room, 0);
    for range in &asked.ranges {
        if left < SPLIT_LEN {
            break;
        }
        let state = match Contents::read(records, &range.prefix, asked.nonce, MAX_READ - read, now) {
            Some(contents) => {
                read += contents.read;
                state(records, range.prefix, asked.nonce, range.fingerprint, &contents, now)
            }
            // It differs, as far as is known, and so do its parts: this is the sum of none of them.
            None if read == 0 => RangeState::Split([Fingerprint(1); PARTS]),
            None => break,
        };
        let answer = RangeAnswer { prefix: range.prefix, state };
        let Some(rest) = left.checked_sub(answer.packed_len()) else { break };
        let unread = read == 0 && matches!(answer.state, RangeState::Split(_));
        left = rest;
        answers.push(answer);
        if unread {
            read = MAX_READ;
        }
    }
    (answers, read)
}

fn state(
    records: &Records,
    prefix: Prefix,
    nonce: Nonce,
    theirs: Fingerprint,
    contents: &Contents,
    now: Instant,
) -> RangeState {
    if contents.fingerprint == theirs {
        RangeState::Equal
    } else if contents.count <= MAX_LISTED || prefix.sixteenths().is_none() {
        let entries = records.counted(&prefix, now).take(MAX_LISTED).map(|copy| copy.entry(nonce, now));
        RangeState::List(entries.collect())
    } else {
        RangeState::Split(contents.parts)
    }
}
