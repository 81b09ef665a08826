//! Reads JSON of the common form, without escapes: what is beyond it, `serde_json` decides.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::dialect::Dialect;
use super::direct::{Cursor, Open, contacts};
use super::json_writer::BYTES_MARKER;
use super::lenient::{Leaf, Slot};
use crate::protocol::peer::Peer;
use crate::protocol::value::Value;

/// Digits of an integer that certainly has 64 bits.
const MAX_DIGITS: usize = 19;

/// A position in a text.
pub(super) struct JsonCursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> JsonCursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no space.
    fn next(&mut self) -> Option<u8> {
        loop {
            match self.byte()? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Takes `byte`, after spaces.
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then(|| self.at += 1)
    }

    /// Takes a string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let rest = &self.text.as_bytes()[self.at..];
        let len = plain_len(rest);
        let start = self.at;
        self.at += len + 1;
        (rest.get(len) == Some(&b'"')).then(|| &self.text[start..start + len])
    }

    /// Takes a word.
    fn word(&mut self, word: &str, leaf: Leaf<'a>) -> Option<Leaf<'a>> {
        self.text[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            leaf
        })
    }

    /// Takes an integer of 0 or more.
    fn integer(&mut self) -> Option<u64> {
        let digits = self.text.as_bytes()[self.at..].iter().take(MAX_DIGITS).take_while(|byte| byte.is_ascii_digit());
        let (mut len, mut number) = (0, 0);
        for digit in digits {
            number = number * 10 + u64::from(digit - b'0');
            len += 1;
        }
        let zeros = len > 1 && self.byte() == Some(b'0');
        self.at += len;
        let goes_on = matches!(self.byte(), Some(b'0'..=b'9' | b'.' | b'e' | b'E'));
        (len > 0 && !zeros && !goes_on).then_some(number)
    }
}

/// How many bytes of a string follow until its end, an escape or a control character.
fn plain_len(rest: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let mut len = 0;
    // Eight bytes at once: the highest bit of each that is below a space, a quote or a backslash. A borrow sets bits only above
    // the first of these, so that the lowest bit is certain.
    while let Some(chunk) = rest[len..].first_chunk::<8>() {
        let chunk = u64::from_le_bytes(*chunk);
        let is = |byte: u8| {
            let differs = chunk ^ (ONES * u64::from(byte));
            differs.wrapping_sub(ONES) & !differs
        };
        let ends = (chunk.wrapping_sub(ONES * 0x20) & !chunk | is(b'"') | is(b'\\')) & HIGH;
        if ends != 0 {
            return len + (ends.trailing_zeros() / 8) as usize;
        }
        len += 8;
    }
    let is_plain = |byte: &u8| !matches!(byte, 0..0x20 | b'"' | b'\\');
    len + rest[len..].iter().take_while(|byte| is_plain(byte)).count()
}

impl<'a> Cursor<'a> for JsonCursor<'a> {
    fn dictionary(&mut self) -> Option<Open<'a>> {
        self.take(b'{')?;
        Some(Open::new(0))
    }

    fn key(&mut self, open: &mut Open<'a>) -> Option<Option<&'a [u8]>> {
        match (self.next()?, open.last) {
            (b'}', _) => {
                self.at += 1;
                return Some(None);
            }
            (b',', Some(_)) => self.at += 1,
            (b'"', None) => {}
            _ => return None,
        }
        let key = self.string()?.as_bytes();
        self.take(b':')?;
        open.last = Some(key);
        Some(open.last)
    }

    fn leaf(&mut self) -> Option<Leaf<'a>> {
        match self.next()? {
            b'"' => self.string().map(Leaf::Text),
            b'0'..=b'9' => self.integer().map(Leaf::Int),
            b't' => self.word("true", Leaf::Bool(true)),
            b'f' => self.word("false", Leaf::Bool(false)),
            b'n' => self.word("null", Leaf::Null),
            _ => None,
        }
    }

    fn peers<D: Dialect>(&mut self) -> Option<Slot<Vec<Peer>>> {
        self.take(b'[')?;
        contacts::<D, _>(self, |cursor, before| match cursor.next()? {
            b']' => {
                cursor.at += 1;
                Some(false)
            }
            b',' if before > 0 => {
                cursor.at += 1;
                Some(true)
            }
            _ => (before == 0).then_some(true),
        })
    }

    fn value<D: Dialect>(&mut self) -> Option<Slot<Value>> {
        if self.next()? == b'"' {
            return Some(D::value(Leaf::Text(self.string()?)).into());
        }
        let mut open = self.dictionary()?;
        (self.key(&mut open)?? == BYTES_MARKER.as_bytes()).then_some(())?;
        self.next().filter(|byte| *byte == b'"')?;
        let bytes = STANDARD.decode(self.string()?).ok()?;
        self.key(&mut open)?.is_none().then_some(Slot::Good(Value::Bytes(bytes)))
    }

    fn is_at_end(&mut self) -> bool {
        self.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_plain_string_ends_where_the_first_byte_is_that_is_not_plain(
            bytes in prop::collection::vec(prop_oneof![4 => any::<u8>(), 1 => 0x1e_u8..=0x22, 1 => 0x5b_u8..=0x5d], 0..40),
        ) {
            let end = bytes.iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\')).unwrap_or(bytes.len());
            prop_assert_eq!(plain_len(&bytes), end);
        }
    }
}
