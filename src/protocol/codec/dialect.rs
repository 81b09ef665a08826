//! Dialects: the encodings of leaves that differ between JSON, bencode and MessagePack, and the forms of sender, peers and value
//! that follow from them. `wire.rs` and `outgoing.rs` define which fields a message has.

use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::lenient::{Form, Leaf, LeafForm, Lenient, Slot, skip_rest};
use crate::protocol::id::NodeId;
use crate::protocol::message::{MAX_PEERS_READ, QueryId, Sender, Token};
use crate::protocol::peer::{Peer, check_unicast};
use crate::protocol::value::Value;

/// The spelling of leaves on one wire. The defaults are those of the legacy wires: ids in hex, peers as a list of
/// dictionaries.
pub(super) trait Dialect: Sized {
    /// Whether peers are records in one binary, by address family, instead of dictionaries in a list.
    const COMPACT: bool = false;

    /// Reads text.
    fn text<'a>(leaf: Leaf<'a>) -> Option<&'a str> {
        if let Leaf::Text(text) = leaf { Some(text) } else { None }
    }

    /// Reads a boolean.
    fn flag(leaf: Leaf<'_>) -> Option<bool> {
        if let Leaf::Bool(flag) = leaf { Some(flag) } else { None }
    }

    /// Reads a value that is encoded as a leaf.
    fn value(leaf: Leaf<'_>) -> Option<Value>;

    /// Reads a value that is encoded as a dictionary.
    fn value_in<'de, A: MapAccess<'de>>(mut dictionary: A) -> Result<Slot<Value>, A::Error> {
        while dictionary.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Slot::Bad)
    }

    /// Reads the content of a `value` field. Well-formed content that is no value of ours is [`Slot::Bad`], not an error.
    fn read_value<'de, R: Deserializer<'de>>(reader: R) -> Result<Slot<Value>, R::Error> {
        Lenient(ValueForm::<Self>(PhantomData)).deserialize(reader)
    }

    /// Reads a node id.
    fn node_id(leaf: Leaf<'_>) -> Option<NodeId> {
        NodeId::from_hex(Self::text(leaf)?).ok()
    }

    /// Reads a sender's node id: an empty one is `Some(None)`, "do not insert me".
    fn sender_id(leaf: Leaf<'_>) -> Option<Option<NodeId>> {
        if Self::text(leaf) == Some("") { Some(None) } else { Self::node_id(leaf).map(Some) }
    }

    /// Reads a query id.
    fn query_id(leaf: Leaf<'_>) -> Option<QueryId> {
        QueryId::from_text(Self::text(leaf)?)
    }

    /// Reads a token: it is encoded as a query id of ours is.
    fn token(leaf: Leaf<'_>) -> Option<Token> {
        Self::query_id(leaf)?.as_u64().map(Token::from_u64)
    }

    /// Reads an address: one that is not literal is `Some(None)`.
    fn ip(leaf: Leaf<'_>) -> Option<Option<IpAddr>> {
        Some(Self::text(leaf)?.parse().ok())
    }

    /// Reads peers that are encoded as records with addresses of `ip_len` bytes.
    fn records(_: Leaf<'_>, _ip_len: usize) -> Option<Vec<Peer>> {
        None
    }

    /// Reads packed bytes.
    fn binary(leaf: Leaf<'_>) -> Option<Vec<u8>> {
        if let Leaf::Bytes(bytes) = leaf { Some(bytes.to_vec()) } else { None }
    }

    /// Writes packed bytes.
    fn write_binary<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    /// Writes a node id, or the empty one.
    fn write_id<S: Serializer>(id: Option<NodeId>, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(id) = id else { return serializer.serialize_str("") };
        let mut digits = [0; 40];
        hex::encode_to_slice(id.as_bytes(), &mut digits).expect("20 bytes are 40 hex digits");
        serializer.serialize_str(std::str::from_utf8(&digits).expect("hex digits are ASCII"))
    }

    /// Writes a query id.
    fn write_query_id<S: Serializer>(id: QueryId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(id.as_str())
    }

    /// Writes an address, or the empty one.
    fn write_ip<S: Serializer>(ip: Option<IpAddr>, serializer: S) -> Result<S::Ok, S::Error> {
        match ip {
            Some(ip) => serializer.collect_str(&ip),
            None => serializer.serialize_str(""),
        }
    }

    /// Writes a value.
    fn write_value<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error>;

    /// Bytes by which a message with these peers is longer than the same one without any.
    fn peers_len(peers: &[Peer]) -> usize;
}

/// Reads an integer of 0 or more; one of more than 63 bits as the largest that is written, since bencode has no larger ones.
pub(super) fn number(leaf: Leaf<'_>) -> Option<u64> {
    if let Leaf::Int(number) = leaf { Some(number.min(i64::MAX as u64)) } else { None }
}

/// Reads an integer of 0..=4,294,967,295: a number of seconds, a version.
pub(super) fn small_number(leaf: Leaf<'_>) -> Option<u32> {
    number(leaf)?.try_into().ok()
}

/// Reads a port: 1..=65535.
fn port(leaf: Leaf<'_>) -> Option<u16> {
    number(leaf)?.try_into().ok().filter(|port| *port != 0)
}

/// The names in a sender's and in a peer's dictionary.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Part {
    NodeId,
    Ip,
    Port,
    #[serde(other)]
    Unknown,
}

/// A dictionary of node id, address and port.
#[derive(Default)]
pub(super) struct Contact {
    id: Slot<Option<NodeId>>,
    ip: Slot<Option<IpAddr>>,
    port: Slot<u16>,
}

impl Contact {
    /// `None` if it has a part twice.
    fn read<'de, D: Dialect, A: MapAccess<'de>>(mut dictionary: A) -> Result<Option<Self>, A::Error> {
        let (mut contact, mut twice) = (Contact::default(), false);
        while let Some(part) = dictionary.next_key::<Part>()? {
            twice |= match part {
                Part::NodeId => contact.id.fill(dictionary.next_value_seed(Lenient(LeafForm(D::sender_id)))?),
                Part::Ip => contact.ip.fill(dictionary.next_value_seed(Lenient(LeafForm(D::ip)))?),
                Part::Port => contact.port.fill(dictionary.next_value_seed(Lenient(LeafForm(port)))?),
                Part::Unknown => {
                    dictionary.next_value::<IgnoredAny>()?;
                    false
                }
            };
        }
        Ok((!twice).then_some(contact))
    }

    /// Fills the part of this name, and returns whether it is there twice; `None` where no part has this name.
    pub(super) fn fill<D: Dialect>(&mut self, part: &[u8], leaf: Leaf<'_>) -> Option<bool> {
        Some(match part {
            b"node_id" => self.id.fill(LeafForm(D::sender_id).leaf(leaf)),
            b"ip" => self.ip.fill(LeafForm(D::ip).leaf(leaf)),
            b"port" => self.port.fill(LeafForm(port).leaf(leaf)),
            _ => return None,
        })
    }

    pub(super) fn sender(self) -> Option<Sender> {
        let ip = match self.ip {
            Slot::Good(ip) => ip,
            // It is never used for sending, so it may be missing.
            Slot::Absent | Slot::Null => None,
            Slot::Bad => return None,
        };
        Some(Sender { id: self.id.good()?, ip, port: self.port.good()? })
    }

    pub(super) fn peer(self) -> Option<Peer> {
        peer(self.id.good()??, self.ip.good()??, self.port.good()?)
    }
}

/// The peer with this id and address, if the address can be one host's.
pub(super) fn peer(id: NodeId, ip: IpAddr, port: u16) -> Option<Peer> {
    let addr = SocketAddr::new(ip, port);
    check_unicast(&addr).ok()?;
    Some(Peer::new(id, addr))
}

/// The form of `sender` and of an entry in `peers`, made of a [`Contact`]. It is bad as a whole if a part is missing, illegible or
/// there twice.
pub(super) struct ContactForm<D, F>(pub(super) F, pub(super) PhantomData<D>);

impl<D: Dialect, T, F: FnOnce(Contact) -> Option<T>> Form for ContactForm<D, F> {
    type Out = T;

    fn dictionary<'de, A: MapAccess<'de>>(self, dictionary: A) -> Result<Slot<T>, A::Error> {
        Ok(Contact::read::<D, A>(dictionary)?.and_then(self.0).into())
    }
}

/// The form of `peers` and `peers6`: of their first [`MAX_PEERS_READ`] entries, those that can be peers.
/// Where peers are records, an address has this length in bytes.
pub(super) struct PeersForm<D>(pub(super) usize, pub(super) PhantomData<D>);

impl<D: Dialect> Form for PeersForm<D> {
    type Out = Vec<Peer>;

    fn leaf(self, leaf: Leaf<'_>) -> Slot<Vec<Peer>> {
        if leaf == Leaf::Null { Slot::Null } else { D::records(leaf, self.0).into() }
    }

    fn list<'de, A: SeqAccess<'de>>(self, mut list: A) -> Result<Slot<Vec<Peer>>, A::Error> {
        if D::COMPACT {
            skip_rest(&mut list)?;
            return Ok(Slot::Bad);
        }
        let mut peers = Vec::new();
        for _ in 0..MAX_PEERS_READ {
            match list.next_element_seed(Lenient(ContactForm::<D, _>(Contact::peer, PhantomData)))? {
                Some(found) => peers.extend(found.good()),
                None => return Ok(Slot::Good(peers)),
            }
        }
        skip_rest(&mut list)?;
        Ok(Slot::Good(peers))
    }
}

/// The form of `value`.
pub(super) struct ValueForm<D>(pub(super) PhantomData<D>);

impl<D: Dialect> Form for ValueForm<D> {
    type Out = Value;

    fn leaf(self, leaf: Leaf<'_>) -> Slot<Value> {
        if leaf == Leaf::Null { Slot::Null } else { D::value(leaf).into() }
    }

    fn dictionary<'de, A: MapAccess<'de>>(self, dictionary: A) -> Result<Slot<Value>, A::Error> {
        D::value_in(dictionary)
    }
}

/// The content of one field to be written.
pub(super) enum Field<'a> {
    Text(&'a str),
    NodeId(NodeId),
    QueryId(QueryId),
    Contact(Sender),
    Peers(&'a [Peer]),
    Records(Vec<u8>),
    Binary(Vec<u8>),
    Value(&'a Value),
    Number(u64),
    Flag(bool),
}

/// A content with the encoding of `D`.
pub(super) struct Spelled<T, D>(pub(super) T, pub(super) PhantomData<D>);

impl<D: Dialect> Serialize for Spelled<&Field<'_>, D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Field::Text(text) => serializer.serialize_str(text),
            Field::NodeId(id) => D::write_id(Some(*id), serializer),
            Field::QueryId(id) => D::write_query_id(*id, serializer),
            Field::Contact(sender) => Spelled::<_, D>(*sender, PhantomData).serialize(serializer),
            Field::Peers(peers) => serializer.collect_seq(
                peers.iter().map(|peer| Spelled::<_, D>(Sender::new(Some(peer.id), peer.addr), PhantomData)),
            ),
            Field::Records(records) => serializer.serialize_bytes(records),
            Field::Binary(bytes) => D::write_binary(bytes, serializer),
            Field::Value(value) => D::write_value(value, serializer),
            Field::Number(number) => serializer.serialize_u64(*number),
            Field::Flag(flag) => serializer.serialize_bool(*flag),
        }
    }
}

impl<D: Dialect> Serialize for Spelled<Sender, D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut dictionary = serializer.serialize_map(Some(3))?;
        dictionary.serialize_entry("node_id", &Spelled::<_, D>(self.0.id, PhantomData))?;
        dictionary.serialize_entry("ip", &Spelled::<_, D>(self.0.ip, PhantomData))?;
        dictionary.serialize_entry("port", &self.0.port)?;
        dictionary.end()
    }
}

impl<D: Dialect> Serialize for Spelled<Option<NodeId>, D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        D::write_id(self.0, serializer)
    }
}

impl<D: Dialect> Serialize for Spelled<Option<IpAddr>, D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        D::write_ip(self.0, serializer)
    }
}

/// The number of digits of `number`.
pub(super) fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |tens| tens as usize + 1)
}
