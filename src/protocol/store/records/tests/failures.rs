//! Writes in flight and commits that fail: readers see what is committed, a failure leaves nothing behind, and no bound is exceeded
//! whichever of them fail.

use std::collections::VecDeque;

use super::*;
use crate::protocol::store::Plan;

/// A bench whose store takes its time: plans are in flight until their commit ends, in the order in which they were made.
struct Slow {
    bench: Bench,
    in_flight: VecDeque<(Plan, Vec<Change>)>,
    disk: MemoryStore,
    /// Keys that time has changed and the disk has not.
    unsaved: BTreeSet<Arc<str>>,
}

impl Slow {
    fn new(config: Config) -> Self {
        let (in_flight, disk, unsaved) = (VecDeque::new(), MemoryStore::new(), BTreeSet::new());
        Self { bench: Bench::new(config), in_flight, disk, unsaved }
    }

    /// Plans a write, unless one of its key is in flight; whether it is in flight now.
    fn ask(&mut self, write: Write) -> Result<bool, Refusal> {
        let Bench { records, now, entropy, .. } = &mut self.bench;
        if records.is_in_flight(write.key()) {
            return Ok(false);
        }
        let mut plan = records.plan(write, *now, entropy)?;
        let changes = plan.take_changes();
        if changes.is_empty() {
            let _ = records.apply(plan);
            return Ok(false);
        }
        self.in_flight.push_back((plan, changes));
        Ok(true)
    }

    fn set(&mut self, key: &str, text: &str, from: u8) -> Result<bool, Refusal> {
        let (key, value) = (key.into(), value(text));
        self.ask(Write::Set(RemoteWrite { key, value, ttl: None, age: None, from: source(from), legacy: false }))
    }

    /// The commit that was given first has ended.
    fn end(&mut self, committed: bool) -> Option<WriteOutcome> {
        let (plan, changes) = self.in_flight.pop_front()?;
        if committed {
            self.disk.commit(changes, Box::new(|outcome| outcome.unwrap()));
            return Some(self.bench.records.apply(plan));
        }
        self.bench.records.abandon(plan);
        None
    }

    /// Gives the disk what time has changed, of the keys that are not in flight.
    fn save(&mut self) {
        let records = &mut self.bench.records;
        self.unsaved.extend(records.take_changed());
        let unsaved = std::mem::take(&mut self.unsaved);
        let (later, keys): (BTreeSet<_>, BTreeSet<_>) = unsaved.into_iter().partition(|key| records.is_in_flight(key));
        self.unsaved = later;
        let changes = keys.into_iter().map(|key| records.change_of(key)).collect();
        self.disk.commit(changes, Box::new(|outcome| outcome.unwrap()));
    }

    /// All full copies, as they are kept, but for dates: a date alone is worth no commit.
    fn memory(&self) -> BTreeMap<Arc<str>, StoredRecord> {
        let held = self.bench.records.holdings.records().filter(|record| record.is_full());
        without_dates(held.map(|record| (record.stored.key.clone(), (*record.stored).clone())).collect())
    }

    fn disk(&mut self) -> BTreeMap<Arc<str>, StoredRecord> {
        without_dates(self.disk.load().unwrap().into_iter().map(|record| (record.key.clone(), record)).collect())
    }

    fn restart(&mut self) {
        self.in_flight.clear();
        self.unsaved.clear();
        let Bench { records, config, now, entropy, .. } = &mut self.bench;
        *records = Records::new(NodeId::of_key("own"), config, *now);
        records.load(self.disk.load().unwrap(), *now, entropy);
    }
}

/// What the records answer about all keys that a history names, and count.
fn seen(bench: &Bench) -> String {
    let copies: Vec<_> = (0..30).map(|key: u8| bench.get(&key.to_string())).collect();
    let StoreSnapshot { published, held, cached, evicted, .. } = bench.records.snapshot();
    format!("{copies:?} {published:?} {held:?} {cached:?} {evicted} {:?}", bench.records.next_due())
}

#[derive(Debug, Clone)]
enum Act {
    Ask(Asked),
    End { committed: bool },
    Renew { key: u8 },
    Save,
    Restart,
    Pass { seconds: u64 },
}

#[derive(Debug, Clone)]
enum Asked {
    Publish { key: u8, text: u8 },
    Set { key: u8, text: u8, len: usize, ttl: Option<u32>, age: Option<u32>, from: u8, legacy: bool, adopt: bool },
    Cache { key: u8, text: u8, len: usize, from: u8 },
    Pin { key: u8 },
    Unpin { key: u8 },
    Release { key: u8 },
}

impl Asked {
    fn write(self) -> Write {
        let of = |key: u8| -> Arc<str> { key.to_string().into() };
        match self {
            Self::Publish { key, text: t } => Write::Publish { key: of(key), value: text(t, 0) },
            Self::Set { key, text: t, len, ttl, age, from, legacy, adopt } => {
                let write = RemoteWrite { key: of(key), value: text(t, len), ttl, age, from: source(from), legacy };
                if adopt { Write::Adopt(write) } else { Write::Set(write) }
            }
            Self::Cache { key, text: t, len, from } => Write::Cache(RemoteWrite {
                key: of(key),
                value: text(t, len),
                ttl: None,
                from: source(from),
                age: None,
                legacy: false,
            }),
            Self::Pin { key } => Write::Pin(of(key)),
            Self::Unpin { key } => Write::Unpin(of(key)),
            Self::Release { key } => Write::Release(of(key)),
        }
    }
}

fn act() -> impl Strategy<Value = Act> {
    let (key, text, len, from) = (0u8..30, 0u8..3, 0usize..120, 0u8..8);
    let (ttl, age) = (prop::option::of(0u32..1_500), prop::option::of(0u32..1_500));
    let set = (key.clone(), text.clone(), len.clone(), ttl, age, from.clone(), any::<bool>(), any::<bool>());
    let asked = prop_oneof![
        2 => (key.clone(), text.clone()).prop_map(|(key, text)| Asked::Publish { key, text }),
        12 => set.prop_map(|(key, text, len, ttl, age, from, legacy, adopt)| {
            Asked::Set { key, text, len, ttl, age, from, legacy, adopt }
        }),
        3 => (key.clone(), text, len, from).prop_map(|(key, text, len, from)| Asked::Cache { key, text, len, from }),
        1 => key.clone().prop_map(|key| Asked::Pin { key }),
        1 => key.clone().prop_map(|key| Asked::Unpin { key }),
        1 => key.clone().prop_map(|key| Asked::Release { key }),
    ];
    prop_oneof![
        20 => asked.prop_map(Act::Ask),
        16 => prop::bool::weighted(0.6).prop_map(|committed| Act::End { committed }),
        1 => key.prop_map(|key| Act::Renew { key }),
        2 => Just(Act::Save),
        1 => Just(Act::Restart),
        3 => (0u64..150).prop_map(|seconds| Act::Pass { seconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// The model: what is held is what the disk has, but for what time has changed and is not saved; and what the last write of each
    /// key made of it that was committed.
    #[test]
    fn whatever_is_in_flight_and_fails_what_is_held_is_what_is_committed(acts in prop::collection::vec(act(), 0..200)) {
        let mut all = Slow::new(small());
        for act in acts {
            match act {
                Act::Ask(asked) => {
                    // Time changes what is held, whether a write comes or not.
                    all.bench.records.expire(all.bench.now);
                    let before = seen(&all.bench);
                    match all.ask(asked.write()) {
                        Ok(true) => prop_assert_eq!(before, seen(&all.bench), "nothing is seen before it is committed"),
                        Ok(false) => {}
                        Err(_) => prop_assert_eq!(before, seen(&all.bench), "nothing is left of what is refused"),
                    }
                }
                Act::End { committed } => {
                    let before = seen(&all.bench);
                    if all.end(committed).is_none() {
                        prop_assert_eq!(before, seen(&all.bench), "nothing is left of what failed, evictions included");
                    }
                }
                Act::Renew { key } => {
                    let (key, now) = (key.to_string(), all.bench.now);
                    if let Some(version) = all.bench.records.published_version(&key) {
                        all.bench.records.renewed(&key, version, true, now);
                    }
                }
                Act::Save => all.save(),
                Act::Restart => all.restart(),
                Act::Pass { seconds } => all.bench.now += secs(seconds),
            }
            let Bench { records, config, .. } = &mut all.bench;
            records.holdings.assert_consistent(config);
            // Whichever of those in flight are committed: what they reserve counts.
            let snapshot = records.snapshot();
            prop_assert!(snapshot.remote.values <= 20 && snapshot.remote.bytes <= 1_500, "{snapshot:?}");
            prop_assert!(snapshot.cached.values <= 2 && snapshot.cached.bytes <= 150, "{snapshot:?}");
            for (subnet, total) in records.holdings.quota().source_totals() {
                let private = subnet.to_string().starts_with("10.");
                prop_assert!(private || (total.values <= 2 && total.bytes <= 150), "{subnet} fills {total:?}");
            }
            let unsaved: BTreeSet<_> = all.unsaved.iter().cloned().chain(records.changed.iter().cloned()).collect();
            let (memory, disk) = (all.memory(), all.disk());
            for key in memory.keys().chain(disk.keys()).filter(|key| !unsaved.contains(*key)) {
                prop_assert_eq!(memory.get(key), disk.get(key));
            }
        }
        while !all.in_flight.is_empty() {
            let committed = all.in_flight.len().is_multiple_of(2);
            let _ = all.end(committed);
        }
        all.save();
        prop_assert_eq!(all.memory(), all.disk());
        all.bench.records.holdings.assert_consistent(&all.bench.config);
    }
}

#[test]
fn room_is_reserved_while_a_write_is_in_flight_and_is_free_again_when_it_fails() {
    let config = Config::builder().max_values(2).diversity(AppliesTo::Off).build().unwrap();
    let mut all = Slow::new(config);
    for key in ["a", "b"] {
        assert_eq!(all.set(key, "v", 5), Ok(true));
    }
    assert_eq!(all.bench.records.snapshot().held.values, 0);
    assert_eq!(all.set("c", "v", 6), Err(Refusal::Full), "nothing that is committed could give way");
    assert_eq!(all.end(false), None);
    assert_eq!(all.set("c", "v", 6), Ok(true));
    while !all.in_flight.is_empty() {
        assert!(all.end(true).is_some());
    }
    assert_eq!(all.memory().keys().map(|key| &**key).collect::<Vec<_>>(), ["b", "c"]);
}

#[test]
fn a_copy_gives_way_to_one_write_at_a_time_and_only_when_that_is_committed() {
    let config = Config::builder().max_values(2).diversity(AppliesTo::Off).build().unwrap();
    let mut all = Slow::new(config);
    for key in ["a", "b"] {
        assert_eq!(all.set(key, "v", 5), Ok(true));
        all.end(true);
    }
    let before = all.memory();
    for (key, from) in [("c", 6), ("d", 7)] {
        assert_eq!(all.set(key, "v", from), Ok(true));
    }
    assert_eq!(all.set("e", "v", 5), Err(Refusal::Full), "both are spoken for");
    assert!(["a", "b"].iter().all(|key| all.bench.records.is_in_flight(key)), "and take no write meanwhile");
    assert_eq!((all.memory(), all.bench.records.snapshot().evicted), (before.clone(), 0));
    assert_eq!(all.end(false), None);
    assert_eq!((all.memory(), all.bench.records.snapshot().evicted), (before, 0));
    assert_eq!(all.end(true), Some(WriteOutcome::Stored));
    assert_eq!((all.memory().len(), all.bench.records.snapshot().evicted), (2, 1));
    assert_eq!(all.memory(), all.disk());
}

#[test]
fn what_time_changes_while_a_write_is_in_flight_holds_however_that_ends() {
    for committed in [true, false] {
        let mut all = Slow::new(Config::default());
        let version = all.bench.publish("key", "v").version;
        all.bench.now += secs(100);
        assert_eq!(all.ask(Write::Pin("key".into())), Ok(true));
        let now = all.bench.now;
        assert!(all.bench.records.renewed("key", version, true, now));
        // Its due time moves, too.
        all.bench.records.retry("key", version, false, now, &mut SeededEntropy::new(1));
        all.bench.records.undate(now);
        let due = all.bench.records.next_due();
        all.save();
        assert!(all.unsaved.contains("key"), "it would overtake the commit that is under way");
        all.end(committed);
        assert_eq!((all.bench.seconds_left("key"), all.bench.records.next_due()), (Some(86_410), due));
        assert_eq!((all.bench.records.is_pinned("key"), all.bench.get("key").unwrap().age), (committed, None));
        all.save();
        assert_eq!(all.memory(), all.disk());
    }
}

#[test]
fn the_date_of_another_publication_of_the_same_value_is_saved_with_what_time_changes() {
    let mut all = Slow::new(Config::default());
    let _ = all.bench.publish("key", "v");
    all.save();
    all.bench.now += secs(100);
    assert_eq!(all.set("key", "v", 5), Ok(false), "it is worth no commit");
    assert_ne!(all.memory(), all.disk());
    all.save();
    assert_eq!(all.memory(), all.disk());
    assert_eq!(all.disk().values().next().unwrap().published_at, all.bench.now);
}

#[test]
fn a_copy_that_ends_while_a_write_in_flight_decides_about_it_is_dropped_when_that_has_failed() {
    let config = Config::builder().max_values(1).diversity(AppliesTo::Off).build().unwrap();
    let mut all = Slow::new(config);
    assert!(all.bench.write("old", "v", Some(10), 5, false).is_ok());
    assert_eq!(all.set("new", "v", 6), Ok(true));
    all.bench.now += secs(10);
    assert_eq!((all.bench.records.expire(all.bench.now), all.bench.get("old")), (0, None));
    assert_eq!(all.end(false), None);
    assert_eq!(all.bench.records.expire(all.bench.now), 1);
    all.bench.records.holdings.assert_consistent(&all.bench.config);
}
