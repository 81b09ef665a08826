//! What strangers can do to a node, in numbers: what they make it believe (`quorum.rs`), whom they make it ask
//! (`reflection.rs`) and for how long (`endless.rs`).

mod endless;
mod quorum;
mod reflection;
mod sybils;

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
