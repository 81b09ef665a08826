//! Lookups in a network of nodes that answer at once: what each answers is prepared.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use kademlia_dynamic::internals::{Ending, Goal, Lookup, Next};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::SeededEntropy;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::prefix::Prefix;

/// The nodes of the network.
pub const NODES: usize = 1_000;

/// A network, with the answer of each of its nodes about one target.
pub struct Network {
    own: Peer,
    target: NodeId,
    config: Config,
    answers: HashMap<NodeId, Vec<Peer>>,
}

impl Network {
    pub fn new() -> Self {
        let (mut entropy, config) = (SeededEntropy::new(1), Config::default());
        let place = |number: usize| SocketAddr::from((Ipv4Addr::new(45, (number >> 8) as u8, number as u8, 1), 4_000));
        let peers: Vec<Peer> =
            (0..NODES).map(|number| Peer::new(Prefix::ALL.random_id(&mut entropy), place(number))).collect();
        let target = NodeId::of_key("what is looked for");
        Self { own: peers[0], target, answers: answers(&peers, &target, config.lookup.k), config }
    }

    /// One lookup, up to its end.
    pub fn look_up(&self, goal: Goal) -> Lookup {
        let now = Instant::now();
        let seeds = &self.answers[&self.own.id];
        let mut lookup = Lookup::new(self.own.id, self.target, goal, &self.config, true, seeds, now);
        let mut in_flight = Vec::with_capacity(self.config.lookup.alpha);
        loop {
            match lookup.next(now) {
                Next::Query(peer) => in_flight.push(peer),
                Next::Wait { .. } => {
                    let peer = in_flight.remove(0);
                    lookup.handle_peers(&peer, &self.answers[&peer.id], now);
                }
                Next::Finished(ending) => {
                    assert_eq!(ending, Ending::Complete);
                    return lookup;
                }
            }
        }
    }
}

/// For each node, the k nearest to `target` of those in its buckets.
fn answers(peers: &[Peer], target: &NodeId, k: usize) -> HashMap<NodeId, Vec<Peer>> {
    let answer = |own: usize| {
        let mut taken = [0; 161];
        let mut known = Vec::new();
        for step in 1..peers.len() {
            let other = peers[(own + step) % peers.len()];
            let bucket = peers[own].id.common_prefix(&other.id) as usize;
            if taken[bucket] < k {
                taken[bucket] += 1;
                known.push(other);
            }
        }
        known.sort_by_key(|peer| peer.id.distance(target));
        known.truncate(k);
        known
    };
    peers.iter().enumerate().map(|(number, peer)| (peer.id, answer(number))).collect()
}
