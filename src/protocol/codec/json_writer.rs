//! Writes a message of the JSON wire in one pass: what `serde_json` would write of the same fields, byte for byte.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::dialect::Field;
use super::spelling::{push_id, push_ip, push_number};
use crate::protocol::message::Sender;
use crate::protocol::value::Value;

/// The one name in the dictionary that spells bytes.
pub(super) const BYTES_MARKER: &str = "__bytes_b64__";
/// Bytes of a message beside its peers and its value, about: what is reserved at once.
const FRAME: usize = 256;
/// Bytes of a peer at most, where its address is one of IPv4.
const PEER: usize = 100;

/// The datagram of these fields.
pub(super) fn write(fields: &[(&'static str, Field<'_>)], mut out: Vec<u8>) -> Vec<u8> {
    let len = fields.iter().map(|(_, field)| match field {
        Field::Peers(peers) => peers.len() * PEER,
        Field::Value(value) => value.len() * 4 / 3 + BYTES_MARKER.len(),
        Field::Text(text) => text.len(),
        Field::Binary(bytes) => bytes.len() * 4 / 3,
        _ => 0,
    });
    out.clear();
    out.reserve_exact(FRAME + len.sum::<usize>());
    let mut separator = b"{\"".as_slice();
    for (name, field) in fields {
        out.extend_from_slice(separator);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        push(&mut out, field);
        separator = b",\"";
    }
    out.push(b'}');
    out
}

fn push(out: &mut Vec<u8>, field: &Field<'_>) {
    match field {
        Field::Text(text) => push_text(out, text),
        Field::NodeId(id) => quoted(out, |out| push_id(out, id)),
        Field::QueryId(id) => push_text(out, id.as_str()),
        Field::Contact(sender) => push_contact(out, sender),
        Field::Peers(peers) => {
            out.push(b'[');
            for (number, peer) in peers.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                push_contact(out, &Sender::new(Some(peer.id), peer.addr));
            }
            out.push(b']');
        }
        Field::Records(records) => push_text(out, &hex::encode(records)),
        Field::Binary(bytes) => quoted(out, |out| out.extend_from_slice(STANDARD.encode(bytes).as_bytes())),
        Field::Value(Value::Text(text)) => push_text(out, text),
        Field::Value(Value::Bytes(bytes)) => {
            out.extend_from_slice(b"{\"");
            out.extend_from_slice(BYTES_MARKER.as_bytes());
            out.extend_from_slice(b"\":\"");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"}");
        }
        Field::Number(number) => push_number(out, *number),
        Field::Flag(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
    }
}

fn push_contact(out: &mut Vec<u8>, contact: &Sender) {
    out.extend_from_slice(b"{\"node_id\":\"");
    if let Some(id) = &contact.id {
        push_id(out, id);
    }
    out.extend_from_slice(b"\",\"ip\":\"");
    if let Some(ip) = contact.ip {
        push_ip(out, ip);
    }
    out.extend_from_slice(b"\",\"port\":");
    push_number(out, contact.port.into());
    out.push(b'}');
}

/// Appends what `write` appends, in quotes.
fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    // No early exit, so that several bytes are looked at at once.
    let escapes = text.bytes().fold(false, |escapes, byte| escapes | (byte < b' ' || byte == b'"' || byte == b'\\'));
    if escapes {
        serde_json::to_writer(out, text).expect("writing to a vector cannot fail");
    } else {
        quoted(out, |out| out.extend_from_slice(text.as_bytes()));
    }
}
