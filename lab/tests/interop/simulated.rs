//! Whether the simulated legacy node is like the real one: networks of 200 of either kind find the same part of the true
//! nearest.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kad_lab::legacy::{self as simulation, LegacyVersion};
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::sim::{Latency, Link, MemoryNetwork, in_virtual_time};
use kademlia_dynamic::{Codec, Config, NodeId};
use tokio::sync::Mutex;

use crate::legacy::{Legacy, LegacyNode};
use crate::python::{Version, left_out, say};

/// Real networks come one after the other: two at once on a small machine would measure the nodes' timeouts.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

const NODES: usize = 200;
/// Nodes that one command starts: on a busy machine 200 take longer than a command may.
const BATCH: usize = 10;
const LOOKUPS: usize = 100;
const K: usize = 20;
/// Networks of one kind differ in what they find, by 0.03 (standard deviation), however many lookups there are in each: so
/// that one of each would say little. (In what a lookup does the versions are alike, so the simulated ones of equal seeds are
/// as well.)
const SIMULATED_NETWORKS: usize = 12;
/// Beyond the first ones, real networks are added only until the difference is known well enough. So many leave a standard
/// error of 0.01: chance alone does not make a difference of 0.05 then.
const MOST_REAL_NETWORKS: usize = 12;
/// By how much the two kinds may differ.
const TOLERANCE: f64 = 0.05;
/// The standard error of the difference with which it is known well enough.
const KNOWN_WITHIN: f64 = 0.02;

/// How many real networks are measured at first. Each takes 15 to 20 s, and most nodes run 1.1.1.
fn first_real_networks(version: Version) -> usize {
    match version {
        Version::V1_0_0 => 3,
        Version::V1_1_1 => 5,
    }
}

fn like(version: Version) -> LegacyVersion {
    match version {
        Version::V1_0_0 => LegacyVersion::V1_0_0,
        Version::V1_1_1 => LegacyVersion::V1_1_1,
    }
}

/// What every network is asked for.
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

/// What one network is like.
struct Measured {
    recall: f64,
    /// Peers in a table.
    table: f64,
}

/// The mean of what several networks are like, and its standard error: the networks differ more than the lookups in one.
struct Mean {
    mean: f64,
    error: f64,
}

impl Mean {
    fn of(samples: impl Iterator<Item = f64>) -> Self {
        let samples: Vec<f64> = samples.collect();
        let n = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / n;
        let variance = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self { mean, error: (variance / n).sqrt() }
    }
}

impl fmt::Display for Mean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ± {:.3}", self.mean, self.error)
    }
}

/// All join one after the other, through the first. Then each in turn looks for a target.
fn simulated(version: LegacyVersion, seed: u64) -> Measured {
    in_virtual_time(async {
        let link = Link::new(Latency::Uniform { min: Duration::from_micros(100), max: Duration::from_micros(900) });
        let network = MemoryNetwork::new(seed).with_link(link);
        let (mut nodes, mut entropy) = (Vec::new(), SeededEntropy::new(seed));
        for _ in 0..NODES {
            let node =
                simulation::LegacyNode::start(&network, Codec::Json, &Config::default(), version, entropy.next_u64());
            let contacts: Vec<SocketAddr> =
                nodes.first().map(|first: &simulation::LegacyNode| first.peer().addr).into_iter().collect();
            node.bootstrap(&contacts).await;
            nodes.push(node);
        }
        let all: Vec<Peer> = nodes.iter().map(simulation::LegacyNode::peer).collect();
        let mut recalls = Vec::new();
        for (at, target) in targets().iter().enumerate() {
            let seeker = &nodes[(7 * at) % NODES];
            recalls.push(recall(&all, &seeker.peer(), target, &seeker.find_node(*target).await));
        }
        let table = Mean::of(nodes.iter().map(|node| node.table().len() as f64)).mean;
        Measured { recall: Mean::of(recalls.into_iter()).mean, table }
    })
}

/// The same with nodes of the package.
async fn real(version: Version) -> Option<Measured> {
    let legacy = Legacy::start(version, Codec::Json).await?;
    let mut nodes: Vec<LegacyNode> = legacy.nodes(BATCH, &[]).await;
    while nodes.len() < NODES {
        nodes.extend(legacy.nodes(BATCH, &[nodes[0].addr()]).await);
    }
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
    Some(Measured { recall: Mean::of(recalls.into_iter()).mean, table: Mean::of(tables.into_iter()).mean })
}

async fn simulated_networks_find_as_much_as_real_ones(version: Version) {
    if left_out() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().await;
    let begin = Instant::now();
    let simulate =
        move || (1..=SIMULATED_NETWORKS as u64).map(|seed| simulated(like(version), seed)).collect::<Vec<_>>();
    let simulations = std::thread::spawn(simulate);
    let mut real_ones = Vec::new();
    for _ in 0..first_real_networks(version) {
        let Some(measured) = real(version).await else { return };
        real_ones.push(measured);
    }
    let simulated_ones = simulations.join().expect("a simulation ends");
    let simulated = Mean::of(simulated_ones.iter().map(|one| one.recall));
    let (recall, difference, error) = loop {
        let recall = Mean::of(real_ones.iter().map(|one| one.recall));
        let (difference, error) = ((recall.mean - simulated.mean).abs(), recall.error.hypot(simulated.error));
        let is_known = error < KNOWN_WITHIN && difference + 2.0 * error < TOLERANCE;
        if is_known || real_ones.len() == MOST_REAL_NETWORKS {
            break (recall, difference, error);
        }
        let Some(measured) = real(version).await else { return };
        real_ones.push(measured);
    };
    let tables = [&real_ones, &simulated_ones].map(|ones| Mean::of(ones.iter().map(|one| one.table)));
    say(&format!(
        "{version}: recall of the {K} nearest of {NODES}: real {recall}, simulated {simulated}, standard error of the \
         difference {error:.3}; peers in a table: real {}, simulated {}; {} and {SIMULATED_NETWORKS} networks in {:.1?}",
        tables[0],
        tables[1],
        real_ones.len(),
        begin.elapsed(),
    ));
    assert!(difference < TOLERANCE, "{difference:.3}");
    assert!((tables[0].mean - tables[1].mean).abs() < 0.1 * tables[0].mean);
}

#[tokio::test]
async fn simulated_networks_of_200_of_1_0_0_find_as_much_of_the_true_nearest_as_real_ones() {
    simulated_networks_find_as_much_as_real_ones(Version::V1_0_0).await;
}

#[tokio::test]
async fn simulated_networks_of_200_of_1_1_1_find_as_much_of_the_true_nearest_as_real_ones() {
    simulated_networks_find_as_much_as_real_ones(Version::V1_1_1).await;
}
