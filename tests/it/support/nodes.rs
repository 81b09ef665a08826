//! The node under test and the scripted peers around it.

use kademlia_dynamic::protocol::entropy::SeededEntropy;
use kademlia_dynamic::protocol::prefix::Prefix;
use kademlia_dynamic::sim::{Asked, MemoryNetwork, ScriptedPeers};
use kademlia_dynamic::{Codec, Config, Node, NodeBuilder, NodeId, Peer};
use tokio::time::sleep;

use super::SECOND;

/// The id of the node under test.
pub(crate) fn own_id() -> NodeId {
    NodeId::of_key("the node under test")
}

pub(crate) fn random_id(entropy: &mut SeededEntropy) -> NodeId {
    Prefix::ALL.random_id(entropy)
}

/// The default settings with this `k`.
pub(crate) fn with_k(k: usize) -> Config {
    Config::builder().k(k).build().expect("within its range")
}

/// Starts the node under test at an address of its own.
pub(crate) async fn start(network: &MemoryNetwork, builder: NodeBuilder) -> Node {
    builder.node_id(own_id()).seed(1).start_local_over(network.endpoint()).await.expect("a node starts")
}

/// Starts the node under test, joined through the first of `peers`.
async fn join(network: &MemoryNetwork, peers: &ScriptedPeers, config: Config) -> Node {
    start(network, Node::builder().config(config).bootstrap([peers.addr(0)])).await
}

/// A loopback network, `n` scripted peers that know each other, and the node under test, which has joined them. The peers
/// have forgotten what they were asked so far.
pub(crate) async fn node_among(n: usize, config: Config) -> (MemoryNetwork, ScriptedPeers, Node) {
    node_among_kind(false, n, config).await
}

/// [`node_among`], with peers that answer as legacy nodes do where `legacy` says so.
pub(crate) async fn node_among_kind(legacy: bool, n: usize, config: Config) -> (MemoryNetwork, ScriptedPeers, Node) {
    let network = MemoryNetwork::new(7);
    let peers = ScriptedPeers::new(&network, Codec::Json).with(n);
    let peers = if legacy { peers.legacy() } else { peers };
    let node = join(&network, &peers, config).await;
    peers.forget_heard();
    (network, peers, node)
}

/// [`node_among`], five seconds later: no peer is a newcomer any more.
pub(crate) async fn joined_among(n: usize, config: Config) -> (MemoryNetwork, ScriptedPeers, Node) {
    joined_among_kind(false, n, config).await
}

/// [`node_among_kind`], five seconds later.
pub(crate) async fn joined_among_kind(legacy: bool, n: usize, config: Config) -> (MemoryNetwork, ScriptedPeers, Node) {
    let (network, peers, node) = node_among_kind(legacy, n, config).await;
    sleep(5 * SECOND).await;
    peers.forget_heard();
    (network, peers, node)
}

/// Has the node see each of the peers answer, so that none is taken for a newcomer, which would be handed values.
pub(crate) async fn ping_all(node: &Node, peers: &ScriptedPeers) {
    for n in 0..peers.len() {
        node.ping(peers.addr(n)).await.unwrap();
    }
}

/// How many of the peers are nearer to `key` than the node.
pub(crate) fn nearer(peers: &ScriptedPeers, node: &Node, key: &str) -> usize {
    let place = NodeId::of_key(key);
    (0..peers.len()).filter(|n| peers.id(*n).distance(&place) < node.id().distance(&place)).count()
}

/// Keys to which k of the peers at least are nearer than the node.
pub(crate) fn keys_beyond(peers: &ScriptedPeers, node: &Node, k: usize) -> impl Iterator<Item = String> {
    (0..).map(|n| format!("key {n}")).filter(move |key| nearer(peers, node, key) >= k)
}

/// The peers in the table of `node`.
pub(crate) async fn known(node: &Node) -> Vec<Peer> {
    let table = node.snapshot().await.expect("the node runs").table;
    table.buckets.iter().flat_map(|bucket| &bucket.peers).map(|entry| entry.peer).collect()
}

/// The numbers of the peers, nearest to `key` first.
pub(crate) fn by_distance(peers: &ScriptedPeers, key: &str) -> Vec<usize> {
    let key = NodeId::of_key(key);
    let mut numbers: Vec<usize> = (0..peers.len()).collect();
    numbers.sort_by_key(|n| peers.id(*n).distance(&key));
    numbers
}

/// The requests of the type `name` that the peers have received.
pub(crate) fn requests(peers: &ScriptedPeers, name: &str) -> Vec<Asked> {
    peers.heard().into_iter().filter(|asked| asked.request.name() == name).collect()
}
