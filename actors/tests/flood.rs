//! A flood over a real socket: every datagram is accounted for, those included that the system dropped.

use std::net::UdpSocket;
use std::time::Duration;

use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::{AppliesTo, Config};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Request, Response, Sender};

use super::super::counters::Counter;
use super::super::node::Node;

/// Reasons for which a datagram is dropped on its way in.
const ON_THE_WAY_IN: [Counter; 6] = [
    Counter::NoSlot,
    Counter::TooFast,
    Counter::Malformed,
    Counter::Empty,
    Counter::UnknownType,
    Counter::UnknownQuery,
];

/// What strangers send: queries, answers to no query, and what is no message at all.
fn datagrams(from: &UdpSocket) -> Vec<Vec<u8>> {
    // Without an id they are inserted nowhere, so that the node asks them nothing.
    let sender = Sender::new(None, from.local_addr().unwrap());
    let bodies = [
        Body::Request(Request::Ping),
        Body::Request(Request::FindNode { target: NodeId::ZERO }),
        Body::Request(Request::FindValue { key: "absent".into() }),
        Body::Response(Response::Pong),
    ];
    let encoded = bodies.into_iter().map(|body| {
        let message = Message { id: QueryId::from_u64(1), sender, version: None, token: None, body };
        Codec::Json.encode(&message).unwrap()
    });
    encoded.chain([b"no message".to_vec(), Vec::new()]).collect()
}

async fn flood(config: Config) -> Node {
    let node = Node::builder().config(config).start_local().await.unwrap();
    let sockets: Vec<UdpSocket> = (0..8).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let mut sent = 0;
    // Without a pause: nothing of the node runs meanwhile, so that the system's buffer overflows. Then with pauses.
    for (round, size) in [4_000, 100, 1_000, 30, 1].into_iter().enumerate() {
        for n in 0..size {
            let socket = &sockets[n % sockets.len()];
            let datagrams = datagrams(socket);
            socket.send_to(&datagrams[(n + round) % datagrams.len()], node.local_addr()).unwrap();
            sent += 1;
        }
        let accounted = async {
            loop {
                let _ = node.snapshot().await.unwrap();
                let counted = [Counter::Received, Counter::KernelDropped].map(|counter| node.counters().get(counter));
                assert!(counted.iter().sum::<u64>() <= sent, "{counted:?} of {sent}");
                if counted.iter().sum::<u64>() == sent {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let all = tokio::time::timeout(Duration::from_secs(30), accounted).await;
        assert!(all.is_ok(), "{sent} were sent: {:?}", node.counters());
    }
    let answered_or_dropped = || {
        let dropped: u64 = ON_THE_WAY_IN.iter().map(|counter| node.counters().get(*counter)).sum();
        node.counters().get(Counter::Answered) + dropped
    };
    let dealt_with = async {
        while answered_or_dropped() < node.counters().get(Counter::Received) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let all = tokio::time::timeout(Duration::from_secs(30), dealt_with).await;
    assert!(all.is_ok(), "{:?}", node.counters());
    assert_eq!(answered_or_dropped(), node.counters().get(Counter::Received), "{:?}", node.counters());
    node
}

#[cfg(target_os = "linux")]
#[actix::test]
async fn each_datagram_of_a_flood_was_answered_or_dropped_for_a_reason_or_by_the_system() {
    let node = flood(Config::builder().receive_buffer(16_384).build().unwrap()).await;
    for counter in [Counter::KernelDropped, Counter::Answered, Counter::Malformed, Counter::UnknownQuery] {
        assert!(node.counters().get(counter) > 0, "{counter:?}: {:?}", node.counters());
    }
    node.stop().await;
}

#[cfg(target_os = "linux")]
#[actix::test]
async fn with_room_for_the_flood_and_a_rate_the_rate_drops_it_and_not_the_system() {
    let config = Config::builder().rate_limit(AppliesTo::Always).source_rate(1).source_burst(50);
    let node = flood(config.build().unwrap()).await;
    assert!(node.counters().get(Counter::TooFast) > 0, "{:?}", node.counters());
    node.stop().await;
}
