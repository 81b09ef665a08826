//! How far strangers fill a table: many from one network, and many that no node has heard of.

use std::net::SocketAddr;
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::entropy::SeededEntropy;
use kademlia_dynamic::protocol::message::{Body, PROTOCOL_VERSION, Request};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::sim::{MemoryNetwork, ScriptedPeers, Sim, in_virtual_time};
use kademlia_dynamic::{Codec, Node, NodeId, Peer};
use tokio::time::sleep;

use super::sybils::Sybils;
use crate::support::{known, random_id, spell, start};

#[test]
fn of_a_thousand_peers_of_one_network_at_most_ten_enter_a_table_and_all_200_honest_ones_are_found() {
    Sim::run(Sim::builder().nodes(200).seed(3).codec(Codec::MessagePack), async |sim| {
        let nodes: Vec<Node> = sim.places().iter().filter_map(|place| sim.node(*place)).collect();
        let sybils = Sybils::anywhere(sim.network(), 1_000, 9);
        // Some hear of all of them, and the others of those whom their lookups meet.
        let addrs: Vec<SocketAddr> = nodes.iter().step_by(20).map(Node::local_addr).collect();
        for _ in 0..2 {
            sybils.introduce(&addrs);
            sim.run_for(Duration::from_secs(60)).await;
        }
        let mut most = 0;
        let mut found = 0;
        for (at, honest) in nodes.iter().enumerate() {
            let seeker = &nodes[(at + 77) % nodes.len()];
            let nearest = seeker.find_node(honest.id()).await.unwrap();
            found += usize::from(nearest.first().is_some_and(|peer| peer.id == honest.id()));
        }
        for node in &nodes {
            let of_one_network = |peer: &&Peer| peer.addr.ip().to_string().starts_with("45.6.9.");
            most = most.max(known(node).await.iter().filter(of_one_network).count());
        }
        println!("at most {most} of 1,000 in a table; {found} of 200 honest nodes found");
        assert!((1..=10).contains(&most), "{most}");
        assert_eq!(found, 200);
    })
    .unwrap();
}

#[test]
fn twenty_thousand_strangers_in_a_second_displace_no_peer_and_cost_few_pings() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let peers = ScriptedPeers::new(&network, Codec::MessagePack).with(60);
        let builder = Node::builder().codec(Codec::MessagePack).bootstrap([peers.addr(0)]);
        let node = start(&network, builder).await;
        for n in 0..60 {
            // A peer that it does not know by now introduces itself.
            let _ = peers.ask(n, node.local_addr(), Request::FindNode { target: NodeId::ZERO }).await;
        }
        sleep(Duration::from_secs(5)).await;
        let live = known(&node).await;
        assert!(live.len() >= 30, "{}", live.len());
        let (received, asked) = (node.counters().get(Counter::Received), node.counters().get(Counter::Asked));
        let mut entropy = SeededEntropy::new(2);
        for n in 0..20_000u32 {
            // Each in a network of its own, and with a new id.
            let from =
                SocketAddr::from(([100 + (n >> 16) as u8, (n >> 8) as u8 & 0x3f, n as u8, 1 + (n >> 14) as u8], 7_000));
            let (claim, body) = (Some(random_id(&mut entropy)), Body::Request(Request::Ping));
            let ping = spell(Codec::MessagePack, from, claim, n.into(), Some(PROTOCOL_VERSION), body);
            network.send(from, node.local_addr(), ping);
            if n % 20 == 19 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        let queries = node.snapshot().await.unwrap().queries_in_flight;
        sleep(Duration::from_secs(5)).await;
        assert_eq!(node.counters().get(Counter::Received) - received, 20_000);
        let pings = node.counters().get(Counter::Asked) - asked;
        println!("{pings} pings for 20,000 strangers, {queries} queries in flight at the end");
        assert!(pings < 400 && queries < 400, "{pings} pings, {queries} in flight");
        let left = known(&node).await;
        assert!(live.iter().all(|peer| left.contains(peer)), "no peer was displaced");
        assert_eq!(left.len(), live.len(), "and none came in without an answer");
    });
}
