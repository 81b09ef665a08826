//! A Kademlia node made of actors.
extern crate self as kademlia_dynamic;

#[cfg(feature = "node")]
#[path = "../actors/mod.rs"]
pub mod actors;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod protocol;
#[cfg(feature = "sim")]
pub mod sim;

pub use protocol::codec::Codec;
pub use protocol::config::Config;
pub use protocol::id::{NodeId, hash_key_to_node_id, xor_distance};
pub use protocol::peer::Peer;
pub use protocol::value::Value;

#[cfg(feature = "node")]
pub use actors::clock::generate_node_id;
#[cfg(feature = "node")]
pub use actors::node::{Node, NodeBuilder};
#[cfg(feature = "node")]
pub use actors::outcome::{Error, FoundValue, GetOutcome, SetOutcome};
