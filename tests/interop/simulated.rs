//! Whether the simulated legacy node is like the real one: networks of 200 of either kind find the same part of the true
//! nearest.

use std::net::SocketAddr;
use std::time::Duration;

use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::sim::{Latency, LegacyNode, LegacyVersion, Link, MemoryNetwork, in_virtual_time};
use kademlia_dynamic::{Codec, Config, NodeId};

use crate::legacy::Legacy;
use crate::python::{Version, say};

const NODES: usize = 200;
const LOOKUPS: usize = 100;
const K: usize = 20;

fn targets() -> Vec<NodeId> {
    let mut entropy = SeededEntropy::new(1);
    let mut target = || {
        let mut id = [0; 20];
        entropy.fill(&mut id);
        NodeId::from_bytes(id)
    };
    (0..LOOKUPS).map(|_| target()).collect()
}

/// The part of the k nearest to `target` among `all`, the seeker excepted, that is in `found`.
fn recall(all: &[Peer], seeker: &Peer, target: &NodeId, found: &[Peer]) -> f64 {
    let mut truth: Vec<&Peer> = all.iter().filter(|peer| peer.id != seeker.id).collect();
    truth.sort_by_key(|peer| peer.id.distance(target));
    truth.truncate(K);
    truth.iter().filter(|peer| found.iter().any(|found| found.id == peer.id)).count() as f64 / K as f64
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len() as f64
}

/// What `legacy.py` does: all join one after the other, through the first.
fn simulated(seed: u64) -> (f64, f64) {
    in_virtual_time(async {
        let link = Link::new(Latency::Uniform { min: Duration::from_micros(100), max: Duration::from_micros(900) });
        let network = MemoryNetwork::new(seed).with_link(link);
        let mut nodes: Vec<LegacyNode> = Vec::new();
        for _ in 0..NODES {
            let node = LegacyNode::start(&network, Codec::Json, &Config::default(), LegacyVersion::V1_1_1);
            let contacts: Vec<SocketAddr> = nodes.first().map(|first| first.peer().addr).into_iter().collect();
            node.bootstrap(&contacts).await;
            nodes.push(node);
        }
        let all: Vec<Peer> = nodes.iter().map(LegacyNode::peer).collect();
        let mut recalls = Vec::new();
        for (at, target) in targets().iter().enumerate() {
            let seeker = &nodes[(7 * at) % NODES];
            recalls.push(recall(&all, &seeker.peer(), target, &seeker.find_node(*target).await));
        }
        let tables: Vec<f64> = nodes.iter().map(|node| node.table().len() as f64).collect();
        (mean(&recalls), mean(&tables))
    })
}

#[tokio::test]
async fn a_simulated_legacy_network_of_200_finds_as_much_of_the_true_nearest_as_a_real_one() {
    let Some(legacy) = Legacy::start(Version::V1_1_1, Codec::Json).await else { return };
    let nodes = legacy.nodes(NODES, &[]).await;
    let all: Vec<Peer> = nodes.iter().map(|node| node.peer).collect();
    let mut recalls = Vec::new();
    for (at, target) in targets().iter().enumerate() {
        let seeker = &nodes[(7 * at) % NODES];
        recalls.push(recall(&all, &seeker.peer, target, &legacy.find_node(seeker, target).await));
    }
    let mut tables = Vec::new();
    for node in &nodes {
        tables.push(legacy.table(node).await.len() as f64);
    }
    // The simulation is quick, so it is not one seed's luck.
    let simulations = std::thread::spawn(|| (1..=5).map(simulated).collect::<Vec<_>>());
    let simulations = simulations.join().expect("a simulation ends");
    let (found, entries): (Vec<f64>, Vec<f64>) = simulations.into_iter().unzip();

    say(&format!(
        "recall of the {K} nearest of {NODES}: real {:.3}, simulated {:.3} {found:.3?}; peers in a table: real {:.1}, simulated {:.1}",
        mean(&recalls),
        mean(&found),
        mean(&tables),
        mean(&entries)
    ));
    assert!((mean(&recalls) - mean(&found)).abs() < 0.05);
    assert!((mean(&tables) - mean(&entries)).abs() < 0.1 * mean(&tables));
}
