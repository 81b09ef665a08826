//! A naive model of the table: one list of all known peers and a log of what happened, every question answered by
//! going through all of it. Ten thousand random histories compare the two after each step.

use std::time::{Duration, Instant};

use super::*;
use crate::protocol::config::AppliesTo;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::peer::Subnet;

#[derive(Clone)]
struct Known {
    peer: Peer,
    version: Option<u32>,
    /// When its failures in a row were counted.
    failed: Vec<Instant>,
    live: bool,
}

enum Event {
    Answer,
    Silence,
}

struct Model {
    own: NodeId,
    config: Config,
    /// How often the bucket around `own` has been split.
    splits: usize,
    /// In the order of their last answers.
    known: Vec<Known>,
    log: Vec<(Instant, AddressScope, Event)>,
    /// How many silences came before each answer.
    losses: Vec<u32>,
}

impl Model {
    fn bucket(&self, id: &NodeId) -> usize {
        (self.own.common_prefix(id) as usize).min(self.splits)
    }

    fn members(&self, bucket: usize, live: bool) -> Vec<&Known> {
        self.known.iter().filter(|known| known.live == live && self.bucket(&known.peer.id) == bucket).collect()
    }

    fn subnet(&self, peer: &Peer) -> Option<Subnet> {
        let covered = match self.config.diversity {
            AppliesTo::Always => true,
            AppliesTo::Off => false,
            AppliesTo::Global => AddressScope::of(&peer.addr.ip()) == AddressScope::Global,
        };
        covered.then(|| Subnet::of(&peer.addr.ip()))
    }

    fn refusal(&self, peer: &Peer) -> Option<Refusal> {
        let subnet = self.subnet(peer)?;
        let bucket = self.bucket(&peer.id);
        let kin: Vec<_> =
            self.known.iter().filter(|known| known.live && self.subnet(&known.peer) == Some(subnet)).collect();
        if kin.iter().filter(|known| self.bucket(&known.peer.id) == bucket).count() >= self.config.max_per_subnet_bucket
        {
            return Some(Refusal::SubnetInBucket(subnet));
        }
        (kin.len() >= self.config.max_per_subnet_table).then_some(Refusal::SubnetInTable(subnet))
    }

    fn forget(&mut self, peer: &Peer) -> Known {
        let at = self.known.iter().position(|known| known.peer == *peer).unwrap();
        self.known.remove(at)
    }

    fn evict(&mut self, peer: &Peer) -> Evicted {
        self.forget(peer);
        let waiting = self.members(self.bucket(&peer.id), false);
        let fit = |known: &&&Known| known.failed.is_empty() && self.refusal(&known.peer).is_none();
        let promoted = waiting.iter().rev().find(fit).map(|known| known.peer);
        for known in &mut self.known {
            known.live |= Some(known.peer) == promoted;
        }
        Evicted { peer: *peer, promoted }
    }

    fn threshold(&self) -> usize {
        self.config.max_failures.min(FAILURES_BEFORE_REPLACEMENT) as usize
    }

    fn answered(&mut self, peer: Peer, version: Option<u32>, now: Instant) -> Insertion {
        if peer.id == self.own {
            return Insertion::Refused(Refusal::Own);
        }
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
        if let Some(before) = self.known.iter().find(|known| known.peer.id == peer.id).cloned() {
            let from = before.peer.addr;
            if from != peer.addr && before.failed.len() < self.threshold() {
                return Insertion::Contested { check: None };
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
                self.known.push(Known { peer, version, failed: Vec::new(), live: true });
                return if from == peer.addr { Insertion::Refreshed } else { Insertion::Moved { from } };
            }
        }
        while self.members(self.bucket(&peer.id), true).len() >= self.config.k
            && self.bucket(&peer.id) == self.splits
            && self.splits < 159
        {
            self.splits += 1;
        }
        if let Some(refusal) = self.refusal(&peer) {
            return Insertion::Refused(refusal);
        }
        let live = self.members(self.bucket(&peer.id), true).len() < self.config.k;
        if !live {
            let waiting = self.members(self.bucket(&peer.id), false);
            let subnet = self.subnet(&peer);
            let kin: Vec<_> =
                waiting.iter().filter(|known| subnet.is_some() && self.subnet(&known.peer) == subnet).collect();
            let out = if kin.len() >= self.config.max_per_subnet_bucket {
                Some(kin[0].peer)
            } else {
                (waiting.len() >= self.config.k).then(|| waiting[0].peer)
            };
            out.map(|out| self.forget(&out));
        }
        self.known.push(Known { peer, version, failed: Vec::new(), live });
        if live { Insertion::Added } else { Insertion::Waiting { check: None } }
    }

    /// Whether a peer of `scope`, silent since `since` and now again, is to blame.
    fn blames(&self, scope: AddressScope, since: Instant, now: Instant) -> bool {
        let answers: Vec<Instant> = (self.log.iter())
            .filter(|(_, of, event)| *of >= scope && matches!(event, Event::Answer))
            .map(|(at, ..)| *at)
            .collect();
        let silent_between = |from: Instant, to: Instant| {
            self.log.iter().any(|(at, of, event)| {
                matches!(event, Event::Silence) && *of == scope && *at < to && *at >= from + self.config.query_timeout
            })
        };
        let outage_ends = answers
            .first()
            .copied()
            .into_iter()
            .chain(answers.windows(2).filter(|pair| silent_between(pair[0], pair[1])).map(|pair| pair[1]));
        answers.iter().any(|at| *at > since)
            && outage_ends.max().is_some_and(|end| now >= end + self.config.query_timeout)
    }

    fn patience(&self) -> usize {
        let mut losses = Losses::default();
        self.losses.iter().for_each(|silences| losses.answered(*silences));
        losses.patience() as usize
    }

    fn silent(&mut self, peer: &Peer, now: Instant) -> Option<Evicted> {
        let timeout = self.config.query_timeout;
        let at = self.known.iter().position(|known| known.peer == *peer)?;
        let scope = AddressScope::of(&peer.addr.ip());
        self.log.push((now, scope, Event::Silence));
        if self.known[at].failed.last().is_some_and(|last| now < *last + timeout) {
            return None;
        }
        self.known[at].failed.push(now);
        let (failures, since, live) = (self.known[at].failed.len(), self.known[at].failed[0], self.known[at].live);
        if failures < self.threshold().max(self.patience()) || !self.blames(scope, since, now) {
            return None;
        }
        if !live {
            self.forget(peer);
            return None;
        }
        let before = self.known.clone();
        let evicted = self.evict(peer);
        if evicted.promoted.is_none() && failures < (self.config.max_failures as usize).max(self.patience()) {
            self.known = before;
            return None;
        }
        Some(evicted)
    }

    fn replaced(&mut self, peer: &Peer) -> Option<Evicted> {
        let live = self.known.iter().find(|known| known.peer == *peer)?.live;
        if live {
            return Some(self.evict(peer));
        }
        self.forget(peer);
        None
    }

    fn nearest(&self, target: &NodeId, count: usize, asker: Option<&SocketAddr>) -> Vec<Peer> {
        let told = |known: &&Known| {
            known.live
                && asker.is_none_or(|asker| {
                    known.failed.len() < self.config.max_failures as usize
                        && known.peer.addr != *asker
                        && (known.peer.addr.is_ipv4() || asker.is_ipv6())
                        && AddressScope::of(&known.peer.addr.ip()) >= AddressScope::of(&asker.ip())
                })
        };
        let mut peers: Vec<Peer> = self.known.iter().filter(told).map(|known| known.peer).collect();
        peers.sort_by_key(|peer| peer.id.distance(target));
        peers.truncate(count);
        peers
    }
}

/// What never changes, whatever happened.
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
    assert_eq!(table.ids, ids);
    let distinct: std::collections::BTreeSet<_> = ids.values().collect();
    assert_eq!(distinct.len(), ids.len(), "one id at two addresses");
    assert_eq!(*table.diversity.counts(), subnets);
}

fn compare(table: &RoutingTable, model: &Model) {
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
    assert!(table.diversity.counts().values().all(|count| *count <= model.config.max_per_subnet_table));
}

/// The outcome without the peer to check: when checks are due is not the model's business.
fn without_check(insertion: Insertion) -> Insertion {
    match insertion {
        Insertion::Waiting { .. } => Insertion::Waiting { check: None },
        Insertion::Contested { .. } => Insertion::Contested { check: None },
        other => other,
    }
}

/// How often each outcome was met, so that the histories cannot become vacuous unnoticed.
#[derive(Debug, Default)]
struct Met {
    added: u32,
    refreshed: u32,
    moved: u32,
    waiting: u32,
    contested: u32,
    refused: u32,
    evicted: u32,
    promoted: u32,
}

impl Met {
    fn insertion(&mut self, insertion: &Insertion) {
        *match insertion {
            Insertion::Added => &mut self.added,
            Insertion::Refreshed => &mut self.refreshed,
            Insertion::Moved { .. } => &mut self.moved,
            Insertion::Waiting { .. } => &mut self.waiting,
            Insertion::Contested { .. } => &mut self.contested,
            Insertion::Refused(_) => &mut self.refused,
        } += 1;
    }
}

const ADDRESSES: [&str; 12] = [
    "198.51.100.1:1",
    "198.51.100.1:2",
    "198.51.100.2:1",
    "198.51.100.3:1",
    "203.0.113.1:1",
    "203.0.113.2:1",
    "192.0.2.1:1",
    "10.0.0.1:1",
    "10.0.0.2:1",
    "127.0.0.1:1",
    "[2001:db8::1]:1",
    "[2001:db8::2]:1",
];

fn history(seed: u64, addresses: &[SocketAddr], met: &mut Met) {
    let mut entropy = SeededEntropy::new(seed);
    let mut below = |bound: u64| entropy.below(bound);
    let config = Config {
        k: 1 + below(3) as usize,
        max_failures: 1 + below(4) as u32,
        max_per_subnet_bucket: 1 + below(3) as usize,
        max_per_subnet_table: 1 + below(5) as usize,
        diversity: [AppliesTo::Global, AppliesTo::Always, AppliesTo::Off][below(3) as usize],
        ..Config::default()
    };
    let own = NodeId::of_key(&seed.to_string());
    // Ids that part from ours at any bit, most of them early; a few addresses each, some shared.
    let peers: Vec<Peer> = (0..16)
        .map(|number| {
            let shared = if below(5) == 0 { below(160) } else { below(4) } as u32;
            let prefix = Prefix::of(&own.with_bit(shared, !own.bit(shared)), shared + 1);
            let id = prefix.random_id(&mut SeededEntropy::new(seed ^ (number << 32)));
            Peer::new(id, addresses[below(12) as usize])
        })
        .collect();
    let mut now = Instant::now();
    let mut table = RoutingTable::new(own, &config, now);
    let mut model = Model { own, config, splits: 0, known: Vec::new(), log: Vec::new(), losses: Vec::new() };
    for _ in 0..60 {
        let longest = [200, 4_000][below(2) as usize];
        now += Duration::from_millis(1 + below(longest));
        let mut peer = peers[below(16) as usize];
        if below(5) == 0 {
            peer.addr = addresses[below(12) as usize];
        }
        let version = (below(2) == 0).then_some(1);
        if !model.known.is_empty() && below(2) == 0 {
            peer = model.known[below(model.known.len().min(3) as u64) as usize].peer;
        }
        match below(16) {
            0..7 => {
                let insertion = without_check(table.peer_answered(peer, version, now));
                met.insertion(&insertion);
                assert_eq!(insertion, model.answered(peer, version, now));
            }
            7..14 => {
                let evicted = table.peer_silent(&peer, now);
                assert_eq!(evicted, model.silent(&peer, now));
                met.evicted += u32::from(evicted.is_some());
                met.promoted += u32::from(evicted.is_some_and(|evicted| evicted.promoted.is_some()));
            }
            14 => assert_eq!(table.peer_replaced(&peer), model.replaced(&peer)),
            _ => {
                let known = model.known.iter().any(|known| known.peer == peer);
                assert_eq!(table.peer_asked(peer, now) == Sighting::Known, known);
            }
        }
        compare(&table, &model);
        let (target, count) = (peers[below(16) as usize].id, below(8) as usize);
        assert_eq!(table.nearest(&target, count), model.nearest(&target, count, None));
        let asker = addresses[below(12) as usize];
        assert_eq!(table.nearest_for(&target, count, &asker), model.nearest(&target, count, Some(&asker)));
    }
}

#[test]
fn the_table_is_its_naive_model_over_ten_thousand_histories() {
    let addresses = ADDRESSES.map(|text| text.parse().unwrap());
    let mut met = Met::default();
    for seed in 0..10_000 {
        let run = std::panic::AssertUnwindSafe(|| history(seed, &addresses, &mut met));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("the history of seed {seed} parts from the model");
            std::panic::resume_unwind(panic);
        }
    }
    let Met { added, refreshed, moved, waiting, contested, refused, evicted, promoted } = met;
    let least = [added, refreshed, moved, waiting, contested, refused, evicted, promoted].into_iter().min();
    assert!(least > Some(250), "{met:?}");
}
