//! The limits on peers of one network, and the peers that are named to an asker.

use super::*;
use crate::protocol::routing::outcome::TableRefusal;

#[test]
fn one_subnet_gets_two_places_in_a_bucket_and_ten_in_the_table() {
    let mut story = Story::new(Config::default());
    // 17 strangers in each of seven buckets leave room for three.
    let heads = [0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02];
    for (number, head) in (0..17 * 7).zip(heads.into_iter().cycle()) {
        assert_eq!(story.answers(peer(head, number)), Insertion::Added);
    }
    let mut hosts = 1..=255u8;
    let mut answer = |head: u8| {
        let host = hosts.next().unwrap();
        story.answers(at(peer(head, 20_000 + u32::from(host)), &format!("198.51.100.{host}:1")))
    };
    let subnet = crate::protocol::peer::Subnet::of(&addr("198.51.100.1:1").ip());
    for head in &heads[..5] {
        assert_eq!(answer(*head), Insertion::Added);
        assert_eq!(answer(*head), Insertion::Added);
        assert_eq!(answer(*head), Insertion::Refused(TableRefusal::SubnetInBucket(subnet)));
    }
    assert_eq!(answer(heads[5]), Insertion::Refused(TableRefusal::SubnetInTable(subnet)));
    // A peer that could not enter is not pinged when it sends a query.
    let stranger = at(peer(0x80, 20_255), "198.51.100.255:1");
    assert_eq!(story.asks(stranger), Sighting::Ignored);
    assert_eq!(story.table.counters.refused_by_subnet, 6);
    // A place that becomes free can be taken again.
    let first = at(peer(0x80, 20_001), "198.51.100.1:1");
    assert_eq!(story.is_replaced(first), [Change::Left(first)]);
    assert_eq!(story.answers(stranger), Insertion::Added);
}

#[test]
fn a_subnet_has_its_share_of_a_replacement_cache_and_no_more() {
    let mut story = Story::full();
    let _ = story.answers(far(9));
    for host in 1..200u8 {
        let _ = story.answers(at(far(host.into()), &format!("198.51.100.{host}:1")));
    }
    assert_eq!(story.table.snapshot(story.now).replacements, 3);
    for _ in 0..2 {
        let _ = story.is_silent(far(0));
    }
    assert!(story.table.contains(&far(199).id));
}

#[test]
fn loopback_and_private_ranges_are_exempt_from_diversity_unless_it_is_always_on() {
    for (applies, expected) in [(AppliesTo::Global, 20), (AppliesTo::Off, 20), (AppliesTo::Always, 2)] {
        let mut story = Story::new(Config::builder().diversity(applies).build().unwrap());
        for number in 1..=20 {
            let _ = story.answers(at(far(number), &format!("127.0.0.1:{number}")));
        }
        assert_eq!(story.table.len(), expected, "{applies:?}");
    }
}

#[test]
fn an_asker_gets_only_peers_that_it_can_use() {
    let mut story = Story::new(Config::default());
    let (loopback, private, global, v6) =
        (at(far(1), "127.0.0.1:1"), at(far(2), "10.0.0.1:1"), far(3), at(far(4), "[2001:db8::1]:1"));
    for peer in [loopback, private, global, v6] {
        let _ = story.answers(peer);
    }
    let named = |asker: &str| {
        let mut peers = story.table.nearest_for(&OWN, 20, &addr(asker));
        peers.sort_by_key(|peer| peer.addr.to_string());
        peers
    };
    assert_eq!(named("127.0.0.1:9"), [private, loopback, global]);
    assert_eq!(named("10.0.0.9:9"), [private, global]);
    assert_eq!(named("203.0.113.1:9"), [global]);
    assert_eq!(named("[2001:db8::9]:9"), [global, v6]);
    assert_eq!(named("127.0.0.1:1"), [private, global], "an asker is not named to itself");
    assert_eq!(named("[::ffff:203.0.113.1]:9"), [global], "a mapped address is IPv4");
}
