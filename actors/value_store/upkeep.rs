//! Handlers for what happens while values are stored: audits, republications and restores, each so many in a round, and expiry.
//! Which peers are asked, and where a value goes, is decided elsewhere; which values are due, the records know.

use std::time::{Duration, Instant};

use actix::Context;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::store::Class;

use super::super::clock;
use super::super::counters::LogLimit;
use super::super::handling::Receive;
use super::super::maintenance::republish_round;
use super::super::messages::{AuditKey, ExpireValues, PlaceValue, Placing, RepublishDue, RepublishKey, StartAudit};
use super::super::outcome::{Error, HeldHere};
use super::actor::ValueStore;

/// Values restored in one round at least, where there is room for so many.
const MIN_RESTORES: usize = 16;
/// At most one warning that publications come too late in this time.
const WARN_EVERY: Duration = Duration::from_secs(600);

/// How many publications and how many restores a round takes at most. Together they find room in the queue of upkeep: whatever
/// does not would be refused there, and is due in the next round instead, the longest overdue first.
///
/// Restores take as many as each of the `held` values needs to be restored once in each interval, and a quarter more, but no more
/// than half; publications take all the rest.
fn shares(config: &Config, held: usize) -> (usize, usize) {
    let room = config.lookup.max_waiting_lookups.max(config.lookup.max_lookups.div_ceil(2));
    let half = (room / 2).max(1);
    let share = republish_round(config).as_secs_f64() / config.values.restore_interval.as_secs_f64();
    let restores = ((held as f64 * share * 1.25) as usize).clamp(MIN_RESTORES.min(half), half);
    ((room - restores).max(1), restores)
}

/// Warns that so many publications are overdue, unless that was done lately; returns whether it did.
fn warn_if_late(lateness: &mut LogLimit, overdue: impl FnOnce() -> usize, now: Instant) -> bool {
    let values = if lateness.is_due(WARN_EVERY, now) { overdue() } else { 0 };
    if values > 0 {
        lateness.pass(WARN_EVERY, now);
        tracing::warn!(
            values,
            "values of this node are published again so late that their copies may end before: there are more of them than \
             max_waiting_lookups lets through, or the network is too slow"
        );
    }
    values > 0
}

impl Receive<RepublishDue> for ValueStore {
    fn receive(&mut self, _: RepublishDue, _: &mut Context<Self>) {
        let now = clock::now();
        // Half of the time between when it is to be republished and when its copies end.
        let late =
            self.shared.config.values.key_expiry.saturating_sub(self.shared.config.effective_republish_interval()) / 2;
        warn_if_late(&mut self.lateness, || self.records.overdue(late, now), now);
        let (publications, restores) = shares(&self.shared.config, self.records.snapshot().held.values);
        for due in self.records.due(now, publications, restores, &mut *self.entropy) {
            self.shared.handles.lookups.place(PlaceValue(Placing { key: due.key, version: due.version, answer: None }));
        }
    }
}

impl Receive<AuditKey> for ValueStore {
    fn receive(&mut self, AuditKey { key, answer }: AuditKey, _: &mut Context<Self>) {
        let copy = self.records.get(&key, clock::now()).map(|copy| (copy.class, copy.ttl_left));
        // A publication that waits for its turn to begin anew has not ended.
        let lapsed = || self.records.is_published(&key).then_some((Class::Published, Duration::ZERO));
        let here = copy.or_else(lapsed).map(|(class, expires_in)| HeldHere {
            class,
            pinned: self.records.is_pinned(&key),
            expires_in,
        });
        self.shared.handles.lookups.audit(StartAudit { key, here, answer });
    }
}

impl Receive<RepublishKey> for ValueStore {
    fn receive(&mut self, RepublishKey { key, answer }: RepublishKey, _: &mut Context<Self>) {
        self.records.resume(&key, clock::now());
        match self.records.published_version(&key) {
            Some(version) => {
                self.shared.handles.lookups.place(PlaceValue(Placing { key, version, answer: Some(answer) }))
            }
            None => drop(answer.send(Err(Error::NotPublished { key: key.to_string() }))),
        }
    }
}

impl Receive<ExpireValues> for ValueStore {
    fn receive(&mut self, _: ExpireValues, ctx: &mut Context<Self>) {
        let swept = self.records.expire(clock::now());
        if swept > 0 {
            tracing::debug!(swept, "values expired");
            self.save(ctx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_fits_the_queue_of_upkeep_and_publications_take_what_restores_leave() {
        for (waiting, lookups, held, expected) in [
            (1_024, 256, 0, (1_008, 16)),
            (1_024, 256, 9_600, (824, 200)),
            (1_024, 256, 100_000, (512, 512)),
            (10_240, 256, 100_000, (8_157, 2_083)),
            (0, 256, 100_000, (64, 64)),
            (0, 1, 100_000, (1, 1)),
        ] {
            let config = Config::builder().max_waiting_lookups(waiting).max_lookups(lookups).build().unwrap();
            assert_eq!(shares(&config, held), expected, "{waiting} may wait, {lookups} run, {held} are held");
        }
    }

    #[test]
    fn that_publications_come_too_late_is_logged_once_in_ten_minutes() {
        let (start, mut lateness) = (Instant::now(), LogLimit::default());
        assert!(!warn_if_late(&mut lateness, || 0, start));
        let logged =
            (0..25).filter(|minute| warn_if_late(&mut lateness, || 7, start + Duration::from_secs(60 * minute)));
        assert_eq!(logged.count(), 3);
    }
}
