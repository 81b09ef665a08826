//! Who holds a value, and who sees to it that it stays: audits in virtual time, among our own nodes and among legacy ones.

use std::time::Duration;

use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::store::Class;
use kademlia_dynamic::sim::{MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Error, Node, NodeId};

/// A network with `n` scripted peers, and a node that knows them.
async fn house(n: usize, config: Config, legacy: bool) -> (MemoryNetwork, ScriptedPeers, Node) {
    let network = MemoryNetwork::new(7);
    let peers = ScriptedPeers::new(&network, Codec::Json).with(n);
    let peers = if legacy { peers.legacy() } else { peers };
    let builder = Node::builder().config(config).bootstrap([peers.addr(0)]);
    let node = builder.node_id(NodeId::of_key("the node under test")).seed(1);
    let node = node.start_local_over(network.endpoint()).await.expect("a node starts");
    peers.forget_heard();
    (network, peers, node)
}

fn k(k: usize) -> Config {
    Config::builder().k(k).build().expect("within its range")
}

/// The numbers of the peers, nearest to `key` first.
fn by_distance(peers: &ScriptedPeers, key: &str) -> Vec<usize> {
    let key = NodeId::of_key(key);
    let mut numbers: Vec<usize> = (0..peers.len()).collect();
    numbers.sort_by_key(|n| peers.id(*n).distance(&key));
    numbers
}

// ---- Health ----

#[test]
fn health_tells_holders_with_what_they_say_of_time_those_without_and_the_silent() {
    in_virtual_time(async {
        let (_, peers, node) = house(5, k(5), false).await;
        let order = by_distance(&peers, "key");
        let says = order.clone();
        peers.on(move |asked| match asked.request {
            Request::CheckStore { .. } => match says.iter().position(|n| *n == asked.peer) {
                Some(0) => Response::CheckStore { has_key: true, ttl: Some(900) }.into(),
                Some(1) => Response::CheckStore { has_key: true, ttl: None }.into(),
                Some(2) => Response::CheckStore { has_key: false, ttl: Some(60) }.into(),
                Some(3) => Response::CheckStore { has_key: false, ttl: None }.into(),
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
        let (_, _peers, node) = house(5, k(5), false).await;
        node.set("key", "value").await.unwrap();
        let health = node.health("key").await.unwrap();
        let here = health.here.unwrap();
        assert_eq!((health.confirmed(), here.class, here.kept), (5, Class::Published, false));
        node.release("key").await.unwrap();
        assert_eq!(node.health("key").await.unwrap().here.unwrap().class, Class::Held);
    });
}

#[test]
fn health_works_among_legacy_nodes_alone_which_tell_no_expiry() {
    in_virtual_time(async {
        let (_, peers, node) = house(8, k(4), true).await;
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
        let builder = Node::builder().config(k(2)).bootstrap([peers.addr(0)]).node_id(at(0x80)).seed(1);
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
fn a_client_that_everybody_keeps_silent_to_learns_nothing_of_the_value() {
    in_virtual_time(async {
        let (_, peers, node) = house(5, k(5), false).await;
        peers.on(|_| Reply::Silence);
        assert!(matches!(node.health("key").await, Err(Error::NobodyAnswered { asked: 5 })));
        let too_long = node.health("k".repeat(1_025)).await;
        assert!(matches!(too_long, Err(Error::KeyTooLong { len: 1_025, max: 1_024 })));
    });
}

#[test]
fn equal_audits_are_one_and_each_peer_is_asked_once() {
    in_virtual_time(async {
        let (_, peers, node) = house(5, k(5), false).await;
        let audits = (0..50).map(|_| node.health("key"));
        let healths = futures_util::future::join_all(audits).await;
        assert!(healths.iter().all(|health| health.as_ref().is_ok_and(|health| health.nearest.missing.len() == 5)));
        let checks = peers.heard().iter().filter(|asked| asked.request.name() == "check_store").count();
        assert_eq!(checks, 5);
    });
}
