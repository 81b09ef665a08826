//! A node flooded for minutes, while it is used and clients come and go: memory and descriptors.

use std::time::{Duration, Instant};

use kademlia_dynamic::Node;
use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::config::AppliesTo;

use super::crowd::{Crowd, value};
use super::{PEERS, config, flooder, free_addr, grown, node_in, process};

/// Datagrams a second.
const RATE: u32 = 2_000;
/// How often there is a line.
const LINE_EVERY: Duration = Duration::from_secs(30);
/// How often something is done.
const STEP: Duration = Duration::from_millis(50);

/// A line for each half minute; what is not as it should be.
pub(crate) async fn soak(time: Duration) -> Vec<String> {
    let addr = free_addr();
    let crowd = Crowd::gather(PEERS, config(AppliesTo::Global), addr);
    let node = node_in(&crowd, addr, AppliesTo::Global).await;
    let keys = crowd.keys(&node).await;
    let flooder = flooder::start(addr, RATE, time);
    let head = ["seconds", "memory kB", "descriptors", "received", "values", "peers", "reads", "failed", "load"];
    println!("{}", head.map(|title| format!("{title:>11}")).join(" "));
    let (start, mut line, mut reads, mut failed) = (Instant::now(), Instant::now(), 0u64, 0u64);
    let (mut memory, mut descriptors) = (Vec::new(), Vec::new());
    let mut steps = tokio::time::interval(STEP);
    for step in 0usize.. {
        steps.tick().await;
        let key = if step.is_multiple_of(2) { &keys.here } else { &keys.elsewhere };
        let key = &key[step / 2 % key.len()];
        reads += 1;
        failed += u64::from(node.get(key).await.ok().flatten() != Some(value(key).into()));
        if step.is_multiple_of(20) {
            // The same keys again and again: what is held stays as it is.
            let _ = node.set(format!("own {}", step / 20 % 100), format!("step {step}")).await;
            let client = Node::builder().client(true).config(config(AppliesTo::Global)).bootstrap([addr]);
            let client = client.start().await.expect("it starts");
            failed += u64::from(client.get(key).await.ok().flatten().is_none());
            client.stop().await;
        }
        if line.elapsed() >= LINE_EVERY || start.elapsed() >= time {
            line = Instant::now();
            let snapshot = node.snapshot().await.expect("it runs");
            memory.push(process::memory_kb());
            descriptors.push(process::descriptors());
            let figures = [
                start.elapsed().as_secs().to_string(),
                memory[memory.len() - 1].to_string(),
                descriptors[descriptors.len() - 1].to_string(),
                node.counters().get(Counter::Received).to_string(),
                (snapshot.store.published.values + snapshot.store.held.values).to_string(),
                snapshot.table.peers.to_string(),
                reads.to_string(),
                failed.to_string(),
                process::load(),
            ];
            println!("{}", figures.map(|figure| format!("{figure:>11}")).join(" "));
        }
        if start.elapsed() >= time {
            break;
        }
    }
    let sent = tokio::task::spawn_blocking(|| flooder.wait()).await.expect("it ends");
    println!("the flooder sent {} datagrams: {:.0} a second", sent.sent, sent.sent as f64 / sent.seconds);
    node.stop().await;
    let mut missed: Vec<String> = grown(&memory).into_iter().collect();
    if failed > 0 {
        missed.push(format!("{failed} of {reads} reads failed"));
    }
    // Some more or less while a client comes or goes.
    if let (Some(first), Some(last)) = (descriptors.first(), descriptors.last())
        && last.saturating_sub(*first) > 8
    {
        missed.push(format!("descriptors grew from {first} to {last}"));
    }
    missed
}
