//! The routing table of a legacy node: each peer that is named or asks is in it, unverified, and one silent query removes it.
//! It queries no peer: that is `lookup.rs`.

use std::time::Duration;

use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::prefix::Prefix;
use tokio::time::Instant;

/// Replacements that a bucket keeps. A legacy node keeps any number; beyond this the newest is not taken, so that a
/// simulation of days stays bounded.
const MAX_REPLACEMENTS: usize = 200;

#[derive(Debug)]
pub(super) struct Table {
    own: NodeId,
    k: usize,
    /// Together they cover every id, each once.
    buckets: Vec<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    prefix: Prefix,
    /// The one seen last comes last. Promotions let it grow past k.
    peers: Vec<Seen>,
    /// The one seen last comes last, and the first is promoted first.
    replacements: Vec<Seen>,
}

#[derive(Debug)]
struct Seen {
    peer: Peer,
    at: Instant,
}

/// Moves the peer of this id to the end, with its old address. Says whether it was there.
fn touch(list: &mut Vec<Seen>, id: &NodeId, now: Instant) -> bool {
    let Some(at) = list.iter().position(|seen| seen.peer.id == *id) else { return false };
    let peer = list.remove(at).peer;
    list.push(Seen { peer, at: now });
    true
}

impl Table {
    pub(super) fn new(own: NodeId, k: usize) -> Self {
        let all = Bucket { prefix: Prefix::ALL, peers: Vec::new(), replacements: Vec::new() };
        Self { own, k, buckets: vec![all] }
    }

    /// Inserts a peer that was named or that asked. The oldest of its bucket, if that was full: it is to be pinged.
    pub(super) fn insert(&mut self, peer: Peer, now: Instant) -> Option<Peer> {
        loop {
            let (own, k, at) = (self.own, self.k, self.position(&peer.id));
            let bucket = &mut self.buckets[at];
            if touch(&mut bucket.peers, &peer.id, now) || touch(&mut bucket.replacements, &peer.id, now) {
                return None;
            }
            if bucket.peers.len() < k {
                bucket.peers.push(Seen { peer, at: now });
                return None;
            }
            if !bucket.prefix.covers(&own) || !self.split(at) {
                let bucket = &mut self.buckets[at];
                if bucket.replacements.len() < MAX_REPLACEMENTS {
                    bucket.replacements.push(Seen { peer, at: now });
                }
                return bucket.peers.first().map(|oldest| oldest.peer);
            }
        }
    }

    /// One silent query: the peer is out, if it was in, and a replacement is in, whether or not a peer is out.
    pub(super) fn remove(&mut self, id: &NodeId) {
        let at = self.position(id);
        let bucket = &mut self.buckets[at];
        bucket.peers.retain(|seen| seen.peer.id != *id);
        if !bucket.replacements.is_empty() {
            bucket.peers.push(bucket.replacements.remove(0));
        }
    }

    /// The k nearest to `target`, nearest first.
    pub(super) fn nearest(&self, target: &NodeId) -> Vec<Peer> {
        // Each peer in a bucket nearer to the target is nearer than all of the others.
        let mut buckets: Vec<&Bucket> = self.buckets.iter().collect();
        buckets.sort_unstable_by_key(|bucket| bucket.prefix.first().distance(target));
        let mut nearest: Vec<Peer> = Vec::with_capacity(2 * self.k);
        for bucket in buckets {
            let so_far = nearest.len();
            if so_far >= self.k {
                break;
            }
            nearest.extend(bucket.peers.iter().map(|seen| seen.peer));
            nearest[so_far..].sort_unstable_by_key(|peer| peer.id.distance(target));
        }
        nearest.truncate(self.k);
        nearest
    }

    /// All peers that are not replacements.
    pub(super) fn peers(&self) -> Vec<Peer> {
        self.buckets.iter().flat_map(|bucket| &bucket.peers).map(|seen| seen.peer).collect()
    }

    pub(super) fn prefixes(&self) -> Vec<Prefix> {
        self.buckets.iter().map(|bucket| bucket.prefix).collect()
    }

    /// The buckets of which no peer was seen for `interval`.
    pub(super) fn stale(&self, interval: Duration, now: Instant) -> Vec<Prefix> {
        let is_stale = |bucket: &&Bucket| bucket.peers.last().is_some_and(|seen| seen.at + interval < now);
        self.buckets.iter().filter(is_stale).map(|bucket| bucket.prefix).collect()
    }

    fn position(&self, id: &NodeId) -> usize {
        let at = self.buckets.iter().position(|bucket| bucket.prefix.covers(id));
        at.expect("the buckets cover every id")
    }

    fn split(&mut self, at: usize) -> bool {
        let Some((zero, one)) = self.buckets[at].prefix.split() else { return false };
        let Bucket { peers, replacements, .. } = self.buckets.remove(at);
        let of = |half: Prefix| move |seen: &Seen| half.covers(&seen.peer.id);
        let (zero_peers, one_peers) = peers.into_iter().partition(of(zero));
        let (zero_replacements, one_replacements) = replacements.into_iter().partition(of(zero));
        let halves = [(zero, zero_peers, zero_replacements), (one, one_peers, one_replacements)];
        let halves = halves.map(|(prefix, peers, replacements)| Bucket { prefix, peers, replacements });
        self.buckets.splice(at..at, halves);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(byte: u8) -> Peer {
        let mut id = [0; 20];
        id[0] = byte;
        Peer::new(NodeId::from_bytes(id), ([127, 0, 0, 1], 1_000 + u16::from(byte)).into())
    }

    fn ids(table: &Table) -> Vec<u8> {
        table.peers().iter().map(|peer| peer.id.as_bytes()[0]).collect()
    }

    /// Of the node 0, with k = 2: 0x80 and 0x90 fill the far half, 0xa0 and 0xb0 wait.
    async fn full() -> Table {
        let mut table = Table::new(NodeId::ZERO, 2);
        for byte in [0x80, 0x90] {
            assert_eq!(table.insert(peer(byte), Instant::now()), None);
        }
        for byte in [0xa0, 0xb0] {
            assert_eq!(table.insert(peer(byte), Instant::now()), Some(peer(0x80)), "the oldest is to be pinged");
        }
        table
    }

    #[tokio::test]
    async fn the_nearest_are_the_nearest_of_all_buckets() {
        let mut table = Table::new(NodeId::ZERO, 3);
        for byte in 1..=255 {
            table.insert(peer(byte), Instant::now());
        }
        for target in 0..=255 {
            let target = peer(target).id;
            let mut all = table.peers();
            all.sort_by_key(|peer| peer.id.distance(&target));
            assert_eq!(table.nearest(&target), all[..3]);
        }
    }

    #[tokio::test]
    async fn only_the_half_that_the_own_id_is_in_is_split() {
        let mut table = full().await;
        assert_eq!(ids(&table), [0x80, 0x90]);
        for byte in [0x01, 0x02, 0x40, 0x41] {
            assert_eq!(table.insert(peer(byte), Instant::now()), None);
        }
        assert_eq!(ids(&table), [0x01, 0x02, 0x40, 0x41, 0x80, 0x90]);
    }

    #[tokio::test]
    async fn each_silent_query_promotes_a_replacement_so_that_a_bucket_grows_past_k() {
        let mut table = full().await;
        table.remove(&peer(0x80).id);
        assert_eq!(ids(&table), [0x90, 0xa0]);
        table.remove(&peer(0x80).id);
        assert_eq!(ids(&table), [0x90, 0xa0, 0xb0], "no peer went, and yet one came");
        table.remove(&peer(0xa0).id);
        assert_eq!(ids(&table), [0x90, 0xb0]);
    }

    #[tokio::test]
    async fn being_named_again_is_a_sign_of_life() {
        let mut table = full().await;
        table.insert(peer(0x80), Instant::now());
        assert_eq!(ids(&table), [0x90, 0x80]);
        assert_eq!(
            table.insert(peer(0xa0), Instant::now()),
            None,
            "a replacement that is named again asks for no ping"
        );
    }
}
