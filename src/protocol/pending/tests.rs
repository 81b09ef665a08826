mod resends;

use std::collections::{HashMap, HashSet};

use super::*;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use proptest::prelude::*;

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn target(port: u16) -> Target {
    Target { addr: addr(port), expected_id: Some(peer(port)), named_by: NamedBy::Application }
}

fn peer(port: u16) -> NodeId {
    NodeId::of_key(&port.to_string())
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[derive(Debug, Clone)]
enum Step {
    Begin { id: u64, port: u16 },
    Answer { id: u64, port: u16, kind: bool },
    Cancel { id: u64 },
    Late,
    Expire,
    Pass { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..12, 1u16..4).prop_map(|(id, port)| Step::Begin { id, port }),
        3 => (0u64..12, 1u16..4, prop::bool::weighted(0.8)).prop_map(|(id, port, kind)| Step::Answer { id, port, kind }),
        1 => (0u64..12).prop_map(|id| Step::Cancel { id }),
        1 => Just(Step::Late),
        1 => Just(Step::Expire),
        3 => (0u64..900).prop_map(|ms| Step::Pass { ms }),
    ]
}

/// A query as the naive model keeps it.
#[derive(Debug, Clone, Copy)]
struct Known {
    id: u64,
    port: u16,
    at: Instant,
    /// What is still to be reported before it times out: slow, and to be sent again.
    late: [Option<(Instant, Late)>; 2],
    /// The wait before it is sent again for the first time.
    wait: Duration,
    sends: u32,
}

proptest! {
    #[test]
    fn it_agrees_with_a_list_that_is_searched_from_end_to_end(steps in prop::collection::vec(step(), 0..120)) {
        let config = Config::builder().max_queries_in_flight(MAX_RESENT_AT_ONCE).build().unwrap();
        let mut pending = Pending::new(&config);
        let mut model: Vec<Known> = Vec::new();
        let (mut silent, mut answered): (HashSet<u16>, HashMap<u16, Instant>) = Default::default();
        // Answers that may still come to queries that were sent several times: of whom, until when, how many.
        let mut further: HashMap<u64, (u16, Instant, u32)> = HashMap::new();
        let mut now = Instant::now();
        for step in steps {
            match step {
                Step::Begin { id, port } => {
                    let duplicate = model.iter().any(|known| known.id == id);
                    let (expected, wait) = (pending.round_trips.expected(addr(port)), pending.round_trips.resend_timeout(addr(port)));
                    prop_assert_eq!(pending.was_silent(addr(port), now), silent.contains(&port));
                    let begun = pending.begin(QueryId::from_u64(id), target(port), "ping", id, now);
                    let why = if model.len() == MAX_RESENT_AT_ONCE { Some(NotBegun::Full) } else { duplicate.then_some(NotBegun::DuplicateId) };
                    prop_assert_eq!(begun, why.map_or(Ok(()), |why| Err((id, why))));
                    if why.is_none() {
                        let slow = (!silent.contains(&port)).then_some((expected, Late::Slow));
                        let in_time = |(wait, late)| (wait < config.lookup.query_timeout).then(|| (now + wait, late));
                        let late = [slow, Some((wait, Late::Resend))].map(|stage| stage.and_then(in_time));
                        model.push(Known { id, port, at: now, late, wait, sends: 1 });
                    }
                }
                Step::Answer { id, port, kind } => {
                    let kind = if kind { "ping" } else { "set" };
                    let outcome = pending.answer(addr(port), &QueryId::from_u64(id), kind, Some(peer(port)), now);
                    match model.iter().position(|known| known.id == id) {
                        None => {
                            let expected = further.get_mut(&id).filter(|(of, until, left)| (*of, *left > 0) == (port, true) && *until > now);
                            let reject = expected.map_or(Reject::UnknownQuery, |(.., left)| {
                                *left -= 1;
                                Reject::Repeated
                            });
                            prop_assert_eq!(outcome.unwrap_err(), reject);
                        }
                        Some(at) if model[at].port != port => prop_assert_eq!(outcome.unwrap_err(), Reject::WrongSource),
                        Some(_) if kind != "ping" => prop_assert_eq!(outcome.unwrap_err(), Reject::WrongKind),
                        Some(at) => {
                            let known = model.remove(at);
                            silent.remove(&port);
                            answered.insert(port, now);
                            if known.sends > 1 {
                                further.insert(id, (port, known.at + config.lookup.query_timeout * 2, known.sends - 1));
                            }
                            let answered = outcome.unwrap();
                            prop_assert_eq!(answered.waiter, id);
                            prop_assert_eq!(answered.rtt, now - known.at);
                            prop_assert!(!answered.wrong_id);
                        }
                    }
                }
                Step::Cancel { id } => {
                    let at = model.iter().position(|known| known.id == id);
                    prop_assert_eq!(pending.cancel(&QueryId::from_u64(id)), at.map(|at| model.remove(at).id));
                }
                Step::Late => {
                    let mut late: Vec<(u64, Late)> = pending.late(now).into_iter().map(|(id, late)| (*id, late)).collect();
                    let mut expected: Vec<(u64, Late)> = Vec::new();
                    let due = |known: &Known| known.late.iter().flatten().map(|(at, _)| *at).min();
                    let stalled = model.iter().filter_map(due).min().is_some_and(|at| now.duration_since(at) > STALL);
                    for known in &mut model {
                        let timeout_at = known.at + config.lookup.query_timeout;
                        let [slow, resend] = &mut known.late;
                        if slow.take_if(|(at, _)| *at <= now).is_some() {
                            expected.push((known.id, Late::Slow));
                        }
                        while slow.is_none() && resend.take_if(|(at, _)| *at <= now).is_some() {
                            let most = if answered.contains_key(&known.port) { 3 } else { 2 };
                            let next = if stalled {
                                Some(now + STALL)
                            } else if known.sends < most {
                                known.sends += 1;
                                expected.push((known.id, Late::Resend));
                                (known.sends < 3).then(|| now + known.wait * 2)
                            } else {
                                None
                            };
                            *resend = next.filter(|at| *at < timeout_at).map(|at| (at, Late::Resend));
                        }
                    }
                    late.sort_unstable_by_key(|(id, late)| (*id, *late == Late::Resend));
                    expected.sort_unstable_by_key(|(id, late)| (*id, *late == Late::Resend));
                    prop_assert_eq!(late, expected);
                }
                Step::Expire => {
                    let expired = pending.expire(now).into_iter().map(|expired| (expired.waiter, expired.lives));
                    let (over, left): (Vec<_>, Vec<_>) = model.iter().partition(|known| known.at + config.lookup.query_timeout <= now);
                    model = left;
                    let lives = |known: &Known| answered.get(&known.port).is_some_and(|at| *at > known.at);
                    silent.extend(over.iter().filter(|known| !lives(known)).map(|known| known.port));
                    let over: Vec<_> = over.iter().map(|known| (known.id, lives(known))).collect();
                    prop_assert_eq!(expired.collect::<Vec<_>>(), over);
                }
                Step::Pass { ms: passed } => now += ms(passed),
            }
            prop_assert_eq!(pending.counts().in_flight, model.len());
            let wakeup = model.iter().flat_map(|known| known.late.into_iter().flatten().map(|(at, _)| at).chain([known.at + config.lookup.query_timeout])).min();
            prop_assert_eq!(pending.next_wakeup(), wakeup);
        }
        let failed = pending.fail_all();
        prop_assert_eq!(failed, model.into_iter().map(|known| known.id).collect::<Vec<_>>());
        prop_assert!(pending.counts().in_flight == 0 && pending.next_wakeup().is_none());
    }
}

#[test]
fn of_a_million_forged_or_replayed_answers_none_is_accepted_and_the_true_ones_still_are() {
    let mut pending = Pending::new(&Config::default());
    let mut entropy = SeededEntropy::new(0x00f0_49ed);
    let now = Instant::now();
    let ids: Vec<QueryId> = (0..200).map(|_| QueryId::from_u64(entropy.next_u64())).collect();
    for id in &ids {
        pending.begin(*id, target(7), "find_value", (), now).unwrap();
    }
    let (open, answered) = ids.split_at(100);
    for id in answered {
        assert!(!pending.answer(addr(7), id, "find_value", Some(peer(7)), now).unwrap().wrong_id);
    }
    let mut rejected = [0; 3];
    for forged in 0..1_000_000u32 {
        let one_of = |ids: &[QueryId], entropy: &mut SeededEntropy| ids[entropy.below(100) as usize];
        let (from, id, kind) = match forged % 4 {
            // From the right address with a guessed id; from elsewhere, or of another kind, with one that is known; and a
            // true answer that comes again.
            0 => (addr(7), QueryId::from_u64(entropy.next_u64()), "find_value"),
            1 => (addr(1_024 + entropy.below(60_000) as u16), one_of(open, &mut entropy), "find_value"),
            2 => (addr(7), one_of(open, &mut entropy), ["ping", "find_node", "set", "get"][forged as usize / 4 % 4]),
            _ => (addr(7), one_of(answered, &mut entropy), "find_value"),
        };
        match pending.answer(from, &id, kind, Some(peer(7)), now).unwrap_err() {
            Reject::UnknownQuery => rejected[0] += 1,
            Reject::WrongSource => rejected[1] += 1,
            Reject::WrongKind => rejected[2] += 1,
            Reject::Repeated => unreachable!("each was sent once"),
        }
    }
    assert_eq!(rejected, [500_000, 250_000, 250_000]);
    for id in open {
        assert!(!pending.answer(addr(7), id, "find_value", Some(peer(7)), now).unwrap().wrong_id);
    }
    assert_eq!(pending.counts().in_flight, 0);
}

#[test]
fn once_no_query_is_in_flight_the_memory_of_many_is_released() {
    let (mut pending, now) = (Pending::new(&Config::default()), Instant::now());
    let ids: Vec<QueryId> = (0..200).map(QueryId::from_u64).collect();
    let room = |pending: &Pending<()>| (pending.queries.capacity(), pending.awaited.capacity());
    for round in 0..2 {
        for (id, port) in ids.iter().zip(1..) {
            pending.begin(*id, target(port), "ping", (), now).unwrap();
        }
        let (queries, awaited) = room(&pending);
        assert!(queries >= 200 && awaited >= 200);
        let ended = if round == 0 { pending.fail_all().len() } else { pending.expire(now + ms(60_000)).len() };
        assert_eq!(ended, 200);
        let (queries, awaited) = room(&pending);
        assert!(queries < 20 && awaited < 20, "{queries} {awaited}");
    }
}

#[test]
fn an_address_that_does_not_answer_is_sent_ten_queries_a_minute_until_it_does() {
    let mut pending: Pending<()> = Pending::new(&Config::default());
    let start = Instant::now();
    let asked = |pending: &mut Pending<()>, at| (0..50).filter(|_| pending.may_ask(addr(1), at)).count();
    let count: usize = (0..60).map(|second| asked(&mut pending, start + ms(1_000 * second))).sum();
    assert_eq!(count, 10, "of 3,000");

    let now = start + ms(60_000);
    let id = QueryId::from_u64(1);
    pending.begin(id, target(1), "ping", (), now).unwrap();
    pending.answer(addr(1), &id, "ping", Some(peer(1)), now).unwrap();
    assert_eq!(asked(&mut pending, now), 50, "it answers");
    // One of these gets lost: it lives, and is asked on.
    pending.begin(id, target(1), "ping", (), now).unwrap();
    assert_eq!((pending.expire(now + ms(2_000)).len(), asked(&mut pending, now + ms(2_000))), (1, 50));
}

#[test]
fn a_silence_is_remembered_until_the_next_answer_or_for_an_hour_and_the_oldest_goes_at_the_bound() {
    let mut pending = Pending::new(&Config::default());
    let (start, timeout) = (Instant::now(), Config::default().lookup.query_timeout);
    let now = start + timeout;
    for port in [1, 2] {
        pending.begin(QueryId::from_u64(port.into()), target(port), "ping", (), start).unwrap();
    }
    assert_eq!(pending.expire(now).len(), 2);
    pending.begin(QueryId::from_u64(3), target(2), "ping", (), now).unwrap();
    pending.answer(addr(2), &QueryId::from_u64(3), "ping", Some(peer(2)), now).unwrap();
    let silent = |pending: &Pending<()>, at| [1, 2, 3].map(|port| pending.was_silent(addr(port), at));
    assert_eq!(silent(&pending, now + SILENT_FOR - ms(1)), [true, false, false]);
    assert_eq!(silent(&pending, now + SILENT_FOR), [false; 3]);

    let asked = |n: usize| Target { addr: addr(1_000 + n as u16), ..target(1) };
    for n in 0..MAX_SILENT_ADDRESSES {
        pending.begin(QueryId::from_u64(n as u64), asked(n), "ping", (), now).unwrap();
    }
    pending.expire(now + timeout);
    assert_eq!(pending.counts().silent_addresses, MAX_SILENT_ADDRESSES);
    assert_eq!(silent(&pending, now + timeout), [false; 3], "the one that was silent first is forgotten");
    assert!(pending.was_silent(addr(1_000), now + timeout));
}

#[test]
fn a_query_carries_the_latest_token_of_its_address_for_ten_minutes_and_the_oldest_goes_at_the_bound() {
    let mut pending: Pending<()> = Pending::new(&Config::default());
    let now = Instant::now();
    assert_eq!(pending.token(addr(1), now), None);
    pending.given(addr(1), Some(Token::from_u64(1)), now);
    pending.given(addr(1), Some(Token::from_u64(2)), now);
    assert_eq!(pending.token(addr(1), now + TOKEN_FOR - ms(1)), Some(Token::from_u64(2)));
    assert_eq!((pending.token(addr(1), now + TOKEN_FOR), pending.token(addr(2), now)), (None, None));
    for n in 0..20_000 {
        pending.given(addr(2 + n), Some(Token::from_u64(n.into())), now);
    }
    assert_eq!((pending.counts().tokens, pending.token(addr(1), now)), (MAX_TOKENS, None));
    pending.given(addr(1), Some(Token::from_u64(0)), now + TOKEN_FOR);
    assert_eq!(pending.counts().tokens, 1, "the others are outdated");
}

#[test]
fn an_address_is_unproved_until_it_gives_a_token_that_is_valid_or_none() {
    let mut pending: Pending<()> = Pending::new(&Config::default());
    let now = Instant::now();
    let (gives, gives_none, ms) = (addr(1), addr(2), Duration::from_millis);
    assert!(pending.is_unproved(gives, now) && pending.is_unproved(gives_none, now), "nothing came from there");
    pending.given(gives, Some(Token::from_u64(1)), now);
    pending.given(gives_none, None, now);
    assert!(!pending.is_unproved(gives, now) && !pending.is_unproved(gives_none, now));
    // A node that gave one and answers without one still knows it.
    pending.given(gives, None, now + ms(1));
    assert_eq!(pending.token(gives, now + ms(1)), Some(Token::from_u64(1)));
    let last = now + TOKEN_EPOCH - ms(1);
    assert!(!pending.is_unproved(gives, last) && pending.is_unproved(gives, last + ms(1)), "it may be out of date");
    assert!(!pending.is_unproved(gives_none, last + ms(1)));
    pending.given(gives_none, Some(Token::from_u64(2)), last);
    assert!(!pending.is_unproved(gives_none, last + ms(1)));
}

#[test]
fn an_answer_from_another_id_than_expected_says_so() {
    let mut pending = Pending::new(&Config::default());
    let now = Instant::now();
    for (number, (expected, sender, wrong)) in [
        (Some(peer(1)), Some(peer(1)), false),
        (Some(peer(1)), Some(peer(2)), true),
        (Some(peer(1)), None, true),
        (None, Some(peer(2)), false),
        (None, None, false),
    ]
    .into_iter()
    .enumerate()
    {
        let id = QueryId::from_u64(number as u64);
        pending.begin(id, Target { expected_id: expected, ..target(1) }, "ping", (), now).unwrap();
        let answered = pending.answer(addr(1), &id, "ping", sender, now).unwrap();
        assert_eq!(answered.wrong_id, wrong);
    }
}

#[test]
fn the_source_is_not_compared_where_that_is_switched_off() {
    let config = Config::builder().verify_response_source(false).build().unwrap();
    let mut pending = Pending::new(&config);
    let (now, id) = (Instant::now(), QueryId::from_u64(1));
    pending.begin(id, target(1), "ping", (), now).unwrap();
    assert_eq!(pending.answer(addr(2), &id, "set", Some(peer(1)), now).unwrap_err(), Reject::WrongKind);
    assert!(!pending.answer(addr(2), &id, "ping", Some(peer(1)), now).unwrap().wrong_id);
}

#[test]
fn a_mapped_address_is_the_address_asked() {
    let mut pending = Pending::new(&Config::default());
    let (now, id) = (Instant::now(), QueryId::from_u64(1));
    let mapped: SocketAddr = "[::ffff:192.0.2.1]:7".parse().unwrap();
    pending.begin(id, Target { addr: mapped, ..target(7) }, "ping", (), now).unwrap();
    assert!(pending.answer(addr(7), &id, "ping", None, now).is_ok());
}

#[test]
fn an_address_was_silent_until_it_answers() {
    let mut pending = Pending::new(&Config::default());
    let (start, ids) = (Instant::now(), [1, 2, 3].map(QueryId::from_u64));
    pending.begin(ids[0], target(1), "ping", 'w', start).unwrap();
    assert!(!pending.was_silent(addr(1), start));
    assert_eq!(pending.expire(start + ms(2_000)).len(), 1);
    let again = start + ms(2_000);
    assert!(pending.was_silent(addr(1), again) && !pending.was_silent(addr(2), again));
    pending.begin(ids[1], target(1), "ping", 'w', again).unwrap();
    assert_eq!(pending.late(again + ms(500)), [(&'w', Late::Resend)]);
    pending.answer(addr(1), &ids[1], "ping", None, again + ms(600)).unwrap();
    assert!(!pending.was_silent(addr(1), again + ms(600)));
    pending.begin(ids[2], target(1), "ping", 'w', again + ms(600)).unwrap();
    pending.cancel(&ids[2]);
    assert!(!pending.was_silent(addr(1), again + ms(600)), "it was cancelled");
}

#[test]
fn a_peer_that_has_answered_a_later_query_is_not_silent_when_an_earlier_one_times_out() {
    let (mut pending, start) = (Pending::new(&Config::default()), Instant::now());
    let [first, second, third] = [1, 2, 3].map(QueryId::from_u64);
    let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
    pending.begin(first, target(1), "ping", 1, start).unwrap();
    pending.begin(second, target(1), "ping", 2, at(1.0)).unwrap();
    assert!(!pending.answer(addr(1), &second, "ping", Some(peer(1)), at(1.1)).unwrap().wrong_id);
    pending.begin(third, target(1), "ping", 3, at(1.2)).unwrap();
    let expired = |pending: &mut Pending<u8>, now| {
        let expired: Vec<_> = pending.expire(now).into_iter().map(|expired| (expired.waiter, expired.lives)).collect();
        (expired, pending.was_silent(addr(1), now))
    };
    assert_eq!(expired(&mut pending, at(2.0)), (vec![(1, true)], false));
    assert_eq!(expired(&mut pending, at(3.2)), (vec![(3, false)], true), "nothing came since");
}
