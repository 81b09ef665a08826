//! `kad-lab publish`: one publisher with many values in a simulated network, and what it costs to renew all of them once.

use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::try_join_all;
use kademlia_dynamic::actors::snapshot::MessageTraffic;
use kademlia_dynamic::sim::Sim;
use kademlia_dynamic::{Codec, Config, Node};
use serde::Serialize;

use crate::failure::Failure;
use crate::process::own_memory;
use crate::simulated::{self, Report, SimulatedArgs, internal};

/// Each value is renewed once between half of this time and all of it after it was set.
const INTERVAL: Duration = Duration::from_secs(3_600);
/// How often it is looked how far the pass is.
const TICK: Duration = Duration::from_secs(5);
/// Values that are set at once.
const AT_ONCE: u32 = 200;

#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// How many nodes beside the publisher
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    nodes: u32,
    /// How many values
    #[arg(long, value_name = "V", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    values: u32,
    #[command(flatten)]
    simulated: SimulatedArgs,
}

/// What one renewal of all values took.
#[derive(Debug, Serialize)]
struct Renewal {
    nodes: u32,
    values: u32,
    codec: Codec,
    seed: u64,
    /// Lookups that the publisher began.
    lookups: u64,
    /// Datagrams that it sent and received, each message but those of lookups, and pings.
    renewal_datagrams: u64,
    /// All datagrams that it sent and received.
    datagrams: u64,
    datagrams_per_value: f64,
    /// How long passes ran, in seconds of the simulated network, to 5 s.
    pass_seconds: u64,
    /// The time of this process while they did, for all nodes together, in seconds.
    process_seconds: f64,
    /// The resident memory of this process before and at most, in MiB.
    memory_mib: [u64; 2],
}

/// Runs it.
pub(crate) fn run(args: &PublishArgs) -> Result<(), Failure> {
    // Holders restore nothing meanwhile, and no bucket is refreshed, so that all traffic is the publisher's.
    let long = INTERVAL * 24;
    let config = Config::builder().key_expiry(long).republish_interval(INTERVAL).restore_interval(long);
    let config = config.bucket_refresh_interval(long);
    let config = config.build().map_err(internal)?;
    let sim = Sim::builder().nodes(args.nodes as usize).config(config);
    simulated::run(&args.simulated, sim, async |sim| measure(args, &sim).await)
}

async fn measure(args: &PublishArgs, sim: &Sim) -> Result<Renewal, Failure> {
    let node = sim.node_builder().start_local_over(sim.network().endpoint()).await.map_err(internal)?;
    for first in (0..args.values).step_by(AT_ONCE as usize) {
        let numbers = first..args.values.min(first + AT_ONCE);
        try_join_all(numbers.map(|n| node.set(format!("key {n}"), format!("value {n}")))).await.map_err(internal)?;
    }
    // Nothing of the first publication is counted.
    let (before, memory_before, end) =
        (Traffic::of(&node).await?, own_memory().map_or(0, |(now, _)| now >> 20), sim.now() + INTERVAL);
    let (mut pass_seconds, mut process) = (0, Duration::ZERO);
    while sim.now() < end {
        let begun = Instant::now();
        sim.run_for(TICK).await;
        if node.snapshot().await.map_err(internal)?.store.pass.is_some() {
            pass_seconds += TICK.as_secs();
            process += begun.elapsed();
        }
    }
    let after = Traffic::of(&node).await?;
    let datagrams = after.all - before.all;
    Ok(Renewal {
        nodes: args.nodes,
        values: args.values,
        codec: args.simulated.codec,
        seed: args.simulated.seed,
        lookups: after.lookups - before.lookups,
        renewal_datagrams: after.renewal - before.renewal,
        datagrams,
        datagrams_per_value: datagrams as f64 / f64::from(args.values),
        pass_seconds,
        process_seconds: process.as_secs_f64(),
        memory_mib: [memory_before, own_memory().map_or(0, |(_, most)| most >> 20)],
    })
}

/// What a node has sent and received.
struct Traffic {
    all: u64,
    renewal: u64,
    lookups: u64,
}

impl Traffic {
    async fn of(node: &Node) -> Result<Self, Failure> {
        let snapshot = node.snapshot().await.map_err(internal)?;
        let both = |row: &MessageTraffic| row.sent + row.received;
        let renews = |row: &&MessageTraffic| !row.message.starts_with("find_") && !row.message.starts_with('p');
        Ok(Self {
            all: snapshot.traffic.iter().map(both).sum(),
            renewal: snapshot.traffic.iter().filter(renews).map(both).sum(),
            lookups: snapshot.counters.get("kad_lookups_total").copied().unwrap_or_default(),
        })
    }
}

impl Report for Renewal {
    fn title(&self) -> String {
        let Self { nodes, values, codec, seed, .. } = self;
        format!("One publisher of {values} values among {nodes} nodes, {codec}, seed {seed}: one renewal of all")
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("lookups", self.lookups.to_string()),
            ("datagrams, both ways", self.datagrams.to_string()),
            ("without those of lookups and pings", self.renewal_datagrams.to_string()),
            ("datagrams per value", format!("{:.2}", self.datagrams_per_value)),
            ("passes ran, in the network's time", format!("{} s", self.pass_seconds)),
            ("time of this process meanwhile, all nodes", format!("{:.1} s", self.process_seconds)),
            ("memory of this process", format!("{} MiB, then at most {} MiB", self.memory_mib[0], self.memory_mib[1])),
        ]
    }
}
