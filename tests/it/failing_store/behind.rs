//! Single failures: what waits behind a write that fails, and is itself committed. What was acknowledged holds, in memory as on
//! the disk, and what was reported as failed has left nothing behind.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use actix_rt::task::JoinHandle;
use kademlia_dynamic::actors::events::Event;
use kademlia_dynamic::protocol::entry::EntryState;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::store::Class;
use kademlia_dynamic::sim::{Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Config, Error, Node, Value};
use tokio::time::sleep;

use super::moody::{Mood, Moody, node_and_peers, with_config};
use crate::support::set;

/// Begins `what`, and lets it come as far as the store.
async fn begin<T: 'static>(what: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    let begun = actix_rt::spawn(what);
    sleep(Duration::from_millis(50)).await;
    begun
}

/// Whether a `set` of "key" by peer `n` is stored; `None` without an answer.
async fn begin_foreign(peers: &ScriptedPeers, n: usize, node: &Node, value: &str) -> JoinHandle<Option<bool>> {
    let (peers, to, request) = (peers.clone(), node.local_addr(), set("key", value));
    begin(async move {
        match peers.ask(n, to, request).await {
            Ok(Response::Set { stored, .. }) => Some(stored),
            _ => None,
        }
    })
    .await
}

async fn begin_set(node: &Node, value: &'static str) -> JoinHandle<Result<(), Error>> {
    let node = node.clone();
    begin(async move { node.set("key", value).await.map(|_| ()) }).await
}

async fn begin_pin(node: &Node) -> JoinHandle<Result<(), Error>> {
    let node = node.clone();
    begin(async move { node.pin("key", 1).await }).await
}

async fn begin_release(node: &Node) -> JoinHandle<Result<bool, Error>> {
    let node = node.clone();
    begin(async move { node.release("key").await }).await
}

/// The copy of "key": of the node, and by a node that comes back from its store. Both are the same, or it says so.
async fn held(node: &Node, store: &Moody) -> Option<(Class, Value, bool)> {
    sleep(Duration::from_secs(5)).await;
    let copy = node.copy_of("key").await.unwrap();
    let pinned = node.health("key").await.ok().and_then(|health| health.here).is_some_and(|here| here.pinned);
    let here = copy.map(|copy| (copy.class, Value::clone(&copy.value), pinned));
    let state = store.state();
    let on_disk = state.disk.get("key").map(|record| (record.class, Value::clone(&record.value), record.pinned));
    assert_eq!(here, on_disk, "memory and disk");
    here
}

#[test]
fn the_repetition_of_a_set_that_failed_is_held_if_it_was_acknowledged() {
    for legacy in [false, true] {
        in_virtual_time(async {
            let store = Moody::default();
            let (node, peers) = node_and_peers(&store, 2).await;
            let peers = if legacy { peers.legacy() } else { peers };
            store.is_now(Mood::Waits);
            let first = begin_foreign(&peers, 0, &node, "value").await;
            let again = begin_foreign(&peers, 1, &node, "value").await;
            store.is_now(Mood::Commits);
            store.fail_if(|number, _| number == 0);
            assert_eq!((first.await.unwrap(), again.await.unwrap()), (Some(false), Some(true)), "legacy {legacy}");
            assert_eq!(held(&node, &store).await, Some((Class::Held, "value".into(), false)), "legacy {legacy}");
        });
    }
}

#[test]
fn a_repetition_and_a_pin_behind_a_set_that_failed_are_taken_as_if_that_had_never_come() {
    in_virtual_time(async {
        let store = Moody::default();
        let (node, peers) = node_and_peers(&store, 1).await;
        let _ = node.set("key", "ours").await.unwrap();
        store.is_now(Mood::Waits);
        let renewal = begin_set(&node, "ours").await;
        let same = begin_foreign(&peers, 0, &node, "ours").await;
        let pin = begin_pin(&node).await;
        assert!(!same.is_finished() && !pin.is_finished(), "they wait for it");
        store.is_now(Mood::Commits);
        store.fail_if(|number, _| number == 0);
        assert!(matches!(renewal.await.unwrap(), Err(Error::Store(_))));
        assert_eq!(same.await.unwrap(), Some(true), "it was committed before");
        assert!(pin.await.unwrap().is_ok());
        assert_eq!(held(&node, &store).await, Some((Class::Published, "ours".into(), true)));
        assert_eq!(begin_foreign(&peers, 0, &node, "theirs").await.await.unwrap(), Some(false));
    });
}

#[test]
fn a_pin_behind_a_set_that_failed_pins_the_value_that_was_there() {
    in_virtual_time(async {
        let store = Moody::default();
        let (node, peers) = node_and_peers(&store, 1).await;
        let _ = node.set("key", "old").await.unwrap();
        store.is_now(Mood::Waits);
        let new = begin_set(&node, "new").await;
        let pin = begin_pin(&node).await;
        store.is_now(Mood::Commits);
        store.fail_if(|number, _| number == 0);
        assert!(matches!(new.await.unwrap(), Err(Error::Store(_))));
        assert!(pin.await.unwrap().is_ok());
        assert_eq!(held(&node, &store).await, Some((Class::Published, "old".into(), true)));
        assert_eq!(begin_foreign(&peers, 0, &node, "theirs").await.await.unwrap(), Some(false));
    });
}

#[test]
fn a_pin_behind_a_set_of_a_new_key_that_failed_fails_too() {
    in_virtual_time(async {
        let store = Moody::default();
        let (node, _peers) = node_and_peers(&store, 1).await;
        store.is_now(Mood::Waits);
        let new = begin_set(&node, "new").await;
        let pin = begin_pin(&node).await;
        store.is_now(Mood::Commits);
        store.fail_if(|number, _| number == 0);
        assert!(matches!(new.await.unwrap(), Err(Error::Store(_))));
        assert!(matches!(pin.await.unwrap(), Err(Error::NotPublished { .. })));
        assert_eq!(held(&node, &store).await, None);
        assert_eq!(node.snapshot().await.unwrap().pins.pinned, 0);
    });
}

#[test]
fn what_waits_behind_a_set_that_failed_is_committed_or_fails_by_itself() {
    for commits in [true, false] {
        in_virtual_time(async {
            let store = Moody::default();
            let (node, _peers) = node_and_peers(&store, 1).await;
            let _ = node.set("key", "old").await.unwrap();
            store.is_now(Mood::Waits);
            let groups = store.state().groups.len();
            let new = begin_set(&node, "new").await;
            let pin = begin_pin(&node).await;
            assert_eq!(store.state().groups.len(), groups + 1, "the store has the first only");
            store.is_now(if commits { Mood::Commits } else { Mood::Fails });
            store.fail_if(|number, _| number == 0);
            assert!(new.await.unwrap().is_err());
            assert_eq!(pin.await.unwrap().is_ok(), commits);
            assert_eq!(node.get("key").await.unwrap(), Some("old".into()));
            store.is_now(Mood::Commits);
            assert_eq!(held(&node, &store).await, Some((Class::Published, "old".into(), commits)));
        });
    }
}

#[test]
fn a_release_that_failed_is_reported_and_so_is_what_others_did_meanwhile() {
    for theirs in ["ours", "theirs"] {
        in_virtual_time(async {
            let store = Moody::default();
            let (node, peers) = node_and_peers(&store, 1).await;
            let _ = node.set("key", "ours").await.unwrap();
            let mut events = node.events();
            store.is_now(Mood::Waits);
            let release = begin_release(&node).await;
            let foreign = begin_foreign(&peers, 0, &node, theirs).await;
            store.is_now(Mood::Commits);
            store.fail_if(|number, _| number == 0);
            assert!(matches!(release.await.unwrap(), Err(Error::Store(_))));
            assert_eq!(foreign.await.unwrap(), Some(true));
            let superseded = theirs == "theirs";
            let class = if superseded { Class::Held } else { Class::Published };
            assert_eq!(held(&node, &store).await, Some((class, theirs.into(), false)));
            node.stop().await;
            let mut reported = false;
            while let Some(event) = events.next().await {
                reported |= event == Event::Superseded { key: "key".into(), by: peers.addr(0) };
            }
            assert_eq!(reported, superseded, "{theirs}: it is published as before, until another peer set it");
        });
    }
}

#[test]
fn a_later_set_stands_whatever_of_those_before_it_failed() {
    in_virtual_time(async {
        for failing in [vec![0], vec![1], vec![0, 1], vec![2], vec![0, 2], vec![1, 2], vec![0, 1, 2]] {
            let store = Moody::default();
            let (node, _peers) = node_and_peers(&store, 1).await;
            let _ = node.set("key", "old").await.unwrap();
            store.is_now(Mood::Waits);
            let sets = [begin_set(&node, "0").await, begin_set(&node, "1").await, begin_set(&node, "2").await];
            // Each comes to the store when the one before it has ended.
            for number in 0..3 {
                store.fail_if(|_, _| failing.contains(&number));
                sleep(Duration::from_millis(50)).await;
            }
            store.is_now(Mood::Commits);
            store.commit_all();
            for (number, set) in sets.into_iter().enumerate() {
                assert_eq!(set.await.unwrap().is_err(), failing.contains(&number), "{number} of {failing:?}");
            }
            let last = (0..3).rev().find(|number| !failing.contains(number));
            let last = last.map_or_else(|| "old".into(), |number| number.to_string());
            assert_eq!(held(&node, &store).await, Some((Class::Published, last.as_str().into(), false)), "{failing:?}");
        }
    });
}

#[test]
fn readers_never_see_what_is_not_committed() {
    in_virtual_time(async {
        let store = Moody::default();
        let (node, peers) = node_and_peers(&store, 1).await;
        let ask = async |request: Request| peers.ask(0, node.local_addr(), request).await.unwrap();
        for (write, before) in [("set", None), ("overwrite", Some("first")), ("foreign", Some("second"))] {
            store.is_now(Mood::Waits);
            let (ours, theirs) = match write {
                "set" => (Some(begin_set(&node, "first").await), None),
                "overwrite" => (Some(begin_set(&node, "second").await), None),
                _ => (None, Some(begin_foreign(&peers, 0, &node, "third").await)),
            };
            let before = before.map(Value::from);
            assert_eq!(node.copy_of("key").await.unwrap().map(|copy| Value::clone(&copy.value)), before, "{write}");
            let found = ask(Request::FindValue { key: "key".into() }).await;
            let served = match &found {
                Response::Value { value, .. } => Some(Value::clone(value)),
                _ => None,
            };
            assert_eq!(served, before, "{write}: {found:?}");
            let checked = ask(Request::CheckStore { key: "key".into(), size: None }).await;
            assert!(
                matches!(checked, Response::CheckStore { has_key, .. } if has_key == before.is_some()),
                "{checked:?}"
            );
            let here = node.health("key").await.unwrap().here;
            assert_eq!(here.map(|here| here.class), before.map(|_| Class::Published), "{write}");
            store.is_now(Mood::Commits);
            store.commit_all();
            if let Some(ended) = ours {
                ended.await.unwrap().unwrap();
            }
            if let Some(ended) = theirs {
                assert_eq!(ended.await.unwrap(), Some(true));
            }
        }
        assert_eq!(held(&node, &store).await, Some((Class::Held, "third".into(), false)));
    });
}

#[test]
fn writes_that_wait_for_one_of_their_key_are_bounded_and_a_further_one_is_busy() {
    in_virtual_time(async {
        let store = Moody::default();
        let config = Config::builder().max_waiting_writes(3).build().unwrap();
        let (node, peers) = with_config(config, &store, 1).await;
        store.is_now(Mood::Waits);
        let mut sets = Vec::new();
        for value in ["0", "1", "2", "3", "4"] {
            sets.push(begin_set(&node, value).await);
        }
        assert!(matches!(sets.pop().unwrap().await.unwrap(), Err(Error::Busy { limit: 3, .. })));
        assert_eq!(begin_foreign(&peers, 0, &node, "theirs").await.await.unwrap(), Some(false));
        store.is_now(Mood::Commits);
        store.commit_all();
        for set in sets {
            set.await.unwrap().unwrap();
        }
        assert_eq!(held(&node, &store).await, Some((Class::Published, "3".into(), false)), "in their order");
    });
}

#[test]
fn an_audit_from_before_a_release_says_nothing_of_a_key_that_is_set_and_pinned_anew() {
    in_virtual_time(async {
        let store = Moody::default();
        // Its first audit comes within a quarter of that, and so before the release is given up.
        let config = Config::builder().audit_interval(Duration::from_secs(60)).build().unwrap();
        let (node, peers) = with_config(config, &store, 3).await;
        for n in 0..3 {
            assert_eq!(begin_foreign(&peers, n, &node, "theirs").await.await.unwrap(), Some(true));
        }
        sleep(Duration::from_secs(5)).await;
        let _ = node.set("key", "ours").await.unwrap();
        node.pin("key", 1).await.unwrap();
        let mut events = node.events();
        // The audit begins while the key is released and that is not committed yet, and takes its time.
        store.is_now(Mood::Waits);
        let release = begin_release(&node).await;
        let audited = Rc::new(Cell::new(false));
        let begun = audited.clone();
        peers.on(move |asked| match asked.request {
            Request::CheckStore { .. } => {
                begun.set(true);
                Reply::Usual.after(Duration::from_millis(1_500))
            }
            _ => Reply::Usual,
        });
        while !audited.get() {
            sleep(Duration::from_millis(50)).await;
        }
        store.is_now(Mood::Commits);
        store.commit_all();
        assert!(release.await.unwrap().unwrap());
        let _ = node.set("key", "ours again").await.unwrap();
        node.pin("key", 1).await.unwrap();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(node.snapshot().await.unwrap().pins.pinned, 1);
        node.stop().await;
        while let Some(event) = events.next().await {
            assert!(!matches!(event, Event::NoLongerPinned { .. }), "{event:?}");
        }
    });
}

#[test]
fn what_was_published_later_is_not_published_over_where_the_store_takes_nothing_just_now() {
    in_virtual_time(async {
        let store = Moody::default();
        let config = Config::builder().max_waiting_writes(1).build().unwrap();
        let (node, peers) = with_config(config, &store, 3).await;
        for n in 0..3 {
            assert_eq!(begin_foreign(&peers, n, &node, "ours").await.await.unwrap(), Some(true));
        }
        sleep(Duration::from_secs(5)).await;
        let _ = node.set("key", "ours").await.unwrap();
        let mut events = node.events();
        // From now on each of the others holds another value, which was published an hour after ours.
        sleep(Duration::from_secs(3_600)).await;
        let (began, published) = (tokio::time::Instant::now(), Rc::new(Cell::new(0)));
        let seen = published.clone();
        peers.on(move |asked| {
            let age = Some(began.elapsed().as_secs() as u32);
            match &asked.request {
                Request::Renew { entries } => {
                    Response::Renew { states: vec![EntryState::Later; entries.entries.len()] }.into()
                }
                Request::CheckStore { .. } => Response::CheckStore { has_key: true, ttl: Some(80_000), age }.into(),
                Request::FindValue { .. } => {
                    Response::Value { value: Value::from("later").into(), ttl: Some(80_000), age }.into()
                }
                Request::Set { ttl: None, .. } => {
                    seen.set(seen.get() + 1);
                    Reply::Usual
                }
                _ => Reply::Usual,
            }
        });
        store.is_now(Mood::Waits);
        let other = set("other", "value");
        let (peer, to) = (peers.clone(), node.local_addr());
        let _other = begin(async move { peer.ask(0, to, other).await }).await;
        sleep(Duration::from_secs(13 * 3_600)).await;
        assert_eq!(published.get(), 0, "it was due meanwhile");
        store.is_now(Mood::Commits);
        store.commit_all();
        sleep(Duration::from_secs(120)).await;
        assert_eq!(held(&node, &store).await, Some((Class::Held, "later".into(), false)));
        assert_eq!(published.get(), 0);
        node.stop().await;
        let mut reported = false;
        while let Some(event) = events.next().await {
            reported |= matches!(event, Event::Superseded { .. });
        }
        assert!(reported);
    });
}

#[test]
fn requests_of_one_key_take_effect_in_their_order_though_none_was_awaited() {
    in_virtual_time(async {
        let store = Moody::default();
        let (node, _peers) = node_and_peers(&store, 1).await;
        let (set, pin) = tokio::join!(node.set("key", "value"), node.pin("key", 1));
        assert!(set.is_ok() && pin.is_ok(), "{set:?}, {pin:?}");
        assert_eq!(held(&node, &store).await, Some((Class::Published, "value".into(), true)));
        let (unpin, set, release) = tokio::join!(node.unpin("key"), node.set("key", "later"), node.release("key"));
        assert!(unpin.unwrap() && set.is_ok() && release.unwrap());
        assert_eq!(held(&node, &store).await, Some((Class::Held, "later".into(), false)));
    });
}

#[test]
fn writes_of_peers_that_wait_leave_the_application_its_place() {
    in_virtual_time(async {
        let store = Moody::default();
        let (node, peers) = with_config(Config::builder().max_waiting_writes(2).build().unwrap(), &store, 1).await;
        store.is_now(Mood::Waits);
        let mut theirs = Vec::new();
        for value in ["a", "b", "c"] {
            theirs.push(begin_foreign(&peers, 0, &node, value).await);
        }
        assert_eq!(theirs.pop().unwrap().await.unwrap(), Some(false), "one is in flight, and one waits");
        let ours = [begin_set(&node, "first").await, begin_set(&node, "ours").await];
        store.is_now(Mood::Commits);
        store.commit_all();
        for set in ours {
            set.await.unwrap().unwrap();
        }
        let theirs: Vec<_> = futures_util::future::join_all(theirs).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(theirs, [Some(true), Some(true)]);
        assert_eq!(held(&node, &store).await, Some((Class::Published, "ours".into(), false)));
    });
}
