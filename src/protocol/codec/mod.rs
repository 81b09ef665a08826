//! The three spellings of one vocabulary: JSON, bencode and MessagePack (docs/wire.md). What the messages mean is not
//! known here.
//!
//! Reading is strict where the wire gives room, since what comes in is a stranger's; writing is canonical. No codec
//! recurses on its input or allocates beyond its size. All three share one flat wire struct (`wire.rs`); what
//! differs is how a leaf is spelled.
//!
//! A value can be anything that a legacy node spells, and only text and bytes are values of ours: any other is read as
//! [unsupported](super::message::Request::SetUnsupported), lone surrogates, `NaN` and base64 that is not canonical included. An
//! optional field that holds something else reads as absent.
//!
//! What a legacy node would read and this does not: JSON with a field twice (Python keeps the last), with lone surrogates
//! elsewhere than in a value; bencode that is not canonical, or has integers of more than 64 bits; what nests deeper than
//! [`MAX_DEPTH`] in bencode. No legacy node writes any of it but for integers and depths within a value, which is neither text
//! nor bytes then: a key has to be UTF-8 there, too, for its hash.

mod bencode;
mod bencode_form;
mod dialect;
mod error;
mod fit;
mod json;
mod loose;
mod msgpack;
mod msgpack_form;
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
use super::config::MAX_DATAGRAM;
use super::message::Message;
use super::peer::Peer;
use super::value::Value;

/// How a node spells its messages. All nodes of a network use the same one.
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

    /// The wire whose messages begin as `payload` does; `None` where none does. It tells nothing of the rest.
    pub fn guess(payload: &[u8]) -> Option<Codec> {
        match payload.first()? {
            b'{' => Some(Codec::Json),
            b'd' => Some(Codec::Bencode),
            // A map of up to 15 entries, or one with its length in 2 or 4 bytes.
            0x80..=0x8f | 0xde | 0xdf => Some(Codec::MessagePack),
            _ => None,
        }
    }

    /// The one datagram that says `message`.
    ///
    /// # Errors
    /// If it would be longer than a UDP datagram over IPv4 can be ([`MAX_DATAGRAM`]).
    pub fn encode(self, message: &Message) -> Result<Vec<u8>, EncodeError> {
        let datagram = self.spell(message, wire::peers_of(message));
        if datagram.len() > MAX_DATAGRAM {
            return Err(EncodeError::TooLarge { len: datagram.len(), limit: MAX_DATAGRAM });
        }
        Ok(datagram)
    }

    /// Like [`Codec::encode`], but an answer with peers names no more of them than fit `limit` bytes: the nearest, in half
    /// of the room, and a sample of the others that the query id decides. A message without peers is encoded whole,
    /// whatever `limit` says.
    ///
    /// # Errors
    /// If an answer with peers does not fit `limit` even without them, or any other message not one datagram.
    pub fn encode_within(self, message: &Message, limit: usize) -> Result<Vec<u8>, EncodeError> {
        let peers = wire::peers_of(message);
        if peers.is_empty() {
            return self.encode(message);
        }
        let limit = limit.min(MAX_DATAGRAM);
        // To spell an answer is dear and to foretell its length is cheap, so it is spelled once, with what fits.
        let bare = self.spell(message, &[]).len();
        let fits = |count: usize| bare + self.peers_len(&peers[..count]) <= limit;
        // The length grows with the number of peers, so the most that fit can be found by halving.
        let (mut fit, mut too_many) = if fits(peers.len()) { (peers.len(), 0) } else { (0, peers.len()) };
        while fit + 1 < too_many {
            let middle = fit.midpoint(too_many);
            if fits(middle) { fit = middle } else { too_many = middle }
        }
        let mut chosen = fit::choose(peers, fit, &message.id);
        // The chosen ones may take a few bytes more to spell than the nearest.
        while bare + self.peers_len(&chosen) > limit && chosen.pop().is_some() {}
        let datagram = self.spell(message, &chosen);
        if datagram.len() > limit {
            return Err(EncodeError::TooLarge { len: datagram.len(), limit });
        }
        Ok(datagram)
    }

    /// The message that `datagram` says.
    ///
    /// Never panics and never recurses on its input, whatever that is. Peers that cannot be peers are dropped from an
    /// answer, the rest of it stands (docs/wire.md, 3.4); only the first
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

    /// The most bytes that a `find_value_res` with `value` takes up: as a legacy node writes it from an IPv4 address
    /// (JSON with spaces, `\uXXXX` and base64), or as we do with every optional field, whichever is longer.
    ///
    /// A value for which this is above [`MAX_DATAGRAM`] must be refused: a legacy holder could not serve it and would
    /// not say so (docs/wire.md, 6).
    pub fn legacy_answer_len(self, value: &Value) -> usize {
        match self {
            Codec::Json => json::answer_len(value),
            Codec::Bencode => bencode::answer_len(value),
            Codec::MessagePack => msgpack::answer_len(value),
        }
    }

    fn spell(self, message: &Message, peers: &[Peer]) -> Vec<u8> {
        match self {
            Codec::Json => json::encode(message, peers),
            Codec::Bencode => bencode::encode(message, peers),
            Codec::MessagePack => msgpack::encode(message, peers),
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
