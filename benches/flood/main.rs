//! A node under a flood from another process: what `get` takes meanwhile, and what became of every datagram.
//!
//! `cargo bench --bench flood` prints a line for each rate, with addresses on this machine exempt from rates (as they are by
//! default: the hard case) and not; `-- table 5` takes 5 seconds for each instead of 10. `-- soak 10` floods one node for ten
//! minutes, and `-- day 24` lets 24 virtual hours of mixed load pass over a simulated network: both say whether memory
//! stays flat. Whatever else runs on the machine shows in the figures.

mod crowd;
mod day;
mod figures;
mod flooder;
mod process;
mod soak;

use std::net::{SocketAddr, UdpSocket};
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
/// Datagrams a second.
const RATES: [u32; 4] = [0, 5_000, 20_000, 50_000];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |at: usize, usual: u64| args.get(at).map_or(usual, |text| text.parse().expect("a number"));
    match args.first().map(String::as_str) {
        Some(flooder::ROLE) => {
            let to = args[1].parse().expect("an address");
            flooder::flood(to, number(2, 0) as u32, Duration::from_millis(number(3, 0)));
        }
        None | Some("table") => table(Duration::from_secs(number(1, 10))),
        Some("soak") => in_runtime(soak::soak(Duration::from_secs(60 * number(1, 10)))),
        Some("day") => day::day(number(1, 24)),
        Some(other) => panic!("table, soak or day, not {other}"),
    }
}

fn in_runtime(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work);
}

fn table(time: Duration) {
    Figures::print_head();
    for rate_limit in [AppliesTo::Global, AppliesTo::Always] {
        for rate in RATES {
            in_runtime(async { flooded(rate, rate_limit, time).await.print() });
        }
    }
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
