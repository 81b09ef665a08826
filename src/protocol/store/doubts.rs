//! What was done and is not committed yet. A deed whose commit fails is taken back, and what was done to the same key behind it
//! stands as if that one had never been. It commits nothing: whoever owns the records does, and says what came of it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::record::{Class, Record, StoredRecord, Writer};
use super::records::Records;
use crate::protocol::config::PublisherConflict;

/// What is done to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// A value took the place of whatever was held: [`Records::publish`], or a [`Records::set`] that stored it; or
    /// [`Records::give_way`] to one.
    Write,
    /// A stranger sent the value that was held already.
    Repeat,
    /// [`Records::keep`]
    Keep,
    /// [`Records::unkeep`]
    Unkeep,
    /// [`Records::release`]
    Release,
}

/// What was held under a key before a deed.
#[derive(Debug)]
pub struct Checkpoint {
    key: Arc<str>,
    before: Option<Record>,
}

/// A deed that is not committed yet. It ends with [`Records::settle`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is not settled can be taken back for ever"]
pub struct Doubt {
    key: Arc<str>,
    number: u64,
}

impl Doubt {
    /// The key that it is about.
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }
}

/// What a deed has come to.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use = "it may ask for another commit"]
pub struct Settled {
    /// Whether it is committed and has an effect: not where it rested on another one that has failed, as a keep does on the
    /// `set` before it.
    pub effective: bool,
    /// Whether it has ended a publication of this node.
    pub ended: bool,
    /// Whether the publication was kept before it.
    pub was_kept: bool,
    /// The store was told what is not true any more, so it is to be told again: what is held under the key is among the next
    /// [`Records::take_changes`], which are to be committed at once as this. If that fails, the key is still to be committed.
    pub amend: Option<Doubt>,
}

/// What a deed makes of what is held.
#[derive(Debug)]
enum Effect {
    /// This takes its place. A publication that was kept is so with its next value, too.
    Put {
        record: Box<Record>,
        /// Whether it was judged against a publication of ours, which it ended.
        is_later: bool,
        /// Whether somebody has set it, which ends a publication of ours that is not kept, unless it is an earlier value of it.
        was_set: bool,
    },
    /// It is the same, unless what it repeated has failed.
    Again(Box<Record>),
    Keep(bool),
    Release {
        version: u64,
    },
    Renew {
        version: u64,
        expires_at: Instant,
        /// When it was published again, if others have taken it, and whether just then.
        published_at: Option<(Instant, bool)>,
    },
    /// Our publication ends without another value in its place, unless it is kept.
    GiveWay,
    Gone,
    /// It is as it is: the store is only told so.
    Amend,
}

impl Effect {
    /// Changes `held`, and says whether there was something to change, or nothing to be changed.
    fn apply(&self, held: &mut Option<Record>) -> bool {
        let is_published = held.as_ref().is_some_and(Record::is_published);
        let published = held.as_mut().filter(|record| record.is_published());
        match self {
            Self::Put { record, is_later, was_set } => {
                let is_foreign = !record.is_published();
                let stands = |ours: &mut Record| {
                    let earlier = || ours.writer_of_replaced(&record.stored.value) == Some(Writer::Own);
                    ours.stored.keep || !is_later && (!was_set || earlier())
                };
                let kept = published.as_ref().is_some_and(|ours| ours.stored.keep);
                // It took the place of a publication that had ended, or was kept no more, as it seemed; and that has failed.
                if is_foreign && published.is_some_and(stands) {
                    return false;
                }
                let mut record = Record::clone(record);
                record.stored.keep = kept && !is_foreign;
                *held = Some(record);
                true
            }
            Self::Again(record) => match held {
                Some(current) if current.is_full() && current.holds(&record.stored.value) => {
                    if current.stored.published_at <= record.stored.published_at {
                        current.date(record.stored.published_at, record.stored.dated);
                    }
                    current.stored.expires_at = current.stored.expires_at.max(record.stored.expires_at);
                    if !current.is_published() && current.stored.writer == Writer::Unknown {
                        current.stored.writer = record.stored.writer;
                    }
                    true
                }
                // It repeated a value of ours that came to nothing, which nobody asked us to hold for him; or one that would have
                // ended a publication of ours, which a repetition alone does not.
                _ if record.is_published() || is_published => false,
                _ => {
                    *held = Some(Record::clone(record));
                    true
                }
            },
            Self::Keep(keep) => published.map(|record| record.stored.keep = *keep).is_some(),
            Self::Release { version } => published.map(|record| record.release(*version)).is_some(),
            Self::Renew { version, expires_at, published_at } => {
                let Some(current) = published.filter(|record| record.stored.version == *version) else { return false };
                current.stored.expires_at = current.stored.expires_at.max(*expires_at);
                if let Some((at, dated)) = published_at {
                    current.date(*at, *dated);
                }
                true
            }
            Self::GiveWay if published.is_some_and(|ours| ours.stored.keep) => false,
            Self::GiveWay => held.take().is_some(),
            Self::Gone => held.take().is_some(),
            Self::Amend => true,
        }
    }
}

#[derive(Debug)]
struct Step {
    number: u64,
    effect: Effect,
    committed: bool,
    /// What its commit tells the store: the whole record, as it was held then. A step before it may fail, and make another of it.
    told: Option<StoredRecord>,
}

/// What was done to one key, in its order.
///
/// Invariants: there are steps, and the first is not committed. What the last of them has told is what is held after it.
#[derive(Debug)]
struct Line {
    /// What is held before all of them: nothing of it can fail any more.
    base: Option<Record>,
    /// What the store has then.
    kept: Option<StoredRecord>,
    steps: VecDeque<Step>,
}

impl Line {
    /// What is held after the first `count` steps.
    fn held_after(&self, count: usize) -> Option<Record> {
        let mut held = self.base.clone();
        for step in self.steps.iter().take(count) {
            step.effect.apply(&mut held);
        }
        held
    }

    fn held(&self) -> Option<Record> {
        self.held_after(self.steps.len())
    }

    /// What the store has in the end, if no other commit fails.
    fn told(&self) -> Option<&StoredRecord> {
        self.steps.back().map_or(&self.kept, |last| &last.told).as_ref()
    }

    /// Takes what is certain into the base.
    fn advance(&mut self) {
        while self.steps.front().is_some_and(|step| step.committed) {
            let Some(step) = self.steps.pop_front() else { break };
            step.effect.apply(&mut self.base);
            self.kept = step.told;
        }
    }
}

/// All that was done and may fail yet, by key.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    lines: HashMap<Arc<str>, Line>,
    number: u64,
}

impl Doubts {
    /// Something was done to `key`, under which `before` was held and `told` is now.
    fn begin(&mut self, key: &Arc<str>, before: Option<Record>, effect: Effect, told: Option<StoredRecord>) -> Doubt {
        self.number += 1;
        let line = self.lines.entry(key.clone()).or_insert_with(|| {
            let kept = stored(before.as_ref()).cloned();
            Line { base: before, kept, steps: VecDeque::new() }
        });
        line.steps.push_back(Step { number: self.number, effect, committed: false, told });
        Doubt { key: key.clone(), number: self.number }
    }

    /// Something happened to `key` that no failure takes back, though it may take back what was done before it.
    fn note(&mut self, key: &str, effect: Effect) {
        if let Some(line) = self.lines.get_mut(key) {
            self.number += 1;
            let mut held = line.held();
            effect.apply(&mut held);
            let told = stored(held.as_ref()).cloned();
            line.steps.push_back(Step { number: self.number, effect, committed: true, told });
        }
    }

    /// Our publication of `version` lives until then, and was published again at `published_at` if others have taken it.
    pub(super) fn renewed(&mut self, key: &str, version: u64, expires_at: Instant, published_at: Option<Instant>) {
        let published_at = published_at.map(|at| (at, true));
        self.note(key, Effect::Renew { version, expires_at, published_at });
    }

    /// Nobody knows any more just when anything was published.
    pub(super) fn undate(&mut self) {
        for line in self.lines.values_mut() {
            let put = line.steps.iter_mut().filter_map(|step| match &mut step.effect {
                Effect::Put { record, .. } | Effect::Again(record) => Some(&mut record.stored.dated),
                Effect::Renew { published_at: Some((_, dated)), .. } => Some(dated),
                _ => None,
            });
            let base = line.base.as_mut().map(|record| &mut record.stored.dated);
            put.chain(base).for_each(|dated| *dated = false);
        }
    }

    /// Nothing is held under `key` any more.
    pub(super) fn gone(&mut self, key: &str) {
        self.note(key, Effect::Gone);
    }
}

impl Records {
    /// What is held under `key` now: to be asked for before anything is done to it, for [`Records::doubt`].
    pub fn checkpoint(&self, key: &Arc<str>) -> Checkpoint {
        Checkpoint { key: key.clone(), before: self.holdings.get(key).cloned() }
    }

    /// `deed` was done to the key of `before`, and is about to be committed: what is held now is among the next
    /// [`Records::take_changes`], also where the deed has changed nothing, since it may rest on what fails yet.
    pub fn doubt(&mut self, before: Checkpoint, deed: Deed) -> Doubt {
        let Checkpoint { key, before } = before;
        let effect = match (deed, self.holdings.get(&key)) {
            (Deed::Write, Some(record)) => {
                let is_later = before.as_ref().is_some_and(Record::is_published);
                let was_set = matches!(record.stored.writer, Writer::Peer(_))
                    && self.config.publisher_conflict == PublisherConflict::Supersede;
                Effect::Put { record: Box::new(record.clone()), is_later, was_set }
            }
            (Deed::Repeat, Some(record)) => Effect::Again(Box::new(record.clone())),
            (Deed::Write, None) => Effect::GiveWay,
            (Deed::Repeat, None) => Effect::Gone,
            (Deed::Keep, _) => Effect::Keep(true),
            (Deed::Unkeep, _) => Effect::Keep(false),
            (Deed::Release, _) => Effect::Release { version: self.version },
        };
        let told = stored(self.holdings.get(&key)).cloned();
        let doubt = self.doubts.begin(&key, before, effect, told);
        self.changed.insert(key);
        doubt
    }

    /// Whether something was done to `key` that may fail yet.
    pub fn is_in_doubt(&self, key: &str) -> bool {
        self.doubts.lines.contains_key(key)
    }

    /// `doubt` is committed, or could not be: then what is held is what would be without it.
    pub fn settle(&mut self, doubt: Doubt, committed: bool) -> Settled {
        let Doubt { key, number } = doubt;
        let Some(line) = self.doubts.lines.get_mut(&key) else { return Settled::default() };
        let Ok(at) = line.steps.binary_search_by_key(&number, |step| step.number) else { return Settled::default() };
        let mut settled = Settled::default();
        if committed {
            let mut held = line.held_after(at);
            let published = |held: &Option<Record>| held.as_ref().is_some_and(Record::is_published);
            let was_published = published(&held);
            settled.was_kept = held.as_ref().is_some_and(|record| record.is_published() && record.stored.keep);
            settled.effective = line.steps[at].effect.apply(&mut held);
            settled.ended = was_published && !published(&held);
            line.steps[at].committed = true;
            line.advance();
        } else {
            let before = line.held();
            let amended = line.steps.remove(at).is_some_and(|step| matches!(step.effect, Effect::Amend));
            line.advance();
            let held = line.held();
            // What came behind it has told the store what it made of it. There it would come back after a restart. An amendment
            // that fails is not followed by another: a store that takes nothing would be told for ever.
            if !amended && line.told() != stored(held.as_ref()) {
                let told = stored(held.as_ref()).cloned();
                settled.amend = Some(self.doubts.begin(&key, None, Effect::Amend, told));
                self.changed.insert(key.clone());
            }
            if stored(before.as_ref()) != stored(held.as_ref()) {
                match held {
                    Some(record) => self.holdings.put(record),
                    None => drop(self.holdings.take(&key)),
                }
            }
        }
        if self.doubts.lines.get(&key).is_some_and(|line| line.steps.is_empty()) {
            self.doubts.lines.remove(&key);
        }
        settled
    }

    /// What has become of these keys could not be committed: the next [`Records::take_changes`] gives it again, as it then is.
    pub fn still_uncommitted(&mut self, keys: impl IntoIterator<Item = Arc<str>>) {
        self.changed.extend(keys);
    }
}

fn stored(record: Option<&Record>) -> Option<&StoredRecord> {
    record.filter(|record| record.stored.class != Class::Cached).map(|record| &record.stored)
}
