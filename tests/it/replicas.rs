//! Replicas: audits and pinned keys in virtual time, among our own nodes and among legacy ones.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use kademlia_dynamic::actors::events::{Event, EventStream};
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::store::Class;
use kademlia_dynamic::sim::{Asked, MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Error, Node, NodeId};
use tokio::time::sleep;

use crate::support::{HOUR, by_distance, next_event, node_among, node_among_kind, set, with_k};

// ---- Health ----

#[test]
fn health_lists_holders_with_the_time_that_they_state_those_without_and_the_silent() {
    in_virtual_time(async {
        let (_, peers, node) = node_among(5, with_k(5)).await;
        let order = by_distance(&peers, "key");
        let says = order.clone();
        peers.on(move |asked| match asked.request {
            Request::CheckStore { .. } => match says.iter().position(|n| *n == asked.peer) {
                Some(0) => Response::CheckStore { has_key: true, ttl: Some(900), age: None }.into(),
                Some(1) => Response::CheckStore { has_key: true, ttl: None, age: None }.into(),
                Some(2) => Response::CheckStore { has_key: false, ttl: Some(60), age: None }.into(),
                Some(3) => Response::CheckStore { has_key: false, ttl: None, age: None }.into(),
                _ => Reply::Silence,
            },
            _ => Reply::Usual,
        });
        let health = node.health("key").await.unwrap();
        assert_eq!(health.confirmed(), 2);
        let (first, second) = (health.nearest.confirmed[0], health.nearest.confirmed[1]);
        assert_eq!((first.peer, first.expires_in), (peers.peer(order[0]), Some(Duration::from_secs(900))));
        assert_eq!((second.peer, second.expires_in), (peers.peer(order[1]), None));
        assert_eq!(health.nearest.expiring[0].peer, peers.peer(order[2]));
        assert_eq!(health.nearest.missing, [peers.peer(order[3])]);
        assert_eq!(health.nearest.silent, [peers.peer(order[4])]);
        assert_eq!(health.earliest_expiry, Some(Duration::from_secs(60)));
        assert!(health.here.is_none() && health.beyond.is_empty(), "{health:?}");
    });
}

#[test]
fn health_says_what_is_held_and_published_here() {
    in_virtual_time(async {
        let (_, _peers, node) = node_among(5, with_k(5)).await;
        node.set("key", "value").await.unwrap();
        let health = node.health("key").await.unwrap();
        let here = health.here.unwrap();
        assert_eq!((health.confirmed(), here.class, here.pinned), (5, Class::Published, false));
        node.release("key").await.unwrap();
        assert_eq!(node.health("key").await.unwrap().here.unwrap().class, Class::Held);
    });
}

#[test]
fn health_works_among_legacy_nodes_alone_which_state_no_expiry() {
    in_virtual_time(async {
        let (_, peers, node) = node_among_kind(true, 8, with_k(4)).await;
        let order = by_distance(&peers, "key");
        for n in &order[..3] {
            peers.hold(*n, "key", "value");
        }
        let health = node.health("key").await.unwrap();
        assert_eq!((health.confirmed(), health.nearest.missing), (3, vec![peers.peer(order[3])]));
        assert_eq!(health.earliest_expiry, None);
    });
}

#[test]
fn in_a_mixed_network_the_nearest_of_the_own_table_are_asked_too_and_counted_apart() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let key = *NodeId::of_key("key").as_bytes();
        let at = |bits: u8| {
            let mut id = key;
            id[0] ^= bits;
            NodeId::from_bytes(id)
        };
        // The node comes to know the far ones first; then nearer ones come, which only they know.
        let peers = ScriptedPeers::new(&network, Codec::Json).legacy().with_id(at(0xc0)).with_id(at(0xc1));
        let builder = Node::builder().config(with_k(2)).bootstrap([peers.addr(0)]).node_id(at(0x80)).seed(1);
        let node = builder.start_local_over(network.endpoint()).await.unwrap();
        let peers = peers.with_id(at(1)).with_id(at(2));
        for n in [0, 3] {
            peers.hold(n, "key", "value");
        }
        let health = node.health("key").await.unwrap();
        assert_eq!((health.nearest.confirmed[0].peer, health.nearest.missing), (peers.peer(3), vec![peers.peer(2)]));
        assert_eq!((health.beyond.confirmed[0].peer, health.beyond.missing), (peers.peer(0), vec![peers.peer(1)]));
    });
}

#[test]
fn a_client_that_no_peer_answers_learns_nothing_of_the_value() {
    in_virtual_time(async {
        let (_, peers, node) = node_among(5, with_k(5)).await;
        peers.on(|_| Reply::Silence);
        assert!(matches!(node.health("key").await, Err(Error::NoneAnswered { asked: 5 })));
        let too_long = node.health("k".repeat(1_025)).await;
        assert!(matches!(too_long, Err(Error::KeyTooLong { len: 1_025, max: 1_024 })));
    });
}

#[test]
fn equal_audits_are_one_and_each_peer_is_asked_once() {
    in_virtual_time(async {
        let (_, peers, node) = node_among(5, with_k(5)).await;
        let audits = (0..50).map(|_| node.health("key"));
        let healths = futures_util::future::join_all(audits).await;
        assert!(healths.iter().all(|health| health.as_ref().is_ok_and(|health| health.nearest.missing.len() == 5)));
        let checks = peers.heard().iter().filter(|asked| asked.request.name() == "check_store").count();
        assert_eq!(checks, 5);
    });
}

// ---- Pins ----

const INTERVAL: Duration = Duration::from_secs(600);

/// The next event about a pinned key; `None` if none comes within an hour.
async fn next(events: &mut EventStream) -> Option<Event> {
    let of_pins =
        |event: &Event| matches!(event, Event::ReplicasLow { .. } | Event::Repaired { .. } | Event::Lost { .. });
    next_event(events, HOUR, |event| of_pins(&event).then_some(event)).await
}

/// The peers that do not answer any more. The script reads it.
#[derive(Clone, Default)]
struct Dead(Rc<RefCell<HashSet<usize>>>);

impl Dead {
    fn among(peers: &ScriptedPeers) -> Self {
        let dead = Self::default();
        let says = dead.clone();
        peers.on(move |asked| if says.0.borrow().contains(&asked.peer) { Reply::Silence } else { Reply::Usual });
        dead
    }

    fn kill(&self, peers: &[usize]) {
        self.0.borrow_mut().extend(peers);
    }
}

#[test]
fn when_replicas_die_an_event_says_so_and_others_take_their_place_among_legacy_nodes_too() {
    for legacy in [false, true] {
        in_virtual_time(async {
            // No values are transferred to newcomers: audits alone are to replace the dead.
            let config = Config::builder().k(5).handoff_rate(0).build().unwrap();
            let (_, peers, node) = node_among_kind(legacy, 18, config).await;
            let dead = Dead::among(&peers);
            let mut events = node.events();
            assert!(node.set("key", "value").await.unwrap().stored >= 5);
            node.pin("key", 3).await.unwrap();
            // Among legacy nodes more hold it than the nearest: also those where legacy readers look.
            let order = by_distance(&peers, "key");
            let holders: Vec<usize> = order.iter().copied().filter(|n| peers.held(*n, "key").is_some()).collect();
            dead.kill(&holders[1..]);
            let nearest: Vec<usize> = order.iter().copied().filter(|n| !holders[1..].contains(n)).take(5).collect();
            let low = next(&mut events).await;
            assert_eq!(low, Some(Event::ReplicasLow { key: "key".into(), confirmed: 1, min_replicas: 3 }));
            let repaired = next(&mut events).await;
            assert!(
                matches!(&repaired, Some(Event::Repaired { key, stored: 5.. }) if key == "key"),
                "legacy {legacy}: {repaired:?}"
            );
            for n in nearest {
                assert_eq!(peers.held(n, "key"), Some("value".into()), "legacy {legacy}");
            }
            let health = node.health("key").await.unwrap();
            assert_eq!((health.confirmed(), health.here.unwrap().pinned), (5, true), "legacy {legacy}");
            assert_eq!(next(&mut events).await, None, "all is well again");
        });
    }
}

#[test]
fn a_key_is_repaired_before_it_falls_below_its_minimum() {
    in_virtual_time(async {
        let (_, peers, node) = node_among(12, with_k(5)).await;
        let dead = Dead::among(&peers);
        let mut events = node.events();
        node.set("key", "value").await.unwrap();
        node.pin("key", 4).await.unwrap();
        dead.kill(&by_distance(&peers, "key")[..1]);
        assert_eq!(next(&mut events).await, Some(Event::Repaired { key: "key".into(), stored: 5 }));
        assert_eq!(node.health("key").await.unwrap().confirmed(), 5);
    });
}

#[test]
fn replicas_of_our_own_nodes_are_counted_and_made_anew_when_their_holders_crash() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(3);
        let mut nodes: Vec<Node> = Vec::new();
        for number in 0..14u64 {
            let contacts: Vec<_> = nodes.first().map(Node::local_addr).into_iter().collect();
            let builder =
                Node::builder().config(with_k(5)).seed(number).node_id(NodeId::of_key(&format!("node {number}")));
            nodes.push(builder.bootstrap(contacts).start_local_over(network.endpoint()).await.unwrap());
            // Buckets take in k newcomers in the time of a query: those who come faster are found later.
            sleep(Duration::from_secs(3)).await;
        }
        let publisher = nodes.pop().unwrap();
        let mut events = publisher.events();
        assert_eq!(publisher.set("key", "value").await.unwrap().stored, 5);
        publisher.pin("key", 4).await.unwrap();
        let key = NodeId::of_key("key");
        nodes.sort_by_key(|node| node.id().distance(&key));
        for crashed in nodes.drain(..3) {
            network.remove(crashed.local_addr());
            crashed.stop().await;
        }
        let low = next(&mut events).await;
        assert!(
            matches!(low, Some(Event::ReplicasLow { confirmed: ..4, min_replicas: 4, .. })),
            "{low:?} {:?}",
            publisher.health("key").await
        );
        let repaired = next(&mut events).await;
        assert!(matches!(repaired, Some(Event::Repaired { stored: 4.., .. })), "{repaired:?}");
        // The tables forget the dead, and what is found to lack is made up for.
        sleep(3 * INTERVAL).await;
        let health = publisher.health("key").await.unwrap();
        assert_eq!(health.confirmed(), 5, "{health:?}");
        assert!(health.earliest_expiry.unwrap() > Duration::from_secs(80_000), "{health:?}");
    });
}

#[test]
fn a_value_whose_holders_are_all_dead_is_reported_as_lost_and_repaired_once_they_are_back() {
    in_virtual_time(async {
        let (_, peers, node) = node_among(6, with_k(5)).await;
        let dead = Dead::among(&peers);
        let mut events = node.events();
        node.set("key", "value").await.unwrap();
        node.pin("key", 2).await.unwrap();
        dead.kill(&[0, 1, 2, 3, 4, 5]);
        assert_eq!(
            next(&mut events).await,
            Some(Event::ReplicasLow { key: "key".into(), confirmed: 0, min_replicas: 2 })
        );
        assert_eq!(next(&mut events).await, Some(Event::Lost { key: "key".into() }));
        assert_eq!(node.get("key").await.unwrap(), Some("value".into()), "this node's own copy is left");

        // They come back, and know nothing any more.
        peers.on(|asked| match asked.request {
            Request::CheckStore { .. } => Response::CheckStore { has_key: false, ttl: None, age: None }.into(),
            _ => Reply::Usual,
        });
        let repaired = loop {
            match next(&mut events).await {
                Some(Event::Repaired { stored, .. }) => break stored,
                Some(_) => {}
                None => panic!("it is not tried again"),
            }
        };
        assert_eq!(repaired, 5);
    });
}

#[test]
fn a_foreign_set_of_a_pinned_key_is_refused_and_the_value_stays_until_it_is_unpinned() {
    in_virtual_time(async {
        let (_, peers, node) = node_among(5, with_k(5)).await;
        node.set("key", "ours").await.unwrap();
        node.pin("key", 1).await.unwrap();
        let foreign = set("key", "theirs");
        let answer = peers.ask(0, node.local_addr(), foreign.clone()).await.unwrap();
        assert_eq!(answer, Response::Set { stored: false, ttl: None }, "acknowledged, and not applied");
        assert_eq!(node.get("key").await.unwrap(), Some("ours".into()));

        assert!(node.unpin("key").await.unwrap() && !node.unpin("key").await.unwrap());
        let answer = peers.ask(0, node.local_addr(), foreign).await.unwrap();
        assert!(matches!(answer, Response::Set { stored: true, ttl: Some(_) }));
        assert_eq!(node.get("key").await.unwrap(), Some("theirs".into()));
    });
}

#[test]
fn only_keys_published_here_are_pinned_within_the_bounds() {
    in_virtual_time(async {
        let config = Config::builder().k(5).max_pinned_keys(1).build().unwrap();
        let (_, peers, node) = node_among(5, config).await;
        let error = node.pin("key", 1).await.unwrap_err();
        assert_eq!(error.to_string(), "\"key\" is not published by this node, so it cannot be pinned: set it first");
        for (key, value) in [("key", "value"), ("other", "ours")] {
            node.set(key, value).await.unwrap();
        }
        for bad in [0, 6] {
            let error = node.pin("key", bad).await.unwrap_err();
            assert_eq!(error.to_string(), format!("min_replicas is {bad}, but must be within 1..=5"));
        }
        node.pin("key", 1).await.unwrap();
        node.pin("key", 5).await.unwrap();
        let error = node.pin("other", 1).await.unwrap_err();
        assert!(matches!(error, Error::Busy { limit: 1, .. }), "{error}");
        // A key that is not pinned is open to other writers.
        let foreign = set("other", "theirs");
        assert!(matches!(
            peers.ask(0, node.local_addr(), foreign).await.unwrap(),
            Response::Set { stored: true, ttl: Some(_) }
        ));

        let pins = node.snapshot().await.unwrap().pins;
        assert_eq!((pins.pinned, pins.keys[0].min_replicas), (1, 5));
        assert!(node.release("key").await.unwrap());
        assert_eq!(node.snapshot().await.unwrap().pins.pinned, 0);
    });
}

#[test]
fn a_pinned_key_that_is_well_is_audited_once_an_interval_and_nothing_is_published_or_reported() {
    in_virtual_time(async {
        let (_, peers, node) = node_among(8, with_k(5)).await;
        let mut events = node.events();
        node.set("key", "value").await.unwrap();
        node.pin("key", 3).await.unwrap();
        peers.forget_heard();
        sleep(10 * INTERVAL).await;
        let count = |name: &str| peers.heard().iter().filter(|asked| asked.request.name() == name).count();
        let audits = count("check_store") / 5;
        assert!((9..=12).contains(&audits), "{audits} audits");
        assert_eq!(count("set"), 0);
        let pins = node.snapshot().await.unwrap().pins;
        let (age, last) = pins.keys[0].last_audit.unwrap();
        assert!(age <= 660_000 && (last.confirmed, last.nearest) == (5, 5), "{pins:?}");
        assert_eq!(next(&mut events).await, None);
    });
}

#[test]
fn however_many_keys_are_pinned_at_most_twenty_audits_begin_in_a_second() {
    in_virtual_time(async {
        let config = Config::builder().k(3).audit_interval(Duration::from_millis(100)).build().unwrap();
        let (_, peers, node) = node_among(3, config).await;
        for n in 0..200 {
            node.set(format!("key {n}"), "value").await.unwrap();
            node.pin(format!("key {n}"), 1).await.unwrap();
        }
        sleep(INTERVAL).await;
        peers.forget_heard();
        sleep(Duration::from_secs(10)).await;
        let checked = |asked: &Asked| match &asked.request {
            Request::CheckStore { key, .. } => Some(key.clone()),
            _ => None,
        };
        let checks: Vec<_> = peers.heard().iter().filter_map(checked).collect();
        assert!(checks.len() <= 10 * 20 * 3 + 3, "{} checks in 10 s", checks.len());
        let keys: HashSet<_> = checks.into_iter().collect();
        assert!(keys.len() >= 190, "and each has its turn: {}", keys.len());
    });
}
