//! The form of bencode, checked without recursion and without allocation before a datagram is decoded: `serde_bencode` recurses as
//! deep as its input nests, and accepts much that no encoder writes.
//!
//! A datagram passes if it is one dictionary and nothing after it, nested at most [`MAX_DEPTH`] levels; lengths and integers are
//! canonical (no leading zeros, no `-0`, integers of 64 bits); keys are UTF-8 and strictly ascending by their bytes,
//! hence never twice. Every datagram of Python's encoder passes.

use super::error::{DecodeError, MAX_DEPTH};

/// The longest 64-bit integer, with its sign, and so the most digits that are read.
const MAX_DIGITS: usize = 20;

/// A list or a dictionary that has not ended yet.
#[derive(Clone, Copy)]
enum Open<'a> {
    List,
    Dictionary {
        /// The latest key.
        last: Option<&'a [u8]>,
        /// Whether that key lacks its value.
        wants_value: bool,
    },
}

pub(super) fn check(datagram: &[u8]) -> Result<(), DecodeError> {
    if datagram.first() != Some(&b'd') {
        return Err(DecodeError::Malformed("not a dictionary"));
    }
    let mut stack = [Open::List; MAX_DEPTH];
    let mut depth = 0;
    let mut at = 0;
    loop {
        let first = *datagram.get(at).ok_or(DecodeError::Malformed("it ends too early"))?;
        let top = stack[..depth].last_mut();
        match (first, top) {
            (b'e', None | Some(Open::Dictionary { wants_value: true, .. })) => {
                return Err(DecodeError::Malformed("a key without a value"));
            }
            (b'e', Some(_)) => {
                depth -= 1;
                at += 1;
            }
            (b'0'..=b'9', Some(Open::Dictionary { last, wants_value: wants_value @ false })) => {
                let (key, end) = string(datagram, at)?;
                if last.is_some_and(|last| last == key) {
                    return Err(DecodeError::Duplicate);
                }
                if last.is_some_and(|last| last > key) || std::str::from_utf8(key).is_err() {
                    return Err(DecodeError::Malformed("keys out of order or not UTF-8"));
                }
                (*last, *wants_value) = (Some(key), true);
                at = end;
                continue;
            }
            (_, Some(Open::Dictionary { wants_value: false, .. })) => {
                return Err(DecodeError::Malformed("a key that is no string"));
            }
            (b'0'..=b'9', _) => at = string(datagram, at)?.1,
            (b'i', _) => at = integer_end(datagram, at)?,
            (b'd' | b'l', _) => {
                *stack.get_mut(depth).ok_or(DecodeError::TooDeep)? =
                    if first == b'd' { Open::Dictionary { last: None, wants_value: false } } else { Open::List };
                depth += 1;
                at += 1;
                continue;
            }
            _ => return Err(DecodeError::Malformed("not bencode")),
        }
        // A value has ended here.
        match stack[..depth].last_mut() {
            Some(Open::Dictionary { wants_value, .. }) => *wants_value = false,
            Some(Open::List) => {}
            None if at == datagram.len() => return Ok(()),
            None => return Err(DecodeError::Malformed("something follows the dictionary")),
        }
    }
}

/// The digits from `at` up to `end`, which must follow within [`MAX_DIGITS`], and the position after it.
fn digits(datagram: &[u8], at: usize, end: u8) -> Result<(&str, usize), DecodeError> {
    let rest = &datagram[at..];
    let len = rest.iter().take(MAX_DIGITS + 1).position(|byte| *byte == end);
    let text = len.and_then(|len| std::str::from_utf8(&rest[..len]).ok());
    let text = text.ok_or(DecodeError::Malformed("a number without an end"))?;
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let canonical = unsigned.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !unsigned.is_empty() && !unsigned.starts_with('0'));
    if canonical { Ok((text, at + text.len() + 1)) } else { Err(DecodeError::Malformed("a number out of form")) }
}

/// The string whose length begins at `at`, and the position after it.
fn string(datagram: &[u8], at: usize) -> Result<(&[u8], usize), DecodeError> {
    let (len, start) = digits(datagram, at, b':')?;
    let end = len.parse::<usize>().ok().and_then(|len| start.checked_add(len));
    let content = end.and_then(|end| Some((datagram.get(start..end)?, end)));
    content.ok_or(DecodeError::Malformed("a string longer than the datagram"))
}

/// The position after the integer whose `i` is at `at`.
fn integer_end(datagram: &[u8], at: usize) -> Result<usize, DecodeError> {
    let (text, end) = digits(datagram, at + 1, b'e')?;
    match text.parse::<i64>() {
        Ok(_) => Ok(end),
        Err(_) => Err(DecodeError::Malformed("an integer of more than 64 bits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_bencode_passes() {
        for good in ["de", "d1:ai0ee", "d1:ai-1e1:bi9223372036854775807ee", "d0:0:1:alee", "d1:aldelei1e0:ee"] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
    }

    #[test]
    fn other_bencode_is_refused() {
        for bad in [
            "d",
            "e",
            "le",
            "i1e",
            "0:",
            "dee",
            "de0:",
            "d1:ae",
            "d1:a",
            "di1ei1ee",
            "dle0:e",
            "d1:bi1e1:ai1ee",
            "d01:ai1ee",
            "d1:ai01ee",
            "d1:ai-0ee",
            "d1:ai+1ee",
            "d1:ai1.5ee",
            "d1:aiee",
            "d1:ai-ee",
            "d1:ai--1ee",
            "d1:ai 1ee",
            "d1:ai9223372036854775808ee",
            "d1:ai-9223372036854775809ee",
            "d1:ai1",
            "d1:a-1:e",
            "d1:a99999999999999999999:e",
            "d1:a18446744073709551615:e",
            "d1:a4:abc",
            "d1:ax",
            "d1:aN",
            "d-1:ai1ee",
        ] {
            assert!(matches!(check(bad.as_bytes()), Err(DecodeError::Malformed(_))), "{bad}");
        }
        assert_eq!(check(b"d1:ai1e1:ai1ee"), Err(DecodeError::Duplicate));
        assert!(matches!(check(b"d1:\xffi1ee"), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn eight_levels_pass_and_nine_do_not() {
        let nested = |levels: usize| format!("d1:a{}{}e", "l".repeat(levels - 1), "e".repeat(levels - 1));
        assert_eq!(check(nested(MAX_DEPTH).as_bytes()), Ok(()));
        assert_eq!(check(nested(MAX_DEPTH + 1).as_bytes()), Err(DecodeError::TooDeep));
    }
}
