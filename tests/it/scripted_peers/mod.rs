//! How an application is tested against scripted peers (`application.rs`), and what our node does when its peers lie, keep
//! silent, or are not who they say (`behaviour.rs`), what it does not go on with (`bounds.rs`), when
//! a stranger sends in another's name (`addresses.rs`), and when datagrams get lost (`resends.rs`).

mod addresses;
mod application;
mod behaviour;
mod bounds;
mod resends;

use kademlia_dynamic::sim::{MemoryNetwork, ScriptedPeers};
use kademlia_dynamic::{Config, Node};

use crate::support::{known, node_among};

/// A loopback network, `n` scripted peers, and a node with all of them in its table.
async fn among(n: usize) -> (MemoryNetwork, ScriptedPeers, Node) {
    let (network, peers, node) = node_among(n, Config::default()).await;
    assert_eq!(known(&node).await.len(), n);
    (network, peers, node)
}
