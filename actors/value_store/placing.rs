//! What is placed once the places are found: still the same value, the latest that was published, and by whom it may be.

use std::sync::Arc;
use std::time::Instant;

use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::placement;

use super::super::handling::Handler;
use super::super::messages::{LaunchCompare, LaunchPublish, LookupResult, PlacesFound, Placing};
use super::super::outcome::SetOutcome;
use super::actor::ValueStore;

impl ValueStore {
    /// Whether this node is among the k nearest to `key`, given the nearest others.
    fn among_nearest(&self, key: &NodeId, closest: &[Peer]) -> bool {
        closest.get(self.config.k - 1).is_none_or(|last| self.own.distance(key) < last.id.distance(key))
    }

    /// Has what is republished or restored compared first: whoever has published since, its value is the one to go on with. What
    /// an application sets is the latest.
    pub(super) fn compare_or_place(&mut self, placing: Placing, found: Arc<LookupResult>, now: Instant) {
        let to_compare = self.records.to_compare(&placing.key, placing.version, now);
        match to_compare.filter(|_| placing.answer.is_none() && !found.of_ours.is_empty()) {
            Some(copy) => self.lookups.compare(LaunchCompare { placing, found, copy }),
            None => self.place(placing, &found, now),
        }
    }

    /// The placement of what `placing` wants, or the reason to leave it.
    pub(super) fn place(&mut self, placing: Placing, found: &LookupResult, now: Instant) {
        let Placing { key, version, restore, answer } = placing;
        let target = NodeId::of_key(&key);
        if !restore && self.records.still_current(&key, version) && self.records.has_lapsed(&key, now) {
            // Where nobody answers it is as ended as it was.
            if found.closest.is_empty() && answer.is_none() {
                return self.records.retry_soon(&key, version, now, &mut *self.entropy);
            }
            self.records.resume(&key, now);
        }
        let copy = self.records.get(&key, now).filter(|_| self.records.still_current(&key, version));
        let Some(copy) = copy else {
            // A `set` or a foreign value came in between, and has a placement of its own.
            if let Some(answer) = answer {
                let _ = answer.send(Ok(SetOutcome {
                    asked: 0,
                    stored: 0,
                    refused: 0,
                    silent: 0,
                    expires_in: None,
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
        self.lookups.publish(LaunchPublish {
            key,
            version,
            ttl: restore.then(|| copy.ttl_seconds()),
            expires_at: copy.expires_at,
            published_at: copy.age.and_then(|age| now.checked_sub(age)),
            value: copy.value,
            targets,
            answer,
        });
    }
}

impl Handler<PlacesFound> for ValueStore {
    type Result = ();

    fn handle(&mut self, places: PlacesFound, _: &mut Self::Context) {
        let PlacesFound { placing, found } = places;
        let now = self.now();
        self.compare_or_place(placing, found, now);
    }
}
