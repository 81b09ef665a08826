//! Our nodes as these tests use them: started, joined and asked through the library's face, as an application would.

use std::net::SocketAddr;
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::actors::events::EventStream;
use kademlia_dynamic::actors::outcome::{BootstrapOutcome, Health, SetOutcome};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::{Codec, Config, Node, Value};
use tokio::time::{sleep, timeout};

/// How long what must come to be may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// One of our nodes, on a thread of its own.
pub(crate) struct Ours {
    node: Node,
    /// Its id and its address.
    pub(crate) peer: Peer,
}

impl Ours {
    /// A node that has joined by `contacts`, all of which answered.
    pub(crate) async fn start(codec: Codec, contacts: &[SocketAddr]) -> Self {
        let node =
            Node::builder().bind("127.0.0.1:0").codec(codec).start().await.expect("a node starts on a free port");
        let peer = Peer::new(node.id(), node.local_addr());
        let ours = Self { node, peer };
        if !contacts.is_empty() {
            let outcome = ours.bootstrap(contacts).await;
            assert_eq!(outcome.answered.len(), contacts.len(), "{outcome:?}");
        }
        ours
    }

    /// The same, joining at its start by contacts given as text, host names included.
    pub(crate) async fn start_among(codec: Codec, contacts: &[String]) -> Self {
        let builder = Node::builder().bind("127.0.0.1:0").codec(codec).bootstrap(contacts.iter().cloned());
        let node = builder.start().await.expect("a node starts on a free port");
        let peer = Peer::new(node.id(), node.local_addr());
        Self { node, peer }
    }

    /// A node with these settings that has joined no network.
    pub(crate) async fn start_alone(codec: Codec, config: Config) -> Self {
        let builder = Node::builder().bind("127.0.0.1:0").codec(codec).config(config);
        let node = builder.start().await.expect("a node starts on a free port");
        let peer = Peer::new(node.id(), node.local_addr());
        Self { node, peer }
    }

    /// How many peers stand in its table.
    pub(crate) async fn known(&self) -> usize {
        self.node.snapshot().await.expect("the node runs").table.peers
    }

    /// How many it has counted.
    pub(crate) fn count(&self, counter: Counter) -> u64 {
        self.node.counters().get(counter)
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.peer.addr
    }

    /// Has it join by `contacts`.
    pub(crate) async fn bootstrap(&self, contacts: &[SocketAddr]) -> BootstrapOutcome {
        self.node.bootstrap(contacts.iter().map(SocketAddr::to_string)).await.expect("the node runs")
    }

    /// Sets `key`.
    pub(crate) async fn set(&self, key: &str, value: &Value) -> SetOutcome {
        self.node.set(key, value.clone()).await.expect("the value is a permitted one")
    }

    /// Gets `key`.
    pub(crate) async fn get(&self, key: &str) -> Option<Value> {
        self.node.get(key).await.expect("a peer answers")
    }

    /// The nodes that state to hold `key`.
    pub(crate) async fn health(&self, key: &str) -> Health {
        self.node.health(key).await.expect("a peer answers")
    }

    /// Pins `key`, which it has set, with at least `min_replicas`.
    pub(crate) async fn pin(&self, key: &str, min_replicas: usize) {
        self.node.pin(key, min_replicas).await.expect("it publishes the key");
    }

    /// What happens in it from now on.
    pub(crate) fn events(&self) -> EventStream {
        self.node.events()
    }

    /// The peers nearest to `target`.
    pub(crate) async fn find_node(&self, target: NodeId) -> Vec<Peer> {
        self.node.find_node(target).await.expect("the node runs")
    }

    /// The peer at `addr`, if it answers.
    pub(crate) async fn ping(&self, addr: SocketAddr) -> Option<Peer> {
        self.node.ping(addr).await.ok().map(|pong| pong.peer)
    }

    /// Has it leave.
    pub(crate) async fn stop(self) {
        self.node.stop().await;
    }
}

/// Waits until `holds` does. What goes on in another process has no other sign than the answer to a question.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let looked_for = async {
        while !holds().await {
            sleep(LOOK).await;
        }
    };
    assert!(timeout(PATIENCE, looked_for).await.is_ok(), "not so after {PATIENCE:?}: {what}");
}
