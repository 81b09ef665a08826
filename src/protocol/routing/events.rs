//! The table's events and their changes: a peer answered, sent a query, was silent, or was replaced. Getters are in `mod.rs`, ids
//! that change their address in `moves.rs`; `liveness` decides whether a silence is to be blamed on the peer.

use std::net::SocketAddr;
use std::time::Instant;

use super::bucket::{Bucket, Entry, Place};
use super::outcome::{Change, Insertion, Outcome, Sighting, TableRefusal};
use super::{FAILURES_BEFORE_REPLACEMENT, MAX_BUCKETS, RoutingTable};
use crate::protocol::liveness::{LossRate, Outages};
use crate::protocol::peer::{AddressScope, Peer};
use crate::protocol::prefix::Prefix;

/// Events: each returns the caller's next steps.
impl RoutingTable {
    /// A peer answered a query of ours, from the address queried, with its own id; `version` is that in its answer (`None`: a
    /// legacy node). No other event inserts or refreshes.
    ///
    /// It also proves that the network answers, and that any other id at this address is gone.
    pub fn peer_answered(&mut self, peer: Peer, version: Option<u32>, now: Instant) -> (Insertion, Outcome) {
        let insertion = self.answered(peer, version, now);
        (insertion, std::mem::take(&mut self.outcome))
    }

    /// A peer sent us a query, which any host can do under any id and address. Nothing is inserted or refreshed. Newcomers to be
    /// pinged are limited to k in flight per bucket (for a query timeout each), to one where the bucket is full, and to one per
    /// address: however many strangers send queries, no more is sent.
    pub fn peer_asked(&mut self, peer: Peer, now: Instant) -> Sighting {
        if peer.id == self.own {
            return Sighting::Ignored;
        }
        let at = self.index(&peer.id);
        if let Some(place) = self.buckets[at].find(&peer.id) {
            let entry = self.buckets[at].entry(place);
            if entry.peer.addr == peer.addr {
                return Sighting::Known;
            }
            if self.departed.is_displaced(&peer, now) {
                let turn = self.departed.take_turn(&peer, self.query_timeout, now);
                return if turn { Sighting::Verify(peer) } else { Sighting::Ignored };
            }
            if !self.may_move(at, place, now) {
                let check = self.claimed(at, place, (peer.addr, false), now);
                return check.map_or(Sighting::Ignored, Sighting::Verify);
            }
        }
        // Where the address is known under another id, its answer will make room, so the limits do not apply yet.
        let refused = self.refuses(at, &peer.addr, None).is_some() && self.id_at(&peer.addr).is_none();
        let full = self.buckets[at].live.len() >= self.k && !self.may_split(at);
        let limit = if full { 1 } else { self.k };
        if refused || !self.buckets[at].invite(peer.addr, limit, self.query_timeout, now) {
            self.counters.newcomers_ignored += 1;
            return Sighting::Ignored;
        }
        Sighting::Verify(peer)
    }

    /// A query to `peer` timed out. Only the peer known by this id at this address is blamed. Several silences within one
    /// query timeout count once, since their queries were in flight together.
    pub fn peer_silent(&mut self, peer: &Peer, now: Instant) -> Outcome {
        if let Some((at, place)) = self.find(peer) {
            self.silent(at, place, now);
        }
        std::mem::take(&mut self.outcome)
    }

    /// The address of `peer` answered with another id: this one is gone from there, at once. An entry of this id at another
    /// address stays.
    pub fn peer_replaced(&mut self, peer: &Peer) -> Outcome {
        self.replace(peer);
        std::mem::take(&mut self.outcome)
    }

    /// Removes all entries and replacements, since the table's state may be wrong; departed peers are remembered.
    pub fn forget_all(&mut self, now: Instant) -> Outcome {
        // Changes that a panic kept from being reported come first.
        let mut outcome = std::mem::take(&mut self.outcome);
        outcome.changes.extend(self.entries().map(|entry| Change::Left(entry.peer)));
        self.buckets = vec![Bucket::new(Prefix::ALL, now)];
        self.addresses.clear();
        self.diversity.clear();
        self.outages = Outages::new(self.query_timeout);
        self.losses = LossRate::default();
        (self.len, self.legacy) = (0, 0);
        outcome
    }
}

/// The changes behind the events. Each of these maintains `addresses`, the diversity counts, `len` and `legacy`; `admit` and `take`,
/// through which each entry enters and leaves, report it in `outcome`.
impl RoutingTable {
    fn answered(&mut self, peer: Peer, version: Option<u32>, now: Instant) -> Insertion {
        if peer.id == self.own {
            return Insertion::Refused(TableRefusal::Own);
        }
        self.outages.answered(AddressScope::of(&peer.addr.ip()), now);
        if self.find(&peer).is_none()
            && let Some(id) = self.id_at(&peer.addr)
        {
            self.replace(&Peer { id, ..peer });
        }
        let entry = Entry::new(peer, version, now);
        let at = self.index(&peer.id);
        // Its ping has ended, so the next newcomer may have its place.
        self.buckets[at].arrived(peer.addr);
        let insertion = match self.buckets[at].find(&peer.id) {
            None => {
                let displaced = self.departed.entered_elsewhere(&peer, now);
                self.outcome.ping.extend(displaced);
                self.insert(entry)
            }
            Some(place) if self.buckets[at].entry(place).peer.addr == peer.addr => {
                // The queries that it left unanswered before were lost. Those of an outage weigh little soon.
                self.losses.answered(self.buckets[at].entry(place).failures());
                self.refresh(at, place, entry)
            }
            Some(place) => self.relocate(at, place, entry),
        };
        self.departed.answered(&peer);
        insertion
    }

    fn silent(&mut self, at: usize, place: Place, now: Instant) {
        let peer = self.buckets[at].entry(place).peer;
        let scope = AddressScope::of(&peer.addr.ip());
        self.outages.silent(scope, now);
        let counted = self.buckets[at].entry_mut(place).count_silence(now, self.query_timeout);
        if self.missed(at, place, now) {
            return;
        }
        let Some(streak) = counted.filter(|streak| self.outages.blames(scope, streak.since, now)) else { return };
        let patience = self.losses.patience();
        // Fewer silences suffice where a replacement waits.
        let yields = streak.count >= FAILURES_BEFORE_REPLACEMENT.min(self.max_failures).max(patience);
        let gone = streak.count >= self.max_failures.max(patience);
        match place {
            Place::Live(_) if gone || yields && self.candidate(at, Some(&peer)).is_some() => {
                self.remove(at, place);
                self.departed.left(peer, now);
            }
            Place::Waiting(_) if yields => self.remove(at, place),
            Place::Live(_) | Place::Waiting(_) => {}
        }
    }

    fn replace(&mut self, peer: &Peer) {
        if let Some((at, place)) = self.find(peer) {
            self.remove(at, place);
        }
    }

    pub(super) fn insert(&mut self, entry: Entry) -> Insertion {
        loop {
            let at = self.index(&entry.peer.id);
            let full = self.buckets[at].live.len() >= self.k;
            if full && self.split(at) {
                continue;
            }
            if let Some(refusal) = self.refuses(at, &entry.peer.addr, None) {
                self.counters.refused_by_subnet += 1;
                return Insertion::Refused(refusal);
            }
            if !full {
                self.admit(at, entry);
                return Insertion::Added;
            }
            return self.wait(at, entry);
        }
    }

    /// A known peer answered where it was known.
    fn refresh(&mut self, at: usize, place: Place, mut entry: Entry) -> Insertion {
        let claim = self.buckets[at].entry_mut(place).claim.take();
        entry.claim = claim.map(|claim| Box::new(claim.refuted()));
        match place {
            Place::Live(pos) => {
                let bucket = &mut self.buckets[at];
                let before = bucket.live.remove(pos);
                self.legacy = self.legacy + usize::from(entry.is_legacy()) - usize::from(before.is_legacy());
                bucket.insert_live(entry);
                Insertion::Refreshed
            }
            Place::Waiting(_) => {
                self.take(at, place);
                self.insert(entry)
            }
        }
    }

    /// Puts a peer whose bucket is full into the replacement cache. The peer that answered longest ago makes room: of the same
    /// subnet where that has its share of the cache, otherwise of all.
    fn wait(&mut self, at: usize, entry: Entry) -> Insertion {
        let subnet = self.diversity.subnet(&entry.peer.addr);
        let kin = |other: &Entry| subnet.is_some() && self.diversity.subnet(&other.peer.addr) == subnet;
        let waiting = &self.buckets[at].waiting;
        let oldest = if waiting.iter().filter(|other| kin(other)).count() >= self.diversity.per_cache() {
            waiting.iter().position(kin)
        } else {
            (waiting.len() >= self.k).then_some(0)
        };
        if let Some(oldest) = oldest {
            self.remove(at, Place::Waiting(oldest));
        }
        let (peer, now) = (entry.peer, entry.answered);
        self.addresses.insert(&peer.addr, self.own.common_prefix(&peer.id));
        let bucket = &mut self.buckets[at];
        bucket.push_waiting(entry);
        let oldest = bucket.live.first().map(Entry::peer);
        self.outcome.ping.extend(oldest.filter(|_| bucket.take_check(now)));
        Insertion::Waiting
    }

    /// Removes an entry, and promotes a replacement for it; or removes a replacement. No other function promotes, so a bucket cannot
    /// grow by it.
    fn remove(&mut self, at: usize, place: Place) {
        let entry = self.take(at, place);
        // The claimants of its id may have it now.
        self.outcome.ping.extend(entry.claimants());
        let Place::Live(_) = place else { return self.counters.replacements_dropped += 1 };
        self.counters.evicted += 1;
        if let Some(pos) = self.candidate(at, None) {
            let entry = self.take(at, Place::Waiting(pos));
            self.admit(at, entry);
        }
    }

    /// The replacement that may enter once `leaving` has left: the one that answered last, of those that have not failed since.
    fn candidate(&self, at: usize, leaving: Option<&Peer>) -> Option<usize> {
        let leaving = leaving.map(|peer| &peer.addr);
        self.buckets[at]
            .waiting
            .iter()
            .rposition(|entry| entry.streak.is_none() && self.refuses(at, &entry.peer.addr, leaving).is_none())
    }

    pub(super) fn admit(&mut self, at: usize, entry: Entry) {
        self.addresses.insert(&entry.peer.addr, self.own.common_prefix(&entry.peer.id));
        self.diversity.add(&entry.peer.addr);
        self.len += 1;
        self.legacy += usize::from(entry.is_legacy());
        self.outcome.changes.push(Change::Entered(entry.peer));
        self.buckets[at].insert_live(entry);
    }

    /// Takes an entry or a replacement out of its bucket.
    pub(super) fn take(&mut self, at: usize, place: Place) -> Entry {
        let bucket = &mut self.buckets[at];
        let entry = match place {
            Place::Live(pos) => bucket.live.remove(pos),
            Place::Waiting(pos) => bucket.waiting.remove(pos),
        };
        self.addresses.remove(&entry.peer.addr, self.own.common_prefix(&entry.peer.id));
        if let Place::Live(_) = place {
            self.diversity.remove(&entry.peer.addr);
            self.len -= 1;
            self.legacy -= usize::from(entry.is_legacy());
            self.outcome.changes.push(Change::Left(entry.peer));
        }
        entry
    }

    fn may_split(&self, at: usize) -> bool {
        at + 1 == self.buckets.len() && self.buckets.len() < MAX_BUCKETS
    }

    /// Splits bucket `at` if it is the one that covers our own id and may split. Returns whether it did.
    fn split(&mut self, at: usize) -> bool {
        if !self.may_split(at) {
            return false;
        }
        let Some((far, near)) = self.buckets[at].split(&self.own) else { return false };
        self.buckets[at] = far;
        self.buckets.push(near);
        true
    }

    /// The place of `peer`, if it is known by this id at this address.
    fn find(&self, peer: &Peer) -> Option<(usize, Place)> {
        let at = self.index(&peer.id);
        let place = self.buckets[at].find(&peer.id)?;
        (self.buckets[at].entry(place).peer.addr == peer.addr).then_some((at, place))
    }

    pub(super) fn refuses(&self, at: usize, addr: &SocketAddr, leaving: Option<&SocketAddr>) -> Option<TableRefusal> {
        self.diversity.refuses(addr, self.buckets[at].live.iter().map(|entry| &entry.peer.addr), leaving)
    }
}
