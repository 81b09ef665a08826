//! The errors of the codecs: reasons for which a message is not encoded, and a datagram is not decoded.

/// The deepest nesting of lists and dictionaries in bencode and MessagePack, the message itself included. A message of this
/// wire needs 3; a deeper one is dropped, even where only its value is deeper. JSON needs no such bound: unknown fields are
/// skipped without recursion.
pub const MAX_DEPTH: usize = 8;

/// The text names no codec. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a codec is one of json, bencode, msgpack, not {found:?}")]
pub struct UnknownCodec {
    /// The text, at most its first 32 characters.
    pub found: String,
}

/// Reasons for which a message was not encoded. Nothing may be sent in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message takes up more bytes than may be sent.
    #[error("the message takes {len} bytes where {limit} may be sent")]
    TooLarge {
        /// Bytes that it takes up.
        len: usize,
        /// Bytes that may be sent.
        limit: usize,
    },
}

/// Reasons for which a datagram was not decoded. It is dropped without an answer, as on the legacy network; a stranger can
/// cause each of these at will.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The datagram is empty.
    #[error("the datagram is empty")]
    Empty,
    /// The datagram is not well-formed, or not a dictionary.
    #[error("the datagram is malformed: {0}")]
    Malformed(&'static str),
    /// Its lists and dictionaries nest deeper than [`MAX_DEPTH`].
    #[error("the datagram nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// The message has a field twice.
    #[error("the message has a field twice")]
    Duplicate,
    /// The type is unknown: it may be one of a later version.
    #[error("the message is of an unknown type")]
    UnknownType,
    /// The query id is missing, not a string, or longer than 32 bytes, so that it could not be echoed.
    #[error("the query id is not a string of at most 32 bytes")]
    QueryId,
    /// The sender is missing, or its id or port is not one.
    #[error("the sender is not a node id and a port")]
    BadSender,
    /// A required field of such a message is missing or null.
    #[error("the message lacks its `{0}`")]
    Missing(&'static str),
    /// A field of such a message is of another type or out of range.
    #[error("the message's `{0}` is not what it should be")]
    BadField(&'static str),
}
