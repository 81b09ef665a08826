//! Datagrams that are no message of this wire: dropped, counted by reason, answered by silence.

use std::net::UdpSocket;
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Request, Response, Sender};
use kademlia_dynamic::{Codec, Node, NodeId};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

fn json(fields: &str) -> Vec<u8> {
    let sender = r#""sender":{"node_id":"a94a8fe5ccb19ba61c4c0873d391e987982fbbd3","ip":"127.0.0.1","port":8000}"#;
    format!(r#"{{"id":"00c0ffee00c0ffee",{sender}{fields}}}"#).into_bytes()
}

fn hostile() -> Vec<(Vec<u8>, Counter)> {
    let sender_of = |id: &str, port: &str| {
        format!(r#"{{"type":"ping","id":"x","sender":{{"node_id":"{id}","ip":"127.0.0.1","port":{port}}}}}"#)
            .into_bytes()
    };
    let id = "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3";
    vec![
        (Vec::new(), Counter::Empty),
        (b"not json".to_vec(), Counter::Malformed),
        (b"[".repeat(30_000), Counter::Malformed),
        (vec![0xff; 65_507], Counter::Malformed),
        (json(r#","type":"ping"} "#), Counter::Malformed),
        (json(r#","type":"launch_missiles""#), Counter::UnknownType),
        (json(r#","type":"ping","type":"pong""#), Counter::Duplicate),
        (json(r#","type":"find_node""#), Counter::MissingField),
        (json(r#","type":"find_node","target":"-1""#), Counter::BadField),
        (json(r#","type":"set","key":7,"value":"v""#), Counter::BadField),
        (sender_of("-1", "8000"), Counter::BadSender),
        (sender_of(id, "0"), Counter::BadSender),
        (sender_of(id, "70000"), Counter::BadSender),
        (sender_of(id, "\"x\""), Counter::BadSender),
        (sender_of(id, "8000").into_iter().map(|b| if b == b'x' { b'"' } else { b }).collect(), Counter::Malformed),
        (json(r#","type":"pong""#), Counter::UnknownQuery),
    ]
}

#[actix::test]
async fn a_datagram_that_is_no_message_is_counted_by_reason_and_answered_by_silence() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _metrics = metrics::set_default_local_recorder(&recorder);
    let node = Node::builder().start_local().await.unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.connect(node.local_addr()).unwrap();
    stranger.set_nonblocking(true).unwrap();
    let stranger = tokio::net::UdpSocket::from_std(stranger).unwrap();

    for (round, (datagram, counter)) in hostile().into_iter().enumerate() {
        let before = node.counters().get(counter);
        stranger.send(&datagram).await.unwrap();
        // The ping behind it is answered, and its pong is the first thing that comes back.
        let id = QueryId::from_u64(round as u64);
        let sender = Sender::new(None, stranger.local_addr().unwrap());
        let ping = Message { id, sender, version: None, token: None, body: Body::Request(Request::Ping) };
        stranger.send(&Codec::Json.encode(&ping).unwrap()).await.unwrap();
        let mut buffer = [0; 2_048];
        let answer = tokio::time::timeout(Duration::from_secs(10), stranger.recv(&mut buffer)).await;
        let len = answer.unwrap_or_else(|_| panic!("no pong after {counter:?}")).unwrap();
        let pong = Codec::Json.decode(&buffer[..len]).unwrap();
        assert_eq!((pong.id, pong.body), (id, Body::Response(Response::Pong)), "after {counter:?}");
        let text = String::from_utf8_lossy(&datagram[..datagram.len().min(200)]).into_owned();
        assert_eq!(node.counters().get(counter), before + 1, "{counter:?} of {text}: {:?}", node.counters());
    }

    let mut facade = std::collections::BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let reason = key.key().labels().find(|label| label.key() == "reason").map(|label| label.value().to_owned());
        if let DebugValue::Counter(count) = value {
            facade.insert((key.key().name().to_owned(), reason.unwrap_or_default()), count);
        }
    }
    for (_, counter) in hostile() {
        let reported = facade.get(&(counter.name().to_owned(), counter.reason().to_owned()));
        assert_eq!(reported, Some(&node.counters().get(counter)), "{counter:?} through the metrics facade");
    }
    assert_eq!(node.snapshot().await.unwrap().table.peers, 0);
}

#[tokio::test]
async fn whatever_bytes_come_a_node_goes_on() {
    use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
    let mut entropy = SeededEntropy::new(1);
    for codec in Codec::ALL {
        let node = Node::builder().codec(codec).start().await.unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..500 {
            let mut bytes = vec![0; entropy.below(300) as usize];
            entropy.fill(&mut bytes);
            stranger.send_to(&bytes, node.local_addr()).unwrap();
        }
        let other = Node::builder().codec(codec).node_id(NodeId::ZERO).start().await.unwrap();
        // As long as they fill the socket's buffer, the system drops what else comes.
        let mut pong = other.ping(node.local_addr()).await;
        for _ in 0..5 {
            if pong.is_err() {
                pong = other.ping(node.local_addr()).await;
            }
        }
        assert_eq!(pong.unwrap().peer.id, node.id(), "{codec}");
        assert_eq!(node.counters().restarts().len(), 0);
    }
}
