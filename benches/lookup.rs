//! What one lookup costs this node's CPU: the state machine alone, among 1,000 nodes that answer at once.
//! The answers are prepared beforehand; neither codec nor socket nor actors are measured.

use std::collections::HashMap;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use kademlia_dynamic::internals::{Ending, Goal, Lookup, Next};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::SeededEntropy;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::prefix::Prefix;

const NODES: usize = 1_000;

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

fn look_up(config: &Config, own: &Peer, target: NodeId, goal: Goal, answers: &HashMap<NodeId, Vec<Peer>>) -> Lookup {
    let now = Instant::now();
    let mut lookup = Lookup::new(own.id, target, goal, config, true, &answers[&own.id], now);
    let mut in_flight = Vec::with_capacity(config.lookup.alpha);
    loop {
        match lookup.next(now) {
            Next::Query(peer) => in_flight.push(peer),
            Next::Wait { .. } => {
                let peer = in_flight.remove(0);
                lookup.handle_peers(&peer, &answers[&peer.id], now);
            }
            Next::Finished(ending) => {
                assert_eq!(ending, Ending::Complete);
                return lookup;
            }
        }
    }
}

fn lookups(criterion: &mut Criterion) {
    let mut entropy = SeededEntropy::new(1);
    let config = Config::default();
    let place = |number: usize| SocketAddr::from((Ipv4Addr::new(45, (number >> 8) as u8, number as u8, 1), 4000));
    let peers: Vec<Peer> =
        (0..NODES).map(|number| Peer::new(Prefix::ALL.random_id(&mut entropy), place(number))).collect();
    let target = NodeId::of_key("what is looked for");
    let answers = answers(&peers, &target, config.lookup.k);
    for (name, goal) in [("nodes", Goal::Nodes), ("missed_value", Goal::Value)] {
        criterion.bench_function(&format!("lookup/{name}/{NODES}"), |bencher| {
            bencher.iter(|| look_up(&config, &peers[0], black_box(target), goal, &answers).closest());
        });
    }
}

criterion_group!(benches, lookups);
criterion_main!(benches);
