//! Hours of mixed load in virtual time: values set and read, nodes that come and go, a flood now and then. What strangers and
//! users can fill stays within its bounds, and memory stays flat. `cargo bench --bench flood -- day 24` shows a day.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Request, Sender};
use kademlia_dynamic::sim::{Churn, Sim};
use kademlia_dynamic::{Codec, Config, NodeId};

const HOUR: Duration = Duration::from_secs(3_600);
/// Values that a node holds for others at most.
const MAX_VALUES: usize = 50;
/// Keys that are set. More than a node may hold.
const KEYS: usize = 100;
/// How many of them in each step.
const SETS: usize = 15;
/// Datagrams that a stranger sends to one node at once: more than there are slots.
const FLOOD: u64 = 80;
/// Strangers who do so one after the other.
const STRANGERS: u64 = 25;
/// How often they come.
const STEP: Duration = Duration::from_secs(600);
/// How many kilobytes of memory may come to be used while 40,000 datagrams come in: a leak of 30 bytes each is more.
const MAX_GROWTH: u64 = 1_024;

/// Kilobytes of memory that this process uses; `None` where the system does not say.
fn memory_kb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// Some set values and some read them, and then strangers come; how full they make the nodes.
async fn a_step(sim: &Sim, step: u64, entropy: &mut SeededEntropy) -> (usize, usize, usize) {
    for _ in 0..SETS {
        let key = format!("key {}", sim.below(KEYS));
        let _ = sim.set(sim.random_node(), &key, format!("at step {step}")).await;
        let _ = sim.get(sim.random_node(), &key).await;
    }
    for stranger in 0..STRANGERS {
        flood(sim, step * STRANGERS + stranger, entropy);
        sim.run_for(Duration::from_millis(100)).await;
    }
    let most = fullest(sim).await;
    sim.run_for(STEP).await;
    most
}

/// A stranger sends [`FLOOD`] datagrams at once to one of the nodes, and answers nothing.
fn flood(sim: &Sim, number: u64, entropy: &mut SeededEntropy) {
    let stranger = sim.network().endpoint();
    let Some(node) = sim.node(sim.random_node()) else { return };
    for n in 0..FLOOD {
        let mut random = || {
            let mut id = [0; 20];
            entropy.fill(&mut id);
            NodeId::from_bytes(id)
        };
        let (claimed, target) = (random(), random());
        let request = match n % 4 {
            0 => Request::Ping,
            1 => Request::FindNode { target },
            2 => Request::FindValue { key: format!("absent {n}").into() },
            _ => Request::Set {
                key: format!("foreign {number} {n}").into(),
                value: std::sync::Arc::new("x".repeat(100).into()),
                ttl: None,
                age: None,
            },
        };
        let sender = Sender::new(Some(claimed), stranger.addr());
        let message =
            Message { id: QueryId::from_u64(n), sender, version: None, token: None, body: Body::Request(request) };
        stranger.send(node.local_addr(), Codec::Json.encode(&message).unwrap());
    }
}

/// The most that any node holds of each: values of others, peers, queries in flight.
async fn fullest(sim: &Sim) -> (usize, usize, usize) {
    let mut most = (0, 0, 0);
    for place in sim.places() {
        let Some(node) = sim.node(place) else { continue };
        let snapshot = node.snapshot().await.unwrap();
        let held = snapshot.store.remote.values;
        let peers = snapshot.table.peers + snapshot.table.replacements;
        most = (most.0.max(held), most.1.max(peers), most.2.max(snapshot.queries_in_flight));
    }
    most
}

#[test]
fn after_hours_of_mixed_load_all_is_within_its_bounds_and_memory_is_flat() {
    let config = Config::builder().max_values(MAX_VALUES).key_expiry(HOUR).restore_interval(HOUR / 4).build().unwrap();
    let builder = Sim::builder().nodes(8).seed(1).loss(0.01).config(config).churn(Churn::weibull(2 * HOUR));
    Sim::run(builder, async |sim| {
        let mut entropy = SeededEntropy::new(2);
        let (mut memory, mut most) = (Vec::new(), 0);
        for step in 1..=30 {
            let (values, peers, queries) = a_step(&sim, step, &mut entropy).await;
            most = most.max(values);
            // The strangers never prove their addresses, so all known peers are nodes.
            assert!(peers < 200 && queries < 500, "{peers} peers, {queries} queries in flight");
            if u64::is_multiple_of(step, 6) {
                memory.extend(memory_kb());
            }
        }
        assert_eq!(most, MAX_VALUES, "values that one node held at most");
        // The second hour has filled whatever can be filled.
        if let [_, second, .., last] = memory[..] {
            assert!(last < second + MAX_GROWTH, "memory by the hour, in kilobytes: {memory:?}");
        }
    })
    .unwrap();
}
