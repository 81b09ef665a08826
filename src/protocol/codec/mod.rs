//! Codecs: the three encodings of the messages, JSON, bencode and MessagePack (docs/wire.md). They do not interpret the messages.
//!
//! Reading is strict, since a datagram may come from a stranger; writing is canonical. No codec recurses on its input or
//! allocates beyond its size. All three share one flat wire struct (`wire.rs`); they differ in how a leaf is encoded.
//!
//! Messages of the common form are read in one pass (`direct.rs`), and JSON and bencode are written straight into the datagram.
//! All else is read by `serde_json`, `serde_bencode` and `rmp-serde`, which decide what is accepted: the quick readers accept a
//! part of that, and find the same in it.
//!
//! A legacy node can send a value of any type, and only text and bytes are values of ours: any other is read as
//! [unsupported](super::message::Request::SetUnsupported), lone surrogates, `NaN` and base64 that is not canonical included. An
//! optional field that holds something else reads as absent.
//!
//! A legacy node reads some messages that these codecs refuse: JSON with a field twice (Python takes the last) or with lone
//! surrogates outside a value; bencode that is not canonical, has integers of more than 64 bits or nests deeper than
//! [`MAX_DEPTH`]. No legacy node writes these, except integers and depths within a value that is neither text nor bytes: there,
//! too, a key must be UTF-8 for its hash.

mod bencode;
mod bencode_cursor;
mod bencode_form;
mod bencode_writer;
mod dialect;
mod direct;
mod error;
mod fit;
mod json;
mod json_cursor;
mod json_writer;
mod lenient;
mod msgpack;
mod msgpack_cursor;
mod msgpack_form;
mod outgoing;
mod padding;
mod spelling;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use self::bencode::Bencode;
use self::dialect::Dialect;
pub use self::error::{DecodeError, EncodeError, MAX_DEPTH, UnknownCodec};
use self::json::Json;
use self::msgpack::MessagePack;
#[cfg(doc)]
use super::config::LARGE_VALUE_LEN;
use super::config::MAX_DATAGRAM;
use super::message::Message;
use super::peer::Peer;
use super::value::Value;

/// The encoding of a node's messages. All nodes of a network use the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// UTF-8 JSON: the legacy default.
    #[default]
    Json,
    /// Bencode: the legacy alternative.
    Bencode,
    /// Compact MessagePack: for networks of ours alone.
    #[serde(rename = "msgpack")]
    MessagePack,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Codec; 3] = [Codec::Json, Codec::Bencode, Codec::MessagePack];

    /// The name in settings: `json`, `bencode` or `msgpack`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Json => "json",
            Codec::Bencode => "bencode",
            Codec::MessagePack => "msgpack",
        }
    }

    /// The codec whose messages begin as `payload` does; `None` where none does. The rest is not checked.
    pub fn guess(payload: &[u8]) -> Option<Codec> {
        match payload.first()? {
            b'{' => Some(Codec::Json),
            b'd' => Some(Codec::Bencode),
            // A map of up to 15 entries, or one with its length in 2 or 4 bytes.
            0x80..=0x8f | 0xde | 0xdf => Some(Codec::MessagePack),
            _ => None,
        }
    }

    /// Encodes `message` as one datagram.
    ///
    /// # Errors
    /// If it would be longer than a UDP datagram over IPv4 can be ([`MAX_DATAGRAM`]).
    pub fn encode(self, message: &Message) -> Result<Vec<u8>, EncodeError> {
        self.encode_into(message, Vec::new())
    }

    /// Like [`Codec::encode`], but the datagram takes the place of what is in `memory`.
    fn encode_into(self, message: &Message, memory: Vec<u8>) -> Result<Vec<u8>, EncodeError> {
        let datagram = self.write(message, wire::peers_of(message), memory);
        if datagram.len() > MAX_DATAGRAM {
            return Err(EncodeError::TooLarge { len: datagram.len(), limit: MAX_DATAGRAM });
        }
        Ok(datagram)
    }

    /// Like [`Codec::encode`], but a shorter message is padded to `len` bytes, or a few more (docs/wire.md, 4.5). The datagram takes the
    /// place of what is in `memory`: to allocate as much takes longer than to write it.
    ///
    /// # Errors
    /// As [`Codec::encode`].
    pub fn encode_padded(self, message: &Message, len: usize, memory: Vec<u8>) -> Result<Vec<u8>, EncodeError> {
        let mut datagram = self.encode_into(message, memory)?;
        let missing = len.saturating_sub(datagram.len()).min(padding::MAX_PADDING);
        match self {
            _ if missing == 0 => {}
            Codec::Json => padding::json(&mut datagram, missing),
            Codec::Bencode => padding::bencode(&mut datagram, missing),
            Codec::MessagePack => padding::msgpack(&mut datagram, missing),
        }
        Ok(datagram)
    }

    /// Like [`Codec::encode`], but the datagram takes the place of what is in `memory`, and an answer with peers names no more of them than fit `limit` bytes: the nearest, in half
    /// of the room, and a sample of the others, seeded by the query id. A message without peers is encoded whole,
    /// regardless of `limit`.
    ///
    /// # Errors
    /// If an answer with peers does not fit `limit` even without them, or any other message not one datagram.
    pub fn encode_within(self, message: &Message, limit: usize, mut memory: Vec<u8>) -> Result<Vec<u8>, EncodeError> {
        let peers = wire::peers_of(message);
        if peers.is_empty() {
            return self.encode_into(message, memory);
        }
        let limit = limit.min(MAX_DATAGRAM);
        if limit == MAX_DATAGRAM || self.peers_len(peers) < limit {
            memory = self.write(message, peers, memory);
            if memory.len() <= limit {
                return Ok(memory);
            }
        }
        // To encode an answer is expensive and to compute its length is cheap, so no number of peers is tried by encoding it.
        memory = self.write(message, &[], memory);
        let bare = memory.len();
        let fits = |count: usize| bare + self.peers_len(&peers[..count]) <= limit;
        // The length grows with the number of peers, so the most that fit can be found by halving.
        let (mut fit, mut too_many) = if fits(peers.len()) { (peers.len(), 0) } else { (0, peers.len()) };
        while fit + 1 < too_many {
            let middle = fit.midpoint(too_many);
            if fits(middle) { fit = middle } else { too_many = middle }
        }
        let mut chosen = fit::choose(peers, fit, &message.id);
        // The chosen ones may take a few bytes more than the nearest.
        while bare + self.peers_len(&chosen) > limit && chosen.pop().is_some() {}
        let datagram = self.write(message, &chosen, memory);
        if datagram.len() > limit {
            return Err(EncodeError::TooLarge { len: datagram.len(), limit });
        }
        Ok(datagram)
    }

    /// Decodes the message in `datagram`.
    ///
    /// Never panics and never recurses on its input. Invalid peers are dropped from an answer, the rest of it is
    /// read (docs/wire.md, 3.4); only the first
    /// [`MAX_PEERS_READ`](super::message::MAX_PEERS_READ) are read.
    ///
    /// # Errors
    /// If it is no message of this wire: see [`DecodeError`].
    pub fn decode(self, datagram: &[u8]) -> Result<Message, DecodeError> {
        if datagram.is_empty() {
            return Err(DecodeError::Empty);
        }
        match self {
            Codec::Json => json::decode(datagram),
            Codec::Bencode => bencode::decode(datagram),
            Codec::MessagePack => msgpack::decode(datagram),
        }
    }

    /// The greatest length in bytes of a `find_value_res` with `value`: as a legacy node writes it from an IPv4 address
    /// (JSON with spaces, `\uXXXX` and base64), or as we do with every optional field, whichever is longer.
    ///
    /// A value for which this is above [`MAX_DATAGRAM`] must be refused: a legacy holder could not serve it and would not
    /// report that (docs/wire.md, 6).
    pub fn legacy_answer_len(self, value: &Value) -> usize {
        match self {
            Codec::Json => json::answer_len(value),
            Codec::Bencode => bencode::answer_len(value),
            Codec::MessagePack => msgpack::answer_len(value),
        }
    }

    /// How many entries of a `renew` are sent at once: as many as fit a datagram of [`LARGE_VALUE_LEN`] bytes, whatever the sender's
    /// address, version and token (docs/wire.md, 3.5).
    pub fn entries_per_datagram(self) -> usize {
        match self {
            Codec::Json => 19,
            Codec::Bencode => 25,
            Codec::MessagePack => 28,
        }
    }

    /// Writes the datagram in the place of what is in `memory`.
    fn write(self, message: &Message, peers: &[Peer], memory: Vec<u8>) -> Vec<u8> {
        match self {
            Codec::Json => json::encode(message, peers, memory),
            Codec::Bencode => bencode::encode(message, peers, memory),
            Codec::MessagePack => msgpack::encode(message, peers, memory),
        }
    }

    fn peers_len(self, peers: &[Peer]) -> usize {
        match self {
            Codec::Json => Json::peers_len(peers),
            Codec::Bencode => Bencode::peers_len(peers),
            Codec::MessagePack => MessagePack::peers_len(peers),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Codec {
    type Err = UnknownCodec;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| UnknownCodec { found: name.chars().take(32).collect() })
    }
}
