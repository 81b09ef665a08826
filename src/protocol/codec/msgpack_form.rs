//! The form of MessagePack, checked without recursion and without allocation before a datagram is decoded:
//! `rmp-serde` ignores what follows a message, and takes text that is not UTF-8 for bytes.
//!
//! A datagram passes if it is one map and nothing after it, nested at most [`MAX_DEPTH`] levels, its keys strings, its strings
//! UTF-8 (docs/wire.md, 5.4).

use super::error::{DecodeError, MAX_DEPTH};

const ENDS_EARLY: DecodeError = DecodeError::Malformed("it ends too early");

/// An array or a map that has not ended yet.
#[derive(Clone, Copy)]
struct Open {
    /// Items still to come, as its header claims: two for each pair of a map.
    left: u64,
    is_map: bool,
}

/// The item that a marker announces.
enum Item {
    /// So many bytes that may be anything.
    Bytes(u64),
    /// So many bytes of UTF-8.
    Text(u64),
    /// So many items.
    Array(u64),
    /// So many pairs.
    Map(u64),
}

pub(super) fn check(datagram: &[u8]) -> Result<(), DecodeError> {
    let mut stack = [Open { left: 0, is_map: false }; MAX_DEPTH];
    let mut depth = 0;
    let mut rest = datagram;
    loop {
        let item = item(&mut rest)?;
        let is_key = stack[..depth].last_mut().is_some_and(|open| {
            let is_key = open.is_map && open.left.is_multiple_of(2);
            open.left -= 1;
            is_key
        });
        if is_key && !matches!(item, Item::Text(_)) {
            return Err(DecodeError::Malformed("a key that is no string"));
        }
        if depth == 0 && !matches!(item, Item::Map(_)) {
            return Err(DecodeError::Malformed("not a map"));
        }
        let opened = match item {
            Item::Bytes(len) => {
                take(&mut rest, len)?;
                None
            }
            Item::Text(len) => {
                let text = take(&mut rest, len)?;
                std::str::from_utf8(text).map_err(|_| DecodeError::Malformed("a string that is not UTF-8"))?;
                None
            }
            Item::Array(items) => Some(Open { left: items, is_map: false }),
            Item::Map(pairs) => Some(Open { left: 2 * pairs, is_map: true }),
        };
        if let Some(open) = opened {
            *stack.get_mut(depth).ok_or(DecodeError::TooDeep)? = open;
            depth += 1;
        }
        while depth > 0 && stack[depth - 1].left == 0 {
            depth -= 1;
        }
        if depth == 0 {
            return if rest.is_empty() { Ok(()) } else { Err(DecodeError::Malformed("something follows the map")) };
        }
    }
}

/// Takes a marker and its number.
fn item(rest: &mut &[u8]) -> Result<Item, DecodeError> {
    let marker = take(rest, 1)?[0];
    Ok(match marker {
        // Small integers, nil and booleans.
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Item::Bytes(0),
        0x80..=0x8f => Item::Map(u64::from(marker & 0x0f)),
        0x90..=0x9f => Item::Array(u64::from(marker & 0x0f)),
        0xa0..=0xbf => Item::Text(u64::from(marker & 0x1f)),
        0xc4..=0xc6 => Item::Bytes(length(rest, 1 << (marker - 0xc4))?),
        // Floats.
        0xca | 0xcb => Item::Bytes(4 << (marker - 0xca)),
        // Integers without and with a sign.
        0xcc..=0xcf => Item::Bytes(1 << (marker - 0xcc)),
        0xd0..=0xd3 => Item::Bytes(1 << (marker - 0xd0)),
        0xd9..=0xdb => Item::Text(length(rest, 1 << (marker - 0xd9))?),
        0xdc | 0xdd => Item::Array(length(rest, 2 << (marker - 0xdc))?),
        0xde | 0xdf => Item::Map(length(rest, 2 << (marker - 0xde))?),
        // Extensions, with a byte for their type.
        0xc7..=0xc9 => Item::Bytes(length(rest, 1 << (marker - 0xc7))? + 1),
        0xd4..=0xd8 => Item::Bytes((1 << (marker - 0xd4)) + 1),
        0xc1 => return Err(DecodeError::Malformed("a reserved marker")),
    })
}

/// Takes a length of `bytes` bytes, at most 4.
fn length(rest: &mut &[u8], bytes: u64) -> Result<u64, DecodeError> {
    Ok(take(rest, bytes)?.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)))
}

fn take<'a>(rest: &mut &'a [u8], len: u64) -> Result<&'a [u8], DecodeError> {
    let len = usize::try_from(len).map_err(|_| ENDS_EARLY)?;
    rest.split_off(..len).ok_or(ENDS_EARLY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_skipped() {
        for value in [
            "00",
            "7f",
            "e0",
            "ff",
            "c0",
            "c2",
            "c3",
            "cc01",
            "cd0001",
            "ce00000001",
            "cf0000000000000001",
            "d001",
            "d10001",
            "d200000001",
            "d30000000000000001",
            "ca00000000",
            "cb0000000000000000",
            "a0",
            "a161",
            "d90161",
            "da000161",
            "db0000000161",
            "c40100",
            "c5000100",
            "c60000000100",
            "c70005",
            "c7010500",
            "c800010500",
            "c9000000010500",
            "d40500",
            "d5050000",
            "d60500000000",
            "d7050000000000000000",
            "d80500000000000000000000000000000000",
            "90",
            "9100",
            "dc000100",
            "dd0000000100",
            "80",
            "81a16100",
            "de0001a16100",
            "df00000001a16100",
        ] {
            let map = hex::decode(format!("82a161{value}a16200")).unwrap();
            assert_eq!(check(&map), Ok(()), "{value}");
            for cut in 0..map.len() {
                assert!(check(&map[..cut]).is_err(), "{value} cut to {cut}");
            }
            assert!(check(&[&map[..], &[0]].concat()).is_err(), "{value} and something more");
        }
    }

    #[test]
    fn other_messagepack_is_refused() {
        for bad in [
            "90",
            "00",
            "a0",
            "c0",
            "8100c0",
            "81c0c0",
            "81c40161c0",
            "81a1ffc0",
            "81a161a1ff",
            "81a161c1",
            "81a161c9ffffffff00",
            "81c70005c0",
            "dfffffffff",
            "81a161ddffffffff",
            "81a161c6ffffffff",
            "81a161dbffffffff",
        ] {
            assert!(matches!(check(&hex::decode(bad).unwrap()), Err(DecodeError::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn eight_levels_pass_and_nine_do_not() {
        let nested = |levels: usize| [&b"\x81\xa1a"[..], &vec![0x91; levels - 1], &[0xc0]].concat();
        assert_eq!(check(&nested(MAX_DEPTH)), Ok(()));
        assert_eq!(check(&nested(MAX_DEPTH + 1)), Err(DecodeError::TooDeep));
    }
}
