//! Writes a message of the bencode wire in one pass: what `serde_bencode` would write of the same fields, byte for byte.

use super::dialect::Field;
use super::spelling::{push_id, push_number, push_sized_ip};
use crate::protocol::message::Sender;
use crate::protocol::value::Value;

/// The prefix of a value that is bytes.
pub(super) const BYTES_PREFIX: &[u8] = b"\0bytes\0";
/// Bytes of a message beside its peers and its value, about: what is reserved at once.
const FRAME: usize = 256;
/// Bytes of a peer at most, where its address is one of IPv4.
const PEER: usize = 100;

/// The datagram of these fields, which are put into the order of their names.
pub(super) fn write(fields: &mut [(&'static str, Field<'_>)], mut out: Vec<u8>) -> Vec<u8> {
    fields.sort_unstable_by_key(|(name, _)| *name);
    let len = fields.iter().map(|(_, field)| match field {
        Field::Peers(peers) => peers.len() * PEER,
        Field::Value(value) => value.len() + BYTES_PREFIX.len(),
        Field::Text(text) => text.len(),
        Field::Binary(bytes) => bytes.len(),
        _ => 0,
    });
    out.clear();
    out.reserve_exact(FRAME + len.sum::<usize>());
    out.push(b'd');
    for (name, field) in fields {
        push_string(&mut out, name.as_bytes());
        push(&mut out, field);
    }
    out.push(b'e');
    out
}

fn push(out: &mut Vec<u8>, field: &Field<'_>) {
    match field {
        Field::Text(text) => push_string(out, text.as_bytes()),
        Field::NodeId(id) => {
            out.extend_from_slice(b"40:");
            push_id(out, id);
        }
        Field::QueryId(id) => push_string(out, id.as_str().as_bytes()),
        Field::Contact(sender) => push_contact(out, sender),
        Field::Peers(peers) => {
            out.push(b'l');
            for peer in *peers {
                push_contact(out, &Sender::new(Some(peer.id), peer.addr));
            }
            out.push(b'e');
        }
        Field::Records(bytes) | Field::Binary(bytes) => push_string(out, bytes),
        Field::Value(Value::Text(text)) => push_string(out, text.as_bytes()),
        Field::Value(Value::Bytes(bytes)) => {
            push_len(out, BYTES_PREFIX.len() + bytes.len());
            out.extend_from_slice(BYTES_PREFIX);
            out.extend_from_slice(bytes);
        }
        Field::Number(number) => push_integer(out, *number),
        Field::Flag(flag) => push_integer(out, u64::from(*flag)),
    }
}

fn push_contact(out: &mut Vec<u8>, contact: &Sender) {
    out.extend_from_slice(b"d2:ip");
    match contact.ip {
        Some(ip) => push_sized_ip(out, ip),
        None => out.extend_from_slice(b"0:"),
    }
    out.extend_from_slice(b"7:node_id");
    match &contact.id {
        Some(id) => {
            out.extend_from_slice(b"40:");
            push_id(out, id);
        }
        None => out.extend_from_slice(b"0:"),
    }
    out.extend_from_slice(b"4:port");
    push_integer(out, contact.port.into());
    out.push(b'e');
}

fn push_integer(out: &mut Vec<u8>, number: u64) {
    out.push(b'i');
    push_number(out, number);
    out.push(b'e');
}

fn push_len(out: &mut Vec<u8>, len: usize) {
    push_number(out, len as u64);
    out.push(b':');
}

fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    push_len(out, text.len());
    out.extend_from_slice(text);
}
