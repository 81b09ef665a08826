//! What a legacy node says to a single peer, which a test plays; and where 1.0.0 differs from 1.1.1.

use std::sync::Arc;
use std::time::Duration;

use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Request, Response, Sender};
use kademlia_dynamic::sim::in_virtual_time;
use kademlia_dynamic::sim::{MemoryNetwork, MemoryTransport};
use kademlia_dynamic::{Codec, Config, NodeId, Peer, Value};
use tokio::time::Instant;

use super::{LegacyNode, LegacyVersion};

const EACH: [LegacyVersion; 2] = [LegacyVersion::V1_0_0, LegacyVersion::V1_1_1];

/// A peer that holds every key, knows no peers, and remembers what it was asked.
struct Holder {
    endpoint: MemoryTransport,
    id: NodeId,
}

impl Holder {
    fn new(network: &MemoryNetwork) -> Self {
        Self { endpoint: network.endpoint(), id: NodeId::of_key("holder") }
    }

    fn say(&self, to: &LegacyNode, id: QueryId, body: Body) {
        let sender = Sender::new(Some(self.id), self.endpoint.addr());
        let payload = Codec::Json.encode(&Message { id, sender, version: None, token: None, body }).unwrap();
        assert!(self.endpoint.send(to.peer().addr, payload));
    }

    /// Asks, and says what is answered within 3 seconds.
    async fn ask(&self, node: &LegacyNode, request: Request) -> Option<Response> {
        self.say(node, QueryId::from_u64(7), Body::Request(request));
        let datagram = tokio::time::timeout(Duration::from_secs(3), self.endpoint.receive()).await.ok()?;
        match Codec::Json.decode(&datagram.payload).unwrap().body {
            Body::Response(response) => Some(response),
            Body::Request(request) => panic!("it asks: {request:?}"),
        }
    }

    /// Answers the queries of `node` for `time`, and says which they were.
    async fn answer(&self, node: &LegacyNode, time: Duration) -> Vec<&'static str> {
        let mut asked = Vec::new();
        let until = Instant::now() + time;
        while let Ok(datagram) = tokio::time::timeout_at(until, self.endpoint.receive()).await {
            let message = Codec::Json.decode(&datagram.payload).unwrap();
            let Body::Request(request) = message.body else { continue };
            asked.push(request.name());
            let response = match request {
                Request::Ping => Response::Pong,
                Request::FindNode { .. } => Response::FindNode { peers: Vec::new() },
                Request::CheckStore { .. } => Response::CheckStore { has_key: true, ttl: None, age: None },
                Request::Set { .. } => Response::Set { stored: true, ttl: None },
                other => panic!("it asks: {other:?}"),
            };
            self.say(node, message.id, Body::Response(response));
        }
        asked
    }
}

/// A node of this version and the only peer that it knows.
async fn acquainted(version: LegacyVersion) -> (MemoryNetwork, LegacyNode, Holder) {
    let network = MemoryNetwork::new(1);
    let node = LegacyNode::start(&network, Codec::Json, &Config::default(), version, 1);
    let holder = Holder::new(&network);
    assert_eq!(holder.ask(&node, Request::Ping).await, Some(Response::Pong));
    assert_eq!(node.table(), [Peer::new(holder.id, holder.endpoint.addr())]);
    (network, node, holder)
}

fn set(value: &str) -> Request {
    Request::Set { key: "key".into(), value: Arc::new(value.into()), ttl: None, age: None }
}

#[test]
fn a_value_of_others_is_restored_where_it_lacks_by_1_1_1_and_everywhere_by_1_0_0() {
    let restoring = EACH.map(|version| {
        in_virtual_time(async {
            let (_network, node, holder) = acquainted(version).await;
            assert_eq!(holder.ask(&node, set("value")).await, Some(Response::Set { stored: true, ttl: None }));
            // The restore falls due when the second round is over, since the value came after the first had begun.
            holder.answer(&node, Duration::from_secs(2 * 3_600 + 60)).await
        })
    });
    assert!(restoring[0].contains(&"set") && !restoring[0].contains(&"check_store"), "{restoring:?}");
    assert!(restoring[1].contains(&"check_store") && !restoring[1].contains(&"set"), "{restoring:?}");
}

#[test]
fn who_published_a_value_still_does_after_anothers_set_by_1_1_1_but_not_by_1_0_0() {
    let publishes = EACH.map(|version| {
        in_virtual_time(async {
            let (_network, node, holder) = acquainted(version).await;
            let (_, asked) = tokio::join!(node.set("key", "value"), holder.answer(&node, Duration::from_secs(10)));
            assert_eq!(asked, ["find_node", "check_store"], "the only peer holds it");
            assert_eq!(holder.ask(&node, set("another")).await, Some(Response::Set { stored: true, ttl: None }));
            assert_eq!(node.held("key"), Some(Value::from("another")));
            node.0.held("key").unwrap().published
        })
    });
    assert_eq!(publishes, [false, true]);
}

#[test]
fn get_is_answered_by_1_0_0_only() {
    let answers = EACH.map(|version| {
        in_virtual_time(async {
            let (_network, node, holder) = acquainted(version).await;
            holder.ask(&node, set("value")).await;
            holder.ask(&node, Request::Get { key: "key".into() }).await
        })
    });
    assert_eq!(answers, [Some(Response::Get { value: Some(Arc::new("value".into())) }), None]);
}

#[test]
fn an_answer_from_elsewhere_is_taken_by_1_0_0_only() {
    let joined = EACH.map(|version| {
        in_virtual_time(async {
            let network = MemoryNetwork::new(1);
            let node = LegacyNode::start(&network, Codec::Json, &Config::default(), version, 1);
            let (asked, elsewhere) = (network.endpoint(), Holder::new(&network));
            let answer = async {
                let ping = Codec::Json.decode(&asked.receive().await.payload).unwrap();
                elsewhere.say(&node, ping.id, Body::Response(Response::Pong));
                elsewhere.answer(&node, Duration::from_secs(10)).await
            };
            let contacts = [asked.addr()];
            let (_, asked) = tokio::join!(node.bootstrap(&contacts), answer);
            assert_eq!(node.table().len(), 1, "any pong inserts its sender");
            asked.contains(&"find_node")
        })
    });
    assert_eq!(joined, [true, false]);
}
