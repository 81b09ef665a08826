//! What strangers can do to a node, in numbers: what they make it believe (`quorum.rs`), whom they make it ask
//! (`reflection.rs`) and for how long (`endless.rs`), what it sends to addresses in whose name they ask (`spoofed.rs`, `pings.rs`, `participants.rs`), what of
//! their writes and answers has effect (`conflict.rs`, `forged.rs`), and how far they fill its table (`table.rs`).

mod conflict;
mod endless;
mod forged;
mod participants;
mod pings;
mod quorum;
mod reflection;
mod spoofed;
mod sybils;
mod table;

use std::net::SocketAddr;

use kademlia_dynamic::protocol::entropy::SeededEntropy;
use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Sender};
use kademlia_dynamic::protocol::prefix::Prefix;
use kademlia_dynamic::sim::MemoryNetwork;
use kademlia_dynamic::{Codec, Node, NodeBuilder, NodeId};

fn own_id() -> NodeId {
    NodeId::of_key("the node under test")
}

async fn start(network: &MemoryNetwork, builder: NodeBuilder) -> Node {
    builder.node_id(own_id()).seed(1).start_local_over(network.endpoint()).await.expect("a node starts")
}

/// The datagram of a sender that claims this id and says this version.
fn spell(codec: Codec, from: SocketAddr, claim: Option<NodeId>, id: u64, version: Option<u32>, body: Body) -> Vec<u8> {
    let (id, sender) = (QueryId::from_u64(id), Sender::new(claim, from));
    codec.encode(&Message { id, sender, version, token: None, body }).expect("it fits a datagram")
}

fn random_id(entropy: &mut SeededEntropy) -> NodeId {
    Prefix::ALL.random_id(entropy)
}
