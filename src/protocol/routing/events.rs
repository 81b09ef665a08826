//! The table's events (a peer answered, asked, was silent, was replaced) and what they change. Reading the table is
//! `mod.rs`; when a silence is to be blamed on the peer is `reach.rs`.

use std::net::SocketAddr;
use std::time::Instant;

use super::bucket::{Entry, Place};
use super::outcome::{Evicted, Insertion, Refusal, Sighting};
use super::{FAILURES_BEFORE_REPLACEMENT, MAX_BUCKETS, RoutingTable, TRUSTED_FOR};
use crate::protocol::peer::{AddressScope, Peer};

/// Events: each says what is to be done next.
impl RoutingTable {
    /// A peer answered a query of ours, from the address asked, with its own id; `version` is what its answer said
    /// (`None`: a legacy node). Nothing else inserts or refreshes.
    ///
    /// It is also what proves that the network answers, and that any other id at this address is gone.
    pub fn peer_answered(&mut self, peer: Peer, version: Option<u32>, now: Instant) -> Insertion {
        if peer.id == self.own {
            return Insertion::Refused(Refusal::Own);
        }
        self.reach.answered(AddressScope::of(&peer.addr.ip()), now);
        if let Some(id) = self.ids.get(&peer.addr).copied().filter(|id| *id != peer.id) {
            self.peer_replaced(&Peer { id, ..peer });
        }
        let entry = Entry::new(peer, version, now);
        let at = self.index(&peer.id);
        // Its ping is over, so the next newcomer may have its place.
        self.buckets[at].arrived(peer.addr);
        match self.buckets[at].find(&peer.id) {
            None => self.insert(entry),
            Some(place) if self.buckets[at].entry(place).peer.addr == peer.addr => {
                // Whatever it left unanswered before was lost, be it in an outage: that is soon forgotten.
                self.losses.answered(self.buckets[at].entry(place).failures());
                self.refresh(at, place, entry)
            }
            Some(place) => self.relocate(at, place, entry),
        }
    }

    /// A peer only asked us something, which anybody can do under any id and address. Nothing is inserted or
    /// refreshed. Newcomers to be pinged are limited to k in flight per bucket (for a query timeout each), to one where
    /// the bucket is full, and to one per address: however many strangers ask, no more is sent.
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
            if entry.failures() < self.yields_after() {
                return self.doubt(at, place, now).map_or(Sighting::Ignored, Sighting::Verify);
            }
        }
        // Where the address is known under another id, its answer will make room, whatever the limits say now.
        let refused = !self.ids.contains_key(&peer.addr) && self.refuses(at, &peer.addr, None).is_some();
        let full = self.buckets[at].live.len() >= self.k && !self.may_split(at);
        let limit = if full { 1 } else { self.k };
        if refused || !self.buckets[at].invite(peer.addr, limit, self.query_timeout, now) {
            self.counters.newcomers_ignored += 1;
            return Sighting::Ignored;
        }
        Sighting::Verify(peer)
    }

    /// A query to `peer` timed out. Only the peer known by this id at this address is blamed. Several silences within
    /// one query timeout were in flight together and count once. Says who left the table, if anybody did.
    pub fn peer_silent(&mut self, peer: &Peer, now: Instant) -> Option<Evicted> {
        let (at, place) = self.find(peer)?;
        let scope = AddressScope::of(&peer.addr.ip());
        self.reach.silent(scope, now);
        let streak = self.buckets[at].entry_mut(place).count_silence(now, self.query_timeout)?;
        if !self.reach.blames(scope, streak.since, now) {
            return None;
        }
        let patience = self.losses.patience();
        let yields = streak.count >= self.yields_after().max(patience);
        match place {
            Place::Live(pos) if streak.count >= self.max_failures.max(patience) => Some(self.evict(at, pos)),
            Place::Live(pos) if yields && self.candidate(at, Some(peer)).is_some() => Some(self.evict(at, pos)),
            Place::Waiting(pos) if yields => {
                self.drop_waiting(at, pos);
                None
            }
            _ => None,
        }
    }

    /// The address of `peer` answered with another id: this one is gone from there, at once. Says who left the table,
    /// if anybody did. An entry of that id at another address is not concerned.
    pub fn peer_replaced(&mut self, peer: &Peer) -> Option<Evicted> {
        match self.find(peer)? {
            (at, Place::Waiting(pos)) => {
                self.drop_waiting(at, pos);
                None
            }
            (at, Place::Live(pos)) => Some(self.evict(at, pos)),
        }
    }
}

/// What the events do. Each of these keeps `ids`, the diversity counts, `len` and `legacy` true.
impl RoutingTable {
    fn insert(&mut self, entry: Entry) -> Insertion {
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
    fn refresh(&mut self, at: usize, place: Place, entry: Entry) -> Insertion {
        match place {
            Place::Live(pos) => {
                let bucket = &mut self.buckets[at];
                let before = bucket.live.remove(pos);
                self.legacy = self.legacy + usize::from(entry.is_legacy()) - usize::from(before.is_legacy());
                bucket.insert_live(entry);
                Insertion::Refreshed
            }
            Place::Waiting(pos) => {
                self.take_waiting(at, pos);
                self.insert(entry)
            }
        }
    }

    /// A known id answered from an address where it was not known.
    fn relocate(&mut self, at: usize, place: Place, entry: Entry) -> Insertion {
        let known = self.buckets[at].entry(place);
        let from = known.peer.addr;
        if known.failures() < self.yields_after() {
            self.counters.contested += 1;
            return Insertion::Contested { check: self.doubt(at, place, entry.answered) };
        }
        match place {
            Place::Live(pos) => {
                if let Some(refusal) = self.refuses(at, &entry.peer.addr, Some(&from)) {
                    self.counters.refused_by_subnet += 1;
                    return Insertion::Refused(refusal);
                }
                self.dismiss(at, pos);
                self.admit(at, entry);
                Insertion::Moved { from }
            }
            Place::Waiting(pos) => {
                self.take_waiting(at, pos);
                self.insert(entry)
            }
        }
    }

    /// The id of a peer that counts as alive was claimed from elsewhere: the peer to check, if it is time to doubt it.
    fn doubt(&mut self, at: usize, place: Place, now: Instant) -> Option<Peer> {
        let bucket = &mut self.buckets[at];
        let known = bucket.entry(place);
        let (peer, failing, silent_for) =
            (known.peer, known.failures() > 0, now.saturating_duration_since(known.answered));
        ((failing || silent_for >= TRUSTED_FOR) && bucket.take_check(now)).then_some(peer)
    }

    /// Puts a peer whose bucket is full into the replacement cache. The one that answered longest ago makes room: of
    /// its own subnet where that has its share of the cache, otherwise of all.
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
            self.drop_waiting(at, oldest);
        }
        let (peer, now) = (entry.peer, entry.answered);
        self.ids.insert(peer.addr, peer.id);
        let bucket = &mut self.buckets[at];
        bucket.waiting.push(entry);
        let oldest = bucket.live.first().map(Entry::peer);
        Insertion::Waiting { check: oldest.filter(|_| bucket.take_check(now)) }
    }

    fn drop_waiting(&mut self, at: usize, pos: usize) {
        self.take_waiting(at, pos);
        self.counters.replacements_dropped += 1;
    }

    fn take_waiting(&mut self, at: usize, pos: usize) -> Entry {
        let entry = self.buckets[at].waiting.remove(pos);
        self.ids.remove(&entry.peer.addr);
        entry
    }

    /// The entry leaves, and a replacement comes in for it. This is the only way that an entry is lost, and the only
    /// one that promotes, so a bucket cannot grow by it.
    fn evict(&mut self, at: usize, pos: usize) -> Evicted {
        let peer = self.dismiss(at, pos).peer;
        self.counters.evicted += 1;
        let promoted = self.candidate(at, None).map(|pos| {
            let entry = self.take_waiting(at, pos);
            let peer = entry.peer;
            self.admit(at, entry);
            peer
        });
        Evicted { peer, promoted }
    }

    /// The replacement that may come in once `leaving` has left: the one that answered last, if it has not failed since.
    fn candidate(&self, at: usize, leaving: Option<&Peer>) -> Option<usize> {
        let leaving = leaving.map(|peer| &peer.addr);
        self.buckets[at]
            .waiting
            .iter()
            .rposition(|entry| entry.streak.is_none() && self.refuses(at, &entry.peer.addr, leaving).is_none())
    }

    fn admit(&mut self, at: usize, entry: Entry) {
        self.ids.insert(entry.peer.addr, entry.peer.id);
        self.diversity.add(&entry.peer.addr);
        self.len += 1;
        self.legacy += usize::from(entry.is_legacy());
        self.buckets[at].insert_live(entry);
    }

    fn dismiss(&mut self, at: usize, pos: usize) -> Entry {
        let entry = self.buckets[at].live.remove(pos);
        self.ids.remove(&entry.peer.addr);
        self.diversity.remove(&entry.peer.addr);
        self.len -= 1;
        self.legacy -= usize::from(entry.is_legacy());
        entry
    }

    fn may_split(&self, at: usize) -> bool {
        at + 1 == self.buckets.len() && self.buckets.len() < MAX_BUCKETS
    }

    /// Splits bucket `at` if it is the one that covers our own id and may split, and says whether it did.
    fn split(&mut self, at: usize) -> bool {
        if !self.may_split(at) {
            return false;
        }
        let Some((far, near)) = self.buckets[at].split(&self.own) else { return false };
        self.buckets[at] = far;
        self.buckets.push(near);
        true
    }

    /// Where `peer` is, if it is known by this id at this address.
    fn find(&self, peer: &Peer) -> Option<(usize, Place)> {
        let at = self.index(&peer.id);
        let place = self.buckets[at].find(&peer.id)?;
        (self.buckets[at].entry(place).peer.addr == peer.addr).then_some((at, place))
    }

    /// Silences in a row that suffice where somebody else wants the place.
    fn yields_after(&self) -> u32 {
        FAILURES_BEFORE_REPLACEMENT.min(self.max_failures)
    }

    fn refuses(&self, at: usize, addr: &SocketAddr, leaving: Option<&SocketAddr>) -> Option<Refusal> {
        self.diversity.refuses(addr, self.buckets[at].live.iter().map(|entry| &entry.peer.addr), leaving)
    }
}
