//! Commits that fail: whatever was done, and whatever of it failed, the store has in the end what is held.

use super::*;
use crate::protocol::store::{Deed, Doubt, Settled};
use std::collections::VecDeque;

/// A bench whose store takes its time: commits wait until they are told to succeed or to fail.
struct Doubtful {
    bench: Bench,
    /// In the order in which they take effect: what each tells the store, and whether it has, once that is known.
    commits: Vec<(Vec<Change>, Option<bool>)>,
    /// Those that nobody knows the end of, by their place in `commits`; whether they amend.
    waiting: VecDeque<(usize, Doubt, bool)>,
    /// What could not even be amended, and is offered again until it is committed.
    owed: BTreeSet<Arc<str>>,
}

impl Doubtful {
    fn new() -> Self {
        Self { bench: Bench::new(small()), commits: Vec::new(), waiting: VecDeque::new(), owed: BTreeSet::new() }
    }

    fn wait(&mut self, doubt: Doubt, amends: bool) {
        let changes = self.bench.records.take_changes();
        assert!(changes.iter().any(|change| change.key() == doubt.key()), "each commit holds what it is about");
        self.waiting.push_back((self.commits.len(), doubt, amends));
        self.commits.push((changes, None));
    }

    /// Does something to `key`; whether there was something to be done.
    fn deed(&mut self, key: &str, deed: Deed, done: impl FnOnce(&mut Bench) -> bool) -> bool {
        let before = self.bench.records.checkpoint(&key.into());
        let has = done(&mut self.bench) || self.bench.records.is_in_doubt(key);
        if has {
            let doubt = self.bench.records.doubt(before, deed);
            self.wait(doubt, false);
        }
        has
    }

    fn publish(&mut self, key: &str, text: &str) {
        self.deed(key, Deed::Write, |bench| bench.publish(key, text).version > 0);
    }

    /// Whether it was taken.
    fn set(&mut self, key: &str, text: &str, from: u8, legacy: bool) -> bool {
        let before = self.bench.records.checkpoint(&key.into());
        let deed = match self.bench.write(key, text, None, from, legacy) {
            WriteOutcome::Stored | WriteOutcome::Superseded { .. } => Deed::Write,
            WriteOutcome::Renewed => Deed::Repeat,
            WriteOutcome::Unchanged if self.bench.records.is_in_doubt(key) => Deed::Repeat,
            WriteOutcome::Unchanged => return true,
            WriteOutcome::Stale | WriteOutcome::Refused(_) => return false,
        };
        let doubt = self.bench.records.doubt(before, deed);
        self.wait(doubt, false);
        true
    }

    /// The commit that has waited longest has succeeded, or failed.
    fn settle(&mut self, committed: bool) -> Settled {
        let (commit, doubt, amends) = self.waiting.pop_front().expect("it waits");
        self.commits[commit].1 = Some(committed);
        if committed {
            self.owed.retain(|owed| !self.commits[commit].0.iter().any(|change| change.key() == owed));
        } else if amends {
            self.owed.insert(doubt.key().clone());
        }
        let mut settled = self.bench.records.settle(doubt, committed);
        if let Some(amend) = settled.amend.take() {
            self.wait(amend, true);
        }
        settled
    }

    /// What the store holds once all is settled.
    fn disk(&self) -> BTreeMap<Arc<str>, StoredRecord> {
        assert!(self.waiting.is_empty());
        let mut disk = BTreeMap::new();
        for (changes, _) in self.commits.iter().filter(|(_, committed)| committed.expect("it is settled")) {
            for change in changes {
                match change {
                    Change::Put(record) => drop(disk.insert(record.key.clone(), record.clone())),
                    Change::Remove(key) => drop(disk.remove(key)),
                }
            }
        }
        disk
    }

    /// Commits at once what nobody waits for: it does not fail.
    fn commit(&mut self) {
        let changes = self.bench.records.take_changes();
        self.owed.retain(|owed| !changes.iter().any(|change| change.key() == owed));
        self.commits.push((changes, Some(true)));
    }

    fn memory(&self) -> BTreeMap<Arc<str>, StoredRecord> {
        let held = self.bench.records.holdings.records().filter(|record| record.is_full());
        held.map(|record| (record.stored.key.clone(), record.stored.clone())).collect()
    }

    /// Value, class and whether it is kept.
    fn held(&self, key: &str) -> Option<(String, Class, bool)> {
        Some((self.bench.text(key)?, self.bench.class(key)?, self.bench.records.is_kept(key)))
    }
}

/// The same but for when the values were published.
fn undated(mut records: BTreeMap<Arc<str>, StoredRecord>) -> BTreeMap<Arc<str>, StoredRecord> {
    for record in records.values_mut() {
        record.published_at = record.stored_at;
        record.dated = false;
    }
    records
}

fn ours(text: &str, kept: bool) -> Option<(String, Class, bool)> {
    Some((text.to_owned(), Class::Published, kept))
}

fn theirs(text: &str) -> Option<(String, Class, bool)> {
    Some((text.to_owned(), Class::Held, false))
}

#[derive(Debug, Clone)]
enum Act {
    Publish { key: u8, text: u8 },
    Set { key: u8, text: u8, from: u8, legacy: bool },
    Keep { key: u8 },
    Unkeep { key: u8 },
    Release { key: u8 },
    Renew { key: u8 },
    Pass { seconds: u64 },
    Settle { ok: bool },
}

fn act() -> impl Strategy<Value = Act> {
    let (key, text) = (0u8..3, 0u8..3);
    prop_oneof![
        4 => (key.clone(), text.clone()).prop_map(|(key, text)| Act::Publish { key, text }),
        4 => (key.clone(), text, 2u8..5, any::<bool>())
            .prop_map(|(key, text, from, legacy)| Act::Set { key, text, from, legacy }),
        2 => key.clone().prop_map(|key| Act::Keep { key }),
        2 => key.clone().prop_map(|key| Act::Unkeep { key }),
        2 => key.clone().prop_map(|key| Act::Release { key }),
        1 => key.prop_map(|key| Act::Renew { key }),
        1 => (0u64..400).prop_map(|seconds| Act::Pass { seconds }),
        10 => any::<bool>().prop_map(|ok| Act::Settle { ok }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn whatever_fails_the_store_has_in_the_end_what_is_held(
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let mut all = Doubtful::new();
        for act in acts {
            match act {
                Act::Publish { key, text } => all.publish(&key.to_string(), &text.to_string()),
                Act::Set { key, text, from, legacy } => {
                    all.set(&key.to_string(), &text.to_string(), from, legacy);
                }
                Act::Keep { key } => {
                    let key = key.to_string();
                    // What is not published is not kept, and nobody waits for it.
                    if all.bench.records.is_published(&key) {
                        all.deed(&key, Deed::Keep, |bench| bench.records.keep(&key));
                    }
                }
                Act::Unkeep { key } => {
                    let key = key.to_string();
                    all.deed(&key, Deed::Unkeep, |bench| bench.records.unkeep(&key));
                }
                Act::Release { key } => {
                    let key = key.to_string();
                    all.deed(&key, Deed::Release, |bench| bench.records.release(&key));
                }
                Act::Renew { key } => {
                    let (key, now) = (key.to_string(), all.bench.now);
                    if let Some(version) = all.bench.records.published_version(&key) {
                        all.bench.records.renewed(&key, version, true, now);
                        all.commit();
                    }
                }
                Act::Pass { seconds } => {
                    all.bench.now += secs(seconds);
                    let now = all.bench.now;
                    all.bench.records.expire(now);
                    all.commit();
                }
                Act::Settle { .. } if all.waiting.is_empty() => {}
                Act::Settle { ok } => drop(all.settle(ok)),
            }
            all.bench.records.holdings.assert_consistent(&all.bench.config);
        }
        while !all.waiting.is_empty() {
            let _ = all.settle(all.waiting.len() % 2 == 1);
        }
        let owed = std::mem::take(&mut all.owed);
        all.bench.records.still_uncommitted(owed);
        all.commit();
        // A date alone is worth no commit.
        prop_assert_eq!(undated(all.memory()), undated(all.disk()));
        for key in 0..3 {
            prop_assert!(!all.bench.records.is_in_doubt(&key.to_string()), "what is settled is forgotten");
        }
    }
}

#[test]
fn what_cannot_be_committed_is_taken_back_and_nothing_else() {
    let mut all = Doubtful::new();
    all.publish("ours", "old");
    assert!(all.set("theirs", "kept", 5, false));
    while !all.waiting.is_empty() {
        assert!(all.settle(true).effective);
    }
    let version = all.bench.records.published_version("ours");
    // A new value of our own, a foreign one over ours, a first one: each as if it had never come.
    for (key, ours) in [("ours", true), ("ours", false), ("new", false)] {
        if ours {
            all.publish(key, "never committed");
        } else {
            assert!(all.set(key, "never committed", 6, false));
        }
        let settled = all.settle(false);
        assert_eq!(settled, Settled::default());
        assert_eq!(all.bench.text("ours").as_deref(), Some("old"));
        assert_eq!(all.bench.records.published_version("ours"), version, "its publication goes on");
    }
    assert_eq!((all.bench.text("new"), all.held("theirs")), (None, theirs("kept")));
    // What is not taken back is given again.
    all.bench.records.release("ours");
    let lost = all.bench.records.take_changes();
    all.bench.records.still_uncommitted(lost.iter().map(|change| change.key().clone()));
    assert_eq!(all.bench.records.take_changes(), lost);
}

#[test]
fn what_is_done_behind_a_failure_stands_as_if_that_had_never_been() {
    type Do = fn(&mut Doubtful);
    let publish: Do = |all| all.publish("key", "new");
    let supersede: Do = |all| assert!(all.set("key", "theirs", 5, false));
    let same: Do = |all| assert!(all.set("key", "old", 5, false));
    let again: Do = |all| assert!(all.set("key", "theirs", 6, false));
    let keep: Do = |all| assert!(all.deed("key", Deed::Keep, |bench| bench.records.keep("key")));
    let unkeep: Do = |all| assert!(all.deed("key", Deed::Unkeep, |bench| bench.records.unkeep("key")));
    let release: Do = |all| assert!(all.deed("key", Deed::Release, |bench| bench.records.release("key")));
    let unkeep_kept: Do = |all| {
        assert!(all.deed("key", Deed::Keep, |bench| bench.records.keep("key")));
        assert!(all.settle(true).effective);
        assert!(all.deed("key", Deed::Unkeep, |bench| bench.records.unkeep("key")));
    };
    let give_way: Do = |all| assert!(all.deed("key", Deed::Write, |bench| bench.records.give_way("key")));
    for (name, fails, behind, effective, held) in [
        ("an unkeep and a later one without room", unkeep_kept, give_way, false, ours("old", true)),
        ("a set and a keep", publish, keep, true, ours("old", true)),
        ("a keep and a set", keep, publish, true, ours("new", false)),
        ("a set and a release", publish, release, true, theirs("old")),
        ("a release and the same", release, same, true, ours("old", false)),
        ("a release and another", release, supersede, true, theirs("theirs")),
        ("a set and another", publish, supersede, true, theirs("theirs")),
        ("another and the same", supersede, again, false, ours("old", false)),
        ("another and a set", supersede, publish, true, ours("new", false)),
        ("another and a release", supersede, release, true, theirs("old")),
        ("a keep and an unkeep", keep, unkeep, true, ours("old", false)),
        ("a release and a set", release, publish, true, ours("new", false)),
        ("a keep and the same", keep, same, true, ours("old", false)),
        ("an unkeep and another", unkeep_kept, supersede, false, ours("old", true)),
    ] {
        let mut all = Doubtful::new();
        all.publish("key", "old");
        assert!(all.settle(true).effective);
        fails(&mut all);
        behind(&mut all);
        assert!(!all.settle(false).effective, "{name}");
        assert_eq!(all.settle(true).effective, effective, "{name}");
        while !all.waiting.is_empty() {
            assert!(all.settle(true).effective, "{name}");
        }
        assert_eq!(all.held("key"), held, "{name}");
        assert_eq!(all.memory(), all.disk(), "{name}");
    }
}

#[test]
fn what_rests_on_a_value_that_failed_has_no_effect_unless_it_brought_the_value_itself() {
    let mut all = Doubtful::new();
    all.publish("key", "ours");
    assert!(all.deed("key", Deed::Keep, |bench| bench.records.keep("key")));
    assert!(all.set("key", "ours", 5, false));
    let failed = all.settle(false);
    assert_eq!((failed.effective, all.held("key")), (false, None));
    // The amendment is the last of them.
    let ends: Vec<bool> = (0..3).map(|_| all.settle(true).effective).collect();
    assert_eq!((ends, all.held("key")), (vec![false, false, true], None));
    assert_eq!(all.memory(), all.disk());

    let mut all = Doubtful::new();
    assert!(all.set("key", "theirs", 5, true) && all.set("key", "theirs", 6, true));
    assert!(!all.settle(false).effective);
    assert!(all.settle(true).effective);
    assert_eq!((all.held("key"), all.waiting.len()), (theirs("theirs"), 0));
    assert_eq!(all.memory(), all.disk());
}

#[test]
fn who_is_told_of_an_end_is_told_by_what_did_not_fail() {
    let mut all = Doubtful::new();
    all.publish("key", "ours");
    let _ = all.settle(true);
    assert!(all.deed("key", Deed::Release, |bench| bench.records.release("key")));
    assert!(all.set("key", "theirs", 5, false));
    let _ = all.settle(false);
    assert!(all.settle(true).ended, "the release has failed, so it was theirs that ended the publication");
    // And of two releases the first.
    all.publish("key", "ours");
    let _ = all.settle(true);
    for _ in 0..2 {
        assert!(all.deed("key", Deed::Release, |bench| bench.records.release("key")));
    }
    assert!(all.settle(true).ended && !all.settle(true).ended);
}
