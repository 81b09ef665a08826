//! With which peers this node is to reconcile, about which places, and when. It runs no exchange itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kademlia_dynamic::protocol::entropy::Entropy;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::prefix::Prefix;
use kademlia_dynamic::protocol::reconcile::{Ending, Outcome, Schedule};
use kademlia_dynamic::protocol::seconds;
use kademlia_dynamic::protocol::transfer::{Neighbour, Neighbours};
use serde::Serialize;

/// How far a node is with comparing what it holds with its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct UpkeepSnapshot {
    /// The peers with which this node should hold values, and which reconcile.
    pub partners: usize,
    /// Those of them that it has not been compared with since they were found or came back.
    pub not_compared: usize,
    /// Exchanges that run.
    pub exchanges_running: usize,
    /// Copies that wait to be brought to peers.
    pub copies_queued: usize,
    /// How long it takes until each partner has been compared with once more.
    #[serde(serialize_with = "seconds::serialize")]
    pub round_ends_in: Option<Duration>,
}

/// The partners of a node.
pub(super) struct Upkeep {
    schedule: Schedule,
    partners: BTreeMap<NodeId, (Neighbour, Vec<Prefix>)>,
    /// What the last exchange with a partner has left to the next one.
    unfinished: BTreeMap<NodeId, Vec<Prefix>>,
    entropy: Box<dyn Entropy>,
}

impl Upkeep {
    /// No partners. An exchange with each is due once in an `interval`.
    pub(super) fn new(interval: Duration, entropy: Box<dyn Entropy>) -> Self {
        Self { schedule: Schedule::new(interval), partners: BTreeMap::new(), unfinished: BTreeMap::new(), entropy }
    }

    /// These are the peers that this node knows now, and that answer, and what it should hold with each of them.
    pub(super) fn update(&mut self, neighbours: &Neighbours, shared: Vec<Vec<Prefix>>, now: Instant) {
        let partners = neighbours.known().iter().zip(shared);
        let partners = partners.filter(|(other, shared)| other.reconciles() && !shared.is_empty());
        self.partners = partners.map(|(other, shared)| (other.peer.id, (*other, shared))).collect();
        self.unfinished.retain(|id, _| self.partners.contains_key(id));
        self.schedule.update(self.partners.keys().copied(), now, &mut *self.entropy);
    }

    /// This peer is new, or has come back.
    pub(super) fn entered(&mut self, id: &NodeId, now: Instant) {
        self.schedule.entered(id, now, &mut *self.entropy);
    }

    /// The exchange that is to begin now, with whom and about which places; it ends in [`Upkeep::ended`].
    pub(super) fn next(&mut self, now: Instant) -> Option<(Neighbour, Vec<Prefix>)> {
        while let Some(id) = self.schedule.next(now) {
            let unfinished = self.unfinished.remove(&id);
            if let Some((partner, shared)) = self.partners.get(&id) {
                return Some((*partner, unfinished.unwrap_or_else(|| shared.clone())));
            }
            self.schedule.ended(&id, Ending::Failed, now, &mut *self.entropy);
        }
        None
    }

    /// An exchange with `id` has ended.
    pub(super) fn ended(&mut self, id: &NodeId, outcome: &mut Outcome, now: Instant) {
        if !outcome.rest.is_empty() && self.partners.contains_key(id) {
            self.unfinished.insert(*id, std::mem::take(&mut outcome.rest));
        }
        self.schedule.ended(id, outcome.ending(), now, &mut *self.entropy);
    }

    /// `id` has begun an exchange.
    pub(super) fn was_begun(&mut self, id: &NodeId, now: Instant) {
        self.schedule.was_begun(id, now, &mut *self.entropy);
    }

    /// How far it is.
    pub(super) fn snapshot(&self, copies_queued: usize, now: Instant) -> UpkeepSnapshot {
        let (partners, not_compared, exchanges_running) = self.schedule.counts();
        let round_ends_in = self.schedule.last_due().map(|at| at.saturating_duration_since(now));
        UpkeepSnapshot { partners, not_compared, exchanges_running, copies_queued, round_ends_in }
    }
}
