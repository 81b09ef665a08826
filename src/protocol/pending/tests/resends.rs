//! When a query is late, how often it is sent again, and which of its answers counts.

use super::*;

#[test]
fn a_query_is_reported_as_slow_once_and_sent_three_times_at_most_and_its_end_stays_where_it_is() {
    let mut pending = Pending::new(&Config::default());
    let (start, ids) = (Instant::now(), [1, 2, 3].map(QueryId::from_u64));
    pending.begin(ids[0], target(1), "ping", 'w', start).unwrap();
    pending.answer(addr(1), &ids[0], "ping", Some(peer(1)), start + ms(20)).unwrap();
    let start = start + ms(20);
    pending.begin(ids[1], target(1), "ping", 'w', start).unwrap();
    let mut reports = Vec::new();
    while let Some(at) = pending.next_wakeup() {
        reports.extend(pending.late(at).into_iter().map(|(_, late)| (at - start, late)));
        if !pending.expire(at).is_empty() {
            assert_eq!(at - start, ms(2_000));
        }
    }
    assert_eq!(reports, [(ms(50), Late::Slow), (ms(200), Late::Resend), (ms(600), Late::Resend)]);
    assert_eq!(pending.answer(addr(1), &ids[1], "ping", None, start + ms(2_001)).unwrap_err(), Reject::UnknownQuery);

    // It was silent: that it is slow is known, and it is sent the next one as often.
    let again = start + ms(3_000);
    pending.begin(ids[2], target(1), "ping", 'w', again).unwrap();
    assert_eq!(pending.late(again + ms(200)), [(&'w', Late::Resend)]);
    assert_eq!(pending.answer(addr(1), &ids[2], "ping", None, again + ms(210)).unwrap().rtt, ms(210));
}

#[test]
fn what_is_answered_in_time_is_sent_once() {
    let mut pending = Pending::new(&Config::default());
    let mut now = Instant::now();
    for number in 0..1_000 {
        let id = QueryId::from_u64(number);
        // Each is slower than the one before, up to 180 ms: that may be slow, but is no loss.
        let trip = ms(10 + number.min(170));
        pending.begin(id, target(1), "ping", (), now).unwrap();
        while let Some(at) = pending.next_wakeup().filter(|at| *at < now + trip) {
            assert!(pending.late(at).iter().all(|(_, late)| *late == Late::Slow));
        }
        now += trip;
        pending.answer(addr(1), &id, "ping", Some(peer(1)), now).unwrap();
    }
}

#[test]
fn an_address_that_never_answered_is_sent_a_query_twice_within_its_budget_and_once_where_a_request_pays_for_it() {
    let start = Instant::now();
    let sends = |named_by: NamedBy, queries: u64| {
        let mut pending = Pending::new(&Config::default());
        let mut sent = 0;
        for number in 0..queries {
            if named_by == NamedBy::Application || pending.may_ask(addr(1), start) {
                pending.begin(QueryId::from_u64(number), Target { named_by, ..target(1) }, "ping", (), start).unwrap();
                sent += 1;
            }
        }
        while let Some(at) = pending.next_wakeup() {
            sent += pending.late(at).iter().filter(|(_, late)| *late == Late::Resend).count();
            pending.expire(at);
        }
        sent
    };
    assert_eq!([1, 4, 50].map(|queries| sends(NamedBy::Others, queries)), [2, 8, 10]);
    assert_eq!([1, 4, 50].map(|queries| sends(NamedBy::Request, queries)), [1, 4, 10]);
    // Of the fifty that are in flight together four are.
    assert_eq!([1, 4, 50].map(|queries| sends(NamedBy::Application, queries)), [2, 8, 54]);
}

#[test]
fn each_send_may_be_answered_and_only_what_was_never_asked_counts_as_that() {
    let mut pending = Pending::new(&Config::default());
    let (start, id) = (Instant::now(), QueryId::from_u64(1));
    pending.begin(id, target(1), "set", 'w', start).unwrap();
    assert_eq!(pending.late(start + ms(500)), [(&'w', Late::Slow), (&'w', Late::Resend)]);
    let answer = |pending: &mut Pending<_>, port| {
        pending.answer(addr(port), &id, "set", Some(peer(1)), start + ms(520)).map(drop)
    };
    assert_eq!(answer(&mut pending, 2), Err(Reject::WrongSource));
    assert_eq!(answer(&mut pending, 1), Ok(()));
    assert_eq!(answer(&mut pending, 2), Err(Reject::UnknownQuery));
    assert_eq!(answer(&mut pending, 1), Err(Reject::Repeated));
    assert_eq!(answer(&mut pending, 1), Err(Reject::UnknownQuery), "it was sent twice");
}

#[test]
fn a_stall_of_our_own_sends_nothing_again_before_answers_could_be_read() {
    let mut pending = Pending::new(&Config::default());
    let start = Instant::now();
    for port in [1, 2] {
        pending.begin(QueryId::from_u64(port.into()), target(port), "ping", port, start).unwrap();
    }
    assert_eq!(pending.late(start + ms(560)), [(&1, Late::Slow), (&2, Late::Slow)]);
    assert_eq!(pending.next_wakeup(), Some(start + ms(610)));
    pending.answer(addr(1), &QueryId::from_u64(1), "ping", None, start + ms(570)).unwrap();
    assert_eq!(pending.late(start + ms(611)), [(&2, Late::Resend)]);
    // However often it stalls, that goes on.
    for port in 3..100 {
        pending.begin(QueryId::from_u64(port.into()), target(port), "ping", port, start + ms(700)).unwrap();
    }
    for stalled in 0..5 {
        let now = start + ms(1_300 + 110 * stalled);
        assert!(pending.late(now).iter().all(|(_, late)| *late == Late::Slow));
    }
}

#[test]
fn of_many_queries_that_are_late_at_one_address_four_are_sent_again_until_one_of_them_is_answered() {
    let mut pending = Pending::new(&Config::default());
    let start = Instant::now();
    let resent = |pending: &mut Pending<u64>, at| {
        let late = pending.late(at).into_iter().filter(|(_, late)| *late == Late::Resend);
        late.map(|(id, _)| *id).collect::<Vec<_>>()
    };
    for id in 0..20 {
        pending.begin(QueryId::from_u64(id), target(1), "ping", id, start).unwrap();
    }
    pending.begin(QueryId::from_u64(20), target(2), "ping", 20, start).unwrap();
    assert_eq!(resent(&mut pending, start + ms(500)), [0, 1, 2, 3, 20], "another address has its own");
    for id in [1, 2] {
        pending.answer(addr(1), &QueryId::from_u64(id), "ping", Some(peer(1)), start + ms(510)).unwrap();
    }
    assert_eq!(resent(&mut pending, start + ms(1_000)), [4, 5]);
    let mut most = 0;
    while let Some(at) = pending.next_wakeup() {
        most = most.max(resent(&mut pending, at).len());
        pending.expire(at);
    }
    assert!(most <= 4 && pending.awaited.is_empty(), "{most}");
}
