//! An application of an embedder's own, an actor that uses a node, and its tests.

use std::sync::Arc;

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::sim::{Reply, in_virtual_time};
use kademlia_dynamic::{Node, Value};

use super::among;

/// Keeps one greeting in the network, and has one of its own for when the network does not answer.
struct Greeter {
    node: Node,
}

#[derive(Message)]
#[rtype(result = "String")]
struct Greet(&'static str);

#[derive(Message)]
#[rtype(result = "bool")]
struct LearnGreeting(&'static str);

impl Actor for Greeter {
    type Context = Context<Self>;
}

impl Handler<Greet> for Greeter {
    type Result = ResponseFuture<String>;

    fn handle(&mut self, Greet(name): Greet, _: &mut Self::Context) -> Self::Result {
        let node = self.node.clone();
        Box::pin(async move {
            match node.get("greeting").await {
                Ok(Some(Value::Text(greeting))) => format!("{greeting}, {name}!"),
                Ok(_) => format!("{name}!"),
                Err(_) => format!("Hello, {name} (no peer answers)"),
            }
        })
    }
}

impl Handler<LearnGreeting> for Greeter {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, LearnGreeting(greeting): LearnGreeting, _: &mut Self::Context) -> Self::Result {
        let node = self.node.clone();
        Box::pin(async move { node.set("greeting", greeting).await.is_ok_and(|outcome| outcome.stored >= 2) })
    }
}

#[test]
fn a_greeter_greets_with_what_the_network_holds() {
    in_virtual_time(async {
        let (_, peers, node) = among(3).await;
        let greeter = Greeter { node }.start();
        assert_eq!(greeter.send(Greet("Ada")).await.unwrap(), "Ada!");
        peers.hold(1, "greeting", "Good morning");
        assert_eq!(greeter.send(Greet("Ada")).await.unwrap(), "Good morning, Ada!");
    });
}

#[test]
fn a_greeter_has_a_greeting_when_no_peer_answers() {
    in_virtual_time(async {
        let (_, peers, node) = among(3).await;
        let greeter = Greeter { node }.start();
        peers.on(|_| Reply::Silence);
        assert_eq!(greeter.send(Greet("Ada")).await.unwrap(), "Hello, Ada (no peer answers)");
    });
}

#[test]
fn a_set_states_the_shortest_life_that_a_holder_stated_and_none_where_none_did() {
    in_virtual_time(async {
        let (_, peers, node) = among(3).await;
        let expires_in = node.set("key", "value").await.unwrap().expires_in;
        assert_eq!(expires_in, None, "a holder that states nothing may have any setting");
        peers.on(|asked| match (&asked.request, asked.peer) {
            (Request::Set { .. }, 0) => Response::Set { stored: true, ttl: Some(7_200) }.into(),
            (Request::Set { .. }, 1) => Response::Set { stored: true, ttl: Some(3_600) }.into(),
            (Request::Set { .. }, _) => Response::Set { stored: false, ttl: Some(60) }.into(),
            _ => Reply::Usual,
        });
        let expires_in = node.set("key", "other").await.unwrap().expires_in;
        assert_eq!(expires_in, Some(std::time::Duration::from_secs(3_600)));
    });
}

#[test]
fn a_greeting_is_learnt_when_two_peers_hold_it() {
    in_virtual_time(async {
        let (_, peers, node) = among(3).await;
        let greeter = Greeter { node }.start();
        peers.on(|asked| match (&asked.request, asked.peer) {
            (Request::Set { .. }, 0 | 1) => Response::Set { stored: false, ttl: None }.into(),
            _ => Reply::Usual,
        });
        assert!(!greeter.send(LearnGreeting("Hi")).await.unwrap(), "one of three took it");
        assert_eq!((peers.held(1, "greeting"), peers.held(2, "greeting")), (None, Some("Hi".into())));
        peers.on(|_| Reply::Usual);
        assert!(greeter.send(LearnGreeting("Hi")).await.unwrap());
    });
}

#[test]
fn a_peer_publishes_a_value_and_learns_whether_it_was_stored() {
    in_virtual_time(async {
        let (_network, peers, node) = among(3).await;
        let to = node.local_addr();
        assert_eq!(peers.set(0, to, "key", "value").await, Ok(true));
        assert_eq!(node.copy_of("key").await.unwrap().unwrap().value, Arc::new("value".into()));
        // A key of such a length is refused.
        assert_eq!(peers.set(0, to, &"k".repeat(1_025), "value").await, Ok(false));
    });
}
