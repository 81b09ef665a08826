//! A node that comes back from its store: what it goes on keeping. In virtual time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::store::{Change, Committed, MemoryStore, Store, StoreError, StoredRecord};
use kademlia_dynamic::sim::{MemoryNetwork, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Error, Node, NodeId, Value};
use tokio::time::sleep;

/// A store in memory that outlives the node, as a disk does.
#[derive(Clone, Default)]
struct Lasting(Arc<Mutex<MemoryStore>>);

impl Store for Lasting {
    fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
        self.0.lock().unwrap().load()
    }

    fn commit(&mut self, changes: Vec<Change>, done: Committed) {
        self.0.lock().unwrap().commit(changes, done);
    }
}

/// A network of scripted peers, and a node that comes and goes in it.
struct House {
    network: MemoryNetwork,
    peers: ScriptedPeers,
    store: Lasting,
    config: Config,
}

impl House {
    fn new(config: Config) -> Self {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(5);
        Self { network, peers, store: Lasting::default(), config }
    }

    async fn start(&self) -> Node {
        let builder = Node::builder().config(self.config.clone()).store(self.store.clone()).seed(1);
        let builder = builder.node_id(NodeId::of_key("the node under test")).bootstrap([self.peers.addr(0)]);
        builder.start_local_over(self.network.endpoint()).await.unwrap()
    }
}

fn k(k: usize) -> Config {
    Config::builder().k(k).build().unwrap()
}

fn write(key: &str, value: &str, ttl: Option<u32>) -> Request {
    Request::Set { key: key.into(), value: Value::from(value).into(), ttl, age: None }
}

// ---- What is kept ----

#[test]
fn a_key_that_was_kept_before_a_restart_is_kept_no_more_after_an_unkeep_which_says_so() {
    in_virtual_time(async {
        let house = House::new(k(5));
        let node = house.start().await;
        node.set("key", "ours").await.unwrap();
        node.keep("key", 1).await.unwrap();
        node.stop().await;

        let node = house.start().await;
        let foreign = async || house.peers.ask(0, node.local_addr(), write("key", "theirs", None)).await.unwrap();
        assert_eq!(foreign().await, Response::Set { stored: false });
        assert!(node.unkeep("key").await.unwrap(), "it was kept, against others at least");
        assert!(!node.unkeep("key").await.unwrap());
        assert_eq!(foreign().await, Response::Set { stored: true });
    });
}

#[test]
fn a_keep_for_which_there_is_no_room_leaves_the_key_as_it_was() {
    in_virtual_time(async {
        let house = House::new(Config::builder().k(5).max_kept_keys(1).build().unwrap());
        let node = house.start().await;
        for key in ["kept", "other", "third"] {
            node.set(key, "ours").await.unwrap();
        }
        node.keep("kept", 1).await.unwrap();
        node.stop().await;

        // Its replicas are counted by nobody any more, so that there is room for another key.
        let node = house.start().await;
        node.keep("other", 1).await.unwrap();
        for key in ["kept", "third"] {
            let error = node.keep(key, 1).await.unwrap_err();
            assert!(matches!(error, Error::Busy { limit: 1, .. }), "{key}: {error}");
        }
        sleep(Duration::from_secs(1)).await;
        for (key, stored) in [("kept", false), ("other", false), ("third", true)] {
            let answer = house.peers.ask(0, node.local_addr(), write(key, "theirs", None)).await;
            assert_eq!(answer, Ok(Response::Set { stored }), "{key}");
        }
    });
}
