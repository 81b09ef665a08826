//! The bencode wire: sorted keys, ids in hex, bytes behind a prefix (docs/wire.md, 5.3).
//!
//! Python's encoder does not distinguish all values, so neither does this one: a *text* value that begins with the prefix is read
//! as bytes, and a byte string is text exactly if it is UTF-8. Such a text is written unchanged.

use serde::Serializer;

use super::bencode_cursor::BencodeCursor;
use super::bencode_form;
use super::bencode_writer::{self, BYTES_PREFIX};
use super::dialect::{Dialect, digits, number};
use super::direct;
use super::error::DecodeError;
use super::lenient::{Leaf, Slot};
use super::outgoing::Outgoing;
use super::spelling::ip_text_len;
use super::wire::{message_of, read};
use crate::protocol::message::Message;
use crate::protocol::peer::Peer;
use crate::protocol::value::Value;

/// The bencode spelling of leaves.
pub(super) struct Bencode;

impl Dialect for Bencode {
    fn text<'a>(leaf: Leaf<'a>) -> Option<&'a str> {
        if let Leaf::Bytes(bytes) = leaf { std::str::from_utf8(bytes).ok() } else { None }
    }

    fn flag(leaf: Leaf<'_>) -> Option<bool> {
        number(leaf).filter(|number| *number <= 1).map(|number| number == 1)
    }

    fn value(leaf: Leaf<'_>) -> Option<Value> {
        let Leaf::Bytes(bytes) = leaf else { return None };
        if let Some(bytes) = bytes.strip_prefix(BYTES_PREFIX) {
            return Some(bytes.into());
        }
        Some(std::str::from_utf8(bytes).map_or_else(|_| bytes.into(), Value::from))
    }

    fn write_value<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => serializer.serialize_bytes(&[BYTES_PREFIX, bytes].concat()),
        }
    }

    fn peers_len(peers: &[Peer]) -> usize {
        const FRAME: &str = "d2:ip7:node_id40:4:portiee";
        peers
            .iter()
            .map(|peer| FRAME.len() + 40 + string_len(ip_text_len(peer.addr.ip())) + digits(peer.addr.port().into()))
            .sum()
    }
}

pub(super) fn encode(message: &Message, peers: &[Peer], memory: Vec<u8>) -> Vec<u8> {
    bencode_writer::write(&mut Outgoing::<Bencode>::new(message, peers).fields, memory)
}

pub(super) fn decode(datagram: &[u8]) -> Result<Message, DecodeError> {
    match direct::read::<Bencode, _>(BencodeCursor::new(datagram)) {
        Some(wire) => message_of(Slot::Good(wire)),
        None => decode_any(datagram),
    }
}

/// Decodes bencode of any form that is canonical.
pub(super) fn decode_any(datagram: &[u8]) -> Result<Message, DecodeError> {
    bencode_form::check(datagram)?;
    let mut deserializer = serde_bencode::Deserializer::new(datagram);
    message_of(read::<Bencode, _>(&mut deserializer).map_err(|_| DecodeError::Malformed("not bencode"))?)
}

/// A `find_value_res` as we write it, without its value: with the longest IPv4 address and port and every optional field at
/// its longest. A legacy node's is the same without those fields.
const FRAME: &str = concat!(
    "d3:agei4294967295e2:id16:00000000000000006:senderd2:ip15:255.255.255.2557:node_id40:0000000000000000000000000000000000000000",
    "4:porti65535ee5:token16:00000000000000003:ttli4294967295e4:type14:find_value_res1:vi4294967295e5:valuee"
);

pub(super) fn answer_len(value: &Value) -> usize {
    FRAME.len()
        + match value {
            Value::Text(text) => string_len(text.len()),
            Value::Bytes(bytes) => string_len(BYTES_PREFIX.len() + bytes.len()),
        }
}

/// The length of a string of `len` bytes with its prefix.
fn string_len(len: usize) -> usize {
    digits(len) + 1 + len
}
