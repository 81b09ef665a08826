//! Nodes of ours with legacy nodes around them: what those hold, read and hide, in virtual time.

use std::cell::Cell;
use std::time::Duration;

use kad_lab::legacy::{LegacyNode, LegacyVersion, legacy_nodes};
use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::actors::events::{Event, EventStream};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::sim::{MemoryNetwork, ScriptedPeers, Sim, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Node, NodeId, Value};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

fn k(k: usize) -> Config {
    Config::builder().k(k).build().unwrap()
}

fn own_id() -> NodeId {
    NodeId::of_key("the node under test")
}

thread_local! {
    /// The seed of the next legacy node of this test.
    static SEED: Cell<u64> = const { Cell::new(1) };
}

/// One more legacy node, with an id of its own.
fn legacy(network: &MemoryNetwork, config: &Config, version: LegacyVersion) -> LegacyNode {
    LegacyNode::start(network, Codec::Json, config, version, SEED.replace(SEED.get() + 1))
}

/// A node on a network of global addresses that knows eleven peers, and holds a value of 50 kB.
async fn holder() -> (MemoryNetwork, ScriptedPeers, Node) {
    let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
    let peers = ScriptedPeers::new(&network, Codec::Json).with(11);
    let builder = Node::builder().bootstrap([peers.addr(0)]).node_id(own_id()).seed(1);
    let node = builder.start_local_over(network.endpoint()).await.unwrap();
    assert_eq!(node.set("large", "x".repeat(50_000)).await.unwrap().stored, 11);
    (network, peers, node)
}

/// What the events say of `key` within this time.
async fn superseded(events: &mut EventStream, key: &str, within: Duration) -> bool {
    let said = async {
        loop {
            match events.next().await {
                Some(Event::Superseded { key: ended, .. }) if ended == key => return true,
                None => return false,
                Some(_) => {}
            }
        }
    };
    tokio::time::timeout(within, said).await.unwrap_or(false)
}

#[test]
fn a_publication_that_is_repeated_renews_the_copies_of_legacy_holders_too() {
    for version in [LegacyVersion::V1_0_0, LegacyVersion::V1_1_1] {
        in_virtual_time(async {
            let network = MemoryNetwork::new(5);
            // They restore nothing by themselves: what they hold after a day was renewed by its publisher.
            let idle = Config::builder().k(5).restore_interval(720 * HOUR).build().unwrap();
            let publisher = Node::builder().codec(Codec::Json).config(k(5)).seed(1);
            let publisher = publisher.start_local_over(network.endpoint()).await.unwrap();
            let mut nodes = Vec::new();
            for _ in 0..6 {
                let node = legacy(&network, &idle, version);
                node.bootstrap(&[publisher.local_addr()]).await;
                nodes.push(node);
                sleep(5 * SECOND).await;
            }
            assert!(publisher.set("key", "value").await.unwrap().stored >= 5);
            sleep(30 * HOUR).await;
            let held = nodes.iter().filter(|node| node.held("key").is_some()).count();
            assert!(held >= 5, "{version:?}: {held}");
            publisher.stop().await;
            sleep(25 * HOUR).await;
            assert!(nodes.iter().all(|node| node.held("key").is_none()), "{version:?}");
        });
    }
}

#[test]
fn legacy_nodes_that_bootstrap_from_us_and_read_50_kilobytes_all_succeed() {
    for version in [LegacyVersion::V1_0_0, LegacyVersion::V1_1_1] {
        in_virtual_time(async {
            let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
            let node = Node::builder().node_id(own_id()).seed(1);
            let node = node.start_local_over(network.endpoint()).await.unwrap();
            let large = Value::from("x".repeat(50_000));
            let _ = node.set("large", large.clone()).await.unwrap();
            let (mut joined, mut read, mut staying) = (0, 0, Vec::new());
            for n in 0..60 {
                let reader = legacy(&network, &Config::default(), version);
                reader.bootstrap(&[node.local_addr()]).await;
                joined += usize::from(!reader.table().is_empty());
                read += usize::from(reader.get("large").await.as_ref() == Some(&large));
                // Every other one stays, so that there are many and also some that are dead.
                if n % 2 == 0 {
                    reader.stop();
                } else {
                    staying.push(reader);
                }
            }
            assert_eq!((joined, read), (60, 60), "{version:?}");
        });
    }
}

#[test]
fn legacy_nodes_read_fifty_kilobytes_each_fifteen_seconds_for_an_hour() {
    in_virtual_time(async {
        let (network, _peers, node) = holder().await;
        let (mut read, mut all) = (0, 0);
        let mut readers = Vec::new();
        for version in [LegacyVersion::V1_0_0, LegacyVersion::V1_1_1].into_iter().cycle().take(6) {
            let node_of_theirs = legacy(&network, &Config::default(), version);
            node_of_theirs.bootstrap(&[node.local_addr()]).await;
            readers.push(node_of_theirs);
        }
        for _ in 0..240 {
            for reader in &readers {
                // It asks our node itself: what it has cached it would serve to itself.
                let asked = reader.get("large");
                all += 1;
                read += usize::from(asked.await.is_some_and(|value| value.len() == 50_000));
            }
            sleep(Duration::from_secs(15)).await;
        }
        assert_eq!((read, node.counters().get(Counter::OverBudget)), (all, 0));
    });
}

#[test]
fn legacy_nodes_that_are_nearest_do_not_hide_what_ours_hold_beyond_them() {
    for version in [LegacyVersion::V1_0_0, LegacyVersion::V1_1_1] {
        let builder = Sim::builder().nodes(60).seed(5).codec(Codec::Json).config(k(8));
        let builder = builder.others(legacy_nodes(0.7, version));
        let run = Sim::run(builder, async |sim| {
            let nearest = sim.true_closest(&NodeId::of_key("key"), 20);
            let far = |place: &usize| !nearest.iter().any(|peer| peer.id == sim.node(*place).unwrap().id());
            let far: Vec<usize> = sim.places().into_iter().filter(far).collect();
            let mut events = sim.node(far[0]).unwrap().events();
            sim.set(far[0], "key", "old").await.unwrap();
            sim.run_for(HOUR).await;
            sim.set(far[1], "key", "new").await.unwrap();
            superseded(&mut events, "key", 14 * HOUR).await
        });
        assert!(run.unwrap(), "{version:?}");
    }
}
