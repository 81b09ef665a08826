//! Restores of values that others published: only a holder among the k nearest makes them, and only to peers that do not reconcile.
//! In virtual time.

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::entry::EntryState;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::ranges::{Range, RangeAnswer, RangeState};
use kademlia_dynamic::protocol::store::Class;
use kademlia_dynamic::sim::{MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Node, NodeId};
use tokio::time::sleep;

use crate::support::{
    HOUR, by_distance, keys_beyond, nearer, node_among, node_among_kind, ping_all, requests, set, with_k,
};

const K: usize = 3;
const PEERS: usize = 8;

/// The result of a value that was written at a node to which so many peers are nearer.
struct Restored {
    /// Whether its places were looked up.
    looked_up: bool,
    /// The peers, nearest first.
    order: Vec<usize>,
    /// The peers that were asked whether they hold the value, nearest first.
    asked: Vec<usize>,
    /// The peers that were given it, nearest first.
    given: Vec<usize>,
    /// The peers that hold it now, nearest first.
    holders: Vec<usize>,
    /// The class of the node's own copy.
    class: Option<Class>,
}

/// A node and legacy peers that all know each other. One of the peers publishes a value at the node alone; then hours pass.
fn held_where_so_many_are_nearer(count: usize) -> Restored {
    in_virtual_time(async move {
        let (_, peers, node) = node_among_kind(true, PEERS, with_k(K)).await;
        ping_all(&node, &peers).await;
        let mut keys = (0..1_000).map(|n| format!("key {n}"));
        let key = keys.find(|key| nearer(&peers, &node, key) == count).unwrap();
        let place = NodeId::of_key(&key);
        let order = by_distance(&peers, &key);

        assert!(matches!(
            peers.ask(0, node.local_addr(), set(&key, "value")).await,
            Ok(Response::Set { stored: true, ttl: Some(_) })
        ));
        peers.forget_heard();
        sleep(3 * HOUR).await;

        let heard = peers.heard();
        let was_asked = |n: &usize| {
            let is_asked = |request: &Request| matches!(request, Request::CheckStore { key: of, .. } if **of == key);
            heard.iter().any(|asked| asked.peer == *n && is_asked(&asked.request))
        };
        let was_given = |n: &usize| {
            let is_given = |request: &Request| matches!(request, Request::Set { key: of, .. } if **of == key);
            heard.iter().any(|asked| asked.peer == *n && is_given(&asked.request))
        };
        Restored {
            looked_up: heard.iter().any(|asked| asked.request == Request::FindNode { target: place }),
            asked: order.iter().copied().filter(was_asked).collect(),
            given: order.iter().copied().filter(was_given).collect(),
            holders: order.iter().copied().filter(|n| peers.held(*n, &key).is_some()).collect(),
            order,
            class: node.copy_of(&key).await.unwrap().map(|copy| copy.class),
        }
    })
}

#[test]
fn the_last_of_the_k_nearest_restores_a_value_to_the_others_of_them_only_without_a_lookup() {
    let restored = held_where_so_many_are_nearer(K - 1);
    assert!(!restored.looked_up);
    assert_eq!(restored.asked, restored.order[..K - 1]);
    assert_eq!(restored.given, restored.order[..K - 1]);
    assert_eq!(restored.holders, restored.order[..K - 1]);
    assert_eq!(restored.class, Some(Class::Held));
}

#[test]
fn a_holder_to_which_k_peers_are_nearer_looks_for_the_places_of_a_value_and_restores_it_to_no_peer() {
    let restored = held_where_so_many_are_nearer(K);
    assert!(restored.looked_up, "it compares on its own");
    assert_eq!((restored.asked, restored.given), (vec![], vec![]), "{:?}", restored.order);
    assert_eq!(restored.holders, [0; 0]);
    assert_eq!(restored.class, Some(Class::Held), "it is served on until it ends");
}

#[test]
fn a_copy_beyond_the_k_nearest_is_named_to_one_of_them_each_interval_and_brought_where_they_lack_it() {
    in_virtual_time(async {
        let (_, peers, node) = node_among(PEERS, with_k(K)).await;
        ping_all(&node, &peers).await;
        let key = keys_beyond(&peers, &node, K).next().unwrap();
        let order = by_distance(&peers, &key);
        let stored = peers.ask(order[PEERS - 1], node.local_addr(), set(&key, "value")).await;
        assert!(matches!(stored, Ok(Response::Set { stored: true, ttl: Some(_) })));
        peers.forget_heard();
        sleep(10 * HOUR).await;
        let heard = peers.heard();
        let named: Vec<_> = heard.iter().filter(|asked| matches!(asked.request, Request::Renew { .. })).collect();
        assert!((8..=12).contains(&named.len()), "{}", named.len());
        assert!(named.iter().all(|asked| order[..3].contains(&asked.peer)), "to one of the nearest");
        let holders: Vec<usize> = (0..PEERS).filter(|n| peers.held(*n, &key).is_some()).collect();
        assert!(!holders.is_empty() && holders.iter().all(|n| order[..3].contains(n)), "{holders:?}");
        assert_eq!(requests(&peers, "set").len(), holders.len(), "each of them once");
        assert_eq!(requests(&peers, "check_store").len(), 0);
    });
}

#[test]
fn peers_that_claim_other_values_or_refuse_all_cause_64_lookups_a_minute_at_most() {
    in_virtual_time(async {
        let (_, peers, node) = node_among(PEERS, with_k(K)).await;
        ping_all(&node, &peers).await;
        for key in keys_beyond(&peers, &node, K).take(2_000) {
            let stored = peers.ask(0, node.local_addr(), set(&key, "value")).await;
            assert!(matches!(stored, Ok(Response::Set { stored: true, ttl: Some(_) })));
        }
        peers.on(|asked| match &asked.request {
            Request::Renew { entries } => {
                let states = (0..entries.entries.len()).map(|n| [EntryState::Unordered, EntryState::Refused][n % 2]);
                Response::Renew { states: states.collect() }.into()
            }
            _ => Reply::Usual,
        });
        let lookups = || node.counters().get(Counter::Lookups);
        let (mut most, before) = (0, lookups());
        for _ in 0..15 {
            let before = lookups();
            sleep(HOUR / 6).await;
            most = most.max(lookups() - before);
        }
        // Eleven rounds may begin in ten minutes, and some lookups refresh buckets.
        assert!((500..=64 * 11 + 30).contains(&most), "{most}");
        assert!(lookups() - before > 500, "they are compared all the same");
    });
}

#[test]
fn a_peer_that_reconciles_is_compared_with_about_once_an_interval_and_restored_nothing() {
    in_virtual_time(async {
        let (_, peers, node) = node_among(PEERS, with_k(20)).await;
        ping_all(&node, &peers).await;
        let stored = peers.ask(0, node.local_addr(), set("key", "value")).await;
        assert!(matches!(stored, Ok(Response::Set { stored: true, ttl: Some(_) })));
        // All of them report that they hold what this node does.
        peers.on(|asked| match &asked.request {
            Request::Reconcile { ranges, .. } => {
                let equal = |range: &Range| RangeAnswer { prefix: range.prefix, state: RangeState::Equal };
                Response::Reconcile { ranges: ranges.ranges.iter().map(equal).collect() }.into()
            }
            _ => Reply::Usual,
        });
        peers.forget_heard();
        sleep(10 * HOUR).await;
        let asked = |name| requests(&peers, name).len();
        assert_eq!((asked("set"), asked("check_store"), asked("renew")), (0, 0, 0));
        assert!((9 * PEERS..=12 * PEERS).contains(&asked("reconcile")), "{}", asked("reconcile"));
    });
}

#[test]
fn two_nodes_that_were_apart_end_with_the_same_values_and_the_later_one_of_each_key() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let config = || Config::builder().k(20).handoff_rate(0).build().unwrap();
        let node = async |name: &str, seed| {
            let builder = Node::builder().config(config()).node_id(NodeId::of_key(name)).seed(seed);
            builder.start_local_over(network.endpoint()).await.unwrap()
        };
        let (one, other) = (node("one", 1).await, node("other", 2).await);
        let writer = ScriptedPeers::new(&network, Codec::Json).with(1);
        for (node, name, count) in [(&one, "one", 300), (&other, "other", 200), (&one, "both", 30)] {
            for number in 0..count {
                let stored = writer.ask(0, node.local_addr(), set(&format!("{name} {number}"), "value")).await;
                assert!(matches!(stored, Ok(Response::Set { stored: true, .. })));
            }
        }
        sleep(HOUR / 6).await;
        for number in 0..30 {
            assert!(writer.ask(0, other.local_addr(), set(&format!("both {number}"), "later")).await.is_ok());
        }
        one.ping(other.local_addr()).await.unwrap();
        other.ping(one.local_addr()).await.unwrap();
        sleep(HOUR / 2).await;
        for node in [&one, &other] {
            for (name, count, value) in [("one", 300, "value"), ("other", 200, "value"), ("both", 30, "later")] {
                for number in 0..count {
                    let key = format!("{name} {number}");
                    let copy = node.copy_of(&key).await.unwrap();
                    assert_eq!(copy.as_ref().and_then(|copy| copy.value.as_text()), Some(value), "{key}");
                }
            }
        }
        let sent = |node: &Node| node.counters().get(Counter::Sent);
        assert!(sent(&one) + sent(&other) < 2_500, "{} {}", sent(&one), sent(&other));
    });
}

#[test]
fn where_fewer_than_k_others_are_there_every_holder_is_among_the_nearest() {
    let restored = in_virtual_time(async {
        let (_, peers, node) = node_among_kind(true, K - 1, with_k(K)).await;
        ping_all(&node, &peers).await;
        let mut all = true;
        for n in 0..8 {
            let key = format!("key {n}");
            assert!(matches!(
                peers.ask(0, node.local_addr(), set(&key, "value")).await,
                Ok(Response::Set { stored: true, ttl: Some(_) })
            ));
            sleep(3 * HOUR).await;
            all &= (0..K - 1).all(|n| peers.held(n, &key).is_some());
        }
        all
    });
    assert!(restored);
}
