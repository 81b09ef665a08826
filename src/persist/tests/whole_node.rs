//! A whole node on a disk that is full: it goes on serving, says why it refuses, and takes values again once there is room.

use std::sync::Arc;

use super::*;
use crate::actors::node::Node;
use crate::actors::outcome::Error;
use crate::causes::Causes;
use crate::protocol::codec::Codec;
use crate::protocol::message::{Request, Response};
use crate::sim::{MemoryNetwork, ScriptedPeers};

fn foreign(key: &str) -> Request {
    Request::Set { key: key.into(), value: Arc::new("foreign".into()), ttl: None, age: None }
}

#[actix::test]
async fn a_node_whose_disk_is_full_serves_and_answers_and_takes_values_again_once_there_is_room() {
    let (medium, clock, network) = (TestMedium::default(), TestClock::default(), MemoryNetwork::new(7));
    let peers = ScriptedPeers::new(&network, Codec::Json).with(1);
    let store = open(&medium, &clock);
    let node =
        Node::builder().store(store).bootstrap([peers.addr(0)]).start_local_over(network.endpoint()).await.unwrap();
    let state = async || node.snapshot().await.unwrap().store.backend.state;
    let _ = node.set("mine", "old").await.unwrap();
    assert_eq!(state().await, BackendState::Healthy);

    medium.is_full(true);
    for attempt in 0..3 {
        let error = node.set("mine", "new").await.unwrap_err();
        assert!(matches!(error, Error::Store(_)) && Causes(&error).to_string().contains("no storage space"), "{error}");
        // A peer's is acknowledged, as refused: a legacy node would drop us otherwise.
        let answer = peers.ask(0, node.local_addr(), foreign("theirs")).await;
        assert!(matches!(answer, Ok(Response::Set { stored: false, .. })), "{answer:?}");
        assert!(matches!(peers.ask(0, node.local_addr(), Request::Ping).await, Ok(Response::Pong)));
        assert_eq!(node.get("mine").await.unwrap(), Some(Value::from("old")));
        assert_eq!(state().await, BackendState::Full, "attempt {attempt}");
        clock.pass(Duration::from_secs(2));
    }

    medium.is_full(false);
    clock.pass(Duration::from_secs(2));
    let _ = node.set("mine", "new").await.unwrap();
    let answer = peers.ask(0, node.local_addr(), foreign("theirs")).await;
    assert!(matches!(answer, Ok(Response::Set { stored: true, .. })), "{answer:?}");
    assert_eq!(state().await, BackendState::Reopened);
    node.stop().await;
    drop(node);

    // What was refused is not there, and what was acknowledged is.
    let mut store = open(&medium, &clock);
    let expected = [("mine", "new"), ("theirs", "foreign")].map(|(key, value)| (key.to_owned(), Value::from(value)));
    assert_eq!(values(&mut store), BTreeMap::from(expected));
}

#[actix::test]
async fn a_node_that_is_started_while_its_disk_is_full_is_itself_again_and_serves() {
    let (medium, clock, network) = (TestMedium::default(), TestClock::default(), MemoryNetwork::new(8));
    let peers = ScriptedPeers::new(&network, Codec::Json).with(1);
    let start = async || {
        let store = open(&medium, &clock);
        let node = Node::builder().store(store).bootstrap([peers.addr(0)]);
        node.start_local_over(network.endpoint()).await.unwrap()
    };
    let node = start().await;
    let id = node.id();
    let _ = node.set("mine", "value").await.unwrap();
    node.stop().await;
    drop(node);

    medium.is_full(true);
    let node = start().await;
    assert_eq!((node.id(), node.get("mine").await.unwrap()), (id, Some(Value::from("value"))));
    assert!(matches!(node.set("mine", "new").await, Err(Error::Store(_))));
    assert!(matches!(peers.ask(0, node.local_addr(), Request::Ping).await, Ok(Response::Pong)));
    medium.is_full(false);
    clock.pass(Duration::from_secs(2));
    let _ = node.set("mine", "new").await.unwrap();
}
