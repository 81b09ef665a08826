//! Ranges of places and what two nodes hold in them, packed: the content of `reconcile` and its answer (docs/wire.md, 3.6). What
//! follows from a difference is decided elsewhere.

use super::entry::{ENTRY_LEN, Entry, MAX_ENTRIES, Nonce, pack, unpack};
use super::id::{NODE_ID_BITS, NODE_ID_BYTES, NodeId};
use super::prefix::Prefix;

/// The most ranges of one message that are read. As many as fit a datagram of 1,200 bytes are sent: fewer.
pub const MAX_RANGES: usize = 128;
/// The most places that a `reconcile` wants the values of.
pub const MAX_WANTED: usize = 50;
/// The parts that a range is split into: one for each value of the next 4 bits.
pub const PARTS: usize = 16;
/// The bits by which the prefix of a part is longer than that of its range.
pub const PART_BITS: u32 = 4;

// The numbers of the three kinds of [`RangeState`] on the wire.
const EQUAL: u8 = 0;
const LIST: u8 = 1;
const SPLIT: u8 = 2;

/// What a node holds in one range, as one number: the sum, modulo 2^64, of the first 8 bytes of SHA-1(nonce ‖ place ‖ value digest)
/// of each full copy. An empty range has 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Fingerprint(pub u64);

/// A range that a `reconcile` asks about, and what the asker holds in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The places that begin so.
    pub prefix: Prefix,
    /// What the asker holds of them.
    pub fingerprint: Fingerprint,
}

/// The content of a `reconcile`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges {
    /// The nonce that keys fingerprints and digests, also those of the answer.
    pub nonce: Nonce,
    /// At most [`MAX_RANGES`].
    pub ranges: Vec<Range>,
}

/// What the responder holds of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeState {
    /// The same as the asker.
    Equal,
    /// Something else: these, at most [`MAX_ENTRIES`].
    List(Vec<Entry>),
    /// Something else, too much to name: the fingerprints of the sixteen parts, by the next 4 bits.
    Split([Fingerprint; PARTS]),
}

/// The answer about one range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeAnswer {
    /// The range, as it was asked about.
    pub prefix: Prefix,
    /// What the responder holds of it.
    pub state: RangeState,
}

impl Ranges {
    /// Nonce and ranges, packed.
    pub fn pack(&self) -> Vec<u8> {
        let mut packed = self.nonce.0.to_vec();
        for Range { prefix, fingerprint } in &self.ranges {
            pack_prefix(prefix, &mut packed);
            packed.extend_from_slice(&fingerprint.0.to_be_bytes());
        }
        packed
    }

    /// What is packed in these bytes. `None` if they are something else than a nonce and at most [`MAX_RANGES`] ranges.
    pub fn unpack(packed: &[u8]) -> Option<Self> {
        let (nonce, mut rest) = packed.split_first_chunk()?;
        let mut ranges = Vec::new();
        while !rest.is_empty() {
            let (prefix, fingerprint) = (take_prefix(&mut rest)?, take_fingerprint(&mut rest)?);
            ranges.push(Range { prefix, fingerprint });
        }
        (ranges.len() <= MAX_RANGES).then_some(Self { nonce: Nonce(*nonce), ranges })
    }
}

impl RangeAnswer {
    /// Its length in bytes when it is packed.
    pub fn packed_len(&self) -> usize {
        let state = match &self.state {
            RangeState::Equal => 0,
            RangeState::List(entries) => 1 + ENTRY_LEN * entries.len(),
            RangeState::Split(_) => 8 * PARTS,
        };
        prefix_len(&self.prefix) + 1 + state
    }

    /// The answers, packed one after the other.
    pub fn pack(answers: &[Self]) -> Vec<u8> {
        let mut packed = Vec::new();
        for RangeAnswer { prefix, state } in answers {
            pack_prefix(prefix, &mut packed);
            match state {
                RangeState::Equal => packed.push(EQUAL),
                RangeState::List(entries) => {
                    packed.push(LIST);
                    let listed = &entries[..entries.len().min(MAX_ENTRIES)];
                    packed.push(listed.len() as u8);
                    pack(listed, &mut packed);
                }
                RangeState::Split(parts) => {
                    packed.push(SPLIT);
                    parts.iter().for_each(|part| packed.extend_from_slice(&part.0.to_be_bytes()));
                }
            }
        }
        packed
    }

    /// The answers in these bytes. `None` if they are something else than at most [`MAX_RANGES`] answers.
    pub fn unpack(packed: &[u8]) -> Option<Vec<Self>> {
        let (mut rest, mut answers) = (packed, Vec::new());
        while !rest.is_empty() {
            let prefix = take_prefix(&mut rest)?;
            let state = match *rest.split_off_first()? {
                EQUAL => RangeState::Equal,
                LIST => {
                    let count = usize::from(*rest.split_off_first()?);
                    RangeState::List(unpack(rest.split_off(..count * ENTRY_LEN)?)?)
                }
                SPLIT if prefix.fixed_bits() + PART_BITS <= NODE_ID_BITS => {
                    let mut parts = [Fingerprint::default(); PARTS];
                    for part in &mut parts {
                        *part = take_fingerprint(&mut rest)?;
                    }
                    RangeState::Split(parts)
                }
                _ => return None,
            };
            answers.push(Self { prefix, state });
        }
        (answers.len() <= MAX_RANGES).then_some(answers)
    }
}

/// The places in `wanted`, one after the other.
pub fn pack_places(wanted: &[NodeId]) -> Vec<u8> {
    wanted.iter().flat_map(NodeId::as_bytes).copied().collect()
}

/// The places in these bytes. `None` if they are something else than 1..=[`MAX_WANTED`] places.
pub fn unpack_places(packed: &[u8]) -> Option<Vec<NodeId>> {
    let (places, rest) = packed.as_chunks();
    let right = rest.is_empty() && (1..=MAX_WANTED).contains(&places.len());
    right.then(|| places.iter().map(|place| NodeId::from_bytes(*place)).collect())
}

/// The length of a packed prefix in bytes.
fn prefix_len(prefix: &Prefix) -> usize {
    1 + bytes_of(prefix.fixed_bits())
}

fn bytes_of(bits: u32) -> usize {
    bits.div_ceil(8) as usize
}

fn pack_prefix(prefix: &Prefix, packed: &mut Vec<u8>) {
    let bits = prefix.fixed_bits();
    packed.push(u8::try_from(bits).expect("a prefix has at most 160 bits"));
    packed.extend_from_slice(&prefix.first().as_bytes()[..bytes_of(bits)]);
}

/// Takes a prefix from the front of `rest`. `None` if it is no canonical one: it is too long, or has bits beyond its length.
fn take_prefix(rest: &mut &[u8]) -> Option<Prefix> {
    let bits = u32::from(*rest.split_off_first()?);
    if bits > NODE_ID_BITS {
        return None;
    }
    let given = rest.split_off(..bytes_of(bits))?;
    let mut bytes = [0; NODE_ID_BYTES];
    bytes[..given.len()].copy_from_slice(given);
    let id = NodeId::from_bytes(bytes);
    Some(Prefix::of(&id, bits)).filter(|prefix| prefix.first() == id)
}

fn take_fingerprint(rest: &mut &[u8]) -> Option<Fingerprint> {
    let bytes = rest.split_off(..8)?;
    Some(Fingerprint(u64::from_be_bytes(bytes.try_into().expect("8 bytes were taken"))))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::protocol::entry::tests::any_entry;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn any_prefix(longest: u32) -> impl Strategy<Value = Prefix> {
        (any::<[u8; 20]>(), 0..=longest).prop_map(|(id, bits)| Prefix::of(&NodeId::from_bytes(id), bits))
    }

    pub(crate) fn any_ranges() -> impl Strategy<Value = Ranges> {
        let range =
            (any_prefix(160), any::<u64>()).prop_map(|(prefix, sum)| Range { prefix, fingerprint: Fingerprint(sum) });
        (any::<[u8; 8]>(), vec(range, 0..40)).prop_map(|(nonce, ranges)| Ranges { nonce: Nonce(nonce), ranges })
    }

    pub(crate) fn any_answers() -> impl Strategy<Value = Vec<RangeAnswer>> {
        let state = prop_oneof![
            Just(RangeState::Equal),
            vec(any_entry(), 0..=MAX_ENTRIES).prop_map(RangeState::List),
            any::<[u64; PARTS]>().prop_map(|parts| RangeState::Split(parts.map(Fingerprint))),
        ];
        vec((any_prefix(156), state).prop_map(|(prefix, state)| RangeAnswer { prefix, state }), 0..10)
    }

    pub(crate) fn any_places() -> impl Strategy<Value = Vec<NodeId>> {
        vec(any::<[u8; 20]>().prop_map(NodeId::from_bytes), 1..=MAX_WANTED)
    }

    proptest! {
        #[test]
        fn ranges_are_read_as_they_were_written(ranges in any_ranges()) {
            prop_assert_eq!(Ranges::unpack(&ranges.pack()), Some(ranges));
        }

        #[test]
        fn answers_are_read_as_they_were_written(answers in any_answers()) {
            let packed = RangeAnswer::pack(&answers);
            prop_assert_eq!(packed.len(), answers.iter().map(RangeAnswer::packed_len).sum::<usize>());
            prop_assert_eq!(RangeAnswer::unpack(&packed), Some(answers));
        }

        #[test]
        fn places_are_read_as_they_were_written(places in any_places()) {
            prop_assert_eq!(unpack_places(&pack_places(&places)), Some(places));
        }

        #[test]
        fn what_is_read_of_any_bytes_is_written_as_the_same_bytes(bytes in vec(any::<u8>(), 0..400), short: bool) {
            // A short prefix makes it likelier that something is read.
            let bytes = if short { bytes.iter().map(|byte| byte & 3).collect() } else { bytes };
            prop_assert!(Ranges::unpack(&bytes).is_none_or(|ranges| ranges.pack() == bytes));
            prop_assert!(RangeAnswer::unpack(&bytes).is_none_or(|answers| RangeAnswer::pack(&answers) == bytes));
            prop_assert!(unpack_places(&bytes).is_none_or(|places| pack_places(&places) == bytes));
        }
    }

    #[test]
    fn a_prefix_has_one_spelling() {
        let read = |bytes: &[u8]| Ranges::unpack(&[&[0; 8], bytes, &[0; 8]].concat()).is_some();
        assert!(read(&[0]) && read(&[4, 0xf0]) && read(&[8, 0xff]) && read(&[9, 0xff, 0x80]));
        assert!(!read(&[4, 0xf8]), "a bit beyond its length");
        assert!(!read(&[9, 0xff]), "too few bytes");
        assert!(!read(&[161]) && !read(&[255]), "longer than an id");
    }

    #[test]
    fn more_than_is_read_is_not_read() {
        let ranges = |count| Ranges {
            nonce: Nonce([0; 8]),
            ranges: vec![Range { prefix: Prefix::ALL, fingerprint: Fingerprint(0) }; count],
        };
        let answers = |count| vec![RangeAnswer { prefix: Prefix::ALL, state: RangeState::Equal }; count];
        for (count, read) in [(MAX_RANGES, true), (MAX_RANGES + 1, false)] {
            assert_eq!(Ranges::unpack(&ranges(count).pack()).is_some(), read);
            assert_eq!(RangeAnswer::unpack(&RangeAnswer::pack(&answers(count))).is_some(), read);
        }
        for (count, read) in [(0, false), (1, true), (MAX_WANTED, true), (MAX_WANTED + 1, false)] {
            assert_eq!(unpack_places(&vec![0; 20 * count]).is_some(), read);
        }
        let list = |count: u8| [&[0, LIST, count][..], &vec![0; ENTRY_LEN * usize::from(count)]].concat();
        for (count, read) in [(0, true), (32, true), (33, false), (255, false)] {
            assert_eq!(RangeAnswer::unpack(&list(count)).is_some(), read);
        }
        let [split, too_long] = [156u8, 157].map(|bits| [&[bits][..], &[0; 20], &[SPLIT], &[0; 128]].concat());
        assert!(RangeAnswer::unpack(&split).is_some() && RangeAnswer::unpack(&too_long).is_none(), "no parts are left");
    }
}
