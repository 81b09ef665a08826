//! Hours of mixed load over a simulated network, in virtual time: memory, and what each map of the nodes holds.

use std::time::{Duration, Instant};

use kademlia_dynamic::Codec;
use kademlia_dynamic::protocol::entropy::SeededEntropy;
use kademlia_dynamic::sim::{Churn, Sim};

use super::flooder::{DATAGRAMS, datagram};
use super::{grown, process};

/// Nodes.
const NODES: usize = 50;
/// Values that are set, again and again.
const VALUES: usize = 200;

/// `hours` of it, a line each; what is not as it should be.
pub(crate) fn day(hours: u64) -> Vec<String> {
    let hour = Duration::from_secs(3_600);
    let builder =
        Sim::builder().nodes(NODES).seed(1).codec(Codec::MessagePack).loss(0.01).churn(Churn::weibull(2 * hour));
    let head = ["hour", "memory kB", "values", "cached", "peers", "datagrams", "reads", "found", "took s"];
    println!("{}", head.map(|title| format!("{title:>10}")).join(" "));
    let run = Sim::run(builder, async |sim| {
        let start = Instant::now();
        let (mut reads, mut found, mut memory) = (0u64, 0u64, Vec::new());
        for minute in 1..=hours * 60 {
            for _ in 0..5 {
                let key = format!("key {}", sim.below(VALUES));
                let _ = sim.set(sim.random_node(), &key, format!("at minute {minute}")).await;
                let outcome = sim.get(sim.random_node(), &key).await;
                reads += 1;
                found += u64::from(matches!(outcome, Ok(kademlia_dynamic::GetResult::Found { .. })));
            }
            strangers(&sim, minute);
            sim.run_for(Duration::from_secs(60)).await;
            if minute.is_multiple_of(60) {
                let (mut values, mut cached, mut peers) = (0, 0, 0);
                for place in sim.places() {
                    let Some(node) = sim.node(place) else { continue };
                    let Ok(snapshot) = node.snapshot().await else { continue };
                    values += snapshot.store.published.values + snapshot.store.held.values;
                    cached += snapshot.store.cached.values;
                    peers += snapshot.table.peers;
                }
                memory.push(process::memory_kb());
                let figures = [
                    (minute / 60).to_string(),
                    memory[memory.len() - 1].to_string(),
                    values.to_string(),
                    cached.to_string(),
                    peers.to_string(),
                    sim.network().counters().delivered.to_string(),
                    reads.to_string(),
                    found.to_string(),
                    format!("{:.0}", start.elapsed().as_secs_f64()),
                ];
                println!("{}", figures.map(|figure| format!("{figure:>10}")).join(" "));
            }
        }
        let mut missed: Vec<String> = grown(&memory).into_iter().collect();
        if found < reads * 99 / 100 {
            missed.push(format!("{found} of {reads} reads found their value"));
        }
        missed
    });
    run.expect("the default settings are in their ranges")
}

/// Each minute a new source floods one of the nodes, and is gone.
fn strangers(sim: &Sim, minute: u64) {
    let stranger = sim.network().endpoint();
    let Some(node) = sim.node(sim.random_node()) else { return };
    let mut entropy = SeededEntropy::new(minute);
    // The same keys again and again: what is held stays as it is.
    for n in (0..DATAGRAMS as u64).step_by(8) {
        stranger.send(node.local_addr(), datagram(n, stranger.addr(), &mut entropy));
    }
}
