//! Retransmission where datagrams get lost, and the treatment of repeated datagrams.

use std::collections::HashSet;
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::message::{Body, QueryId, Request, Response};
use kademlia_dynamic::sim::{MemoryNetwork, Reply, ScriptedPeers, Sim, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Node, NodeId, Value};
use tokio::time::sleep;

use super::among;
use crate::support::{cached_for, legacy, requests, set, start};

/// A script that loses the first `lost` datagrams of each query.
fn losing(lost: usize) -> impl FnMut(&kademlia_dynamic::sim::Asked) -> Reply {
    let mut seen = std::collections::HashMap::new();
    move |asked| {
        let times = seen.entry((asked.peer, asked.query)).or_insert(0);
        *times += 1;
        if *times <= lost { Reply::Silence } else { Reply::Usual }
    }
}

#[test]
fn a_query_or_two_that_get_lost_are_sent_again_and_cost_neither_the_answer_nor_the_peer() {
    for lost in [1, 2] {
        in_virtual_time(async {
            let (_, peers, node) = among(5).await;
            peers.on(losing(lost));
            assert_eq!(node.set("key", "value").await.unwrap().stored, 5);
            let sets = requests(&peers, "set");
            let queries: HashSet<QueryId> = sets.iter().map(|asked| asked.query).collect();
            assert_eq!((queries.len(), sets.len()), (5, 5 * (lost + 1)), "under the same ids");
            let bytes: HashSet<_> = sets.iter().map(|asked| (asked.query, asked.bytes, asked.peer)).collect();
            assert_eq!(bytes.len(), 5, "the same datagrams");
            let count = |counter| node.counters().get(counter);
            assert_eq!(count(Counter::Silent), 0);
            assert!(count(Counter::Resent) >= 5 * lost as u64);
        });
    }
}

#[test]
fn three_sends_within_the_query_timeout_are_all_and_the_query_ends_when_it_did() {
    in_virtual_time(async {
        let (_, peers, node) = among(1).await;
        sleep(Duration::from_secs(60)).await;
        peers.forget_heard();
        peers.on(|_| Reply::Silence);
        let asked_at = tokio::time::Instant::now();
        assert!(node.find_node(NodeId::of_key("x")).await.is_err());
        let sent: Vec<u128> = peers.heard().iter().map(|asked| (asked.at - asked_at).as_millis()).collect();
        assert_eq!(sent, [1, 201, 601], "1 ms on the way");
        assert_eq!(asked_at.elapsed().as_millis(), 2_000);
    });
}

#[test]
fn a_second_answer_to_a_query_that_was_sent_twice_is_counted_as_that() {
    in_virtual_time(async {
        let (_, peers, node) = among(3).await;
        peers.on(|_| Reply::Usual.after(Duration::from_millis(300)));
        assert_eq!(node.find_node(NodeId::of_key("x")).await.unwrap().len(), 3);
        sleep(Duration::from_secs(3)).await;
        let count = |counter| node.counters().get(counter);
        assert!(count(Counter::Resent) >= 3);
        assert_eq!((count(Counter::RepeatedAnswer), count(Counter::UnknownQuery)), (count(Counter::Resent), 0));
        // By now it is known how slow they are, so nothing is sent twice any more.
        let before = count(Counter::Resent);
        for _ in 0..5 {
            let _ = node.find_node(NodeId::of_key("y")).await.unwrap();
        }
        assert_eq!(count(Counter::Resent), before);
    });
}

#[test]
fn where_every_answer_comes_in_time_nothing_is_sent_again() {
    let builder = Sim::builder().nodes(30).seed(11);
    Sim::run(builder, async |sim| {
        for n in 0..20 {
            let key = format!("key {n}");
            let _ = sim.set(sim.random_node(), &key, "value").await.unwrap();
            let _ = sim.get(sim.random_node(), &key).await.unwrap();
            sim.run_for(Duration::from_secs(300)).await;
        }
        let resent = |place| sim.node(place).map(|node| node.counters().get(Counter::Resent));
        assert_eq!(sim.places().into_iter().filter_map(resent).sum::<u64>(), 0);
    })
    .unwrap();
}

#[test]
fn a_set_that_is_superseded_is_not_sent_again() {
    in_virtual_time(async {
        let (_, peers, node) = among(3).await;
        peers.on(|asked| match asked.request {
            Request::Set { .. } => Reply::Silence,
            _ => Reply::Usual,
        });
        let first = actix_rt::spawn({
            let node = node.clone();
            async move { node.set("key", "old").await }
        });
        sleep(Duration::from_millis(150)).await;
        peers.on(|_| Reply::Usual);
        peers.forget_heard();
        assert_eq!(node.set("key", "new").await.unwrap().stored, 3);
        assert!(first.await.unwrap().unwrap().superseded);
        sleep(Duration::from_secs(3)).await;
        let values = requests(&peers, "set").into_iter().map(|asked| match &asked.request {
            Request::Set { value, .. } => Value::clone(value),
            other => panic!("{other:?}"),
        });
        assert_eq!(values.collect::<Vec<_>>(), vec![Value::from("new"); 3]);
    });
}

/// A write as peer `n` sends it, under a query id of its own.
fn write(peers: &ScriptedPeers, n: usize, id: u64, request: Request) -> Vec<u8> {
    legacy(peers.addr(n), Some(peers.id(n)), id, Body::Request(request))
}

#[test]
fn a_set_that_comes_again_late_is_acknowledged_and_does_not_undo_a_newer_one() {
    let cached = |value: &str| cached_for("key", value, Some(1_000));
    let set = |value: &str| set("key", value);
    for writes in [[set("old"), set("new")], [cached("old"), cached("new")]] {
        in_virtual_time(async {
            let (_, peers, node) = among(2).await;
            let acknowledged = || node.counters().get(Counter::Answered);
            let [old, new] = writes;
            let old = write(&peers, 0, 1, old);
            peers.send(0, node.local_addr(), old.clone());
            sleep(Duration::from_millis(10)).await;
            peers.send(1, node.local_addr(), write(&peers, 1, 1, new));
            sleep(Duration::from_secs(5)).await;
            let before = acknowledged();
            peers.send(0, node.local_addr(), old.clone());
            sleep(Duration::from_millis(10)).await;
            assert_eq!((acknowledged() - before, node.counters().get(Counter::RepeatedWrite)), (1, 1));
            assert_eq!(node.copy_of("key").await.unwrap().unwrap().value, Value::from("new").into());
            // After three query timeouts it is a write like any other.
            sleep(Duration::from_secs(2)).await;
            peers.send(0, node.local_addr(), old);
            sleep(Duration::from_millis(10)).await;
            assert_eq!(node.copy_of("key").await.unwrap().unwrap().value, Value::from("old").into());
        });
    }
}

/// A network of eight nodes that lose this part of the datagrams, once they have joined.
async fn lossy(loss: f64) -> (MemoryNetwork, Vec<Node>) {
    let network = MemoryNetwork::new(5);
    let mut nodes: Vec<Node> = Vec::new();
    for n in 0..8 {
        let mut builder = Node::builder().node_id(NodeId::of_key(&n.to_string())).seed(n);
        if let Some(first) = nodes.first() {
            builder = builder.bootstrap([first.local_addr()]);
        }
        nodes.push(builder.start_local_over(network.endpoint()).await.expect("a node starts"));
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!(nodes[0].set("read", "value").await.expect("it is placed").stored, 7);
    network.set_link(network.link().with_loss(loss));
    (network, nodes)
}

/// How many of 40 clients, each a node of its own as that of `kad get` is, come to a good end within ten seconds.
async fn succeed(loss: f64, work: impl AsyncFn(&Node, usize) -> bool) -> usize {
    let (network, nodes) = lossy(loss).await;
    let mut good = 0;
    for n in 0..40 {
        let tries = async {
            loop {
                let client = Node::builder().client(true).seed(100 + n as u64);
                let client = client.start_local_over(network.endpoint()).await.expect("a node starts");
                let joined = client.bootstrap([nodes[n % 8].local_addr()]).await.is_ok_and(|outcome| outcome.joined());
                if joined && work(&client, n).await {
                    break;
                }
            }
        };
        good += usize::from(tokio::time::timeout(Duration::from_secs(10), tries).await.is_ok());
    }
    good
}

#[test]
fn forty_of_forty_clients_write_and_read_where_a_tenth_is_lost_each_way_and_38_where_three_tenths_are() {
    in_virtual_time(async {
        for (loss, least) in [(0.1, 40), (0.3, 38)] {
            let set = async |client: &Node, n: usize| {
                client.set(&format!("key {n}"), "value").await.is_ok_and(|outcome| outcome.stored > 0)
            };
            let written = succeed(loss, set).await;
            assert!(written >= least, "{written} of 40 sets at {loss}");
            let get = async |client: &Node, _| matches!(client.get("read").await, Ok(Some(_)));
            let read = succeed(loss, get).await;
            assert!(read >= least, "{read} of 40 gets at {loss}");
        }
    });
}

#[test]
fn a_node_joins_within_three_seconds_in_39_of_40_starts_where_a_tenth_is_lost_each_way() {
    in_virtual_time(async {
        let (network, nodes) = lossy(0.1).await;
        let mut joined = 0;
        for n in 0..40 {
            let builder = Node::builder().node_id(NodeId::of_key(&format!("start {n}"))).seed(1_000 + n);
            let builder = builder.config(Config::default()).bootstrap([nodes[n as usize % 8].local_addr()]);
            let within = tokio::time::Instant::now() + Duration::from_secs(3);
            let starting = actix_rt::spawn({
                let endpoint = network.endpoint();
                async move { builder.start_local_over(endpoint).await.unwrap() }
            });
            let node = starting.await.unwrap();
            tokio::time::sleep_until(within).await;
            joined += usize::from(node.snapshot().await.unwrap().table.peers > 0);
            node.stop().await;
        }
        assert!(joined >= 39, "{joined} of 40 starts");
    });
}

#[test]
fn a_client_whose_first_datagram_is_lost_succeeds_at_once() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(1);
        peers.hold(0, "key", "value");
        for _ in 0..5 {
            let mut first = true;
            peers.on(move |_| if std::mem::take(&mut first) { Reply::Silence } else { Reply::Usual });
            let asked_at = tokio::time::Instant::now();
            let client = start(&network, Node::builder().client(true).bootstrap([peers.addr(0)])).await;
            assert_eq!(client.get("key").await.unwrap(), Some(Value::from("value")));
            assert!(asked_at.elapsed() < Duration::from_millis(600), "{:?}", asked_at.elapsed());
        }
    });
}

#[test]
fn an_answer_of_another_kind_is_no_answer_to_either_send() {
    in_virtual_time(async {
        let (_, peers, node) = among(1).await;
        sleep(Duration::from_secs(60)).await;
        peers.on(|_| Reply::Answer(Response::Pong));
        assert!(node.find_node(NodeId::of_key("x")).await.is_err());
        assert_eq!(node.counters().get(Counter::WrongKind), 3);
    });
}
