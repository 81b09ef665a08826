//! A node that fails for good: its restarts are spent, so it stops whole, closes its store, and reports that.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::store::{Change, Committed, MemoryStore, Store, StoreError, StoredRecord};
use kademlia_dynamic::sim::{MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};

use super::super::node::Node;
use super::super::outcome::Error;
use super::super::supervision::StopReason;

/// Panics when it is to store "harmful", and shows whether it has been closed.
#[derive(Default)]
struct Fragile {
    memory: MemoryStore,
    closed: Arc<AtomicBool>,
}

impl Store for Fragile {
    fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
        self.memory.load()
    }

    fn commit(&mut self, changes: Vec<Change>, done: Committed) {
        assert!(changes.iter().all(|change| **change.key() != *"harmful"), "injected by a test");
        self.memory.commit(changes, done);
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

fn no_restarts() -> Config {
    Config::builder().max_restarts(0).build().unwrap()
}

fn assert_names_the_store(reason: &StopReason) {
    let StopReason::RestartBudgetSpent { actor, panics, last, .. } = reason else { panic!("{reason:?}") };
    assert_eq!((*actor, *panics, last.as_str()), ("value store", 1, "injected by a test"));
}

fn assert_stopped<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    match outcome {
        Err(Error::Stopped(reason)) => assert_names_the_store(&reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_node_that_fails_ends_every_request_with_the_reason_closes_its_store_and_tells_the_embedder_once() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(3);
        let (store, reported) = (Fragile::default(), Arc::new(std::sync::Mutex::new(Vec::new())));
        let closed = store.closed.clone();
        let node = Node::builder()
            .config(no_restarts())
            .store(store)
            .bootstrap([peers.addr(0)])
            .on_failure({
                let (reported, closed) = (reported.clone(), closed.clone());
                move |reason| reported.lock().unwrap().push((reason, closed.load(Ordering::SeqCst)))
            })
            .start_local_over(network.endpoint())
            .await
            .unwrap();
        peers.on(|_| Reply::Silence);
        let pending = actix_rt::spawn({
            let node = node.clone();
            async move { node.get("absent").await }
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!pending.is_finished() && reported.lock().unwrap().is_empty());

        assert_stopped(node.set("harmful", "v").await);
        assert_stopped(pending.await.unwrap());
        assert_stopped(node.get("absent").await);
        assert_stopped(node.snapshot().await);
        assert_stopped(node.probe().await);
        assert_names_the_store(&node.stopped().await);
        node.stop().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let reported = reported.lock().unwrap();
        assert_eq!(reported.len(), 1);
        assert_names_the_store(&reported[0].0);
        assert!(reported[0].1, "the store was closed before that was said");
    });
}

#[tokio::test]
async fn a_failed_node_with_a_thread_of_its_own_tells_the_embedder_and_leaves_the_process_alone() {
    let (tell, reported) = mpsc::channel();
    let builder = Node::builder().config(no_restarts()).store(Fragile::default());
    let node = builder.on_failure(move |reason| tell.send(reason).unwrap()).start().await.unwrap();
    let addr = node.local_addr();
    assert_stopped(node.set("harmful", "v").await);
    assert_names_the_store(&node.stopped().await);
    drop(std::net::UdpSocket::bind(addr).expect("the port is free"));
    assert_names_the_store(&reported.recv_timeout(Duration::from_secs(10)).unwrap());
}

#[test]
fn a_node_that_is_stopped_or_dropped_reports_no_failure() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        for stop in [true, false] {
            let builder = Node::builder().on_failure(|reason| panic!("no failure: {reason}"));
            let node = builder.start_local_over(network.endpoint()).await.unwrap();
            if stop {
                node.stop().await;
            }
            drop(node);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
}

#[test]
fn while_a_node_takes_its_leave_nothing_new_is_begun_and_what_is_under_way_ends() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(3);
        let builder = Node::builder().bootstrap([peers.addr(0)]);
        let node = builder.start_local_over(network.endpoint()).await.unwrap();
        let _ = node.set("k", "v").await.unwrap();
        peers.on(|_| Reply::Silence);
        let ended = Rc::new(RefCell::new(Vec::new()));
        for key in ["absent", "absent too"] {
            let (node, ended) = (node.clone(), ended.clone());
            actix_rt::spawn(async move {
                let outcome = node.get(key).await;
                ended.borrow_mut().push(outcome.is_err());
            });
        }
        let asked = tokio::time::Instant::now();
        let stopping = actix_rt::spawn({
            let node = node.clone();
            async move { node.stop().await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!stopping.is_finished(), "it hands over what it holds");
        assert!(matches!(node.set("new", "v").await, Err(Error::Stopped(StopReason::Asked))));
        assert!(matches!(node.get("new").await, Err(Error::Stopped(StopReason::Asked))));
        assert!(node.snapshot().await.is_ok(), "it can still be looked at");
        stopping.await.unwrap();
        tokio::task::yield_now().await;
        assert!(asked.elapsed() <= Duration::from_millis(2_260), "{:?}", asked.elapsed());
        assert_eq!(*ended.borrow(), [true, true]);
    });
}
