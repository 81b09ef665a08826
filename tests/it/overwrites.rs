//! Overwrites: the last value is the one that is read. An overwrite reaches the copies that it missed, and a publisher learns of another's. In
//! virtual time.

use std::collections::BTreeSet;

use kademlia_dynamic::actors::events::Event;
use kademlia_dynamic::protocol::config::PublisherConflict;
use kademlia_dynamic::protocol::entry::EntryState;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::store::Class;
use kademlia_dynamic::sim::{Reply, Sim, SimBuilder, in_virtual_time};
use kademlia_dynamic::{Config, Node, NodeId, Value};
use tokio::time::sleep;

use crate::support::{HOUR, SECOND, by_distance, joined_among, keys_beyond, set, superseded, with_k};

fn keys() -> Vec<String> {
    (0..20).map(|n| format!("key {n}")).collect()
}

/// Lets the nodes at these places set a key each to this value.
async fn set_all(sim: &Sim, writers: &[usize], value: &str) {
    for (key, writer) in keys().iter().zip(writers) {
        let outcome = sim.set(*writer, key, value).await.unwrap();
        assert!(outcome.stored > 0, "{key}: {outcome:?}");
    }
}

/// How many full copies of all keys there are, and how many of them are of another value than this.
async fn copies(sim: &Sim, value: &str) -> (usize, usize) {
    let (mut all, mut others) = (0, 0);
    for place in sim.places() {
        for key in keys() {
            let copy = sim.node(place).unwrap().copy_of(&key).await.unwrap();
            if let Some(copy) = copy.filter(|copy| copy.class != Class::Cached) {
                all += 1;
                others += usize::from(*copy.value != Value::from(value));
            }
        }
    }
    (all, others)
}

/// Sets old values, lets something happen, sets new ones; then says how many old copies were missed, and how many are left
/// after two restore intervals.
fn overwritten(builder: SimBuilder, meanwhile: impl AsyncFn(&Sim)) -> (usize, usize) {
    let run = Sim::run(builder, async |sim| {
        let writers: Vec<usize> = keys().iter().map(|_| sim.random_node()).collect();
        set_all(&sim, &writers, "old").await;
        meanwhile(&sim).await;
        set_all(&sim, &writers, "new").await;
        let (_, missed) = copies(&sim, "new").await;
        sim.heal();
        sim.run_for(HOUR * 5 / 2).await;
        let (all, left) = copies(&sim, "new").await;
        assert!(all >= 20 * 5, "{all}");
        (missed, left)
    });
    run.unwrap()
}

#[test]
fn an_overwrite_reaches_the_holders_that_are_no_longer_among_the_nearest() {
    let (missed, left) = overwritten(Sim::builder().nodes(60).seed(1).config(with_k(5)), async |sim| {
        for _ in 0..40 {
            sim.join().await.unwrap();
        }
        sim.run_for(HOUR / 4).await;
    });
    assert!(missed > 5, "{missed}: the newcomers have displaced some");
    assert_eq!(left, 0);
}

#[test]
fn an_overwrite_reaches_the_holders_whose_datagrams_were_lost() {
    // Few copies lie beyond the nearest, where no publication reaches them: so several networks.
    let (mut missed, mut left) = (0, 0);
    for seed in 2..10 {
        let builder = Sim::builder().nodes(60).seed(seed).config(with_k(5)).loss(0.2);
        let of_seed = overwritten(builder, async |sim| sim.run_for(3 * HOUR).await);
        (missed, left) = (missed + of_seed.0, left + of_seed.1);
        if missed >= 10 {
            break;
        }
    }
    assert!(missed > 5, "{missed}");
    assert!(left <= missed / 10, "{left} of {missed}");
}

#[test]
fn an_overwrite_reaches_the_other_side_of_a_cut_once_it_has_healed() {
    let (missed, left) = overwritten(Sim::builder().nodes(60).seed(3).config(with_k(5)), async |sim| {
        sim.partition(0..30);
        sim.run_for(HOUR).await;
    });
    assert!(missed > 5, "{missed}");
    assert_eq!(left, 0);
}

/// Two nodes publish one key, an hour apart, and the first is not among the holders. Returns the value
/// that is read once each has published again, and whether an event reported it to the first, and whether it still publishes.
fn two_publishers(config: Config) -> (String, bool, bool) {
    let run = Sim::run(Sim::builder().nodes(30).seed(4).config(config), async |sim| {
        let nearest = sim.true_closest(&NodeId::of_key("key"), 10);
        let mut far = sim.places();
        far.retain(|place| !nearest.iter().any(|peer| peer.id == sim.node(*place).unwrap().id()));
        let (first, second) = (far[0], far[1]);
        let mut events = sim.node(first).unwrap().events();
        sim.set(first, "key", "old").await.unwrap();
        sim.run_for(HOUR).await;
        sim.set(second, "key", "new").await.unwrap();
        let reported = superseded(&mut events, "key", 14 * HOUR).await;
        sim.run_for(14 * HOUR).await;
        let read = sim.node(far[2]).unwrap().get("key").await.unwrap().unwrap();
        let copy = sim.node(first).unwrap().copy_of("key").await.unwrap();
        (read.as_text().unwrap().to_owned(), reported, copy.is_some_and(|copy| copy.class == Class::Published))
    });
    run.unwrap()
}

#[test]
fn a_publisher_whose_key_another_has_set_learns_it_at_its_next_republication_and_brings_nothing_old_back() {
    assert_eq!(two_publishers(with_k(5)), ("new".to_owned(), true, false));
}

#[test]
fn of_two_publishers_that_hold_their_keys_neither_gives_way() {
    let config = Config::builder().k(5).publisher_conflict(PublisherConflict::Hold).build().unwrap();
    // Both go on, and the value of the last to republish is read.
    let (_, reported, publishes) = two_publishers(config);
    assert!(!reported && publishes);
}

#[test]
fn a_peer_that_claims_a_later_publication_and_does_not_give_it_changes_nothing() {
    for gives in [None, Some((Some(80_000), None)), Some((Some(80_000), Some(9_999))), Some((None, Some(0)))] {
        in_virtual_time(async {
            let (_, peers, node) = joined_among(4, with_k(3)).await;
            let key = keys_beyond(&peers, &node, 3).next().unwrap();
            assert!(matches!(
                peers.ask(0, node.local_addr(), set(&key, "value")).await,
                Ok(Response::Set { stored: true, ttl: Some(_) })
            ));
            peers.forget_heard();
            // Three of four do, and this node is none of the nearest, so that it compares on its own.
            peers.on(move |asked| match (&asked.request, gives) {
                (Request::Renew { entries }, _) => {
                    Response::Renew { states: vec![EntryState::Later; entries.entries.len()] }.into()
                }
                (Request::CheckStore { .. }, _) if asked.peer < 3 => {
                    Response::CheckStore { has_key: true, ttl: Some(86_000), age: Some(0) }.into()
                }
                (Request::FindValue { .. }, Some((ttl, age))) if asked.peer < 3 => {
                    Response::Value { value: Value::from("another").into(), ttl, age }.into()
                }
                (Request::FindValue { .. }, None) if asked.peer < 3 => Reply::Silence,
                _ => Reply::Usual,
            });
            sleep(2 * HOUR).await;
            assert_eq!(node.get(&key).await.unwrap(), Some("value".into()));
            let heard = peers.heard();
            let fetches = heard.iter().filter(|asked| matches!(asked.request, Request::FindValue { .. }));
            // However often each query was sent.
            let fetched = fetches.map(|asked| asked.query.to_string()).collect::<BTreeSet<_>>().len();
            assert!((1..=12).contains(&fetched), "{fetched}: each is asked for it once in an hour, silent ones twice");
        });
    }
}

#[test]
fn a_holder_beyond_the_nearest_takes_a_later_publication_from_any_peer_that_gives_it() {
    in_virtual_time(async {
        let (_, peers, node) = joined_among(4, with_k(3)).await;
        let key = keys_beyond(&peers, &node, 3).next().unwrap();
        assert!(matches!(
            peers.ask(0, node.local_addr(), set(&key, "old")).await,
            Ok(Response::Set { stored: true, ttl: Some(_) })
        ));
        let nearest = by_distance(&peers, &key)[0];
        let mut events = node.events();
        sleep(60 * SECOND).await;
        peers.on(move |asked| match &asked.request {
            Request::Renew { entries } => {
                Response::Renew { states: vec![EntryState::Later; entries.entries.len()] }.into()
            }
            Request::CheckStore { .. } if asked.peer == nearest => {
                Response::CheckStore { has_key: true, ttl: Some(86_000), age: Some(30) }.into()
            }
            Request::FindValue { .. } if asked.peer == nearest => {
                Response::Value { value: Value::from("new").into(), ttl: Some(86_000), age: Some(30) }.into()
            }
            _ => Reply::Usual,
        });
        sleep(90 * 60 * SECOND).await;
        let copy = node.copy_of(&key).await.unwrap().unwrap();
        assert_eq!((&*copy.value, copy.class), (&Value::from("new"), Class::Held));
        let reported = tokio::time::timeout(SECOND, async {
            while !matches!(events.next().await, Some(Event::ValueStored { by, .. }) if by == peers.addr(nearest)) {}
        });
        assert!(reported.await.is_ok(), "from whom it came");
        assert!((0..4).all(|n| peers.held(n, &key).is_none()), "it restores it to none");
    });
}

#[test]
fn a_client_reads_from_the_network_what_it_does_not_publish_any_more() {
    in_virtual_time(async {
        let (network, peers, _node) = joined_among(4, with_k(4)).await;
        let client = Node::builder().client(true).bootstrap([peers.addr(0)]);
        let client = client.start_local_over(network.endpoint()).await.unwrap();
        client.set("key", "old").await.unwrap();
        assert!(client.release("key").await.unwrap());
        // No peer writes to a client.
        (0..4).for_each(|n| peers.hold(n, "key", "new"));
        assert_eq!(client.get("key").await.unwrap(), Some("new".into()));
    });
}

/// A node that publishes "key" and is about to publish it again, among peers of which the two nearest hold a later
/// publication of this value; what it sends them then, and renews of the same value, whether an event informed it, and the class of its copy.
fn republished_after(
    value: &'static str,
    config: Config,
    before: &'static [&'static str],
) -> (Vec<String>, bool, Option<Class>) {
    in_virtual_time(async move {
        let (_, peers, node) = joined_among(4, config).await;
        for value in before {
            node.set("key", *value).await.unwrap();
            sleep(60 * SECOND).await;
        }
        let order = by_distance(&peers, "key");
        peers.forget_heard();
        let holders = [order[0], order[1]];
        let same = before.last() == Some(&value);
        peers.on(move |asked| match &asked.request {
            // They hold it, or a later one.
            Request::Renew { entries } if holders.contains(&asked.peer) => {
                let state = if same { EntryState::Held } else { EntryState::Later };
                Response::Renew { states: vec![state; entries.entries.len()] }.into()
            }
            Request::CheckStore { .. } if holders.contains(&asked.peer) => {
                Response::CheckStore { has_key: true, ttl: Some(86_000), age: Some(0) }.into()
            }
            Request::FindValue { .. } if holders.contains(&asked.peer) => {
                Response::Value { value: Value::from(value).into(), ttl: Some(86_000), age: Some(0) }.into()
            }
            _ => Reply::Usual,
        });
        let mut events = node.events();
        let reported = superseded(&mut events, "key", 13 * HOUR).await;
        let class = node.copy_of("key").await.unwrap().map(|copy| copy.class);
        let sent = peers.heard().into_iter().filter_map(|asked| match asked.request {
            Request::Set { value, ttl: None, .. } => value.as_text().map(str::to_owned),
            Request::Renew { .. } if same => Some(value.to_owned()),
            _ => None,
        });
        (sent.collect(), reported, class)
    })
}

#[test]
fn a_value_that_was_replaced_and_has_been_published_again_since_is_the_later_one() {
    // On and off by this node, then on again by another, which is heard of only now.
    let (sent, reported, class) = republished_after("on", with_k(5), &["on", "off"]);
    assert_eq!((sent, reported, class), (Vec::new(), true, Some(Class::Held)));
}

#[test]
fn where_another_publishes_the_same_value_both_go_on() {
    let (sent, reported, class) = republished_after("value", with_k(5), &["value"]);
    assert!(sent.len() >= 4 && sent.iter().all(|value| value == "value"), "{sent:?}");
    assert_eq!((reported, class), (false, Some(Class::Published)));
}

#[test]
fn an_earlier_value_is_not_published_again_even_where_there_is_no_room_for_the_later_one() {
    let cramped = Config::builder().k(5).max_values(0).build().unwrap();
    let (sent, reported, class) = republished_after("another", cramped, &["value"]);
    assert_eq!((sent, reported, class), (Vec::new(), true, None));
}

#[test]
fn a_publication_that_gives_way_to_no_other_states_no_age() {
    for hold in [false, true] {
        in_virtual_time(async move {
            let (_, peers, node) = joined_among(2, with_k(5)).await;
            node.set("key", "value").await.unwrap();
            if hold {
                node.pin("key", 1).await.unwrap();
            }
            let check = Request::CheckStore { key: "key".into(), size: None };
            let answer = peers.ask(0, node.local_addr(), check).await.unwrap();
            let Response::CheckStore { has_key: true, age, .. } = answer else { panic!("{answer:?}") };
            assert_eq!(age.is_none(), hold, "{age:?}");
        });
    }
}
