//! What a simulated network costs, by its size: memory for each node, datagrams a second; and what lookups find in it.
//! `cargo bench --bench simulator -- 1000 10000` prints a line for each size; one process for each size, since memory is
//! read from the operating system (Linux only, elsewhere 0). It fails where a lookup missed one of the true nearest, a value was not
//! read, or a network of up to 10,000 took more than 4 GiB.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::sim::{Latency, Sim};
use kademlia_dynamic::{Codec, GetResult, NodeId};

/// Lookups for the recall, values for the copies.
const SAMPLES: usize = 200;
/// The most memory, of a network of so many nodes.
const MAX_MEMORY: u64 = 4 << 30;
const MAX_MEMORY_NODES: usize = 10_000;

fn main() -> ExitCode {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    println!(
        "{:>7} {:>9} {:>10} {:>10} {:>11} {:>10} {:>11} {:>7} {:>6} {:>8}",
        "nodes", "built s", "datagrams", "per s", "hour: s", "datagrams", "kB a node", "recall", "read", "peak GiB"
    );
    let all_reached = match sizes.as_slice() {
        [] => measure(1_000),
        [size] => measure(*size),
        sizes => {
            let program = std::env::current_exe().expect("this program is a file");
            let mut reached = true;
            for size in sizes {
                let run = std::process::Command::new(&program).arg(size.to_string()).output().expect("it starts");
                let reported = String::from_utf8_lossy(&run.stdout);
                // Without the heading, which stands there already.
                reported.lines().skip(1).for_each(|line| println!("{line}"));
                reached &= run.status.success();
            }
            reached
        }
    };
    if all_reached { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the line of a network, and says whether all that it must reach was reached.
fn measure(nodes: usize) -> bool {
    let (before, start) = (memory("VmRSS:"), Instant::now());
    let latency = Latency::LogNormal { median: Duration::from_millis(40), sigma: 0.5 };
    let builder = Sim::builder().nodes(nodes).seed(1).codec(Codec::MessagePack).latency(latency);
    let run = Sim::run(builder, async |sim| {
        let built = start.elapsed();
        let datagrams = sim.network().counters().sent;
        let start = Instant::now();
        sim.run_for(Duration::from_secs(3_600)).await;
        let (hour, in_hour) = (start.elapsed(), sim.network().counters().sent - datagrams);
        let a_node = memory("VmRSS:").saturating_sub(before) / nodes as u64;
        let recall = recall(&sim).await;
        let read = read(&sim).await;
        let peak = memory("VmHWM:");
        println!(
            "{nodes:>7} {:>9.1} {datagrams:>10} {:>10.0} {:>11.1} {in_hour:>10} {:>11.1} {recall:>7.4} {read:>6} {:>8.2}",
            built.as_secs_f64(),
            (datagrams + in_hour) as f64 / (built + hour).as_secs_f64(),
            hour.as_secs_f64(),
            a_node as f64 / 1e3,
            peak as f64 / f64::from(1 << 30),
        );
        let mut reached = true;
        for (missed, what) in [
            (recall < 1.0, "a lookup missed one of the true nearest"),
            (read < SAMPLES, "a value was not read"),
            (nodes <= MAX_MEMORY_NODES && peak > MAX_MEMORY, "it took more than 4 GiB"),
        ] {
            if missed {
                println!("MISSED: {what}");
                reached = false;
            }
        }
        reached
    });
    run.expect("the default settings are in their ranges")
}

/// The part of the true k nearest that lookups find.
async fn recall(sim: &Sim) -> f64 {
    let mut entropy = SeededEntropy::new(1);
    let (mut found, mut all) = (0, 0);
    for _ in 0..SAMPLES {
        let mut id = [0; 20];
        entropy.fill(&mut id);
        let target = NodeId::from_bytes(id);
        let Some(node) = sim.node(sim.random_node()) else { continue };
        let truth = sim.true_closest_for(&node.id(), &target, 20);
        let closest = node.find_node(target).await.unwrap_or_default();
        found += truth.iter().filter(|peer| closest.contains(peer)).count();
        all += truth.len();
    }
    found as f64 / all as f64
}

/// How many of the values set by one node another one reads.
async fn read(sim: &Sim) -> usize {
    let mut read = 0;
    for n in 0..SAMPLES {
        let key = format!("key {n}");
        let set = sim.set(sim.random_node(), &key, "value").await;
        let got = sim.get(sim.random_node(), &key).await;
        read += usize::from(set.is_ok() && matches!(got, Ok(GetResult::Found { .. })));
    }
    read
}

/// Bytes of memory that this process uses (`VmRSS:`), or has used at most (`VmHWM:`), by the operating system.
fn memory(which: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(which));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1_024
}
