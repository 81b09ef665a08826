//! A routing table of many peers, and peers that are not in it.

use std::net::SocketAddr;
use std::time::Instant;

use kademlia_dynamic::internals::RoutingTable;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::prefix::Prefix;

/// The id of the node whose table it is.
pub const OWN: NodeId = NodeId::ZERO;

/// A peer that shares at least `shared` bits with us, in a subnet of its own.
fn peer(entropy: &mut SeededEntropy, shared: u32, number: u32) -> Peer {
    let [_, a, b, c] = number.to_be_bytes();
    let id = Prefix::of(&OWN, shared).random_id(entropy);
    Peer::new(id, SocketAddr::from(([40 + a, b, c, 1], 4_000)))
}

/// A table of `size` peers.
pub fn table(size: usize, now: Instant) -> RoutingTable {
    let mut entropy = SeededEntropy::new(1);
    let mut table = RoutingTable::new(OWN, &Config::default(), now);
    let mut number = 0;
    while table.len() < size {
        let shared = entropy.below(size as u64 / 20 + 1) as u32;
        let _ = table.peer_answered(peer(&mut entropy, shared, number), Some(1), now);
        number += 1;
    }
    table
}

/// 1,024 peers that share no bit on purpose.
pub fn strangers() -> Vec<Peer> {
    let mut entropy = SeededEntropy::new(2);
    (0..1_024).map(|number| peer(&mut entropy, 0, 1_000_000 + number)).collect()
}
