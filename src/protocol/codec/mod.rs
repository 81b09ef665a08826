//! The three spellings of one vocabulary: JSON, bencode and MessagePack (WIRE.md).
//!
//! Reading is strict where the wire gives room, since what comes in is a stranger's; writing is canonical. No codec
//! recurses on its input or allocates beyond its size.

use serde::{Deserialize, Serialize};

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
    MessagePack,
}
