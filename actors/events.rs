//! What happens in a node, as typed events. A subscription names their kinds.

use std::net::SocketAddr;

use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use serde::Serialize;

use super::outcome::BootstrapOutcome;
pub use super::subscriptions::{EventStream, KEPT, WAKE_INTERVAL};

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
    /// [`joined`](BootstrapOutcome::joined) says which. Contacts that are pending then may answer later.
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
        /// The peer that stored it.
        by: SocketAddr,
    },
    /// This node published a value: a `set` of the application is committed here, and is being placed.
    Published {
        /// The key.
        key: String,
    },
    /// This node no longer publishes a value: the application released its key.
    Released {
        /// The key.
        key: String,
    },
    /// Another node set another value for a key that this node published. Its publication has ended: the last writer
    /// wins.
    Superseded {
        /// The key.
        key: String,
        /// The node that set the other value, or holds it.
        by: SocketAddr,
    },
    /// A value of this node was published again: because its interval had passed, or because it had ended while the node was away.
    Republished {
        /// The key.
        key: String,
        /// How many peers hold it now.
        stored: usize,
    },
    /// An audit of a pinned key found fewer replicas than its minimum. Each audit that finds so reports it.
    ReplicasLow {
        /// The key.
        key: String,
        /// How many of the nearest nodes report that they hold it.
        confirmed: usize,
        /// How many shall.
        min_replicas: usize,
    },
    /// A pinned key was published anew, because an audit had found it at its minimum, or missing at more than a fifth of the
    /// nearest nodes.
    Repaired {
        /// The key.
        key: String,
        /// How many peers hold it now.
        stored: usize,
    },
    /// No replica of a pinned key was found, and publishing it anew reached no peer: this node's own copy is all that is known.
    /// A node that is cut off cannot distinguish that from replicas that are gone. It is tried again, and each time that fails is
    /// said.
    Lost {
        /// The key.
        key: String,
    },
    /// A key is no longer pinned, although the application did not unpin it: an audit found that this node no longer publishes
    /// it. Most likely its store was restarted without the value. Set it and pin it again.
    NoLongerPinned {
        /// The key.
        key: String,
    },
    /// An actor panicked and is restarted.
    Restarted {
        /// Its name.
        actor: &'static str,
    },
    /// A lookup ended.
    LookupEnded {
        /// The id that was looked for.
        target: NodeId,
        /// Peers asked.
        asked: usize,
        /// Peers that answered.
        answered: usize,
        /// Whether it was for a value, and found it.
        found: bool,
    },
}

macro_rules! kinds {
    ($($kind:ident = $name:literal, $group:ident;)*) => {
        /// The kinds of [`Event`], by which a subscription names those that it wants.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum EventKind {
            $(
                #[doc = concat!("[`Event::", stringify!($kind), "`]")]
                $kind,
            )*
        }

        impl EventKind {
            /// All kinds.
            pub const ALL: &[EventKind] = &[$(EventKind::$kind),*];

            /// Its name, such as `peer_added`: what the field `event` of an event has.
            pub fn name(self) -> &'static str {
                match self {
                    $(EventKind::$kind => $name,)*
                }
            }

            /// What its events are about.
            pub fn group(self) -> EventGroup {
                match self {
                    $(EventKind::$kind => EventGroup::$group,)*
                }
            }
        }

        impl Event {
            /// Its kind.
            pub fn kind(&self) -> EventKind {
                match self {
                    $(Event::$kind { .. } => EventKind::$kind,)*
                }
            }
        }
    };
}

kinds!(
    PeerAdded = "peer_added", Peers;
    PeerRemoved = "peer_removed", Peers;
    Joined = "joined", Peers;
    NetworkLost = "network_lost", Peers;
    NetworkFound = "network_found", Peers;
    ValueStored = "value_stored", Values;
    Published = "published", Values;
    Released = "released", Values;
    Superseded = "superseded", Values;
    Republished = "republished", Values;
    ReplicasLow = "replicas_low", Values;
    Repaired = "repaired", Values;
    Lost = "lost", Values;
    NoLongerPinned = "no_longer_pinned", Values;
    Restarted = "restarted", Restarts;
    LookupEnded = "lookup_ended", Lookups;
);

/// What events are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventGroup {
    /// Peers and the network.
    Peers,
    /// Values: stored, published, pinned.
    Values,
    /// Lookups.
    Lookups,
    /// Restarts of actors.
    Restarts,
}

impl EventGroup {
    /// Its name, such as `peers`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Values => "values",
            Self::Lookups => "lookups",
            Self::Restarts => "restarts",
        }
    }
}

impl EventKind {
    /// The kinds that `name` means: one kind, or all of a group.
    pub fn named(name: &str) -> impl Iterator<Item = EventKind> {
        Self::ALL.iter().copied().filter(move |kind| kind.name() == name || kind.group().name() == name)
    }

    /// A bit that is set for no other kind.
    pub(super) fn bit(self) -> u32 {
        1 << self as u32
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
    #[test]
    fn each_kind_is_one_of_all_and_has_a_bit_of_its_own() {
        let bits = EventKind::ALL.iter().fold(0, |bits, kind| bits | kind.bit());
        assert_eq!(bits.count_ones() as usize, EventKind::ALL.len());
        assert_eq!(EventKind::ALL.last(), Some(&EventKind::LookupEnded));
    }

    #[test]
    fn the_name_of_a_kind_is_that_in_its_events_and_a_group_names_all_of_its_kinds() {
        let restarted = Event::Restarted { actor: "pins" };
        assert_eq!(to_value(&restarted).unwrap(), json!({"event": restarted.kind().name(), "actor": "pins"}));
        for event in [Event::NetworkLost, Event::Lost { key: "k".into() }, Event::Published { key: "k".into() }] {
            assert_eq!(to_value(&event).unwrap()["event"], event.kind().name());
        }
        assert_eq!(EventKind::named("lookups").collect::<Vec<_>>(), [EventKind::LookupEnded]);
        assert_eq!(EventKind::named("peer_added").collect::<Vec<_>>(), [EventKind::PeerAdded]);
        assert_eq!((EventKind::named("peers").count(), EventKind::named("Peers").count()), (5, 0));
    }
}
