//! Bencode for the raw client: the least that can be, and strict in reading, so that what our node writes is seen to be
//! canonical. Made for these tests alone: it trusts its input's depth.

use std::collections::BTreeMap;

use crate::raw::Raw;

/// What stands before a byte-string value (docs/wire.md, 5.3).
const BYTES: &[u8] = b"\0bytes\0";

pub(crate) fn write(raw: &Raw) -> Vec<u8> {
    match raw {
        Raw::Int(number) => format!("i{number}e").into_bytes(),
        Raw::Truth(truth) => write(&Raw::Int((*truth).into())),
        Raw::Text(text) => string(text.as_bytes()),
        Raw::Bytes(bytes) => string(&[BYTES, bytes].concat()),
        Raw::List(items) => [b"l".to_vec(), items.iter().flat_map(write).collect(), b"e".to_vec()].concat(),
        Raw::Dict(fields) => {
            // Strings compare as their bytes do.
            let pairs = fields.iter().flat_map(|(name, field)| [string(name.as_bytes()), write(field)]);
            [b"d".to_vec(), pairs.flatten().collect(), b"e".to_vec()].concat()
        }
    }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [bytes.len().to_string().as_bytes(), b":", bytes].concat()
}

/// Reads exactly one value.
pub(crate) fn read(datagram: &[u8]) -> Result<Raw, String> {
    let mut reader = Reader { rest: datagram };
    let value = reader.value()?;
    if reader.rest.is_empty() { Ok(value) } else { Err(format!("{} bytes after the end", reader.rest.len())) }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Raw, String> {
        match self.rest.first() {
            Some(b'i') => {
                self.rest = &self.rest[1..];
                Ok(Raw::Int(self.number(b'e')?))
            }
            Some(b'l') => {
                self.rest = &self.rest[1..];
                let mut items = Vec::new();
                while !self.ends() {
                    items.push(self.value()?);
                }
                Ok(Raw::List(items))
            }
            Some(b'd') => {
                self.rest = &self.rest[1..];
                let mut fields = BTreeMap::new();
                while !self.ends() {
                    let name = String::from_utf8(self.string()?.to_vec()).map_err(|_| "a name is not UTF-8")?;
                    if fields.last_key_value().is_some_and(|(last, _)| *last >= name) {
                        return Err(format!("{name} stands after a name that is not less"));
                    }
                    fields.insert(name, self.value()?);
                }
                Ok(Raw::Dict(fields))
            }
            Some(b'0'..=b'9') => {
                let string = self.string()?;
                if let Some(bytes) = string.strip_prefix(BYTES) {
                    return Ok(Raw::Bytes(bytes.to_vec()));
                }
                let text = String::from_utf8(string.to_vec()).map_err(|_| "neither UTF-8 nor marked as bytes")?;
                Ok(Raw::Text(text))
            }
            Some(other) => Err(format!("no value begins with byte {other}")),
            None => Err("it ends too early".to_owned()),
        }
    }

    /// Whether an `e` stands here; passes it.
    fn ends(&mut self) -> bool {
        let rest = self.rest.strip_prefix(b"e");
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn number(&mut self, end: u8) -> Result<i64, String> {
        let at = self.rest.iter().position(|&byte| byte == end).ok_or("a number without an end")?;
        let text = String::from_utf8_lossy(&self.rest[..at]);
        self.rest = &self.rest[at + 1..];
        let number: i64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
        if number.to_string() == text { Ok(number) } else { Err(format!("{text} is not how {number} is written")) }
    }

    fn string(&mut self) -> Result<&'a [u8], String> {
        let len = usize::try_from(self.number(b':')?).map_err(|_| "a length below zero")?;
        let (string, rest) = self.rest.split_at_checked(len).ok_or("a string longer than the datagram")?;
        self.rest = rest;
        Ok(string)
    }
}

#[test]
fn what_is_not_canonical_is_not_read() {
    assert_eq!(
        read(b"d1:ai-1e1:bl1:x8:\0bytes\0yee").map(|read| write(&read)),
        Ok(b"d1:ai-1e1:bl1:x8:\0bytes\0yee".to_vec())
    );
    for wrong in [
        "",
        "i1",
        "i01e",
        "i-0e",
        "i+1e",
        "i1ei2e",
        "2:x",
        "02:xy",
        "-1:",
        "d1:bi1e1:ai2ee",
        "d1:ai1e1:ai2ee",
        "di1ei2ee",
        "l",
    ] {
        assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
    }
    assert!(read(b"1:\xff").is_err());
}
