//! How long values live, and which of two wins: what is renewed, what never is, and that nothing old comes back. In virtual
//! time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use kademlia_dynamic::actors::events::Event;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::store::{Class, cache_ttl};
use kademlia_dynamic::sim::{Asked, MemoryNetwork, Reply, ScriptedPeers, Sim, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Error, GetResult, Node, NodeId, Value};
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::{HOUR, SECOND, cached_for, joined_among, joined_among_kind, set_for, with_k};

#[test]
fn a_set_that_is_refused_as_busy_has_changed_nothing() {
    in_virtual_time(async {
        let config = Config::builder().k(5).max_lookups(1).max_waiting_lookups(0).build().unwrap();
        let (_, peers, node) = joined_among(3, config).await;
        sleep(30 * SECOND).await;
        peers.on(|asked| match asked.request {
            Request::FindNode { .. } => Reply::Usual.after(SECOND / 2),
            _ => Reply::Usual,
        });
        let first = {
            let node = node.clone();
            actix_rt::spawn(async move { node.set("first", "1").await })
        };
        sleep(SECOND / 20).await;
        assert!(matches!(node.set("second", "2").await, Err(Error::Busy { limit: 1, .. })));
        assert!(first.await.unwrap().unwrap().stored > 0);
        sleep(180 * SECOND).await;
        assert!(node.copy_of("first").await.unwrap().is_some() && node.copy_of("second").await.unwrap().is_none());
        assert!((0..3).all(|n| peers.held(n, "first").is_some() && peers.held(n, "second").is_none()));
    });
}

// ---- How long ----

#[test]
fn a_publication_that_is_repeated_renews_the_copies_of_its_holders() {
    let builder = Sim::builder().nodes(12).seed(2).config(with_k(5));
    Sim::run(builder, async |sim| {
        let publisher = sim.random_node();
        assert!(sim.set(publisher, "key", "value").await.unwrap().stored >= 5);
        sim.run_for(30 * HOUR).await;
        let mut renewed = 0;
        for place in sim.places() {
            let copy = sim.node(place).unwrap().copy_of("key").await.unwrap();
            if let Some(copy) = copy.filter(|copy| copy.class != Class::Cached) {
                assert!(copy.ttl_left > 11 * HOUR, "{copy:?}: half an expiry at least, from the last of the rounds");
                renewed += 1;
            }
        }
        assert!(renewed >= 5, "{renewed}");
    })
    .unwrap();
}

/// A small network in which a value lives for ten minutes, whose publisher dies or leaves soon, and in which others come and
/// go: whether the value is read before its end; then whether any node reads it, or holds it still.
async fn an_ended_publication(sim: Sim) -> (bool, bool, bool) {
    let expiry = Duration::from_secs(600);
    let publisher = sim.random_node();
    assert!(sim.set(publisher, "key", "value").await.unwrap().stored >= 4);
    let ends = Instant::now() + expiry;
    sim.run_for(5 * SECOND).await;
    if sim.below(2) == 0 {
        sim.kill(publisher)
    } else {
        sim.leave(publisher).await
    };
    for _ in 0..4 {
        sim.run_for(60 * SECOND).await;
        sim.join().await.unwrap();
        sim.leave(sim.random_node()).await;
    }
    sleep_until(ends - 60 * SECOND).await;
    let is_read = async || matches!(sim.get(sim.random_node(), "key").await, Ok(GetResult::Found { .. }));
    let before = is_read().await;
    // A `set` takes its time to reach the last of the holders.
    sleep_until(ends + SECOND).await;
    let mut after = false;
    for place in sim.places() {
        after |= !matches!(sim.get(place, "key").await, Ok(GetResult::NotFound { .. }));
    }
    // The sweep comes each 150 s, jittered by a tenth.
    sim.run_for(Duration::from_secs(165)).await;
    let mut held = false;
    for place in sim.places() {
        let store = sim.node(place).unwrap().snapshot().await.unwrap().store;
        held |= store.held.values + store.cached.values + store.published.values > 0;
    }
    (before, after, held)
}

#[test]
fn without_its_publisher_a_value_is_gone_at_its_expiry_and_swept_one_round_later_in_100_of_100_seeds() {
    let config = Config::builder()
        .k(4)
        .key_expiry(Duration::from_secs(600))
        .restore_interval(Duration::from_secs(60))
        .bucket_refresh_interval(Duration::from_secs(150))
        .min_cache_ttl(Duration::from_secs(30))
        .build()
        .unwrap();
    for seed in 1..=100 {
        let builder = Sim::builder().nodes(12).seed(seed).config(config.clone());
        assert_eq!(Sim::run(builder, an_ended_publication).unwrap(), (true, false, false), "seed {seed}");
    }
}

// ---- Which one ----

fn sets(peers: &ScriptedPeers) -> Vec<(Asked, String)> {
    let text = |asked: &Asked| match &asked.request {
        Request::Set { value, .. } => value.as_text().map(str::to_owned),
        _ => None,
    };
    peers.heard().into_iter().filter_map(|asked| text(&asked).map(|text| (asked, text))).collect()
}

/// Lets the next lookup of `key` take a second and a half, and returns once it has begun.
async fn once_it_is_looked_up(peers: &ScriptedPeers, key: &str) {
    let place = NodeId::of_key(key);
    once_one_comes(peers, move |request| matches!(request, Request::FindNode { target } if *target == place)).await;
}

/// Lets the next `check_store`s take a second and a half, and returns once one of them has come.
async fn once_it_is_checked(peers: &ScriptedPeers) {
    once_one_comes(peers, |request| matches!(request, Request::CheckStore { .. })).await;
}

/// Lets such requests take a second and a half, until one has come.
async fn once_one_comes(peers: &ScriptedPeers, is_one: impl Fn(&Request) -> bool + 'static) {
    let begun = Rc::new(Cell::new(false));
    let says = begun.clone();
    peers.on(move |asked| {
        if !is_one(&asked.request) {
            return Reply::Usual;
        }
        says.set(true);
        Reply::Usual.after(Duration::from_millis(1_500))
    });
    while !begun.get() {
        sleep(Duration::from_millis(100)).await;
    }
    peers.on(|_| Reply::Usual);
}

#[test]
fn a_local_set_during_a_republication_wins_and_the_old_value_is_not_sent_any_more() {
    in_virtual_time(async {
        let config = Config::builder().k(5).republish_interval(600 * SECOND).build().unwrap();
        let (_, peers, node) = joined_among(5, config).await;
        node.set("key", "old").await.unwrap();
        peers.forget_heard();
        once_it_is_looked_up(&peers, "key").await;
        assert!(sets(&peers).is_empty(), "its places are still looked for");
        let outcome = node.set("key", "new").await.unwrap();
        assert_eq!((outcome.stored, outcome.superseded), (5, false));
        sleep(30 * SECOND).await;
        let sent = sets(&peers);
        assert!(sent.len() >= 5 && sent.iter().all(|(_, text)| text == "new"), "{sent:?}");
        for n in 0..5 {
            assert_eq!(peers.held(n, "key"), Some("new".into()));
        }
    });
}

#[test]
fn a_local_set_during_a_restore_wins_and_the_old_value_is_not_sent_any_more() {
    in_virtual_time(async {
        // Only peers that do not reconcile are brought restores.
        let (_, peers, node) = joined_among_kind(true, 5, with_k(5)).await;
        assert!(matches!(
            peers.ask(0, node.local_addr(), set_for("key", "old", None)).await,
            Ok(Response::Set { stored: true, .. })
        ));
        peers.forget_heard();
        once_it_is_checked(&peers).await;
        assert!(sets(&peers).is_empty(), "the peers are still asked whether they lack it");
        assert_eq!(node.set("key", "new").await.unwrap().stored, 5);
        sleep(30 * SECOND).await;
        let sent = sets(&peers);
        assert!(sent.len() >= 5 && sent.iter().all(|(_, text)| text == "new"), "{sent:?}");
        assert_eq!(node.copy_of("key").await.unwrap().unwrap().class, Class::Published);
    });
}

#[test]
fn a_replaced_value_comes_back_by_a_publication_of_its_writer_and_never_by_a_restore() {
    for legacy in [false, true] {
        in_virtual_time(async {
            let (_, peers, node) = joined_among(5, with_k(5)).await;
            let peers = if legacy { peers.legacy() } else { peers };
            let says = async |n, value, ttl| {
                let answer = peers.ask(n, node.local_addr(), set_for("key", value, ttl)).await.unwrap();
                let Response::Set { stored, ttl } = answer else { panic!("{answer:?}") };
                assert_eq!(ttl.is_some(), stored, "a stored value has a life that is stated");
                stored
            };
            let (stored, refused) = (true, false);
            assert_eq!(says(0, "old", None).await, stored);
            assert_eq!(says(1, "new", None).await, stored);
            let mut events = node.events();
            // Our nodes say that it is a restore; a restore by a legacy node comes from another address than its writer's.
            assert_eq!(says(2, "old", (!legacy).then_some(80_000)).await, refused, "legacy {legacy}");
            assert_eq!(node.get("key").await.unwrap(), Some("new".into()), "legacy {legacy}");
            assert_eq!(says(0, "old", None).await, stored, "its writer sets it again");
            assert_eq!(node.get("key").await.unwrap(), Some("old".into()));
            assert!(matches!(events.next().await, Some(Event::ValueStored { by, .. }) if by == peers.addr(0)));
        });
    }
}

#[test]
fn a_holder_states_with_its_acknowledgement_how_long_it_stores_the_value() {
    in_virtual_time(async {
        let config = Config::builder().k(5).key_expiry(2 * HOUR).republish_interval(HOUR).build().unwrap();
        let (_, peers, node) = joined_among(3, config).await;
        let tells = async |ttl| match peers.ask(0, node.local_addr(), set_for("key", "value", ttl)).await {
            Ok(Response::Set { stored: true, ttl }) => ttl,
            other => panic!("{other:?}"),
        };
        assert_eq!(tells(Some(600)).await, Some(600));
        assert_eq!(tells(None).await, Some(7_200));
        assert!(matches!(tells(Some(600)).await, Some(7_199..=7_200)), "a restore shortens nothing");
    });
}

// ---- Cached copies ----

/// How many of three legacy nodes are given a copy by a restore, of a value that came with so many seconds left.
fn legacy_nodes_given(ttl: u32) -> usize {
    in_virtual_time(async move {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).legacy().with(3);
        let node = Node::builder().bootstrap([peers.addr(0)]).node_id(NodeId::of_key("key")).seed(1);
        let node = node.start_local_over(network.endpoint()).await.unwrap();
        sleep(5 * SECOND).await;
        peers.ask(0, node.local_addr(), set_for("key", "value", Some(ttl))).await.unwrap();
        sleep(2 * HOUR).await;
        sets(&peers).len()
    })
}

#[test]
fn a_legacy_node_which_grants_a_full_day_is_not_given_what_is_about_to_end() {
    assert_eq!(legacy_nodes_given(3 * 3_600), 3);
    assert_eq!(legacy_nodes_given(5_400), 0, "half an hour is left when the restore comes");
}

#[test]
fn a_cached_copy_is_served_and_is_no_replica_and_touches_no_full_copy() {
    in_virtual_time(async {
        let (_, peers, node) = joined_among(5, with_k(5)).await;
        let cache = |value: &str| cached_for("key", value, Some(100));
        let ask = async |request| peers.ask(0, node.local_addr(), request).await.unwrap();
        let check = || Request::CheckStore { key: "key".into(), size: None };
        assert_eq!(ask(cache("cached")).await, Response::SetCached);
        assert_eq!(ask(check()).await, Response::CheckStore { has_key: false, ttl: None, age: None });
        let found = ask(Request::FindValue { key: "key".into() }).await;
        assert!(matches!(found, Response::Value { ttl: Some(98..=100), .. }), "{found:?}");
        assert_eq!(node.health("key").await.unwrap().here.unwrap().class, Class::Cached);

        assert!(matches!(ask(set_for("key", "full", None)).await, Response::Set { stored: true, ttl: Some(_) }));
        assert_eq!(ask(cache("cached")).await, Response::SetCached);
        let copy = node.copy_of("key").await.unwrap().unwrap();
        assert_eq!((copy.class, copy.value.as_text()), (Class::Held, Some("full")));
        assert!(copy.ttl_left > 23 * HOUR, "{copy:?}");
        assert!(matches!(ask(check()).await, Response::CheckStore { has_key: true, .. }));
    });
}

#[test]
fn cached_copies_are_not_counted_among_the_replicas_of_a_key() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(4);
        let first = Node::builder().config(with_k(5)).seed(1).start_local_over(network.endpoint()).await.unwrap();
        let mut nodes = Vec::new();
        for seed in 2..6 {
            let builder = Node::builder().config(with_k(5)).seed(seed).bootstrap([first.local_addr()]);
            nodes.push(builder.start_local_over(network.endpoint()).await.unwrap());
        }
        let peers = ScriptedPeers::new(&network, Codec::Json).with(1);
        for node in &nodes[..3] {
            let cached = cached_for("key", "v", None);
            assert_eq!(peers.ask(0, node.local_addr(), cached).await, Ok(Response::SetCached));
        }
        let asked = peers.ask(0, nodes[3].local_addr(), set_for("key", "v", None)).await;
        assert!(matches!(asked, Ok(Response::Set { stored: true, ttl: Some(_) })));
        let health = first.health("key").await.unwrap();
        let confirmed: Vec<_> = health.nearest.confirmed.iter().map(|replica| replica.peer.id).collect();
        assert_eq!(confirmed, [nodes[3].id()]);
        assert!(health.nearest.missing.len() >= 3, "{health:?}");
    });
}

#[test]
fn a_cached_copy_lives_by_the_distance_of_its_key_however_many_known_nodes_are_nearer() {
    in_virtual_time(async {
        let config = Config::builder().k(8).min_cache_ttl(Duration::ZERO).build().unwrap();
        let (_, peers, node) = joined_among(8, config.clone()).await;
        assert_eq!(node.snapshot().await.unwrap().table.peers, 8);
        for n in 0..30 {
            let key = format!("key {n}");
            let cached = cached_for(&key, "v", None);
            assert_eq!(peers.ask(0, node.local_addr(), cached).await, Ok(Response::SetCached));
            let life = node.copy_of(&key).await.unwrap().unwrap().ttl_left.as_secs_f64().round();
            let by_distance = cache_ttl(&node.id(), &NodeId::of_key(&key), config.values.key_expiry, Duration::ZERO);
            assert_eq!(life, by_distance.as_secs_f64(), "{key}");
        }
    });
}

#[test]
fn a_value_that_is_set_anew_reaches_every_copy_that_restores_have_made() {
    let run = Sim::run(Sim::builder().nodes(100).seed(1).codec(Codec::MessagePack), async |sim| {
        let keys: Vec<(String, usize)> = (0..10).map(|n| (format!("key {n}"), sim.random_node())).collect();
        for value in ["old", "new"] {
            for (key, writer) in &keys {
                assert!(sim.set(*writer, key, value).await.unwrap().stored >= 20);
            }
            for place in sim.places() {
                for (key, _) in &keys {
                    let copy = sim.node(place).unwrap().copy_of(key).await.unwrap();
                    assert!(copy.is_none_or(|copy| *copy.value == Value::from(value)), "{key} at {place}");
                }
            }
            if value == "old" {
                // Each holder restores it meanwhile.
                sim.run_for(2 * HOUR).await;
            }
        }
    });
    run.unwrap();
}
