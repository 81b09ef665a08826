//! What the routing table costs per datagram, at the sizes that networks of thousands of nodes give it.

#[path = "shared/table.rs"]
mod table;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use kademlia_dynamic::internals::RoutingTable;
use kademlia_dynamic::protocol::config::Config;

use table::{OWN, strangers, table};

fn benches(criterion: &mut Criterion) {
    let now = Instant::now();
    for size in [200, 1_000] {
        let full = table(size, now);
        let targets = strangers();
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
