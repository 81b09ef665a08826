//! A node that comes back from its store: what it goes on publishing and keeping, and what it does not. In virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kademlia_dynamic::actors::events::{Event, EventStream};
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::store::{Change, Class, Committed, MemoryStore, Store, StoreError, StoredRecord};
use kademlia_dynamic::sim::{MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Error, Node, NodeId, Value};
use tokio::time::sleep;

use crate::support::{HOUR, next_event, set_for, start, with_k};

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
struct Setup {
    network: MemoryNetwork,
    peers: ScriptedPeers,
    store: Lasting,
    config: Config,
}

impl Setup {
    fn new(config: Config) -> Self {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(5);
        Self { network, peers, store: Lasting::default(), config }
    }

    async fn start(&self) -> Node {
        let builder = Node::builder().config(self.config.clone()).store(self.store.clone());
        start(&self.network, builder.bootstrap([self.peers.addr(0)])).await
    }

    /// How many `set`s and renewals of our publication of `key` the peers have received since they last forgot. Copies for newcomers
    /// are no such renewals.
    fn placed(&self, key: &str) -> usize {
        let place = NodeId::of_key(key);
        let of_key = |request: &Request| match request {
            Request::Set { key: sent, .. } => **sent == *key,
            Request::Renew { entries } => {
                entries.entries.iter().any(|entry| entry.place == place && entry.life.is_none())
            }
            _ => false,
        };
        self.peers.heard().iter().filter(|asked| of_key(&asked.request)).count()
    }
}

async fn next_republished(events: &mut EventStream) -> Option<(String, usize)> {
    let republished = |event| match event {
        Event::Republished { key, stored } => Some((key, stored)),
        _ => None,
    };
    next_event(events, Duration::from_secs(600), republished).await
}

// ---- Pins ----

#[test]
fn a_key_that_was_pinned_before_a_restart_is_not_pinned_after_an_unpin_which_says_so() {
    in_virtual_time(async {
        let setup = Setup::new(with_k(5));
        let node = setup.start().await;
        node.set("key", "ours").await.unwrap();
        node.pin("key", 1).await.unwrap();
        node.stop().await;

        let node = setup.start().await;
        let foreign = async || setup.peers.ask(0, node.local_addr(), set_for("key", "theirs", None)).await.unwrap();
        assert_eq!(foreign().await, Response::Set { stored: false, ttl: None });
        assert!(node.unpin("key").await.unwrap(), "it was pinned, against others at least");
        assert!(!node.unpin("key").await.unwrap());
        assert!(matches!(foreign().await, Response::Set { stored: true, ttl: Some(_) }));
    });
}

#[test]
fn a_pin_for_which_there_is_no_room_leaves_the_key_as_it_was() {
    in_virtual_time(async {
        let setup = Setup::new(Config::builder().k(5).max_pinned_keys(1).build().unwrap());
        let node = setup.start().await;
        for key in ["pinned", "other", "third"] {
            node.set(key, "ours").await.unwrap();
        }
        node.pin("pinned", 1).await.unwrap();
        node.stop().await;

        // Its replicas are not audited any more, so that there is room for another key.
        let node = setup.start().await;
        node.pin("other", 1).await.unwrap();
        for key in ["pinned", "third"] {
            let error = node.pin(key, 1).await.unwrap_err();
            assert!(matches!(error, Error::Busy { limit: 1, .. }), "{key}: {error}");
        }
        sleep(Duration::from_secs(1)).await;
        for (key, stored) in [("pinned", false), ("other", false), ("third", true)] {
            let answer = setup.peers.ask(0, node.local_addr(), set_for(key, "theirs", None)).await;
            assert_eq!(answer, Ok(Response::Set { stored, ttl: stored.then_some(86_410) }), "{key}");
        }
    });
}

// ---- What is published ----

#[test]
fn a_value_that_never_reached_its_places_is_published_as_soon_as_the_node_is_back() {
    in_virtual_time(async {
        let setup = Setup::new(with_k(5));
        let node = setup.start().await;
        assert!(node.set("placed", "ours").await.unwrap().stored > 0);
        setup.peers.on(|asked| match asked.request {
            Request::Set { .. } => Reply::Silence,
            _ => Reply::Usual,
        });
        assert_eq!(node.set("lost", "ours").await.unwrap().stored, 0);
        node.stop().await;
        setup.peers.on(|_| Reply::Usual);
        setup.peers.forget_heard();

        let node = setup.start().await;
        let mut events = node.events();
        assert_eq!(next_republished(&mut events).await, Some(("lost".to_owned(), 5)));
        assert!((0..5).all(|n| setup.peers.held(n, "lost").is_some()));
        assert_eq!(setup.placed("placed"), 0, "what others hold has its turn later");
    });
}

#[test]
fn a_publisher_that_was_off_for_longer_than_a_value_lives_publishes_it_again() {
    in_virtual_time(async {
        let setup = Setup::new(with_k(5));
        let node = setup.start().await;
        for key in ["ours", "released"] {
            assert_eq!(node.set(key, "value").await.unwrap().stored, 5);
        }
        assert!(node.release("released").await.unwrap());
        let theirs = setup.peers.ask(0, node.local_addr(), set_for("theirs", "value", None)).await;
        assert!(matches!(theirs, Ok(Response::Set { stored: true, ttl: Some(_) })));
        node.stop().await;
        sleep(100 * HOUR).await;
        setup.peers.forget_heard();

        let node = setup.start().await;
        let mut events = node.events();
        // Others may have set it meanwhile: it is not served before its turn has come.
        assert_eq!(node.copy_of("ours").await.unwrap(), None);
        assert_eq!(next_republished(&mut events).await, Some(("ours".into(), 5)));
        let copy = node.copy_of("ours").await.unwrap().unwrap();
        assert_eq!((copy.class, &*copy.value), (Class::Published, &Value::from("value")));
        assert!(copy.ttl_left > setup.config.values.key_expiry - Duration::from_secs(600), "{copy:?}");
        // Values that are no publications of this node have ended.
        sleep(2 * HOUR).await;
        assert_eq!((setup.placed("released"), setup.placed("theirs")), (0, 0));
        for key in ["released", "theirs"] {
            assert_eq!(node.copy_of(key).await.unwrap(), None, "{key}");
        }
        // From now on it is a publication as any other.
        let first = setup.placed("ours");
        sleep(13 * HOUR).await;
        assert!(setup.placed("ours") >= first + 5, "{first}");
        node.stop().await;
        let node = setup.start().await;
        assert!(node.copy_of("ours").await.unwrap().is_some());
    });
}

/// How many of `values` values a node publishes again in each of the minutes after it has been off for two days.
async fn come_back(config: Config, values: usize, minutes: usize) -> Vec<usize> {
    let setup = Setup::new(config);
    let node = setup.start().await;
    for n in 0..values {
        node.set(n.to_string(), "value").await.unwrap();
    }
    node.stop().await;
    sleep(48 * HOUR).await;
    let node = setup.start().await;
    let mut alive = vec![0];
    for minute in 0..=minutes {
        sleep(if minute == 0 { Duration::ZERO } else { Duration::from_secs(67) }).await;
        let mut now_alive = 0;
        for n in 0..values {
            now_alive += usize::from(node.copy_of(n.to_string()).await.unwrap().is_some());
        }
        alive.push(now_alive);
    }
    assert_eq!(node.snapshot().await.unwrap().store.published.values, values);
    alive.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn many_values_whose_publisher_was_off_come_back_however_few_lookups_may_wait() {
    in_virtual_time(async {
        let config = Config::builder().k(2).max_lookups(64).max_waiting_lookups(100).build().unwrap();
        let came = come_back(config, 300, 8).await;
        assert_eq!((came[0], came.iter().sum::<usize>()), (0, 300), "{came:?}");
    });
}

#[test]
fn all_values_of_a_publisher_that_was_off_come_back_in_one_pass() {
    in_virtual_time(async {
        let came = come_back(with_k(2), 900, 1).await;
        assert_eq!(came, [0, 900]);
    });
}

#[test]
fn of_a_value_whose_publisher_was_off_the_last_write_of_another_stands_when_it_comes_here() {
    in_virtual_time(async {
        for ttl in [None, Some(40_000)] {
            let setup = Setup::new(with_k(5));
            let node = setup.start().await;
            node.set("key", "older").await.unwrap();
            node.set("key", "ours").await.unwrap();
            node.stop().await;
            sleep(30 * HOUR).await;

            let node = setup.start().await;
            let mut events = node.events();
            let by = setup.peers.addr(1);
            // A value that this node itself replaced is none that was set meanwhile.
            let answer = setup.peers.ask(0, node.local_addr(), set_for("key", "older", ttl)).await;
            assert_eq!(answer, Ok(Response::Set { stored: false, ttl: None }));
            // A restore implies a publication less than a day old, so of one after ours.
            let answer = setup.peers.ask(1, node.local_addr(), set_for("key", "theirs", ttl)).await;
            assert!(matches!(answer, Ok(Response::Set { stored: true, ttl: Some(_) })), "{ttl:?}");
            assert_eq!(node.get("key").await.unwrap(), Some("theirs".into()));
            sleep(Duration::from_secs(600)).await;
            setup.peers.forget_heard();
            sleep(24 * HOUR).await;
            let ours = |asked: &Request| matches!(asked, Request::Set { value, .. } if **value == Value::from("ours"));
            assert!(!setup.peers.heard().iter().any(|asked| ours(&asked.request)), "{ttl:?}");
            node.stop().await;
            let mut reported = false;
            while let Some(event) = events.next().await {
                reported |= matches!(event, Event::Superseded { by: who, .. } if who == by);
            }
            assert!(reported, "{ttl:?}");
        }
    });
}
