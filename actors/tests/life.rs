//! Beginning and end of a node, and the bounds on what applications start in it.

use super::super::requests::GetOptions;
use std::net::UdpSocket;
use std::time::Duration;

use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::lookup::Ending;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::value::Value;

use super::super::blocklist::Origin;
use super::super::counters::Counter;
use super::super::messages::{CountLookups, PeerAnswered};
use super::super::node::Node;
use super::super::outcome::{Error, GetResult};
use super::super::requests::{Bootstrap, Get, Set};
use super::super::supervision::StopReason;
use super::{key, settle, started};

#[actix::test]
async fn after_stop_the_port_is_free_and_no_actor_lives() {
    let node = Node::builder().start_local().await.unwrap();
    let (addr, actor) = (node.local_addr(), node.actor());
    node.stop().await;
    assert!(!actor.connected());
    drop(UdpSocket::bind(addr).expect("the port is free"));
    assert!(matches!(node.get("x").await, Err(Error::Stopped(StopReason::Asked))));
    node.stop().await;
}

#[tokio::test]
async fn dropping_the_last_handle_stops_a_node_with_a_thread_of_its_own() {
    let node = Node::builder().start().await.unwrap();
    let (addr, actor) = (node.local_addr(), node.actor());
    let second = node.clone();
    drop(node);
    assert!(second.snapshot().await.is_ok(), "a handle is left");
    drop(second);
    while actor.connected() {
        tokio::task::yield_now().await;
    }
    // The socket goes with its actor, a moment before or after the front door.
    let free = async {
        while UdpSocket::bind(addr).is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), free).await.expect("the port becomes free");
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let first = Node::builder().start().await.unwrap();
    let error = Node::builder().bind(first.local_addr()).start().await.unwrap_err();
    assert!(matches!(error, Error::PortInUse { addr } if addr == first.local_addr()), "{error}");
}

#[tokio::test]
async fn a_local_node_needs_an_arbiter() {
    assert!(matches!(Node::builder().start_local().await, Err(Error::NoArbiter)));
}

#[actix::test]
async fn a_request_under_way_ends_when_the_node_stops() {
    let (ours, ended, _) = started("ours", Config::default());
    let silent = Peer::new(NodeId::of_key("silent"), "127.0.0.1:9".parse().unwrap());
    ours.actors.table.send(PeerAnswered { peer: silent, version: None, origin: Origin::default() }).await.unwrap();
    let under_way = actix_rt::spawn(ours.node.send(Get::new(key("x"))));
    settle().await;
    ours.ender.end(StopReason::Asked);
    ended.wait().await;
    let ended = under_way.await.unwrap().unwrap();
    assert!(matches!(ended, Err(Error::Stopped(StopReason::Asked))), "{ended:?}");
}

#[actix::test]
async fn equal_lookups_are_one_and_too_many_different_ones_are_refused() {
    tokio::time::pause();
    let config = Config::builder().max_lookups(2).max_waiting_lookups(3).build().unwrap();
    let (ours, _ended, _) = started("ours", config);
    let silent = Peer::new(NodeId::of_key("silent"), "127.0.0.1:9".parse().unwrap());
    ours.actors.table.send(PeerAnswered { peer: silent, version: None, origin: Origin::default() }).await.unwrap();
    let get = |name: &str| actix_rt::spawn(ours.node.send(Get::new(key(name))));

    let equal: Vec<_> = (0..10).map(|_| get("the same")).collect();
    let different: Vec<_> = (0..5).map(|n| get(&format!("another {n}"))).collect();
    settle().await;
    let counts = ours.actors.lookups.send(CountLookups).await.unwrap();
    assert_eq!((counts.running, counts.waiting), (2, 3));
    assert_eq!(ours.counters.get(Counter::LookupRefused), 1);

    for get in equal {
        let outcome = get.await.unwrap().unwrap().unwrap();
        assert_eq!(outcome.result, GetResult::NoneAnswered { asked: 1 });
    }
    let mut refused = 0;
    for get in different {
        match get.await.unwrap().unwrap().map(|outcome| outcome.result) {
            // The silent peer has left the table meanwhile, or has been asked in vain once more.
            Ok(GetResult::NoneAnswered { .. } | GetResult::NotFound { .. }) => {}
            Err(Error::Busy { limit: 5, .. }) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 1);
    assert_eq!(ours.counters.get(Counter::Lookups), 5, "ten equal ones are one");
}

#[tokio::test]
async fn what_an_application_asks_is_checked_before_anything_is_sent() {
    let node = Node::builder().start().await.unwrap();
    let error = node.set("k".repeat(1_025), "v").await.unwrap_err();
    assert_eq!(error.to_string(), "the key has 1025 bytes of UTF-8, but at most 1024 are permitted");
    let error = node.set("k", vec![0; 60_001]).await.unwrap_err();
    assert_eq!(error.to_string(), "the value has 60001 bytes, but at most 60000 are permitted");
    // Permitted by length, but JSON as legacy nodes write it takes six bytes for each of these letters.
    let error = node.set("k", "ж".repeat(20_000)).await.unwrap_err();
    assert!(matches!(error, Error::AnswerTooLarge { .. }), "{error}");
    assert!(matches!(node.get("k".repeat(1_025)).await, Err(Error::KeyTooLong { len: 1_025, max: 1_024 })));
    assert_eq!(node.counters().get(Counter::Sent), 0);
}

#[actix::test]
async fn traced_reads_join_equal_ones_and_what_is_held_here_has_no_trace() {
    let (ours, _ended, our_addr) = started("ours", Config::default());
    let (other, _other_ended, _) = started("other", Config::default());
    let contacts = vec![our_addr.to_string()];
    assert!(other.node.send(Bootstrap { contacts }).await.unwrap().unwrap().joined());
    ours.node.send(Set::new(key("k"), "v")).await.unwrap().unwrap();

    let here = ours.node.send(Get::new(key("k")).with(GetOptions::default().trace(true))).await.unwrap().unwrap();
    assert!(matches!(here.result, GetResult::Found { holder: None, .. }) && here.trace.is_none(), "{here:?}");

    let before = ours.counters.get(Counter::Lookups);
    let traced = || Get::new(key("x")).with(GetOptions::default().trace(true));
    let reads = (ours.node.send(traced()), ours.node.send(traced()), ours.node.send(Get::new(key("x"))));
    let first = reads.0.await.unwrap().unwrap();
    assert_eq!(first, reads.1.await.unwrap().unwrap());
    let untraced = reads.2.await.unwrap().unwrap();
    assert_eq!((&untraced.result, untraced.trace), (&first.result, None), "a trace is there where it is asked for");
    assert_eq!(ours.counters.get(Counter::Lookups), before + 1);
    assert_eq!(first.result, GetResult::NotFound { answered: 1, unheard: 0 });
    let trace = first.trace.unwrap();
    assert_eq!((trace.ending, trace.asked[0].peer.id), (Some(Ending::Complete), NodeId::of_key("other")));
}

#[tokio::test]
async fn a_lone_node_keeps_its_own_values() {
    let node = Node::builder().start().await.unwrap();
    let outcome = node.set("greeting", "hello").await.unwrap();
    assert_eq!((outcome.asked, outcome.stored), (0, 0));
    assert_eq!(node.get("greeting").await.unwrap(), Some(Value::from("hello")));
    assert_eq!(node.get("absent").await.unwrap(), None);
    assert!(node.release("greeting").await.unwrap() && !node.release("greeting").await.unwrap());
    assert_eq!(node.get("greeting").await.unwrap(), Some(Value::from("hello")), "released, not forgotten");
}
