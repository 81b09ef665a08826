//! Work that must end when no caller waits for it, and peers that must not be blamed for queries that were never sent.

use std::time::Duration;

use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::sim::{Asked, MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Node, NodeId, Value};
use tokio::time::{Instant, sleep};

use super::among;
use crate::support::{set, start};

/// A value so long that it goes to alpha of its places at a time.
fn long() -> String {
    "x".repeat(30_000)
}

#[test]
fn a_value_that_was_superseded_is_not_placed_on() {
    in_virtual_time(async {
        let (_, peers, node) = among(12).await;
        peers.on(|asked| match &asked.request {
            Request::Set { .. } => Reply::Usual.after(Duration::from_millis(40)),
            _ => Reply::Usual,
        });
        let setting = {
            let node = node.clone();
            actix_rt::spawn(async move { node.set("key", long()).await })
        };
        sleep(Duration::from_millis(70)).await;
        peers.ask(0, node.local_addr(), set("key", "theirs")).await.unwrap();
        assert_eq!(node.get("key").await.unwrap(), Some(Value::from("theirs")));
        peers.forget_heard();
        let outcome = setting.await.unwrap().unwrap();
        assert!(outcome.superseded && outcome.stored < 12, "{outcome:?}");
        sleep(Duration::from_secs(10)).await;
        let ours = |request: &Request| matches!(request, Request::Set { value, .. } if **value == Value::from(long()));
        assert_eq!(peers.heard().iter().filter(|asked| ours(&asked.request)).count(), 0);
    });
}

#[test]
fn a_local_set_during_a_placement_ends_it_at_once() {
    in_virtual_time(async {
        let (_, peers, node) = among(12).await;
        let in_ms = |asked: &Asked, set, find| match &asked.request {
            Request::Set { .. } => Reply::Usual.after(Duration::from_millis(set)),
            Request::FindNode { .. } => Reply::Usual.after(Duration::from_millis(find)),
            _ => Reply::Usual,
        };
        peers.on(move |asked| in_ms(asked, 40, 0));
        let setting = |value: String| {
            let node = node.clone();
            actix_rt::spawn(async move { node.set("key", value).await })
        };
        let old = setting(long());
        sleep(Duration::from_millis(70)).await;
        // Its places take so long to be found that the first placement could come to its end.
        peers.on(move |asked| in_ms(asked, 40, 300));
        let new = setting("new".to_owned());
        let outcome = old.await.unwrap().unwrap();
        assert!(outcome.superseded && (1..12).contains(&outcome.stored), "{outcome:?}");
        peers.forget_heard();
        let outcome = new.await.unwrap().unwrap();
        assert_eq!((outcome.stored, outcome.superseded), (12, false));
        sleep(Duration::from_secs(10)).await;
        let is_old =
            |request: &Request| matches!(request, Request::Set { value, .. } if **value == Value::from(long()));
        assert_eq!(peers.heard().iter().filter(|asked| is_old(&asked.request)).count(), 0);
        assert!((0..12).all(|n| peers.held(n, "key") == Some("new".into())));
    });
}

#[test]
fn lookups_whose_callers_have_gone_delay_no_other() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(5);
        let config = Config::builder().max_lookups(1).build().unwrap();
        let node = start(&network, Node::builder().config(config).bootstrap([peers.addr(0)])).await;
        sleep(Duration::from_secs(20)).await;
        peers.on(|asked| match &asked.request {
            Request::FindValue { .. } => Reply::Silence,
            _ => Reply::Usual,
        });
        let get = |n: usize| {
            let node = node.clone();
            actix_rt::spawn(async move { node.get(n.to_string()).await })
        };
        let gets: Vec<_> = (0..50).map(get).collect();
        sleep(Duration::from_millis(50)).await;
        gets.iter().for_each(|get| get.abort());
        let asked = Instant::now();
        let _ = node.get("another").await;
        // Its own silence, and what is left of the one lookup that was under way.
        assert!(asked.elapsed() < Duration::from_secs(8), "it waited {:?}", asked.elapsed());
    });
}

#[test]
fn queries_that_waited_for_an_address_longer_than_their_callers_did_are_not_sent() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let quick = ScriptedPeers::new(&network, Codec::Json).with(2);
        let slow = ScriptedPeers::new(&network, Codec::Json).with_id(NodeId::of_key("slow"));
        slow.on(|_| Reply::Usual.after(Duration::from_millis(1_900)));
        // One names it, and the other has what is looked for, before it has answered.
        (0..30).for_each(|n| quick.hold(1, &n.to_string(), "value"));
        let named = vec![quick.peer(1), slow.peer(0)];
        quick.on(move |asked| match asked.request {
            Request::FindValue { .. } if asked.peer == 0 => Reply::Answer(Response::NoValue { peers: named.clone() }),
            Request::FindValue { .. } => Reply::Usual.after(Duration::from_millis(100)),
            _ => Reply::Usual,
        });
        let config = Config::builder().max_unanswered(2).build().unwrap();
        let node = start(&network, Node::builder().config(config)).await;
        assert!(node.bootstrap([quick.addr(0)]).await.unwrap().joined());
        let lookups = (0..30).map(|n| node.get(n.to_string()));
        let begun = Instant::now();
        let found = futures_util::future::join_all(lookups).await;
        assert!(
            found.iter().all(|found| matches!(found, Ok(Some(_)))) && begun.elapsed() < Duration::from_millis(1_900),
            "{found:?}"
        );
        sleep(Duration::from_secs(10)).await;
        // Those that went before it had answered, its bucket's refresh, and the ping of a newcomer.
        let asked = slow.heard().len();
        assert!((2..10).contains(&asked), "{asked} queries");
    });
}

/// The answer that carries the value fits one datagram, but not the `set_cached` that would leave a copy.
#[test]
fn no_peer_is_blamed_for_a_query_that_was_never_sent() {
    in_virtual_time(async {
        let (mut unsent, (_, peers, node)) = (0, among(4).await);
        for len in (65_200..65_340).step_by(10) {
            let key = len.to_string();
            peers.hold(2, &key, "x".repeat(len));
            let _ = node.get(&key).await;
            sleep(Duration::from_secs(5)).await;
            let seen = node.snapshot().await.unwrap();
            unsent = seen.counters.get("kad_dropped_total{not_encodable}").copied().unwrap_or(0);
            let silent = seen.counters.get("kad_queries_silent_total").copied().unwrap_or(0);
            assert_eq!((silent, seen.table.failing), (0, 0), "at {len} bytes");
        }
        assert!(unsent > 0, "it never came to that");
    });
}
