//! The handle to a legacy node, and a share of them in a simulated network.

use std::fmt;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use kademlia_dynamic::sim::{MemoryNetwork, MemoryTransport, Others, Participant, Site};
use kademlia_dynamic::{Codec, Config, NodeId, Peer, Value};

use super::node::{Inner, LegacyVersion};
use super::upkeep;

/// A node that behaves as one of the Python package. Cheap to clone; it leaves the network with the last clone.
///
/// ```
/// use kad_lab::legacy::{LegacyNode, LegacyVersion};
/// use kademlia_dynamic::sim::{MemoryNetwork, in_virtual_time};
/// use kademlia_dynamic::{Codec, Config, Node, Value};
///
/// in_virtual_time(async {
///     let network = MemoryNetwork::new(7);
///     let ours = Node::builder().codec(Codec::Json).start_local_over(network.endpoint()).await.unwrap();
///     let legacy = LegacyNode::start(&network, Codec::Json, &Config::default(), LegacyVersion::V1_1_1, 1);
///     legacy.bootstrap(&[ours.local_addr()]).await;
///     legacy.set("greeting", "hello").await;
///     assert_eq!(ours.get("greeting").await.unwrap(), Some(Value::from("hello")));
/// });
/// ```
#[derive(Clone)]
pub struct LegacyNode(pub(super) Rc<Inner>, MemoryNetwork);

impl LegacyNode {
    /// A node on `network` that knows no other. Of `config` it takes what the package has settings for: k, alpha, the query
    /// timeout, the intervals, the expiry and the shortest life of a cached copy. Its id and all its chances come from `seed`.
    ///
    /// # Panics
    /// Outside an actix system.
    pub fn start(network: &MemoryNetwork, codec: Codec, config: &Config, version: LegacyVersion, seed: u64) -> Self {
        let inner = Rc::new_cyclic(|me| Inner::new(me.clone(), network.endpoint(), codec, config, version, seed));
        let reader = actix_rt::spawn(read(inner.endpoint.clone(), Rc::downgrade(&inner)));
        *inner.reader.borrow_mut() = Some(reader.abort_handle());
        upkeep::start(&inner);
        Self(inner, network.clone())
    }

    /// Its id and its address.
    pub fn peer(&self) -> Peer {
        Peer::new(self.0.own, self.0.endpoint.addr())
    }

    /// Joins by each of `contacts`, one after the other. It does not say whether any answered.
    pub async fn bootstrap(&self, contacts: &[SocketAddr]) {
        for contact in contacts {
            self.0.bootstrap(*contact).await;
        }
    }

    /// Sets a value in the network, skipping peers that hold the key already, and holds it.
    pub async fn set(&self, key: &str, value: impl Into<Value>) {
        self.0.set(key.into(), Arc::new(value.into())).await;
    }

    /// The value of `key`, from here or from the network; whether it is absent or no answer came, it cannot say.
    pub async fn get(&self, key: &str) -> Option<Value> {
        match self.held(key) {
            Some(value) => Some(value),
            None => self.0.find_value(key.into()).await.map(Arc::unwrap_or_clone),
        }
    }

    /// The peers that it finds nearest to `target`.
    pub async fn find_node(&self, target: NodeId) -> Vec<Peer> {
        self.0.find_node(target).await
    }

    /// What it holds under `key` itself.
    pub fn held(&self, key: &str) -> Option<Value> {
        self.0.held(key).map(|held| Value::clone(&held.value))
    }

    /// Its routing table.
    pub fn table(&self) -> Vec<Peer> {
        self.0.table.borrow().peers()
    }

    /// Leaves without a message, as all of its kind do.
    pub fn stop(&self) {
        self.0.stopped.set(true);
        self.1.remove(self.0.endpoint.addr());
    }
}

impl fmt::Debug for LegacyNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacyNode").field("peer", &self.peer()).finish_non_exhaustive()
    }
}

impl Participant for LegacyNode {
    fn peer(&self) -> Peer {
        Self::peer(self)
    }

    /// A legacy node cannot tell a cached copy from a full one: each counts.
    fn holds(&self, key: &str) -> bool {
        self.held(key).is_some()
    }

    fn stop(&self) {
        Self::stop(self);
    }
}

/// This share (0..=1) of a network's places for legacy nodes.
pub fn legacy_nodes(share: f64, version: LegacyVersion) -> Others {
    Others::new(share, move |site: Site| async move {
        let node = LegacyNode::start(&site.network, site.codec, &site.config, version, site.seed);
        // It takes the first contact that answers: with each it would do all of its joining again.
        for contact in site.contacts {
            if node.table().is_empty() {
                node.bootstrap(&[contact]).await;
            }
        }
        node
    })
}

/// Gives `node` what arrives at its endpoint.
async fn read(endpoint: Rc<MemoryTransport>, node: Weak<Inner>) {
    loop {
        let datagram = endpoint.receive().await;
        let Some(node) = node.upgrade().filter(|node| !node.stopped.get()) else { return };
        node.receive(datagram);
    }
}
