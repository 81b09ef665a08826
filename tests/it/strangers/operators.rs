//! What an operator forbids: addresses that a node has nothing to do with, and bytes beyond a rate.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::config::{DenyList, IpPrefix};
use kademlia_dynamic::protocol::message::{Body, Request};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::sim::{MemoryNetwork, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Node, Value};
use tokio::time::sleep;

use super::{Bytes, Metered};

/// The /24 of an address.
fn subnet(addr: SocketAddr) -> IpPrefix {
    let IpAddr::V4(ip) = addr.ip() else { panic!("{addr}") };
    let [a, b, c, _] = ip.octets();
    format!("{a}.{b}.{c}.0/24").parse().unwrap()
}

#[test]
fn what_comes_from_a_denied_prefix_is_dropped_and_counted_and_no_query_goes_there_whichever_peer_names_it() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(10);
        let deny: DenyList = [3, 4].map(|n| subnet(peers.addr(n))).into_iter().collect();
        let config = Config::builder().deny(deny).build().unwrap();
        let contacts = [peers.addr(3), peers.addr(0)];
        let node = Node::builder().config(config).bootstrap(contacts).seed(1);
        let node = node.start_local_over(network.endpoint()).await.unwrap();
        let joined = node.joined().await.unwrap().unwrap();
        assert!(joined.joined() && joined.to_string().contains("deny"), "{joined}");
        // Others name all peers.
        assert_eq!(node.set("key", "value").await.unwrap().stored, 8);
        for n in [3, 4] {
            assert!(peers.ask(n, node.local_addr(), Request::Ping).await.is_err());
            assert!(peers.set(n, node.local_addr(), "theirs", "value").await.is_err());
        }
        assert!(peers.ask(5, node.local_addr(), Request::Ping).await.is_ok());
        sleep(Duration::from_secs(7_200)).await;
        let heard = peers.heard();
        assert!(heard.iter().any(|asked| asked.peer == 5) && heard.iter().all(|asked| ![3, 4].contains(&asked.peer)));
        assert_eq!(node.counters().get(Counter::Denied), 4);
        assert!(node.counters().get(Counter::QueryDenied) > 2);
        let table = node.snapshot().await.unwrap();
        assert_eq!(table.table.peers, 8);
    });
}

/// The bytes that a node of this rate sends within ten seconds in which it is asked for large values all the time, and how
/// many of its own reads succeed meanwhile, of twenty; then the answers and the queries that were dropped.
async fn asked_for_too_much(rate: u64) -> (usize, usize, [u64; 2]) {
    let network = MemoryNetwork::new(7);
    let peers = ScriptedPeers::new(&network, Codec::Json).with(10);
    peers.hold(9, "theirs", "value");
    let bytes = Bytes::default();
    let config = Config::builder().max_send_rate(rate).build().unwrap();
    let node = Node::builder().config(config).bootstrap([peers.addr(0)]).seed(1);
    let node = node.start_local_over(Metered(network.endpoint(), bytes.clone())).await.unwrap();
    peers.hold(9, "theirs", "value");
    node.set("large", "x".repeat(5_000)).await.unwrap();
    // What that took is earned again.
    sleep(Duration::from_secs(60)).await;
    bytes.borrow_mut().clear();
    let dropped = || [Counter::AnswerOverRate, Counter::QueryOverRate].map(|counter| node.counters().get(counter));
    let (before, mut reads) = (dropped(), 0);
    for round in 0..1_000 {
        let find = Request::FindValue { key: "large".into() };
        peers.tell(round % 9, Some(peers.id(round % 9)), node.local_addr(), Body::Request(find));
        if round % 50 == 49 {
            peers.hold(9, &format!("key {round}"), "value");
            reads += usize::from(
                node.get(format!("key {round}")).await.is_ok_and(|value| value == Some(Value::from("value"))),
            );
        }
        sleep(Duration::from_millis(10)).await;
    }
    let sent = bytes.borrow().values().sum();
    let [answers, queries] = dropped();
    (sent, reads, [answers - before[0], queries - before[1]])
}

#[test]
fn beyond_the_rate_of_all_bytes_answers_are_dropped_first_and_the_nodes_own_reads_go_on() {
    in_virtual_time(async {
        let (free, reads, dropped) = asked_for_too_much(0).await;
        assert!(free > 5_000_000 && reads == 20, "{free} bytes, {reads} reads");
        assert_eq!(dropped, [0, 0]);
        let rate = 50_000;
        let (sent, reads, [answers, queries]) = asked_for_too_much(rate).await;
        // Ten seconds and what the reads take, one second that was saved, and one datagram.
        assert!((300_000..=13 * rate as usize).contains(&sent), "{sent} bytes");
        assert_eq!(reads, 20);
        assert!(answers > 800 && queries == 0, "{answers} answers, {queries} queries");
    });
}
