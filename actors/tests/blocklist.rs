//! Datagrams that make an actor panic, whichever it is: they do it once.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Request, Response, Sender};
use kademlia_dynamic::sim::{MemoryNetwork, MemoryTransport, in_virtual_time};
use kademlia_dynamic::test_log::log_to;

use super::super::counters::Counter;
use super::super::node::Node;
use super::drill;

/// A node, and a stranger that sends it things.
struct Stage {
    node: Node,
    stranger: MemoryTransport,
}

impl Stage {
    async fn new() -> Self {
        let network = MemoryNetwork::new(7);
        let config = Config::builder().max_restarts(100).build().unwrap();
        let node = Node::builder().config(config).seed(7).start_local_over(network.endpoint()).await.unwrap();
        Self { node, stranger: network.endpoint() }
    }

    fn datagram(&self, id: u64, body: Body) -> Vec<u8> {
        let sender = Sender::new(Some(NodeId::of_key("stranger")), self.stranger.addr());
        Codec::Json.encode(&Message { id: QueryId::from_u64(id), sender, version: None, token: None, body }).unwrap()
    }

    async fn send(&self, payload: Vec<u8>) {
        self.stranger.send(self.node.local_addr(), payload);
        // Past any pause before a restart.
        tokio::time::sleep(Duration::from_secs(20)).await;
    }

    fn restarts(&self) -> u64 {
        self.node.counters().get(Counter::Restarts)
    }

    fn dropped(&self) -> u64 {
        self.node.counters().get(Counter::Blocked)
    }
}

#[test]
fn whichever_actor_a_datagram_made_panic_it_is_dropped_and_counted_when_it_comes_again() {
    in_virtual_time(async {
        let stage = Stage::new().await;
        let (target, key) = (NodeId::ZERO, Arc::<str>::from("k"));
        let set = Request::Set { key: key.clone(), value: Arc::new("v".into()), ttl: None, age: None };
        let cases = [
            ("Socket", "TransmitAnswer", Body::Request(Request::Ping)),
            ("RoutingTable", "PeerSeen", Body::Request(Request::Ping)),
            ("RoutingTable", "AnswerNearest", Body::Request(Request::FindNode { target })),
            ("RoutingTable", "AnswerNearest", Body::Request(Request::FindValue { key: key.clone() })),
            ("ValueStore", "AnswerFromStore", Body::Request(Request::FindValue { key })),
            ("ValueStore", "StoreValue", Body::Request(set)),
            ("Queries", "ResponseReceived", Body::Response(Response::Pong)),
        ];
        for (number, (actor, message, body)) in cases.into_iter().enumerate() {
            let number = number as u64;
            let harmful = stage.datagram(number, body.clone());
            drill::aim_at(actor, message);
            stage.send(harmful.clone()).await;
            assert!(drill::is_over() && stage.restarts() == number + 1, "the {actor} has panicked at {message}");
            // It would again.
            drill::aim_at(actor, message);
            let reached = drill::times(actor, message);
            for _ in 0..3 {
                stage.send(harmful.clone()).await;
            }
            assert_eq!((stage.dropped(), stage.restarts()), (3 * number + 3, number + 1), "the {actor} at {message}");
            assert_eq!(drill::times(actor, message), reached);
            drill::cease();
            stage.send(stage.datagram(1_000 + number, body)).await;
            assert_eq!(drill::times(actor, message), reached + 1, "another that says the same is none");
        }
        assert!(stage.node.ping(stage.node.local_addr()).await.is_err(), "only itself, but it works");
    });
}

/// A log that panics at one text, the first time.
#[derive(Clone, Default)]
struct Touchy(Arc<AtomicBool>);

impl Write for Touchy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let heard = String::from_utf8_lossy(bytes).contains("\"malformed\"");
        assert!(!heard || self.0.swap(true, Ordering::Relaxed), "injected by a test");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_datagram_that_panics_the_dispatcher_itself_is_dropped_too_and_no_other_of_its_batch() {
    let touchy = Touchy::default();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || touchy.clone()).finish();
    let _logging = log_to(log);
    in_virtual_time(async {
        let stage = Stage::new().await;
        let ping = |id| stage.datagram(id, Body::Request(Request::Ping));
        for payload in [ping(1), b"no message".to_vec(), ping(2)] {
            stage.stranger.send(stage.node.local_addr(), payload);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((stage.node.counters().restarts()["dispatcher"], stage.dropped()), (1, 0));
        stage.send(b"no message".to_vec()).await;
        assert_eq!((stage.restarts(), stage.dropped()), (1, 1));
        assert_eq!(stage.node.counters().get(Counter::Malformed), 1);
        let answered = stage.node.counters().get(Counter::Answered);
        for again in [ping(1), ping(2)] {
            stage.send(again).await;
        }
        assert_eq!((stage.dropped(), stage.node.counters().get(Counter::Answered)), (1, answered + 2));
    });
}
