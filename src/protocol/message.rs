//! The messages between nodes (docs/wire.md, 3). The codecs define their encodings.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::entry::{Entries, EntryState};
use super::id::NodeId;
use super::peer::Peer;
use super::ranges::{RangeAnswer, Ranges};
use super::value::Value;

/// The version of this protocol that we write into the optional field `v`. A peer that sends one is not legacy.
pub const PROTOCOL_VERSION: u32 = 3;

/// The first version whose nodes echo the [`Token`]s that they get, and repeat a write that lacked one.
pub const TOKEN_VERSION: u32 = 2;

/// The first version whose nodes answer `renew` and `reconcile`. Others drop these without an answer, so they are sent none.
pub const RECONCILE_VERSION: u32 = 3;

/// Peers that are read of one answer. A correct answer names at most k, 20 by default; further ones are skipped.
pub const MAX_PEERS_READ: usize = 32;

/// A token that a node sends to an address, and gets back with later queries from there: a sender that shows it receives what is
/// sent to that address. Only the node that issued it can interpret it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u64);

impl Token {
    /// The token with these 64 bits.
    pub const fn from_u64(bits: u64) -> Self {
        Self(bits)
    }

    /// Its 64 bits: on the wire 16 lower-case hex digits, or 8 bytes in MessagePack.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A reader of a log could write in the name of the address.
        f.write_str("Token(..)")
    }
}

/// A query's id: any string of up to 32 bytes. A response repeats it unchanged.
///
/// Ours are 16 lower-case hex digits of 64 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct QueryId {
    /// Bytes from `len` on are zero, so that equal ids are equal values.
    bytes: [u8; QueryId::MAX_LEN],
    len: u8,
}

impl QueryId {
    /// The longest id that is echoed, in bytes. A longer one is dropped with its message.
    pub const MAX_LEN: usize = 32;

    /// The id that spells `bits` as 16 lower-case hex digits.
    pub fn from_u64(bits: u64) -> Self {
        let mut bytes = [0; Self::MAX_LEN];
        hex::encode_to_slice(bits.to_be_bytes(), &mut bytes[..16]).expect("8 bytes are 16 hex digits");
        Self { bytes, len: 16 }
    }

    /// The id with this text. `None` if it is longer than [`QueryId::MAX_LEN`] bytes.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::MAX_LEN];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { bytes, len: text.len() as u8 })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("made from a str or from hex digits")
    }

    /// The 64 bits, which MessagePack sends as 8 bytes, if the id has the form of ours.
    pub fn as_u64(&self) -> Option<u64> {
        let text = self.as_str();
        let ours = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if ours { u64::from_str_radix(text, 16).ok() } else { None }
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueryId({:?})", self.as_str())
    }
}

/// The sender that a message claims. Only the id is used: the address is the source of the datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// The sender's id. `None` is an empty id: "do not insert me" (docs/wire.md, 2.4).
    pub id: Option<NodeId>,
    /// The address that the sender takes to be its own; `None` if it is not a literal one (a legacy node bound to a host
    /// name writes that). Never used for sending.
    pub ip: Option<IpAddr>,
    /// The port that the sender is bound to (1..=65535).
    pub port: u16,
}

impl Sender {
    /// A sender with this id, bound to this address.
    pub fn new(id: Option<NodeId>, bound: SocketAddr) -> Self {
        Self { id, ip: Some(bound.ip()), port: bound.port() }
    }
}

/// One message of the wire: one datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The id of this query, or of the query that this answers.
    pub id: QueryId,
    /// The sender.
    pub sender: Sender,
    /// The protocol version of a node of ours; `None` from a legacy one.
    pub version: Option<u32>,
    /// In an answer, the token for the asker's later queries to this node. In a query, the latest token from its receiver.
    pub token: Option<Token>,
    /// The content.
    pub body: Body,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A query.
    Request(Request),
    /// The answer to one.
    Response(Response),
}

/// A query. Keys and values are shared, since one publication goes to many peers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// A ping: the receiver answers with its id.
    Ping,
    /// A request for the nearest peers to `target`.
    FindNode {
        /// The id.
        target: NodeId,
    },
    /// A request for the value of `key`, or the nearest peers.
    FindValue {
        /// The key.
        key: Arc<str>,
    },
    /// A request to store this value.
    Set {
        /// The key.
        key: Arc<str>,
        /// The value.
        value: Arc<Value>,
        /// Absent: a publication, with full expiry. Present: a restore, with the seconds left (docs/wire.md, 9.7).
        ttl: Option<u32>,
        /// In a restore: seconds since the value was last published, where the holder knows that.
        age: Option<u32>,
    },
    /// A request to store a cached copy of this value, for a time that shrinks with the receiver's distance to the key.
    SetCached {
        /// The key.
        key: Arc<str>,
        /// The value.
        value: Arc<Value>,
        /// The key's hash that the sender claims: written for legacy nodes, never trusted.
        target: Option<NodeId>,
        /// Seconds left in the copy that this one was made from, where known: a cached copy never outlives it.
        ttl: Option<u32>,
    },
    /// A `set` or `set_cached` whose value is neither text nor bytes, or text that UTF-8 cannot encode (a lone surrogate). Such
    /// values work among legacy nodes. It is read, never sent, and acknowledged as refused: a legacy node drops a peer that
    /// does not answer.
    SetUnsupported {
        /// Whether it is a `set_cached`.
        cached: bool,
    },
    /// A question whether the receiver holds `key`.
    CheckStore {
        /// The key.
        key: Arc<str>,
        /// Length of the asker's value in bytes.
        size: Option<u64>,
    },
    /// A request for the value of `key`: answered, never sent (only 1.0.0 knows it).
    Get {
        /// The key.
        key: Arc<str>,
    },
    /// A request to renew the copies of these values, and a question which of them are lacking (docs/wire.md, 3.5). Sent only to
    /// peers of [`RECONCILE_VERSION`] or later.
    Renew {
        /// The values.
        entries: Entries,
    },
    /// A question what the receiver holds otherwise in some ranges of places (docs/wire.md, 3.6). Sent only to peers of
    /// [`RECONCILE_VERSION`] or later.
    Reconcile {
        /// The ranges; may be none if values are wanted.
        ranges: Ranges,
        /// The places of values that the receiver is to send, at most [`MAX_WANTED`](super::ranges::MAX_WANTED).
        wanted: Vec<NodeId>,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Response {
    /// The answer to a ping.
    Pong,
    /// The answer to a `find_node`: the nearest peers known.
    FindNode {
        /// Nearest first.
        peers: Vec<Peer>,
    },
    /// The value, which is held.
    Value {
        /// The value.
        value: Arc<Value>,
        /// Seconds until the copy that answers expires, from nodes of ours.
        ttl: Option<u32>,
        /// Seconds since the value was last published, where a holder of ours knows that. Not with a cached copy.
        age: Option<u32>,
    },
    /// The value is not held; the nearest peers known.
    NoValue {
        /// Nearest first.
        peers: Vec<Peer>,
    },
    /// A value is held, and is of a kind that this node cannot represent: see [`Request::SetUnsupported`]. It is read, never
    /// sent.
    UnsupportedValue,
    /// The answer to a `set`.
    Set {
        /// `false`: refused. Always `true` from legacy nodes, which cannot report that.
        stored: bool,
        /// Seconds until the copy expires at the peer that answers, from nodes of ours that stored it.
        ttl: Option<u32>,
    },
    /// The answer to a `set_cached`.
    SetCached,
    /// The answer to a `check_store`.
    CheckStore {
        /// Whether a full copy is held.
        has_key: bool,
        /// Seconds until it expires, from nodes of ours.
        ttl: Option<u32>,
        /// Seconds since the value was last published, where a holder of ours knows that.
        age: Option<u32>,
    },
    /// The answer to a `get`.
    Get {
        /// The value, if held.
        value: Option<Arc<Value>>,
    },
    /// The answer to a `renew`.
    Renew {
        /// One for each entry, in their order, at most [`MAX_ENTRIES`](super::entry::MAX_ENTRIES).
        states: Vec<EntryState>,
    },
    /// The answer to a `reconcile`.
    Reconcile {
        /// One for each range that was answered: not for those that would not fit the datagram.
        ranges: Vec<RangeAnswer>,
    },
}

impl Request {
    /// The wire's name of this query.
    pub fn name(&self) -> &'static str {
        match self {
            Request::Ping => "ping",
            Request::FindNode { .. } => "find_node",
            Request::FindValue { .. } => "find_value",
            Request::Set { .. } | Request::SetUnsupported { cached: false } => "set",
            Request::SetCached { .. } | Request::SetUnsupported { cached: true } => "set_cached",
            Request::CheckStore { .. } => "check_store",
            Request::Get { .. } => "get",
            Request::Renew { .. } => "renew",
            Request::Reconcile { .. } => "reconcile",
        }
    }

    /// Returns whether this query changes the receiver's values.
    pub fn is_write(&self) -> bool {
        matches!(self, Request::Set { .. } | Request::SetCached { .. })
    }
}

impl Response {
    /// The wire's name of this answer.
    pub fn name(&self) -> &'static str {
        match self {
            Response::Pong => "pong",
            Response::FindNode { .. } => "find_node_res",
            Response::Value { .. } | Response::NoValue { .. } | Response::UnsupportedValue => "find_value_res",
            Response::Set { .. } => "set_res",
            Response::SetCached => "set_cached_res",
            Response::CheckStore { .. } => "check_store_res",
            Response::Get { .. } => "get_res",
            Response::Renew { .. } => "renew_res",
            Response::Reconcile { .. } => "reconcile_res",
        }
    }

    /// The wire's name of the query that this answers.
    pub fn answers(&self) -> &'static str {
        match self {
            Response::Pong => "ping",
            other => other.name().strip_suffix("_res").expect("every other answer's name ends in _res"),
        }
    }
}

impl Body {
    /// The wire's name of this content.
    pub fn name(&self) -> &'static str {
        match self {
            Body::Request(request) => request.name(),
            Body::Response(response) => response.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_id_keeps_the_text_that_it_came_with() {
        for text in ["", "x", "00C0FFEE00C0FFEE", "00c0ffee00c0ffee", "ключ", &"y".repeat(32)] {
            assert_eq!(QueryId::from_text(text).unwrap().as_str(), text);
        }
        assert!(QueryId::from_text(&"y".repeat(33)).is_none());
    }

    #[test]
    fn only_our_own_form_is_eight_bytes() {
        assert_eq!(QueryId::from_u64(0x00c0_ffee).as_str(), "0000000000c0ffee");
        assert_eq!(QueryId::from_u64(0x00c0_ffee).as_u64(), Some(0x00c0_ffee));
        for text in ["", "00C0FFEE00C0FFEE", "+0c0ffee00c0ffee", "00c0ffee00c0ffe"] {
            assert_eq!(QueryId::from_text(text).unwrap().as_u64(), None, "{text}");
        }
    }
}
