//! `kad-lab loopback`: reads and writes in a network of nodes of this process, each with a socket of its own, over the loopback
//! interface.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kademlia_dynamic::actors::outcome::GetResult;
use kademlia_dynamic::actors::requests::GetOptions;
use kademlia_dynamic::{Codec, Config, Node, NodeBuilder, NodeId};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::output;
use crate::simulated::internal;

pub(crate) const LOOPBACK_EXAMPLES: &str = "\
Examples:
  kad-lab loopback                          # 200 nodes
  kad-lab loopback --nodes 50 --wire msgpack

Each node joins through the first one, and looks up 20 random ids, so that its table is settled. Then values of 200 bytes are set, \
and read by other nodes, which ask the network even where they hold a copy, one after the other: those are the times. The rates \
are those of as many operations at once, from all nodes in turn.";

/// Nodes that start at once.
const STARTING: usize = 8;
/// Lookups of each node before anything is measured.
const WARM_UP: usize = 20;
/// Bytes of a value.
const VALUE_LEN: usize = 200;

#[derive(Debug, Args)]
pub(crate) struct LoopbackArgs {
    /// How many nodes. Each takes some file descriptors: see `ulimit -n`
    #[arg(long, value_name = "N", default_value = "200", value_parser = clap::value_parser!(u32).range(2..=2_000))]
    nodes: u32,
    /// Operations of each kind, one after the other
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(10..=100_000))]
    operations: u32,
    /// Operations at once, where rates are measured
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    at_once: u32,
    /// The wire: json, bencode or msgpack
    #[arg(long, value_name = "WIRE", default_value = "json")]
    wire: Codec,
    /// Give each node a thread of its own, as applications do. Otherwise all run in one
    #[arg(long)]
    threads: bool,
    /// Print the figures as one line of JSON
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    nodes: u32,
    wire: Codec,
    operations: u32,
    at_once: u32,
    /// Seconds until all nodes had joined.
    joined: f64,
    /// One after the other.
    set: Times,
    get: Times,
    /// Operations a second, many at once.
    sets_per_second: f64,
    gets_per_second: f64,
}

/// Milliseconds.
#[derive(Debug, Serialize)]
struct Times {
    median: f64,
    p99: f64,
}

/// Measures, and prints the figures.
pub(crate) fn run(args: &LoopbackArgs) -> Result<(), Failure> {
    let measured = actix_rt::System::new().block_on(measure(args))?;
    output::print(&if args.json { output::json(&measured) } else { text(&measured) })
}

async fn measure(args: &LoopbackArgs) -> Result<Measured, Failure> {
    let begun = Instant::now();
    let nodes = start(args).await?;
    let joined = begun.elapsed().as_secs_f64();
    let network = Network { nodes, value: "v".repeat(VALUE_LEN) };
    network.settle().await?;
    let (count, at_once) = (args.operations as usize, args.at_once as usize);
    let mut sets = Vec::new();
    for number in 0..count {
        sets.push(network.set(number).await?);
    }
    let mut gets = Vec::new();
    for number in 0..count {
        gets.push(network.get(number).await?);
    }
    let rated = count * 4;
    let begun = Instant::now();
    let all = stream::iter((count..count + rated).map(|number| network.set(number)));
    all.buffer_unordered(at_once).try_for_each(|_| async { Ok(()) }).await?;
    let sets_per_second = rated as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let all = stream::iter((count..count + rated).map(|number| network.get(number)));
    all.buffer_unordered(at_once).try_for_each(|_| async { Ok(()) }).await?;
    let gets_per_second = rated as f64 / begun.elapsed().as_secs_f64();
    futures_util::future::join_all(network.nodes.iter().map(Node::stop)).await;
    Ok(Measured {
        nodes: args.nodes,
        wire: args.wire,
        operations: args.operations,
        at_once: args.at_once,
        joined,
        set: Times::of(sets),
        get: Times::of(gets),
        sets_per_second,
        gets_per_second,
    })
}

async fn start(args: &LoopbackArgs) -> Result<Vec<Node>, Failure> {
    let builder = || {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Node::builder().bind(at).codec(args.wire).config(Config::default())
    };
    let failed = |error| Failure::new(Exit::System, format!("cannot start a node: {error}"));
    let start = async |builder: NodeBuilder| {
        let node = if args.threads { builder.start().await } else { builder.start_local().await };
        node.map_err(failed)
    };
    let mut nodes = vec![start(builder()).await?];
    let first = nodes[0].local_addr();
    while nodes.len() < args.nodes as usize {
        let more = STARTING.min(args.nodes as usize - nodes.len());
        let started = try_join_all((0..more).map(|_| start(builder().bootstrap([first])))).await?;
        for node in &started {
            node.joined().await.map_err(internal)?;
        }
        nodes.extend(started);
    }
    Ok(nodes)
}

struct Network {
    nodes: Vec<Node>,
    value: String,
}

impl Network {
    /// A node after the other; nodes that follow each other read what others have set.
    fn node(&self, number: usize) -> &Node {
        &self.nodes[number % self.nodes.len()]
    }

    /// Peers that nodes learn of are verified once, which is no part of what is measured.
    async fn settle(&self) -> Result<(), Failure> {
        let lookups = (0..self.nodes.len() * WARM_UP).map(|number| async move {
            self.node(number).find_node(NodeId::of_key(&format!("target {number}"))).await.map(drop)
        });
        stream::iter(lookups).buffer_unordered(STARTING).try_for_each(|()| async { Ok(()) }).await.map_err(internal)
    }

    async fn set(&self, number: usize) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let outcome = self.node(number).set(format!("key {number}"), self.value.as_str()).await.map_err(internal)?;
        if outcome.stored == 0 {
            return Err(internal(format!("no node stored a value: {outcome:?}")));
        }
        Ok(begun.elapsed())
    }

    async fn get(&self, number: usize) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let options = GetOptions::default().fresh(true);
        let read = self.node(number * 7 + 3).get_with(format!("key {number}"), options).await.map_err(internal)?;
        match read.result {
            GetResult::Found { holder: Some(_), .. } => Ok(begun.elapsed()),
            other => Err(internal(format!("key {number} was not read from the network: {other:?}"))),
        }
    }
}

impl Times {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let at = |permille: usize| all.get((all.len() * permille / 1_000).min(all.len() - 1)).copied();
        let [median, p99] = [500, 990].map(|permille| at(permille).unwrap_or_default().as_secs_f64() * 1e3);
        Self { median, p99 }
    }
}

fn text(measured: &Measured) -> String {
    let Measured { nodes, wire, operations, at_once, joined, set, get, sets_per_second, gets_per_second } = measured;
    format!(
        "{nodes} nodes on the loopback interface, {wire}, joined within {joined:.1} s\n  \
         {:<38}median {:.2} ms, p99 {:.2} ms\n  {:<38}median {:.2} ms, p99 {:.2} ms\n  \
         {:<38}{sets_per_second:.0} a second\n  {:<38}{gets_per_second:.0} a second\n",
        format!("{operations} sets, one after the other"),
        set.median,
        set.p99,
        format!("{operations} gets, one after the other"),
        get.median,
        get.p99,
        format!("{} sets, {at_once} at once", operations * 4),
        format!("{} gets, {at_once} at once", operations * 4),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_this_process_is_measured() {
        let args = LoopbackArgs {
            nodes: 5,
            operations: 10,
            at_once: 4,
            wire: Codec::MessagePack,
            threads: false,
            json: false,
        };
        let measured = actix_rt::System::new().block_on(measure(&args)).unwrap();
        for figure in [measured.set.median, measured.get.p99, measured.sets_per_second, measured.gets_per_second] {
            assert!(figure > 0.0, "{measured:?}");
        }
        assert!(text(&measured).contains("40 sets, 4 at once"));
    }
}
