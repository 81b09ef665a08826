//! Entries: values by their places and digests, many in one datagram (docs/wire.md, 3.5). They name no key and carry no value.

use super::id::{NODE_ID_BYTES, NodeId};

/// The most entries of one message that are read. As many as fit a datagram of 1,200 bytes are sent: fewer.
pub const MAX_ENTRIES: usize = 32;

/// The length of a packed entry in bytes.
pub const ENTRY_LEN: usize = NODE_ID_BYTES + 8 + 4 + 4 + 2;

/// What stands for an unknown age, and for the life of a publication.
const ABSENT: u32 = u32::MAX;

/// Random bytes that key the digests of one message, drawn anew for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Nonce(pub [u8; 8]);

/// The digest of a value under a message's [`Nonce`]: see [`ValueDigest::keyed`](super::digest::ValueDigest::keyed).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryDigest(pub [u8; 8]);

/// A value of which a message speaks: a copy that its sender holds, or publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The place of its key.
    pub place: NodeId,
    /// The digest of the value.
    pub digest: EntryDigest,
    /// Seconds since the value was last published, where that is known; 4,294,967,294 at most.
    pub age: Option<u32>,
    /// Absent: a publication, with full expiry. Present: the seconds that the sender's copy has left; 4,294,967,294 at most.
    pub life: Option<u32>,
    /// What kind of value it is: [`Entry::PLAIN`], or one that this version does not know.
    pub kind: u16,
}

impl Entry {
    /// The one kind of value that there is: of two, the one that was published later is valid.
    pub const PLAIN: u16 = 0;

    fn pack(&self, packed: &mut Vec<u8>) {
        let number = |seconds: Option<u32>| seconds.map_or(ABSENT, |seconds| seconds.min(ABSENT - 1)).to_be_bytes();
        packed.extend_from_slice(self.place.as_bytes());
        packed.extend_from_slice(&self.digest.0);
        packed.extend_from_slice(&number(self.age));
        packed.extend_from_slice(&number(self.life));
        packed.extend_from_slice(&self.kind.to_be_bytes());
    }

    fn unpack(packed: &[u8; ENTRY_LEN]) -> Self {
        let (place, rest) = packed.split_first_chunk().expect("38 bytes begin with 20");
        let (digest, rest) = rest.split_first_chunk().expect("18 bytes begin with 8");
        let (age, rest) = rest.split_first_chunk().expect("10 bytes begin with 4");
        let (life, kind) = rest.split_first_chunk().expect("6 bytes begin with 4");
        let number = |bytes: &[u8; 4]| Some(u32::from_be_bytes(*bytes)).filter(|seconds| *seconds != ABSENT);
        Self {
            place: NodeId::from_bytes(*place),
            digest: EntryDigest(*digest),
            age: number(age),
            life: number(life),
            kind: u16::from_be_bytes(kind.try_into().expect("2 bytes are left of 38")),
        }
    }
}

/// Appends `entries`, packed one after the other.
pub fn pack(entries: &[Entry], packed: &mut Vec<u8>) {
    packed.reserve(entries.len() * ENTRY_LEN);
    entries.iter().for_each(|entry| entry.pack(packed));
}

/// The entries in `packed`. `None` if it is not a whole number of them, or has more than [`MAX_ENTRIES`].
pub fn unpack(packed: &[u8]) -> Option<Vec<Entry>> {
    let (entries, rest) = packed.as_chunks();
    (rest.is_empty() && entries.len() <= MAX_ENTRIES).then(|| entries.iter().map(Entry::unpack).collect())
}

/// Entries with the nonce of their digests: the content of a `renew`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries {
    /// The nonce that keys the digests.
    pub nonce: Nonce,
    /// At most [`MAX_ENTRIES`].
    pub entries: Vec<Entry>,
}

impl Entries {
    /// Nonce and entries, packed.
    pub fn pack(&self) -> Vec<u8> {
        let mut packed = self.nonce.0.to_vec();
        pack(&self.entries, &mut packed);
        packed
    }

    /// What is packed in these bytes. `None` if they are not a nonce and 1..=[`MAX_ENTRIES`] entries.
    pub fn unpack(packed: &[u8]) -> Option<Self> {
        let (nonce, entries) = packed.split_first_chunk()?;
        let entries = unpack(entries).filter(|entries| !entries.is_empty())?;
        Some(Self { nonce: Nonce(*nonce), entries })
    }
}

/// What the receiver of a `renew` holds of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryState {
    /// The value is held, and was renewed as far as that is due.
    Held,
    /// No full copy is held under the place: the value is to be sent.
    Lacking,
    /// A value of a later publication is held.
    Later,
    /// The value is not wanted: no room, another value that is protected, a kind that is not known, or a holder's copy for which this
    /// node is not among the k nearest. It is not to be sent.
    Refused,
    /// Another value is held, and it is unknown which of them is the later.
    Unordered,
}

impl EntryState {
    /// All states, in the order of their numbers on the wire.
    pub const ALL: [EntryState; 5] = [Self::Held, Self::Lacking, Self::Later, Self::Refused, Self::Unordered];

    /// Its number on the wire.
    pub fn to_byte(self) -> u8 {
        self as u8
    }

    /// The state with this number. One that is not known reads as refused: nothing is sent for it.
    pub fn from_byte(byte: u8) -> Self {
        Self::ALL.get(usize::from(byte)).copied().unwrap_or(Self::Refused)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_entry() -> impl Strategy<Value = Entry> {
        let seconds = || proptest::option::of(0..ABSENT);
        (any::<[u8; 20]>(), any::<[u8; 8]>(), seconds(), seconds(), any::<u16>()).prop_map(
            |(place, digest, age, life, kind)| Entry {
                place: NodeId::from_bytes(place),
                digest: EntryDigest(digest),
                age,
                life,
                kind,
            },
        )
    }

    pub(crate) fn any_entries() -> impl Strategy<Value = Entries> {
        (any::<[u8; 8]>(), proptest::collection::vec(any_entry(), 1..=MAX_ENTRIES))
            .prop_map(|(nonce, entries)| Entries { nonce: Nonce(nonce), entries })
    }

    proptest! {
        #[test]
        fn entries_are_read_as_they_were_written(entries in any_entries()) {
            let packed = entries.pack();
            prop_assert_eq!(packed.len(), 8 + ENTRY_LEN * entries.entries.len());
            prop_assert_eq!(Entries::unpack(&packed), Some(entries));
        }

        #[test]
        fn any_bytes_are_entries_exactly_if_their_length_is_right(bytes in proptest::collection::vec(any::<u8>(), 0..1_400)) {
            let right = bytes.len() > 8 && (bytes.len() - 8).is_multiple_of(ENTRY_LEN) && bytes.len() <= 8 + MAX_ENTRIES * ENTRY_LEN;
            let read = Entries::unpack(&bytes);
            prop_assert_eq!(read.is_some(), right);
            prop_assert!(read.is_none_or(|entries| entries.pack() == bytes), "what is read is written as the same bytes");
        }
    }

    #[test]
    fn more_entries_than_are_read_and_none_are_not_read() {
        let entry = Entry { place: NodeId::ZERO, digest: EntryDigest([0; 8]), age: None, life: None, kind: 0 };
        for (count, read) in [(0, false), (1, true), (MAX_ENTRIES, true), (MAX_ENTRIES + 1, false)] {
            let packed = Entries { nonce: Nonce([7; 8]), entries: vec![entry; count] }.pack();
            assert_eq!(Entries::unpack(&packed).is_some(), read, "{count}");
        }
    }

    #[test]
    fn the_greatest_number_of_seconds_is_one_less_than_what_stands_for_none() {
        let entry = Entry {
            place: NodeId::ZERO,
            digest: EntryDigest([0; 8]),
            age: Some(u32::MAX),
            life: Some(u32::MAX),
            kind: 0,
        };
        let mut packed = Vec::new();
        pack(&[entry], &mut packed);
        let read = unpack(&packed).unwrap()[0];
        assert_eq!((read.age, read.life), (Some(u32::MAX - 1), Some(u32::MAX - 1)));
    }

    #[test]
    fn a_state_is_one_byte_and_an_unknown_one_is_a_refusal() {
        for byte in 0..=u8::MAX {
            let state = EntryState::from_byte(byte);
            assert_eq!(state.to_byte(), if byte < 5 { byte } else { 3 });
        }
    }
}
