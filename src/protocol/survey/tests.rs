//! Laws of a survey, against brute force on random networks.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::protocol::entropy::{Entropy, SeededEntropy};

fn random_id(entropy: &mut SeededEntropy) -> NodeId {
    let mut bytes = [0; 20];
    entropy.fill(&mut bytes);
    NodeId::from_bytes(bytes)
}

/// A network of `count` random nodes; with `clustered`, most of them share their first bits.
fn network(count: usize, clustered: bool, entropy: &mut SeededEntropy) -> Vec<Surveyed> {
    let node = |_| {
        let mut id = random_id(entropy);
        if clustered && entropy.below(4) > 0 {
            id = (0..9).fold(id, |id, bit| id.with_bit(bit, bit % 2 == 0));
        }
        Surveyed { peer: Peer::new(id, SocketAddr::from(([192, 0, 2, 1], 1))), reconciles: true }
    };
    (0..count).map(node).collect()
}

fn nearest(nodes: &[Surveyed], target: &NodeId, k: usize) -> Vec<Surveyed> {
    let mut nodes = nodes.to_vec();
    nodes.sort_by_key(|node| node.peer.id.distance(target));
    nodes.truncate(k);
    nodes
}

/// The places of `place`, and how many lookups they took.
fn places(survey: &mut Survey, nodes: &[Surveyed], place: &NodeId, now: Instant) -> (Vec<Surveyed>, usize) {
    for lookups in 0..200 {
        match survey.places(place) {
            Ok(places) => return (places, lookups),
            Err(target) => survey.learned(&target, &nearest(nodes, &target, survey.k), now),
        }
    }
    panic!("it asks without end for the places of {place}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_places_of_any_value_are_its_k_nearest_nodes(
        seed: u64, count in 0usize..300, clustered: bool, k in 1usize..=20, values in 1usize..100,
    ) {
        let mut entropy = SeededEntropy::new(seed);
        let nodes = network(count, clustered, &mut entropy);
        let (mut survey, now) = (Survey::new(k), Instant::now());
        for _ in 0..values {
            let place = random_id(&mut entropy);
            let (places, _) = places(&mut survey, &nodes, &place, now);
            prop_assert_eq!(places, nearest(&nodes, &place, k));
        }
    }

    #[test]
    fn a_lone_value_takes_one_lookup_of_its_own_place(seed: u64, count in 0usize..300, k in 1usize..=20) {
        let mut entropy = SeededEntropy::new(seed);
        let nodes = network(count, false, &mut entropy);
        let (mut survey, place) = (Survey::new(k), random_id(&mut entropy));
        prop_assert_eq!(survey.places(&place), Err(place));
        let (found, lookups) = places(&mut survey, &nodes, &place, Instant::now());
        prop_assert_eq!((found, lookups), (nearest(&nodes, &place, k), 1));
    }
}

/// The lookups that it takes to find the places of `values` values in the order of their places, as a pass does.
fn lookups_for(values: usize, count: usize, clustered: bool, seed: u64) -> usize {
    let mut entropy = SeededEntropy::new(seed);
    let nodes = network(count, clustered, &mut entropy);
    let mut ids: Vec<NodeId> = (0..values).map(|_| random_id(&mut entropy)).collect();
    ids.sort();
    let (mut survey, now) = (Survey::new(20), Instant::now());
    ids.iter().map(|place| places(&mut survey, &nodes, place, now).1).sum()
}

#[test]
fn the_places_of_a_hundred_thousand_values_among_a_thousand_nodes_take_a_few_hundred_lookups() {
    // Each takes 5 s in a debug build of the library without optimisation, so half of the values stand for all: what decides is the
    // number of nodes.
    for seed in 0..2 {
        let lookups = lookups_for(50_000, 1_000, false, seed);
        assert!((50..=500).contains(&lookups), "{lookups} with seed {seed}");
    }
    assert!(lookups_for(50_000, 1_000, true, 3) <= 500);
    assert_eq!(lookups_for(50_000, 19, false, 4), 1, "a network of fewer than k nodes is known at once");
}

#[test]
fn a_node_that_is_gone_is_no_place_and_the_one_behind_it_is_looked_for() {
    let mut entropy = SeededEntropy::new(9);
    let mut nodes = network(200, false, &mut entropy);
    let (mut survey, place, now) = (Survey::new(20), random_id(&mut entropy), Instant::now());
    let (before, _) = places(&mut survey, &nodes, &place, now);
    let gone = before[3].peer.id;
    nodes.retain(|node| node.peer.id != gone);
    survey.lost(&gone);
    let (after, lookups) = places(&mut survey, &nodes, &place, now);
    assert_eq!(after, nearest(&nodes, &place, 20));
    assert!(lookups <= 5, "{lookups}");
}

#[test]
fn what_is_known_is_forgotten_after_ten_minutes_and_beyond_the_bound() {
    let mut entropy = SeededEntropy::new(10);
    let nodes = network(200, false, &mut entropy);
    let (mut survey, place, start) = (Survey::new(20), random_id(&mut entropy), Instant::now());
    places(&mut survey, &nodes, &place, start);
    survey.forget(start + KNOWN_FOR);
    assert!(survey.places(&place).is_ok());
    survey.forget(start + KNOWN_FOR + Duration::from_millis(1));
    assert_eq!(survey.places(&place), Err(place));
    assert!(survey.nodes.is_empty() && survey.regions.len() == 0);

    for n in 0..3 * MAX_KNOWN as u64 / 20 {
        let nodes = network(20, false, &mut SeededEntropy::new(n));
        survey.learned(&random_id(&mut entropy), &nearest(&nodes, &place, 20), start);
        assert!(survey.nodes.len() <= MAX_KNOWN && survey.regions.len() <= MAX_KNOWN + 25, "{n}");
    }
}
