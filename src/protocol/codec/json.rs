//! The JSON wire: UTF-8, ids in hex, bytes as a dictionary of base64 (docs/wire.md, 5.2).
//!
//! We write it without spaces and without `\uXXXX`; legacy nodes read any JSON. Unknown fields are skipped by
//! `serde_json` without recursion, however deep they nest.

use std::marker::PhantomData;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serializer};
use serde_json::value::RawValue;

use super::dialect::{Dialect, ValueForm, digits};
use super::direct;
use super::error::DecodeError;
use super::json_cursor::JsonCursor;
use super::json_writer::{self, BYTES_MARKER};
use super::lenient::{Leaf, LeafForm, Lenient, Slot};
use super::outgoing::Outgoing;
use super::spelling::ip_text_len;
use super::wire::{self, Wire, message_of};
use crate::protocol::message::Message;
use crate::protocol::peer::Peer;
use crate::protocol::value::Value;

/// The JSON spelling of leaves.
pub(super) struct Json;

impl Dialect for Json {
    fn value(leaf: Leaf<'_>) -> Option<Value> {
        Self::text(leaf).map(Value::from)
    }

    fn read_value<'de, R: Deserializer<'de>>(reader: R) -> Result<Slot<Value>, R::Error> {
        // Raw first: a lone surrogate, which Python writes and serde_json does not read, is well-formed, and so is a number that
        // no float holds.
        let raw = <&RawValue>::deserialize(reader)?;
        let mut reader = serde_json::Deserializer::from_str(raw.get());
        Ok(Lenient(ValueForm::<Self>(PhantomData)).deserialize(&mut reader).unwrap_or(Slot::Bad))
    }

    fn value_in<'de, A: MapAccess<'de>>(mut dictionary: A) -> Result<Slot<Value>, A::Error> {
        let mut bytes = Slot::Absent;
        let mut alone = true;
        let is_marker = |leaf: Leaf<'_>| Some(Self::text(leaf)? == BYTES_MARKER);
        while let Some(name) = dictionary.next_key_seed(Lenient(LeafForm(is_marker)))? {
            if name == Slot::Good(true) {
                let found = dictionary.next_value_seed(Lenient(LeafForm(|leaf| {
                    Self::text(leaf).and_then(|text| STANDARD.decode(text).ok()).map(Value::Bytes)
                })))?;
                alone &= !bytes.fill(found);
            } else {
                dictionary.next_value::<IgnoredAny>()?;
                alone = false;
            }
        }
        Ok(bytes.good().filter(|_| alone).into())
    }

    fn binary(leaf: Leaf<'_>) -> Option<Vec<u8>> {
        Self::text(leaf).and_then(|text| STANDARD.decode(text).ok())
    }

    fn write_binary<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    fn write_value<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => {
                let mut dictionary = serializer.serialize_map(Some(1))?;
                dictionary.serialize_entry(BYTES_MARKER, &STANDARD.encode(bytes))?;
                dictionary.end()
            }
        }
    }

    fn peers_len(peers: &[Peer]) -> usize {
        const FRAME: &str = r#"{"node_id":"","ip":"","port":}"#;
        let entries: usize = peers
            .iter()
            .map(|peer| FRAME.len() + 40 + ip_text_len(peer.addr.ip()) + digits(peer.addr.port().into()))
            .sum();
        entries + peers.len().saturating_sub(1)
    }
}

pub(super) fn encode(message: &Message, peers: &[Peer], memory: Vec<u8>) -> Vec<u8> {
    json_writer::write(&Outgoing::<Json>::new(message, peers).fields, memory)
}

pub(super) fn decode(datagram: &[u8]) -> Result<Message, DecodeError> {
    // Checked first, since serde_json does not check the strings that it skips.
    let text = std::str::from_utf8(datagram).map_err(|_| DecodeError::Malformed("not UTF-8"))?;
    match direct::read::<Json, _>(JsonCursor::new(text)) {
        Some(wire) => message_of(Slot::Good(wire)),
        None => decode_any(text),
    }
}

/// Decodes JSON of any form.
pub(super) fn decode_any(text: &str) -> Result<Message, DecodeError> {
    let found = read(text).or_else(|error| read(&with_finite_numbers(text).ok_or(error)?));
    message_of(found.map_err(|_| DecodeError::Malformed("not JSON"))?)
}

fn read(text: &str) -> Result<Slot<Wire>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = wire::read::<Json, _>(&mut deserializer)?;
    deserializer.end().map(|()| found)
}

/// Replaces each number that no float holds, and Python's `NaN` and `Infinity`, by a fraction: none of them is a number of this
/// wire, and each may be part of a value that a node sets. `None` if there are none.
fn with_finite_numbers(text: &str) -> Option<String> {
    let is_infinite = |token: &str| {
        let number = || serde_json::from_str::<IgnoredAny>(token).is_ok();
        matches!(token, "NaN" | "Infinity" | "-Infinity")
            || token.parse::<f64>().is_ok_and(f64::is_infinite) && number()
    };
    let (mut finite, mut rest, mut changed) = (String::new(), text, false);
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' => string_len(rest),
            '-' | '0'..='9' | 'A'..='Z' | 'a'..='z' => {
                let in_token = |next: char| next.is_ascii_alphanumeric() || matches!(next, '+' | '-' | '.');
                rest.find(|next| !in_token(next)).unwrap_or(rest.len())
            }
            other => other.len_utf8(),
        };
        let (token, behind) = rest.split_at(len);
        let infinite = is_infinite(token);
        finite.push_str(if infinite { "0.5" } else { token });
        changed |= infinite;
        rest = behind;
    }
    changed.then_some(finite)
}

/// The length in bytes of the string with which `text` begins, its quotes included.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// A `find_value_res` as a legacy node writes it, without its value: with the longest IPv4 address and port.
const LEGACY_FRAME: &str = concat!(
    r#"{"type": "find_value_res", "sender": {"node_id": "0000000000000000000000000000000000000000", "#,
    r#""ip": "255.255.255.255", "port": 65535}, "id": "0000000000000000", "value": }"#
);

/// The same as we write it, with every optional field at its longest.
const OWN_FRAME: &str = concat!(
    r#"{"type":"find_value_res","id":"0000000000000000","sender":{"node_id":"0000000000000000000000000000000000000000","#,
    r#""ip":"255.255.255.255","port":65535},"value":,"ttl":4294967295,"age":4294967295,"v":4294967295,"token":"0000000000000000"}"#
);

pub(super) fn answer_len(value: &Value) -> usize {
    // Python's encoder escapes a superset of what ours does, and its escapes are never shorter.
    LEGACY_FRAME.len().max(OWN_FRAME.len()) + legacy_value_len(value)
}

/// The length in bytes of `value` as Python's `json.dumps` writes it.
fn legacy_value_len(value: &Value) -> usize {
    const BYTES_FRAME: &str = r#"{"__bytes_b64__": ""}"#;
    match value {
        Value::Text(text) => 2 + text.chars().map(escaped_len).sum::<usize>(),
        Value::Bytes(bytes) => BYTES_FRAME.len() + bytes.len().div_ceil(3) * 4,
    }
}

fn escaped_len(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        ' '..='~' => 1,
        // One \uXXXX for each UTF-16 unit.
        other => 6 * other.len_utf16(),
    }
}
