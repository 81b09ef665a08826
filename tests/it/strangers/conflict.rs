//! A foreign write against the copy that is held, through the whole node: each case by its name. Which value wins under
//! which policy is tried at more length beside the records; here it matters who writes.

use std::time::Duration;

use kademlia_dynamic::actors::events::Event;
use kademlia_dynamic::protocol::config::PublisherConflict::{self, Hold, Supersede};
use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Request, Response};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::protocol::store::Class;
use kademlia_dynamic::sim::{MemoryNetwork, MemoryTransport, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Node, Value};
use tokio::time::sleep;

use crate::support::{cached_for, drain, legacy, set, set_for, start};

/// Whose write it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A peer that has answered this node.
    Verified,
    /// An address that never answers.
    Unverified,
    /// An address that was not heard of, and answers the ping that its write brings it.
    Proving,
}

struct Case {
    copy: &'static str,
    policy: PublisherConflict,
    source: Source,
    cached: bool,
    /// The value and the class of the copy afterwards.
    left: (&'static str, Option<Class>),
    /// The answer to the writer.
    reported: Option<Response>,
}

/// The messages that come to `end` within 50 ms.
async fn received(end: &MemoryTransport) -> Vec<Message> {
    sleep(Duration::from_millis(50)).await;
    drain(end)
}

fn write(cached: bool, value: &str) -> Request {
    if cached { cached_for("key", value, Some(5_000)) } else { set("key", value) }
}

async fn run(case: &Case, name: &str) {
    let Case { copy, policy, source, cached, left, reported } = case;
    let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
    let peers = ScriptedPeers::new(&network, Codec::Json).with(3);
    let config = Config::builder().publisher_conflict(*policy).build().expect("these settings are valid");
    let node = start(&network, Node::builder().config(config).bootstrap([peers.addr(0)])).await;
    let by =
        async |n, cached| peers.ask(n, node.local_addr(), write(cached, if n == 0 { "ours" } else { "theirs" })).await;
    match *copy {
        "published" => drop(node.set("key", "ours").await.expect("the node runs")),
        "pinned" => {
            let _ = node.set("key", "ours").await.expect("the node runs");
            node.pin("key", 1).await.expect("the node runs");
        }
        "held" => assert!(matches!(by(0, false).await, Ok(Response::Set { stored: true, ttl: Some(_) }))),
        _ => assert_eq!(by(0, true).await, Ok(Response::SetCached)),
    }
    let before = node.copy_of("key").await.expect("the node runs").expect("it holds a copy");
    let mut events = node.events();

    let answer = if *source == Source::Verified {
        by(1, *cached).await.ok()
    } else {
        let stranger = network.endpoint();
        // As a legacy node does, which knows no tokens.
        let send = |id, body| stranger.send(node.local_addr(), legacy(stranger.addr(), None, id, body));
        send(77, Body::Request(write(*cached, "theirs")));
        let heard = received(&stranger).await;
        assert_eq!(heard.len(), 1, "{name}: one ping and nothing else: {heard:?}");
        assert_eq!(heard[0].body, Body::Request(Request::Ping), "{name}");
        let unproved = node.copy_of("key").await.expect("the node runs").expect("it holds a copy");
        assert_eq!(unproved.value, before.value, "{name}: without proof it has no effect");
        if *source == Source::Unverified {
            sleep(Duration::from_secs(2)).await;
        }
        send(heard[0].id.as_u64().expect("an id of ours"), Body::Response(Response::Pong));
        let answer = received(&stranger).await.into_iter().find(|message| message.id == QueryId::from_u64(77));
        answer.and_then(|message| match message.body {
            Body::Response(response) => Some(response),
            Body::Request(_) => None,
        })
    };
    let after = node.copy_of("key").await.expect("the node runs");
    let (value, class) = (after.as_ref().map(|copy| Value::clone(&copy.value)), after.map(|copy| copy.class));
    assert_eq!((value, class, &answer), (Some(Value::from(left.0)), left.1, reported), "{name}");
    let mut superseded = false;
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(1), events.next()).await {
        superseded |= matches!(event, Event::Superseded { .. });
    }
    let ended = before.class == Class::Published && left.1 != Some(Class::Published);
    assert_eq!(superseded, ended, "{name}: an event says so");
}

#[test]
fn a_foreign_write_has_effect_where_its_source_is_proved_and_the_policy_lets_it() {
    const PUBLISHED: Option<Class> = Some(Class::Published);
    const HELD: Option<Class> = Some(Class::Held);
    const CACHED: Option<Class> = Some(Class::Cached);
    let set = |stored| Some(Response::Set { stored, ttl: stored.then_some(86_410) });
    for source in [Source::Verified, Source::Proving, Source::Unverified] {
        let unproved = source == Source::Unverified;
        for policy in [Supersede, Hold] {
            let published = match policy {
                Supersede => (("theirs", HELD), set(true)),
                Hold => (("ours", PUBLISHED), set(false)),
            };
            let refused = (("ours", PUBLISHED), set(false));
            let acknowledged = |class| (("ours", class), Some(Response::SetCached));
            for (copy, cached, (left, reported)) in [
                ("published", false, published),
                ("published", true, acknowledged(PUBLISHED)),
                ("pinned", false, refused),
                ("pinned", true, acknowledged(PUBLISHED)),
                ("held", false, (("theirs", HELD), set(true))),
                ("held", true, acknowledged(HELD)),
                ("cached", false, (("theirs", HELD), set(true))),
                ("cached", true, (("theirs", CACHED), Some(Response::SetCached))),
            ] {
                let untouched = match copy {
                    "held" => HELD,
                    "cached" => CACHED,
                    _ => PUBLISHED,
                };
                let (left, reported) = if unproved { (("ours", untouched), None) } else { (left, reported) };
                let write = if cached { "set_cached" } else { "set" };
                let name = format!("a {source:?} {write} on a {copy} copy under {policy:?}");
                in_virtual_time(run(&Case { copy, policy, source, cached, left, reported }, &name));
            }
        }
    }
}

#[test]
fn a_pinned_value_stands_against_ten_thousand_foreign_writes_through_the_whole_node() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(3);
        let node = start(&network, Node::builder().bootstrap([peers.addr(0)])).await;
        let _ = node.set("key", "ours").await.unwrap();
        node.pin("key", 1).await.unwrap();
        for n in 0..10_000u32 {
            let write = set_for("key", n.to_string(), (n % 3 == 0).then_some(5_000));
            let claim = Some(peers.id(n as usize % 3));
            peers.tell(n as usize % 3, claim, node.local_addr(), Body::Request(write));
            if n % 20 == 19 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        sleep(Duration::from_millis(50)).await;
        let copy = node.copy_of("key").await.unwrap().expect("it is held");
        assert_eq!((&*copy.value, copy.class), (&Value::from("ours"), Class::Published));
        let refused = node.snapshot().await.unwrap().store.refused;
        assert_eq!(refused.publication_held + refused.stale, 10_000);
    });
}
