//! A naive model of the table: one list of all known peers and a log of all events, both searched from end to end, and the
//! comparison of the two.

use crate::protocol::routing::claims::{CLAIM_INTERVAL, GONE_FOR, MAX_CLAIMANTS, MISSED_FOR, MISSED_QUERIES};
use crate::protocol::routing::outcome::TableRefusal;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::*;
use crate::protocol::config::AppliesTo;
use crate::protocol::peer::Subnet;

#[derive(Clone)]
pub(super) struct Known {
    pub(super) peer: Peer,
    pub(super) version: Option<u32>,
    /// The times of its failures in a row that count.
    pub(super) failed: Vec<Instant>,
    pub(super) live: bool,
    pub(super) claims: Claims,
}

/// Uses of an id from other addresses than the one where it is known.
#[derive(Clone, Default)]
pub(super) struct Claims {
    pub(super) by: Vec<SocketAddr>,
    /// The beginning of a check, and the times of its missed queries.
    pub(super) check: Option<(Instant, Vec<Instant>)>,
    pub(super) last_asked: Option<Instant>,
    pub(super) gone: Option<Instant>,
}

/// A peer that fell silent: the time at which it left, and whether its id moved to another address.
#[derive(Clone)]
pub(super) struct Away {
    pub(super) peer: Peer,
    pub(super) since: Instant,
    pub(super) displaced: bool,
}

pub(super) enum Event {
    Answer,
    Silence,
}

/// A peer of the table, as it is reported.
pub(super) type Peered = (NodeId, SocketAddr);

pub(super) struct Model {
    pub(super) own: NodeId,
    pub(super) config: Config,
    /// The number of splits of the bucket around `own`.
    pub(super) splits: usize,
    /// The known peers, in the order of their last answers.
    pub(super) known: Vec<Known>,
    pub(super) log: Vec<(Instant, AddressScope, Event)>,
    /// The number of silences before each answer.
    pub(super) losses: Vec<u32>,
    pub(super) away: Vec<Away>,
}

impl Model {
    pub(super) fn bucket(&self, id: &NodeId) -> usize {
        (self.own.common_prefix(id) as usize).min(self.splits)
    }

    pub(super) fn members(&self, bucket: usize, live: bool) -> Vec<&Known> {
        self.known.iter().filter(|known| known.live == live && self.bucket(&known.peer.id) == bucket).collect()
    }

    pub(super) fn subnet(&self, peer: &Peer) -> Option<Subnet> {
        let covered = match self.config.table.diversity {
            AppliesTo::Always => true,
            AppliesTo::Off => false,
            AppliesTo::Global => AddressScope::of(&peer.addr.ip()) == AddressScope::Global,
        };
        covered.then(|| Subnet::of(&peer.addr.ip()))
    }

    pub(super) fn refusal(&self, peer: &Peer) -> Option<TableRefusal> {
        let subnet = self.subnet(peer)?;
        let bucket = self.bucket(&peer.id);
        let kin: Vec<_> =
            self.known.iter().filter(|known| known.live && self.subnet(&known.peer) == Some(subnet)).collect();
        if kin.iter().filter(|known| self.bucket(&known.peer.id) == bucket).count()
            >= self.config.table.max_per_subnet_bucket
        {
            return Some(TableRefusal::SubnetInBucket(subnet));
        }
        (kin.len() >= self.config.table.max_per_subnet_table).then_some(TableRefusal::SubnetInTable(subnet))
    }

    pub(super) fn forget(&mut self, peer: &Peer) -> Known {
        let at = self.known.iter().position(|known| known.peer == *peer).unwrap();
        self.known.remove(at)
    }

    pub(super) fn evict(&mut self, peer: &Peer) {
        self.forget(peer);
        let waiting = self.members(self.bucket(&peer.id), false);
        let fit = |known: &&&Known| known.failed.is_empty() && self.refusal(&known.peer).is_none();
        let promoted = waiting.iter().rev().find(fit).map(|known| known.peer);
        for known in &mut self.known {
            known.live |= Some(known.peer) == promoted;
        }
    }

    /// The id of `known[at]` was used from `addr`.
    pub(super) fn claimed(&mut self, at: usize, addr: SocketAddr, proved: bool, now: Instant) {
        let claims = &mut self.known[at].claims;
        if proved {
            claims.by.retain(|other| *other != addr);
            claims.by.insert(0, addr);
            claims.by.truncate(MAX_CLAIMANTS);
        } else if !claims.by.contains(&addr) && claims.by.len() < MAX_CLAIMANTS {
            claims.by.push(addr);
        }
        if claims.last_asked.is_none_or(|asked| now >= asked + CLAIM_INTERVAL) {
            (claims.last_asked, claims.check, claims.gone) = (Some(now), Some((now, Vec::new())), None);
        }
    }

    pub(super) fn may_move(&self, known: &Known, now: Instant) -> bool {
        known.claims.gone.is_some_and(|gone| now < gone + GONE_FOR)
    }

    pub(super) fn is_displaced(&self, peer: &Peer, now: Instant) -> bool {
        let mut away = self.away.iter().filter(|away| away.displaced && now < away.since + DISPLACED_FOR);
        away.any(|away| away.peer == *peer)
    }

    pub(super) fn displaced(&mut self, peer: Peer, since: Instant, now: Instant) {
        self.away.retain(|away| !away.displaced || now < away.since + DISPLACED_FOR);
        if !self.away.iter().any(|away| away.displaced && away.peer.id == peer.id) {
            self.away.push(Away { peer, since, displaced: true });
        }
    }

    pub(super) fn asked(&mut self, peer: Peer, now: Instant) {
        let known = self.known.iter().position(|known| known.peer.id == peer.id && known.peer.addr != peer.addr);
        if let Some(at) = known.filter(|at| !self.is_displaced(&peer, now) && !self.may_move(&self.known[*at], now)) {
            self.claimed(at, peer.addr, false, now);
        }
    }

    pub(super) fn threshold(&self) -> usize {
        self.config.table.max_failures.min(FAILURES_BEFORE_REPLACEMENT) as usize
    }

    pub(super) fn answered(&mut self, peer: Peer, version: Option<u32>, now: Instant) -> Insertion {
        if peer.id == self.own {
            return Insertion::Refused(TableRefusal::Own);
        }
        let insertion = self.insert(peer, version, now);
        self.away.retain(|away| away.peer.addr != peer.addr);
        insertion
    }

    pub(super) fn insert(&mut self, peer: Peer, version: Option<u32>, now: Instant) -> Insertion {
        self.log.push((now, AddressScope::of(&peer.addr.ip()), Event::Answer));
        let restarted = self.known.iter().find(|known| known.peer.addr == peer.addr && known.peer.id != peer.id);
        if let Some(known) = restarted {
            let (old, live) = (known.peer, known.live);
            if live {
                self.evict(&old);
            } else {
                self.forget(&old);
            }
        }
        let fresh = Known { peer, version, failed: Vec::new(), live: true, claims: Claims::default() };
        if let Some(at) = self.known.iter().position(|known| known.peer.id == peer.id) {
            let before = self.known[at].clone();
            let from = before.peer.addr;
            let restored = self.is_displaced(&peer, now);
            if from != peer.addr && !restored && !self.may_move(&before, now) {
                self.claimed(at, peer.addr, true, now);
                return Insertion::Contested;
            }
            let all = self.known.clone();
            self.forget(&before.peer);
            if from == peer.addr {
                self.losses.push(before.failed.len() as u32);
            }
            if before.live {
                if let Some(refusal) = self.refusal(&peer).filter(|_| from != peer.addr) {
                    self.known = all;
                    return Insertion::Refused(refusal);
                }
                if from == peer.addr {
                    let claims = Claims { last_asked: before.claims.last_asked, ..Claims::default() };
                    self.known.push(Known { claims, ..fresh });
                    return Insertion::Refreshed;
                }
                self.known.push(fresh);
                if !restored {
                    self.displaced(before.peer, now, now);
                }
                return Insertion::Moved { from };
            }
            let last_asked = before.claims.last_asked.filter(|_| from == peer.addr);
            let insertion = self.take_in(Known { claims: Claims { last_asked, ..Claims::default() }, ..fresh });
            if from != peer.addr && !restored && !matches!(insertion, Insertion::Refused(_)) {
                self.displaced(before.peer, now, now);
            }
            return insertion;
        }
        let elsewhere = |away: &Away| !away.displaced && away.peer.id == peer.id && away.peer.addr != peer.addr;
        if let Some(at) = self.away.iter().position(elsewhere) {
            let Away { peer, since, .. } = self.away.remove(at);
            if now < since + DISPLACED_FOR {
                self.displaced(peer, since, now);
            }
        }
        self.take_in(fresh)
    }

    pub(super) fn take_in(&mut self, fresh: Known) -> Insertion {
        let peer = fresh.peer;
        while self.members(self.bucket(&peer.id), true).len() >= self.config.lookup.k
            && self.bucket(&peer.id) == self.splits
            && self.splits < 159
        {
            self.splits += 1;
        }
        if let Some(refusal) = self.refusal(&peer) {
            return Insertion::Refused(refusal);
        }
        let live = self.members(self.bucket(&peer.id), true).len() < self.config.lookup.k;
        if !live {
            let waiting = self.members(self.bucket(&peer.id), false);
            let subnet = self.subnet(&peer);
            let kin: Vec<_> =
                waiting.iter().filter(|known| subnet.is_some() && self.subnet(&known.peer) == subnet).collect();
            let out = if kin.len() >= self.config.table.max_per_subnet_bucket {
                Some(kin[0].peer)
            } else {
                (waiting.len() >= self.config.lookup.k).then(|| waiting[0].peer)
            };
            out.map(|out| self.forget(&out));
        }
        self.known.push(Known { live, ..fresh });
        if live { Insertion::Added } else { Insertion::Waiting }
    }

    /// Whether a peer of `scope`, silent since `since` and now again, is to blame.
    pub(super) fn blames(&self, scope: AddressScope, since: Instant, now: Instant) -> bool {
        let answers: Vec<Instant> = (self.log.iter())
            .filter(|(_, of, event)| *of >= scope && matches!(event, Event::Answer))
            .map(|(at, ..)| *at)
            .collect();
        let silent_between = |from: Instant, to: Instant| {
            self.log.iter().any(|(at, of, event)| {
                matches!(event, Event::Silence)
                    && *of == scope
                    && *at < to
                    && *at >= from + self.config.lookup.query_timeout
            })
        };
        let outage_ends = answers
            .first()
            .copied()
            .into_iter()
            .chain(answers.windows(2).filter(|pair| silent_between(pair[0], pair[1])).map(|pair| pair[1]));
        answers.iter().any(|at| *at > since)
            && outage_ends.max().is_some_and(|end| now >= end + self.config.lookup.query_timeout)
    }

    pub(super) fn patience(&self) -> usize {
        let mut losses = LossRate::default();
        self.losses.iter().for_each(|silences| losses.answered(*silences));
        losses.patience() as usize
    }

    pub(super) fn silent(&mut self, peer: &Peer, now: Instant) {
        let timeout = self.config.lookup.query_timeout;
        let Some(at) = self.known.iter().position(|known| known.peer == *peer) else { return };
        let scope = AddressScope::of(&peer.addr.ip());
        self.log.push((now, scope, Event::Silence));
        let counts = self.known[at].failed.last().is_none_or(|last| now >= *last + timeout);
        if counts {
            self.known[at].failed.push(now);
        }
        let claims = &mut self.known[at].claims;
        if let Some((began, missed)) = &mut claims.check {
            if claims.last_asked.is_some_and(|asked| now >= asked + timeout) {
                missed.push(now);
                claims.last_asked = Some(now);
                if missed.len() >= MISSED_QUERIES as usize && now >= *began + MISSED_FOR {
                    *claims = Claims { gone: Some(now), last_asked: Some(now), ..Claims::default() };
                }
            }
            return;
        }
        let (failures, since, live) = (self.known[at].failed.len(), self.known[at].failed[0], self.known[at].live);
        if !counts || failures < self.threshold().max(self.patience()) || !self.blames(scope, since, now) {
            return;
        }
        if !live {
            self.forget(peer);
            return;
        }
        let before = self.known.clone();
        self.evict(peer);
        let promoted =
            self.known.iter().filter(|known| known.live).count() == before.iter().filter(|known| known.live).count();
        if !promoted && failures < (self.config.table.max_failures as usize).max(self.patience()) {
            self.known = before;
            return;
        }
        self.away.retain(|away| away.displaced || away.peer.addr != peer.addr);
        self.away.push(Away { peer: *peer, since: now, displaced: false });
    }

    pub(super) fn replaced(&mut self, peer: &Peer) {
        let Some(known) = self.known.iter().find(|known| known.peer == *peer) else { return };
        if known.live {
            self.evict(peer);
        } else {
            self.forget(peer);
        }
    }

    pub(super) fn entries(&self) -> BTreeSet<Peered> {
        self.known.iter().filter(|known| known.live).map(|known| (known.peer.id, known.peer.addr)).collect()
    }

    pub(super) fn nearest(&self, target: &NodeId, count: usize, asker: Option<&SocketAddr>) -> Vec<Peer> {
        let counts = |known: &&Known| {
            known.live
                && asker.is_none_or(|asker| {
                    known.failed.len() < self.config.table.max_failures as usize
                        && known.peer.addr != *asker
                        && (known.peer.addr.is_ipv4() || asker.is_ipv6())
                        && AddressScope::of(&known.peer.addr.ip()) >= AddressScope::of(&asker.ip())
                })
        };
        let mut peers: Vec<Peer> = self.known.iter().filter(counts).map(|known| known.peer).collect();
        peers.sort_by_key(|peer| peer.id.distance(target));
        peers.truncate(count);
        peers
    }
}

/// The invariants of the table.
pub(super) fn check_invariants(table: &RoutingTable) {
    let (own, k) = (table.own, table.k);
    assert!((1..=MAX_BUCKETS).contains(&table.buckets.len()));
    let (mut ids, mut live) = (BTreeMap::new(), 0);
    let mut subnets = BTreeMap::new();
    for (at, bucket) in table.buckets.iter().enumerate() {
        // Bucket i covers what differs from our id at bit i first, the last one the rest: a partition of all ids.
        let expected = if at + 1 < table.buckets.len() {
            Prefix::of(&own.with_bit(at as u32, !own.bit(at as u32)), at as u32 + 1)
        } else {
            Prefix::of(&own, at as u32)
        };
        assert_eq!(bucket.prefix, expected);
        assert!(bucket.live.len() <= k && bucket.waiting.len() <= k, "a bucket outgrew k");
        assert!(bucket.live.is_sorted_by_key(|entry| entry.answered));
        assert!(bucket.waiting.is_sorted_by_key(|entry| entry.answered));
        for entry in bucket.live.iter().chain(&bucket.waiting) {
            assert!(bucket.prefix.covers(&entry.peer.id) && entry.peer.id != own);
            assert!(ids.insert(entry.peer.addr, entry.peer.id).is_none(), "two ids at {}", entry.peer.addr);
        }
        for entries in [&bucket.live, &bucket.waiting] {
            let mut here = BTreeMap::new();
            for subnet in entries.iter().filter_map(|entry| table.diversity.subnet(&entry.peer.addr)) {
                *here.entry(subnet).or_insert(0) += 1;
            }
            assert!(here.values().all(|count| *count <= table.diversity.per_cache()));
        }
        for subnet in bucket.live.iter().filter_map(|entry| table.diversity.subnet(&entry.peer.addr)) {
            *subnets.entry(subnet).or_insert(0) += 1;
        }
        live += bucket.live.len();
    }
    assert_eq!(table.len, live);
    assert_eq!(table.legacy, table.entries().filter(|entry| entry.version.is_none()).count());
    assert_eq!(table.addresses.size().0, ids.len());
    assert!(ids.iter().all(|(addr, id)| table.id_at(addr) == Some(*id)));
    assert_eq!(ids.values().collect::<BTreeSet<_>>().len(), ids.len(), "one id at two addresses");
    assert_eq!(*table.diversity.counts(), subnets);
}

pub(super) fn compare(table: &RoutingTable, model: &Model) {
    check_invariants(table);
    assert_eq!(table.buckets.len(), model.splits + 1);
    for (at, bucket) in table.buckets.iter().enumerate() {
        for (entries, live) in [(&bucket.live, true), (&bucket.waiting, false)] {
            let expected = model.members(at, live);
            assert_eq!(entries.len(), expected.len());
            for (entry, known) in entries.iter().zip(expected) {
                assert_eq!((entry.peer, entry.version), (known.peer, known.version));
                assert_eq!(entry.failures() as usize, known.failed.len());
            }
        }
    }
    assert_eq!(table.outcome, Outcome::default(), "all changes are reported");
    assert!(table.diversity.counts().values().all(|count| *count as usize <= model.config.table.max_per_subnet_table));
}
