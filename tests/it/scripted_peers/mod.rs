//! How an application is tested against scripted peers (`application.rs`), and what our node does when its peers lie, keep
//! silent, or are not who they say (`behaviour.rs`), what it does not go on with (`bounds.rs`), when
//! a stranger sends in another's name (`addresses.rs`), and when datagrams get lost (`resends.rs`).

mod addresses;
mod application;
mod behaviour;
mod bounds;
mod resends;

use kademlia_dynamic::sim::{Asked, MemoryNetwork, ScriptedPeers};
use kademlia_dynamic::{Codec, Node, NodeBuilder, NodeId, Peer};

fn own_id() -> NodeId {
    NodeId::of_key("the node under test")
}

/// A loopback network with `n` scripted peers, and a node that knows them all.
async fn house(n: usize) -> (MemoryNetwork, ScriptedPeers, Node) {
    let network = MemoryNetwork::new(7);
    let peers = ScriptedPeers::new(&network, Codec::Json).with(n);
    let node = start(&network, Node::builder().bootstrap([peers.addr(0)])).await;
    assert_eq!(known(&node).await.len(), n);
    peers.forget_heard();
    (network, peers, node)
}

async fn start(network: &MemoryNetwork, builder: NodeBuilder) -> Node {
    builder.node_id(own_id()).seed(1).start_local_over(network.endpoint()).await.expect("a node starts")
}

/// Who is in the node's table.
async fn known(node: &Node) -> Vec<Peer> {
    let table = node.snapshot().await.expect("the node runs").table;
    table.buckets.iter().flat_map(|bucket| &bucket.peers).map(|entry| entry.peer).collect()
}

fn named<'a>(heard: &'a [Asked], name: &'a str) -> impl Iterator<Item = &'a Asked> {
    heard.iter().filter(move |asked| asked.request.name() == name)
}
