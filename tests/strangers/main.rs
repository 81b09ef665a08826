//! What strangers can do to a node, in numbers: what they make it believe (`quorum.rs`), whom they make it ask
//! (`reflection.rs`) and for how long (`endless.rs`), what it sends to addresses in whose name they ask (`spoofed.rs`), what of
//! their writes and answers has effect (`conflict.rs`, `forged.rs`), and how far they fill its table (`table.rs`).

mod conflict;
mod endless;
mod forged;
mod quorum;
mod reflection;
mod spoofed;
mod sybils;
mod table;

use kademlia_dynamic::protocol::entropy::SeededEntropy;
use kademlia_dynamic::protocol::prefix::Prefix;
use kademlia_dynamic::sim::MemoryNetwork;
use kademlia_dynamic::{Node, NodeBuilder, NodeId};

fn own_id() -> NodeId {
    NodeId::of_key("the node under test")
}

async fn start(network: &MemoryNetwork, builder: NodeBuilder) -> Node {
    builder.node_id(own_id()).seed(1).start_local_over(network.endpoint()).await.expect("a node starts")
}

fn random_id(entropy: &mut SeededEntropy) -> NodeId {
    Prefix::ALL.random_id(entropy)
}
