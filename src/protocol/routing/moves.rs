//! Moves: ids that are used from another address than the known one. It decides when the known address is pinged, when the id
//! moves, and when it moves back. Missed pings are counted in `claims.rs`; departed peers are remembered in `departed.rs`.

use std::net::SocketAddr;
use std::time::Instant;

use super::RoutingTable;
use super::bucket::{Entry, Place};
use super::claims::Step;
use super::outcome::Insertion;
use crate::protocol::peer::Peer;

/// Rounds: checks without an event.
impl RoutingTable {
    /// The peers to ping in this round, about once a minute: one that fell silent some time ago, those whose id moved to another
    /// address, entries whose check because of a claim waits or is stuck, and of each bucket the entry whose last silence, or
    /// turn, is the oldest: otherwise an entry that has been silent once or twice, and most likely is dead, is named to others until this node
    /// happens to query it again, and their lookups wait for it.
    pub fn checks_due(&mut self, now: Instant) -> Vec<Peer> {
        let mut due = self.departed.round(now);
        for bucket in &mut self.buckets {
            for entry in bucket.live.iter_mut().chain(&mut bucket.waiting) {
                let step = entry.claim.as_mut().map(|claim| claim.begin(self.query_timeout, now));
                due.extend((step == Some(Step::AskKnown)).then_some(entry.peer));
            }
            let silent = bucket.live.iter_mut().filter_map(|entry| Some((entry.streak.as_mut()?, entry.peer)));
            if let Some((streak, peer)) = silent.min_by_key(|(streak, _)| streak.waits_since()) {
                streak.choose(now);
                due.extend(Some(peer).filter(|peer| !due.contains(peer)));
            }
        }
        due
    }
}

impl RoutingTable {
    /// Returns whether the id of the entry at `place` may move to another address that answers under it.
    pub(super) fn may_move(&self, at: usize, place: Place, now: Instant) -> bool {
        self.buckets[at].entry(place).claim.as_ref().is_some_and(|claim| claim.is_gone(now))
    }

    /// The id of the entry at `place` is used from `addr`, `proved` by an answer or only claimed: the peer to ping, if any.
    pub(super) fn claimed(
        &mut self,
        at: usize,
        place: Place,
        (addr, proved): (SocketAddr, bool),
        now: Instant,
    ) -> Option<Peer> {
        let timeout = self.query_timeout;
        let entry = self.buckets[at].entry_mut(place);
        let step = entry.claim.get_or_insert_default().note(addr, proved, timeout, now);
        (step == Step::AskKnown).then_some(entry.peer)
    }

    /// The entry at `place` was silent. Returns whether a check of its id is under way, during which the entry stays.
    pub(super) fn missed(&mut self, at: usize, place: Place, now: Instant) -> bool {
        let timeout = self.query_timeout;
        let entry = self.buckets[at].entry_mut(place);
        let known = entry.peer;
        let Some(claim) = entry.claim.as_mut().filter(|claim| claim.is_checking()) else { return false };
        match claim.missed(timeout, now) {
            Step::Wait => {}
            Step::AskKnown => self.outcome.ping.push(known),
            Step::AskClaimants => {
                let claimants = claim.take_claimants().into_iter().map(|addr| Peer { addr, ..known });
                self.outcome.ping.extend(claimants.chain([known]));
            }
        }
        true
    }

    /// A known id answered from another address than the known one.
    pub(super) fn relocate(&mut self, at: usize, place: Place, entry: Entry) -> Insertion {
        let (known, now) = (self.buckets[at].entry(place).peer, entry.answered);
        let restored = self.departed.is_displaced(&entry.peer, now);
        if !restored && !self.may_move(at, place, now) {
            self.counters.contested += 1;
            let check = self.claimed(at, place, (entry.peer.addr, true), now);
            self.outcome.ping.extend(check);
            return Insertion::Contested;
        }
        let insertion = match place {
            Place::Live(_) => {
                if let Some(refusal) = self.refuses(at, &entry.peer.addr, Some(&known.addr)) {
                    self.counters.refused_by_subnet += 1;
                    return Insertion::Refused(refusal);
                }
                self.take(at, place);
                self.admit(at, entry);
                Insertion::Moved { from: known.addr }
            }
            Place::Waiting(_) => {
                self.take(at, place);
                self.insert(entry)
            }
        };
        if matches!(insertion, Insertion::Refused(_)) {
            return insertion;
        }
        if restored {
            self.counters.restored += 1;
        } else {
            self.counters.moved += 1;
            self.departed.displaced(known, now, now);
        }
        insertion
    }
}
