//! What the backend still owes: changes that hold here and that it could not take. They are offered again a part at a time,
//! so that a write that comes meanwhile costs no more than itself. How a commit goes is decided elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kademlia_dynamic::causes::Causes;
use kademlia_dynamic::protocol::store::StoreError;

use super::super::counters::LOG_EVERY;

/// Changes offered again at once: as many as one transaction of a disk takes.
pub(super) const PART: usize = 1_024;
/// The least time between two parts while the backend fails.
const PAUSE: Duration = Duration::from_secs(1);

/// The keys whose record the backend has not as it is.
#[derive(Debug)]
pub(super) struct Backlog {
    keys: BTreeSet<Arc<str>>,
    /// Of keys that nothing is held under any more, no more are added beyond so many keys: a record that stays behind ends by
    /// itself, and is within the bounds if it is read again.
    max_removed: usize,
    /// Whether a part is on its way to the backend.
    under_way: bool,
    /// When the next part goes. Only while something is owed and nothing of it is under way.
    next: Option<Instant>,
    /// When its failure was last told.
    told: Option<Instant>,
}

impl Backlog {
    /// Nothing owed, by a node that holds up to `max_held` values for others.
    pub(super) fn new(max_held: usize) -> Self {
        Self { keys: BTreeSet::new(), max_removed: max_held, under_way: false, next: None, told: None }
    }

    /// These could not be committed at `now`. `is_held` says under which of them something is held.
    pub(super) fn owe(&mut self, keys: Vec<Arc<str>>, is_held: impl Fn(&str) -> bool, now: Instant) {
        for key in keys {
            if self.keys.len() < self.max_removed || is_held(&key) {
                self.keys.insert(key);
            }
        }
        if !self.under_way && !self.keys.is_empty() {
            self.next.get_or_insert(now + PAUSE);
        }
    }

    /// The backend works: these are committed, and the next part may go at `now`.
    pub(super) fn settle(&mut self, keys: &[Arc<str>], now: Instant) {
        for key in keys {
            self.keys.remove(key);
        }
        self.next = (!self.under_way && !self.keys.is_empty()).then_some(now);
    }

    /// Whether the backend has the record of `key` otherwise than it is.
    pub(super) fn owes(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// When [`Backlog::take_part`] has something to give.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// What is offered at `now`, if its time has come. It is under way until [`Backlog::returned`]; what is `in_doubt` stays.
    pub(super) fn take_part(&mut self, in_doubt: impl Fn(&str) -> bool, now: Instant) -> Option<Vec<Arc<str>>> {
        self.next.take_if(|next| *next <= now)?;
        let part: Vec<_> = self.keys.iter().filter(|key| !in_doubt(key)).take(PART).cloned().collect();
        self.under_way = !part.is_empty();
        if part.is_empty() {
            self.next = Some(now + PAUSE);
            return None;
        }
        Some(part)
    }

    /// The part that was under way is committed or has failed, which is still to be said.
    pub(super) fn returned(&mut self) {
        self.under_way = false;
    }

    /// Says that the backend does not take what it is owed, unless that was said lately.
    pub(super) fn tell(&mut self, error: &StoreError, now: Instant) -> bool {
        let lately = self.told.is_some_and(|told| now.saturating_duration_since(told) < LOG_EVERY);
        if !lately {
            self.told = Some(now);
            tracing::error!(error = %Causes(error), keys = self.keys.len(), "the store could not be brought up to date");
        }
        !lately
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(range: std::ops::Range<usize>) -> Vec<Arc<str>> {
        range.map(|n| format!("{n:05}").into()).collect()
    }

    #[test]
    fn what_is_owed_is_offered_in_parts_once_a_second_while_it_fails_and_at_once_when_it_works() {
        let (start, none) = (Instant::now(), |_: &str| false);
        let mut backlog = Backlog::new(10_000);
        backlog.owe(keys(0..3_000), |_| false, start);
        assert_eq!((backlog.next(), backlog.take_part(none, start)), (Some(start + PAUSE), None));
        let now = start + PAUSE;
        let part = backlog.take_part(none, now).unwrap();
        assert_eq!((part.len(), backlog.next(), backlog.take_part(none, now)), (PART, None, None));
        // Others that fail meanwhile change nothing of that.
        backlog.owe(keys(3_000..3_010), |_| false, now);
        assert_eq!(backlog.next(), None);
        backlog.returned();
        backlog.owe(part, |_| false, now);
        assert_eq!(backlog.next(), Some(now + PAUSE));

        let now = now + PAUSE;
        let mut committed = 0;
        backlog.settle(&keys(0..10), now);
        while let Some(part) = backlog.take_part(none, now) {
            committed += part.len();
            backlog.returned();
            backlog.settle(&part, now);
        }
        assert_eq!((committed, backlog.next()), (3_000, None));
    }

    #[test]
    fn what_another_write_may_still_take_back_is_not_offered() {
        let now = Instant::now();
        let mut backlog = Backlog::new(10);
        backlog.owe(keys(0..2), |_| true, now - PAUSE);
        let in_doubt = |key: &str| key == "00000";
        assert_eq!(backlog.take_part(in_doubt, now), Some(keys(1..2)));
        backlog.returned();
        backlog.settle(&keys(1..2), now);
        assert_eq!(backlog.take_part(in_doubt, now), None);
        assert_eq!(backlog.next(), Some(now + PAUSE), "and is asked for again");
    }

    #[test]
    fn removals_are_owed_up_to_a_bound_and_what_is_held_always() {
        let now = Instant::now();
        let mut backlog = Backlog::new(10);
        backlog.owe(keys(0..100), |_| false, now);
        assert_eq!(backlog.keys.len(), 10);
        backlog.owe(keys(100..105), |_| true, now);
        assert_eq!(backlog.keys.len(), 15);
    }

    #[test]
    fn its_failure_is_told_once_in_ten_seconds() {
        let start = Instant::now();
        let mut backlog = Backlog::new(10);
        let told = (0..25).filter(|n| backlog.tell(&StoreError::Ended, start + PAUSE * *n));
        assert_eq!(told.count(), 3);
    }
}
