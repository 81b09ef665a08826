//! The laws of an exchange: two stores end equal, it costs what differs, and a liar changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::exchange::{MAX_DATAGRAMS, MAX_DIFFERENCES};
use super::*;
use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::entry::{Entry, EntryDigest, Nonce};
use crate::protocol::id::NodeId;
use crate::protocol::prefix::Prefix;
use crate::protocol::ranges::{Fingerprint, RangeAnswer, RangeState};
use crate::protocol::store::contract::record;
use crate::protocol::store::{Records, RemoteWrite, StoredRecord, Write};
use crate::protocol::value::Value;

/// What fits 1,200 bytes of JSON.
const ROOM: usize = 700;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Two nodes that should hold the same.
struct Pair {
    sides: [Records; 2],
    /// What the last exchange of each has left.
    rest: [Vec<Prefix>; 2],
    entropy: SeededEntropy,
    now: Instant,
    queries: usize,
    bytes: usize,
    read: usize,
}

/// What becomes of a datagram, there or back.
#[derive(Clone, Copy)]
struct Line {
    /// Of 100 queries so many are lost, or their answers.
    loss: u64,
}

impl Pair {
    fn new(seed: u64) -> Self {
        Self::bounded(seed, [10_000_000; 2])
    }

    /// The same, with so many values at most.
    fn bounded(seed: u64, values: [usize; 2]) -> Self {
        let config = |values| Config::builder().max_values(values).diversity(AppliesTo::Off).build().unwrap();
        let now = Instant::now() + secs(1_000_000);
        let [one, another] = values.map(config);
        let sides = [("one", one), ("another", another)];
        let sides = sides.map(|(name, config)| Records::new(NodeId::of_key(name), &config, now));
        Self { sides, rest: Default::default(), entropy: SeededEntropy::new(seed), now, queries: 0, bytes: 0, read: 0 }
    }

    /// Puts a value there that was published `age` seconds ago, and expires so long after that.
    fn hold(&mut self, side: usize, kept: Vec<StoredRecord>) {
        // They have come by restores, so that they are dated.
        for stored in kept {
            let left = (stored.expires_at - self.now).as_secs() as u32;
            let age = (self.now - stored.published_at).as_secs() as u32;
            self.restore(side, &stored.key, &stored.value, left, Some(age));
        }
    }

    /// The same after a restart, so that nothing has a date.
    fn load(&mut self, side: usize, count: usize) {
        let kept = (0..count).map(|number| stored(&number.to_string(), "value", 5_000, self.now)).collect();
        self.sides[side].load(kept, self.now, &mut self.entropy);
    }

    fn restore(&mut self, side: usize, key: &Arc<str>, value: &Arc<Value>, ttl: u32, age: Option<u32>) {
        let from = ([10, 0, 0, 1], 1).into();
        let write = RemoteWrite { key: key.clone(), value: value.clone(), ttl: Some(ttl), age, from, legacy: false };
        if let Ok(plan) = self.sides[side].plan(Write::Set(write), self.now, &mut self.entropy) {
            let _ = self.sides[side].apply(plan);
        }
    }

    fn nonce(&mut self) -> Nonce {
        Nonce(self.entropy.next_u64().to_be_bytes())
    }

    /// One exchange that `asker` begins; what it finds is brought at once. The answers go through `lie`.
    fn exchange_with(
        &mut self,
        asker: usize,
        line: Line,
        mut lie: impl FnMut(&mut SeededEntropy, Vec<RangeAnswer>, &[Prefix]) -> Vec<RangeAnswer>,
    ) -> Outcome {
        let other = 1 - asker;
        let rest = std::mem::take(&mut self.rest[asker]);
        let mut exchange = Exchange::new(if rest.is_empty() { vec![Prefix::ALL] } else { rest }, self.now);
        let mut sent: Option<Vec<RangeAnswer>> = None;
        loop {
            match exchange.next(self.now) {
                Step::Prepare => {
                    let nonce = self.nonce();
                    let wants = exchange.wants(ROOM).to_vec();
                    let mut open = exchange.open();
                    let asked = ask(&self.sides[asker], &mut open, nonce, ROOM - 20 * wants.len(), self.now);
                    let packed = asked.ranges.pack();
                    assert!(packed.len() + 20 * wants.len() <= ROOM, "{} {}", packed.len(), wants.len());
                    self.queries += 1;
                    self.bytes += packed.len() + 20 * wants.len();
                    if self.entropy.below(100) >= line.loss {
                        for place in &wants {
                            self.bring(other, place);
                        }
                        let (answers, read) = answer(&self.sides[other], &asked.ranges, ROOM, self.now);
                        let packed = RangeAnswer::pack(&answers).len();
                        assert!(packed <= ROOM && read <= 2 * super::answering::MAX_READ);
                        (self.bytes, self.read) = (self.bytes + packed, self.read + read);
                        if self.entropy.below(100) >= line.loss {
                            let prefixes: Vec<Prefix> = asked.ranges.ranges.iter().map(|range| range.prefix).collect();
                            sent = Some(lie(&mut self.entropy, answers, &prefixes));
                        }
                    }
                    exchange.asked(asked, open);
                }
                Step::Wait { .. } => match sent.take() {
                    Some(answers) => {
                        let asked = exchange.answered().unwrap();
                        exchange.compared(compare(&self.sides[asker], &asked, answers, self.now));
                    }
                    None => exchange.failed(),
                },
                Step::Finished => break,
            }
        }
        assert!(exchange.next(self.now) == Step::Finished);
        let outcome = exchange.outcome();
        self.rest[asker].clone_from(&outcome.rest);
        for copy in &outcome.lacking_there {
            let place = NodeId::of_key(&copy.key);
            self.bring(asker, &place);
        }
        outcome
    }

    fn exchange(&mut self, asker: usize, line: Line) -> Outcome {
        self.exchange_with(asker, line, |_, answers, _| answers)
    }

    /// `from` brings the other what it holds at `place`, as a restore.
    fn bring(&mut self, from: usize, place: &NodeId) {
        let Some(copy) = self.sides[from].at_place(place, self.now) else { return };
        let copy = self.sides[from].get(&copy.key().clone(), self.now).unwrap();
        let key = self.sides[from].at_place(place, self.now).unwrap().key().clone();
        self.restore(1 - from, &key, &copy.value, copy.ttl_seconds(), copy.age_seconds());
    }

    /// All that is held there and counts, with digests.
    fn held(&self, side: usize) -> BTreeSet<(NodeId, [u8; 20])> {
        self.sides[side].counted(&Prefix::ALL, self.now).map(|copy| (copy.place, copy.digest().0)).collect()
    }
}

fn stored(name: &str, value: &str, age: u64, now: Instant) -> StoredRecord {
    let published_at = now - secs(age);
    StoredRecord { published_at, expires_at: published_at + secs(86_410), ..record(name, value, 1, now) }
}

const CERTAIN: Line = Line { loss: 0 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever one side lacks, holds an earlier publication of, or holds in addition, and whatever is lost: once exchanges get
    /// through, both hold the later value of each.
    #[test]
    fn two_stores_end_equal(seed: u64, common in 0usize..600, differing in 0usize..60, loss in 0u64..40) {
        let mut pair = Pair::new(seed);
        let now = pair.now;
        let both: Vec<_> = (0..common).map(|number| stored(&format!("both {number}"), "same", 5_000, now)).collect();
        pair.hold(0, both.clone());
        pair.hold(1, both);
        for number in 0..differing {
            let name = format!("differs {number}");
            let (side, what) = (pair.entropy.below(2) as usize, pair.entropy.below(3));
            pair.hold(side, vec![stored(&name, "later", 1_000, now)]);
            match what {
                0 => {}
                1 => pair.hold(1 - side, vec![stored(&name, "earlier", 9_000, now)]),
                _ => pair.hold(1 - side, vec![stored(&name, "later", 9_000, now)]),
            }
        }
        let mut complete = false;
        for round in 0..40 {
            complete |= pair.exchange(round % 2, Line { loss }).complete;
        }
        prop_assert!(complete && pair.held(0) == pair.held(1));
        prop_assert_eq!(pair.held(0).len(), common + differing);
        let later = pair.held(0).iter().filter(|(_, digest)| *digest == digest_of("later")).count();
        prop_assert_eq!(later, differing);
    }

    /// Random answers, well-formed ones about what was asked, and lists of places that are held nowhere.
    #[test]
    fn a_liar_costs_a_bounded_number_of_datagrams_and_changes_nothing(seed: u64, held in 0usize..2_000, kind in 0u8..6) {
        let mut pair = Pair::new(seed);
        let now = pair.now;
        let kept: Vec<_> = (0..held).map(|number| stored(&number.to_string(), "value", 5_000, now)).collect();
        pair.hold(0, kept);
        let before = pair.held(0);
        let lie = move |entropy: &mut SeededEntropy, answers: Vec<RangeAnswer>, asked: &[Prefix]| {
            let parts = |entropy: &mut SeededEntropy| RangeState::Split(std::array::from_fn(|_| Fingerprint(entropy.next_u64())));
            let mut about = |state: &mut dyn FnMut(&mut SeededEntropy, Prefix) -> RangeState| -> Vec<RangeAnswer> {
                asked.iter().map(|prefix| RangeAnswer { prefix: *prefix, state: state(entropy, *prefix) }).collect()
            };
            match kind {
                0 => Vec::new(),
                1 => about(&mut |entropy, _| parts(entropy)),
                2 => about(&mut |_, _| RangeState::Equal),
                3 => about(&mut |entropy, prefix| {
                    let place = prefix.random_id(entropy);
                    let digest = EntryDigest([1; 8]);
                    let entry = |place| Entry { place, digest, age: Some(0), life: Some(u32::MAX - 1), kind: 0 };
                    RangeState::List(vec![entry(place), entry(NodeId::ZERO)])
                }),
                // One range is settled each time, and the others grow.
                4 => {
                    let mut first = true;
                    about(&mut |entropy, _| if std::mem::take(&mut first) { RangeState::Equal } else { parts(entropy) })
                }
                _ => answers.into_iter().chain([RangeAnswer { prefix: Prefix::ALL, state: RangeState::List(Vec::new()) }]).collect(),
            }
        };
        let outcome = pair.exchange_with(0, CERTAIN, lie);
        prop_assert!(pair.queries <= MAX_DATAGRAMS);
        prop_assert!(outcome.ending() != Ending::Partial || !outcome.lacking_there.is_empty(), "it goes on for nothing");
        prop_assert!(outcome.lacking_there.len() + outcome.wanted_here <= MAX_DIFFERENCES);
        prop_assert_eq!(pair.held(0), before);
    }
}

fn digest_of(value: &str) -> [u8; 20] {
    crate::protocol::digest::ValueDigest::of(&value.into()).0
}

#[test]
fn where_nothing_differs_one_datagram_each_way_suffices() {
    let mut pair = Pair::new(1);
    pair.load(0, 3_000);
    pair.load(1, 3_000);
    let outcome = pair.exchange(0, CERTAIN);
    assert_eq!((pair.queries, outcome.settled, outcome.complete), (1, 3_000, true));
    assert!(pair.bytes < 50);
}

#[test]
fn it_costs_what_differs_times_the_logarithm_of_what_is_held() {
    let mut pair = Pair::new(2);
    let now = pair.now;
    pair.load(0, 5_000);
    pair.load(1, 5_000);
    let mut base = 0;
    for differing in [0, 1, 10, 100, 300] {
        let extra: Vec<_> =
            (0..differing).map(|number| stored(&format!("{differing} {number}"), "value", 5_000, now)).collect();
        let half = extra.len() / 2;
        pair.hold(0, extra[..half].to_vec());
        pair.hold(1, extra[half..].to_vec());
        (pair.queries, pair.bytes, pair.read) = (0, 0, 0);
        let outcome = pair.exchange(0, CERTAIN);
        assert!(outcome.complete && pair.held(0) == pair.held(1));
        // log16 of 5,000 is 3.1.
        assert!(pair.queries <= base + 4 + 2 * differing && pair.bytes <= 4_000 + 1_500 * differing, "{differing}");
        base = if differing == 0 { pair.queries } else { base };
    }
}

#[test]
fn a_node_that_holds_nothing_learns_of_all_in_a_few_exchanges() {
    let mut pair = Pair::new(3);
    pair.load(1, 10_000);
    let mut exchanges = 0;
    assert_eq!(pair.exchange(1, CERTAIN).ending(), Ending::Partial, "it lacks more than one exchange names");
    while !pair.exchange(0, CERTAIN).complete {
        exchanges += 1;
        assert!(exchanges < 5);
    }
    assert_eq!(pair.held(0).len(), 10_000);
    assert!(pair.bytes < 10_000 * 100, "each is named once or twice");
}

#[test]
fn an_exchange_goes_on_where_the_last_one_ended_though_the_peer_took_nothing() {
    let mut pair = Pair::bounded(3, [10_000_000, 0]);
    pair.load(0, 10_000);
    let (mut named, mut exchanges) = (BTreeSet::new(), 0);
    loop {
        let Outcome { lacking_there, complete, .. } = pair.exchange(0, Line { loss: 10 });
        exchanges += 1;
        named.extend(lacking_there.into_iter().map(|copy| copy.key));
        if complete {
            break;
        }
    }
    assert_eq!((named.len(), pair.held(1).len()), (10_000, 0));
    assert!(exchanges <= 4, "{exchanges}");
    assert_eq!(pair.exchange(0, CERTAIN).lacking_there.len(), MAX_DIFFERENCES, "then it begins anew");
}

#[test]
fn full_stores_come_to_hold_what_is_nearest_to_them_and_then_bring_each_other_nothing() {
    let mut pair = Pair::bounded(5, [100; 2]);
    let now = pair.now;
    let values: Vec<_> = (0..150).map(|number| stored(&number.to_string(), "value", 5_000, now)).collect();
    pair.hold(0, values[..100].to_vec());
    pair.hold(1, values[50..].to_vec());
    for turn in 0..20 {
        let before = [0, 1].map(|side| pair.held(side));
        pair.exchange(turn % 2, CERTAIN);
        assert!(turn < 4 || before == [0, 1].map(|side| pair.held(side)), "{turn}");
    }
    for (side, name) in [(0, "one"), (1, "another")] {
        let distances =
            |held: BTreeSet<(NodeId, _)>| held.into_iter().map(|(place, _)| NodeId::of_key(name).distance(&place));
        let held: BTreeSet<_> = distances(pair.held(side)).collect();
        let lacking = distances(pair.held(1 - side)).filter(|at| !held.contains(at)).min();
        assert!(held.len() == 100 && lacking > held.last().copied(), "it lacks what is farther than all that it holds");
    }
}

#[test]
fn a_peer_that_answers_nothing_of_what_it_is_asked_counts_as_silent() {
    let mut pair = Pair::new(1);
    pair.load(0, 10);
    let outcome = pair.exchange_with(0, Line { loss: 0 }, |_, _, _| Vec::new());
    assert_eq!((outcome.ending(), pair.queries), (Ending::Failed, 3));
    assert_eq!(pair.exchange(0, Line { loss: 0 }).ending(), Ending::Complete);
}

#[test]
fn another_value_of_unknown_order_is_left_as_it_is() {
    let mut pair = Pair::new(4);
    let now = pair.now;
    pair.hold(0, vec![stored("key", "one", 5_000, now)]);
    pair.hold(1, vec![stored("key", "another", 5_005, now)]);
    let outcome = pair.exchange(0, CERTAIN);
    assert_eq!((outcome.lacking_there.len(), outcome.wanted_here, outcome.complete), (0, 0, true));
    let key: Arc<str> = "undated".into();
    pair.restore(0, &key, &Arc::new("one".into()), 50_000, None);
    pair.restore(1, &key, &Arc::new("another".into()), 50_000, None);
    let outcome = pair.exchange(0, CERTAIN);
    assert_eq!((outcome.lacking_there.len(), outcome.wanted_here, outcome.complete), (0, 0, true));
}

#[test]
fn what_is_about_to_end_is_neither_compared_nor_brought_and_a_later_publication_of_it_is() {
    let mut pair = Pair::new(5);
    let now = pair.now;
    pair.hold(0, vec![stored("ends", "value", 86_410 - 3_500, now), stored("renewed", "value", 86_410 - 3_500, now)]);
    pair.hold(1, vec![stored("renewed", "value", 100, now)]);
    let outcome = pair.exchange(0, CERTAIN);
    assert_eq!((outcome.lacking_there.len(), outcome.wanted_here, outcome.complete), (0, 1, true));
    assert_eq!(pair.sides[0].get("renewed", now).unwrap().ttl_left, secs(86_310));
}
