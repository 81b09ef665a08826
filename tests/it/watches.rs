//! Watches: many keys on one stream, looked up in intervals that grow, once however many watch. In virtual time.

use std::time::Duration;

use kademlia_dynamic::actors::watch::{Change, MAX_CHANGES, MAX_INTERVAL, MAX_WATCHED, MIN_INTERVAL, Watch};
use kademlia_dynamic::sim::{MemoryNetwork, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Error, Node, Value};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{HOUR, SECOND, joined_among, requests, set, start, with_k};

/// The next change within this time, as its key and its value.
async fn next(watch: &mut Watch, within: Duration) -> Option<(String, Option<Value>)> {
    match timeout(within, watch.next()).await.ok()?? {
        Change::Value { key, value, .. } => Some((key.to_string(), Some(Value::clone(&value)))),
        Change::Absent { key } => Some((key.to_string(), None)),
        other => panic!("{other:?}"),
    }
}

fn value(key: &str, value: &str) -> Option<(String, Option<Value>)> {
    Some((key.to_owned(), Some(Value::from(value))))
}

/// A node without peers.
async fn alone() -> Node {
    start(&MemoryNetwork::new(7), Node::builder()).await
}

fn hold(peers: &ScriptedPeers, key: &str, value: &str) {
    (0..peers.len()).for_each(|n| peers.hold(n, key, value));
}

#[test]
fn a_value_in_the_network_is_reported_as_it_is_found_and_as_it_changes() {
    in_virtual_time(async {
        let (_network, peers, node) = joined_among(3, with_k(5)).await;
        hold(&peers, "k", "first");
        let mut watch = node.watch(["k", "absent", "k"]).await.unwrap();
        let mut seen = [next(&mut watch, SECOND).await, next(&mut watch, SECOND).await];
        seen.sort_by_key(|change| change.as_ref().map(|(key, _)| key.clone()));
        assert_eq!(seen, [Some(("absent".to_owned(), None)), value("k", "first")]);
        hold(&peers, "k", "second");
        assert_eq!(next(&mut watch, 2 * MIN_INTERVAL).await, value("k", "second"));
        assert_eq!(next(&mut watch, HOUR).await, None, "the same value is reported once");
        hold(&peers, "absent", "found");
        assert_eq!(next(&mut watch, MAX_INTERVAL + MAX_INTERVAL / 5).await, value("absent", "found"));
    });
}

#[test]
fn a_client_watches_in_the_network_what_it_does_not_publish_any_more() {
    in_virtual_time(async {
        let (network, peers, _node) = joined_among(3, with_k(5)).await;
        let client = Node::builder().client(true).bootstrap([peers.addr(0)]);
        let client = client.start_local_over(network.endpoint()).await.unwrap();
        client.set("k", "old").await.unwrap();
        assert!(client.release("k").await.unwrap());
        hold(&peers, "k", "new");
        let mut watch = client.watch(["k"]).await.unwrap();
        assert_eq!(next(&mut watch, SECOND).await, value("k", "new"));
    });
}

#[test]
fn a_key_is_looked_up_once_however_many_watch_it_and_less_and_less_often_while_it_stays() {
    in_virtual_time(async {
        let (_network, peers, node) = joined_among(1, with_k(5)).await;
        hold(&peers, "k", "v");
        let mut watches = Vec::new();
        for _ in 0..100 {
            watches.push(node.watch(["k"]).await.unwrap());
        }
        for watch in &mut watches {
            assert_eq!(next(watch, SECOND).await, value("k", "v"));
        }
        sleep(HOUR).await;
        // 10, 20, 40, 80, 160 seconds and then every five minutes.
        let asked = requests(&peers, "find_value").len();
        assert!((14..=20).contains(&asked), "{asked} in an hour");
        drop(watches);
        sleep(SECOND).await;
        peers.forget_heard();
        sleep(HOUR).await;
        assert_eq!(requests(&peers, "find_value").len(), 0, "nothing watches it any more");
    });
}

#[test]
fn what_is_published_or_held_here_is_reported_at_once() {
    in_virtual_time(async {
        let (network, peers, node) = joined_among(3, with_k(5)).await;
        let mut watch = node.watch(["own", "held"]).await.unwrap();
        for _ in 0..2 {
            assert!(matches!(next(&mut watch, SECOND).await, Some((_, None))));
        }
        let at_once = Duration::from_millis(100);
        let begun = Instant::now();
        node.set("own", "mine").await.unwrap();
        assert_eq!(next(&mut watch, SECOND).await, value("own", "mine"));
        assert!(begun.elapsed() < at_once, "{:?}", begun.elapsed());
        peers.ask(0, node.local_addr(), set("held", "theirs")).await.unwrap();
        assert_eq!(next(&mut watch, at_once).await, value("held", "theirs"));
        peers.ask(0, node.local_addr(), set("own", "theirs too")).await.unwrap();
        assert_eq!(next(&mut watch, at_once).await, value("own", "theirs too"));
        drop(network);
    });
}

#[test]
fn a_slow_reader_learns_that_it_missed_changes_and_gets_the_values_as_they_are_then() {
    in_virtual_time(async {
        let node = alone().await;
        let keys: Vec<String> = (0..MAX_CHANGES + 100).map(|n| n.to_string()).collect();
        for key in &keys {
            node.set(key, "v").await.unwrap();
        }
        let (mut slow, mut fast) = (node.watch(&keys).await.unwrap(), node.watch(&keys).await.unwrap());
        let mut reported = 0;
        while let Ok(Some(Change::Value { .. })) = timeout(SECOND, fast.next()).await {
            reported += 1;
        }
        assert_eq!(reported, keys.len(), "the slow one holds it up in nothing");
        let Some(Change::Missed { changes }) = slow.next().await else { panic!("it has missed some") };
        assert!(changes >= 100, "{changes}");
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < keys.len() {
            let change = timeout(HOUR, slow.next()).await.expect("the others come again").unwrap();
            seen.extend(change.key().cloned());
        }
        node.stop().await;
        assert_eq!((slow.next().await, fast.next().await), (None, None));
    });
}

#[test]
fn a_node_watches_no_more_keys_than_its_bound_and_those_of_a_reader_that_has_gone_do_not_count() {
    in_virtual_time(async {
        let node = alone().await;
        let keys: Vec<String> = (0..MAX_WATCHED).map(|n| n.to_string()).collect();
        let all = node.watch(&keys).await.unwrap();
        assert!(matches!(node.watch(["one more"]).await, Err(Error::Busy { limit: MAX_WATCHED, .. })));
        drop(all);
        node.watch(["one more"]).await.unwrap();
        let long = "k".repeat(1_025);
        assert!(matches!(node.watch([long]).await, Err(Error::KeyTooLong { .. })));
    });
}
