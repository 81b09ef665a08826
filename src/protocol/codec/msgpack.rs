//! The MessagePack wire: the same names, but ids, query ids and peers as raw bytes (docs/wire.md, 5.4). For networks
//! of ours alone: no legacy node speaks it.

use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::dialect::{self, Dialect};
use super::direct;
use super::error::{DecodeError, MAX_DEPTH};
use super::lenient::{Leaf, Slot};
use super::msgpack_cursor::MsgpackCursor;
use super::msgpack_form;
use super::outgoing::Outgoing;
use super::wire::{IP_LENS, message_of, read};
use crate::protocol::id::{NODE_ID_BYTES, NodeId};
use crate::protocol::message::{MAX_PEERS_READ, Message, QueryId};
use crate::protocol::peer::Peer;
use crate::protocol::value::Value;

/// Bytes that are reserved for a message at once: as many as an answer with 20 peers has.
const ROOM: usize = 768;
/// The length of a port in a record, in bytes.
const PORT_LEN: usize = 2;

/// The MessagePack spelling of leaves.
pub(super) struct MessagePack;

impl Dialect for MessagePack {
    const COMPACT: bool = true;

    fn value(leaf: Leaf<'_>) -> Option<Value> {
        match leaf {
            Leaf::Text(text) => Some(text.into()),
            Leaf::Bytes(bytes) => Some(bytes.into()),
            _ => None,
        }
    }

    fn node_id(leaf: Leaf<'_>) -> Option<NodeId> {
        bytes(leaf)?.try_into().ok().map(NodeId::from_bytes)
    }

    fn sender_id(leaf: Leaf<'_>) -> Option<Option<NodeId>> {
        if leaf == Leaf::Bytes(&[]) { Some(None) } else { Self::node_id(leaf).map(Some) }
    }

    fn query_id(leaf: Leaf<'_>) -> Option<QueryId> {
        match leaf {
            Leaf::Bytes(bytes) => Some(QueryId::from_u64(u64::from_be_bytes(bytes.try_into().ok()?))),
            leaf => QueryId::from_text(Self::text(leaf)?),
        }
    }

    fn ip(leaf: Leaf<'_>) -> Option<Option<IpAddr>> {
        let bytes = bytes(leaf)?;
        if bytes.is_empty() { Some(None) } else { ip(bytes).map(Some) }
    }

    fn records(leaf: Leaf<'_>, ip_len: usize) -> Option<Vec<Peer>> {
        let bytes = bytes(leaf)?;
        let record_len = NODE_ID_BYTES + ip_len + PORT_LEN;
        let whole = bytes.len().is_multiple_of(record_len);
        whole.then(|| bytes.chunks_exact(record_len).take(MAX_PEERS_READ).filter_map(read_record).collect())
    }

    fn write_id<S: Serializer>(id: Option<NodeId>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(id.as_ref().map_or(&[], |id| id.as_bytes().as_slice()))
    }

    fn write_query_id<S: Serializer>(id: QueryId, serializer: S) -> Result<S::Ok, S::Error> {
        match id.as_u64() {
            Some(bits) => serializer.serialize_bytes(&bits.to_be_bytes()),
            None => serializer.serialize_str(id.as_str()),
        }
    }

    fn write_ip<S: Serializer>(ip: Option<IpAddr>, serializer: S) -> Result<S::Ok, S::Error> {
        match ip {
            Some(IpAddr::V4(ip)) => serializer.serialize_bytes(&ip.octets()),
            Some(IpAddr::V6(ip)) => serializer.serialize_bytes(&ip.octets()),
            None => serializer.serialize_bytes(&[]),
        }
    }

    fn write_value<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => serializer.serialize_bytes(bytes),
        }
    }

    fn peers_len(peers: &[Peer]) -> usize {
        const PEERS6_NAME: usize = 1 + "peers6".len();
        let v4 = peers.iter().filter(|peer| peer.addr.is_ipv4()).count();
        let [v4_len, v6_len] = [v4, peers.len() - v4].map(|count| count * (NODE_ID_BYTES + PORT_LEN));
        let v4_len = bin_len(v4_len + v4 * IP_LENS[0]) - bin_len(0);
        let v6 = peers.len() - v4;
        if v6 == 0 { v4_len } else { v4_len + PEERS6_NAME + bin_len(v6_len + v6 * IP_LENS[1]) }
    }
}

fn bytes(leaf: Leaf<'_>) -> Option<&[u8]> {
    if let Leaf::Bytes(bytes) = leaf { Some(bytes) } else { None }
}

/// The address in 4 or 16 bytes.
fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// The peer in a record, if it is valid.
fn read_record(record: &[u8]) -> Option<Peer> {
    let (id, rest) = record.split_first_chunk::<NODE_ID_BYTES>()?;
    let (address, port) = rest.split_last_chunk::<PORT_LEN>()?;
    dialect::peer(NodeId::from_bytes(*id), ip(address)?, u16::from_be_bytes(*port))
}

pub(super) fn encode(message: &Message, peers: &[Peer], mut datagram: Vec<u8>) -> Vec<u8> {
    datagram.clear();
    datagram.reserve(ROOM);
    Outgoing::<MessagePack>::new(message, peers)
        .serialize(&mut rmp_serde::Serializer::new(&mut datagram))
        .expect("the map's length is known, and writing to a vector cannot fail");
    datagram
}

pub(super) fn decode(datagram: &[u8]) -> Result<Message, DecodeError> {
    match direct::read::<MessagePack, _>(MsgpackCursor::new(datagram)) {
        Some(wire) => message_of(Slot::Good(wire)),
        None => decode_any(datagram),
    }
}

/// Decodes MessagePack of any form.
pub(super) fn decode_any(datagram: &[u8]) -> Result<Message, DecodeError> {
    msgpack_form::check(datagram)?;
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(datagram);
    // The library's limit, one above that of the check, which the datagram has passed.
    deserializer.set_max_depth(MAX_DEPTH + 1);
    message_of(read::<MessagePack, _>(&mut deserializer).map_err(|_| DecodeError::Malformed("not MessagePack"))?)
}

/// The length in bytes of a `find_value_res` without its value, with an IPv6 address and every optional field at its longest: the
/// map, then names and contents of `type`, `id`, `sender`, `value`, `ttl`, `age`, `v` and `token`.
const FRAME_LEN: usize =
    1 + (5 + 15) + (3 + 10) + (7 + 1 + (8 + 22) + (3 + 18) + (5 + 3)) + 6 + 2 * (4 + 5) + (2 + 5) + (6 + 10);

pub(super) fn answer_len(value: &Value) -> usize {
    FRAME_LEN
        + match value {
            Value::Text(text) => text_len(text.len()),
            Value::Bytes(bytes) => bin_len(bytes.len()),
        }
}

/// The length of a bin of `len` bytes with its header.
fn bin_len(len: usize) -> usize {
    len + match len {
        0..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    }
}

/// The length of a str of `len` bytes with its header.
fn text_len(len: usize) -> usize {
    if len < 32 { len + 1 } else { bin_len(len) }
}
