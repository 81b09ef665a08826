//! The table's rules, one story each.

mod flood;
mod histories;
mod model;
mod moves;
mod silences;
mod subnets;

use crate::protocol::routing::bucket::CHECK_INTERVAL;
use crate::protocol::routing::outcome::TableRefusal;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::protocol::config::AppliesTo;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::liveness::{DEPARTED_FOR, DISPLACED_FOR, MAX_DEPARTED, MAX_DISPLACED};
use model::check_invariants;

const OWN: NodeId = NodeId::ZERO;
const V: Option<u32> = Some(1);
const TIMEOUT: Duration = Duration::from_secs(2);

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A peer at a global address, each in a subnet of its own, whose id begins with `head`.
fn peer(head: u8, number: u32) -> Peer {
    let mut bytes = *NodeId::of_key(&number.to_string()).as_bytes();
    bytes[0] = head;
    let [_, a, b, c] = number.to_be_bytes();
    Peer::new(NodeId::from_bytes(bytes), SocketAddr::from(([40 + a, b, c, 1], 4_000)))
}

/// Peers of the far half of the id space, which one bucket covers for good.
fn far(number: u32) -> Peer {
    peer(0x80, number)
}

fn at(peer: Peer, text: &str) -> Peer {
    Peer::new(peer.id, addr(text))
}

/// Accessors that only tests need.
impl RoutingTable {
    fn get(&self, id: &NodeId) -> Option<&Entry> {
        self.entries().find(|entry| entry.peer.id == *id)
    }

    fn contains(&self, id: &NodeId) -> bool {
        self.get(id).is_some()
    }
}

struct Story {
    table: RoutingTable,
    now: Instant,
    /// The peers to ping after the last answer or silence.
    pings: Vec<Peer>,
}

impl Story {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        Self { table: RoutingTable::new(OWN, &config, now), now, pings: Vec::new() }
    }

    /// k = 4, max_failures = 3.
    fn small() -> Self {
        Self::new(Config::builder().k(4).build().unwrap())
    }

    /// A far bucket of four live entries, 0..4, and the near one with one entry whose answers show that the network is up.
    fn full() -> Self {
        let mut story = Self::small();
        assert_eq!(story.answers(peer(0x01, 1_000)), Insertion::Added);
        for number in 0..4 {
            assert_eq!(story.answers(far(number)), Insertion::Added);
        }
        story
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        check_invariants(&self.table);
    }

    fn answers(&mut self, peer: Peer) -> Insertion {
        self.pass(Duration::from_millis(10));
        self.answers_now(peer)
    }

    fn answers_now(&mut self, peer: Peer) -> Insertion {
        let (insertion, outcome) = self.table.peer_answered(peer, V, self.now);
        self.pings = outcome.ping;
        insertion
    }

    fn asks(&mut self, peer: Peer) -> Sighting {
        self.pass(Duration::from_millis(10));
        self.asks_now(peer)
    }

    fn asks_now(&mut self, peer: Peer) -> Sighting {
        self.table.peer_asked(peer, self.now)
    }

    /// A query sent now to `peer` times out, while the bystander answers.
    fn is_silent(&mut self, peer: Peer) -> Vec<Change> {
        let bystander = self.answers(self::peer(0x01, 1_000));
        assert!(matches!(bystander, Insertion::Refreshed | Insertion::Added));
        self.is_silent_as_all(peer)
    }

    /// A query sent now to `peer` times out, and no other peer answers meanwhile.
    fn is_silent_as_all(&mut self, peer: Peer) -> Vec<Change> {
        self.pass(TIMEOUT);
        self.falls_silent(peer)
    }

    fn falls_silent(&mut self, peer: Peer) -> Vec<Change> {
        let outcome = self.table.peer_silent(&peer, self.now);
        self.pings = outcome.ping;
        outcome.changes
    }

    fn is_replaced(&mut self, peer: Peer) -> Vec<Change> {
        let outcome = self.table.peer_replaced(&peer);
        self.pings = outcome.ping;
        outcome.changes
    }

    fn failures(&self, peer: Peer) -> u32 {
        self.table.get(&peer.id).unwrap().failures()
    }
}

proptest! {
    #[test]
    fn nearest_is_the_head_of_all_peers_sorted(seed: u64, own: [u8; 20], count in 0usize..60, shared in 0u32..=160) {
        let own = NodeId::from_bytes(own);
        let now = Instant::now();
        let mut table = RoutingTable::new(own, &Config::builder().k(8).build().unwrap(), now);
        let mut entropy = SeededEntropy::new(seed);
        for number in 0..200u32 {
            let len = entropy.below(14) as u32;
            let id = Prefix::of(&own, len).random_id(&mut entropy);
            let _ = table.peer_answered(Peer { id, ..far(number) }, V, now);
        }
        let target = Prefix::of(&own, shared).random_id(&mut entropy);
        let mut all: Vec<Peer> = table.entries().map(Entry::peer).collect();
        all.sort_by_key(|peer| peer.id.distance(&target));
        all.truncate(count);
        prop_assert_eq!(table.nearest(&target, count), all);
    }
}

#[test]
fn a_newcomer_that_only_asked_is_not_inserted() {
    let mut story = Story::small();
    assert_eq!(story.asks(far(1)), Sighting::Verify(far(1)));
    assert!(story.table.is_empty() && story.table.nearest(&OWN, 20).is_empty());
    assert_eq!(story.answers(far(1)), Insertion::Added);
    assert_eq!(story.asks(far(1)), Sighting::Known);
}

#[test]
fn asking_is_no_sign_of_life() {
    let mut story = Story::full();
    assert_eq!(story.is_silent(far(0)), []);
    let answered = story.table.get(&far(0).id).unwrap().answered;
    assert_eq!(story.asks(far(0)), Sighting::Known);
    assert_eq!(story.failures(far(0)), 1);
    assert_eq!(story.table.get(&far(0).id).unwrap().answered, answered);
}

#[test]
fn our_own_id_is_never_taken() {
    let mut story = Story::small();
    let mirror = Peer { id: OWN, ..far(1) };
    assert_eq!(story.answers(mirror), Insertion::Refused(TableRefusal::Own));
    assert_eq!(story.asks(mirror), Sighting::Ignored);
    assert!(story.table.is_empty());
}

#[test]
fn a_full_bucket_has_a_newcomer_wait_and_its_oldest_entry_checked() {
    let mut story = Story::full();
    assert_eq!(story.answers(far(9)), Insertion::Waiting);
    assert_eq!(story.pings, [far(0)]);
    assert!(!story.table.contains(&far(9).id));
    assert_eq!(story.answers(far(0)), Insertion::Refreshed);
    story.pass(CHECK_INTERVAL);
    assert_eq!(story.answers(far(9)), Insertion::Waiting);
    assert_eq!(story.pings, [far(1)]);
}

#[test]
fn a_bucket_has_one_entry_checked_a_second() {
    let mut story = Story::full();
    // 300 newcomers within 3 s.
    let checks = (10..310).filter(|number| {
        assert_eq!(story.answers(far(*number)), Insertion::Waiting);
        !story.pings.is_empty()
    });
    assert_eq!(checks.count(), 3);
}

#[test]
fn a_node_that_restarted_under_a_new_id_replaces_its_old_one() {
    let mut story = Story::full();
    let reborn = Peer { id: far(77).id, ..far(0) };
    assert_eq!(story.asks(reborn), Sighting::Verify(reborn));
    let (insertion, outcome) = story.table.peer_answered(reborn, V, story.now);
    assert_eq!(insertion, Insertion::Added);
    assert_eq!(outcome.changes, [Change::Left(far(0)), Change::Entered(reborn)]);
    assert!(!story.table.contains(&far(0).id));
    assert_eq!(story.table.len(), 5);
}

#[test]
fn an_id_that_its_address_no_longer_answers_to_is_gone_at_once() {
    let mut story = Story::full();
    let _ = story.answers(far(9));
    assert_eq!(story.is_replaced(far(0)), [Change::Left(far(0)), Change::Entered(far(9))]);
    assert_eq!(story.is_replaced(far(0)), []);
}

#[test]
fn twenty_thousand_fresh_ids_leave_live_entries_in_place() {
    let mut story = Story::full();
    for number in 2_000..22_000 {
        let stranger = far(number);
        let _ = story.asks(stranger);
        let _ = story.answers(stranger);
        for check in std::mem::take(&mut story.pings) {
            assert_eq!(story.answers(check), Insertion::Refreshed);
        }
    }
    assert!((0..4).all(|number| story.table.contains(&far(number).id)));
    assert_eq!(story.table.snapshot(story.now).replacements, 4);
    assert_eq!(story.table.addresses.size().0, 5 + 4);
}

#[test]
fn a_flood_of_strangers_causes_few_pings() {
    let mut story = Story::small();
    let pings = |story: &mut Story, numbers: std::ops::Range<u32>| {
        numbers.filter(|number| story.table.peer_asked(far(*number), story.now) != Sighting::Ignored).count()
    };
    assert_eq!(pings(&mut story, 0..20_000), 4, "k in flight where the bucket has room");
    story.pass(TIMEOUT);
    assert_eq!(pings(&mut story, 0..20_000), 4);
    assert_eq!(story.table.counters.newcomers_ignored, 2 * (20_000 - 4));
    let mut story = Story::full();
    let _ = story.answers(far(9));
    assert_eq!(pings(&mut story, 10..20_000), 1, "one in flight where it is full");
}

#[test]
fn a_newcomer_whose_ping_is_in_flight_is_not_pinged_again() {
    let mut story = Story::small();
    assert_eq!(story.asks(far(1)), Sighting::Verify(far(1)));
    assert_eq!(story.asks(far(1)), Sighting::Ignored);
    story.pass(TIMEOUT);
    assert_eq!(story.asks(far(1)), Sighting::Verify(far(1)));
}

#[test]
fn newcomers_that_answer_at_once_make_room_for_the_next() {
    let mut story = Story::small();
    // Far more, in close succession, than may be pinged at once.
    let met = (1..40).filter(|number| story.asks(far(*number)) == Sighting::Verify(far(*number)));
    assert!(met.count() < 20);
    story.pass(TIMEOUT);
    for number in 100..102 {
        assert_eq!(story.asks(far(number)), Sighting::Verify(far(number)));
        assert_ne!(story.answers(far(number)), Insertion::Refreshed);
        assert_eq!(story.asks(far(number + 10)), Sighting::Verify(far(number + 10)), "its place is free");
        assert_ne!(story.answers(far(number + 10)), Insertion::Refreshed);
    }
}

#[test]
fn ids_as_near_as_can_be_split_the_table_into_160_buckets_and_no_more() {
    let mut story = Story::new(Config::builder().k(1).build().unwrap());
    for bit in 0..160u32 {
        let id = OWN.with_bit(bit, true);
        assert_eq!(story.answers(Peer { id, ..far(bit) }), Insertion::Added);
    }
    assert_eq!(story.table.prefixes().len(), MAX_BUCKETS);
    for bit in 0..100u32 {
        let id = OWN.with_bit(bit, true).with_bit(159, true);
        assert_eq!(story.answers(Peer { id, ..far(500 + bit) }), Insertion::Waiting);
    }
    assert_eq!(story.table.prefixes().len(), MAX_BUCKETS);
    assert_eq!(story.table.len(), 160);
}

#[test]
fn a_peer_is_legacy_by_its_last_answer() {
    let mut story = Story::small();
    for (version, legacy) in [(None, true), (None, true), (V, false), (None, true)] {
        let _ = story.table.peer_answered(far(1), version, story.now);
        assert_eq!(story.table.has_legacy(), legacy);
    }
    assert_eq!(story.is_replaced(far(1)), [Change::Left(far(1))]);
    assert!(!story.table.has_legacy());
}

#[test]
fn a_bucket_is_stale_an_interval_after_a_lookup_last_touched_it_until_the_next_one_does() {
    let mut story = Story::small();
    let interval = Config::default().table.bucket_refresh_interval;
    story.pass(interval);
    assert!(story.table.stale(story.now).is_empty(), "no peer to ask");
    let mut story = Story::full();
    let (far_away, own) = (Prefix::of(&far(0).id, 1), Prefix::of(&OWN, 1));
    assert_eq!(story.table.prefixes().len(), 2);
    story.pass(interval / 2);
    story.table.touch(&far(1).id, story.now);
    story.pass(interval / 2);
    // It stays so: its lookup may have been refused.
    assert_eq!([story.table.stale(story.now), story.table.stale(story.now)], [[own]; 2]);
    story.pass(interval / 2 - Duration::from_millis(1));
    assert_eq!(story.table.stale(story.now), [own]);
    story.pass(Duration::from_millis(1));
    assert_eq!(story.table.stale(story.now), [own, far_away], "the one that has waited longest comes first");
    story.table.touch(&OWN, story.now);
    assert_eq!(story.table.stale(story.now), [far_away]);
}

#[test]
fn a_restart_gets_the_peers_that_answered_last() {
    let mut story = Story::full();
    assert_eq!(story.answers(far(2)), Insertion::Refreshed);
    assert_eq!(story.table.verified_peers(3), [far(2), far(3), far(1)]);
    assert_eq!(story.answers(far(9)), Insertion::Waiting);
    assert_eq!(story.table.verified_peers(99)[5..], [far(9)]);
}

#[test]
fn a_snapshot_shows_the_whole_table() {
    let mut story = Story::full();
    let _ = story.answers(far(9));
    let _ = story.is_silent(far(0));
    let snapshot = story.table.snapshot(story.now);
    assert_eq!((snapshot.peers, snapshot.failing, snapshot.legacy, snapshot.replacements), (5, 1, 0, 1));
    let json = serde_json::to_value(&snapshot).unwrap();
    assert_eq!(json["buckets"][0]["prefix"], "1*");
    assert_eq!(json["buckets"][0]["peers"][0]["failures"], 1);
    assert_eq!(json["buckets"][0]["peers"][0]["peer"]["node_id"], far(0).id.to_string());
    assert_eq!(json["buckets"][1]["peers"][0]["answer_age_ms"], 2_000);
}
