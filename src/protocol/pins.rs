//! Pinned keys: when each is audited next, what the audit means, and whether the key is to be repaired. This module sends and
//! places nothing: its owner does, and reports the results.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::config::Config;
use super::entropy::Entropy;

/// Audits, with the repairs that follow from them, that run at once. Further ones that are due wait in order.
pub const AUDITS_AT_ONCE: usize = 4;
/// The least time between the beginnings of two audits: however many keys are pinned, and however fast the network answers,
/// there are at most 20 a second.
pub const AUDIT_PAUSE: Duration = Duration::from_millis(50);
/// Keys that a snapshot shows. The others are counted.
pub const KEYS_SHOWN: usize = 100;

/// The share by which the times of audits are jittered.
const JITTER: f64 = 0.1;
/// The divisor of the interval after which a key in trouble is audited again.
const SOONER: u32 = 4;

/// The keys that are pinned.
///
/// A key waits until its audit is due, or is under way: audited, then repaired if necessary. Each audit has a number; results
/// under the number of one that is over are ignored.
#[derive(Debug, Default)]
pub struct PinnedKeys {
    interval: Duration,
    max: usize,
    pinned: HashMap<Arc<str>, Pin>,
    /// The keys that wait: exactly the pinned keys with a `due`.
    due: BTreeSet<(Instant, Arc<str>)>,
    /// The keys under way, by the number of their audit: at most [`AUDITS_AT_ONCE`].
    under_way: HashMap<u64, Arc<str>>,
    begun: u64,
    /// No audit begins before.
    paused_until: Option<Instant>,
}

#[derive(Debug)]
struct Pin {
    min: usize,
    /// The time of the next audit; `None` while one is under way.
    due: Option<Instant>,
    /// Audits in a row that found too few replicas, needed a repair, or failed.
    troubles: u32,
    last: Option<(Instant, Count)>,
}

/// The counts of an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Replicas confirmed among the nearest.
    pub confirmed: usize,
    /// The number of nearest peers; 0 where none answered.
    pub nearest: usize,
}

/// The meaning of an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it may require a repair, whose end must be reported"]
pub struct Finding {
    /// The minimum, if there are fewer replicas.
    pub below: Option<usize>,
    /// Whether the key is to be published again, and [`PinnedKeys::repaired`] called afterwards.
    pub repair: bool,
}

/// No more keys can be pinned. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{limit} keys are pinned already")]
pub struct Full {
    /// The limit.
    pub limit: usize,
}

/// The pinned keys at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct PinsSnapshot {
    /// The number of pinned keys.
    pub pinned: usize,
    /// Audits and repairs under way.
    pub under_way: usize,
    /// Those whose last audit confirmed fewer replicas than their minimum.
    pub below_min: usize,
    /// How many pinned keys had so many confirmed replicas at their last audit. Those that were not audited yet are not among them.
    pub replicas: BTreeMap<usize, usize>,
    /// At most [`KEYS_SHOWN`] of them: those with the fewest replicas above their minimum first, those that were not audited
    /// yet last.
    pub keys: Vec<PinnedKeySnapshot>,
}

/// One pinned key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PinnedKeySnapshot {
    /// The key.
    pub key: Arc<str>,
    /// The least number of replicas that it should have.
    pub min_replicas: usize,
    /// Milliseconds since its last complete audit, and the counts of that.
    pub last_audit: Option<(u64, Count)>,
}

impl PinnedKeys {
    /// No pinned keys.
    pub fn new(config: &Config) -> Self {
        Self { interval: config.values.audit_interval, max: config.values.max_pinned_keys, ..Self::default() }
    }

    /// Pins `key` with at least `min` replicas; an earlier minimum is replaced. Its first audit is due within a quarter of the
    /// interval.
    ///
    /// # Errors
    /// [`Full`], unless it is pinned already.
    pub fn pin(&mut self, key: Arc<str>, min: usize, now: Instant, entropy: &mut dyn Entropy) -> Result<(), Full> {
        if self.pinned.len() >= self.max && !self.pinned.contains_key(&key) {
            return Err(Full { limit: self.max });
        }
        let soon = now + (self.interval / SOONER).mul_f64(entropy.unit());
        let last = self.forget(&key).and_then(|before| before.last);
        self.due.insert((soon, key.clone()));
        self.pinned.insert(key, Pin { min, due: Some(soon), troubles: 0, last });
        Ok(())
    }

    /// Unpins `key`, and ends its audit if one is under way. Returns whether it was pinned.
    pub fn unpin(&mut self, key: &str) -> bool {
        self.forget(key).is_some()
    }

    fn forget(&mut self, key: &str) -> Option<Pin> {
        let (key, pin) = self.pinned.remove_entry(key)?;
        self.under_way.retain(|_, under_way| *under_way != key);
        if let Some(at) = pin.due {
            self.due.remove(&(at, key));
        }
        Some(pin)
    }

    /// The time of the next call of [`PinnedKeys::next_audit`], unless an audit ends before.
    pub fn next_wakeup(&self) -> Option<Instant> {
        if self.under_way.len() >= AUDITS_AT_ONCE {
            return None;
        }
        let (due, _) = self.due.first()?;
        Some(self.paused_until.map_or(*due, |paused| paused.max(*due)))
    }

    /// The key that is to be audited now, and the number of the audit. It ends with [`PinnedKeys::audited`],
    /// [`PinnedKeys::no_longer_published`] or [`PinnedKeys::failed`].
    pub fn next_audit(&mut self, now: Instant) -> Option<(u64, Arc<str>)> {
        if self.next_wakeup()? > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        self.pinned.get_mut(&key)?.due = None;
        self.begun += 1;
        self.under_way.insert(self.begun, key.clone());
        self.paused_until = Some(now + AUDIT_PAUSE);
        Some((self.begun, key))
    }

    /// The audit of this number has its counts. `None` if it is over.
    ///
    /// A key is repaired when it is down to its minimum, so before it falls below, and when more than a fifth of the nearest
    /// lack it; never where all of them hold it, since no peer could receive it.
    pub fn audited(
        &mut self,
        number: u64,
        count: Count,
        now: Instant,
        entropy: &mut dyn Entropy,
    ) -> Option<(Arc<str>, Finding)> {
        let key = self.under_way.get(&number)?.clone();
        let pin = self.pinned.get_mut(&key)?;
        pin.last = Some((now, count));
        let Count { confirmed, nearest } = count;
        let below = (confirmed < pin.min).then_some(pin.min);
        let few = confirmed <= pin.min || confirmed < nearest - nearest / 5;
        let repair = few && (confirmed < nearest || nearest == 0);
        if !repair {
            self.end(number, below.is_some(), now, entropy);
        }
        Some((key, Finding { below, repair }))
    }

    /// The audit of this number found that the key is not published here any more, so it unpins the key. `None` if the
    /// audit is over: the key may have been set and pinned again since it began.
    pub fn no_longer_published(&mut self, number: u64) -> Option<Arc<str>> {
        let key = self.under_way.get(&number)?.clone();
        self.unpin(&key);
        Some(key)
    }

    /// The repair of this number is over, successful or not. `None` if it was over before; otherwise the key, and the counts of
    /// its audit.
    pub fn repaired(&mut self, number: u64, now: Instant, entropy: &mut dyn Entropy) -> Option<(Arc<str>, Count)> {
        let key = self.under_way.get(&number)?.clone();
        let (_, count) = self.pinned.get(&key)?.last?;
        self.end(number, true, now, entropy);
        Some((key, count))
    }

    /// The audit or repair of this number failed here, which shows nothing about the replicas.
    pub fn failed(&mut self, number: u64, now: Instant, entropy: &mut dyn Entropy) {
        self.end(number, true, now, entropy);
    }

    /// Ends all audits under way, whose results are lost: they are due again.
    pub fn restart(&mut self, now: Instant, entropy: &mut dyn Entropy) {
        let mut numbers: Vec<u64> = self.under_way.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            self.end(number, true, now, entropy);
        }
    }

    /// A snapshot of the pinned keys.
    pub fn snapshot(&self, now: Instant) -> PinsSnapshot {
        let reserve = |pin: &Pin| pin.last.map(|(_, count)| count.confirmed as i64 - pin.min as i64);
        let mut replicas = BTreeMap::new();
        for (_, count) in self.pinned.values().filter_map(|pin| pin.last) {
            *replicas.entry(count.confirmed).or_default() += 1;
        }
        let below_min = self.pinned.values().filter(|pin| reserve(pin).is_some_and(|reserve| reserve < 0)).count();
        let mut keys: Vec<(&Arc<str>, &Pin)> = self.pinned.iter().collect();
        keys.sort_by_key(|(key, pin)| (Reverse(pin.last.is_some()), reserve(pin), *key));
        let shown = keys.into_iter().take(KEYS_SHOWN).map(|(key, pin)| PinnedKeySnapshot {
            key: key.clone(),
            min_replicas: pin.min,
            last_audit: pin.last.map(|(at, count)| (now.saturating_duration_since(at).as_millis() as u64, count)),
        });
        let (pinned, under_way, keys) = (self.pinned.len(), self.under_way.len(), shown.collect());
        PinsSnapshot { pinned, under_way, below_min, replicas, keys }
    }

    /// Ends the audit of this number. A key in trouble is audited sooner, but less and less so while that does not help: a repair
    /// costs a publication.
    fn end(&mut self, number: u64, trouble: bool, now: Instant, entropy: &mut dyn Entropy) {
        let Some(key) = self.under_way.remove(&number) else { return };
        let Some(pin) = self.pinned.get_mut(&key) else { return };
        pin.troubles = if trouble { pin.troubles.saturating_add(1) } else { 0 };
        let delay = match pin.troubles {
            0 => self.interval,
            troubles => (self.interval / SOONER).saturating_mul(1 << (troubles - 1).min(8)).min(self.interval),
        };
        let at = now + entropy.jitter(delay, JITTER);
        pin.due = Some(at);
        self.due.insert((at, key));
    }
}

#[cfg(test)]
mod tests;
