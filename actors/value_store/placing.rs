//! What is placed once the places are found: still the same value, and by whom it may be.

use std::time::{Duration, Instant};

use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::placement;

use super::super::messages::{LaunchPublish, PlacesFound, Placing};
use super::super::outcome::SetOutcome;
use super::{ValueStore, seconds};

impl ValueStore {
    /// Whether this node is among the k nearest to `key`, given the nearest others.
    fn among_nearest(&self, key: &NodeId, closest: &[Peer]) -> bool {
        closest.get(self.config.k - 1).is_none_or(|last| self.own.distance(key) < last.id.distance(key))
    }

    /// The placement of what `placing` wants, or the reason to leave it.
    pub(super) fn place(&mut self, found: PlacesFound, now: Instant) {
        let PlacesFound { placing, found } = found;
        let Placing { key, version, restore, answer } = placing;
        let target = NodeId::of_key(&key);
        let copy = self.records.get(&key, now).filter(|_| self.records.still_current(&key, version));
        let Some(copy) = copy else {
            // A `set` or a foreign value came in between, and has a placement of its own.
            if let Some(answer) = answer {
                let _ = answer.send(Ok(SetOutcome {
                    asked: 0,
                    stored: 0,
                    refused: 0,
                    silent: 0,
                    expires_in: Duration::ZERO,
                    superseded: true,
                }));
            }
            return;
        };
        if restore && !self.among_nearest(&target, &found.closest) {
            return;
        }
        let mixed = self.config.mixed_placement && found.legacy;
        // A holder that restores is one of the k itself: one more would be a copy that no publication reaches.
        let others = if restore { self.config.k - 1 } else { self.config.k };
        let mut targets = placement::targets(&target, others, &found.closest, &found.own_table, mixed);
        if found.closest.is_empty() {
            // Nobody answered the lookup; whoever is in the table is worth the try.
            targets = placement::targets(&target, others, &[], &found.own_table, true);
        }
        self.links.publish.do_send(LaunchPublish {
            key,
            value: copy.value,
            version,
            ttl: restore.then(|| seconds(copy.ttl_left)),
            expires_at: copy.expires_at,
            targets,
            answer,
        });
    }
}
