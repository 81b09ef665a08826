//! The routing table: the known peers, by distance from our own id. It sends nothing; where a peer should be pinged, the outcome
//! names it and the caller sends the ping.
//!
//! - A peer enters or is refreshed by its own authenticated answer alone, never because it sent a query or was named.
//! - Buckets begin as one; only the one that covers our own id splits. Each holds k entries and k replacements.
//! - An entry leaves after `max_failures` silences in a row, or after [`FAILURES_BEFORE_REPLACEMENT`] where a
//!   replacement waits that has not failed; in either case only if another peer of its scope has answered since the first
//!   of them and the last query went out after any outage had ended. So neither one lost packet nor an outage of the whole
//!   network evicts a peer, and strangers cannot displace living peers from a full bucket (Kademlia paper, 2.2, 4.1).
//! - Where queries to living peers get lost, more silences in a row are needed, so that a living peer is hardly ever
//!   evicted: eight on lines that lose a fifth of all datagrams.
//! - Silence counts only at the address that the entry has: a peer that a stranger named elsewhere cannot be blamed.
//! - An address holds one id. A peer that answers under a new id has restarted: the old id goes.
//! - An entry whose id is used from another address is pinged at once. The id moves when the known address has missed
//!   [`MISSED_QUERIES`] queries in a row and the other one answers under it. Since a flood can cause silence, it moves
//!   back if the earlier address answers within [`DISPLACED_FOR`](super::liveness::DISPLACED_FOR).
//! - Each event's [`Outcome`] reports the entries that entered and left: all of them together are the table.
//! - Of one subnet (/24, /64) few enter a bucket, its replacement cache and the table (`diversity`).

mod addresses;
mod bucket;
mod claims;
mod diversity;
mod events;
mod moves;
mod outcome;
mod snapshot;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use bucket::Entry;
pub use outcome::{Change, Insertion, Outcome, Sighting, TableCounters};
pub use snapshot::{BucketSnapshot, EntrySnapshot, TableSnapshot};

use super::config::Config;
use super::id::{NODE_ID_BITS, NodeId};
use super::liveness::{Departed, LossRate, Outages};
use super::peer::{AddressScope, Peer, canonical};
use super::prefix::Prefix;
use addresses::Addresses;
use bucket::Bucket;
use diversity::Diversity;

/// Buckets at most: one for each bit of an id, since only the bucket that covers our own id splits.
pub const MAX_BUCKETS: usize = NODE_ID_BITS as usize;
/// Silences in a row after which an entry yields to a waiting replacement. Two, because a single lost packet is no sign of
/// death. `max_failures` applies where it is less.
pub const FAILURES_BEFORE_REPLACEMENT: u32 = 2;

/// The known peers. See the module for the rules.
#[derive(Debug, Clone)]
pub struct RoutingTable {
    own: NodeId,
    k: usize,
    max_failures: u32,
    query_timeout: Duration,
    refresh_interval: Duration,
    /// Farthest first: bucket `i` covers the ids that share exactly `i` bits with ours, the last one all others.
    /// At least one, at most [`MAX_BUCKETS`].
    buckets: Vec<Bucket>,
    /// Those of all live and waiting peers: exactly one each.
    addresses: Addresses,
    diversity: Diversity,
    outages: Outages,
    losses: LossRate,
    departed: Departed,
    /// The outcome of the event under way; empty between events.
    outcome: Outcome,
    /// Live entries in all buckets.
    len: usize,
    /// Those of them whose last answer was a legacy node's.
    legacy: usize,
    counters: TableCounters,
}

/// Getters.
impl RoutingTable {
    /// An empty table around `own`.
    pub fn new(own: NodeId, config: &Config, now: Instant) -> Self {
        Self {
            own,
            k: config.lookup.k,
            max_failures: config.table.max_failures,
            query_timeout: config.lookup.query_timeout,
            refresh_interval: config.table.bucket_refresh_interval,
            buckets: vec![Bucket::new(Prefix::ALL, now)],
            addresses: Addresses::default(),
            diversity: Diversity::new(config),
            outages: Outages::new(config.lookup.query_timeout),
            losses: LossRate::default(),
            departed: Departed::default(),
            outcome: Outcome::default(),
            len: 0,
            legacy: 0,
            counters: TableCounters::default(),
        }
    }

    /// The number of entries, without replacements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns whether an entry's last answer was a legacy node's.
    pub fn has_legacy(&self) -> bool {
        self.legacy > 0
    }

    /// All entries, by bucket.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(|bucket| &bucket.live)
    }

    /// The entry of `peer`, or its place among the replacements, if it has answered from this address.
    pub fn verified(&self, peer: &Peer) -> Option<&Entry> {
        let bucket = &self.buckets[self.index(&peer.id)];
        bucket.find(&peer.id).map(|place| bucket.entry(place)).filter(|entry| entry.peer.addr == canonical(peer.addr))
    }

    /// The `count` entries nearest to `target`, nearest first, failing ones included: for our own lookups.
    pub fn nearest(&self, target: &NodeId, count: usize) -> Vec<Peer> {
        self.nearest_where(target, count, |_| true)
    }

    /// The `count` entries nearest to `target` that may be named to `asker`, nearest first: none that has failed
    /// `max_failures` times, none of a scope narrower than the asker's, no IPv6 peer for an IPv4 asker, and not the
    /// asker.
    pub fn nearest_for(&self, target: &NodeId, count: usize, asker: &SocketAddr) -> Vec<Peer> {
        let asker = canonical(*asker);
        let scope = AddressScope::of(&asker.ip());
        self.nearest_where(target, count, |entry| {
            let addr = entry.peer.addr;
            entry.failures() < self.max_failures
                && addr != asker
                && (addr.is_ipv4() || asker.is_ipv6())
                && AddressScope::of(&addr.ip()) >= scope
        })
    }

    fn nearest_where(&self, target: &NodeId, count: usize, counts: impl Fn(&Entry) -> bool) -> Vec<Peer> {
        let mut found = Vec::with_capacity(count.min(self.len));
        // The distances of one bucket, each with the place of its entry: short, so that they are sorted without moving entries.
        let mut nearest: Vec<(u64, usize)> = Vec::with_capacity(self.k);
        for at in buckets_by_distance(&self.own, target, self.buckets.len()) {
            if found.len() >= count {
                break;
            }
            let live = &self.buckets[at].live;
            let named = live.iter().enumerate().filter(|(_, entry)| counts(entry));
            nearest.clear();
            nearest.extend(named.map(|(place, entry)| (first_bits(&entry.peer.id) ^ first_bits(target), place)));
            nearest.sort_unstable_by(|a, b| {
                let whole = || compare_distance(target, &live[a.1].peer.id, &live[b.1].peer.id);
                a.0.cmp(&b.0).then_with(whole)
            });
            found.extend(nearest.iter().take(count - found.len()).map(|(_, place)| live[*place].peer));
        }
        found
    }

    /// At most `count` peers that have answered, for a restart: entries first, then replacements, which may know us as well;
    /// each the most recently answered first. Walks the whole table.
    pub fn verified_peers(&self, count: usize) -> Vec<Peer> {
        let mut peers: Vec<(bool, &Entry)> = self.entries().map(|entry| (false, entry)).collect();
        peers.extend(self.buckets.iter().flat_map(|bucket| &bucket.waiting).map(|entry| (true, entry)));
        peers.sort_by_key(|(waits, entry)| (*waits, std::cmp::Reverse(entry.answered)));
        peers.into_iter().take(count).map(|(_, entry)| entry.peer).collect()
    }

    /// The prefixes of all buckets, farthest first, for the refresh after a join.
    pub fn prefixes(&self) -> Vec<Prefix> {
        self.buckets.iter().map(|bucket| bucket.prefix).collect()
    }

    fn index(&self, id: &NodeId) -> usize {
        self.index_of(self.own.common_prefix(id))
    }

    /// The bucket of the ids that share so many bits with ours.
    fn index_of(&self, shared_bits: u32) -> usize {
        (shared_bits as usize).min(self.buckets.len() - 1)
    }

    /// The id at `addr`, among all live and waiting peers.
    fn id_at(&self, addr: &SocketAddr) -> Option<NodeId> {
        let at_addr = |shared_bits| self.buckets[self.index_of(shared_bits)].id_at(addr);
        self.addresses.shared_bits(addr).find_map(at_addr)
    }
}

/// Refresh of buckets.
impl RoutingTable {
    /// The prefixes of the buckets that no lookup has touched for `bucket_refresh_interval`, the one untouched longest first; none while
    /// the table is empty, since there is no peer to query. They stay so until [`RoutingTable::touch`].
    pub fn stale(&self, now: Instant) -> Vec<Prefix> {
        if self.is_empty() {
            return Vec::new();
        }
        let is_stale = |bucket: &&Bucket| now.saturating_duration_since(bucket.touched) >= self.refresh_interval;
        let mut stale: Vec<&Bucket> = self.buckets.iter().filter(is_stale).collect();
        stale.sort_by_key(|bucket| bucket.touched);
        stale.into_iter().map(|bucket| bucket.prefix).collect()
    }

    /// A lookup for `target` begins: its bucket is fresh.
    pub fn touch(&mut self, target: &NodeId, now: Instant) {
        let at = self.index(target);
        self.buckets[at].touched = now;
    }
}

/// The indices of `buckets` buckets, nearest to `target` first: every id of an earlier bucket is nearer than every id
/// of a later one. Bucket `i` covers the ids that share exactly the first `i` bits with `own`, the last one those
/// that share at least as many.
///
/// With `c` bits shared by `own` and `target`: bucket `c` shares `c + 1` bits with the target, so it comes first.
/// Those behind it share `c` bits; bit by bit the one on the target's side is nearer than all deeper ones, and the one
/// on our side farther. Those before it share as many bits as their index, so they come last, in reverse.
fn buckets_by_distance(own: &NodeId, target: &NodeId, buckets: usize) -> impl Iterator<Item = usize> {
    let last = buckets - 1;
    let home = (own.common_prefix(target) as usize).min(last);
    let differs = own.xor(target);
    let behind = home + 1..last;
    let nearer = behind.clone().filter(move |bit| differs.bit(*bit as u32));
    let farther = behind.rev().filter(move |bit| !differs.bit(*bit as u32));
    let deepest = (home < last).then_some(last);
    std::iter::once(home).chain(nearer).chain(deepest).chain(farther).chain((0..home).rev())
}

/// The first 64 bits of `id`.
fn first_bits(id: &NodeId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *id.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Compares two ids by their distance from `target`. The distances differ first where they do, so only that byte is computed.
fn compare_distance(target: &NodeId, a: &NodeId, b: &NodeId) -> Ordering {
    let bytes = a.as_bytes().iter().zip(b.as_bytes()).zip(target.as_bytes());
    bytes.map(|((a, b), target)| (a ^ target).cmp(&(b ^ target))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}
