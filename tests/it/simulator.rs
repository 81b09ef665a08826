//! A simulated network as a whole: the same run for the same seed, lookups that find the true nearest, and who
//! lives there. What becomes of values under faults is among the figures.

use std::time::Duration;

use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::sim::{Churn, Latency, Sim};
use kademlia_dynamic::{Codec, Config, GetOptions, GetResult, Node, NodeId, Value};

use crate::support::Lines;

const HOUR: Duration = Duration::from_secs(3_600);

fn target(entropy: &mut SeededEntropy) -> NodeId {
    let mut id = [0; 20];
    entropy.fill(&mut id);
    NodeId::from_bytes(id)
}

/// Three hours of 20 nodes that come and go over a bad network: all periodic work is done.
fn eventful(seed: u64) -> (u64, u64) {
    let builder = Sim::builder()
        .nodes(20)
        .seed(seed)
        .loss(0.05)
        .duplication(0.02)
        .latency(Latency::INTERNET)
        .dead(0.1)
        .slow(0.1, Duration::from_millis(300))
        .churn(Churn::weibull(HOUR));
    let run = Sim::run(builder, async |sim| {
        let population = sim.population();
        assert!(population.ours > 15, "{population:?}");
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
fn the_same_seed_gives_the_same_run_to_the_bit_with_loss_and_churn() {
    let (first, second, other) = (eventful(1), eventful(1), eventful(2));
    assert_eq!(first, second);
    assert_ne!(first.0, other.0);
}

#[test]
fn sessions_that_are_shorter_than_a_join_do_not_end_the_coming_and_going() {
    const HALF_LIFE: Duration = Duration::from_secs(60);
    // Joining takes some ten seconds, a session less than that in one of four cases.
    let builder = Sim::builder().nodes(20).seed(1).latency(Latency::Constant(Duration::from_secs(1)));
    let config = Config::builder().query_timeout(Duration::from_secs(5)).build().unwrap();
    Sim::run(builder.config(config).churn(Churn::weibull(HALF_LIFE)), async |sim| {
        let who = || (0..20).map(|place| sim.node(place).map(|node| node.id())).collect::<Vec<_>>();
        sim.run_for(HOUR).await;
        let before = who();
        sim.run_for(HOUR).await;
        let stayed = before.iter().zip(who()).filter(|(before, after)| before.is_some() && **before == *after).count();
        assert!(stayed <= 2, "{stayed} of 20 places have the node that they had 60 half-lives ago");
    })
    .unwrap();
}

/// The part of the true k nearest that lookups by random nodes for random ids find.
async fn recall(sim: &Sim, lookups: usize) -> f64 {
    let mut entropy = SeededEntropy::new(99);
    let (mut found, mut all) = (0, 0);
    for _ in 0..lookups {
        let target = target(&mut entropy);
        let node = sim.node(sim.random_node()).unwrap();
        let truth = sim.true_closest_for(&node.id(), &target, 20);
        let closest = node.find_node(target).await.unwrap();
        found += truth.iter().filter(|peer| closest.contains(peer)).count();
        all += truth.len();
    }
    found as f64 / all as f64
}

#[test]
fn lookups_find_all_of_the_true_nearest_in_a_static_network_of_200_nodes() {
    Sim::run(Sim::builder().nodes(200).seed(3).codec(Codec::MessagePack).latency(Latency::INTERNET), async |sim| {
        assert_eq!(recall(&sim, 100).await, 1.0);
    })
    .unwrap();
}

async fn is_readable(sim: &Sim, key: &str) -> bool {
    matches!(sim.get(sim.random_node(), key).await, Ok(GetResult::Found { value, .. }) if value == Value::from(key))
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
fn without_faults_every_value_can_be_read_at_any_minute_of_a_day() {
    Sim::run(Sim::builder().nodes(30).seed(6).latency(Latency::INTERNET), async |sim| {
        let published = publish(&sim, 4).await;
        while sim.now() < 24 * HOUR {
            // Not always at the same minute of an hour.
            sim.run_for(HOUR + Duration::from_secs(60 * sim.below(60) as u64)).await;
            for (key, _) in &published {
                assert!(is_readable(&sim, key).await, "{key} after {:?}", sim.now());
            }
        }
        for (key, _) in &published {
            assert!(sim.copies_of(key).await >= 20, "{key}");
        }
    })
    .unwrap();
}

#[test]
fn a_share_of_the_places_has_slow_lines_whichever_node_is_there() {
    let delay = Duration::from_millis(300);
    let builder = Sim::builder().nodes(50).seed(10).slow(0.2, delay).churn(Churn::weibull(HOUR / 2));
    Sim::run(builder, async |sim| {
        for hours in [0, 2] {
            sim.run_for(hours * HOUR).await;
            let visitor = sim.client().await.unwrap();
            let (mut slow, mut fast) = (0, 0);
            for place in sim.places() {
                // Some leave meanwhile.
                let Some(node) = sim.node(place) else { continue };
                let Ok(pong) = visitor.ping(node.local_addr()).await else { continue };
                assert!(pong.rtt < Duration::from_millis(80) || pong.rtt > delay, "{:?}", pong.rtt);
                if pong.rtt > delay { slow += 1 } else { fast += 1 }
            }
            assert!((7..=10).contains(&slow) && (30..=40).contains(&fast), "{slow} and {fast} after {hours} h");
        }
    })
    .unwrap();
}

#[test]
fn sessions_end_politely_at_the_configured_rate_and_the_pause_after_them_is_as_configured() {
    let population = |churn: Churn| {
        let builder = Sim::builder().nodes(40).seed(11).churn(churn);
        let run = Sim::run(builder, async |sim| {
            sim.run_for(HOUR).await;
            sim.population()
        });
        run.unwrap()
    };
    let churn = Churn::weibull(HOUR / 4);
    let (polite, rude) = (population(churn.polite(1.0)), population(churn.polite(0.0)));
    assert!(polite.left > 20 && polite.died == 0, "{polite:?}");
    assert!(rude.left == 0 && rude.died > 20, "{rude:?}");
    let (short, long) = (population(churn), population(churn.gap(4 * HOUR)));
    assert!(short.ours > 35 && long.ours < 25 && long.joined < short.joined / 2, "{short:?} {long:?}");
}

#[test]
fn a_visitor_reads_what_others_hold_and_leaves_no_trace_in_their_tables() {
    Sim::run(Sim::builder().nodes(10).seed(13), async |sim| {
        publish(&sim, 1).await;
        let visitor = sim.client().await.unwrap();
        let outcome = visitor.get_with("key 0", GetOptions::default()).await.unwrap().result;
        assert!(matches!(outcome, GetResult::Found { holder: Some(_), .. }), "{outcome:?}");
        assert_eq!(sim.population().ours, 10);
        for place in sim.places() {
            let table = sim.node(place).unwrap().snapshot().await.unwrap().table;
            assert!(table.buckets.iter().flat_map(|bucket| &bucket.peers).all(|entry| entry.peer.id != visitor.id()));
        }
    })
    .unwrap();
}

#[test]
fn what_is_out_of_its_range_is_an_error_that_names_the_range() {
    let refused = |builder| Sim::run(builder, async |_| ()).unwrap_err().to_string();
    assert_eq!(refused(Sim::builder().nodes(0)), "the number of nodes must be 1 to 1000000, not 0");
    assert_eq!(refused(Sim::builder().loss(1.5)), "the share of datagrams lost must be 0 to 1, not 1.5");
    assert!(refused(Sim::builder().loss(f64::NAN)).ends_with("must be 0 to 1, not NaN"));
    assert!(refused(Sim::builder().duplication(-0.1)).ends_with("must be 0 to 1, not -0.1"));
    assert!(refused(Sim::builder().dead(2.0)).starts_with("the share of dead places"));
    assert!(refused(Sim::builder().slow(1.1, HOUR)).starts_with("the share of slow places"));
}

#[test]
fn a_node_of_its_own_joins_by_default_and_by_the_builder_of_the_network() {
    let config = Config::builder().k(7).build().unwrap();
    Sim::run(Sim::builder().nodes(10).seed(14).config(config), async |sim| {
        // With nothing but a contact: both speak the same wire.
        let contact = [sim.node(0).unwrap().local_addr()];
        let plain = Node::builder().bootstrap(contact).start_local_over(sim.network().endpoint()).await.unwrap();
        assert!(plain.snapshot().await.unwrap().table.peers > 5);

        let node = sim.node_builder().start_local_over(sim.network().endpoint()).await.unwrap();
        // It has the settings of the others, k among them.
        assert_eq!(node.set("key", "value").await.unwrap().stored, 7);
        assert_eq!(plain.get("key").await.unwrap(), Some(Value::from("value")));
        assert_eq!((sim.len(), sim.population().ours), (10, 10));
    })
    .unwrap();
}

#[tokio::test]
async fn a_network_that_is_built_outside_of_virtual_time_says_so_in_the_log() {
    let says = "outside of virtual time takes minutes";
    let (lines, _logging) = Lines::of_this_thread();
    let building = Sim::builder().nodes(1).build();
    // It needs a minute, and an actix system that is not here.
    assert!(tokio::time::timeout(Duration::ZERO, building).await.is_ok_and(|built| built.is_err()));
    assert_eq!(lines.that_say(says), 1);
}

#[test]
fn a_network_that_is_built_in_virtual_time_says_nothing() {
    let (lines, _logging) = Lines::of_this_thread();
    Sim::run(Sim::builder().nodes(2), async |_| ()).unwrap();
    assert_eq!(lines.that_say("virtual time"), 0);
}
