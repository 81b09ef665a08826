//! Audits and pinned keys where all other nodes are of the package.

use std::time::Duration;

use kademlia_dynamic::actors::events::{Event, EventStream};
use kademlia_dynamic::actors::outcome::Replica;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::store::Class;
use kademlia_dynamic::{Codec, Config, Value};
use tokio::time::timeout;

use crate::legacy::{Legacy, LegacyNode};
use crate::ours::{Ours, PATIENCE, eventually};
use crate::python::Version;

on_each_version_and_wire! {
    health_tells_legacy_holders_those_without_and_one_that_was_stopped,
    what_legacy_nodes_lose_is_reported_and_comes_back_while_it_is_pinned,
}

const NODES: usize = 5;

/// Legacy nodes, the nearest to `key` first, and one of ours that knows them all and has given `key` to each.
async fn start(version: Version, codec: Codec, config: Config, key: &str) -> Option<(Legacy, Vec<LegacyNode>, Ours)> {
    let legacy = Legacy::start(version, codec).await?;
    let mut nodes = legacy.nodes(NODES, &[]).await;
    let place = NodeId::of_key(key);
    nodes.sort_by_key(|node| node.peer.id.distance(&place));
    let ours = Ours::start_alone(codec, config).await;
    ours.bootstrap(&[nodes[0].addr()]).await;
    eventually("ours has them all in its table", async || ours.known().await == NODES).await;
    assert_eq!(ours.set(key, &Value::from("value")).await.stored, NODES);
    Some((legacy, nodes, ours))
}

async fn health_tells_legacy_holders_those_without_and_one_that_was_stopped(version: Version, codec: Codec) {
    let Some((legacy, nodes, ours)) = start(version, codec, Config::default(), "key").await else { return };
    let [first, second, third, fourth, fifth] = nodes[..] else { panic!("{NODES} were started") };
    legacy.forget(&[second, fourth], "key").await;
    legacy.stop(&third).await;

    let health = ours.health("key").await;
    let holder = |node: LegacyNode| Replica { peer: node.peer, expires_in: None };
    assert_eq!(health.nearest.confirmed, [holder(first), holder(fifth)], "{health:?}");
    assert_eq!((health.confirmed(), health.earliest_expiry), (2, None), "legacy nodes state no expiry");
    assert_eq!(health.nearest.missing, [second.peer, fourth.peer], "{health:?}");
    // No lookup finds it any more, but legacy readers look where tables point, and so it is asked as well.
    assert_eq!(health.beyond.silent, [third.peer], "{health:?}");
    assert_eq!((health.nearest.len(), health.beyond.len()), (4, 1), "each stands in one place: {health:?}");
    assert!(health.here.is_some_and(|here| here.class == Class::Published && !here.pinned), "{health:?}");
    assert_eq!(legacy.complaints().await, Vec::<String>::new());
    ours.stop().await;
}

/// The next event about a pinned key.
async fn next(events: &mut EventStream) -> Event {
    let stays_pinned = async {
        loop {
            let event = events.next().await.expect("the node runs");
            if matches!(event, Event::ReplicasLow { .. } | Event::Repaired { .. } | Event::Lost { .. }) {
                return event;
            }
        }
    };
    timeout(PATIENCE, stays_pinned).await.expect("an audit is due several times a second")
}

async fn what_legacy_nodes_lose_is_reported_and_comes_back_while_it_is_pinned(version: Version, codec: Codec) {
    let config = Config::builder().audit_interval(Duration::from_millis(300)).build();
    let config = config.expect("the settings are in their ranges");
    let Some((legacy, nodes, ours)) = start(version, codec, config, "key").await else { return };
    let mut events = ours.events();
    ours.pin("key", 3).await;
    let low = loop {
        legacy.forget(&nodes[1..4], "key").await;
        match next(&mut events).await {
            // An audit was under way that had found it where it is lost now: so many that it was repaired before it fell
            // below the minimum, and all have it again.
            Event::Repaired { .. } => {}
            other => break other,
        }
    };
    assert!(matches!(&low, Event::ReplicasLow { key, confirmed: 2, min_replicas: 3 } if key == "key"), "{low:?}");
    let repaired = next(&mut events).await;
    assert!(matches!(&repaired, Event::Repaired { key, stored: NODES } if key == "key"), "{repaired:?}");

    for node in &nodes {
        assert_eq!(legacy.held(node, "key").await, Some("value".into()));
    }
    let health = ours.health("key").await;
    assert!(health.confirmed() == NODES && health.here.is_some_and(|here| here.pinned), "{health:?}");
    assert_eq!(legacy.complaints().await, Vec::<String>::new());
    ours.stop().await;
}
