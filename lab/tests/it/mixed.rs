//! Networks in which nodes of ours are not alone: legacy nodes and liars live among them.

use std::collections::HashSet;
use std::time::Duration;

use kad_lab::legacy::{LegacyNode, LegacyVersion, legacy_nodes};
use kad_lab::liar::{Liar, liars};
use kad_lab::mixed::mixed;
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::sim::{Churn, Latency, ScriptedPeers, Sim};
use kademlia_dynamic::{Codec, GetOptions, GetResult, NodeId, Value};

const HOUR: Duration = Duration::from_secs(3_600);

/// Three hours of 20 nodes of all kinds that come and go over a bad network: all periodic work of each kind is done.
fn eventful(seed: u64) -> (u64, u64) {
    let builder = mixed(20, 0.25)
        .seed(seed)
        .loss(0.05)
        .duplication(0.02)
        .latency(Latency::INTERNET)
        .dead(0.1)
        .slow(0.1, Duration::from_millis(300))
        .others(liars(0.05))
        .churn(Churn::weibull(HOUR));
    let run = Sim::run(builder, async |sim| {
        let population = sim.population();
        assert!(population.ours > 10 && population.others > 4, "{population:?}");
        for n in 0..5 {
            let outcome = sim.set(sim.random_node(), &format!("key {n}"), "value").await.unwrap();
            assert!(outcome.stored > 0, "{outcome:?}");
        }
        sim.run_for(3 * HOUR).await;
        let population = sim.population();
        assert!(population.joined > 5 && population.left > 5 && population.died > 5, "{population:?}");
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

/// Sets this many values, each under its own text, from nodes of the seed's choice, and says where.
async fn publish(sim: &Sim, values: usize) -> Vec<(String, usize)> {
    let mut published = Vec::new();
    for n in 0..values {
        let (key, writer) = (format!("key {n}"), sim.random_node());
        let outcome = sim.set(writer, &key, key.as_str()).await.unwrap();
        assert!(outcome.stored > 0, "{outcome:?}");
        published.push((key, writer));
    }
    published
}

#[test]
fn nodes_of_ours_and_legacy_nodes_read_each_others_values() {
    Sim::run(mixed(60, 0.5).seed(8), async |sim| {
        let (ours, legacy) = (sim.places(), sim.places_of::<LegacyNode>());
        assert_eq!((ours.len(), legacy.len()), (30, 30));
        for n in 0..30 {
            let (key, other) = (format!("ours {n}"), format!("theirs {n}"));
            sim.set(ours[n], &key, "value").await.unwrap();
            let writer = sim.participant::<LegacyNode>(legacy[n]).unwrap();
            writer.set(&other, "value").await;
            assert!(sim.copies_of(&other).await > 10);
            let reader = sim.participant::<LegacyNode>(legacy[(n + 7) % 30]).unwrap();
            assert_eq!(reader.get(&key).await, Some(Value::from("value")), "{key}");
            let outcome = sim.get(ours[(n + 7) % 30], &other).await.unwrap();
            assert!(matches!(outcome, GetResult::Found { .. }), "{other}: {outcome:?}");
        }
    })
    .unwrap();
}

#[test]
fn a_tenth_of_liars_leads_hardly_a_reader_astray() {
    Sim::run(mixed(200, 0.0).seed(9).others(liars(0.1)), async |sim| {
        assert_eq!(sim.places_of::<Liar>().len(), 20);
        let honest: HashSet<NodeId> = sim.true_closest(&NodeId::ZERO, 200).iter().map(|peer| peer.id).collect();
        let (mut read, mut misled, published) = (0, 0, publish(&sim, 50).await);
        for (key, _) in &published {
            let traced =
                sim.node(sim.random_node()).unwrap().get_with(key, GetOptions::default().trace(true)).await.unwrap();
            read += usize::from(matches!(traced.result, GetResult::Found { .. }));
            let asked = traced.trace.iter().flat_map(|trace| &trace.asked);
            misled += asked.filter(|asked| !honest.contains(&asked.peer.id)).count();
        }
        // Each of them has 17 addresses, so that they are nearly twice as many as the others.
        assert!(read >= 48, "{read} of 50");
        assert!(misled > 5, "{misled}: they do get asked, be it seldom");
    })
    .unwrap();
}

#[test]
fn legacy_nodes_are_of_the_version_that_was_asked_for() {
    for version in [LegacyVersion::V1_0_0, LegacyVersion::V1_1_1] {
        let builder = Sim::builder().nodes(20).seed(12).codec(Codec::Json).others(legacy_nodes(0.5, version));
        Sim::run(builder, async |sim| {
            let asker = ScriptedPeers::new(sim.network(), Codec::Json).with(1);
            for place in sim.places_of::<LegacyNode>() {
                let to = sim.participant::<LegacyNode>(place).unwrap().peer().addr;
                // Only 1.0.0 answers that .
                let answer = asker.ask(0, to, Request::Get { key: "key".into() }).await;
                assert_eq!(answer.is_ok(), version == LegacyVersion::V1_0_0, "{answer:?}");
            }
        })
        .unwrap();
    }
}
