//! The errors of the codecs: why a message is not encoded, and why a datagram is not read.

/// How deep lists and dictionaries may nest in bencode and MessagePack, the message itself counted. A message of this
/// wire needs 3; what is deeper is dropped unread, also where it is a value. JSON needs no such bound: what it does not know it skips without
/// recursion.
pub const MAX_DEPTH: usize = 8;

/// The text names no codec. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a codec is one of json, bencode, msgpack, not {found:?}")]
pub struct UnknownCodec {
    /// What was found, at most its first 32 characters.
    pub found: String,
}

/// Why a message was not encoded. Nothing may be sent in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// It takes up more bytes than may be sent.
    #[error("the message takes {len} bytes where {limit} may be sent")]
    TooLarge {
        /// Bytes that it takes up.
        len: usize,
        /// Bytes that may be sent.
        limit: usize,
    },
}

/// Why a datagram was not read. It is dropped without an answer, as on the legacy network; a stranger can cause any
/// of these at will.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There is nothing in it.
    #[error("the datagram is empty")]
    Empty,
    /// It is not well-formed, or not a dictionary.
    #[error("the datagram is malformed: {0}")]
    Malformed(&'static str),
    /// Its lists and dictionaries nest deeper than [`MAX_DEPTH`].
    #[error("the datagram nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// A field stands in it twice.
    #[error("the message has a field twice")]
    Duplicate,
    /// The type is none of this wire's: a later version's, perhaps.
    #[error("the message is of an unknown type")]
    UnknownType,
    /// The query id is missing, not a string, or longer than 32 bytes, so that it could not be echoed.
    #[error("the query id is not a string of at most 32 bytes")]
    QueryId,
    /// The sender is missing, or its id or port is not one.
    #[error("the sender is not a node id and a port")]
    BadSender,
    /// A field without which such a message says nothing is missing or null.
    #[error("the message lacks its `{0}`")]
    Missing(&'static str),
    /// A field that such a message reads is of another type or out of range.
    #[error("the message's `{0}` is not what it should be")]
    BadField(&'static str),
}
