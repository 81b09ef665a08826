//! Nodes of ours among themselves, over UDP on this machine, used as an application uses them.

use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::actors::events::Event;
use kademlia_dynamic::actors::outcome::ContactFailure;
use kademlia_dynamic::actors::requests::{Describe, FindNode, Get, Set};
use kademlia_dynamic::protocol::config::AppliesTo;
use kademlia_dynamic::protocol::message::{Body, Request, Response};
use kademlia_dynamic::{
    Codec, Config, Error, FoundValue, GetOptions, GetResult, Node, NodeId, Value, generate_node_id,
};

use crate::support::legacy;

/// The query timeout where one contact is silent and another must answer: long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn three_nodes_share_values_on_every_wire() {
    for codec in Codec::ALL {
        let first = Node::builder().codec(codec).start().await.unwrap();
        let second = Node::builder().codec(codec).bootstrap([first.local_addr()]).start().await.unwrap();
        let third = Node::builder().codec(codec).bootstrap([first.local_addr()]).start().await.unwrap();
        for (key, value) in [
            ("text", Value::from("hello")),
            ("empty", Value::from("")),
            ("other alphabets", Value::from("ключ/鍵/🔑")),
            ("bytes", Value::from(&[0u8, 159, 146, 150])),
            ("large", Value::from(vec![7u8; 8_192])),
        ] {
            let outcome = first.set(key, value.clone()).await.unwrap();
            assert_eq!((outcome.asked, outcome.stored), (2, 2), "{codec}: {outcome:?}");
            assert_eq!(third.get(key).await.unwrap(), Some(value), "{codec}");
        }
        assert_eq!(second.get("absent").await.unwrap(), None, "{codec}");
    }
}

#[tokio::test]
async fn nodes_that_spell_differently_do_not_understand_each_other() {
    let json = Node::builder().codec(Codec::Json).start().await.unwrap();
    let config = Config::builder().query_timeout(PATIENCE).build().unwrap();
    let bencode = Node::builder().codec(Codec::Bencode).config(config).start().await.unwrap();
    assert!(!bencode.bootstrap([json.local_addr()]).await.unwrap().joined());
}

#[tokio::test]
async fn a_changed_value_reaches_those_who_hold_the_old_one() {
    let first = Node::builder().start().await.unwrap();
    let second = Node::builder().bootstrap([first.local_addr()]).start().await.unwrap();
    for value in ["old", "new"] {
        assert_eq!(first.set("key", value).await.unwrap().stored, 1);
        assert_eq!(second.get("key").await.unwrap(), Some(Value::from(value)));
    }
}

#[tokio::test]
async fn the_last_writer_wins_and_an_event_informs_the_other_publisher() {
    let first = Node::builder().start().await.unwrap();
    let second = Node::builder().bootstrap([first.local_addr()]).start().await.unwrap();
    let mut events = first.events();
    first.set("key", "first").await.unwrap();
    second.set("key", "second").await.unwrap();
    assert_eq!(first.get("key").await.unwrap(), Some(Value::from("second")));
    loop {
        match events.next().await.unwrap() {
            Event::Superseded { key, by } => break assert_eq!((key.as_str(), by), ("key", second.local_addr())),
            _ => continue,
        }
    }
    assert!(!first.release("key").await.unwrap(), "it is not the publisher any more");
}

#[tokio::test]
async fn a_client_reads_and_writes_but_is_in_no_table() {
    let node = Node::builder().start().await.unwrap();
    let client = Node::builder().client(true).bootstrap([node.local_addr()]).start().await.unwrap();
    assert_eq!(client.set("key", "value").await.unwrap().stored, 1);
    assert_eq!(client.find_value("key").await.unwrap(), FoundValue::Value("value".into()));
    assert_eq!(client.find_node(node.id()).await.unwrap()[0].id, node.id());
    let snapshot = node.snapshot().await.unwrap();
    assert_eq!(snapshot.table.peers, 0, "{snapshot:?}");
    assert_eq!(snapshot.store.held.values, 1);
}

#[tokio::test]
async fn a_get_distinguishes_a_value_that_no_node_holds_from_silence_of_all() {
    let config = Config::builder().query_timeout(PATIENCE).build().unwrap();
    let first = Node::builder().start().await.unwrap();
    let second = Node::builder().config(config).bootstrap([first.local_addr()]).start().await.unwrap();
    assert_eq!(
        second.get_with("absent", GetOptions::default()).await.unwrap().result,
        GetResult::NotFound { answered: 1, unheard: 0 }
    );
    first.stop().await;
    assert_eq!(
        second.get_with("absent", GetOptions::default()).await.unwrap().result,
        GetResult::NoneAnswered { asked: 1 }
    );
    assert!(second.get("absent").await.is_err());
}

#[tokio::test]
async fn a_host_name_that_does_not_resolve_and_a_silent_contact_are_named_in_the_outcome() {
    let config = Config::builder().query_timeout(PATIENCE).build().unwrap();
    let node = Node::builder().config(config).start().await.unwrap();
    let (other, silent) = (Node::builder().start().await.unwrap(), std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let silent = silent.local_addr().unwrap();
    let failures = node.bootstrap([silent.to_string(), "no port".to_owned()]).await.unwrap().failed;
    assert_eq!((failures[0].contact.as_str(), failures[1].contact.as_str()), (&*silent.to_string(), "no port"));
    assert_eq!(failures[0].reason, ContactFailure::Silent { within: PATIENCE });
    assert!(matches!(failures[1].reason, ContactFailure::Unresolved { .. }), "{failures:?}");
    let outcome = node.bootstrap([silent, other.local_addr()]).await.unwrap();
    assert_eq!(outcome.answered.iter().map(|peer| peer.id).collect::<Vec<_>>(), [other.id()]);
    assert!(node.ping(silent).await.is_err());
    assert_eq!(node.ping(other.local_addr()).await.unwrap().peer.id, other.id());
}

#[actix::test]
async fn an_actix_application_sends_the_same_operations_as_messages() {
    let first = Node::builder().start_local().await.unwrap();
    let second = Node::builder().bootstrap([first.local_addr()]).start_local().await.unwrap();
    let actor = second.actor();
    let set = Set::new("key", "value");
    assert_eq!(actor.send(set).await.unwrap().unwrap().stored, 1);
    let got = first.actor().send(Get::new("key")).await.unwrap().unwrap();
    assert!(matches!(got.result, GetResult::Found { value: Value::Text(text), .. } if text == "value"));
    let found = actor.send(FindNode { target: generate_node_id() }).await.unwrap().unwrap();
    assert_eq!(found.iter().map(|peer| peer.id).collect::<Vec<_>>(), [first.id()]);
    let snapshot = actor.send(Describe).await.unwrap().unwrap();
    assert_eq!((snapshot.id, snapshot.store.published.values), (second.id(), 1));
    serde_json::to_string(&snapshot).unwrap();
}

#[test]
fn a_handle_works_from_any_thread_and_any_runtime() {
    fn everywhere<T: Clone + Send + Sync + 'static>(_: &T) {}
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let node = runtime().block_on(Node::builder().node_id(NodeId::of_key("me")).start()).unwrap();
    everywhere(&node);
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let node = node.clone();
            std::thread::spawn(move || {
                runtime().block_on(async move {
                    let _ = node.set(format!("key {n}"), "value").await.unwrap();
                    node.get(format!("key {n}")).await.unwrap()
                })
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Some(Value::from("value")));
    }
    assert_eq!(node.id(), NodeId::of_key("me"));
}

#[tokio::test]
async fn the_stream_of_events_ends_with_the_node() {
    let node = Node::builder().start().await.unwrap();
    let other = Node::builder().start().await.unwrap();
    let mut events = node.events();
    assert!(node.bootstrap([other.local_addr()]).await.unwrap().joined());
    node.stop().await;
    let mut reported = Vec::new();
    while let Some(event) = events.next().await {
        reported.push(event);
    }
    let joined = |event: &Event| matches!(event, Event::Joined(outcome) if outcome.answered[0].id == other.id());
    assert!(reported.iter().any(joined), "{reported:?}");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_node_that_is_bound_to_all_addresses_is_no_company_for_itself() {
    let node = Node::builder().bind("0.0.0.0:0").start().await.unwrap();
    let itself = format!("127.0.0.1:{}", node.local_addr().port());
    let outcome = node.bootstrap([itself]).await.unwrap();
    assert!(!outcome.joined(), "{outcome:?}");
    assert_eq!(outcome.failed[0].reason, ContactFailure::Itself);
}

/// The addresses of all families that nodes of these tests bind: without IPv6 on the machine, those of IPv4.
fn everywhere() -> Vec<&'static str> {
    let ipv6 = std::net::UdpSocket::bind("[::1]:0").is_ok();
    ["0.0.0.0:0", "[::]:0"].into_iter().take(if ipv6 { 2 } else { 1 }).collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_node_on_all_addresses_answers_from_the_one_that_was_asked() {
    for all in everywhere() {
        // Answers to addresses that have not proved themselves wait for a ping, which leaves from the same address.
        let config = Config::builder().source_verification(AppliesTo::Always).build().unwrap();
        let node = Node::builder().bind(all).config(config).start().await.unwrap();
        let large = Value::from(vec![7_u8; 40_000]);
        assert_eq!(node.set("large", large.clone()).await.unwrap().asked, 0);
        for host in ["127.0.0.1", "127.0.0.2"] {
            let addr = format!("{host}:{}", node.local_addr().port());
            let client = Node::builder().client(true).bootstrap([&addr]).start().await.unwrap();
            assert_eq!(client.ping(&addr).await.unwrap().peer.addr.to_string(), addr, "{all}");
            assert_eq!(client.get("large").await.unwrap(), Some(large.clone()), "{all} at {addr}");
            assert_eq!(client.counters().get(Counter::WrongSource), 0, "{all} at {addr}");
            assert_eq!(client.set(host, "v").await.unwrap().stored, 1, "{all} at {addr}");
            assert_eq!(node.get(host).await.unwrap(), Some(Value::from("v")));
            let held = node.counters().get(Counter::Unverified);
            let asked = tokio::time::timeout(Duration::from_secs(60), ask_without_a_token(&addr, "large"));
            assert_eq!(asked.await.expect("it comes from there"), large, "{all} at {addr}");
            assert_eq!(node.counters().get(Counter::Unverified), held + 1, "it waited for the pong");
        }
    }
}

/// The value of `key` at `addr`, asked for by a node that shows no token: its answer waits for the pong to a ping. What comes
/// from another address is not heard.
#[cfg(target_os = "linux")]
async fn ask_without_a_token(addr: &str, key: &str) -> Value {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(addr).await.unwrap();
    let from = socket.local_addr().unwrap();
    let question = legacy(from, None, 1, Body::Request(Request::FindValue { key: key.into() }));
    socket.send(&question).await.unwrap();
    let mut buffer = vec![0; 65_536];
    loop {
        let len = socket.recv(&mut buffer).await.unwrap();
        let message = Codec::Json.decode(&buffer[..len]).unwrap();
        match message.body {
            Body::Request(Request::Ping) => {
                let pong = legacy(from, None, message.id.as_u64().unwrap(), Body::Response(Response::Pong));
                let _ = socket.send(&pong).await.unwrap();
            }
            Body::Response(Response::Value { value, .. }) => return (*value).clone(),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_node_of_both_families_joins_through_either_and_keeps_them_apart() {
    if everywhere().len() < 2 {
        return;
    }
    let first = Node::builder().start().await.unwrap();
    let mapped = format!("[::ffff:127.0.0.1]:{}", first.local_addr().port());
    let both = Node::builder().bind("[::]:0").bootstrap([&mapped]).start().await.unwrap();
    let outcome = both.joined().await.unwrap().unwrap();
    assert_eq!(outcome.answered[0].addr, first.local_addr(), "it is the IPv4 address");
    let port = both.local_addr().port();
    let sixth = Node::builder().bind("[::1]:0").bootstrap([format!("[::1]:{port}")]).start().await.unwrap();
    assert!(sixth.joined().await.unwrap().unwrap().joined());

    let known: Vec<NodeId> = both.find_node(both.id()).await.unwrap().iter().map(|peer| peer.id).collect();
    assert!(known.len() == 2 && known.contains(&first.id()) && known.contains(&sixth.id()), "{known:?}");
    assert_eq!(both.set("key", "value").await.unwrap().stored, 2);
    // IPv4 nodes never hear of IPv6 ones, which cannot be reached from there.
    let peers = first.find_node(sixth.id()).await.unwrap();
    assert_eq!(peers.iter().map(|peer| peer.id).collect::<Vec<_>>(), [both.id()]);
    // And an IPv6 node that hears of an IPv4 one blames it for nothing.
    assert_eq!(sixth.get("key").await.unwrap(), Some(Value::from("value")));
    assert_eq!(sixth.find_node(first.id()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_bootstrap_that_is_required_and_fails_leaves_the_port_free_and_names_the_contact() {
    let config = Config::builder().query_timeout(PATIENCE).build().unwrap();
    let (held, free) = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).into();
    let (silent, bind) = (held.local_addr().unwrap(), free.local_addr().unwrap());
    drop(free);
    let builder = || Node::builder().bind(bind).config(config.clone());
    let error = builder().bootstrap([silent]).require_bootstrap(true).start().await.unwrap_err();
    let text = format!("not joined: no contact has answered: {silent} (no answer within 1s)");
    assert!(matches!(error, Error::NotJoined { .. }) && error.to_string() == text, "{error}");
    drop(std::net::UdpSocket::bind(bind).expect("the port is free"));
    let error = builder().require_bootstrap(true).start().await.unwrap_err();
    assert!(matches!(&error, Error::NotJoined { outcome } if outcome.failed.is_empty()), "{error}");

    let other = Node::builder().start().await.unwrap();
    let node = builder().bootstrap([other.local_addr()]).require_bootstrap(true).start().await.unwrap();
    assert_eq!(node.joined().await.unwrap().unwrap().answered[0].id, other.id());
    assert_eq!(other.joined().await.unwrap(), None, "it was given no contacts");
}

#[tokio::test]
async fn a_failed_bootstrap_is_an_event_and_what_came_of_it_can_be_asked() {
    let config = Config::builder().query_timeout(PATIENCE).build().unwrap();
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let node = Node::builder().config(config).start().await.unwrap();
    let mut events = node.events();
    let outcome = node.bootstrap([silent.local_addr().unwrap()]).await.unwrap();
    assert_eq!(events.next().await, Some(Event::Joined(outcome.clone())));
    assert_eq!(node.joined().await.unwrap(), Some(outcome));
    node.stop().await;
    assert!(matches!(node.joined().await, Err(Error::Stopped(_))));
}

#[tokio::test]
async fn an_error_for_what_is_no_address_shows_one_and_a_ping_to_itself_says_so() {
    for wrong in ["8000", "localhost", "127.0.0.1:port", ":8000"] {
        let error = Node::builder().bind(wrong).start().await.unwrap_err().to_string();
        assert!(error.contains("an address is host:port, such as 127.0.0.1:8000"), "{wrong}: {error}");
    }
    for many in ["224.0.0.1:8000", "255.255.255.255:8000"] {
        let error = Node::builder().bind(many).start().await.unwrap_err().to_string();
        assert!(error.contains("is not the address of one host"), "{many}: {error}");
    }
    let node = Node::builder().start().await.unwrap();
    let outcome = node.bootstrap(["8000"]).await.unwrap();
    assert!(outcome.to_string().contains("an address is host:port"), "{outcome}");
    let error = node.ping(node.local_addr()).await.unwrap_err().to_string();
    assert!(error.contains("this node itself"), "{error}");
}
