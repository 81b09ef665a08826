//! The routing table as it knows more peers.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use kademlia_dynamic::internals::RoutingTable;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::id::{NODE_ID_BITS, NodeId};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::prefix::Prefix;

use super::series::{Part, Series};
use crate::failure::Failure;
use crate::process::own_memory;

const OWN: NodeId = NodeId::ZERO;
/// Peers of an answer.
const NEAREST: usize = 20;
/// Steps of a round.
const STEPS: usize = 10_000;
/// Tables of which the memory is measured.
const COPIES: usize = 20;
/// Peers of a bucket, beside which there are as many in reserve.
const BUCKET: u64 = 20;

pub(super) fn measure(sizes: &[usize]) -> Result<Vec<Series>, Failure> {
    let now = Instant::now();
    let [mut insert, mut nearest] = ["insert", "nearest 20"].map(|step| Series::new(Part::Peers, step));
    for size in sizes {
        let full = table(*size, now);
        let peers = full.verified_peers(usize::MAX);
        let empty = || RoutingTable::new(OWN, &Config::default(), now);
        insert.measure(*size, peers.len(), empty, |table, number| {
            let _ = black_box(table.peer_answered(peers[number], Some(1), now));
        });
        let mut entropy = SeededEntropy::new(2);
        let targets: Vec<NodeId> = (0..STEPS).map(|_| Prefix::of(&OWN, 0).random_id(&mut entropy)).collect();
        nearest.measure(
            *size,
            STEPS,
            || (),
            |(), number| {
                black_box(full.nearest(&targets[number], NEAREST));
            },
        );
        let before = own_memory()?.0;
        let copies: Vec<RoutingTable> = (0..COPIES).map(|_| full.clone()).collect();
        insert.bytes = Some((own_memory()?.0.saturating_sub(before)) as f64 / (COPIES * size) as f64);
        drop(copies);
    }
    Ok(vec![insert, nearest])
}

/// A table of `size` peers. Most of them are nearer to this node than those of any real network: only so are there enough buckets.
fn table(size: usize, now: Instant) -> RoutingTable {
    let (mut entropy, mut number) = (SeededEntropy::new(1), 0_u32);
    let mut table = RoutingTable::new(OWN, &Config::default(), now);
    while table.len() < size {
        let shared = (entropy.below(size as u64 / BUCKET + 1) as u32).min(NODE_ID_BITS - 8);
        let [_, a, b, c] = number.to_be_bytes();
        let id = Prefix::of(&OWN, shared).random_id(&mut entropy);
        let _ = table.peer_answered(Peer::new(id, SocketAddr::from(([40 + a, b, c, 1], 4_000))), Some(1), now);
        number += 1;
    }
    table
}
