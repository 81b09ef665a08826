//! Transfers: laws against the naive definition; then the bounds on new peers, and the order of a handoff.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::neighbours::MAX_IN_FLIGHT;
use super::new_peers::{MAX_NEW_PEERS, NewPeer};
use super::queues::MAX_QUEUES;
use super::shutdown::CHECKED_PER_K;
use super::*;
use crate::protocol::config::Config;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;
use crate::protocol::prefix::Prefix;

const SECOND: Duration = Duration::from_secs(1);

fn random(entropy: &mut SeededEntropy) -> NodeId {
    Prefix::ALL.random_id(entropy)
}

fn neighbour(id: NodeId, number: u16, legacy: bool) -> Neighbour {
    let peer = Peer::new(id, SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 7)));
    Neighbour { peer, version: (!legacy).then_some(2) }
}

/// In order of distance from the id zero.
fn near(number: u16) -> Neighbour {
    let mut id = [0; 20];
    [id[0], id[1]] = (number + 1).to_be_bytes();
    neighbour(NodeId::from_bytes(id), number, false)
}

fn copies(count: usize, bytes: usize) -> Vec<QueuedCopy> {
    (0..count).map(|n| QueuedCopy { key: n.to_string().into(), bytes }).collect()
}

proptest! {
    /// In a network in which all nodes know each other, exactly one of the old nodes transfers a key to a new peer that is
    /// among the k nearest to it, and none to another.
    #[test]
    fn exactly_one_node_transfers_a_key_to_each_new_peer_that_should_hold_it(
        seed: u64, old in 1usize..30, new in 1usize..8, k in 1usize..10, legacy in 0usize..5,
    ) {
        let mut entropy = SeededEntropy::new(seed);
        let key = random(&mut entropy);
        let kinds = [(old, false), (legacy, true), (new, false)];
        let kinds = kinds.iter().flat_map(|(count, legacy)| std::iter::repeat_n(*legacy, *count));
        let all: Vec<Neighbour> =
            kinds.enumerate().map(|(n, legacy)| neighbour(random(&mut entropy), n as u16, legacy)).collect();
        let new_peers = all[old + legacy..].to_vec();
        // One of them entered a while ago, and still has a queue.
        let (stored_at, since) = (Instant::now(), Instant::now());
        let new_peer = |neighbour: &Neighbour| NewPeer { neighbour: *neighbour, since };
        let selection = Selection {
            new_peers: new_peers[1..].iter().map(new_peer).collect(),
            in_progress: vec![new_peers[0].peer.id],
        };
        let mut order = all.clone();
        order.sort_by_key(|node| node.peer.id.distance(&key));
        let mut received: BTreeMap<NodeId, usize> = BTreeMap::new();
        for sender in &all[..old] {
            let others = all.iter().filter(|other| *other != sender).copied().collect();
            let neighbours = Neighbours::new(sender.peer.id, others);
            let selector = Selector::new(&neighbours, &selection);
            prop_assert!(selector.recipients(&key, since + SECOND, k).is_empty(), "it was stored later");
            for to in selector.recipients(&key, stored_at, k) {
                *received.entry(to.peer.id).or_default() += 1;
            }
        }
        for NewPeer { neighbour: new_peer, .. } in &selection.new_peers {
            let should_hold = order.iter().take(k).any(|node| node == new_peer);
            prop_assert_eq!(received.get(&new_peer.peer.id).copied().unwrap_or(0), usize::from(should_hold));
        }
    }

    /// Whichever nodes leave: while enough are left, the number of copies stays the same.
    #[test]
    fn each_node_that_leaves_has_a_recipient_that_lacks_its_copy(
        seed: u64, nodes in 12usize..40, k in 1usize..5, gone in 1usize..8,
    ) {
        let mut entropy = SeededEntropy::new(seed);
        let key = random(&mut entropy);
        let mut left: Vec<Neighbour> = (0..nodes).map(|n| neighbour(random(&mut entropy), n as u16, false)).collect();
        left.sort_by_key(|node| node.peer.id.distance(&key));
        let mut holders: Vec<NodeId> = left.iter().take(k).map(|node| node.peer.id).collect();
        for _ in 0..gone {
            let leaving = holders.remove(entropy.below(holders.len() as u64) as usize);
            left.retain(|node| node.peer.id != leaving);
            let recipients = Neighbours::new(leaving, left.clone()).recipients(&key, k);
            let recipient = recipients.iter().find(|recipient| !holders.contains(&recipient.id));
            holders.push(recipient.expect("one of them lacks it").id);
            prop_assert!(recipients.len() <= 2 * k && !recipients.iter().any(|recipient| recipient.id == leaving));
            // The holders are exactly the nearest that are left.
            prop_assert!(left.iter().take(k).all(|node| holders.contains(&node.peer.id)));
        }
    }

    /// For all peers and queues: in no second does one receive more than its rate, nor all of them more than four times that;
    /// transfers in flight are bounded; and each receives its queue, in order.
    #[test]
    fn peers_receive_copies_within_their_rates(seed: u64, rate in 1u32..200, count in 1u16..10, each in 1usize..60) {
        let mut entropy = SeededEntropy::new(seed);
        let config = Config::builder().handoff_rate(rate).build().unwrap();
        let mut queues = Queues::new(&config, 20);
        let mut now = Instant::now();
        for n in 0..count {
            prop_assert!(queues.push(near(n), copies(each, entropy.below(3_000) as usize), now));
        }
        let mut received: Vec<(Instant, NodeId, Arc<str>)> = Vec::new();
        let mut in_flight: Vec<NodeId> = Vec::new();
        while received.len() < usize::from(count) * each || !in_flight.is_empty() {
            while let Some((to, copies)) = queues.next(now) {
                prop_assert_eq!(copies.len(), 1, "it does not reconcile");
                received.push((now, to.peer.id, copies[0].key.clone()));
                in_flight.push(to.peer.id);
            }
            let one = in_flight.first().map_or(0, |first| in_flight.iter().filter(|id| *id == first).count());
            prop_assert!(one <= MAX_IN_FLIGHT);
            if !in_flight.is_empty() && entropy.below(2) == 0 {
                let id = in_flight.swap_remove(entropy.below(in_flight.len() as u64) as usize);
                queues.ended(&id, 1, true);
            }
            let wakeup = queues.next_wakeup().unwrap_or(now);
            now = wakeup.max(now) + Duration::from_millis(entropy.below(3));
        }
        prop_assert_eq!(queues.next_wakeup(), None);
        for (at, id, _) in &received {
            let within = |other: &&(Instant, NodeId, Arc<str>)| other.0 >= *at && other.0 < *at + SECOND;
            prop_assert!(received.iter().filter(within).filter(|(_, other, _)| other == id).count() <= rate as usize);
            prop_assert!(received.iter().filter(within).count() <= 4 * rate as usize + 1);
        }
        for n in 0..count {
            let of = received.iter().filter(|(_, id, _)| *id == near(n).peer.id).map(|(.., key)| key.to_string());
            prop_assert_eq!(of.collect::<Vec<_>>(), (0..each).map(|n| n.to_string()).collect::<Vec<_>>());
        }
    }
}

fn new_peers() -> (NewPeers, Instant) {
    (NewPeers::new(&Config::default()), Instant::now())
}

#[test]
fn new_peers_are_collected_for_a_second_and_selected_for_together() {
    let (mut new_peers, now) = new_peers();
    let none = std::iter::empty::<NodeId>;
    assert!(new_peers.entered(near(1), now) && new_peers.entered(near(2), now + SECOND / 2));
    assert_eq!((new_peers.next_wakeup(), new_peers.selection(none(), now + SECOND / 2)), (Some(now + SECOND), None));
    let selection = new_peers.selection([near(3).peer.id].into_iter(), now + SECOND).unwrap();
    assert_eq!(selection.new_peers[1], NewPeer { neighbour: near(2), since: now + SECOND / 2 });
    assert_eq!(
        (selection.new_peers.len(), selection.new_peers[0].neighbour, selection.in_progress),
        (2, near(1), vec![near(3).peer.id])
    );
    assert_eq!((new_peers.next_wakeup(), new_peers.selection(none(), now + 9 * SECOND)), (None, None));
    let mut off = NewPeers::new(&Config::builder().handoff_rate(0).build().unwrap());
    assert!(off.entered(near(1), now) && off.next_wakeup().is_none());
}

fn queues() -> (Queues, Instant) {
    (Queues::new(&Config::builder().handoff_rate(100).build().unwrap(), 20), Instant::now())
}

/// The same, of a version that reconciles.
fn reconciling(number: u16) -> Neighbour {
    Neighbour { version: Some(3), ..near(number) }
}

#[test]
fn a_storm_of_new_peers_and_of_copies_beyond_the_bounds_is_refused() {
    let (mut new_peers, now) = new_peers();
    for n in 0..1_000 {
        assert_eq!(new_peers.entered(near(n), now), usize::from(n) < MAX_NEW_PEERS);
    }
    let selection = new_peers.selection(std::iter::empty(), now + SECOND).unwrap();
    assert_eq!(selection.new_peers.len(), MAX_NEW_PEERS);
    let (mut queues, _) = queues();
    for n in 0..1_000 {
        assert_eq!(queues.push(near(n), copies(2, 10), now), usize::from(n) < MAX_QUEUES);
    }
    queues.clear();
    assert_eq!((queues.next(now), queues.next_wakeup(), queues.len()), (None, None, 0));

    assert!(queues.push(near(0), copies(8_000, 10), now) && queues.push(near(0), copies(8_000, 10), now));
    let (mut at, mut received) = (now + SECOND, 0);
    while queues.next(at).is_some() {
        queues.ended(&near(0).peer.id, 1, true);
        (at, received) = (at + SECOND, received + 1);
    }
    assert_eq!((received, queues.recipients().count()), (MAX_COPIES_PER_PEER, 0));
    for n in 0..20 {
        assert!(queues.push(near(n), copies(MAX_COPIES_PER_PEER, 10), now));
    }
    assert_eq!((queues.len(), queues.recipients().count()), (100_000, 10), "all together have a bound as well");
}

#[test]
fn a_peer_that_does_not_answer_or_comes_back_receives_nothing_more_of_its_queue() {
    let (mut queues, now) = queues();
    assert!(queues.push(near(1), copies(100, 10), now) && queues.push(near(2), copies(100, 10), now));
    assert_eq!(queues.next(now).unwrap().0, near(1));
    queues.ended(&near(1).peer.id, 1, false);
    let later = now + SECOND;
    assert_eq!(queues.next(later).unwrap().0, near(2));
    queues.left(&near(2).peer.id);
    assert_eq!((queues.next(later + SECOND), queues.len()), (None, 0));
    queues.ended(&near(2).peer.id, 1, true);
}

#[test]
fn a_peer_that_reconciles_is_named_many_copies_at_once_within_the_same_rates() {
    let sizes = |to: Neighbour, bytes: usize| {
        let (mut queues, mut at) = queues();
        assert!(queues.push(to, copies(45, bytes), at));
        let mut sizes = Vec::new();
        while let Some((_, copies)) = queues.next(at) {
            queues.ended(&to.peer.id, copies.len(), true);
            sizes.push(copies.len());
            let next = queues.next_wakeup();
            let paused = next.map_or(Duration::ZERO, |next| next - at);
            assert!(next.is_none() || paused >= SECOND * copies.len() as u32 / 100, "{paused:?}");
            at = next.unwrap_or(at);
        }
        sizes
    };
    assert_eq!(sizes(reconciling(1), 100), [20, 20, 5]);
    assert_eq!(sizes(reconciling(2), 60_000), [1; 45]);
    let limited = Peer::new(near(1).peer.id, SocketAddr::from(([198, 51, 100, 1], 7)));
    assert_eq!(sizes(Neighbour { peer: limited, version: Some(3) }, 100), [8, 8, 8, 8, 8, 5]);
}

#[test]
fn large_values_take_longer_and_a_global_address_receives_what_its_rate_allows() {
    let per_minute = |bytes, to: Neighbour| {
        let (mut queues, mut now) = queues();
        assert!(queues.push(to, copies(MAX_COPIES_PER_PEER, bytes), now));
        let (end, mut received) = (now + 60 * SECOND, 0);
        while now < end {
            while let Some((_, copies)) = queues.next(now) {
                queues.ended(&to.peer.id, copies.len(), true);
                received += copies.len();
            }
            now = queues.next_wakeup().unwrap();
        }
        received
    };
    let global =
        Neighbour { peer: Peer::new(near(1).peer.id, SocketAddr::from(([198, 51, 100, 1], 7))), version: Some(2) };
    assert_eq!(per_minute(100, near(1)), 6_000);
    // 512 KiB a second.
    assert!((520..=525).contains(&per_minute(60_000, near(1))), "{}", per_minute(60_000, near(1)));
    // 50 datagrams a second, of which a fifth is left for others, and each value counts as five.
    assert_eq!(per_minute(100, global), 480);
    assert_eq!(per_minute(100, Neighbour { version: Some(3), ..global }), 480);
}

#[test]
fn copies_are_restored_to_those_of_the_k_nearest_that_do_not_reconcile() {
    let key = NodeId::ZERO;
    let known = |others: &[(u16, Option<u32>)]| -> Neighbours {
        let known = others.iter().map(|(number, version)| Neighbour { version: *version, ..near(*number) });
        Neighbours::new(near(2).peer.id, known.collect())
    };
    let restored = |neighbours: Neighbours, k| {
        neighbours.restored(&key, k).map(|(to, reconcile)| (to.iter().map(|to| to.peer).collect::<Vec<_>>(), reconcile))
    };
    let mixed = [(0, None), (1, Some(3)), (3, Some(2)), (4, None), (5, Some(3))];
    assert_eq!(restored(known(&mixed), 4), Some((vec![near(0).peer, near(3).peer], 2)));
    assert_eq!(restored(known(&mixed), 2), None, "it is none of the two nearest");
    assert_eq!(restored(known(&mixed), 20), Some((vec![near(0).peer, near(3).peer, near(4).peer], 3)));
    assert_eq!(restored(known(&[(1, Some(3)), (5, None)]), 2), None, "all of them reconcile");
    let neighbours = known(&mixed);
    for (number, k, holds) in [(0, 1, true), (2, 2, false), (2, 3, true), (9, 5, false), (9, 7, true)] {
        assert_eq!(neighbours.is_holder(&near(number).peer.id, &key, k), holds, "{number} {k}");
    }
}

#[test]
fn one_of_the_three_nearest_that_reconcile_is_chosen_by_chance() {
    let mut entropy = SeededEntropy::new(1);
    let known: Vec<Neighbour> =
        (1..9).map(|number| Neighbour { version: (number % 2 == 0).then_some(3), ..near(number) }).collect();
    let neighbours = Neighbours::new(near(20).peer.id, known);
    let chosen: BTreeSet<NodeId> =
        (0..50).filter_map(|_| neighbours.near_reconciling(&NodeId::ZERO, &mut entropy)).map(|to| to.peer.id).collect();
    assert_eq!(chosen, [2, 4, 6].map(|number| near(number).peer.id).into());
    let legacy = Neighbours::new(near(20).peer.id, vec![Neighbour { version: None, ..near(1) }]);
    assert_eq!(legacy.near_reconciling(&NodeId::ZERO, &mut entropy), None);
}

fn copy(number: usize) -> HandoffCopy {
    HandoffCopy { key: number.to_string().into(), id: NodeId::ZERO }
}

#[test]
fn recipients_come_after_the_holders_and_a_node_that_should_not_hold_a_copy_asks_the_nearest() {
    let key = NodeId::ZERO;
    let recipients = |own: u16, of: std::ops::Range<u16>| {
        let known = of.filter(|n| *n != own).map(near).collect();
        let recipients = Neighbours::new(near(own).peer.id, known).recipients(&key, 3);
        recipients.into_iter().map(|recipient| u16::from(recipient.id.as_bytes()[1]) - 1).collect::<Vec<_>>()
    };
    assert_eq!(recipients(0, 0..20), [3, 4, 5, 6]);
    assert_eq!(recipients(2, 0..20), [3, 4, 5, 6]);
    assert_eq!(recipients(3, 0..20), [0, 1, 2], "it is none of the three nearest");
    assert_eq!(recipients(9, 0..2), [0, 1], "there are fewer than should hold it");
    assert_eq!(recipients(9, 0..0), [0; 0]);
}

#[test]
fn a_handoff_begins_with_a_liveness_check_and_slow_peers_are_no_recipients() {
    let now = Instant::now();
    let config = Config::builder().k(3).build().unwrap();
    let known: Vec<Neighbour> = (1..40).map(near).collect();
    let neighbours = Neighbours::new(near(0).peer.id, known);
    let mut handoff = ShutdownHandoff::new(vec![copy(0)], neighbours.clone(), &config, now);
    let checked = handoff.liveness_check();
    assert_eq!(checked.len(), CHECKED_PER_K * 3);
    assert_eq!(handoff.next(now), None, "their check has not ended");
    for peer in &checked {
        assert_eq!(handoff.late(&peer.id), Some(*peer), "one datagram may be lost");
        assert_eq!(handoff.next(now), None);
    }
    for peer in &checked {
        assert_eq!(handoff.late(&peer.id), None);
        assert_eq!(handoff.late(&peer.id), None, "the check has ended");
    }
    // Two of them were only slow; all others have gone.
    handoff.answered(&near(1).peer.id);
    handoff.answered(&near(5).peer.id);
    let (_, recipients) = handoff.next(now).unwrap();
    assert_eq!(recipients.iter().map(|recipient| recipient.id.as_bytes()[1] - 1).collect::<Vec<_>>(), [13, 14, 15, 16]);
    assert!(!handoff.is_over());
    handoff.ended();
    assert!(handoff.is_over());

    let mut nothing = ShutdownHandoff::new(Vec::new(), neighbours, &config, now);
    assert!(nothing.liveness_check().is_empty() && nothing.is_over());
}

#[test]
fn a_handoff_has_64_transfers_in_flight_and_sends_a_global_address_no_more_than_its_rate_allows() {
    let now = Instant::now();
    let config = Config::builder().k(1).build().unwrap();
    let values = |count| (0..count).map(copy).collect::<Vec<_>>();
    let mut handoff =
        ShutdownHandoff::new(values(20_000), Neighbours::new(near(0).peer.id, vec![near(1)]), &config, now);
    let begun = std::iter::from_fn(|| handoff.next(now)).count();
    assert_eq!(begun, MAX_IN_FLIGHT);
    handoff.ended();
    assert_eq!(handoff.next(now).unwrap().0.as_ref(), "64", "in their order");
    let mut all = begun + 1;
    while !handoff.is_over() {
        handoff.ended();
        all += usize::from(handoff.next(now).is_some());
    }
    assert_eq!(all, MAX_HANDOFF_COPIES);

    let global =
        Neighbour { peer: Peer::new(near(1).peer.id, SocketAddr::from(([198, 51, 100, 1], 7))), version: Some(2) };
    let mut handoff = ShutdownHandoff::new(values(500), Neighbours::new(near(0).peer.id, vec![global]), &config, now);
    let mut received = 0;
    for tenth in 0..=20 {
        while handoff.next(now + SECOND * tenth / 10).is_some() {
            handoff.ended();
            received += 1;
        }
        assert!(handoff.next_wakeup().is_some(), "the rest waits");
    }
    // Half of the burst of 100, and two seconds of four fifths of 50; each value counts as five.
    assert_eq!(received, (50 + 80) / 5);
}
