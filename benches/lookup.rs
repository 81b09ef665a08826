//! What one lookup costs this node's CPU: the state machine alone, among 1,000 nodes that answer at once.
//! The answers are prepared beforehand; neither codec nor socket nor actors are measured.

#[path = "shared/network.rs"]
mod network;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use kademlia_dynamic::internals::Goal;

use network::{NODES, Network};

fn lookups(criterion: &mut Criterion) {
    let network = Network::new();
    for (name, goal) in [("nodes", Goal::Nodes), ("missed_value", Goal::Value)] {
        criterion.bench_function(&format!("lookup/{name}/{NODES}"), |bencher| {
            bencher.iter(|| network.look_up(black_box(goal)).closest());
        });
    }
}

criterion_group!(benches, lookups);
criterion_main!(benches);
