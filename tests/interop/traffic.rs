//! Everything that legacy nodes and ours say to each other, read and said again as the same. It gives real traffic to the
//! fuzzers' corpus (fuzz/README.md).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use kademlia_dynamic::actors::transport::UdpTransport;
use kademlia_dynamic::{Codec, Node, NodeId};

use crate::decoders::check_decoder;
use crate::keeping;
use crate::legacy::Legacy;
use crate::messages::values;
use crate::python::Version;
use crate::recording::{Recording, Tape};

/// Datagrams of one type that are given to the corpus, at most.
const OF_A_TYPE: usize = 15;

async fn a_node(codec: Codec, contacts: &[SocketAddr], tape: &Tape) -> Node {
    let inner = UdpTransport::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let line = Recording { inner, tape: tape.clone() };
    let contacts = contacts.iter().map(SocketAddr::to_string);
    Node::builder().codec(codec).bootstrap(contacts).start_local_over(line).await.expect("a node starts")
}

async fn all_of_it_is_read(version: Version, codec: Codec) {
    let Some(legacy) = Legacy::start(version, codec).await else { return };
    let tape = Tape::default();
    let nodes = legacy.nodes(4, &[]).await;
    let first = a_node(codec, &[nodes[0].addr()], &tape).await;
    let second = a_node(codec, &[nodes[1].addr()], &tape).await;
    for (at, value) in values().iter().enumerate() {
        let (theirs, ours) = (format!("theirs {at} ключ"), format!("ours {at}"));
        legacy.set(&nodes[at % 4], &theirs, value).await;
        first.set(&*ours, value.clone()).await.expect("it fits");
        let _ = second.get(&*theirs).await;
        legacy.get(&nodes[(at + 1) % 4], &ours).await;
        legacy.get(&nodes[at % 4], "no node has it").await;
        legacy.find_node(&nodes[at % 4], &NodeId::of_key(&ours)).await;
        let _ = second.find_node(NodeId::of_key(&theirs)).await;
        let _ = second.ping(nodes[at % 4].addr()).await;
    }
    // What is still under way arrives.
    actix_rt::time::timeout(Duration::from_secs(10), first.stop()).await.expect("it stops");
    second.stop().await;

    let mut by_type: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for datagram in tape.borrow().iter() {
        let message =
            check_decoder(codec, datagram).unwrap_or_else(|error| panic!("{error}: {}", datagram.escape_ascii()));
        by_type.entry(message.body.name().to_owned()).or_default().push(datagram.clone());
    }
    for expected in ["ping", "pong", "find_node", "find_node_res", "find_value", "find_value_res", "set", "set_res"] {
        assert!(by_type.contains_key(expected), "no {expected} among {:?}", by_type.keys());
    }
    for datagrams in by_type.values() {
        let step = datagrams.len().div_ceil(OF_A_TYPE);
        keeping::give(codec, datagrams.iter().step_by(step).map(Vec::as_slice));
    }
}

#[actix::test]
async fn what_version_1_0_0_and_ours_say_in_json_is_read_and_said_again() {
    all_of_it_is_read(Version::V1_0_0, Codec::Json).await;
}

#[actix::test]
async fn what_version_1_0_0_and_ours_say_in_bencode_is_read_and_said_again() {
    all_of_it_is_read(Version::V1_0_0, Codec::Bencode).await;
}

#[actix::test]
async fn what_version_1_1_1_and_ours_say_in_json_is_read_and_said_again() {
    all_of_it_is_read(Version::V1_1_1, Codec::Json).await;
}

#[actix::test]
async fn what_version_1_1_1_and_ours_say_in_bencode_is_read_and_said_again() {
    all_of_it_is_read(Version::V1_1_1, Codec::Bencode).await;
}
