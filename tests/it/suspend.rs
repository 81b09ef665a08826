//! A machine that sleeps: no timer runs meanwhile, and what counts real time goes on. In virtual time.

use std::time::Duration;

use kademlia_dynamic::protocol::entry::Entry;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::{Codec, GetOptions, Node, NodeId};

use kademlia_dynamic::sim::{Asked, MemoryNetwork, ScriptedPeers, in_virtual_time, suspend};
use tokio::time::sleep;

use crate::support::{HOUR, MINUTE, cached_for, node_among_kind, set, with_k};

const DAY: u32 = 86_410;

/// A node and three peers that all know each other, each of them one of the k nearest to any key.
async fn among_three() -> (ScriptedPeers, Node) {
    let (_, peers, node) = among_three_of_kind(false).await;
    (peers, node)
}

/// The same, and their network. The peers are legacy ones where `legacy` says so.
async fn among_three_of_kind(legacy: bool) -> (MemoryNetwork, ScriptedPeers, Node) {
    let (network, peers, node) = node_among_kind(legacy, 3, with_k(5)).await;
    for n in 0..3 {
        node.ping(peers.addr(n)).await.unwrap();
    }
    (network, peers, node)
}

async fn stored(peers: &ScriptedPeers, node: &Node, key: &str) {
    let answer = peers.ask(0, node.local_addr(), set(key, "value")).await;
    assert!(matches!(answer, Ok(Response::Set { stored: true, .. })), "{answer:?}");
}

/// The `set`s of `key` that peers have heard.
fn sets(peers: &ScriptedPeers, key: &str) -> Vec<(Option<u32>, Option<u32>)> {
    let set = |asked: Asked| match asked.request {
        Request::Set { key: of, ttl, age, .. } if *of == *key => Some((ttl, age)),
        _ => None,
    };
    peers.heard().into_iter().filter_map(set).collect()
}

/// The renewals of the publication of `key` that peers have heard.
fn renewals(peers: &ScriptedPeers, key: &str) -> usize {
    let place = NodeId::of_key(key);
    let of_key = |entry: &Entry| entry.place == place && entry.life.is_none();
    let renews =
        |asked: &Asked| matches!(&asked.request, Request::Renew { entries } if entries.entries.iter().any(of_key));
    peers.heard().iter().filter(|asked| renews(asked)).count()
}

/// Seconds left of the copy of `key` that the node holds, as it states to peers.
async fn left(peers: &ScriptedPeers, node: &Node, key: &str) -> Option<u32> {
    match peers.ask(1, node.local_addr(), Request::CheckStore { key: key.into(), size: None }).await {
        Ok(Response::CheckStore { ttl, .. }) => ttl,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_held_is_eight_hours_older_after_eight_hours_of_sleep_and_is_restored_so() {
    in_virtual_time(async {
        // Only peers that do not reconcile are brought restores; what a legacy one sets has no date.
        let (network, peers, node) = among_three_of_kind(true).await;
        let writer = ScriptedPeers::new(&network, Codec::Json).with_id(NodeId::of_key("writer"));
        // The first sleep after the start counts as any other.
        for slept in [8, 16] {
            let key = format!("key before {slept}");
            stored(&writer, &node, &key).await;
            peers.forget_heard();
            suspend(8 * HOUR);
            let reported = left(&peers, &node, &key).await.unwrap();
            assert!((DAY - 8 * 3_600 - 5..=DAY - 8 * 3_600).contains(&reported), "{reported}");
            // Its restore has been due for hours, and comes with the next round.
            sleep(2 * MINUTE).await;
            let restores = sets(&peers, &key);
            assert_eq!(restores.len(), 3, "{restores:?}");
            for (ttl, age) in restores {
                let (ttl, age) = (ttl.unwrap(), age.unwrap());
                assert!((DAY - 8 * 3_600 - 180..DAY - 8 * 3_600).contains(&ttl), "{ttl} s are left");
                assert!((8 * 3_600..8 * 3_600 + 180).contains(&age), "published {age} s ago");
            }
        }
        suspend(9 * HOUR);
        assert!(node.copy_of("key before 8").await.unwrap().is_none(), "25 hours have passed");
        assert!(node.copy_of("key before 16").await.unwrap().is_some(), "17 hours have passed");
    });
}

#[test]
fn cached_copies_end_and_publications_and_audits_are_due_while_the_machine_sleeps() {
    in_virtual_time(async {
        let (peers, node) = among_three().await;
        let cache = cached_for("cached", "value", Some(500));
        assert_eq!(peers.ask(0, node.local_addr(), cache).await, Ok(Response::SetCached));
        let _ = node.set("published", "value").await.unwrap();
        let _ = node.set("audited", "value").await.unwrap();
        node.pin("audited", 1).await.unwrap();
        // Nothing but the upkeep of the table is due for an hour.
        sleep(MINUTE).await;
        peers.forget_heard();
        suspend(Duration::from_secs(400));
        assert!(node.copy_of("cached").await.unwrap().is_some());
        suspend(Duration::from_secs(60));
        assert!(node.copy_of("cached").await.unwrap().is_none());
        suspend(Duration::from_secs(200));
        sleep(2 * MINUTE).await;
        let audited = |asked: &Asked| matches!(&asked.request, Request::CheckStore { key, .. } if **key == *"audited");
        assert!(peers.heard().iter().any(audited), "an audit comes every ten minutes");
        assert_eq!((sets(&peers, "published"), renewals(&peers, "published")), (vec![], 0));

        peers.forget_heard();
        suspend(23 * HOUR);
        sleep(2 * MINUTE).await;
        assert_eq!((sets(&peers, "published"), renewals(&peers, "published")), (vec![], 3));
        // What has ended while the machine slept begins anew.
        peers.forget_heard();
        suspend(30 * HOUR);
        sleep(2 * MINUTE).await;
        assert_eq!(sets(&peers, "published"), [(None, None); 3]);
        assert_eq!(node.get("published").await.unwrap(), Some("value".into()));
    });
}

#[test]
fn after_a_sleep_peers_are_known_queries_are_answered_and_no_round_trip_took_hours() {
    in_virtual_time(async {
        let (peers, node) = among_three().await;
        let key = "key";
        peers.hold(2, key, "value");
        suspend(8 * HOUR);
        assert_eq!(node.get(key).await.unwrap(), Some("value".into()));
        stored(&peers, &node, "other").await;
        assert!(node.ping(peers.addr(1)).await.unwrap().rtt < Duration::from_secs(1));
        // A query is under way while the machine falls asleep: it ends, and the next one does not wait for hours.
        let asked = {
            let node = node.clone();
            actix_rt::spawn(async move { node.get_with("absent", GetOptions::default()).await })
        };
        tokio::task::yield_now().await;
        suspend(8 * HOUR);
        let _ = asked.await.unwrap().unwrap();
        sleep(MINUTE).await;
        let began = tokio::time::Instant::now();
        assert!(node.get_with("absent too", GetOptions::default()).await.is_ok());
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(node.counters().restarts().is_empty());
    });
}
