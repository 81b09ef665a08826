//! Node ids and the distance between them: the metric space of nodes and keys.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha1::{Digest, Sha1};

/// Length of a node id in bytes.
pub const NODE_ID_BYTES: usize = 20;
/// Length of a node id in bits.
pub const NODE_ID_BITS: u32 = 160;

/// What each byte is as a hex digit of either case; 255 where it is none. Each request holds two ids or three.
const HEX_DIGIT: [u8; 256] = {
    let mut digits = [u8::MAX; 256];
    let mut digit = 0;
    while digit < 16 {
        let lower = b"0123456789abcdef"[digit];
        digits[lower as usize] = digit as u8;
        digits[lower.to_ascii_uppercase() as usize] = digit as u8;
        digit += 1;
    }
    digits
};

/// The position of a node or of a key in the network: 160 bits, compared as one unsigned big-endian integer.
///
/// It prints as 40 lower-case hex digits; [`NodeId::short`] prints the first 8 for log lines. Text is read in either
/// case, so two spellings of one id cannot exist beside each other (docs/wire.md, 2.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId([u8; NODE_ID_BYTES]);

impl NodeId {
    /// The id whose 160 bits are all zero.
    pub const ZERO: NodeId = NodeId([0; NODE_ID_BYTES]);

    /// An id from its 20 bytes, the most significant first.
    pub const fn from_bytes(bytes: [u8; NODE_ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// The 20 bytes, the most significant first.
    pub const fn as_bytes(&self) -> &[u8; NODE_ID_BYTES] {
        &self.0
    }

    /// The id of `key`: SHA-1 of its UTF-8 (docs/wire.md, 2.2).
    pub fn of_key(key: &str) -> Self {
        Self(Sha1::digest(key.as_bytes()).into())
    }

    /// Reads exactly 40 hex digits of either case: no prefix, no sign, no spaces.
    pub fn from_hex(text: &str) -> Result<Self, ParseNodeIdError> {
        let (pairs, rest) = text.as_bytes().as_chunks();
        let (mut bytes, mut all) = ([0; NODE_ID_BYTES], 0);
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let (high, low) = (HEX_DIGIT[usize::from(*high)], HEX_DIGIT[usize::from(*low)]);
            *byte = high << 4 | low;
            all |= high | low;
        }
        let read = pairs.len() == NODE_ID_BYTES && rest.is_empty() && all < 16;
        if read { Ok(Self(bytes)) } else { Err(ParseNodeIdError { found: text.chars().take(64).collect() }) }
    }

    /// The XOR distance to `other`.
    #[inline]
    pub fn distance(&self, other: &NodeId) -> Distance {
        Distance(self.xor(other).0)
    }

    /// Bit `index` counted from the most significant one (0..=159).
    ///
    /// # Panics
    /// If `index` is above 159.
    pub fn bit(&self, index: u32) -> bool {
        self.0[(index / 8) as usize] & (0x80 >> (index % 8)) != 0
    }

    /// A copy with bit `index` (0..=159, the most significant first) set to `on`.
    ///
    /// # Panics
    /// If `index` is above 159.
    #[must_use]
    pub fn with_bit(mut self, index: u32, on: bool) -> Self {
        let mask = 0x80 >> (index % 8);
        let byte = &mut self.0[(index / 8) as usize];
        if on {
            *byte |= mask
        } else {
            *byte &= !mask
        }
        self
    }

    /// The number of leading bits that `other` shares with this id (160 if they are equal).
    #[inline]
    pub fn common_prefix(&self, other: &NodeId) -> u32 {
        NODE_ID_BITS - self.distance(other).bits()
    }

    /// The bitwise XOR of two ids.
    #[must_use]
    #[inline]
    pub(crate) fn xor(&self, other: &NodeId) -> NodeId {
        NodeId(std::array::from_fn(|i| self.0[i] ^ other.0[i]))
    }

    /// The first 8 hex digits, for log lines.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({})", hex::encode(self.0))
    }
}

impl From<[u8; NODE_ID_BYTES]> for NodeId {
    fn from(bytes: [u8; NODE_ID_BYTES]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for NodeId {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for NodeId {
    type Err = ParseNodeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_hex(text)
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_hex(&text).map_err(de::Error::custom)
    }
}

/// The text is not a node id. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a node id is exactly 40 hex digits, not {found:?}")]
pub struct ParseNodeIdError {
    /// The text, at most its first 64 characters.
    pub found: String,
}

/// XOR distance between two ids, ordered as an unsigned integer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Distance([u8; NODE_ID_BYTES]);

impl Distance {
    /// The largest distance.
    pub const MAX: Distance = Distance([0xff; NODE_ID_BYTES]);

    /// The 20 bytes, the most significant first.
    pub const fn as_bytes(&self) -> &[u8; NODE_ID_BYTES] {
        &self.0
    }

    /// Bit length of the distance as an integer: 0 for a node to itself, at most 160.
    pub fn bits(&self) -> u32 {
        match self.0.iter().position(|byte| *byte != 0) {
            Some(at) => NODE_ID_BITS - 8 * at as u32 - self.0[at].leading_zeros(),
            None => 0,
        }
    }

    /// The integer, in two parts: compared more quickly than bytes, of which an order of many copies compares many.
    #[inline]
    fn parts(&self) -> (u128, u32) {
        let high = self.0.first_chunk().expect("20 bytes are no less than 16");
        let low = self.0.last_chunk().expect("20 bytes are no less than 4");
        (u128::from_be_bytes(*high), u32::from_be_bytes(*low))
    }
}

impl Ord for Distance {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl PartialOrd for Distance {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Distance({} bits)", self.bits())
    }
}

/// The id of `key`, SHA-1 of its UTF-8: [`NodeId::of_key`] under the name that the Python package uses.
pub fn hash_key_to_node_id(key: &str) -> NodeId {
    NodeId::of_key(key)
}

/// The XOR distance between two ids: [`NodeId::distance`] under the name that the Python package uses.
pub fn xor_distance(a: &NodeId, b: &NodeId) -> Distance {
    a.distance(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_id() -> impl Strategy<Value = NodeId> {
        any::<[u8; 20]>().prop_map(NodeId::from_bytes)
    }

    proptest! {
        #[test]
        fn distance_is_a_metric(a in any_id(), b in any_id(), c in any_id()) {
            prop_assert_eq!(a.distance(&a).bits(), 0);
            prop_assert_eq!(a.distance(&b), b.distance(&a));
            prop_assert_eq!(a.distance(&b) == Distance::default(), a == b);
            // d(a,c) = d(a,b) XOR d(b,c), and x ^ y <= x + y: the triangle inequality in XOR's form.
            let via: [u8; 20] = std::array::from_fn(|i| a.distance(&b).0[i] ^ b.distance(&c).0[i]);
            prop_assert_eq!(*a.distance(&c).as_bytes(), via);
        }

        #[test]
        fn for_each_distance_there_is_exactly_one_id(a in any_id(), d in any::<[u8; 20]>()) {
            let b = NodeId::from_bytes(d).xor(&a);
            prop_assert_eq!(*a.distance(&b).as_bytes(), d);
        }

        #[test]
        fn the_bytes_of_an_id_make_it_again(bytes: [u8; 20]) {
            let id = NodeId::from(bytes);
            prop_assert_eq!(id, NodeId::from_bytes(bytes));
            prop_assert_eq!(id.as_ref() as &[u8], &bytes);
        }

        #[test]
        fn hex_round_trips_in_either_case(a in any_id()) {
            let text = a.to_string();
            prop_assert_eq!(NodeId::from_hex(&text).unwrap(), a);
            prop_assert_eq!(NodeId::from_hex(&text.to_uppercase()).unwrap(), a);
            prop_assert_eq!(text.to_lowercase(), text);
        }

        #[test]
        fn the_common_prefix_ends_at_the_first_differing_bit(a in any_id(), b in any_id()) {
            let shared = a.common_prefix(&b);
            for index in 0..shared { prop_assert_eq!(a.bit(index), b.bit(index)); }
            if shared < NODE_ID_BITS { prop_assert_ne!(a.bit(shared), b.bit(shared)); }
        }

        #[test]
        fn setting_a_bit_changes_that_bit_alone(a in any_id(), index in 0u32..160, on: bool) {
            let b = a.with_bit(index, on);
            prop_assert_eq!(b.bit(index), on);
            for other in (0..160).filter(|other| *other != index) { prop_assert_eq!(a.bit(other), b.bit(other)); }
        }
    }

    #[test]
    fn each_of_the_forty_must_be_a_hex_digit() {
        for (byte, at) in (0..=127u8).flat_map(|byte| [0, 17, 39].map(|at| (byte, at))) {
            let mut text = [b'a'; 40];
            text[at] = byte;
            let text = std::str::from_utf8(&text).unwrap();
            assert_eq!(NodeId::from_hex(text).is_ok(), byte.is_ascii_hexdigit(), "{text:?}");
        }
    }

    #[test]
    fn anything_but_forty_hex_digits_is_refused() {
        let forty = "0f7da3f82f86e5ea63d3ac270f091af4bcfa819a";
        for bad in [
            "",
            "-1",
            "0x0",
            " ",
            &forty[1..],
            &format!("{forty}0"),
            &format!(" {}", &forty[1..]),
            &forty.replace('f', "g"),
        ] {
            assert!(NodeId::from_hex(bad).is_err(), "{bad:?} was read as an id");
        }
        assert_eq!(NodeId::from_hex(forty).unwrap().short(), "0f7da3f8");
    }
}
