//! The table against nodes that run: over a network in memory, where every datagram that a node sends is seen, and over a
//! socket of this machine.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use kademlia_dynamic::Node;
use kademlia_dynamic::protocol::message::{QueryId, Sender};

use super::siege::{besiege, dropped};
use super::*;

/// Every datagram of the table and of the lists of single wires, with its name and what becomes of it.
fn all(codec: Codec) -> Vec<(String, Vec<u8>, Outcome)> {
    let rows = table::rows();
    let named = rows.iter().filter_map(|row| Some((row.name.clone(), row.on(codec)?)));
    let mut all: Vec<_> =
        named.map(|(name, (datagram, expected))| (name, datagram.to_vec(), expected.clone())).collect();
    let single = match codec {
        Codec::Json => json::datagrams(),
        Codec::Bencode => bencode::datagrams(),
        Codec::MessagePack => msgpack::datagrams(),
    };
    all.extend(single.into_iter().map(|(datagram, expected)| {
        (datagram[..datagram.len().min(300)].escape_ascii().to_string(), datagram, expected)
    }));
    all
}

/// The answers among the datagrams are given to queries of the node too. It passes on nothing that it must not: it names no
/// stranger to any caller, and sends to no address that cannot be one.
fn after_each_the_node_answers_and_nothing_invalid_is_passed_on(codec: Codec) {
    let all = all(codec);
    keeping::give(codec, all.iter().map(|(_, datagram, _)| &**datagram));
    keeping::give(codec, sound_datagrams(codec).iter().map(Vec::as_slice));
    let wishes: Vec<Request> =
        all.iter().filter_map(|(_, _, expected)| expected.as_ref().ok()).flat_map(wishes).collect();
    let shots = all.into_iter().map(|(_, datagram, expected)| (datagram, expected.err()));
    besiege(codec, 7, shots, wishes, 100);
}

/// Requests of another peer that show what the node believes of `body`.
fn wishes(body: &Body) -> Vec<Request> {
    match body {
        Body::Response(Response::FindNode { peers }) => {
            peers.iter().map(|peer| Request::FindNode { target: peer.id }).collect()
        }
        Body::Request(Request::Set { key, .. } | Request::FindValue { key }) => {
            vec![Request::FindValue { key: key.clone() }]
        }
        _ => Vec::new(),
    }
}

#[test]
fn of_json_nothing_stops_a_node_or_is_passed_on() {
    after_each_the_node_answers_and_nothing_invalid_is_passed_on(Codec::Json);
}

#[test]
fn of_bencode_nothing_stops_a_node_or_is_passed_on() {
    after_each_the_node_answers_and_nothing_invalid_is_passed_on(Codec::Bencode);
}

#[test]
fn of_messagepack_nothing_stops_a_node_or_is_passed_on() {
    after_each_the_node_answers_and_nothing_invalid_is_passed_on(Codec::MessagePack);
}

#[actix::test]
async fn over_a_socket_too_a_ping_is_answered_after_each() {
    for codec in Codec::ALL {
        let node = Node::builder().codec(codec).start_local().await.unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.connect(node.local_addr()).unwrap();
        stranger.set_nonblocking(true).unwrap();
        let stranger = tokio::net::UdpSocket::from_std(stranger).unwrap();
        for (n, row) in table::rows().iter().enumerate() {
            let Some((datagram, expected)) = row.on(codec) else { continue };
            let before = expected.as_ref().err().map(|reason| dropped(&node, reason));
            stranger.send(datagram).await.unwrap();
            let (id, sender) = (QueryId::from_u64(n as u64), Sender::new(None, stranger.local_addr().unwrap()));
            let ping = Message { id, sender, version: None, token: None, body: Body::Request(Request::Ping) };
            stranger.send(&codec.encode(&ping).unwrap()).await.unwrap();
            loop {
                let mut buffer = vec![0; 65_536];
                let answer = tokio::time::timeout(Duration::from_secs(10), stranger.recv(&mut buffer)).await;
                let len = answer.unwrap_or_else(|_| panic!("{codec}: no pong after {}", row.name)).unwrap();
                // The node pings the sender of a sound query, to learn who it is.
                let said = codec.decode(&buffer[..len]).unwrap();
                if said.id == id && said.body == Body::Response(Response::Pong) {
                    break;
                }
            }
            if let Err(reason) = expected {
                assert_eq!(before.map(|before| before + 1), Some(dropped(&node, reason)), "{codec}: {}", row.name);
            }
        }
        assert!(node.counters().restarts().is_empty());
        node.stop().await;
    }
}

/// Names are resolved where an application names a contact or an address to bind, and nowhere else: what comes over the wire
/// is parsed, and a host name is no address. (That such rows make a node send nothing anywhere is seen above.)
#[test]
fn nothing_that_comes_over_the_wire_can_reach_the_resolver() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut resolving = Vec::new();
    let mut folders = vec![root.join("actors"), root.join("src/protocol"), root.join("src/persist")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                if ["lookup_host", "ToSocketAddrs", "to_socket_addrs"].iter().any(|name| text.contains(name)) {
                    resolving.push(path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/"));
                }
            }
        }
    }
    resolving.sort();
    assert_eq!(resolving, ["actors/node/builder.rs", "actors/operations/join/resolver.rs"]);
}
