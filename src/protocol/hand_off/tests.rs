//! Who gives what to whom: laws against the naive definition; then the bounds on newcomers, and the order of a farewell.

use crate::protocol::hand_off::farewell::CALLED_PER_K;
use crate::protocol::hand_off::newcomers::{MAX_NEWCOMERS, Newcomer};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::protocol::config::Config;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::prefix::Prefix;

const SECOND: Duration = Duration::from_secs(1);

fn random(entropy: &mut SeededEntropy) -> NodeId {
    Prefix::ALL.random_id(entropy)
}

fn neighbour(id: NodeId, number: u16, legacy: bool) -> Neighbour {
    Neighbour { peer: Peer::new(id, SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 7))), legacy }
}

/// In order of distance from the id zero.
fn near(number: u16) -> Neighbour {
    let mut id = [0; 20];
    [id[0], id[1]] = (number + 1).to_be_bytes();
    neighbour(NodeId::from_bytes(id), number, false)
}

fn gifts(count: usize, bytes: usize) -> Vec<Gift> {
    (0..count).map(|n| Gift { key: n.to_string().into(), bytes }).collect()
}

proptest! {
    /// In a network in which everybody knows everybody: of the old nodes, exactly one gives a key to a newcomer that is
    /// among the k nearest to it, and nobody to another.
    #[test]
    fn exactly_one_node_gives_a_key_to_each_newcomer_that_should_hold_it(
        seed: u64, old in 1usize..30, new in 1usize..8, k in 1usize..10, legacy in 0usize..5,
    ) {
        let mut entropy = SeededEntropy::new(seed);
        let key = random(&mut entropy);
        let kinds = [(old, false), (legacy, true), (new, false)];
        let kinds = kinds.iter().flat_map(|(count, legacy)| std::iter::repeat_n(*legacy, *count));
        let all: Vec<Neighbour> =
            kinds.enumerate().map(|(n, legacy)| neighbour(random(&mut entropy), n as u16, legacy)).collect();
        let newcomers = all[old + legacy..].to_vec();
        // One of them came a while ago, and is still being served.
        let (stored_at, since) = (Instant::now(), Instant::now());
        let newcomer = |who: &Neighbour| Newcomer { who: *who, since };
        let look = Look {
            newcomers: newcomers[1..].iter().map(newcomer).collect(),
            unsettled: vec![newcomers[0].peer.id],
        };
        let mut order = all.clone();
        order.sort_by_key(|node| node.peer.id.distance(&key));
        let mut given: BTreeMap<NodeId, usize> = BTreeMap::new();
        for giver in &all[..old] {
            let others = all.iter().filter(|other| *other != giver).copied().collect();
            let neighbours = Neighbours::new(giver.peer.id, others);
            let serving = neighbours.serving(&look);
            prop_assert!(serving.of(&key, since + SECOND, k).is_empty(), "it came later");
            for to in serving.of(&key, stored_at, k) {
                *given.entry(to.peer.id).or_default() += 1;
            }
        }
        for Newcomer { who: newcomer, .. } in &look.newcomers {
            let should_hold = order.iter().take(k).any(|node| node == newcomer);
            prop_assert_eq!(given.get(&newcomer.peer.id).copied().unwrap_or(0), usize::from(should_hold));
        }
    }

    /// Whoever leaves, whoever left before him: while enough nodes are left, the number of copies stays what it was.
    #[test]
    fn each_node_that_leaves_has_somebody_who_lacks_its_copy(
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
            let heirs = Neighbours::new(leaving, left.clone()).heirs(&key, k);
            let heir = heirs.iter().find(|heir| !holders.contains(&heir.id));
            holders.push(heir.expect("somebody lacks it").id);
            prop_assert!(heirs.len() <= 2 * k && !heirs.iter().any(|heir| heir.id == leaving));
            // They are exactly those who are the nearest now.
            prop_assert!(left.iter().take(k).all(|node| holders.contains(&node.peer.id)));
        }
    }

    /// However newcomers come, whatever they are to be given: in no second does one get more than its rate, nor all of them
    /// more than four times that; what is on its way and what waits is bounded; and each gets what it was to get, in order.
    #[test]
    fn newcomers_are_served_within_their_rates(seed: u64, rate in 1u32..200, count in 1u16..10, each in 1usize..60) {
        let mut entropy = SeededEntropy::new(seed);
        let config = Config::builder().hand_off_rate(rate).build().unwrap();
        let mut newcomers = Newcomers::new(&config);
        let mut now = Instant::now();
        for n in 0..count {
            prop_assert!(newcomers.serve(near(n), gifts(each, entropy.below(3_000) as usize), now));
        }
        let mut given: Vec<(Instant, NodeId, Arc<str>)> = Vec::new();
        let mut in_flight: Vec<NodeId> = Vec::new();
        while given.len() < usize::from(count) * each || !in_flight.is_empty() {
            while let Some((to, gift)) = newcomers.next(now) {
                given.push((now, to.peer.id, gift.key));
                in_flight.push(to.peer.id);
            }
            let one = in_flight.first().map_or(0, |first| in_flight.iter().filter(|id| *id == first).count());
            prop_assert!(one <= MAX_IN_FLIGHT);
            if !in_flight.is_empty() && entropy.below(2) == 0 {
                let id = in_flight.swap_remove(entropy.below(in_flight.len() as u64) as usize);
                newcomers.ended(&id, true);
            }
            let wakeup = newcomers.next_wakeup().unwrap_or(now);
            now = wakeup.max(now) + Duration::from_millis(entropy.below(3));
        }
        prop_assert_eq!(newcomers.next_wakeup(), None);
        for (at, id, _) in &given {
            let within = |other: &&(Instant, NodeId, Arc<str>)| other.0 >= *at && other.0 < *at + SECOND;
            prop_assert!(given.iter().filter(within).filter(|(_, other, _)| other == id).count() <= rate as usize);
            prop_assert!(given.iter().filter(within).count() <= 4 * rate as usize + 1);
        }
        for n in 0..count {
            let of = given.iter().filter(|(_, id, _)| *id == near(n).peer.id).map(|(.., key)| key.to_string());
            prop_assert_eq!(of.collect::<Vec<_>>(), (0..each).map(|n| n.to_string()).collect::<Vec<_>>());
        }
    }
}

fn newcomers() -> (Newcomers, Instant) {
    (Newcomers::new(&Config::default()), Instant::now())
}

#[test]
fn newcomers_are_gathered_for_a_second_and_looked_at_together() {
    let (mut newcomers, now) = newcomers();
    assert!(newcomers.entered(near(1), now) && newcomers.entered(near(2), now + SECOND / 2));
    assert_eq!((newcomers.next_wakeup(), newcomers.look(now + SECOND / 2)), (Some(now + SECOND), None));
    let look = newcomers.look(now + SECOND).unwrap();
    assert_eq!(look.newcomers[1], Newcomer { who: near(2), since: now + SECOND / 2 });
    assert_eq!((look.newcomers.len(), look.newcomers[0].who, look.unsettled), (2, near(1), vec![]));
    assert_eq!((newcomers.next_wakeup(), newcomers.look(now + 9 * SECOND)), (None, None));
    assert!(newcomers.serve(near(1), gifts(2, 10), now) && newcomers.serve(near(2), Vec::new(), now));
    assert!(newcomers.entered(near(3), now));
    let look = newcomers.look(now + SECOND).unwrap();
    assert_eq!(look.unsettled, [near(1).peer.id], "whoever lacks nothing is no newcomer any more");
}

#[test]
fn beyond_its_bounds_a_storm_of_newcomers_is_turned_away() {
    let (mut newcomers, now) = newcomers();
    for n in 0..1_000 {
        assert_eq!(newcomers.entered(near(n), now), usize::from(n) < MAX_NEWCOMERS);
    }
    let look = newcomers.look(now + SECOND).unwrap();
    assert_eq!(look.newcomers.len(), MAX_NEWCOMERS);
    for n in 0..1_000 {
        assert_eq!(newcomers.serve(near(n), gifts(2, 10), now), usize::from(n) < MAX_NEWCOMERS);
    }
    newcomers.clear();
    assert_eq!((newcomers.next(now), newcomers.next_wakeup()), (None, None));

    assert!(newcomers.serve(near(0), gifts(MAX_GIFTS + 5, 10), now));
    let (mut at, mut given) = (now + SECOND, 0);
    while newcomers.next(at).is_some() {
        newcomers.ended(&near(0).peer.id, true);
        (at, given) = (at + SECOND, given + 1);
    }
    assert_eq!(given, MAX_GIFTS);
}

#[test]
fn a_newcomer_that_does_not_answer_or_comes_anew_gets_nothing_more_of_what_waits() {
    let (mut newcomers, now) = newcomers();
    assert!(newcomers.serve(near(1), gifts(100, 10), now) && newcomers.serve(near(2), gifts(100, 10), now));
    assert_eq!(newcomers.next(now).unwrap().0, near(1));
    newcomers.ended(&near(1).peer.id, false);
    let later = now + SECOND;
    assert_eq!(newcomers.next(later).unwrap().0, near(2));
    assert!(newcomers.entered(near(2), later));
    assert_eq!(newcomers.next(later + SECOND), None);
    newcomers.ended(&near(2).peer.id, true);
    let mut off = Newcomers::new(&Config::builder().hand_off_rate(0).build().unwrap());
    assert!(off.entered(near(1), now) && off.next_wakeup().is_none());
}

#[test]
fn large_values_take_longer_and_a_global_address_gets_what_its_rate_bears() {
    let per_minute = |bytes, to: Neighbour| {
        let (mut newcomers, mut now) = newcomers();
        assert!(newcomers.serve(to, gifts(MAX_GIFTS, bytes), now));
        let (end, mut given) = (now + 60 * SECOND, 0);
        while now < end {
            while newcomers.next(now).is_some() {
                newcomers.ended(&to.peer.id, true);
                given += 1;
            }
            now = newcomers.next_wakeup().unwrap();
        }
        given
    };
    let global =
        Neighbour { peer: Peer::new(near(1).peer.id, SocketAddr::from(([198, 51, 100, 1], 7))), legacy: false };
    assert_eq!(per_minute(100, near(1)), 6_000);
    // 512 KiB a second.
    assert!((520..=525).contains(&per_minute(60_000, near(1))), "{}", per_minute(60_000, near(1)));
    // 50 datagrams a second, of which a fifth is left for others, and each value counts as five.
    assert_eq!(per_minute(100, global), 480);
}

fn parting(number: usize) -> Parting {
    Parting { key: number.to_string().into(), id: NodeId::ZERO }
}

#[test]
fn heirs_are_those_who_come_after_the_holders_and_who_is_no_holder_looks_to_the_nearest() {
    let key = NodeId::ZERO;
    let heirs = |own: u16, of: std::ops::Range<u16>| {
        let known = of.filter(|n| *n != own).map(near).collect();
        let heirs = Neighbours::new(near(own).peer.id, known).heirs(&key, 3);
        heirs.into_iter().map(|heir| u16::from(heir.id.as_bytes()[1]) - 1).collect::<Vec<_>>()
    };
    assert_eq!(heirs(0, 0..20), [3, 4, 5, 6]);
    assert_eq!(heirs(2, 0..20), [3, 4, 5, 6]);
    assert_eq!(heirs(3, 0..20), [0, 1, 2], "it is none of the three nearest");
    assert_eq!(heirs(9, 0..2), [0, 1], "there are fewer than should hold it");
    assert_eq!(heirs(9, 0..0), [0; 0]);
}

#[test]
fn a_farewell_begins_with_a_roll_call_and_those_who_are_slow_are_no_heirs() {
    let now = Instant::now();
    let config = Config::builder().k(3).build().unwrap();
    let known: Vec<Neighbour> = (1..40).map(near).collect();
    let neighbours = Neighbours::new(near(0).peer.id, known);
    let mut farewell = Farewell::new(vec![parting(0)], neighbours.clone(), &config, now);
    let called = farewell.roll_call();
    assert_eq!(called.len(), CALLED_PER_K * 3);
    assert_eq!(farewell.next(now), None, "nothing is known of them yet");
    for peer in &called {
        assert_eq!(farewell.is_late(&peer.id), Some(*peer), "a datagram lost says little");
        assert_eq!(farewell.next(now), None);
    }
    for peer in &called {
        assert_eq!(farewell.is_late(&peer.id), None);
        assert_eq!(farewell.is_late(&peer.id), None, "what is known is known");
    }
    // Two of them were only slow; all others have gone.
    farewell.is_there(&near(1).peer.id);
    farewell.is_there(&near(5).peer.id);
    let (_, heirs) = farewell.next(now).unwrap();
    assert_eq!(heirs.iter().map(|heir| heir.id.as_bytes()[1] - 1).collect::<Vec<_>>(), [13, 14, 15, 16]);
    assert!(!farewell.is_over());
    farewell.ended();
    assert!(farewell.is_over());

    let mut nothing = Farewell::new(Vec::new(), neighbours, &config, now);
    assert!(nothing.roll_call().is_empty() && nothing.is_over());
}

#[test]
fn a_farewell_has_64_values_on_their_way_and_sends_a_global_address_no_more_than_it_bears() {
    let now = Instant::now();
    let config = Config::builder().k(1).build().unwrap();
    let values = |count| (0..count).map(parting).collect::<Vec<_>>();
    let mut farewell = Farewell::new(values(20_000), Neighbours::new(near(0).peer.id, vec![near(1)]), &config, now);
    let begun = std::iter::from_fn(|| farewell.next(now)).count();
    assert_eq!(begun, MAX_IN_FLIGHT);
    farewell.ended();
    assert_eq!(farewell.next(now).unwrap().0.as_ref(), "64", "in their order");
    let mut all = begun + 1;
    while !farewell.is_over() {
        farewell.ended();
        all += usize::from(farewell.next(now).is_some());
    }
    assert_eq!(all, MAX_PARTING);

    let global =
        Neighbour { peer: Peer::new(near(1).peer.id, SocketAddr::from(([198, 51, 100, 1], 7))), legacy: false };
    let mut farewell = Farewell::new(values(500), Neighbours::new(near(0).peer.id, vec![global]), &config, now);
    let mut given = 0;
    for tenth in 0..=20 {
        while farewell.next(now + SECOND * tenth / 10).is_some() {
            farewell.ended();
            given += 1;
        }
        assert!(farewell.next_wakeup().is_some(), "the rest waits");
    }
    // Half of the burst of 100, and two seconds of four fifths of 50; each value counts as five.
    assert_eq!(given, (50 + 80) / 5);
}
