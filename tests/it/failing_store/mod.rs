//! A store that fails, or takes its time: nothing is acknowledged that is not committed, and nothing else is lost.

mod behind;
mod moody;

use std::time::Duration;

use futures_util::future::join_all;
use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::actors::events::Event;
use kademlia_dynamic::protocol::message::{Body, Response};
use kademlia_dynamic::protocol::store::Class;
use kademlia_dynamic::sim::{ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Config, Error, Node, Value};

use self::moody::{Mood, Moody, node_and_peers, with_config};
use crate::support::{MINUTE, SECOND, cached_for, legacy, set, set_for};

#[test]
fn a_write_that_cannot_be_committed_is_an_error_and_what_was_there_stays() {
    in_virtual_time(async {
        let store = Moody::default();
        let (node, peers) = node_and_peers(&store, 1).await;
        let _ = node.set("key", "old").await.unwrap();
        for mood in [Mood::Fails, Mood::Dies] {
            store.is_now(mood);
            assert!(matches!(node.set("key", "new").await, Err(Error::Store(_))));
            // A stranger's is acknowledged, as refused.
            let answer = peers.ask(0, node.local_addr(), set("key", "foreign")).await;
            assert!(matches!(answer, Ok(Response::Set { stored: false, .. })), "{answer:?}");
            assert_eq!(node.get("key").await.unwrap(), Some(Value::from("old")));
            assert_eq!(node.snapshot().await.unwrap().store.published.values, 1, "its publication goes on");
        }
        store.is_now(Mood::Commits);
        let _ = node.set("key", "new").await.unwrap();
        assert_eq!(node.get("key").await.unwrap(), Some(Value::from("new")));
    });
}

#[test]
fn of_several_writes_that_fail_together_none_is_left_behind() {
    in_virtual_time(async {
        let store = Moody::default();
        let (node, _peers) = node_and_peers(&store, 1).await;
        let _ = node.set("key", "old").await.unwrap();
        store.is_now(Mood::Waits);
        let writes = ["first", "second", "third"].map(|value| {
            let node = node.clone();
            actix_rt::spawn(async move { node.set("key", value).await })
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        store.fail_all();
        for write in writes {
            assert!(matches!(write.await.unwrap(), Err(Error::Store(_))));
        }
        assert_eq!(node.get("key").await.unwrap(), Some(Value::from("old")));
    });
}

#[test]
fn nothing_is_acknowledged_before_the_commit_that_holds_it() {
    in_virtual_time(async {
        let store = Moody::default();
        store.is_now(Mood::Waits);
        let (node, peers) = node_and_peers(&store, 2).await;
        // The second one finds the value there already, but not committed.
        for peer in 0..2 {
            let answer = peers.ask(peer, node.local_addr(), set("key", "value")).await;
            assert!(answer.is_err(), "acknowledged although nothing is committed: {answer:?}");
        }
        let late = {
            let (peers, to) = (peers.clone(), node.local_addr());
            actix_rt::spawn(async move { peers.ask(0, to, set("key", "value")).await })
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!late.is_finished());
        store.is_now(Mood::Commits);
        store.commit_all();
        assert!(matches!(late.await.unwrap(), Ok(Response::Set { stored: true, .. })));
    });
}

#[test]
fn a_write_that_comes_again_is_applied_once_and_acknowledged_with_the_first_not_before() {
    in_virtual_time(async {
        for commits in [true, false] {
            let store = Moody::default();
            store.is_now(Mood::Waits);
            let (node, peers) = node_and_peers(&store, 1).await;
            let datagram = legacy(peers.addr(0), Some(peers.id(0)), 1, Body::Request(set("key", "value")));
            let answered = || node.counters().get(Counter::Answered);
            let comes = async || {
                peers.send(0, node.local_addr(), datagram.clone());
                tokio::time::sleep(Duration::from_millis(10)).await;
            };
            comes().await;
            let groups = store.state().groups.len();
            comes().await;
            assert_eq!((answered(), store.state().groups.len()), (0, groups));
            if commits {
                store.commit_all()
            } else {
                store.fail_all()
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert_eq!(answered(), 1);
            let groups = store.state().groups.len();
            comes().await;
            assert_eq!((answered(), store.state().groups.len()), (2, groups));
            assert_eq!(node.counters().get(Counter::RepeatedWrite), 2);
            assert_eq!(node.copy_of("key").await.unwrap().is_some(), commits);
        }
    });
}

#[test]
fn a_release_that_cannot_be_committed_is_an_error_and_the_publication_goes_on() {
    in_virtual_time(async {
        let store = Moody::default();
        let (node, peers) = node_and_peers(&store, 1).await;
        let _ = node.set("key", "value").await.unwrap();
        node.pin("key", 1).await.unwrap();
        for mood in [Mood::Fails, Mood::Dies] {
            store.is_now(mood);
            assert!(matches!(node.release("key").await, Err(Error::Store(_))));
        }
        store.is_now(Mood::Commits);
        // Some other write, which brings along what is still to be committed.
        let _ = node.set("another", "value").await.unwrap();
        assert_eq!(store.published(), Some(true), "a node that comes back publishes it");
        let seen = node.snapshot().await.unwrap();
        assert_eq!((seen.store.published.values, seen.pins.pinned), (2, 1));
        let answer = peers.ask(0, node.local_addr(), set("key", "foreign")).await;
        assert!(matches!(answer, Ok(Response::Set { stored: false, .. })), "{answer:?}");

        assert!(node.release("key").await.unwrap());
        assert_eq!((store.published(), node.snapshot().await.unwrap().pins.pinned), (None, 0));
        assert!(!node.release("key").await.unwrap());
    });
}

#[test]
fn a_release_is_not_acknowledged_before_the_commit_that_holds_it() {
    in_virtual_time(async {
        let store = Moody::default();
        let (node, _peers) = node_and_peers(&store, 1).await;
        let _ = node.set("key", "value").await.unwrap();
        node.pin("key", 1).await.unwrap();
        for ends in ["unpin", "release"] {
            store.is_now(Mood::Waits);
            let ending = {
                let node = node.clone();
                actix_rt::spawn(async move {
                    if ends == "unpin" { node.unpin("key").await } else { node.release("key").await }
                })
            };
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(!ending.is_finished(), "{ends}: acknowledged although it is not committed");
            store.is_now(Mood::Commits);
            store.commit_all();
            assert!(ending.await.unwrap().unwrap(), "{ends}");
            assert_eq!(store.published(), (ends == "unpin").then_some(false));
        }
    });
}

#[test]
fn an_unpin_or_another_pin_that_cannot_be_committed_leaves_the_key_pinned() {
    in_virtual_time(async {
        let store = Moody::default();
        let (node, peers) = node_and_peers(&store, 1).await;
        let _ = node.set("key", "value").await.unwrap();
        node.pin("key", 3).await.unwrap();
        for mood in [Mood::Fails, Mood::Dies] {
            for again in [true, false] {
                store.is_now(mood);
                let outcome = if again { node.pin("key", 5).await } else { node.unpin("key").await.map(|_| ()) };
                assert!(matches!(outcome, Err(Error::Store(_))), "again {again}: {outcome:?}");
                store.is_now(Mood::Commits);
                let answer = peers.ask(0, node.local_addr(), set("key", "foreign")).await;
                assert!(matches!(answer, Ok(Response::Set { stored: false, .. })), "again {again}: {answer:?}");
                let pins = node.snapshot().await.unwrap().pins;
                assert_eq!(pins.keys.first().map(|pinned| pinned.min_replicas), Some(3), "again {again}");
            }
        }
        assert!(node.unpin("key").await.unwrap());
        assert_eq!(store.published(), Some(false));
        let answer = peers.ask(0, node.local_addr(), set("key", "foreign")).await;
        assert!(matches!(answer, Ok(Response::Set { stored: true, .. })), "{answer:?}");
    });
}

#[test]
fn of_pins_and_unpins_that_fail_together_with_a_foreign_write_none_is_left_behind() {
    in_virtual_time(async {
        for pinned in [true, false] {
            let store = Moody::default();
            let (node, peers) = node_and_peers(&store, 1).await;
            let _ = node.set("key", "value").await.unwrap();
            if pinned {
                node.pin("key", 3).await.unwrap();
            }
            store.is_now(Mood::Waits);
            let words = [!pinned, pinned, !pinned].map(|pin| {
                let node = node.clone();
                actix_rt::spawn(async move {
                    if pin { node.pin("key", 5).await } else { node.unpin("key").await.map(|_| ()) }
                })
            });
            tokio::time::sleep(Duration::from_millis(100)).await;
            let foreign = {
                let (peers, to) = (peers.clone(), node.local_addr());
                actix_rt::spawn(async move { peers.ask(0, to, set("key", "foreign")).await })
            };
            tokio::time::sleep(Duration::from_millis(100)).await;
            store.fail_all();
            for (number, word) in words.into_iter().enumerate() {
                let outcome = word.await.unwrap();
                // Where the pin before it has failed, an unpin has nothing to do.
                let is_obsolete = !pinned && number == 1;
                assert!(
                    if is_obsolete { outcome.is_ok() } else { matches!(outcome, Err(Error::Store(_))) },
                    "pinned {pinned}"
                );
            }
            assert!(matches!(foreign.await.unwrap(), Ok(Response::Set { stored: false, .. })));
            let here = node.health("key").await.unwrap().here.unwrap();
            assert_eq!((here.class, here.pinned), (Class::Published, pinned));
        }
    });
}

#[test]
fn while_a_store_fails_a_write_carries_nothing_but_itself_and_what_is_owed_follows_once_it_works() {
    in_virtual_time(async {
        let store = Moody::default();
        let config = Config::builder().bucket_refresh_interval(MINUTE).build().unwrap();
        let (node, peers) = with_config(config, &store, 1).await;
        for n in 0..2_500 {
            let set = set_for(&n.to_string(), "value", Some(60));
            assert!(matches!(peers.ask(0, node.local_addr(), set).await, Ok(Response::Set { stored: true, .. })));
        }
        assert_eq!(store.state().disk.len(), 2_500);
        store.is_now(Mood::Fails);
        tokio::time::sleep(3 * MINUTE).await;
        assert_eq!(node.snapshot().await.unwrap().store.held.values, 0, "all have ended");

        store.state().groups.clear();
        for _ in 0..100 {
            let answer = peers.ask(0, node.local_addr(), set("key", "foreign")).await;
            assert!(matches!(answer, Ok(Response::Set { stored: false, .. })), "{answer:?}");
            // That commits nothing, so it says nothing of the backend.
            let cached = peers.ask(0, node.local_addr(), cached_for("cached", "value", Some(600))).await;
            assert!(matches!(cached, Ok(Response::SetCached)), "{cached:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let groups = std::mem::take(&mut store.state().groups);
        let parts: Vec<usize> = groups.iter().copied().filter(|changes| *changes > 1).collect();
        assert!((8..=13).contains(&parts.len()), "it is tried once a second: {parts:?} in {} groups", groups.len());
        assert!(groups.len() - parts.len() >= 100 && parts.iter().all(|changes| *changes <= 1_024), "{parts:?}");

        // Nothing needs to be written for that.
        store.is_now(Mood::Commits);
        tokio::time::sleep(3 * SECOND).await;
        let state = store.state();
        assert_eq!((state.disk.len(), state.groups.len()), (0, 3));
    });
}

/// A node that holds as many values of others as it may.
async fn full(store: &Moody, values: usize) -> (Node, ScriptedPeers) {
    let (node, peers) = with_config(Config::builder().max_values(values).build().unwrap(), store, 1).await;
    for n in 0..values {
        let answer = peers.ask(0, node.local_addr(), set(&format!("k{n}"), "value")).await;
        assert!(matches!(answer, Ok(Response::Set { stored: true, .. })), "{answer:?}");
    }
    (node, peers)
}

/// How many `set`s of new keys by a peer are acknowledged as stored.
async fn stored_of(node: &Node, peers: &ScriptedPeers, new: usize) -> usize {
    let asked = (0..new).map(|n| peers.ask(0, node.local_addr(), set(&format!("new{n}"), "value")));
    let answers = join_all(asked.collect::<Vec<_>>()).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Response::Set { .. }))), "each is answered");
    answers.iter().filter(|answer| matches!(answer, Ok(Response::Set { stored: true, .. }))).count()
}

async fn left_of(node: &Node, values: usize) -> usize {
    let mut left = 0;
    for n in 0..values {
        left += usize::from(node.copy_of(format!("k{n}")).await.unwrap().is_some());
    }
    left
}

#[test]
fn writes_that_a_failing_store_refuses_evict_nothing() {
    in_virtual_time(async {
        let store = Moody::default();
        let (node, peers) = full(&store, 100).await;
        store.is_now(Mood::Waits);
        let failing = {
            let store = store.clone();
            actix_rt::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                store.fail_all();
            })
        };
        assert_eq!(stored_of(&node, &peers, 60).await, 0);
        failing.await.unwrap();
        assert_eq!((left_of(&node, 100).await, store.state().disk.len()), (100, 100));
        assert_eq!(node.snapshot().await.unwrap().store.evicted, 0);

        // The room that they had reserved is free again.
        store.is_now(Mood::Commits);
        assert_eq!(stored_of(&node, &peers, 60).await, 60);
        let state = node.snapshot().await.unwrap().store;
        assert_eq!((state.held.values, state.evicted, store.state().disk.len()), (100, 60, 100));
    });
}

#[test]
fn while_the_store_is_known_to_fail_new_keys_are_refused_before_anything_is_planned() {
    in_virtual_time(async {
        let store = Moody::default();
        let (node, peers) = full(&store, 10).await;
        store.is_now(Mood::Fails);
        store.state().is_failing = true;
        store.state().groups.clear();
        assert_eq!(stored_of(&node, &peers, 20).await, 0);
        assert_eq!(store.state().groups.len(), 0, "the store is not even asked");
        assert_eq!((left_of(&node, 10).await, node.counters().get(Counter::WriteRefused)), (10, 20));
        // A value that is held may be overwritten, if the store takes that.
        store.is_now(Mood::Commits);
        assert!(matches!(
            peers.ask(0, node.local_addr(), set("k0", "again")).await,
            Ok(Response::Set { stored: true, .. })
        ));
        store.state().is_failing = false;
        assert_eq!(stored_of(&node, &peers, 20).await, 20);
    });
}

#[test]
fn a_foreign_write_that_cannot_be_committed_is_no_event() {
    in_virtual_time(async {
        let store = Moody::default();
        let (node, peers) = node_and_peers(&store, 1).await;
        let _ = node.set("key", "ours").await.unwrap();
        store.is_now(Mood::Fails);
        let mut events = node.events();
        for key in ["key", "another"] {
            let answer = peers.ask(0, node.local_addr(), set(key, "theirs")).await;
            assert!(matches!(answer, Ok(Response::Set { stored: false, .. })), "{answer:?}");
        }
        store.is_now(Mood::Commits);
        assert!(matches!(
            peers.ask(0, node.local_addr(), set("key", "theirs")).await,
            Ok(Response::Set { stored: true, .. })
        ));
        node.stop().await;
        let mut reported = Vec::new();
        while let Some(event) = events.next().await {
            if matches!(event, Event::ValueStored { .. } | Event::Superseded { .. }) {
                reported.push(event);
            }
        }
        let by = peers.addr(0);
        assert_eq!(reported, [Event::Superseded { key: "key".into(), by }], "the one that took effect");
    });
}
