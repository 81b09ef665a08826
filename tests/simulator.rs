//! What a simulated network does as a whole: the same run for the same seed, lookups that find the true nearest, values
//! that outlive loss, churn, deaths and cuts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
use std::time::Duration;

use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::sim::{Churn, Latency, Sim};
use kademlia_dynamic::{GetOutcome, NodeId, Value};

const HOUR: Duration = Duration::from_secs(3_600);
const INTERNET: Latency = Latency::LogNormal { median: Duration::from_millis(40), sigma: 0.5 };

fn target(entropy: &mut SeededEntropy) -> NodeId {
    let mut id = [0; 20];
    entropy.fill(&mut id);
    NodeId::from_bytes(id)
}

/// An hour of 40 nodes of all kinds that come and go over a bad network.
fn eventful(seed: u64) -> (u64, u64) {
    let builder = Sim::builder()
        .nodes(40)
        .seed(seed)
        .loss(0.05)
        .duplication(0.02)
        .latency(INTERNET)
        .dead(0.1)
        .slow(0.1, Duration::from_millis(300))
        .churn(Churn::weibull(HOUR / 2));
    let run = Sim::run(builder, async |sim| {
        for n in 0..5 {
            let outcome = sim.set(sim.random_node(), &format!("key {n}"), "value").await.unwrap();
            assert!(outcome.stored > 0, "{outcome:?}");
        }
        sim.run_for(HOUR).await;
        let population = sim.population();
        assert!(population.joined > 10 && population.left > 5 && population.died > 5, "{population:?}");
        (sim.network().trace_hash(), sim.network().counters().sent)
    });
    run.unwrap()
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_bit_with_all_kinds_of_nodes_loss_and_churn() {
    let (first, second, other) = (eventful(1), eventful(1), eventful(2));
    assert_eq!(first, second);
    assert_ne!(first.0, other.0);
}

/// The part of the true k nearest that lookups by random nodes for random ids find.
async fn recall(sim: &Sim, lookups: usize) -> f64 {
    let mut entropy = SeededEntropy::new(99);
    let (mut found, mut all) = (0, 0);
    for _ in 0..lookups {
        let target = target(&mut entropy);
        let node = sim.node(sim.random_node()).unwrap();
        // Nobody finds himself.
        let mut truth = sim.true_closest(&target, 21);
        truth.retain(|peer| peer.id != node.id());
        truth.truncate(20);
        let closest = node.find_node(target).await.unwrap();
        found += truth.iter().filter(|peer| closest.contains(peer)).count();
        all += truth.len();
    }
    found as f64 / all as f64
}

#[test]
fn lookups_find_all_of_the_true_nearest_in_a_static_network_of_200_nodes() {
    Sim::run(Sim::builder().nodes(200).seed(3).latency(INTERNET), async |sim| {
        assert_eq!(recall(&sim, 100).await, 1.0);
    })
    .unwrap();
}

#[test]
fn lookups_find_all_of_the_true_nearest_in_a_static_network_of_1_000_nodes() {
    Sim::run(Sim::builder().nodes(1_000).seed(4).latency(INTERNET), async |sim| {
        assert_eq!(recall(&sim, 50).await, 1.0);
    })
    .unwrap();
}

async fn is_readable(sim: &Sim, key: &str) -> bool {
    matches!(sim.get(sim.random_node(), key).await, Ok(GetOutcome::Found { value, .. }) if value == Value::from(key))
}

#[test]
fn nothing_is_lost_when_30_of_100_nodes_die_at_once() {
    Sim::run(Sim::builder().nodes(300).seed(5), async |sim| {
        let keys: Vec<String> = (0..200).map(|n| format!("key {n}")).collect();
        for key in &keys {
            let outcome = sim.set(sim.random_node(), key, key.as_str()).await.unwrap();
            assert_eq!(outcome.stored, 20, "{outcome:?}");
            assert!(sim.copies_of(key).await >= 20);
        }
        let mut dying = 90;
        while dying > 0 {
            dying -= usize::from(sim.kill(sim.below(300)));
        }
        assert_eq!(sim.places().len(), 210);
        for key in &keys {
            assert!(is_readable(&sim, key).await, "{key}: {} copies", sim.copies_of(key).await);
        }
    })
    .unwrap();
}
