//! A thousand nodes in one process: what they take, and whether lookups find what there is. Ten thousand of them are the
//! business of `cargo bench --bench simulator -- 10000`.

use std::process::Command;
use std::time::Duration;

use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::sim::{Latency, Sim};
use kademlia_dynamic::{Codec, GetResult, NodeId};

const NODES: usize = 1_000;
/// As 10,000 of them shall fit 4 GiB.
const BYTES_A_NODE: u64 = (4 << 30) / 10_000;

/// Bytes of memory that this process uses, by the operating system.
#[cfg(target_os = "linux")]
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1_024
}

/// Other systems do not report it; the rest is tested all the same.
#[cfg(not(target_os = "linux"))]
fn memory() -> u64 {
    0
}

/// Set in the process that runs this test alone: what other tests take is none of its memory.
const ALONE: &str = "KAD_TEST_ALONE";

#[test]
fn a_thousand_nodes_take_a_tenth_of_4_gib_and_lookups_among_them_find_all_of_the_true_nearest() {
    const NAME: &str = "a_thousand_nodes_take_a_tenth_of_4_gib_and_lookups_among_them_find_all_of_the_true_nearest";
    if std::env::var_os(ALONE).is_none() {
        let mut alone = Command::new(std::env::current_exe().unwrap());
        alone.args(["--exact", &format!("thousand_nodes::{NAME}")]).env(ALONE, "1");
        let output = alone.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let before = memory();
    let builder = Sim::builder().nodes(NODES).seed(1).codec(Codec::MessagePack).latency(Latency::INTERNET);
    Sim::run(builder, async |sim| {
        sim.run_for(Duration::from_secs(600)).await;
        let a_node = (memory() - before) / NODES as u64;
        assert!(a_node < BYTES_A_NODE, "{a_node} bytes a node");
        let mut entropy = SeededEntropy::new(1);
        for n in 0..50 {
            let mut id = [0; 20];
            entropy.fill(&mut id);
            let target = NodeId::from_bytes(id);
            let node = sim.node(sim.random_node()).unwrap();
            let found = node.find_node(target).await.unwrap();
            assert_eq!(found, sim.true_closest_for(&node.id(), &target, 20), "lookup {n}");

            let key = format!("key {n}");
            assert!(sim.set(sim.random_node(), &key, "value").await.unwrap().stored >= 20);
            let read = sim.get(sim.random_node(), &key).await.unwrap();
            assert!(matches!(read, GetResult::Found { .. }), "{read:?}");
        }
    })
    .unwrap();
}
