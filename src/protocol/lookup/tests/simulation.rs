//! A small network for the lookup's tests: nodes with their tables, and a clock that jumps from event to event.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::{Ending, Failure, Lookup, Next};
use crate::protocol::config::Config;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;
use crate::protocol::prefix::Prefix;

/// When a query counts as slow, and when as lost.
pub(super) const SLOW: Duration = Duration::from_millis(50);
pub(super) const LOST: Duration = Duration::from_secs(2);

pub(super) fn random_id(entropy: &mut dyn Entropy) -> NodeId {
    Prefix::ALL.random_id(entropy)
}

/// A global address in a /24 of its own, for numbers below 2^16.
pub(super) fn address(number: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(45, (number >> 8) as u8, number as u8, 1), 4000))
}

pub(super) fn peer(id: NodeId, number: usize) -> Peer {
    Peer::new(id, address(number))
}

/// Nodes whose tables never change: each bucket holds k of those that belong into it, or all.
pub(super) struct Network {
    pub(super) k: usize,
    pub(super) peers: Vec<Peer>,
    pub(super) alive: Vec<bool>,
    numbers: HashMap<NodeId, usize>,
}

impl Network {
    /// `size` nodes, a share of them dead. In every other network a part of them crowds around `target`.
    pub(super) fn random(size: usize, k: usize, dead: f64, target: &NodeId, entropy: &mut dyn Entropy) -> Self {
        let crowded = entropy.below(2) == 0;
        let mut peers = Vec::new();
        for number in 0..size {
            let len = if crowded { entropy.below(12) as u32 } else { 0 };
            peers.push(peer(Prefix::of(target, len).random_id(entropy), number));
        }
        let alive = peers.iter().map(|_| entropy.unit() >= dead).collect();
        let numbers = peers.iter().enumerate().map(|(number, peer)| (peer.id, number)).collect();
        Self { k, peers, alive, numbers }
    }

    pub(super) fn is_alive(&self, id: &NodeId) -> bool {
        self.numbers.get(id).is_some_and(|number| self.alive[*number])
    }

    /// The table of the node `id`. The seeker, node 0, is in none: it would take a place of the k. If `tidy`, dead peers take no
    /// living one's place.
    fn table(&self, id: &NodeId, tidy: bool) -> Vec<Peer> {
        let own = self.numbers[id];
        let mut taken = [0; 161];
        let mut known = Vec::new();
        // Another order for each node, so that full buckets differ.
        let start = id.as_bytes()[19] as usize;
        for step in 0..self.peers.len() {
            let number = (start + step) % self.peers.len();
            let bucket = id.common_prefix(&self.peers[number].id) as usize;
            let counts = self.alive[number] || !tidy;
            if number != 0 && number != own && (taken[bucket] < self.k || !counts) {
                taken[bucket] += usize::from(counts);
                known.push(self.peers[number]);
            }
        }
        known
    }

    /// The k nearest to `target` that the node `id` knows; if `tidy`, the dead are named besides them.
    pub(super) fn answer(&self, id: &NodeId, target: &NodeId, tidy: bool) -> Vec<Peer> {
        let mut known = self.table(id, tidy);
        known.sort_by_key(|peer| peer.id.distance(target));
        let mut room = self.k;
        known.retain(|peer| {
            let counts = !tidy || self.is_alive(&peer.id);
            let fits = room > 0;
            room -= usize::from(counts && fits);
            fits
        });
        known
    }

    /// The living, nearest to `target` first.
    pub(super) fn living(&self, target: &NodeId) -> Vec<Peer> {
        let mut living: Vec<Peer> = self.peers.iter().copied().filter(|peer| self.is_alive(&peer.id)).collect();
        living.sort_by_key(|peer| peer.id.distance(target));
        living
    }
}

/// The reply of a scripted peer to a query.
pub(super) enum Reply {
    Peers(Vec<Peer>),
    Value,
    Fails(Failure),
}

/// The result of a run.
pub(super) struct Run {
    pub(super) ending: Ending,
    pub(super) asked: Vec<Peer>,
    pub(super) took: Duration,
}

enum Event {
    Reply(Reply),
    Suspect,
    Slow,
}

/// Runs `lookup` to its end. Round trips are random up to three times [`SLOW`]; one peer in eight is a suspect
/// without a reason; `answer` gives each peer's reply. Checks on the way that at most k queries hold a slot (or alpha, where that is
/// more), and suspects as many of their own, and that a finished lookup stays so.
pub(super) fn run(
    lookup: &mut Lookup,
    config: &Config,
    start: Instant,
    entropy: &mut SeededEntropy,
    mut answer: impl FnMut(&Peer) -> Reply,
) -> Run {
    let (mut now, mut asked, mut held, mut suspects) = (start, Vec::new(), Vec::new(), Vec::new());
    // (when, number, event): the number keeps events of one instant in order, and finds the event.
    let (mut queue, mut events) = (BinaryHeap::new(), HashMap::new());
    let mut number = 0;
    loop {
        match lookup.next(now) {
            Next::Query(peer) => {
                asked.push(peer);
                held.push(peer);
                let slots = config.lookup.k.max(config.lookup.alpha);
                let holding = held.len() + suspects.len().saturating_sub(slots);
                assert!(holding <= slots, "{} queries hold slots, {} suspects", held.len(), suspects.len());
                let reply = answer(&peer);
                let trip = Duration::from_micros(1 + entropy.below(3 * SLOW.as_micros() as u64));
                let due = match reply {
                    Reply::Fails(Failure::Silent) => LOST,
                    Reply::Fails(Failure::Unsent) => Duration::ZERO,
                    _ => trip,
                };
                let suspects = (entropy.below(8) == 0).then_some((Duration::ZERO, Event::Suspect));
                for (at, event) in suspects.into_iter().chain([(SLOW, Event::Slow), (due, Event::Reply(reply))]) {
                    number += 1;
                    queue.push(Reverse((now + at, number)));
                    events.insert(number, (peer, event));
                }
            }
            Next::Wait { until } => {
                let Some(Reverse((at, number))) = queue.pop() else { panic!("waits for nothing") };
                now = at.min(until).max(now);
                if at > until {
                    continue;
                }
                let (peer, event) = events.remove(&number).unwrap();
                let was_held = held.contains(&peer);
                held.retain(|holder| *holder != peer);
                if !matches!(event, Event::Suspect) {
                    suspects.retain(|holder| *holder != peer);
                }
                match event {
                    Event::Suspect => {
                        suspects.extend(was_held.then_some(peer));
                        lookup.handle_suspect(&peer);
                    }
                    Event::Slow => lookup.handle_slow(&peer),
                    Event::Reply(Reply::Peers(peers)) => lookup.handle_peers(&peer, &peers, now),
                    Event::Reply(Reply::Value) => lookup.handle_value(&peer, now),
                    Event::Reply(Reply::Fails(why)) => lookup.handle_failure(&peer, why, now),
                }
            }
            Next::Finished(ending) => {
                assert_eq!(lookup.next(now + LOST), Next::Finished(ending));
                assert_eq!(lookup.trace().ending, Some(ending));
                return Run { ending, asked, took: now - start };
            }
        }
    }
}
