//! Handlers for what happens while values are stored: audits, rounds of upkeep, and expiry. Which peers are asked, and where a
//! value goes, is decided elsewhere; which values are due, the records know.

use std::time::Duration;

use actix::Context;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::store::Class;

use super::super::clock;
use super::super::handling::Receive;
use super::super::maintenance::republish_round;
use super::super::messages::{AuditKey, ExpireValues, PlaceValue, Placing, RepublishDue, RepublishKey, StartAudit};
use super::super::outcome::{Error, HeldHere};
use super::actor::ValueStore;

/// Values restored in one round at least, where there is room for so many.
const MIN_RESTORES: usize = 16;

/// How many restores a round takes at most: as many as each of the `held` values needs to be restored once in each interval, and a
/// quarter more, but no more than half of the queue of upkeep has room for. What does not fit is due in the next round, the longest
/// overdue first.
fn restores(config: &Config, held: usize) -> usize {
    let room = config.lookup.max_waiting_lookups.max(config.lookup.max_lookups.div_ceil(2));
    let half = (room / 2).max(1);
    let share = republish_round(config).as_secs_f64() / config.values.restore_interval.as_secs_f64();
    ((held as f64 * share * 1.25) as usize).clamp(MIN_RESTORES.min(half), half)
}

impl Receive<RepublishDue> for ValueStore {
    fn receive(&mut self, _: RepublishDue, _: &mut Context<Self>) {
        let now = clock::now();
        self.warn_if_late(now);
        self.begin_pass(now);
        let limit = restores(&self.shared.config, self.records.snapshot().held.values);
        for due in self.records.due_restores(now, limit, &mut *self.entropy) {
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
    fn a_round_of_restores_fits_half_of_the_queue_of_upkeep() {
        for (waiting, lookups, held, expected) in [
            (1_024, 256, 0, 16),
            (1_024, 256, 9_600, 200),
            (1_024, 256, 100_000, 512),
            (10_240, 256, 100_000, 2_083),
            (0, 256, 100_000, 64),
            (0, 1, 100_000, 1),
        ] {
            let config = Config::builder().max_waiting_lookups(waiting).max_lookups(lookups).build().unwrap();
            assert_eq!(restores(&config, held), expected, "{waiting} may wait, {lookups} run, {held} are held");
        }
    }
}
