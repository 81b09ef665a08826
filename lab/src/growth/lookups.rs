//! Lookups of one node, one or many at once, in a simulated network of 200 nodes in this thread.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use kademlia_dynamic::NodeId;
use kademlia_dynamic::sim::Sim;

use super::series::{Part, ROUNDS, Series};
use crate::failure::Failure;
use crate::simulated::internal;

/// Nodes of the network.
const NODES: usize = 200;
/// Lookups that a point measures, at least.
const LOOKUPS: usize = 1_000;
/// The network is as it stays.
const SETTLED: Duration = Duration::from_secs(600);

pub(super) fn measure(sizes: &[usize]) -> Result<Series, Failure> {
    Sim::run(Sim::builder().nodes(NODES).seed(1), async |sim| measure_in(&sim, sizes).await).map_err(internal)?
}

async fn measure_in(sim: &Sim, sizes: &[usize]) -> Result<Series, Failure> {
    let mut series = Series::new(Part::Lookups, "lookup for nodes");
    sim.run_for(SETTLED).await;
    let node = sim.places().first().and_then(|place| sim.node(*place)).ok_or_else(|| internal("there is no node"))?;
    let mut number = 0;
    for size in sizes {
        let turns = (LOOKUPS / size).max(1);
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            for _ in 0..turns {
                let lookups = (0..*size).map(|n| node.find_node(NodeId::of_key(&format!("target {}", number + n))));
                let found = try_join_all(lookups).await.map_err(internal)?;
                if found.iter().any(Vec::is_empty) {
                    return Err(internal("a lookup found no node"));
                }
                number += size;
            }
            rounds.push(begun.elapsed());
        }
        series.add(*size, turns * size, rounds);
    }
    Ok(series)
}
