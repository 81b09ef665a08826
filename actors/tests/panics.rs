//! Panics: every actor in turn is restarted, and the actors that reach it go on working; the budget for it is bounded.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::Addr;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Request, Sender};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::{Change, Class, Committed, Store, StoreError, StoredRecord};
use kademlia_dynamic::protocol::value::Value;

use super::super::blocklist::Origin;
use super::super::counters::Counter;
use super::super::events::{Event, EventKind};
use super::super::messages::{DatagramsReceived, Incoming, PeerAnswered};
use super::super::outcome::{Error, GetResult};
use super::super::requests::{Bootstrap, CheckHealth, CopyOf, Describe, Get, Pin, Ping, Set, Stop};
use super::super::supervision::StopReason;
use super::super::wiring::Running;
use super::{Panic, key, settle, started, started_over};

pub(super) const ACTORS: [&str; 10] = [
    "socket",
    "dispatcher",
    "queries",
    "routing table",
    "value store",
    "lookups",
    "maintenance",
    "pins",
    "handoff",
    "node",
];

/// Under which name an actor of this type is supervised.
#[cfg(feature = "sim")]
pub(super) fn name_of(actor: &str) -> &'static str {
    match actor {
        "Socket" => "socket",
        "Dispatcher" => "dispatcher",
        "Queries" => "queries",
        "RoutingTable" => "routing table",
        "ValueStore" => "value store",
        "Lookups" => "lookups",
        "Maintenance" => "maintenance",
        "Pins" => "pins",
        "Handoff" => "handoff",
        "NodeActor" => "node",
        other => unreachable!("{other} is not supervised"),
    }
}

fn inject(running: &Running, actor: &str) {
    fn panic<A>(addr: &Addr<A>)
    where
        A: actix::Actor<Context = actix::Context<A>> + actix::Handler<Panic>,
    {
        addr.do_send(Panic);
    }
    match actor {
        "socket" => panic(&running.actors.socket),
        "dispatcher" => panic(&running.actors.dispatcher),
        "queries" => panic(&running.actors.queries),
        "routing table" => panic(&running.actors.table),
        "value store" => panic(&running.actors.store),
        "lookups" => panic(&running.actors.lookups),
        "maintenance" => panic(&running.actors.maintenance),
        "pins" => panic(&running.actors.pins),
        "handoff" => panic(&running.actors.handoff),
        "node" => panic(&running.node),
        other => unreachable!("{other} is no actor"),
    }
}

#[actix::test]
async fn each_actor_that_panics_is_restarted_and_the_others_go_on_reaching_it() {
    let config = Config::builder().max_restarts(100).build().unwrap();
    let (ours, _ours_ended, our_addr) = started("ours", config.clone());
    let (other, _other_ended, other_addr) = started("other", config);
    let contacts = vec![our_addr.to_string()];
    assert!(other.node.send(Bootstrap { contacts }).await.unwrap().unwrap().joined());

    for (round, actor) in ACTORS.into_iter().enumerate() {
        let before = ours.node.send(Set::new(key(actor), "before")).await;
        assert_eq!(before.unwrap().unwrap().stored, 1, "before the {actor} panics");
        inject(&ours, actor);
        settle().await;
        assert_eq!(ours.counters.restarts().get(actor), Some(&1), "the {actor} was restarted");

        // What it is for still works, from both sides: ping, find_value, set, get.
        let pong = other.node.send(Ping { addr: our_addr.to_string() }).await.unwrap();
        assert_eq!(pong.unwrap().peer.id, NodeId::of_key("ours"), "after the {actor} panicked");
        assert!(ours.node.send(Ping { addr: other_addr.to_string() }).await.unwrap().is_ok());
        let found = ours.node.send(Get::new(key(actor))).await.unwrap().unwrap();
        assert!(
            matches!(found.result, GetResult::Found { ref value, .. } if *value == Value::from("before")),
            "{found:?}"
        );
        let name = format!("after {round}");
        let set = ours.node.send(Set::new(key(&name), "after")).await;
        assert_eq!(set.unwrap().unwrap().stored, 1, "after the {actor} panicked");
        let found = other.node.send(Get::new(key(&name))).await.unwrap().unwrap();
        assert!(matches!(found.result, GetResult::Found { .. }), "after the {actor} panicked: {found:?}");
    }
}

#[actix::test]
async fn a_get_that_loses_the_actor_it_depends_on_ends_in_an_error() {
    tokio::time::pause();
    let (ours, _ended, _) = started("ours", Config::default());
    // A peer that will never answer, so that the lookup is under way when the actor panics.
    let silent = Peer::new(NodeId::of_key("silent"), "127.0.0.1:9".parse().unwrap());
    ours.actors.table.send(PeerAnswered { peer: silent, version: None, origin: Origin::default() }).await.unwrap();
    for actor in ["lookups", "queries"] {
        let get = ours.node.send(Get::new(key(actor)));
        let under_way = actix_rt::spawn(get);
        settle().await;
        inject(&ours, actor);
        let ended = tokio::time::timeout(Duration::from_secs(60), under_way).await.expect("it ends").unwrap().unwrap();
        match (actor, ended.map(|outcome| outcome.result)) {
            ("queries", Ok(GetResult::NoneAnswered { asked: 1 })) => {}
            ("lookups", Err(Error::Interrupted)) => {}
            (_, other) => panic!("after the {actor} panicked: {other:?}"),
        }
    }
}

#[actix::test]
async fn peers_that_a_restart_of_the_table_forgets_are_reported_to_have_left() {
    tokio::time::pause();
    let (ours, _ended, _) = started("ours", Config::default());
    let mut events = ours.events.subscribe(EventKind::ALL.iter().copied(), ours.ended.clone().wait());
    for port in 1..=3u16 {
        // Of these one takes the address of another.
        let peer = Peer::new(NodeId::of_key(&port.to_string()), ([127, 0, 0, 1], port.min(2)).into());
        ours.actors.table.send(PeerAnswered { peer, version: None, origin: Origin::default() }).await.unwrap();
    }
    inject(&ours, "routing table");
    settle().await;
    let mut peers = std::collections::BTreeSet::new();
    let mut reported = 0;
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(1), events.next()).await {
        reported += 1;
        match event {
            Event::PeerAdded(peer) => assert!(peers.insert(peer.id), "{peer}"),
            Event::PeerRemoved(peer) => assert!(peers.remove(&peer.id), "{peer}"),
            _ => {}
        }
    }
    assert!(reported >= 6 && peers.is_empty(), "{reported}: {peers:?}");
    assert_eq!(ours.node.send(Describe).await.unwrap().unwrap().table.peers, 0);
}

#[actix::test]
async fn a_value_whose_set_lost_the_lookup_for_its_places_is_placed_soon() {
    tokio::time::pause();
    let (ours, _ended, _) = started("ours", Config::default());
    let silent = Peer::new(NodeId::of_key("silent"), "127.0.0.1:9".parse().unwrap());
    ours.actors.table.send(PeerAnswered { peer: silent, version: None, origin: Origin::default() }).await.unwrap();
    let mut events = ours.events.subscribe(EventKind::ALL.iter().copied(), ours.ended.clone().wait());
    let set = actix_rt::spawn(ours.node.send(Set::new(key("k"), "v")));
    settle().await;
    inject(&ours, "lookups");
    let ended = tokio::time::timeout(Duration::from_secs(60), set).await.expect("it ends").unwrap().unwrap();
    assert!(matches!(ended, Err(Error::Interrupted)), "{ended:?}");
    let placed = async {
        loop {
            if let Some(Event::Republished { key, .. }) = events.next().await {
                break key;
            }
        }
    };
    let placed = tokio::time::timeout(Duration::from_secs(300), placed).await;
    assert_eq!(placed.as_deref(), Ok("k"), "it is published here, so it is tried again as any publication");
}

#[actix::test]
async fn pinned_keys_stay_pinned_when_the_pins_or_the_value_store_panic() {
    let config = Config::builder().audit_interval(Duration::from_millis(40)).max_restarts(100).build().unwrap();
    let (ours, _ended, our_addr) = started("ours", config.clone());
    let (other, _other_ended, other_addr) = started("other", config);
    assert!(other.node.send(Bootstrap { contacts: vec![our_addr.to_string()] }).await.unwrap().unwrap().joined());
    ours.node.send(Set::new(key("k"), "v")).await.unwrap().unwrap();
    ours.node.send(Pin { key: key("k"), min_replicas: 1 }).await.unwrap().unwrap();
    for actor in ["pins", "value store", "pins"] {
        inject(&ours, actor);
        settle().await;
        let panicked = tokio::time::Instant::now();
        // The next audit finds it pinned, in the store as well.
        let audited_since = async {
            loop {
                let pins = ours.node.send(Describe).await.unwrap().unwrap().pins;
                assert_eq!(pins.pinned, 1, "after the {actor} panicked");
                match pins.keys[0].last_audit {
                    Some((age, count)) if Duration::from_millis(age + 1) < panicked.elapsed() => break count,
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let count = tokio::time::timeout(Duration::from_secs(10), audited_since).await.expect("it is audited");
        assert_eq!((count.confirmed, count.nearest), (1, 1), "after the {actor} panicked");
        let here = ours.node.send(CheckHealth { key: key("k") }).await.unwrap().unwrap().here;
        assert!(here.is_some_and(|here| here.pinned), "after the {actor} panicked");
    }
    assert!(other.node.send(Ping { addr: our_addr.to_string() }).await.unwrap().is_ok());
    assert!(ours.node.send(Ping { addr: other_addr.to_string() }).await.unwrap().is_ok());
}

/// A store that takes everything and has nothing.
struct Forgetful;

impl Store for Forgetful {
    fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
        Ok(Vec::new())
    }

    fn commit(&mut self, _: Vec<Change>, done: Committed) {
        done(Ok(()));
    }
}

/// A store whose commits wait until they are to be done.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<SlowState>>);

#[derive(Default)]
struct SlowState {
    committed: Vec<StoredRecord>,
    waiting: Vec<(Vec<Change>, Committed)>,
}

impl Slow {
    fn commit_all(&self) {
        let waiting = std::mem::take(&mut self.0.lock().unwrap().waiting);
        for (changes, done) in waiting {
            let put = changes.into_iter().filter_map(|change| match change {
                Change::Put(record) => Some((*record).clone()),
                Change::Remove(_) => None,
            });
            self.0.lock().unwrap().committed.extend(put);
            done(Ok(()));
        }
    }
}

impl Store for Slow {
    fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
        Ok(self.0.lock().unwrap().committed.clone())
    }

    fn commit(&mut self, changes: Vec<Change>, done: Committed) {
        self.0.lock().unwrap().waiting.push((changes, done));
    }
}

#[actix::test]
async fn a_restart_of_the_value_store_waits_for_what_its_backend_was_given_before() {
    tokio::time::pause();
    let store = Slow::default();
    let (ours, _ended, _) = started_over("ours", Config::default(), Box::new(store.clone()));
    let set = actix_rt::spawn(ours.node.send(Set::new(key("k"), "v")));
    settle().await;
    inject(&ours, "value store");
    settle().await;
    assert!(matches!(set.await.unwrap().unwrap(), Err(Error::Interrupted)), "nothing is known of it");
    // The store answers nothing before it has all that it had.
    let copy = actix_rt::spawn(ours.node.send(CopyOf { key: key("k") }));
    settle().await;
    assert!(!copy.is_finished());
    store.commit_all();
    let copy = copy.await.unwrap().unwrap().unwrap().expect("what is committed is in memory");
    assert_eq!((copy.class, &*copy.value), (Class::Published, &Value::from("v")));
}

#[actix::test]
async fn a_pinned_key_that_the_store_has_lost_is_reported_as_no_longer_pinned() {
    tokio::time::pause();
    let (ours, _ended, _) = started_over("ours", Config::default(), Box::new(Forgetful));
    let mut events = ours.events.subscribe(EventKind::ALL.iter().copied(), ours.ended.clone().wait());
    for name in ["lost", "pinned"] {
        ours.node.send(Set::new(key(name), "v")).await.unwrap().unwrap();
        if name == "lost" {
            ours.node.send(Pin { key: key(name), min_replicas: 1 }).await.unwrap().unwrap();
            inject(&ours, "value store");
            settle().await;
        }
    }
    ours.node.send(Pin { key: key("pinned"), min_replicas: 1 }).await.unwrap().unwrap();
    let reported = async {
        loop {
            if let Some(Event::NoLongerPinned { key }) = events.next().await {
                break key;
            }
        }
    };
    let reported = tokio::time::timeout(Duration::from_secs(3_600), reported).await;
    assert_eq!(reported.as_deref(), Ok("lost"));
    let pins = ours.node.send(Describe).await.unwrap().unwrap().pins;
    assert_eq!((pins.pinned, &*pins.keys[0].key), (1, "pinned"));
}

#[actix::test]
async fn news_of_strangers_does_not_pile_up_before_a_routing_table_that_is_about_to_be_restarted() {
    tokio::time::pause();
    let config = Config::builder().max_restarts(100).build().unwrap();
    let (ours, _ended, _) = started("ours", config);
    for _ in 0..3 {
        inject(&ours, "routing table");
        settle().await;
    }
    // No more than the socket has room for answers.
    const STRANGERS: u16 = 4_000;
    for port in 1..=STRANGERS {
        let from = ([127, 0, 0, 1], port).into();
        let sender = Sender::new(Some(NodeId::of_key(&port.to_string())), from);
        let body = Body::Request(Request::Ping);
        let ping = Message { id: QueryId::from_u64(port.into()), sender, version: None, token: None, body };
        let payload = Codec::Json.encode(&ping).unwrap();
        ours.actors.dispatcher.do_send(DatagramsReceived(vec![Incoming {
            stranger: false,
            from,
            local: None,
            payload,
            permit: None,
            asked: false,
        }]));
    }
    settle().await;
    let turned_away = ours.counters.get(Counter::NewsFull);
    // As many as the mailbox holds wait, and one of each sender.
    assert!((u64::from(STRANGERS) - 1_100..u64::from(STRANGERS)).contains(&turned_away), "{turned_away}");
    assert_eq!(ours.counters.get(Counter::Answered), u64::from(STRANGERS), "each of them has its pong");
    assert!(ours.node.send(Describe).await.unwrap().is_ok(), "and the table is back");
}

#[actix::test]
async fn a_stop_comes_to_its_end_whichever_actor_panics_in_its_course() {
    for actor in ACTORS {
        let (ours, ended, our_addr) = started("ours", Config::default());
        let (other, _other_ended, _) = started("other", Config::default());
        let contacts = vec![our_addr.to_string()];
        assert!(other.node.send(Bootstrap { contacts }).await.unwrap().unwrap().joined());
        ours.node.send(Set::new(key("k"), "v")).await.unwrap().unwrap();
        tokio::time::pause();
        let asked = tokio::time::Instant::now();
        ours.node.do_send(Stop);
        inject(&ours, actor);
        ended.wait().await;
        assert!(asked.elapsed() <= Duration::from_millis(2_260), "{actor}: {:?}", asked.elapsed());
        assert_eq!(ours.ender.reason(), Some(StopReason::Asked), "{actor}");
        tokio::time::resume();
    }
}

#[actix::test]
async fn when_the_budget_is_spent_the_node_stops_whole_and_says_why() {
    tokio::time::pause();
    let config = Config::builder().max_restarts(2).build().unwrap();
    let (ours, ended, addr) = started("ours", config);
    for _ in 0..3 {
        inject(&ours, "queries");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    ended.wait().await;
    let reason = ours.ender.reason();
    assert!(
        matches!(&reason, Some(StopReason::RestartBudgetSpent { actor: "queries", panics: 3, last, .. }) if last == "injected by a test"),
        "{reason:?}"
    );
    assert!(!ours.actors.socket.connected() && !ours.node.connected(), "no actor lives");
    drop(std::net::UdpSocket::bind(addr).expect("the port is free"));
}

#[actix::test]
async fn restarts_that_are_far_apart_spend_no_budget() {
    tokio::time::pause();
    let config = Config::builder().max_restarts(1).build().unwrap();
    let (ours, _ended, _) = started("ours", config);
    for round in 1..=5 {
        inject(&ours, "routing table");
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(ours.counters.restarts().get("routing table"), Some(&round));
    }
    assert_eq!(ours.ender.reason(), None);
}
