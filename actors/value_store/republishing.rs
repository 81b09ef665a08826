//! What a pass over the publications needs of the store: it begins here, is given what is due, and the entries that name it. Which
//! peers are asked for what is decided elsewhere.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Context;
use kademlia_dynamic::protocol::entry::Nonce;
use kademlia_dynamic::protocol::store::PassSnapshot;

use super::super::clock;
use super::super::counters::LogLimit;
use super::super::handling::Receive;
use super::super::messages::{DueSelected, PrepareRenewals, SelectDue};
use super::super::operations::republish::{Progress, Republish};
use super::super::operations::runner::Runner;
use super::actor::ValueStore;

/// At most one warning that publications come too late in this time.
const WARN_EVERY: Duration = Duration::from_secs(600);

impl ValueStore {
    /// Begins a pass if a publication is due, and none is under way.
    pub(super) fn begin_pass(&mut self, now: Instant) {
        let is_due = self.records.publication_due().is_some_and(|at| at <= now);
        if is_due && self.pass.strong_count() == 0 {
            let progress = Rc::new(Progress::new(now));
            self.pass = Rc::downgrade(&progress);
            Runner::run(Republish::new(&self.shared, progress), &self.shared);
        }
    }

    /// How far the pass is that is under way.
    pub(super) fn pass(&self, now: Instant) -> Option<PassSnapshot> {
        let progress = self.pass.upgrade()?;
        let running = now.saturating_duration_since(progress.begun);
        Some(PassSnapshot::new(progress.done.get(), &self.shared.id, progress.place.get()?, running))
    }

    /// Warns that publications are overdue, unless that was done lately.
    pub(super) fn warn_if_late(&mut self, now: Instant) {
        let config = &self.shared.config;
        let interval = config.effective_republish_interval();
        // Half of the time between when it is to be republished and when its copies end.
        let late = config.values.key_expiry.saturating_sub(interval) / 2;
        let capacity = self.pass(now).and_then(|pass| capacity(pass.done, pass.running, interval));
        warn(&mut self.lateness, || self.records.overdue(late, now), capacity, now);
    }
}

/// How many values can be renewed in `interval`, at the speed of a pass that is done with so many. `None`: it is too early to say.
fn capacity(done: u64, running: Duration, interval: Duration) -> Option<u64> {
    (running >= Duration::from_secs(60)).then(|| (done as f64 * interval.div_duration_f64(running)) as u64)
}

/// Warns if values are overdue, unless that was done lately; returns whether it did.
fn warn(
    lateness: &mut LogLimit,
    overdue: impl FnOnce() -> (usize, Duration),
    capacity: Option<u64>,
    now: Instant,
) -> bool {
    let (values, longest) = if lateness.is_due(WARN_EVERY, now) { overdue() } else { (0, Duration::ZERO) };
    if values > 0 {
        lateness.pass(WARN_EVERY, now);
        tracing::warn!(
            values,
            late = ?Duration::from_secs(longest.as_secs()),
            renewed_in_an_interval = capacity.map(tracing::field::display),
            "values of this node are published again so late that their copies may end before, the first of them so late: more can be \
             kept only in a faster network, or by several nodes"
        );
    }
    values > 0
}

impl Receive<SelectDue> for ValueStore {
    fn receive(&mut self, SelectDue { from, answer }: SelectDue, _: &mut Context<Self>) {
        let (values, next) = self.records.due_publications(from, clock::now());
        // The pass may have ended.
        let _ = answer.send(DueSelected { values, next });
    }
}

impl Receive<PrepareRenewals> for ValueStore {
    fn receive(&mut self, PrepareRenewals { values, answer }: PrepareRenewals, _: &mut Context<Self>) {
        let now = self.now();
        let mut nonce = Nonce::default();
        self.entropy.fill(&mut nonce.0);
        let entry = |value: Option<(Arc<str>, u64)>| {
            value.and_then(|(key, version)| self.records.renewal_of(&key, version, nonce, now))
        };
        let entries = values.into_iter().map(entry).collect();
        // The pass may have ended.
        let _ = answer.send((nonce, entries));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_publications_come_too_late_is_logged_once_in_ten_minutes() {
        let (start, mut lateness) = (Instant::now(), LogLimit::default());
        let late = |values| move || (values, Duration::from_secs(9_000));
        assert!(!warn(&mut lateness, late(0), None, start));
        let logged =
            (0..25).filter(|minute| warn(&mut lateness, late(7), Some(9), start + Duration::from_secs(60 * minute)));
        assert_eq!(logged.count(), 3);
    }

    #[test]
    fn how_many_values_can_be_kept_follows_from_the_speed_of_the_pass() {
        let (minutes, half_a_day) = (|n: u64| Duration::from_secs(60 * n), Duration::from_secs(43_200));
        assert_eq!(capacity(10_000, minutes(10), half_a_day), Some(720_000));
        assert_eq!(capacity(10_000, Duration::from_secs(59), half_a_day), None);
    }
}
