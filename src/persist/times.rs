//! Times that outlive a process: the age of the store, counted by the node's clock while it runs and by the best clock there
//! is while it does not. No other file reads the wall clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::uptime::slept;

/// The first moment of 2025, in milliseconds since 1970. A wall clock that says less has not been set: this program is younger.
const SET: u64 = 1_735_689_600_000;

/// The same moment by every clock there is.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    /// By the node's clock, which includes the time that the machine has slept.
    pub(super) instant: Instant,
    /// Milliseconds since 1970 by the wall clock, which may jump.
    pub(super) wall_ms: u64,
    /// By a clock that cannot be set, where the system has one.
    pub(super) boot: Option<Boot>,
}

/// Time since the system was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Boot {
    /// Which start of the system: never the same twice.
    id: String,
    /// Milliseconds since then, sleep included.
    up_ms: u64,
}

/// A source of the time.
pub(super) trait Clock: Send {
    fn now(&self) -> Moment;
}

/// The clocks of the system.
#[derive(Debug)]
pub(super) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        // A clock before 1970 has not been set yet: time then begins at 1970.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { instant: Instant::now() + slept(), wall_ms: millis(wall), boot: boot() }
    }
}

/// Linux has it; elsewhere the wall clock has to do.
fn boot() -> Option<Boot> {
    let read = |path| std::fs::read_to_string(path).ok();
    let id = read("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    let up: f64 = read("/proc/uptime")?.split_whitespace().next()?.parse().ok()?;
    Some(Boot { id, up_ms: millis(Duration::try_from_secs_f64(up).ok()?) })
}

/// How old the store was at some moment, and what the clocks said. One is stored with each commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    age_ms: u64,
    wall_ms: u64,
    boot: Option<Boot>,
}

impl Mark {
    /// How long the store was closed. Within one run of the system that is known for certain; after another start of it the
    /// wall clock has to do.
    fn closed_for(&self, now: &Moment) -> u64 {
        match (&self.boot, &now.boot) {
            (Some(then), Some(now)) if then.id == now.id && then.up_ms <= now.up_ms => now.up_ms - then.up_ms,
            _ => wall_passed(self.wall_ms, now),
        }
    }
}

/// The age of the store, which only grows.
#[derive(Debug)]
pub(super) struct Age {
    opened: Instant,
    opened_ms: u64,
}

impl Age {
    /// The store was last seen at `mark`, or is new.
    pub(super) fn since(mark: Option<&Mark>, now: &Moment) -> Self {
        let opened_ms = mark.map_or(0, |mark| mark.age_ms.saturating_add(mark.closed_for(now)));
        Self { opened: now.instant, opened_ms }
    }

    /// At `now`.
    fn at_ms(&self, now: Instant) -> u64 {
        self.opened_ms.saturating_add(millis(now.saturating_duration_since(self.opened)))
    }

    pub(super) fn mark(&self, now: &Moment) -> Mark {
        Mark { age_ms: self.at_ms(now.instant), wall_ms: now.wall_ms, boot: now.boot.clone() }
    }
}

/// The times of one record as they are stored: when it was written, by the store's age and by the wall clock, and what was
/// left of its life then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Times {
    written_age_ms: u64,
    written_wall_ms: u64,
    held_ms: u64,
    left_ms: u64,
}

impl Times {
    pub(super) fn of(stored_at: Instant, expires_at: Instant, age: &Age, now: &Moment) -> Self {
        Self {
            written_age_ms: age.at_ms(now.instant),
            written_wall_ms: now.wall_ms,
            held_ms: millis(now.instant.saturating_duration_since(stored_at)),
            left_ms: millis(expires_at.saturating_duration_since(now.instant)),
        }
    }

    /// How long ago it was written. Without the store's `age`, which only damage takes away, the wall clock has to do.
    pub(super) fn passed(&self, age: Option<&Age>, now: &Moment) -> Duration {
        Duration::from_millis(match age {
            Some(age) => age.at_ms(now.instant).saturating_sub(self.written_age_ms),
            None => wall_passed(self.written_wall_ms, now),
        })
    }

    /// `stored_at` and `expires_at` in a later process. What was left when it was written is never exceeded.
    pub(super) fn restore(&self, age: Option<&Age>, now: &Moment) -> (Instant, Instant) {
        let passed = millis(self.passed(age, now));
        let left = Duration::from_millis(self.left_ms.saturating_sub(passed));
        let held = Duration::from_millis(self.held_ms.saturating_add(passed));
        // A system that has just started may have no instants that far back.
        let stored_at = now.instant.checked_sub(held).unwrap_or(now.instant);
        (stored_at, now.instant.checked_add(left).unwrap_or(now.instant))
    }
}

/// What has passed since the wall clock said `then`. It is believed, however far forwards, but not backwards, and not where
/// it had not been set: a life that ends later than it should is better than one that ends at once.
fn wall_passed(then: u64, now: &Moment) -> u64 {
    if then < SET { 0 } else { now.wall_ms.saturating_sub(then) }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;
    const YEAR: u64 = 365 * DAY;
    /// By the wall clock.
    const NOW: u64 = SET + YEAR;

    fn moment(origin: Instant, ms: u64, wall_ms: u64, boot: Option<(&str, u64)>) -> Moment {
        let boot = boot.map(|(id, up_ms)| Boot { id: id.to_owned(), up_ms });
        Moment { instant: origin + Duration::from_millis(ms), wall_ms, boot }
    }

    /// What is left of a day's life after an hour in the process that wrote it and whatever `then` says since.
    fn left_after(written: Moment, marked: Moment, then: Moment) -> u64 {
        let age = Age::since(None, &written);
        let times = Times::of(written.instant, written.instant + Duration::from_millis(DAY), &age, &written);
        let mark = age.mark(&marked);
        let (_, expires_at) = times.restore(Some(&Age::since(Some(&mark), &then)), &then);
        millis(expires_at - then.instant)
    }

    const HOUR: u64 = 3_600_000;

    #[test]
    fn a_life_goes_on_while_the_process_is_gone() {
        let origin = Instant::now();
        for boot in [None, Some("a")] {
            let at = |ms| moment(origin, ms, NOW + ms, boot.map(|id| (id, ms)));
            assert_eq!(left_after(at(0), at(HOUR), at(3 * HOUR)), DAY - 3 * HOUR);
            assert_eq!(left_after(at(0), at(HOUR), at(25 * HOUR)), 0);
        }
    }

    #[cfg(feature = "sim")]
    #[test]
    fn a_life_goes_on_while_the_machine_sleeps() {
        let written = SystemClock.now();
        crate::uptime::pretend(Duration::from_millis(8 * HOUR));
        let left = DAY - left_after(written.clone(), SystemClock.now(), SystemClock.now());
        assert!((8 * HOUR..8 * HOUR + 60_000).contains(&left), "{left} ms have passed");
    }

    #[test]
    fn a_wall_clock_that_jumped_while_the_store_was_open_shortens_and_prolongs_nothing() {
        let origin = Instant::now();
        for jumped in [SET, 80 * YEAR] {
            let written = moment(origin, 0, NOW, None);
            let marked = moment(origin, HOUR, jumped, None);
            assert_eq!(left_after(written, marked, moment(origin, 0, jumped + HOUR, None)), DAY - 2 * HOUR);
        }
    }

    #[test]
    fn a_wall_clock_that_jumped_while_the_store_was_closed_changes_nothing_within_one_run_of_the_system() {
        let origin = Instant::now();
        for jumped in [0, 10 * YEAR, 80 * YEAR] {
            let written = moment(origin, 0, NOW, Some(("a", HOUR)));
            let marked = moment(origin, HOUR, NOW + HOUR, Some(("a", 2 * HOUR)));
            let then = moment(origin, 5 * HOUR, jumped, Some(("a", 3 * HOUR)));
            assert_eq!(left_after(written, marked, then), DAY - 2 * HOUR);
        }
    }

    #[test]
    fn after_another_start_of_the_system_time_never_runs_backwards() {
        let origin = Instant::now();
        let written = moment(origin, 0, NOW, Some(("a", HOUR)));
        let marked = moment(origin, HOUR, NOW + HOUR, Some(("a", 2 * HOUR)));
        let unset = moment(origin, 0, 0, Some(("b", 0)));
        assert_eq!(left_after(written.clone(), marked.clone(), unset), DAY - HOUR);
        let right = moment(origin, 0, NOW + 2 * HOUR, Some(("b", 0)));
        assert_eq!(left_after(written, marked, right), DAY - 2 * HOUR);
    }

    #[test]
    fn a_wall_clock_that_had_not_been_set_tells_nothing_of_a_pause() {
        let origin = Instant::now();
        for unset in [0, 20 * YEAR] {
            let written = moment(origin, 0, unset, Some(("a", HOUR)));
            let marked = moment(origin, HOUR, unset + HOUR, Some(("a", 2 * HOUR)));
            let then = moment(origin, 0, NOW, Some(("b", 0)));
            assert_eq!(left_after(written.clone(), marked.clone(), then), DAY - HOUR);
            // Within one run of the system the other clock has it.
            let then = moment(origin, 0, NOW, Some(("a", 4 * HOUR)));
            assert_eq!(left_after(written, marked, then), DAY - 3 * HOUR);
        }
    }

    #[test]
    fn without_the_age_the_wall_clock_has_to_do_and_no_life_grows() {
        let origin = Instant::now();
        let written = moment(origin, 0, NOW, None);
        let age = Age::since(None, &written);
        let times = Times::of(origin, origin + Duration::from_millis(DAY), &age, &written);
        for (wall_ms, left) in [(NOW + HOUR, DAY - HOUR), (0, DAY), (80 * YEAR, 0)] {
            let then = moment(origin, 7 * DAY, wall_ms, None);
            let (_, expires_at) = times.restore(None, &then);
            assert_eq!(millis(expires_at - then.instant), left);
        }
        let unset = moment(origin, 0, 0, None);
        let times = Times::of(origin, origin + Duration::from_millis(DAY), &age, &unset);
        let then = moment(origin, 0, NOW, None);
        assert_eq!(times.restore(None, &then).1, then.instant + Duration::from_millis(DAY));
    }

    #[test]
    fn the_age_of_a_store_is_the_sum_of_its_runs_and_pauses() {
        let origin = Instant::now();
        let mut mark = None;
        for run in 0..10 {
            let opened = moment(origin, 0, NOW + run * 2 * HOUR, None);
            let age = Age::since(mark.as_ref(), &opened);
            mark = Some(age.mark(&moment(origin, HOUR, NOW + (run * 2 + 1) * HOUR, None)));
        }
        assert_eq!(mark.expect("ten runs").age_ms, 19 * HOUR);
    }
}
