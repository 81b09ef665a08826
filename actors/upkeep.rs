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
    /// What the last exchange with a partner has left to the next one: none where that is to begin anew.
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
        let partners = partners.map(|(other, shared)| (other.peer.id, (*other, shared))).collect();
        let before = std::mem::replace(&mut self.partners, partners);
        // About other places an exchange begins anew.
        let same =
            |id: &NodeId| before.get(id).zip(self.partners.get(id)).is_some_and(|(before, now)| before.1 == now.1);
        self.unfinished.retain(|id, _| same(id));
        self.schedule.update(self.partners.keys().copied(), now, &mut *self.entropy);
    }

    /// This peer is new, or has come back.
    pub(super) fn entered(&mut self, id: &NodeId, now: Instant) {
        if self.partners.contains_key(id) {
            // The next exchange begins anew, also after one that runs now.
            self.unfinished.insert(*id, Vec::new());
        }
        self.schedule.entered(id, now, &mut *self.entropy);
    }

    /// The exchange that is to begin now, with whom and about which places; it ends in [`Upkeep::ended`].
    pub(super) fn next(&mut self, now: Instant) -> Option<(Neighbour, Vec<Prefix>)> {
        while let Some(id) = self.schedule.next(now) {
            let unfinished = self.unfinished.remove(&id).filter(|rest| !rest.is_empty());
            if let Some((partner, shared)) = self.partners.get(&id) {
                return Some((*partner, unfinished.unwrap_or_else(|| shared.clone())));
            }
            self.schedule.ended(&id, Ending::Failed, now, &mut *self.entropy);
        }
        None
    }

    /// An exchange with `id` has ended.
    pub(super) fn ended(&mut self, id: &NodeId, outcome: &mut Outcome, now: Instant) {
        let rest = std::mem::take(&mut outcome.rest);
        if self.unfinished.remove(id).is_none() && !rest.is_empty() && self.partners.contains_key(id) {
            self.unfinished.insert(*id, rest);
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use kademlia_dynamic::protocol::entropy::SeededEntropy;
    use kademlia_dynamic::protocol::peer::Peer;

    use super::*;

    #[test]
    fn an_exchange_goes_on_with_what_the_last_one_left_unless_the_peer_or_the_places_have_changed() {
        let (hour, start) = (Duration::from_secs(3_600), Instant::now());
        let id = NodeId::of_key("partner");
        let peer = Peer::new(id, SocketAddr::from(([192, 0, 2, 1], 1)));
        let neighbours = Neighbours::new(NodeId::ZERO, vec![Neighbour { peer, version: Some(3) }]);
        let halves = Prefix::ALL.split().map(|(zero, one)| [zero, one]).unwrap();
        let left = |rest: &[Prefix]| Outcome { rest: rest.to_vec(), ..Outcome::default() };
        let mut upkeep = Upkeep::new(hour, Box::new(SeededEntropy::new(1)));
        upkeep.update(&neighbours, vec![halves.to_vec()], start);
        let mut now = start;
        let mut next = |upkeep: &mut Upkeep| {
            now += 2 * hour;
            let (_, places) = upkeep.next(now).expect("it is due");
            (places, now)
        };
        assert_eq!(next(&mut upkeep).0, halves);
        let (places, _) = {
            upkeep.ended(&id, &mut left(&halves[1..]), start);
            next(&mut upkeep)
        };
        assert_eq!(places, halves[1..]);
        // It comes back meanwhile, and then after it.
        upkeep.entered(&id, start);
        upkeep.ended(&id, &mut left(&halves[1..]), start);
        assert_eq!(next(&mut upkeep).0, halves);
        upkeep.ended(&id, &mut left(&halves[1..]), start);
        upkeep.entered(&id, start);
        assert_eq!(next(&mut upkeep).0, halves);
        upkeep.ended(&id, &mut left(&halves[1..]), start);
        upkeep.update(&neighbours, vec![vec![Prefix::ALL]], start);
        assert_eq!(next(&mut upkeep).0, [Prefix::ALL]);
    }
}
