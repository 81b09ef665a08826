//! `kad-lab publish`: one publisher with many values in a simulated network, and what it costs to renew all of them once.

use std::fs;
use std::time::{Duration, Instant};

use clap::Args;
use kademlia_dynamic::actors::snapshot::MessageTraffic;
use kademlia_dynamic::sim::Sim;
use kademlia_dynamic::{Codec, Config, Node};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::output;

/// Values are due again after an hour at most, and half of it at least. So long after it was set, each has been.
const INTERVAL: Duration = Duration::from_secs(3_600);
/// How often it is looked whether a pass runs.
const TICK: Duration = Duration::from_secs(5);
/// The longest that the renewal of all may take.
const LONGEST: Duration = Duration::from_secs(6 * 3_600);

#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// How many nodes beside the publisher
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    nodes: u32,
    /// How many values
    #[arg(long, value_name = "V", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    values: u32,
    /// How messages are encoded: json, bencode or msgpack
    #[arg(long, value_name = "CODEC", default_value = "json")]
    codec: Codec,
    /// Where all chances come from
    #[arg(long, value_name = "S", default_value = "1")]
    seed: u64,
    /// Print the report as one line of JSON
    #[arg(long)]
    json: bool,
}

/// What one renewal of all values took.
#[derive(Debug, Serialize)]
struct Report {
    nodes: u32,
    values: u32,
    codec: Codec,
    seed: u64,
    /// Lookups that the publisher began, those that refresh its buckets in the time included.
    lookups: u64,
    /// Datagrams that the publisher sent and received, each message but those of lookups.
    renewal_datagrams: u64,
    /// All datagrams that it sent and received.
    datagrams: u64,
    datagrams_per_value: f64,
    /// How long it took, in seconds of the simulated network.
    seconds: u64,
    /// The time of this process that it took, for all nodes together, in seconds.
    process_seconds: f64,
    /// The resident memory of this process before and at most, in MiB.
    memory_mib: [u64; 2],
    /// Values that were not due any more in the end.
    renewed: u64,
}

/// Runs it.
pub(crate) fn run(args: &PublishArgs) -> Result<(), Failure> {
    let values = INTERVAL.mul_f64(10.0);
    // Holders restore nothing meanwhile, so that all traffic is the publisher's.
    let config = Config::builder().key_expiry(values).republish_interval(INTERVAL).restore_interval(values);
    let config = config.build().map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    let sim = Sim::builder().nodes(args.nodes as usize).seed(args.seed).codec(args.codec).config(config);
    let report = Sim::run(sim, async |sim| measure(args, &sim).await);
    let report = report.map_err(|error| Failure::new(Exit::Internal, error.to_string()))??;
    let text = if args.json {
        serde_json::to_string(&report).expect("a report has only strings as keys") + "\n"
    } else {
        report.table()
    };
    output::print(&text)
}

async fn measure(args: &PublishArgs, sim: &Sim) -> Result<Report, Failure> {
    let failed = |error: kademlia_dynamic::Error| Failure::new(Exit::Internal, error.to_string());
    let node = sim.node_builder().start_local_over(sim.network().endpoint()).await.map_err(failed)?;
    for n in 0..args.values {
        node.set(format!("key {n}"), format!("value {n}")).await.map_err(failed)?;
    }
    // Nothing of the first publication is counted.
    let before = (Traffic::of(&node).await?, memory("VmRSS:"));
    let (mut begun, mut left, mut waited) = (None, u64::from(args.values), Duration::ZERO);
    while waited < LONGEST {
        sim.run_for(TICK).await;
        waited += TICK;
        let store = node.snapshot().await.map_err(failed)?.store;
        match (&begun, store.pass) {
            (None, Some(_)) => begun = Some((Instant::now(), sim.now())),
            (Some(_), None) => {
                left = store.republications.due as u64;
                break;
            }
            _ => {}
        }
    }
    let Some((process, virtual_time)) = begun else {
        return Err(Failure::new(Exit::Internal, "no value fell due"));
    };
    let (after, now) = (Traffic::of(&node).await?, sim.now());
    let datagrams = after.all - before.0.all;
    Ok(Report {
        nodes: args.nodes,
        values: args.values,
        codec: args.codec,
        seed: args.seed,
        lookups: after.lookups - before.0.lookups,
        renewal_datagrams: after.renewal - before.0.renewal,
        datagrams,
        datagrams_per_value: datagrams as f64 / f64::from(args.values),
        seconds: now.saturating_sub(virtual_time).as_secs(),
        process_seconds: process.elapsed().as_secs_f64(),
        memory_mib: [before.1, memory("VmHWM:")],
        renewed: u64::from(args.values) - left,
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
        let snapshot = node.snapshot().await.map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
        let both = |row: &MessageTraffic| row.sent + row.received;
        let renews = |row: &&MessageTraffic| !row.message.starts_with("find_") && !row.message.starts_with('p');
        Ok(Self {
            all: snapshot.traffic.iter().map(both).sum(),
            renewal: snapshot.traffic.iter().filter(renews).map(both).sum(),
            lookups: snapshot.counters.get("kad_lookups_total").copied().unwrap_or_default(),
        })
    }
}

/// A row of this process's status in MiB; 0 where the system has none.
fn memory(row: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix(row)?.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1_024
}

impl Report {
    fn table(&self) -> String {
        let Self { nodes, values, codec, seed, .. } = self;
        let rows = [
            ("values renewed", format!("{} of {values}", self.renewed)),
            ("lookups", self.lookups.to_string()),
            ("datagrams, both ways", self.datagrams.to_string()),
            ("without those of lookups and refreshes", self.renewal_datagrams.to_string()),
            ("datagrams per value", format!("{:.2}", self.datagrams_per_value)),
            ("time in the network", format!("{} s", self.seconds)),
            ("time of this process, all nodes", format!("{:.1} s", self.process_seconds)),
            ("memory of this process", format!("{} MiB, then at most {} MiB", self.memory_mib[0], self.memory_mib[1])),
        ];
        let rows: String = rows.iter().map(|(what, figure)| format!("  {what:<40}{figure}\n")).collect();
        format!(
            "One publisher of {values} values among {nodes} nodes, {codec}, seed {seed}: one renewal of all\n{rows}"
        )
    }
}
