//! What happens in a node, as a bounded stream of typed events for whoever looks in.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use serde::Serialize;
use tokio::sync::{broadcast, watch};

use super::outcome::BootstrapOutcome;

/// Events kept for a listener that is slow. It loses the oldest beyond that, and is told how many.
pub const KEPT: usize = 1_024;

/// Something that happened. With serde it is an object whose field `event` names the kind, such as `peer_added`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A peer entered the routing table.
    PeerAdded(Peer),
    /// A peer left the routing table.
    PeerRemoved(Peer),
    /// A bootstrap has its first answer, or has failed because no contact answered:
    /// [`joined`](BootstrapOutcome::joined) tells which. Contacts that are pending then may answer later.
    Joined(BootstrapOutcome),
    /// No peer of the routing table answers any more, or none is left: the node is cut off, or all others have gone. It joins
    /// again by itself.
    NetworkLost,
    /// A peer answers again after [`Event::NetworkLost`].
    NetworkFound,
    /// A peer stored a value here, or renewed one.
    ValueStored {
        /// The key.
        key: String,
        /// Who stored it.
        by: SocketAddr,
    },
    /// Somebody else set another value for a key that this node published. Its publication has ended: the last writer
    /// wins.
    Superseded {
        /// The key.
        key: String,
        /// Who set the other value, or holds it.
        by: SocketAddr,
    },
    /// A value of this node was published again: in its turn, or because it had ended while the node was away.
    Republished {
        /// The key.
        key: String,
        /// How many peers hold it now.
        stored: usize,
    },
    /// An audit of a kept key found fewer replicas than its minimum. Each audit that finds so says it.
    ReplicasLow {
        /// The key.
        key: String,
        /// How many of the nearest nodes hold it, by their own word.
        confirmed: usize,
        /// How many shall.
        min_replicas: usize,
    },
    /// A kept key was published anew, because an audit had found it at its minimum, or missing at more than a fifth of the
    /// nearest nodes.
    Repaired {
        /// The key.
        key: String,
        /// How many peers hold it now.
        stored: usize,
    },
    /// No replica of a kept key was found, and publishing it anew reached nobody: this node's own copy is all that is known.
    /// A node that is cut off cannot tell that from replicas that are gone. It is tried again, and each time that fails is
    /// said.
    Lost {
        /// The key.
        key: String,
    },
    /// A kept key is kept no more, although nobody said so: an audit found that this node no longer publishes it. Its store
    /// was restarted without the value, most likely. Set it and keep it again.
    NoLongerKept {
        /// The key.
        key: String,
    },
    /// A lookup ended.
    LookupEnded {
        /// What was looked for.
        target: NodeId,
        /// Peers asked.
        asked: usize,
        /// Peers that answered.
        answered: usize,
        /// Whether it was for a value, and found it.
        found: bool,
    },
}

/// The sending side, held by the actors. Its channel is made with the first listener: it takes 100 kB, and most nodes of
/// a process full of them are never listened to.
#[derive(Debug, Clone)]
pub(crate) struct Events(Arc<OnceLock<broadcast::Sender<Event>>>);

impl Events {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Tells whoever listens. Nobody listening is normal.
    pub(crate) fn emit(&self, event: Event) {
        tracing::debug!(?event);
        if let Some(listeners) = self.0.get() {
            let _ = listeners.send(event);
        }
    }

    /// Listens until `gone` turns true.
    pub(crate) fn listen(&self, gone: watch::Receiver<bool>) -> EventStream {
        EventStream { receiver: self.0.get_or_init(|| broadcast::Sender::new(KEPT)).subscribe(), gone, missed: 0 }
    }
}

/// A bounded stream of events, from the moment it was asked for.
#[derive(Debug)]
pub struct EventStream {
    receiver: broadcast::Receiver<Event>,
    /// Turns true when the node has stopped; the handles to it may live on.
    gone: watch::Receiver<bool>,
    missed: u64,
}

impl EventStream {
    /// The next event; `None` once the node has stopped and all that came before was told. It can be cancelled without
    /// loss.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let received = tokio::select! {
                biased;
                received = self.receiver.recv() => received,
                // An error means that nobody is left to say so.
                _ = self.gone.wait_for(|gone| *gone) => return None,
            };
            match received {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(missed)) => self.missed += missed,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// How many events were lost because this listener was slower than [`KEPT`] events.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{json, to_value};

    #[test]
    fn an_event_serializes_with_the_name_of_its_kind() {
        let addr: SocketAddr = "192.0.2.1:8000".parse().unwrap();
        let peer = Peer::new(NodeId::ZERO, addr);
        let expected = json!({"event": "peer_added", "node_id": "0".repeat(40), "ip": "192.0.2.1", "port": 8000});
        assert_eq!(to_value(Event::PeerAdded(peer)).unwrap(), expected);
        assert_eq!(to_value(Event::NetworkLost).unwrap(), json!({"event": "network_lost"}));
        let stored = Event::ValueStored { key: "k".into(), by: addr };
        assert_eq!(to_value(stored).unwrap(), json!({"event": "value_stored", "key": "k", "by": "192.0.2.1:8000"}));
        let joined = to_value(Event::Joined(BootstrapOutcome::default())).unwrap();
        assert_eq!(joined, json!({"event": "joined", "answered": [], "failed": [], "pending": []}));
    }
}
