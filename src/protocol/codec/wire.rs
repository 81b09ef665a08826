//! The one flat struct of all messages as it is read: the names of the fields, which of them each type of message reads, and what a
//! missing one means (docs/wire.md, 3.1). The dialects define how the leaves are encoded.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess};

use super::dialect::{Contact, ContactForm, Dialect, PeersForm, number, small_number};
use super::error::DecodeError;
use super::lenient::{Form, LeafForm, Lenient, Slot};
use crate::protocol::entry::{Entries, EntryState, MAX_ENTRIES};
use crate::protocol::id::NodeId;
use crate::protocol::message::{Body, MAX_PEERS_READ, Message, QueryId, Request, Response, Sender, Token};
use crate::protocol::peer::Peer;
use crate::protocol::ranges::{RangeAnswer, Ranges, unpack_places};
use crate::protocol::value::Value;

/// The lengths of an IPv4 and of an IPv6 address in a record, in bytes.
pub(super) const IP_LENS: [usize; 2] = [4, 16];

/// A message's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
pub(super) enum Kind {
    Ping,
    Pong,
    FindNode,
    FindNodeRes,
    FindValue,
    FindValueRes,
    Set,
    SetRes,
    SetCached,
    SetCachedRes,
    CheckStore,
    CheckStoreRes,
    Get,
    GetRes,
    Renew,
    RenewRes,
    Reconcile,
    ReconcileRes,
    #[serde(other)]
    Unknown,
}

impl Kind {
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::deserialize(IntoDeserializer::<de::value::Error>::into_deserializer(name)).ok()
    }
}

/// The names of the fields.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Name {
    Type,
    Id,
    Sender,
    Target,
    TargetId,
    Key,
    Value,
    Size,
    Peers,
    Peers6,
    HasKey,
    Stored,
    Entries,
    States,
    Ranges,
    Wanted,
    Ttl,
    Age,
    #[serde(rename = "v")]
    Version,
    Token,
    #[serde(other)]
    Unknown,
}

/// The findings for every field that a message can have. A bad field matters only to a message that reads it.
#[derive(Default)]
pub(super) struct Wire {
    pub(super) kind: Slot<Kind>,
    pub(super) id: Slot<QueryId>,
    pub(super) sender: Slot<Sender>,
    pub(super) version: Slot<u32>,
    pub(super) token: Slot<Token>,
    pub(super) target: Slot<NodeId>,
    pub(super) target_id: Slot<NodeId>,
    pub(super) key: Slot<Arc<str>>,
    pub(super) value: Slot<Value>,
    pub(super) size: Slot<u64>,
    pub(super) ttl: Slot<u32>,
    pub(super) age: Slot<u32>,
    pub(super) peers: Slot<Vec<Peer>>,
    /// Only where peers are records.
    pub(super) peers6: Slot<Vec<Peer>>,
    pub(super) has_key: Slot<bool>,
    pub(super) stored: Slot<bool>,
    /// Packed, as are the next three.
    pub(super) entries: Slot<Vec<u8>>,
    pub(super) states: Slot<Vec<u8>>,
    pub(super) ranges: Slot<Vec<u8>>,
    pub(super) wanted: Slot<Vec<u8>>,
    /// Whether the message has a field twice.
    twice: bool,
}

/// Reads a whole datagram. Only a malformed one is an error.
pub(super) fn read<'de, D: Dialect, R: Deserializer<'de>>(reader: R) -> Result<Slot<Wire>, R::Error> {
    Lenient(WireForm::<D>(PhantomData)).deserialize(reader)
}

/// The form of a whole datagram.
struct WireForm<D>(PhantomData<D>);

impl<D: Dialect> Form for WireForm<D> {
    type Out = Wire;

    fn dictionary<'de, A: MapAccess<'de>>(self, mut fields: A) -> Result<Slot<Wire>, A::Error> {
        let mut wire = Wire::default();
        while let Some(name) = fields.next_key::<Name>()? {
            wire.twice |= match name {
                Name::Type => wire.kind.fill(fields.next_value_seed(leaf(|leaf| D::text(leaf).and_then(Kind::of)))?),
                Name::Id => wire.id.fill(fields.next_value_seed(leaf(D::query_id))?),
                Name::Sender => wire.sender.fill(fields.next_value_seed(sender::<D>())?),
                Name::Version => wire.version.fill(fields.next_value_seed(leaf(small_number))?),
                Name::Token => wire.token.fill(fields.next_value_seed(leaf(D::token))?),
                Name::Target => wire.target.fill(fields.next_value_seed(leaf(D::node_id))?),
                Name::TargetId => wire.target_id.fill(fields.next_value_seed(leaf(D::node_id))?),
                Name::Key => wire.key.fill(fields.next_value_seed(leaf(|leaf| D::text(leaf).map(Arc::from)))?),
                Name::Value => wire.value.fill(fields.next_value_seed(AnyValue::<D>(PhantomData))?),
                Name::Size => wire.size.fill(fields.next_value_seed(leaf(number))?),
                Name::Ttl => wire.ttl.fill(fields.next_value_seed(leaf(small_number))?),
                Name::Age => wire.age.fill(fields.next_value_seed(leaf(small_number))?),
                Name::Peers => wire.peers.fill(fields.next_value_seed(peers::<D>(IP_LENS[0]))?),
                Name::Peers6 if D::COMPACT => wire.peers6.fill(fields.next_value_seed(peers::<D>(IP_LENS[1]))?),
                Name::HasKey => wire.has_key.fill(fields.next_value_seed(leaf(D::flag))?),
                Name::Stored => wire.stored.fill(fields.next_value_seed(leaf(D::flag))?),
                Name::Entries => wire.entries.fill(fields.next_value_seed(leaf(D::binary))?),
                Name::States => wire.states.fill(fields.next_value_seed(leaf(D::binary))?),
                Name::Ranges => wire.ranges.fill(fields.next_value_seed(leaf(D::binary))?),
                Name::Wanted => wire.wanted.fill(fields.next_value_seed(leaf(D::binary))?),
                Name::Peers6 | Name::Unknown => {
                    fields.next_value::<IgnoredAny>()?;
                    false
                }
            };
        }
        Ok(Slot::Good(wire))
    }
}

fn leaf<T>(read: fn(super::lenient::Leaf<'_>) -> Option<T>) -> Lenient<LeafForm<T>> {
    Lenient(LeafForm(read))
}

/// Reads `value`, which may be of any type.
struct AnyValue<D>(PhantomData<D>);

impl<'de, D: Dialect> DeserializeSeed<'de> for AnyValue<D> {
    type Value = Slot<Value>;

    fn deserialize<R: Deserializer<'de>>(self, reader: R) -> Result<Self::Value, R::Error> {
        D::read_value(reader)
    }
}

fn sender<D: Dialect>() -> Lenient<ContactForm<D, impl FnOnce(Contact) -> Option<Sender>>> {
    Lenient(ContactForm(Contact::sender, PhantomData))
}

fn peers<D: Dialect>(ip_len: usize) -> Lenient<PeersForm<D>> {
    Lenient(PeersForm(ip_len, PhantomData))
}

/// The content of a field that may be missing. Content of another type is an error.
fn content<T>(slot: Slot<T>, name: &'static str) -> Result<Option<T>, DecodeError> {
    match slot {
        Slot::Good(content) => Ok(Some(content)),
        Slot::Absent | Slot::Null => Ok(None),
        Slot::Bad => Err(DecodeError::BadField(name)),
    }
}

/// The content of a required field.
fn required<T>(slot: Slot<T>, name: &'static str) -> Result<T, DecodeError> {
    content(slot, name)?.ok_or(DecodeError::Missing(name))
}

/// What is packed in a required field. Content that is not what belongs there is an error.
fn unpacked<T>(slot: Slot<Vec<u8>>, name: &'static str, unpack: fn(&[u8]) -> Option<T>) -> Result<T, DecodeError> {
    unpack(&required(slot, name)?).ok_or(DecodeError::BadField(name))
}

/// The states in a `renew_res`: a byte each.
fn unpack_states(packed: &[u8]) -> Option<Vec<EntryState>> {
    (packed.len() <= MAX_ENTRIES).then(|| packed.iter().copied().map(EntryState::from_byte).collect())
}

/// The places that a `reconcile` wants: none if the field is missing.
fn wanted(slot: Slot<Vec<u8>>) -> Result<Vec<NodeId>, DecodeError> {
    match content(slot, "wanted")? {
        Some(packed) => unpack_places(&packed).ok_or(DecodeError::BadField("wanted")),
        None => Ok(Vec::new()),
    }
}

/// The message with these fields.
pub(super) fn message_of(found: Slot<Wire>) -> Result<Message, DecodeError> {
    let wire = found.good().ok_or(DecodeError::Malformed("not a dictionary"))?;
    if wire.twice {
        return Err(DecodeError::Duplicate);
    }
    let kind = required(wire.kind, "type")?;
    if kind == Kind::Unknown {
        return Err(DecodeError::UnknownType);
    }
    let id = wire.id.good().ok_or(DecodeError::QueryId)?;
    let sender = wire.sender.good().ok_or(DecodeError::BadSender)?;
    // Optional fields: another implementation may use such a short name otherwise, so invalid content reads as absent
    // (docs/wire.md, 4).
    let (version, size, ttl, age) = (wire.version.good(), wire.size.good(), wire.ttl.good(), wire.age.good());
    let token = wire.token.good();

    let key = |slot| required(slot, "key");
    let peers = |v4, v6: Slot<Vec<Peer>>| {
        let mut peers: Vec<Peer> = content(v4, "peers")?.unwrap_or_default();
        peers.extend(v6.good().unwrap_or_default());
        peers.truncate(MAX_PEERS_READ);
        Ok(peers)
    };

    let body = match kind {
        Kind::Ping => Body::Request(Request::Ping),
        Kind::FindNode => Body::Request(Request::FindNode { target: required(wire.target, "target")? }),
        Kind::FindValue => Body::Request(Request::FindValue { key: key(wire.key)? }),
        Kind::Set | Kind::SetCached => {
            let (key, cached) = (key(wire.key)?, kind == Kind::SetCached);
            Body::Request(match wire.value {
                Slot::Bad => Request::SetUnsupported { cached },
                value => {
                    let value = Arc::new(required(value, "value")?);
                    if cached {
                        // The target is not trusted, so an invalid one is no reason to drop the message.
                        Request::SetCached { key, value, target: wire.target_id.good(), ttl }
                    } else {
                        Request::Set { key, value, ttl, age }
                    }
                }
            })
        }
        Kind::CheckStore => Body::Request(Request::CheckStore { key: key(wire.key)?, size }),
        Kind::Get => Body::Request(Request::Get { key: key(wire.key)? }),
        Kind::Renew => Body::Request(Request::Renew { entries: unpacked(wire.entries, "entries", Entries::unpack)? }),
        Kind::Reconcile => Body::Request(Request::Reconcile {
            ranges: unpacked(wire.ranges, "ranges", Ranges::unpack)?,
            wanted: wanted(wire.wanted)?,
        }),
        Kind::Pong => Body::Response(Response::Pong),
        Kind::FindNodeRes => Body::Response(Response::FindNode { peers: peers(wire.peers, wire.peers6)? }),
        Kind::FindValueRes => Body::Response(match wire.value {
            Slot::Good(value) => Response::Value { value: Arc::new(value), ttl, age },
            Slot::Bad => Response::UnsupportedValue,
            Slot::Absent | Slot::Null => Response::NoValue { peers: peers(wire.peers, wire.peers6)? },
        }),
        Kind::SetRes => Body::Response(Response::Set { stored: wire.stored.good().unwrap_or(true), ttl }),
        Kind::SetCachedRes => Body::Response(Response::SetCached),
        Kind::CheckStoreRes => Body::Response(Response::CheckStore {
            has_key: content(wire.has_key, "has_key")?.unwrap_or(false),
            ttl,
            age,
        }),
        Kind::GetRes => Body::Response(Response::Get { value: content(wire.value, "value")?.map(Arc::new) }),
        Kind::RenewRes => Body::Response(Response::Renew { states: unpacked(wire.states, "states", unpack_states)? }),
        Kind::ReconcileRes => {
            Body::Response(Response::Reconcile { ranges: unpacked(wire.ranges, "ranges", RangeAnswer::unpack)? })
        }
        Kind::Unknown => return Err(DecodeError::UnknownType),
    };
    Ok(Message { id, sender, version, token, body })
}

/// The peers that an answer names; none if the message is no such answer.
pub(super) fn peers_of(message: &Message) -> &[Peer] {
    match &message.body {
        Body::Response(Response::FindNode { peers } | Response::NoValue { peers }) => peers,
        _ => &[],
    }
}
