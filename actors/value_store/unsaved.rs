//! The keys whose records time has changed, by a renewal or an expiry, until the backend has them: they are offered to it a part at
//! a time, so that a write that comes meanwhile costs no more than itself. How a commit goes is decided elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kademlia_dynamic::causes::Causes;
use kademlia_dynamic::protocol::store::StoreError;

use super::super::counters::{LOG_EVERY, LogLimit};

/// Keys offered at once: as many as one transaction of a disk takes.
pub(super) const PART: usize = 1_024;
/// The least time between two parts while the backend fails.
const PAUSE: Duration = Duration::from_secs(1);

/// The keys whose record the backend has not as it is.
#[derive(Debug)]
pub(super) struct Unsaved {
    keys: BTreeSet<Arc<str>>,
    /// Of keys that nothing is held under any more, no more are added beyond so many keys: a record that stays behind ends by
    /// itself, and is within the bounds if it is read again.
    max_removed: usize,
    /// Whether a part is on its way to the backend.
    under_way: bool,
    /// When the next part goes. Only while there are keys and nothing is under way.
    next: Option<Instant>,
    /// When its failure was last logged.
    logged: LogLimit,
}

impl Unsaved {
    /// No keys, of a node that holds up to `max_held` values for others.
    pub(super) fn new(max_held: usize) -> Self {
        Self { keys: BTreeSet::new(), max_removed: max_held, under_way: false, next: None, logged: LogLimit::default() }
    }

    /// The records of these were changed. `is_held` says under which of them something is held.
    pub(super) fn add(
        &mut self,
        keys: impl IntoIterator<Item = Arc<str>>,
        is_held: impl Fn(&str) -> bool,
        now: Instant,
    ) {
        for key in keys {
            if self.keys.len() < self.max_removed || is_held(&key) {
                self.keys.insert(key);
            }
        }
        if !self.under_way && !self.keys.is_empty() {
            self.next.get_or_insert(now);
        }
    }

    /// What is offered at `now`, if its time has come. It is under way until [`Unsaved::saved`] or [`Unsaved::failed`]. Keys that
    /// are `in_flight` stay.
    pub(super) fn take_part(&mut self, in_flight: impl Fn(&str) -> bool, now: Instant) -> Option<Vec<Arc<str>>> {
        self.next.take_if(|next| *next <= now)?;
        let part: Vec<_> = self.keys.iter().filter(|key| !in_flight(key)).take(PART).cloned().collect();
        self.under_way = !part.is_empty();
        if part.is_empty() {
            self.next = Some(now + PAUSE);
            return None;
        }
        for key in &part {
            self.keys.remove(key);
        }
        Some(part)
    }

    /// The part that was under way is committed.
    pub(super) fn saved(&mut self, now: Instant) {
        self.under_way = false;
        self.works(now);
    }

    /// The part that was under way could not be committed.
    pub(super) fn failed(&mut self, part: Vec<Arc<str>>, is_held: impl Fn(&str) -> bool, now: Instant) {
        self.under_way = false;
        self.next = Some(now + PAUSE);
        self.add(part, is_held, now);
    }

    /// The backend works: the next part may go at `now`.
    pub(super) fn works(&mut self, now: Instant) {
        if !self.under_way {
            self.next = (!self.keys.is_empty()).then_some(now);
        }
    }

    /// Whether there are keys that are not under way.
    pub(super) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// When [`Unsaved::take_part`] has something to give.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Logs that the backend does not take these changes, unless that was logged lately; returns whether it was.
    pub(super) fn log(&mut self, error: &StoreError, now: Instant) -> bool {
        let due = self.logged.pass(LOG_EVERY, now).is_some();
        if due {
            tracing::error!(error = %Causes(error), keys = self.keys.len(), "the store could not be brought up to date");
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(range: std::ops::Range<usize>) -> Vec<Arc<str>> {
        range.map(|n| format!("{n:05}").into()).collect()
    }

    #[test]
    fn keys_are_offered_in_parts_at_once_while_the_backend_works_and_once_a_second_while_it_fails() {
        let (start, none) = (Instant::now(), |_: &str| false);
        let mut unsaved = Unsaved::new(10_000);
        unsaved.add(keys(0..3_000), none, start);
        let part = unsaved.take_part(none, start).unwrap();
        assert_eq!((part.len(), unsaved.next(), unsaved.take_part(none, start)), (PART, None, None));
        // Others that come meanwhile change nothing of that.
        unsaved.add(keys(3_000..3_010), none, start);
        assert_eq!(unsaved.next(), None);
        unsaved.failed(part, none, start);
        assert_eq!((unsaved.next(), unsaved.take_part(none, start)), (Some(start + PAUSE), None));
        unsaved.add(keys(0..10), none, start);
        assert_eq!(unsaved.next(), Some(start + PAUSE));

        let now = start + PAUSE;
        let mut committed = 0;
        while let Some(part) = unsaved.take_part(none, now) {
            committed += part.len();
            unsaved.saved(now);
        }
        assert_eq!((committed, unsaved.next()), (3_010, None));
    }

    #[test]
    fn a_commit_that_succeeds_ends_the_pause_after_one_that_failed() {
        let (now, none) = (Instant::now(), |_: &str| false);
        let mut unsaved = Unsaved::new(10);
        unsaved.works(now);
        assert_eq!(unsaved.next(), None);
        unsaved.add(keys(0..2), none, now);
        let part = unsaved.take_part(none, now).unwrap();
        unsaved.failed(part, none, now);
        unsaved.works(now);
        assert_eq!(unsaved.take_part(none, now), Some(keys(0..2)));
    }

    #[test]
    fn a_key_of_which_a_write_in_flight_decides_is_not_offered_before_that_has_ended() {
        let now = Instant::now();
        let mut unsaved = Unsaved::new(10);
        unsaved.add(keys(0..2), |_| true, now);
        let in_flight = |key: &str| key == "00000";
        assert_eq!(unsaved.take_part(in_flight, now), Some(keys(1..2)));
        unsaved.saved(now);
        assert_eq!(unsaved.take_part(in_flight, now), None);
        assert_eq!(unsaved.next(), Some(now + PAUSE), "and is asked for again");
    }

    #[test]
    fn removed_keys_are_kept_up_to_a_bound_and_held_ones_always() {
        let now = Instant::now();
        let mut unsaved = Unsaved::new(10);
        unsaved.add(keys(0..100), |_| false, now);
        assert_eq!(unsaved.keys.len(), 10);
        unsaved.add(keys(100..105), |_| true, now);
        assert_eq!(unsaved.keys.len(), 15);
    }

    #[test]
    fn its_failure_is_logged_once_in_ten_seconds() {
        let start = Instant::now();
        let mut unsaved = Unsaved::new(10);
        let logged = (0..25).filter(|n| unsaved.log(&StoreError::Ended, start + PAUSE * *n));
        assert_eq!(logged.count(), 3);
    }
}
