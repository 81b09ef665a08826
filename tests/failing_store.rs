//! A store that fails, or takes its time: nothing is acknowledged that is not committed, and nothing else is lost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::store::{Change, Committed, Store, StoreError, StoredRecord};
use kademlia_dynamic::sim::{MemoryNetwork, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Error, Node, Value};

/// What a test's store does with a commit.
#[derive(Default)]
enum Mood {
    #[default]
    Commits,
    Fails,
    /// Keeps who waits, until it is told to commit.
    Waits,
    /// Forgets who waits, as a thread that has died.
    Dies,
}

#[derive(Clone, Default)]
struct Moody(Arc<Mutex<(Mood, Vec<Committed>)>>);

impl Moody {
    fn is_now(&self, mood: Mood) {
        self.0.lock().unwrap().0 = mood;
    }

    fn fail_all(&self) {
        let waiting = std::mem::take(&mut self.0.lock().unwrap().1);
        waiting.into_iter().for_each(|done| done(Err(StoreError::Ended)));
    }

    fn commit_all(&self) {
        let waiting = std::mem::take(&mut self.0.lock().unwrap().1);
        waiting.into_iter().for_each(|done| done(Ok(())));
    }
}

impl Store for Moody {
    fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
        Ok(Vec::new())
    }

    fn commit(&mut self, _: Vec<Change>, done: Committed) {
        let mut state = self.0.lock().unwrap();
        match state.0 {
            Mood::Commits => done(Ok(())),
            Mood::Fails => done(Err(StoreError::Ended)),
            Mood::Waits => state.1.push(done),
            Mood::Dies => drop(done),
        }
    }
}

async fn node_and_peers(store: &Moody, peers: usize) -> (Node, ScriptedPeers) {
    let network = MemoryNetwork::new(7);
    let peers = ScriptedPeers::new(&network, Codec::Json).with(peers);
    let node = Node::builder().store(store.clone()).start_local_over(network.endpoint()).await.unwrap();
    (node, peers)
}

fn set(value: &str) -> Request {
    Request::Set { key: "key".into(), value: Arc::new(value.into()), ttl: None }
}

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
            let answer = peers.ask(0, node.local_addr(), set("foreign")).await;
            assert!(matches!(answer, Ok(Response::Set { stored: false })), "{answer:?}");
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
            let answer = peers.ask(peer, node.local_addr(), set("value")).await;
            assert!(answer.is_err(), "acknowledged although nothing is committed: {answer:?}");
        }
        let late = {
            let (peers, to) = (peers.clone(), node.local_addr());
            actix_rt::spawn(async move { peers.ask(0, to, set("value")).await })
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        store.commit_all();
        assert!(matches!(late.await.unwrap(), Ok(Response::Set { stored: true })));
    });
}
