use std::time::Duration;

use super::*;
use crate::protocol::config::Config;
use crate::protocol::entropy::SeededEntropy;
use crate::protocol::entry::MAX_ENTRIES;
use proptest::prelude::*;
use std::collections::HashMap;

const PING_LEN: usize = 140;

fn global(host: u16, port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, (host >> 8) as u8, host as u8], port))
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn tokens() -> Tokens {
    Tokens::new(&mut SeededEntropy::new(1), Instant::now())
}

fn admit<T>(admission: &mut Admission<T>, from: SocketAddr, cost: u32, now: Instant) -> bool {
    admission.admit(from, false, cost, now) == Admitted::Yes
}

/// Whether it needs no verification, or has answered.
fn is_known<T>(admission: &Admission<T>, addr: SocketAddr, now: Instant) -> bool {
    admission.standing(addr, None, now) != Standing::Unknown
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[derive(Debug, Clone)]
enum Step {
    Hold { host: u16 },
    Verified { host: u16 },
    Expire,
    Pass { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u16..6).prop_map(|host| Step::Hold { host }),
        2 => (0u16..6).prop_map(|host| Step::Verified { host }),
        1 => Just(Step::Expire),
        3 => (0u64..700).prop_map(|ms| Step::Pass { ms }),
    ]
}

proptest! {
    #[test]
    fn in_every_history_the_bounds_hold_and_no_item_is_lost_or_returned_twice(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let config = Config::builder()
            .max_unverified(5).max_unverified_per_address(2).max_verified_addresses(3).verified_for(secs(2))
            .build().unwrap();
        let mut admission: Admission<u64> = Admission::new(&config, PING_LEN, tokens());
        let mut held: Vec<(u64, u16, Instant)> = Vec::new();
        let mut proved: HashMap<u16, Instant> = HashMap::new();
        // When an address for which something waits was last pinged.
        let mut pinged: HashMap<u16, Instant> = HashMap::new();
        let half = config.verification.verification_time / 2;
        let (mut now, mut next) = (Instant::now(), 0);
        for step in steps {
            match step {
                Step::Hold { host } => {
                    next += 1;
                    let there = held.iter().filter(|(_, h, _)| *h == host).count();
                    let outcome = admission.await_verification(global(host, 9), next, 2 * PING_LEN, now);
                    if there >= 2 {
                        prop_assert_eq!(outcome, Err((next, UnverifiedRefusal::AddressFull)));
                    } else if held.len() >= 5 {
                        prop_assert_eq!(outcome, Err((next, UnverifiedRefusal::Full)));
                    } else {
                        prop_assert_eq!(outcome, Ok(AwaitingVerification { ping: there == 0 }));
                        held.push((next, host, now + config.verification.verification_time));
                        pinged.entry(host).or_insert(now);
                    }
                }
                Step::Verified { host } => {
                    let (released, left): (Vec<_>, Vec<_>) = held.iter().partition(|(_, h, _)| *h == host);
                    held = left;
                    let items: Vec<u64> = released.into_iter().map(|(item, _, _): (u64, u16, Instant)| item).collect();
                    prop_assert_eq!(admission.verified(global(host, 9), None, now), items);
                    proved.insert(host, now);
                    pinged.remove(&host);
                    prop_assert!(is_known(&admission, global(host, 9), now));
                }
                Step::Expire => {
                    let (over, left): (Vec<_>, Vec<_>) = held.iter().partition(|(_, _, at)| *at <= now);
                    held = left;
                    let items: Vec<u64> = over.into_iter().map(|(item, _, _): (u64, u16, Instant)| item).collect();
                    prop_assert_eq!(admission.expire(now), items);
                    pinged.retain(|host, _| held.iter().any(|(_, h, _)| h == host));
                    let mut again: Vec<u16> = pinged.iter().filter(|(_, at)| **at + half <= now).map(|(h, _)| *h).collect();
                    again.sort_by_key(|host| (pinged[host], *host));
                    pinged.extend(again.iter().map(|host| (*host, now)));
                    let again: Vec<SocketAddr> = again.into_iter().map(|host| global(host, 9)).collect();
                    prop_assert_eq!(admission.ping_again(now), again);
                }
                Step::Pass { ms } => now += Duration::from_millis(ms),
            }
            let counts = admission.counts();
            prop_assert!(counts.unverified <= 5 && counts.verified_addresses <= 3);
            prop_assert!(admission.unverified.addresses() <= counts.unverified);
            prop_assert_eq!(counts.unverified, held.len());
            let due = held.iter().map(|(_, _, at)| *at).chain(pinged.values().map(|at| *at + half)).min();
            prop_assert_eq!(admission.next_wakeup(), due);
            for host in 0..6 {
                let fresh = proved.get(&host).is_some_and(|at| now - *at < secs(2));
                prop_assert!(fresh || !is_known(&admission, global(host, 9), now));
            }
        }
    }

    #[test]
    fn no_source_gets_more_than_its_burst_and_its_rate(
        gaps in prop::collection::vec((0u64..100, 1u32..5), 1..200),
    ) {
        let config = Config::builder().source_rate(50).source_burst(10).build().unwrap();
        let mut admission: Admission<()> = Admission::new(&config, PING_LEN, tokens());
        let start = Instant::now();
        let (mut now, mut used) = (start, 0u64);
        for (gap, cost) in gaps {
            now += Duration::from_millis(gap);
            if admit(&mut admission, global(1, 1), cost, now) {
                used += u64::from(cost);
            }
            let elapsed = (now - start).as_millis() as u64;
            prop_assert!(used <= 10 + elapsed * 50 / 1_000, "{used} in {elapsed} ms");
        }
    }
}

#[test]
fn a_full_burst_is_admitted_and_then_the_rate() {
    let mut admission: Admission<()> = Admission::new(&Config::default(), PING_LEN, tokens());
    let now = Instant::now();
    assert_eq!((0..1_000).filter(|_| admit(&mut admission, global(1, 1), 1, now)).count(), 100);
    let later = now + secs(1);
    assert_eq!((0..1_000).filter(|_| admit(&mut admission, global(1, 1), 1, later)).count(), 50);
    assert_eq!(admission.counts().over_rate, 900 + 950);
    assert_eq!((0..1_000).filter(|_| admit(&mut admission, global(2, 1), 4, now)).count(), 25);
}

#[test]
fn ports_of_one_host_and_addresses_of_one_ipv6_network_share_a_rate() {
    let mut admission: Admission<()> = Admission::new(&Config::default(), PING_LEN, tokens());
    let now = Instant::now();
    assert_eq!((0..1_000).filter(|port| admit(&mut admission, global(1, 1_000 + port), 1, now)).count(), 100);
    let one_network = |n: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 1, 0, 0, 0, n], 1));
    assert_eq!((0..1_000).filter(|n| admit(&mut admission, one_network(*n), 1, now)).count(), 100);
    assert!(admit(&mut admission, addr("[2001:db8:0:2::1]:1"), 1, now));
    assert!(!admit(&mut admission, addr("[::ffff:198.51.0.1]:1"), 1, now), "a mapped address is its IPv4 address");
}

#[test]
fn loopback_and_private_sources_have_no_rate_and_need_no_proof_unless_configured() {
    let near = [addr("127.0.0.1:1"), addr("10.1.2.3:1"), addr("[fd00::1]:1")];
    let strict =
        Config::builder().rate_limit(AppliesTo::Always).source_verification(AppliesTo::Always).build().unwrap();
    let off = Config::builder().rate_limit(AppliesTo::Off).source_verification(AppliesTo::Off).build().unwrap();
    let now = Instant::now();
    let run = |config: &Config, from: SocketAddr| {
        let mut admission: Admission<()> = Admission::new(config, PING_LEN, tokens());
        let admitted = (0..200).filter(|_| admit(&mut admission, from, 1, now)).count();
        (admitted, is_known(&admission, from, now))
    };
    for from in near {
        assert_eq!(run(&Config::default(), from), (200, true), "{from}");
        assert_eq!(run(&strict, from), (100, false), "{from}");
    }
    assert_eq!(run(&Config::default(), global(1, 1)), (100, false));
    assert_eq!(run(&off, global(1, 1)), (200, true));
}

#[test]
fn the_sources_with_a_rate_are_bounded() {
    let mut admission: Admission<()> = Admission::new(&Config::default(), PING_LEN, tokens());
    let now = Instant::now();
    for host in 0..MAX_RATED_SOURCES as u16 + 1_000 {
        assert!(admit(&mut admission, global(host, 1), 1, now));
    }
    assert_eq!(admission.counts().rated_sources, MAX_RATED_SOURCES);
}

#[test]
fn a_source_that_has_its_whole_burst_again_is_forgotten() {
    let mut admission: Admission<()> = Admission::new(&Config::default(), PING_LEN, tokens());
    let now = Instant::now();
    assert_eq!((0..1_000).filter(|_| admit(&mut admission, global(0, 1), 1, now)).count(), 100);
    for host in 1..1_000 {
        assert!(admit(&mut admission, global(host, 1), 1, now));
    }
    let later = now + Duration::from_millis(1_999);
    assert!(admit(&mut admission, global(1_000, 1), 1, later));
    assert_eq!(admission.counts().rated_sources, 1_001, "the first one lacks a datagram, and is before the others");
    assert!(admit(&mut admission, global(1_000, 1), 1, now + secs(2)));
    assert_eq!(admission.counts().rated_sources, 1);
    assert_eq!((0..1_000).filter(|_| admit(&mut admission, global(0, 1), 1, now + secs(2))).count(), 100);
}

#[test]
fn at_the_bound_the_address_verified_longest_ago_is_forgotten() {
    let config = Config::builder().max_verified_addresses(2).build().unwrap();
    let mut admission: Admission<()> = Admission::new(&config, PING_LEN, tokens());
    let now = Instant::now();
    for host in [1, 2, 1, 3] {
        admission.verified(global(host, 1), None, now);
    }
    let verified: Vec<u16> = (1..=3).filter(|host| is_known(&admission, global(*host, 1), now)).collect();
    assert_eq!(verified, [1, 3]);
    assert_eq!(admission.counts().verified_forgotten, 1);
}

#[test]
fn an_address_stays_verified_for_its_time_and_another_port_is_another_address() {
    let mut admission: Admission<()> = Admission::new(&Config::default(), PING_LEN, tokens());
    let now = Instant::now();
    admission.verified(global(1, 1), None, now);
    assert!(is_known(&admission, global(1, 1), now + secs(599)));
    assert!(!is_known(&admission, global(1, 2), now));
    assert!(!is_known(&admission, global(1, 1), now + secs(600)));
    assert_eq!(admission.counts().verified_addresses, 1);
    admission.expire(now + secs(600));
    assert_eq!(admission.counts().verified_addresses, 0);
}

#[test]
fn a_verified_address_displaces_those_whose_time_is_over() {
    let mut admission: Admission<()> = Admission::new(&Config::default(), PING_LEN, tokens());
    let now = Instant::now();
    for host in 0..1_000 {
        admission.verified(global(host, 1), None, now);
    }
    assert_eq!(admission.counts().verified_addresses, 1_000);
    admission.verified(global(2_000, 1), None, now + secs(600));
    assert_eq!(admission.counts().verified_addresses, 1);
    assert_eq!(admission.counts().verified_forgotten, 0, "none of them before its time");
}

#[test]
fn an_answer_to_a_request_without_a_token_is_at_most_three_times_its_length_less_a_ping_to_its_sender() {
    let mut admission: Admission<()> = Admission::new(&Config::default(), PING_LEN, tokens());
    let now = Instant::now();
    let limit = |admission: &Admission<()>, standing, len, named| admission.answer_limit(standing, len, named);
    for standing in [Standing::Unknown, Standing::Lives { version: None }, Standing::Lives { version: Some(2) }] {
        assert_eq!(limit(&admission, standing, 150, false), 450);
        assert_eq!(limit(&admission, standing, 150, true), 450 - PING_LEN);
        assert_eq!(limit(&admission, standing, 10, true), 0);
    }
    for standing in [Standing::Exempt, Standing::Proved] {
        assert_eq!(limit(&admission, standing, 10, true), usize::MAX);
    }
    assert_eq!(admission.standing(global(1, 1), None, now), Standing::Unknown);
    let _ = admission.verified(global(1, 1), Some(7), now);
    assert_eq!(admission.standing(global(1, 1), None, now), Standing::Lives { version: Some(7) });
    assert_eq!(admission.standing(addr("127.0.0.1:1"), None, now), Standing::Exempt);
}

#[test]
fn a_token_proves_the_requests_of_its_address_even_when_all_else_about_it_is_forgotten() {
    let config = Config::builder().max_verified_addresses(2).build().unwrap();
    let mut admission: Admission<()> = Admission::new(&config, PING_LEN, tokens());
    let now = Instant::now();
    let (standing, token) = admission.judge(global(1, 1), None, now);
    assert_eq!(standing, Standing::Unknown);
    for host in 2..200 {
        let _ = admission.verified(global(host, 1), None, now);
    }
    assert_eq!(admission.standing(global(1, 1), token, now + secs(299)), Standing::Proved);
    assert_eq!(admission.standing(global(1, 2), token, now), Standing::Unknown, "another port");
    assert_eq!(admission.standing(global(1, 1), token, now + secs(601)), Standing::Unknown);
    // Where no address must prove itself, no token is made.
    assert_eq!(admission.judge(addr("10.0.0.1:1"), token, now), (Standing::Exempt, None));
}

#[test]
fn a_write_without_a_token_waits_or_is_refused_or_is_a_legacy_nodes_within_its_rate() {
    let config = Config::builder().legacy_write_rate(1).build().unwrap();
    let mut admission: Admission<()> = Admission::new(&config, PING_LEN, tokens());
    let (now, from) = (Instant::now(), global(1, 1));
    let mut admit = |standing, version, at| admission.admit_write(from, standing, version, at);
    for version in [None, Some(1), Some(2), Some(3)] {
        assert_eq!(admit(Standing::Proved, version, now), WriteAdmission::Take);
        assert_eq!(admit(Standing::Exempt, version, now), WriteAdmission::Take);
        // Whatever version the request claims, a node that knows tokens has answered from there.
        assert_eq!(admit(Standing::Lives { version: Some(2) }, version, now), WriteAdmission::NoToken);
    }
    for standing in [Standing::Unknown, Standing::Lives { version: None }] {
        assert_eq!(admit(standing, Some(2), now), WriteAdmission::NoToken);
    }
    assert_eq!(admit(Standing::Unknown, None, now), WriteAdmission::AwaitVerification);
    let mut taken = |at| {
        let legacy = Standing::Lives { version: None };
        (0..100).filter(|_| admit(legacy, None, at) == WriteAdmission::Take).count()
    };
    assert_eq!([taken(now), taken(now + secs(1)), taken(now + secs(5))], [16, 1, 4]);
    assert_eq!(admission.counts().legacy_writers, 1);
}

#[test]
fn the_least_bursts_admit_the_largest_renewal() {
    let least = |burst| Config::builder().source_burst(burst).prefix_burst(burst).build();
    let config = (1..).find_map(|burst| least(burst).ok()).unwrap();
    let mut admission: Admission<()> = Admission::new(&config, PING_LEN, tokens());
    let now = Instant::now();
    // It counts as one until it is read, and as one for every four entries in all.
    assert!(admit(&mut admission, global(1, 1), 1, now));
    assert!(admit(&mut admission, global(1, 1), (MAX_ENTRIES as u32).div_ceil(4) - 1, now));
}

#[test]
fn a_network_that_sends_too_fast_costs_senders_with_a_token_nothing() {
    let config = Config::builder().prefix_rate(1).prefix_burst(8).build().unwrap();
    let mut admission: Admission<()> = Admission::new(&config, PING_LEN, tokens());
    let now = Instant::now();
    assert_eq!((1..200).filter(|host| admit(&mut admission, global(*host, 1), 1, now)).count(), 8);
    assert_eq!(admission.admit(global(200, 1), false, 1, now), Admitted::IfProved);
    assert_eq!(admission.admit(global(200, 1), true, 1, now), Admitted::Yes);
}

#[test]
fn an_address_is_pinged_once_for_all_items_that_wait_for_it_and_again_after_silence() {
    let mut admission: Admission<u8> = Admission::new(&Config::default(), PING_LEN, tokens());
    let now = Instant::now();
    let hold = |admission: &mut Admission<u8>, port, item, now| {
        admission.await_verification(global(1, port), item, 2 * PING_LEN, now).is_ok_and(|held| held.ping)
    };
    assert!(hold(&mut admission, 1, 1, now));
    assert!(!hold(&mut admission, 1, 2, now));
    assert!(hold(&mut admission, 2, 3, now));
    assert_eq!(admission.verified(global(1, 2), None, now), [3]);
    assert_eq!(admission.next_wakeup(), Some(now + Config::DEFAULT.verification.verification_time / 2));
    assert_eq!(admission.ping_again(now + Config::DEFAULT.verification.verification_time / 2), [global(1, 1)]);
    assert_eq!(admission.expire(now + secs(1)), [1, 2]);
    assert_eq!((admission.ping_again(now + secs(1)), admission.next_wakeup()), (vec![], None));
    assert!(hold(&mut admission, 1, 4, now + secs(1)));
    assert_eq!(admission.counts().unverified_expired, 2);
}

#[test]
fn an_address_is_pinged_only_as_often_as_the_waiting_requests_pay_for() {
    let mut admission: Admission<u8> = Admission::new(&Config::default(), PING_LEN, tokens());
    let start = Instant::now();
    let hold = |admission: &mut Admission<u8>, item, credit, now| {
        admission.await_verification(global(1, 1), item, credit, now).expect("there is room").ping
    };
    assert!(!hold(&mut admission, 1, PING_LEN / 2, start), "half a ping");
    assert!(hold(&mut admission, 2, PING_LEN / 2, start), "the other half");
    let half = Config::DEFAULT.verification.verification_time / 2;
    assert_eq!(admission.ping_again(start + half), [], "nothing pays for it");
    assert!(hold(&mut admission, 3, PING_LEN, start + half), "until something does");
    assert_eq!(admission.expire(start + 2 * half), [1, 2]);
    assert_eq!(admission.ping_again(start + 2 * half), []);
    assert_eq!(admission.expire(start + 3 * half), [3]);
}

#[test]
fn while_writes_keep_arriving_their_address_is_pinged_twice_in_a_verification_time_until_it_answers() {
    let mut admission: Admission<u64> = Admission::new(&Config::default(), PING_LEN, tokens());
    let start = Instant::now();
    let mut pings = 0;
    for ms in 0..10_000 {
        let now = start + Duration::from_millis(ms);
        let _ = admission.expire(now);
        pings += admission.ping_again(now).len();
        if ms % 400 == 0 {
            pings += usize::from(
                admission.await_verification(global(1, 1), ms, 2 * PING_LEN, now).expect("there is room").ping,
            );
        }
    }
    assert_eq!(pings, 20);
}

#[test]
fn a_flood_of_forged_sources_fills_the_queue_and_no_more() {
    let mut admission: Admission<u16> = Admission::new(&Config::default(), PING_LEN, tokens());
    let now = Instant::now();
    let held = (0..10_000)
        .filter(|host| admission.await_verification(global(*host, 1), *host, 2 * PING_LEN, now).is_ok())
        .count();
    assert_eq!(held, 256);
    assert_eq!(admission.counts().unverified_full, 10_000 - 256);
    assert_eq!(admission.ping_again(now + secs(1)).len(), 256);
    assert_eq!(admission.expire(now + secs(1)).len(), 256);
    assert_eq!((admission.unverified.addresses(), admission.next_wakeup()), (0, None));
}
