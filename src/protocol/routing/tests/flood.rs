//! A flood of strangers at its full rate: known peers stay, and pings and memory are bounded.

use std::collections::VecDeque;
use std::mem::size_of;

use super::*;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::liveness::{MAX_UNANSWERED_ADDRESSES, NamedBy};
use crate::protocol::message::QueryId;
use crate::protocol::pending::{Pending, Target};

const RATE: u64 = 20_000;
const SECONDS: u64 = 60;
const KNOWN: usize = 150;

/// A host of a global /24 of its own, for numbers below 2^22; the strangers' are above 2^16.
fn addr(number: u64) -> SocketAddr {
    SocketAddr::from(([64 + (number >> 16) as u8, (number >> 8) as u8, number as u8, 1], 7_000))
}

fn random_peer(entropy: &mut SeededEntropy, number: u64) -> Peer {
    Peer::new(Prefix::ALL.random_id(entropy), addr(number))
}

/// The memory of the table, in bytes; the subnets are counted at twice their number, since a B-tree is at least half full.
fn bytes(table: &RoutingTable) -> usize {
    let buckets: usize = table
        .buckets
        .iter()
        .map(|bucket| {
            let entries = (bucket.live.capacity() + bucket.waiting.capacity()) * size_of::<Entry>();
            entries + bucket.invited.capacity() * size_of::<(SocketAddr, Instant)>() + size_of::<Bucket>()
        })
        .sum();
    buckets + table.addresses.size().1 + 2 * table.diversity.counts().len() * 32
}

/// Strangers with fresh ids and addresses send queries, 20,000 a second for so many seconds. Those that the table names are
/// pinged, and the share `answering` of them answers. Returns the number of pings, and the greatest memory in bytes.
fn flood(seconds: u64, answering: f64) -> (u64, usize) {
    let (config, mut now) = (Config::default(), Instant::now());
    let mut entropy = SeededEntropy::new(0x000f_100d);
    let own = Prefix::ALL.random_id(&mut entropy);
    let mut table = RoutingTable::new(own, &config, now);
    let known: Vec<Peer> = (0..KNOWN as u64).map(|number| random_peer(&mut entropy, number)).collect();
    for peer in &known {
        let _ = table.peer_answered(*peer, Some(1), now);
    }
    let live: Vec<Peer> = table.entries().map(Entry::peer).collect();
    assert!(live.len() > 60 && !live.is_empty());

    // A stranger that is pinged answers after 50 ms, or never.
    let mut pending: Pending<Peer> = Pending::new(&config);
    let mut answers: VecDeque<(Instant, QueryId, Peer)> = VecDeque::new();
    let (mut pings, mut most) = (0, 0);
    for stranger in 0..RATE * seconds {
        now += Duration::from_secs(1) / RATE as u32;
        while answers.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, id, peer)) = answers.pop_front() else { break };
            let _ = pending.answer(peer.addr, &id, "ping", Some(peer.id), now).expect("its query is in flight");
            for check in table.peer_answered(peer, Some(1), now).1.ping {
                // The entries from before the flood are still alive.
                assert!(live.contains(&check) || table.contains(&check.id));
                let _ = table.peer_answered(check, Some(1), now);
            }
        }
        for expired in pending.expire(now) {
            let _ = table.peer_silent(&expired.waiter, now);
        }
        let peer = random_peer(&mut entropy, (1 << 16) + stranger);
        if let Sighting::Verify(newcomer) = table.peer_asked(peer, now) {
            let id = QueryId::from_u64(pings);
            let to = Target { addr: newcomer.addr, expected_id: Some(newcomer.id), named_by: NamedBy::Request };
            if pending.may_ask(to.addr, now) && pending.begin(id, to, "ping", newcomer, now).is_ok() {
                pings += 1;
                if entropy.unit() < answering {
                    answers.push_back((now + Duration::from_millis(50), id, newcomer));
                }
            }
        }
        if stranger % RATE == 0 {
            let queries = pending.counts().in_flight * 2 * size_of::<(QueryId, Peer, Target, [Instant; 8])>();
            // An answer removes its address from those that are counted.
            let silent = (pings as f64 * (1.0 - answering)) as usize;
            // One of an address and one of its host: the first entry of a queue allocates room for four.
            let sent = size_of::<(SocketAddr, VecDeque<Instant>, [Instant; 4])>();
            let unanswered = silent.min(MAX_UNANSWERED_ADDRESSES) * 2 * 2 * sent;
            most = most.max(bytes(&table) + queries + unanswered);
        }
    }
    for peer in &live {
        assert!(table.get(&peer.id).is_some_and(|entry| entry.peer() == *peer), "{peer} was displaced");
    }
    for bucket in &table.buckets {
        assert!(
            bucket.live.len() <= config.lookup.k
                && bucket.waiting.len() <= config.lookup.k
                && bucket.invited.len() <= config.lookup.k
        );
    }
    assert!(table.buckets.len() <= 2 * 20, "{} buckets", table.buckets.len());
    (pings, most)
}

#[test]
fn a_minute_of_20_000_strangers_a_second_displaces_no_peer_and_takes_less_than_a_megabyte() {
    for (seconds, answering) in [(SECONDS, 0.0), (SECONDS / 6, 1.0)] {
        let (pings, bytes) = flood(seconds, answering);
        println!("{answering} of the strangers answer: {pings} pings, {bytes} bytes at most");
        assert!(bytes < 1 << 20, "{bytes} bytes");
        // A full bucket has one newcomer pinged within a query timeout, or after its answer; one that is not k.
        assert!(pings < RATE * seconds / 20, "{pings} pings");
    }
}
