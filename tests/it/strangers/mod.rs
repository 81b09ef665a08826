//! Attacks by strangers, in numbers: what they make a node believe (`quorum.rs`), which addresses they make it ask
//! (`reflection.rs`) and for how long (`endless.rs`), what it sends to addresses in whose name they ask (`spoofed.rs`, `pings.rs`, `participants.rs`), what of
//! their writes and answers has effect (`conflict.rs`, `forged.rs`), how far they
//! fill its table (`table.rs`), how many of their datagrams are taken at all (`rates.rs`), and what their queries show (`reached.rs`).

mod conflict;
mod endless;
mod forged;
mod metered;
mod operators;
mod participants;
mod pings;
mod quorum;
mod rates;
mod reached;
mod reflection;
mod spoofed;
mod sybils;
mod table;

use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::sim::{MemoryNetwork, ScriptedPeers};
use kademlia_dynamic::{Codec, Config, Node};

use self::metered::{Bytes, Metered};
use crate::support::own_id;

/// A node on a network of global addresses that knows eleven peers, and holds a value of 50 kB and a small one. Also the
/// bytes that it has sent to each address.
async fn holder(codec: Codec, config: Config) -> (MemoryNetwork, ScriptedPeers, Node, Bytes) {
    let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
    let peers = ScriptedPeers::new(&network, codec).with(11);
    let (end, bytes) = (network.endpoint(), Bytes::default());
    let builder = Node::builder().codec(codec).config(config).bootstrap([peers.addr(0)]).node_id(own_id()).seed(1);
    let node = builder.start_local_over(Metered(end, bytes.clone())).await.expect("a node starts");
    assert_eq!(node.set("large", "x".repeat(50_000)).await.expect("it fits").stored, 11);
    assert_eq!(node.set("small", "x").await.expect("it fits").stored, 11);
    (network, peers, node, bytes)
}
