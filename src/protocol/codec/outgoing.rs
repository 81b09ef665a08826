//! A message as it is written: which fields each type of message has, in their order (docs/wire.md, 3.1). The dialects define how the
//! leaves are encoded.

use std::marker::PhantomData;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::dialect::{Dialect, Field, Spelled};
use crate::protocol::message::{Body, Message, QueryId, Request, Response};
use crate::protocol::peer::Peer;
use crate::protocol::ranges::{RangeAnswer, pack_places};

/// A message to be written: its fields in order.
pub(super) struct Outgoing<'a, D> {
    pub(super) fields: Vec<(&'static str, Field<'a>)>,
    dialect: PhantomData<D>,
}

impl<'a, D: Dialect> Outgoing<'a, D> {
    /// The fields of `message`, with `peers` in place of those that it names.
    pub(super) fn new(message: &'a Message, peers: &'a [Peer]) -> Self {
        let mut fields = Vec::with_capacity(11);
        fields.push(("type", Field::Text(message.body.name())));
        fields.push(("id", Field::QueryId(message.id)));
        fields.push(("sender", Field::Contact(message.sender)));
        match &message.body {
            Body::Request(Request::Ping) | Body::Response(Response::Pong | Response::SetCached) => {}
            Body::Request(Request::FindNode { target }) => fields.push(("target", Field::NodeId(*target))),
            Body::Request(Request::FindValue { key } | Request::Get { key }) => fields.push(("key", Field::Text(key))),
            Body::Request(Request::Set { key, value, ttl, age }) => {
                fields.push(("key", Field::Text(key)));
                fields.push(("value", Field::Value(value)));
                fields.extend(ttl.map(|ttl| ("ttl", seconds(ttl))));
                fields.extend(age.map(|age| ("age", seconds(age))));
            }
            Body::Request(Request::SetCached { key, value, target, ttl }) => {
                fields.push(("key", Field::Text(key)));
                fields.push(("value", Field::Value(value)));
                fields.extend(target.map(|target| ("target_id", Field::NodeId(target))));
                fields.extend(ttl.map(|ttl| ("ttl", seconds(ttl))));
            }
            Body::Request(Request::CheckStore { key, size }) => {
                fields.push(("key", Field::Text(key)));
                // At most what is read of bencode's integers.
                fields.extend(size.map(|size| ("size", Field::Number(size.min(i64::MAX as u64)))));
            }
            // Neither is ever sent; they are written so that they are read back as the same.
            Body::Request(Request::SetUnsupported { .. }) => {
                fields.push(("key", Field::Text("")));
                fields.push(("value", Field::Peers(&[])));
            }
            Body::Response(Response::UnsupportedValue) => fields.push(("value", Field::Peers(&[]))),
            Body::Response(Response::FindNode { .. } | Response::NoValue { .. }) if D::COMPACT => {
                let [v4, v6] = records_of(peers);
                fields.push(("peers", Field::Records(v4)));
                fields.extend((!v6.is_empty()).then_some(("peers6", Field::Records(v6))));
            }
            Body::Response(Response::FindNode { .. } | Response::NoValue { .. }) => {
                fields.push(("peers", Field::Peers(peers)));
            }
            Body::Response(Response::Value { value, ttl, age }) => {
                fields.push(("value", Field::Value(value)));
                fields.extend(ttl.map(|ttl| ("ttl", seconds(ttl))));
                fields.extend(age.map(|age| ("age", seconds(age))));
            }
            Body::Response(Response::Set { stored, ttl }) => {
                fields.extend((!stored).then_some(("stored", Field::Flag(false))));
                fields.extend(ttl.map(|ttl| ("ttl", seconds(ttl))));
            }
            Body::Response(Response::CheckStore { has_key, ttl, age }) => {
                fields.push(("has_key", Field::Flag(*has_key)));
                fields.extend(ttl.map(|ttl| ("ttl", seconds(ttl))));
                fields.extend(age.map(|age| ("age", seconds(age))));
            }
            Body::Request(Request::Renew { entries }) => fields.push(("entries", Field::Binary(entries.pack()))),
            Body::Request(Request::Reconcile { ranges, wanted }) => {
                fields.push(("ranges", Field::Binary(ranges.pack())));
                fields.extend((!wanted.is_empty()).then(|| ("wanted", Field::Binary(pack_places(wanted)))));
            }
            Body::Response(Response::Renew { states }) => {
                let states = states.iter().map(|state| state.to_byte()).collect();
                fields.push(("states", Field::Binary(states)));
            }
            Body::Response(Response::Reconcile { ranges }) => {
                fields.push(("ranges", Field::Binary(RangeAnswer::pack(ranges))));
            }
            Body::Response(Response::Get { value }) => {
                fields.extend(value.as_deref().map(|value| ("value", Field::Value(value))))
            }
        }
        fields.extend(message.version.map(|version| ("v", Field::Number(version.into()))));
        fields.extend(message.token.map(|token| ("token", Field::QueryId(QueryId::from_u64(token.as_u64())))));
        Self { fields, dialect: PhantomData }
    }
}

fn seconds<'a>(seconds: u32) -> Field<'a> {
    Field::Number(seconds.into())
}

impl<D: Dialect> Serialize for Outgoing<'_, D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.fields.iter().map(|(name, field)| (name, Spelled::<_, D>(field, PhantomData))))
    }
}

/// The records of `peers`: those of IPv4 and those of IPv6, each in the given order.
fn records_of(peers: &[Peer]) -> [Vec<u8>; 2] {
    let mut records = [Vec::new(), Vec::new()];
    for peer in peers {
        let of_family = &mut records[usize::from(peer.addr.is_ipv6())];
        of_family.extend_from_slice(peer.id.as_bytes());
        match peer.addr.ip() {
            IpAddr::V4(ip) => of_family.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => of_family.extend_from_slice(&ip.octets()),
        }
        of_family.extend_from_slice(&peer.addr.port().to_be_bytes());
    }
    records
}
