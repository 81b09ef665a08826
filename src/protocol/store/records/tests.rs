//! Laws over random histories first, then the behaviour that single rules promise.

use super::*;
use crate::protocol::config::{AppliesTo, PublisherConflict};
use crate::protocol::entropy::SeededEntropy;
use crate::protocol::store::{
    DueValue, MemoryStore, Refusal, Refusals, RemoteWrite, Store, StoredRecord, Write, WriteOutcome, Writer,
};
use crate::protocol::value::Value;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;

mod behaviour;
mod conflict;
mod failures;
mod pressure;
mod rounds;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Sources 0 and 1 are private and of one subnet, the others are global and each of a subnet of its own.
fn source(number: u8) -> SocketAddr {
    let octets = if number < 2 { [10, 0, 0, number] } else { [198, 51, number, 1] };
    SocketAddr::from((octets, 4_000))
}

fn value(text: &str) -> Arc<Value> {
    Arc::new(text.into())
}

/// A node with its records, its clock and its dice. Each write is committed at once.
struct Bench {
    records: Records,
    config: Config,
    now: Instant,
    entropy: SeededEntropy,
    /// What a store was to be given since [`Bench::take_changes`], by key.
    changes: BTreeMap<Arc<str>, Change>,
}

/// A publication that is due.
#[derive(Debug)]
struct Due {
    key: Arc<str>,
    version: u64,
}

/// A publication that has begun.
struct Publication {
    version: u64,
    expires_at: Instant,
}

impl Bench {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        let records = Records::new(NodeId::of_key("own"), &config, now);
        Self { records, config, now, entropy: SeededEntropy::new(1), changes: BTreeMap::new() }
    }

    fn ask(&mut self, write: Write) -> Result<WriteOutcome, Refusal> {
        let mut plan = self.records.plan(write, self.now, &mut self.entropy)?;
        self.changes.extend(plan.take_changes().into_iter().map(|change| (change.key().clone(), change)));
        Ok(self.records.apply(plan))
    }

    /// What a store is to be given since the last call, one change a key, in the order of the keys.
    fn take_changes(&mut self) -> Vec<Change> {
        for key in self.records.take_changed() {
            let change = self.records.change_of(key.clone());
            self.changes.insert(key, change);
        }
        std::mem::take(&mut self.changes).into_values().collect()
    }

    fn publish(&mut self, key: &str, text: &str) -> Publication {
        let outcome = self.ask(Write::Publish { key: key.into(), value: value(text) });
        let Ok(WriteOutcome::Published { version }) = outcome else { panic!("{outcome:?}") };
        Publication { version, expires_at: self.get(key).unwrap().expires_at }
    }

    /// Whether there was a publication to pin.
    fn pin(&mut self, key: &str) -> bool {
        matches!(self.ask(Write::Pin(key.into())), Ok(WriteOutcome::Pinned { .. }))
    }

    fn unpin(&mut self, key: &str) -> bool {
        self.ask(Write::Unpin(key.into())) == Ok(WriteOutcome::Unpinned)
    }

    fn release(&mut self, key: &str) -> bool {
        self.ask(Write::Release(key.into())) == Ok(WriteOutcome::Released)
    }

    fn write(
        &mut self,
        key: &str,
        text: &str,
        ttl: Option<u32>,
        from: u8,
        legacy: bool,
    ) -> Result<WriteOutcome, Refusal> {
        let write = RemoteWrite { key: key.into(), value: value(text), ttl, age: None, from: source(from), legacy };
        self.ask(Write::Set(write))
    }

    /// A publication by a node of ours.
    fn set(&mut self, key: &str, text: &str, from: u8) -> Result<WriteOutcome, Refusal> {
        self.write(key, text, None, from, false)
    }

    fn cache(&mut self, key: &str, text: &str, ttl: Option<u32>, from: u8) -> Result<WriteOutcome, Refusal> {
        self.ask(Write::Cache(RemoteWrite {
            key: key.into(),
            value: value(text),
            ttl,
            from: source(from),
            age: None,
            legacy: false,
        }))
    }

    fn due(&mut self, limit: usize) -> Vec<Due> {
        // As a pass that reaches the places of all.
        let (values, _) = self.records.due_publications(None, self.now);
        let mut due = Vec::new();
        for DueValue { key, version, .. } in values {
            let at = self.records.holdings.get(&key).and_then(|record| record.due_at);
            if due.len() < limit && at.is_some_and(|at| at <= self.now) {
                self.records.published_again(&key, version, self.now, &mut self.entropy);
                due.push(Due { key, version });
            }
        }
        due
    }

    /// Restores what is due, at most `limit`, to where it was lacking.
    fn restores(&mut self, limit: usize) -> Vec<Arc<str>> {
        let due = self.records.due_copies(self.now, limit);
        due.iter().for_each(|due| self.records.restore_again(&due.key, 1.0, self.now, &mut self.entropy));
        due.into_iter().map(|due| due.key).collect()
    }

    fn get(&self, key: &str) -> Option<StoredCopy> {
        self.records.get(key, self.now)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(|copy| copy.value.as_text().map(str::to_owned))
    }

    fn class(&self, key: &str) -> Option<Class> {
        self.get(key).map(|copy| copy.class)
    }

    fn seconds_left(&self, key: &str) -> Option<u64> {
        self.get(key).map(|copy| copy.ttl_left.as_secs())
    }
}

#[derive(Debug, Clone)]
enum Step {
    Publish { key: u8, text: u8 },
    Release { key: u8 },
    Renewed { key: u8 },
    Set { key: u8, text: u8, len: usize, ttl: Option<(u32, Option<u32>)>, from: u8, legacy: bool },
    Cache { key: u8, text: u8, len: usize, ttl: Option<u32>, from: u8 },
    Expire,
    Due { limit: usize },
    Commit,
    Restart,
    Pass { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let (key, text, len, from) = (0u8..30, 0u8..4, 0usize..120, 0u8..8);
    let ttl = prop::option::of(0u32..1_500);
    let ttl_and_age = prop::option::of((0u32..1_500, prop::option::of(0u32..1_500)));
    prop_oneof![
        2 => (key.clone(), text.clone()).prop_map(|(key, text)| Step::Publish { key, text }),
        1 => key.clone().prop_map(|key| Step::Release { key }),
        1 => key.clone().prop_map(|key| Step::Renewed { key }),
        12 => (key.clone(), text.clone(), len.clone(), ttl_and_age, from.clone(), any::<bool>())
            .prop_map(|(key, text, len, ttl, from, legacy)| Step::Set { key, text, len, ttl, from, legacy }),
        4 => (key, text, len, ttl, from).prop_map(|(key, text, len, ttl, from)| Step::Cache { key, text, len, ttl, from }),
        1 => Just(Step::Expire),
        2 => (0usize..4).prop_map(|limit| Step::Due { limit }),
        2 => Just(Step::Commit),
        1 => Just(Step::Restart),
        4 => (0u64..150).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

fn small() -> Config {
    Config::builder()
        .max_values(20)
        .max_store_bytes(1_500)
        .key_expiry(secs(1_000))
        .restore_interval(secs(100))
        .republish_interval(secs(400))
        .min_cache_ttl(secs(50))
        .build()
        .unwrap()
}

fn text(text: u8, len: usize) -> Arc<Value> {
    value(&format!("{text}{}", "x".repeat(len)))
}

fn without_dates(mut records: BTreeMap<Arc<str>, StoredRecord>) -> BTreeMap<Arc<str>, StoredRecord> {
    records.values_mut().for_each(|record| record.dated = false);
    records
}

/// What every moment owes.
fn check(bench: &Bench, published: &BTreeMap<Arc<str>, (Arc<Value>, u64, Instant)>) -> Result<(), TestCaseError> {
    let Bench { records, config, now, .. } = bench;
    records.holdings.assert_consistent(config);
    let snapshot = records.snapshot();
    prop_assert!(snapshot.remote.values <= 20 && snapshot.remote.bytes <= 1_500);
    prop_assert!(snapshot.cached.values <= 2 && snapshot.cached.bytes <= 150);
    for (subnet, total) in records.holdings.quota().source_totals() {
        let private = subnet.to_string().starts_with("10.");
        prop_assert!(private || (total.values <= 2 && total.bytes <= 150), "{subnet} fills {total:?}");
    }
    for record in records.holdings.records() {
        let key = &record.stored.key;
        prop_assert!(record.stored.expires_at <= *now + config.values.key_expiry);
        prop_assert_eq!(record.due_at.is_some(), record.is_full());
        prop_assert_eq!(records.get(key, *now).is_none(), record.is_expired(*now));
        prop_assert_eq!(record.stored.source.is_none(), record.stored.writer == Writer::Own);
    }
    for (key, (value, version, expires_at)) in published {
        let copy = records.get(key, *now);
        prop_assert_eq!(copy.is_some(), *expires_at > *now, "own values are never evicted");
        prop_assert_eq!(records.published_version(key), Some(*version), "and published until they are released");
        if let Some(copy) = copy {
            prop_assert_eq!((copy.class, &copy.value), (Class::Published, value));
            prop_assert!(records.still_current(key, *version));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn whatever_comes_the_bounds_hold_the_rules_hold_and_the_store_can_rebuild_it(
        steps in prop::collection::vec(step(), 0..150),
        seed: u64,
    ) {
        let mut bench = Bench::new(small());
        bench.entropy = SeededEntropy::new(seed);
        let mut store = MemoryStore::new();
        let mut published: BTreeMap<Arc<str>, (Arc<Value>, u64, Instant)> = BTreeMap::new();
        let mut version = 0;
        for step in steps {
            let (before, now) = (bench.records.snapshot(), bench.now);
            match step {
                Step::Publish { key, text: t } => {
                    let (key, value): (Arc<str>, _) = (key.to_string().into(), text(t, 0));
                    let publication = bench.publish(&key, value.as_text().unwrap());
                    prop_assert!(publication.version > version, "versions only grow");
                    version = publication.version;
                    published.insert(key, (value, publication.version, publication.expires_at));
                }
                Step::Release { key } => {
                    let key: Arc<str> = key.to_string().into();
                    let was = published.remove(&key);
                    if bench.release(&key) {
                        let (value, version, expires_at) = was.expect("only a publication is released");
                        prop_assert!(!bench.records.still_current(&key, version));
                        let copy = bench.records.get(&key, now).map(|copy| (copy.class, copy.value, copy.expires_at));
                        prop_assert_eq!(copy, (expires_at > now).then_some((Class::Held, value, expires_at)));
                    }
                }
                Step::Renewed { key } => {
                    let key: Arc<str> = key.to_string().into();
                    if let Some((_, version, expires_at)) = published.get_mut(&key)
                        && bench.records.renewed(&key, *version, true, now)
                    {
                        *expires_at = now + bench.config.values.key_expiry;
                    }
                }
                Step::Set { key, text: t, len, ttl, from, legacy } => {
                    let key: Arc<str> = key.to_string().into();
                    let held = bench.records.get(&key, now);
                    let (ttl, age) = (ttl.map(|(ttl, _)| ttl), ttl.and_then(|(_, age)| age));
                    let write = RemoteWrite { key: key.clone(), value: text(t, len), ttl, age, from: source(from), legacy };
                    let full = bench.records.holdings.get(&key).filter(|record| record.is_full());
                    let ours = full.map(|record| record.age_at_least(now));
                    let later = age.zip(ours).is_some_and(|(theirs, ours)| secs(u64::from(theirs) + 13) < ours);
                    let lapsed = published.get(&key).is_some_and(|(_, _, expires_at)| *expires_at <= now);
                    let outcome = bench.ask(Write::Set(write.clone()));
                    let after = bench.records.get(&key, now);
                    let full = held.as_ref().filter(|copy| copy.class != Class::Cached);
                    match &outcome {
                        Ok(WriteOutcome::Superseded { version, ours }) => {
                            let (value, ended, _) = published.remove(&key).expect("there was a publication");
                            prop_assert_eq!((&value, ended), (ours, *version));
                            prop_assert!(!bench.records.still_current(&key, ended));
                        }
                        Ok(WriteOutcome::Stored) => prop_assert!(!published.contains_key(&key) || full.is_none()),
                        Ok(WriteOutcome::Renewed) if lapsed => {
                            let copy = after.as_ref().expect("it lives on");
                            published.entry(key.clone()).and_modify(|(_, _, expires_at)| *expires_at = copy.expires_at);
                        }
                        Ok(WriteOutcome::Renewed) => prop_assert!((ttl.is_none() || later) && full.is_some()),
                        Ok(WriteOutcome::Unchanged) | Err(Refusal::Stale) => prop_assert_eq!(&after, &held),
                        Ok(other) => prop_assert!(false, "{other:?}"),
                        Err(_) => {
                            prop_assert_eq!(&after, &held);
                            prop_assert_eq!(bench.records.snapshot().evicted, before.evicted, "nothing gave way for nothing");
                        }
                    }
                    let holds = after.as_ref().is_some_and(|copy| copy.class != Class::Cached && copy.value == write.value);
                    prop_assert_eq!(outcome.is_ok(), holds);
                    if let (Some(full), Some(after)) = (full, &after) {
                        let same = after.value == full.value;
                        prop_assert!(!same || after.expires_at >= full.expires_at, "no full copy is shortened");
                        prop_assert!(ttl.is_none() || later || after == full, "a restore of what is no later changes nothing");
                        prop_assert!(full.class != Class::Published || after == full || !published.contains_key(&key));
                    }
                    if let (Some(ttl), None, Some(after)) = (ttl, full, &after) {
                        prop_assert!(after.ttl_left <= secs(ttl.into()).max(held.as_ref().map_or(Duration::ZERO, |c| c.ttl_left)));
                    }
                }
                Step::Cache { key, text: t, len, ttl, from } => {
                    let key: Arc<str> = key.to_string().into();
                    let held = bench.records.get(&key, now);
                    let value = text(t, len);
                    let outcome = bench.ask(Write::Cache(RemoteWrite { key: key.clone(), value: value.clone(), ttl, from: source(from), age: None, legacy: false }));
                    let after = bench.records.get(&key, now);
                    if held.as_ref().is_some_and(|copy| copy.class != Class::Cached) {
                        prop_assert_eq!(&after, &held);
                    } else {
                        prop_assert!(after.as_ref().is_none_or(|copy| copy.class == Class::Cached));
                        prop_assert_eq!(outcome.is_ok(), after.as_ref().is_some_and(|copy| copy.value == value));
                    }
                }
                Step::Expire => {
                    bench.records.expire(now);
                    let mut left = bench.records.holdings.records();
                    prop_assert!(left.all(|record| !record.is_expired(now) || record.is_published()));
                }
                Step::Due { limit } => {
                    let due = bench.due(limit);
                    prop_assert!(due.len() <= limit);
                    let restores = bench.restores(limit);
                    prop_assert!(restores.len() <= limit);
                    prop_assert!(restores.iter().all(|key| bench.records.is_held(key) && !bench.records.is_published(key)));
                    for due in due {
                        prop_assert!(bench.records.still_current(&due.key, due.version));
                        bench.records.resume(&due.key, now);
                        prop_assert_eq!(bench.class(&due.key), Some(Class::Published));
                        prop_assert!(bench.records.renewed(&due.key, due.version, true, now));
                        let renewed = now + bench.config.values.key_expiry;
                        published.entry(due.key).and_modify(|(_, _, expires_at)| *expires_at = renewed);
                    }
                }
                Step::Commit => {
                    store.commit(bench.take_changes(), Box::new(|outcome| outcome.unwrap()));
                    let kept: BTreeMap<_, _> = store.load().unwrap().into_iter().map(|r| (r.key.clone(), r)).collect();
                    let held = bench.records.holdings.records().filter(|record| record.is_full());
                    let held: BTreeMap<_, _> = held.map(|r| (r.stored.key.clone(), (*r.stored).clone())).collect();
                    // A date alone is worth no commit.
                    prop_assert_eq!(without_dates(kept), without_dates(held));
                }
                Step::Restart => {
                    store.commit(bench.take_changes(), Box::new(|outcome| outcome.unwrap()));
                    let mut rebuilt = Records::new(NodeId::of_key("own"), &bench.config, bench.now);
                    let lapsed = rebuilt.load(store.load().unwrap(), now, &mut bench.entropy);
                    prop_assert_eq!(lapsed, published.values().filter(|(_, _, expires_at)| *expires_at <= now).count());
                    for record in bench.records.holdings.records().filter(|record| record.is_full()) {
                        let before = bench.records.get(&record.stored.key, now);
                        // How long the clock stood still meanwhile is unknown.
                        let before = before.map(|copy| StoredCopy { age: None, ..copy });
                        prop_assert_eq!(rebuilt.get(&record.stored.key, now), before);
                    }
                    prop_assert!(rebuilt.next_due().is_none_or(|at| at <= now + secs(500)));
                    bench.records = rebuilt;
                }
                Step::Pass { seconds } => bench.now += secs(seconds),
            }
            check(&bench, &published)?;
        }
    }
}
