//! A node under a flood from another process: what `get` takes meanwhile, and what became of every datagram.
//!
//! `cargo bench --bench flood` prints a line for each rate, with addresses on this machine exempt from rates (as they are by
//! default: the hard case) and not; `-- table 5` takes 5 seconds for each instead of 10. `-- soak 30` floods one node for
//! thirty minutes: for ten of them it gets to know addresses, which it remembers as long. `-- day 48` lets 48 virtual hours of
//! mixed load pass over a simulated network: for a day copies gather, which live as long. Both say whether memory stays flat
//! then. It fails where something is not as it should be. Whatever else runs on the machine shows in the figures.

mod crowd;
mod day;
mod figures;
mod flooder;
mod process;
mod soak;

use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::config::AppliesTo;
use kademlia_dynamic::{Config, Node};

use crowd::Crowd;
use figures::{Account, Figures};

/// Peers of the flooded node. More than k, so that there are values that it does not hold.
const PEERS: usize = 16;
/// Small, for the same reason.
const K: usize = 4;
/// Datagrams a second, and how many milliseconds 99 of 100 reads of a value that the node holds may take meanwhile.
const RATES: [(u32, f64); 4] = [(0, 10.0), (5_000, 10.0), (20_000, 20.0), (50_000, 50.0)];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |at: usize, usual: u64| args.get(at).map_or(usual, |text| text.parse().expect("a number"));
    let mut missed = Vec::new();
    match args.first().map(String::as_str) {
        Some(flooder::ROLE) => {
            let to = args[1].parse().expect("an address");
            flooder::flood(to, number(2, 0) as u32, Duration::from_millis(number(3, 0)));
            return ExitCode::SUCCESS;
        }
        None | Some("table") => missed.extend(table(Duration::from_secs(number(1, 10)))),
        Some("soak") => missed.extend(in_runtime(soak::soak(Duration::from_secs(60 * number(1, 30))))),
        Some("day") => missed.extend(day::day(number(1, 48))),
        Some(other) => panic!("table, soak or day, not {other}"),
    }
    for missed in &missed {
        println!("missed: {missed}");
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn in_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

/// Prints a line for each rate; what is not as it should be.
fn table(time: Duration) -> Vec<String> {
    Figures::print_head();
    let mut missed = Vec::new();
    for rate_limit in [AppliesTo::Global, AppliesTo::Always] {
        for (rate, p99) in RATES {
            let figures = in_runtime(flooded(rate, rate_limit, time));
            figures.print();
            missed.extend(figures.missed(p99).into_iter().map(|what| format!("at {rate} a second: {what}")));
        }
    }
    missed
}

/// Whether the kilobytes of memory in `lines` stay the same in their last third, give or take a fiftieth.
fn grown(lines: &[u64]) -> Option<String> {
    let (before, after) = (*lines.get(lines.len() * 2 / 3)?, *lines.last()?);
    (after > before + before / 50).then(|| format!("memory grew from {before} kB to {after} kB in the last third"))
}

/// A free port of this machine, most likely still free a moment later.
fn free_addr() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port")
}

fn config(rate_limit: AppliesTo) -> Config {
    Config::builder().k(K).rate_limit(rate_limit).build().expect("within the ranges")
}

/// A node among peers, on a thread of its own as in an application.
async fn node_in(crowd: &Crowd, addr: SocketAddr, rate_limit: AppliesTo) -> Node {
    let builder = Node::builder().bind(addr).config(config(rate_limit)).bootstrap([crowd.addr()]);
    builder.start().await.expect("the port is free")
}

async fn flooded(rate: u32, rate_limit: AppliesTo, time: Duration) -> Figures {
    let addr = free_addr();
    let crowd = Crowd::gather(PEERS, config(AppliesTo::Global), addr);
    let node = node_in(&crowd, addr, rate_limit).await;
    let keys = crowd.keys(&node).await;
    let flooder = (rate > 0).then(|| flooder::start(addr, rate, time + Duration::from_secs(1)));
    // Until it runs at its full rate.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let samples = figures::read(&node, &keys, time).await;
    let sent = match flooder {
        Some(flooder) => tokio::task::spawn_blocking(|| flooder.wait()).await.expect("it ends"),
        None => flooder::Sent::default(),
    };
    // Until whatever waited was dealt with, and each query of the node has had its end.
    let account = loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let snapshot = node.snapshot().await.expect("it runs");
        if snapshot.queries_in_flight == 0 && snapshot.lookups_running == 0 {
            break Account::of(node.counters(), sent.sent + crowd.sent());
        }
    };
    let restarts = node.counters().get(Counter::Restarts);
    node.stop().await;
    Figures { rate, rate_limit, sent, samples, account, restarts, time }
}
