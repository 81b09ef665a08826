//! Rounds: how many values are published again and restored at once, and a word where that is not enough. Which are due, the records
//! know; when a round comes, the scheduler.

use actix::Context;
use kademlia_dynamic::protocol::config::Config;

use super::super::clock;
use super::super::handling::Receive;
use super::super::maintenance::republish_round;
use super::super::messages::{PlaceValue, Placing, RepublishDue};
use super::actor::ValueStore;

/// Values restored in one round at least, where there is room for so many.
const MIN_RESTORES: usize = 16;
/// How many publications and how many restores a round takes at most. Together they find room in the queue of upkeep: whatever
/// does not would be refused there, and is due in the next round instead, the longest overdue first.
///
/// Restores take as many as each of the `held` values needs to have its turn in each interval, and a quarter more, but no more
/// than half; publications take all the rest.
fn shares(config: &Config, held: usize) -> (usize, usize) {
    let room = config.lookup.max_waiting_lookups.max(config.lookup.max_lookups.div_ceil(2));
    let half = (room / 2).max(1);
    let share = republish_round(config).as_secs_f64() / config.values.restore_interval.as_secs_f64();
    let restores = ((held as f64 * share * 1.25) as usize).clamp(MIN_RESTORES.min(half), half);
    ((room - restores).max(1), restores)
}

impl Receive<RepublishDue> for ValueStore {
    fn receive(&mut self, _: RepublishDue, _: &mut Context<Self>) {
        let now = clock::now();
        // Half of the time between when it is to be republished and when its copies end.
        let late =
            self.shared.config.values.key_expiry.saturating_sub(self.shared.config.effective_republish_interval()) / 2;
        self.lateness.tell(|| self.records.overdue(late, now), now);
        let (publications, restores) = shares(&self.shared.config, self.records.snapshot().held.values);
        for due in self.records.due(now, publications, restores, &mut *self.entropy) {
            self.lookups.place(PlaceValue(Placing { key: due.key, version: due.version, answer: None }));
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
}
