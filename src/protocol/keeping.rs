//! Kept keys: when each is audited next, what the audit means, and whether it is to be repaired. It asks nobody and places
//! nothing: its owner does, and tells it what came of it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::config::Config;
use super::entropy::Entropy;

/// Audits, and the repairs that follow from them, that run at once. Further ones that are due wait in order.
pub const AUDITS_AT_ONCE: usize = 4;
/// The least time between the beginnings of two audits: however many keys are kept, and however fast the network answers,
/// there are at most 20 a second.
pub const AUDIT_PAUSE: Duration = Duration::from_millis(50);
/// Keys that a snapshot tells of. The rest is counted.
pub const KEYS_SHOWN: usize = 100;

/// By what part the times of audits are spread.
const JITTER: f64 = 0.1;
/// By how much sooner than usual a key is audited again that was found in trouble.
const SOONER: u32 = 4;

/// The keys that are kept.
///
/// A key waits for its turn, or is under way: audited, then repaired if need be. What is under way has a number; whatever
/// comes in under a number that is over is ignored.
#[derive(Debug)]
pub struct Keeping {
    interval: Duration,
    max: usize,
    kept: HashMap<Arc<str>, Kept>,
    /// Those that wait for their turn: exactly the kept keys with a `due`.
    due: BTreeSet<(Instant, Arc<str>)>,
    /// What is under way, by number. At most [`AUDITS_AT_ONCE`].
    under_way: HashMap<u64, Arc<str>>,
    begun: u64,
    /// No audit begins before.
    paused_until: Option<Instant>,
}

#[derive(Debug)]
struct Kept {
    min: usize,
    /// `None` while it is under way.
    due: Option<Instant>,
    /// Audits in a row that found too few, or needed a repair, or came to nothing.
    troubles: u32,
    last: Option<(Instant, Count)>,
}

/// What an audit counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Replicas confirmed among the nearest.
    pub confirmed: usize,
    /// How many nearest there were to ask; 0 where nobody answered.
    pub nearest: usize,
}

/// What an audit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it may ask for a repair, whose end is waited for"]
pub struct Finding {
    /// The minimum, if there are fewer replicas.
    pub below: Option<usize>,
    /// Whether it is to be published anew, and [`Keeping::repaired`] called then.
    pub repair: bool,
}

/// No more keys can be kept. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{limit} keys are kept already")]
pub struct Full {
    /// How many may be.
    pub limit: usize,
}

/// The kept keys at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct KeepingSnapshot {
    /// How many keys are kept.
    pub kept: usize,
    /// Audits and repairs under way.
    pub under_way: usize,
    /// At most [`KEYS_SHOWN`] of them: those with the fewest replicas above their minimum first, those that were not audited
    /// yet last.
    pub keys: Vec<KeptSnapshot>,
}

/// One kept key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptSnapshot {
    /// The key.
    pub key: Arc<str>,
    /// The least number of replicas that it shall have.
    pub min_replicas: usize,
    /// Milliseconds since its last audit that came to an end, and what that counted.
    pub last_audit: Option<(u64, Count)>,
}

impl Keeping {
    /// Nothing kept.
    pub fn new(config: &Config) -> Self {
        Self {
            interval: config.audit_interval,
            max: config.max_kept_keys,
            kept: HashMap::new(),
            due: BTreeSet::new(),
            under_way: HashMap::new(),
            begun: 0,
            paused_until: None,
        }
    }

    /// Keeps `key` at `min` replicas or more, in the place of whatever minimum it had. Its first audit comes within a
    /// quarter of the interval.
    ///
    /// # Errors
    /// [`Full`], unless it is kept already.
    pub fn keep(&mut self, key: Arc<str>, min: usize, now: Instant, entropy: &mut dyn Entropy) -> Result<(), Full> {
        if self.kept.len() >= self.max && !self.kept.contains_key(&key) {
            return Err(Full { limit: self.max });
        }
        let soon = now + (self.interval / SOONER).mul_f64(entropy.unit());
        let last = self.forget(&key).and_then(|before| before.last);
        self.due.insert((soon, key.clone()));
        self.kept.insert(key, Kept { min, due: Some(soon), troubles: 0, last });
        Ok(())
    }

    /// No longer keeps `key`. What is under way for it is over. Says whether it was kept.
    pub fn release(&mut self, key: &str) -> bool {
        self.forget(key).is_some()
    }

    fn forget(&mut self, key: &str) -> Option<Kept> {
        let (key, kept) = self.kept.remove_entry(key)?;
        self.under_way.retain(|_, under_way| *under_way != key);
        if let Some(at) = kept.due {
            self.due.remove(&(at, key));
        }
        Some(kept)
    }

    /// When to call [`Keeping::next_audit`] next, unless something ends before.
    pub fn next_wakeup(&self) -> Option<Instant> {
        if self.under_way.len() >= AUDITS_AT_ONCE {
            return None;
        }
        let (due, _) = self.due.first()?;
        Some(self.paused_until.map_or(*due, |paused| paused.max(*due)))
    }

    /// The key that is to be audited now, and the number of that. It ends with [`Keeping::audited`],
    /// [`Keeping::no_longer_published`] or [`Keeping::came_to_nothing`].
    pub fn next_audit(&mut self, now: Instant) -> Option<(u64, Arc<str>)> {
        if self.next_wakeup()? > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        self.kept.get_mut(&key)?.due = None;
        self.begun += 1;
        self.under_way.insert(self.begun, key.clone());
        self.paused_until = Some(now + AUDIT_PAUSE);
        Some((self.begun, key))
    }

    /// The audit of this number has counted. `None` if it is over.
    ///
    /// A key is repaired when it is down to its minimum, so before it falls below, and when more than a fifth of the nearest
    /// lack it; never where all of them hold it, since there is nobody to give it to.
    pub fn audited(
        &mut self,
        number: u64,
        count: Count,
        now: Instant,
        entropy: &mut dyn Entropy,
    ) -> Option<(Arc<str>, Finding)> {
        let key = self.under_way.get(&number)?.clone();
        let kept = self.kept.get_mut(&key)?;
        kept.last = Some((now, count));
        let Count { confirmed, nearest } = count;
        let below = (confirmed < kept.min).then_some(kept.min);
        let few = confirmed <= kept.min || confirmed < nearest - nearest / 5;
        let repair = few && (confirmed < nearest || nearest == 0);
        if !repair {
            self.end(number, below.is_some(), now, entropy);
        }
        Some((key, Finding { below, repair }))
    }

    /// The audit of this number found that the key is not published here any more, so it is kept no more. `None` if the audit
    /// is over: the key may have been set and kept anew since it began.
    pub fn no_longer_published(&mut self, number: u64) -> Option<Arc<str>> {
        let key = self.under_way.get(&number)?.clone();
        self.release(&key);
        Some(key)
    }

    /// The repair of this number is over, whatever it brought. `None` if it was over before; otherwise the key, and what the
    /// audit before it had counted.
    pub fn repaired(&mut self, number: u64, now: Instant, entropy: &mut dyn Entropy) -> Option<(Arc<str>, Count)> {
        let key = self.under_way.get(&number)?.clone();
        let (_, count) = self.kept.get(&key)?.last?;
        self.end(number, true, now, entropy);
        Some((key, count))
    }

    /// The audit or repair of this number failed here, which says nothing of the replicas.
    pub fn came_to_nothing(&mut self, number: u64, now: Instant, entropy: &mut dyn Entropy) {
        self.end(number, true, now, entropy);
    }

    /// Nothing is known any more of what was under way: it is due anew.
    pub fn restart(&mut self, now: Instant, entropy: &mut dyn Entropy) {
        let mut numbers: Vec<u64> = self.under_way.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            self.end(number, true, now, entropy);
        }
    }

    /// The kept keys as they stand.
    pub fn snapshot(&self, now: Instant) -> KeepingSnapshot {
        let reserve = |kept: &Kept| kept.last.map(|(_, count)| count.confirmed as i64 - kept.min as i64);
        let mut keys: Vec<(&Arc<str>, &Kept)> = self.kept.iter().collect();
        keys.sort_by_key(|(key, kept)| (Reverse(kept.last.is_some()), reserve(kept), *key));
        let shown = keys.into_iter().take(KEYS_SHOWN).map(|(key, kept)| KeptSnapshot {
            key: key.clone(),
            min_replicas: kept.min,
            last_audit: kept.last.map(|(at, count)| (now.saturating_duration_since(at).as_millis() as u64, count)),
        });
        KeepingSnapshot { kept: self.kept.len(), under_way: self.under_way.len(), keys: shown.collect() }
    }

    /// What is under way as `number` is over. A key in trouble is looked at sooner, but less and less so while that does not
    /// help: a repair costs a publication.
    fn end(&mut self, number: u64, trouble: bool, now: Instant, entropy: &mut dyn Entropy) {
        let Some(key) = self.under_way.remove(&number) else { return };
        let Some(kept) = self.kept.get_mut(&key) else { return };
        kept.troubles = if trouble { kept.troubles.saturating_add(1) } else { 0 };
        let delay = match kept.troubles {
            0 => self.interval,
            troubles => (self.interval / SOONER).saturating_mul(1 << (troubles - 1).min(8)).min(self.interval),
        };
        let at = now + entropy.jitter(delay, JITTER);
        kept.due = Some(at);
        self.due.insert((at, key));
    }
}

#[cfg(test)]
mod tests;
