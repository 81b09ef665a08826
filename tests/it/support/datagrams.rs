//! Requests, and datagrams as any sender can make them.

use std::net::SocketAddr;

use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Request, Sender};
use kademlia_dynamic::sim::MemoryTransport;
use kademlia_dynamic::{Codec, NodeId, Value};

/// A publication of `value`.
pub(crate) fn set(key: &str, value: impl Into<Value>) -> Request {
    set_for(key, value, None)
}

/// A `set` with this `ttl`, in seconds: a restore, unless it is `None`.
pub(crate) fn set_for(key: &str, value: impl Into<Value>, ttl: Option<u32>) -> Request {
    Request::Set { key: key.into(), value: value.into().into(), ttl, age: None }
}

/// A `set_cached` with this `ttl`, in seconds.
pub(crate) fn cached_for(key: &str, value: impl Into<Value>, ttl: Option<u32>) -> Request {
    Request::SetCached { key: key.into(), value: value.into().into(), target: None, ttl }
}

/// The datagram of a sender at `from` that claims this id and states this version.
pub(crate) fn spell(
    codec: Codec,
    from: SocketAddr,
    claim: Option<NodeId>,
    id: u64,
    version: Option<u32>,
    body: Body,
) -> Vec<u8> {
    let (id, sender) = (QueryId::from_u64(id), Sender::new(claim, from));
    codec.encode(&Message { id, sender, version, token: None, body }).expect("it fits a datagram")
}

/// The datagram of a legacy node: JSON, without a version.
pub(crate) fn legacy(from: SocketAddr, claim: Option<NodeId>, id: u64, body: Body) -> Vec<u8> {
    spell(Codec::Json, from, claim, id, None, body)
}

/// The messages, in JSON, that have come to `end` since it was last read.
pub(crate) fn drain(end: &MemoryTransport) -> Vec<Message> {
    std::iter::from_fn(|| end.try_receive())
        .map(|datagram| Codec::Json.decode(&datagram.payload).expect("our node writes JSON"))
        .collect()
}
