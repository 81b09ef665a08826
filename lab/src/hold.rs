//! `kad-lab hold`: nodes that all hold the same values in a quiet simulated network, and what it costs to keep them.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::future::try_join_all;
use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::sim::{ScriptedPeers, Sim};
use kademlia_dynamic::{Codec, Config, Node};
use serde::Serialize;

use crate::failure::Failure;
use crate::process::{own_cpu, own_memory};
use crate::simulated::{self, Report, SimulatedArgs, internal};

const HOUR: Duration = Duration::from_secs(3_600);
/// Values that are written at once: so many datagrams one node takes at once.
const AT_ONCE: usize = 50;

#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    /// How many nodes. Each of them holds all values
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u32).range(2..=20))]
    nodes: u32,
    /// How many values
    #[arg(long, value_name = "V", default_value = "100000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    values: u32,
    /// For how many hours, of virtual time
    #[arg(long, value_name = "H", default_value = "2", value_parser = clap::value_parser!(u32).range(1..=20))]
    hours: u32,
    #[command(flatten)]
    simulated: SimulatedArgs,
}

/// What keeping the values took.
#[derive(Debug, Serialize)]
struct Holding {
    nodes: u32,
    values: u32,
    hours: u32,
    codec: Codec,
    seed: u64,
    /// Copies that a node has compared with those of a neighbour, each hour, in parts of all that it holds and for each neighbour.
    checked_per_hour: f64,
    /// Datagrams that a node sent and received, each second.
    datagrams_per_second: f64,
    /// The time of a processor that a node took, in parts of the hours.
    processor_share: f64,
    /// Copies of the values that the nodes have lost.
    lost: u64,
    /// The resident memory of this process at most, in MiB.
    memory_mib: u64,
}

/// Runs it.
pub(crate) fn run(args: &HoldArgs) -> Result<(), Failure> {
    let values = args.values as usize;
    let config = Config::builder().max_values(values.saturating_mul(2)).max_store_bytes(1 << 40).build();
    // One writer sends everything, which no rate limit is to slow down.
    let sim = Sim::builder().nodes(args.nodes as usize).scope(AddressScope::Loopback).config(config.map_err(internal)?);
    simulated::run(&args.simulated, sim, async |sim| measure(args, &sim).await)
}

async fn measure(args: &HoldArgs, sim: &Sim) -> Result<Holding, Failure> {
    let nodes: Vec<Node> = sim.places().into_iter().filter_map(|place| sim.node(place)).collect();
    write(args, sim, &nodes).await?;
    // The writer is forgotten, and what its coming and going have caused is over.
    sim.run_for(2 * HOUR).await;
    let (before, processor) = (Figures::of(&nodes).await?, own_cpu()?);
    sim.run_for(HOUR * args.hours).await;
    let (after, processor) = (Figures::of(&nodes).await?, own_cpu()? - processor);
    let (seconds, node_count) = (f64::from(args.hours) * HOUR.as_secs_f64(), f64::from(args.nodes));
    let all = node_count * f64::from(args.values);
    // An exchange is one node's work, and compares the copies of two.
    let compared = 2.0 * (after.checked - before.checked) as f64 / (node_count - 1.0);
    Ok(Holding {
        nodes: args.nodes,
        values: args.values,
        hours: args.hours,
        codec: args.simulated.codec,
        seed: args.simulated.seed,
        checked_per_hour: compared / all / f64::from(args.hours),
        datagrams_per_second: (after.datagrams - before.datagrams) as f64 / node_count / seconds,
        processor_share: processor.as_secs_f64() / node_count / seconds,
        lost: u64::from(args.nodes) * u64::from(args.values) - after.held,
        memory_mib: own_memory()?.1 >> 20,
    })
}

/// Some values are sent to all nodes before the next ones: so that no node has much to bring to another. It takes a small part of the
/// day for which values live.
async fn write(args: &HoldArgs, sim: &Sim, nodes: &[Node]) -> Result<(), Failure> {
    let writer = ScriptedPeers::new(sim.network(), args.simulated.codec).with(1);
    for first in (0..args.values).step_by(AT_ONCE) {
        let numbers = first..args.values.min(first + AT_ONCE as u32);
        let sets = numbers.flat_map(|number| nodes.iter().map(move |node| (number, node.local_addr())));
        let written = sets.map(|(number, to)| {
            let (key, value) = (format!("key {number}").into(), Arc::new(format!("value {number}").into()));
            let answer = writer.ask(0, to, Request::Set { key, value, ttl: None, age: None });
            async move {
                match answer.await {
                    Ok(Response::Set { stored: true, .. }) => Ok(()),
                    answer => Err(internal(format!("a node did not take value {number}: {answer:?}"))),
                }
            }
        });
        try_join_all(written).await?;
    }
    sim.network().remove(writer.addr(0));
    Ok(())
}

/// What the nodes have done, all together.
struct Figures {
    datagrams: u64,
    checked: u64,
    held: u64,
}

impl Figures {
    async fn of(nodes: &[Node]) -> Result<Self, Failure> {
        let mut all = Self { datagrams: 0, checked: 0, held: 0 };
        for node in nodes {
            let snapshot = node.snapshot().await.map_err(internal)?;
            all.datagrams += snapshot.traffic.iter().map(|row| row.sent + row.received).sum::<u64>();
            all.checked += node.counters().get(Counter::ValuesChecked);
            all.held += snapshot.store.held.values as u64;
        }
        Ok(all)
    }
}

impl Report for Holding {
    fn title(&self) -> String {
        let Self { nodes, values, hours, codec, seed, .. } = self;
        format!("{nodes} nodes that hold {values} values for {hours} h, {codec}, seed {seed}")
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("each copy compared with each neighbour's", format!("{:.2} times an hour", self.checked_per_hour)),
            ("datagrams of a node, both ways", format!("{:.3} a second", self.datagrams_per_second)),
            ("processor", format!("{:.3} %", 100.0 * self.processor_share)),
            ("copies lost", self.lost.to_string()),
            ("memory of this process", format!("at most {} MiB", self.memory_mib)),
        ]
    }
}
