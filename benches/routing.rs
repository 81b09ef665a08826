//! What the routing table costs per datagram, at the sizes that networks of thousands of nodes give it.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use kademlia_dynamic::internals::RoutingTable;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::prefix::Prefix;

const OWN: NodeId = NodeId::ZERO;

/// A peer that shares at least `shared` bits with us, in a subnet of its own.
fn peer(entropy: &mut SeededEntropy, shared: u32, number: u32) -> Peer {
    let [_, a, b, c] = number.to_be_bytes();
    let id = Prefix::of(&OWN, shared).random_id(entropy);
    Peer::new(id, SocketAddr::from(([40 + a, b, c, 1], 4_000)))
}

/// A table of `size` peers.
fn table(size: usize, now: Instant) -> RoutingTable {
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

fn benches(criterion: &mut Criterion) {
    let now = Instant::now();
    for size in [200, 1_000] {
        let full = table(size, now);
        let mut entropy = SeededEntropy::new(2);
        let targets: Vec<Peer> = (0..1_024).map(|number| peer(&mut entropy, 0, 1_000_000 + number)).collect();
        let known = full.verified_peers(usize::MAX);
        let asker = targets[0].addr;

        let mut turn = 0;
        let mut next = move || {
            turn += 1;
            turn
        };
        criterion.bench_function(&format!("nearest 20 to a random id, {size} peers"), |bench| {
            bench.iter(|| black_box(full.nearest(&targets[next() % 1_024].id, 20)));
        });
        criterion.bench_function(&format!("nearest 20 to our own id, {size} peers"), |bench| {
            bench.iter(|| black_box(full.nearest(&OWN, 20)));
        });
        criterion.bench_function(&format!("nearest 20 for an asker, {size} peers"), |bench| {
            bench.iter(|| black_box(full.nearest_for(&targets[next() % 1_024].id, 20, &asker)));
        });
        criterion.bench_function(&format!("a known peer answers, {size} peers"), |bench| {
            let mut table = full.clone();
            bench.iter(|| black_box(table.peer_answered(known[next() % known.len()], Some(1), now)));
        });
        criterion.bench_function(&format!("a stranger answers at a full bucket, {size} peers"), |bench| {
            let mut table = full.clone();
            bench.iter(|| black_box(table.peer_answered(targets[next() % 1_024], Some(1), now)));
        });
        criterion.bench_function(&format!("a stranger asks in a flood, {size} peers"), |bench| {
            let mut table = full.clone();
            let mut clock = now;
            bench.iter(|| {
                clock += Duration::from_micros(20);
                black_box(table.peer_asked(targets[next() % 1_024], clock))
            });
        });
        criterion.bench_function(&format!("insert all into an empty table, {size} peers"), |bench| {
            let empty = || RoutingTable::new(OWN, &Config::default(), now);
            let insert = |mut table: RoutingTable| {
                for peer in &known {
                    let _ = table.peer_answered(*peer, Some(1), now);
                }
                table
            };
            bench.iter_batched(empty, insert, BatchSize::SmallInput);
        });
    }
}

criterion_group!(routing, benches);
criterion_main!(routing);
