//! Pings that requests pay for: they reach an honest sender whatever is sent in its neighbours' names, they are sent again when
//! one is lost, and an address in whose name others send gets no more bytes by them than three times what was sent.

use std::net::SocketAddr;
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::message::{Body, Request, Response};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::sim::{MemoryNetwork, MemoryTransport, in_virtual_time};
use kademlia_dynamic::{Config, Node, NodeId};
use tokio::time::sleep;

use crate::support::{drain, legacy, set, start};

/// Answers the pings that have come to `end`, but for the first `lost` of all. How many came.
fn answer_pings(end: &MemoryTransport, node: &Node, claim: Option<NodeId>, lost: &mut usize) -> usize {
    let mut pings = 0;
    for message in drain(end) {
        if message.body != Body::Request(Request::Ping) {
            continue;
        }
        pings += 1;
        if *lost > 0 {
            *lost -= 1;
        } else {
            let id = message.id.as_u64().expect("an id of ours");
            end.send(node.local_addr(), legacy(end.addr(), claim, id, Body::Response(Response::Pong)));
        }
    }
    pings
}

#[test]
fn a_stream_of_writes_takes_effect_although_the_first_ping_was_lost() {
    for every in [400, 900, 1_500] {
        in_virtual_time(async {
            let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
            let node = start(&network, Node::builder()).await;
            let writer = network.endpoint();
            let (mut pings, mut lost) = (0, 1);
            for n in 0..200 {
                let write = legacy(writer.addr(), None, n, Body::Request(set(&format!("k{n}"), "v")));
                writer.send(node.local_addr(), write);
                for _ in 0..every / 50 {
                    sleep(Duration::from_millis(50)).await;
                    pings += answer_pings(&writer, &node, None, &mut lost);
                }
            }
            let held = node.snapshot().await.unwrap().store.held.values;
            println!("a write each {every} ms: {held} of 200 took effect, {pings} pings");
            assert!(held >= 198, "a write each {every} ms: {held}");
            assert!((2..=3).contains(&pings), "a write each {every} ms: {pings} pings");
        });
    }
}

#[test]
fn one_write_waits_for_a_second_ping_where_the_first_was_lost() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let node = start(&network, Node::builder()).await;
        let (writer, mut lost, mut pings) = (network.endpoint(), 2, 0);
        let claim = Some(NodeId::of_key("writer"));
        // As the Python package spells it.
        let write = format!(
            r#"{{"type": "set", "id": "00c0ffee00c0ffee", "sender": {{"node_id": "{}", "ip": "{}", "port": 7000}}, "key": "k", "value": "v"}}"#,
            NodeId::of_key("writer"),
            writer.addr().ip(),
        );
        writer.send(node.local_addr(), write.into_bytes());
        let held = async || node.snapshot().await.unwrap().store.held.values;
        for _ in 0..20 {
            sleep(Duration::from_millis(50)).await;
            pings += answer_pings(&writer, &node, claim, &mut lost);
            if lost == 0 && held().await == 1 {
                break;
            }
        }
        // One of them is the routing table's, to a newcomer.
        assert_eq!((pings, held().await), (3, 1));
    });
}

#[test]
fn a_newcomer_is_pinged_whatever_was_sent_in_the_names_of_its_neighbours_and_they_get_three_times_that() {
    for forged_ports in [0, 30, 300] {
        in_virtual_time(async {
            let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
            let node = start(&network, Node::builder()).await;
            let honest = network.endpoint();
            // Silent neighbours: other ports of its host.
            let neighbour = |port| SocketAddr::new(honest.addr().ip(), port);
            let victims: Vec<MemoryTransport> =
                (1..=forged_ports).map(|port| network.endpoint_at(neighbour(port)).expect("it is free")).collect();
            let (mut forged, mut got) = (0, 0);
            for (n, victim) in victims.iter().enumerate() {
                let claim = Some(NodeId::of_key(&n.to_string()));
                for body in [set("s", "v"), Request::FindNode { target: NodeId::ZERO }] {
                    let request = legacy(victim.addr(), claim, n as u64, Body::Request(body));
                    forged += request.len();
                    network.send(victim.addr(), node.local_addr(), request);
                }
                sleep(Duration::from_millis(120)).await;
            }
            sleep(Duration::from_secs(2)).await;
            for victim in &victims {
                got += std::iter::from_fn(|| victim.try_receive()).map(|it| it.payload.len()).sum::<usize>();
            }
            println!("{forged_ports} ports: {got} bytes for {forged}");
            assert!(got <= 3 * forged, "{got} bytes for {forged}");

            let (id, mut pings) = (NodeId::of_key("honest"), 0);
            for n in 0..10u64 {
                let write = legacy(honest.addr(), Some(id), 1_000 + n, Body::Request(set(&format!("k{n}"), "v")));
                honest.send(node.local_addr(), write);
                for _ in 0..60 {
                    sleep(Duration::from_millis(50)).await;
                    pings += answer_pings(&honest, &node, Some(id), &mut 0);
                }
            }
            let snapshot = node.snapshot().await.unwrap();
            assert_eq!((snapshot.store.held.values, snapshot.table.peers), (10, 1), "{forged_ports} ports");
            assert!(pings >= 1, "it was pinged");
        });
    }
}

#[test]
fn the_first_write_of_a_legacy_node_is_acknowledged_although_the_budget_of_its_host_is_used_up() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        // No rate stands in the way.
        let config =
            Config::builder().source_rate(10_000).source_burst(10_000).prefix_rate(10_000).prefix_burst(10_000);
        let node = start(&network, Node::builder().config(config.build().unwrap())).await;
        let newcomer = network.endpoint();
        let neighbour = network.endpoint_at(SocketAddr::new(newcomer.addr().ip(), 9)).expect("it is free");
        let over_budget = || node.counters().get(Counter::OverBudget);
        // Ever smaller values, so that nothing is left of the budget in the end.
        for size in [50_000, 5_000, 600, 200, 160, 150, 140] {
            let key = size.to_string();
            node.set(&key, "x".repeat(size)).await.unwrap();
            let before = over_budget();
            for n in 0..100 {
                let read = Body::Request(Request::FindValue { key: key.as_str().into() });
                neighbour.send(node.local_addr(), legacy(neighbour.addr(), None, n, read));
                sleep(Duration::from_millis(1)).await;
                answer_pings(&neighbour, &node, None, &mut 0);
                sleep(Duration::from_millis(1)).await;
                if over_budget() > before {
                    break;
                }
            }
            assert!(over_budget() > before, "{size}");
        }
        newcomer.send(node.local_addr(), legacy(newcomer.addr(), None, 1, Body::Request(set("first", "v"))));
        let mut acknowledged = None;
        for _ in 0..20 {
            sleep(Duration::from_millis(1)).await;
            for message in drain(&newcomer) {
                match message.body {
                    Body::Request(Request::Ping) => {
                        let pong = Body::Response(Response::Pong);
                        let id = message.id.as_u64().unwrap();
                        newcomer.send(node.local_addr(), legacy(newcomer.addr(), None, id, pong));
                    }
                    Body::Response(Response::Set { stored, .. }) => acknowledged = Some(stored),
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(acknowledged, Some(true), "a legacy node drops a peer after one silent query");
    });
}
