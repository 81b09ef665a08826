//! How long the machine has slept: the clock of timers leaves that out; lives, ages and intervals must not.

#[cfg(feature = "sim")]
use std::cell::Cell;
use std::time::{Duration, Instant};

#[cfg(feature = "sim")]
thread_local! {
    static PRETENDED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// How long the machine has slept since this was first asked, in whole milliseconds. It only grows. Less than a second of
/// sleep is not noticed, nor one that ended less than 100 ms ago. Zero where the system does not say: outside of Linux.
pub fn slept() -> Duration {
    slept_by(Instant::now())
}

/// The same at `reading`, what the clock of timers has just been read as: that is not read a second time.
pub fn slept_by(reading: Instant) -> Duration {
    #[cfg(feature = "sim")]
    return real::slept(reading) + PRETENDED.get();
    #[cfg(not(feature = "sim"))]
    real::slept(reading)
}

/// Has [`slept`] count `time` more on this thread.
#[cfg(feature = "sim")]
pub(crate) fn pretend(time: Duration) {
    PRETENDED.set(PRETENDED.get() + time);
}

#[cfg(target_os = "linux")]
mod real {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use nix::time::ClockId;

    /// How often the clocks are compared.
    const LOOK_EVERY: u64 = 100;
    /// The shortest sleep that is noticed, in milliseconds.
    const SHORTEST: u64 = 1_000;
    /// Two readings that are farther apart are not compared: the process was not running in between.
    const TOGETHER: Duration = Duration::from_millis(10);

    /// Two clocks, one of which stands still while the machine sleeps.
    #[derive(Debug)]
    pub(super) struct Clocks {
        /// How far the one that goes on was ahead in the beginning.
        base: Duration,
        /// When they were compared last, in milliseconds of the process's time.
        looked_ms: AtomicU64,
        slept_ms: AtomicU64,
    }

    impl Clocks {
        pub(super) fn new(ahead: Duration) -> Self {
            Self { base: ahead, looked_ms: AtomicU64::new(0), slept_ms: AtomicU64::new(0) }
        }

        /// At `passed_ms` of the process's time, or of a virtual one, in any order; `ahead` says how far the clock that goes on is
        /// ahead.
        pub(super) fn slept(&self, passed_ms: u64, ahead: impl FnOnce() -> Option<Duration>) -> Duration {
            if passed_ms.abs_diff(self.looked_ms.load(Ordering::Relaxed)) >= LOOK_EVERY {
                self.looked_ms.store(passed_ms, Ordering::Relaxed);
                if let Some(ahead) = ahead() {
                    let slept = millis(ahead.saturating_sub(self.base));
                    if slept >= self.slept_ms.load(Ordering::Relaxed).saturating_add(SHORTEST) {
                        self.slept_ms.fetch_max(slept, Ordering::Relaxed);
                    }
                }
            }
            Duration::from_millis(self.slept_ms.load(Ordering::Relaxed))
        }
    }

    fn millis(duration: Duration) -> u64 {
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
    }

    /// How far the clock that goes on is ahead. `None` if the system does not say, or the process is interrupted each time.
    fn ahead() -> Option<Duration> {
        let read = |clock: ClockId| clock.now().ok().map(Duration::from);
        (0..8).find_map(|_| {
            let before = read(ClockId::CLOCK_MONOTONIC)?;
            let boot = read(ClockId::CLOCK_BOOTTIME)?;
            let after = read(ClockId::CLOCK_MONOTONIC)?;
            (after.saturating_sub(before) < TOGETHER).then(|| boot.saturating_sub(before))
        })
    }

    pub(super) fn slept(reading: Instant) -> Duration {
        static SINCE: LazyLock<(Instant, Option<Clocks>)> =
            LazyLock::new(|| (Instant::now(), ahead().map(Clocks::new)));
        let (started, clocks) = &*SINCE;
        let passed = millis(reading.saturating_duration_since(*started));
        clocks.as_ref().map_or(Duration::ZERO, |clocks| clocks.slept(passed, ahead))
    }
}

#[cfg(not(target_os = "linux"))]
mod real {
    use std::time::{Duration, Instant};

    pub(super) fn slept(_: Instant) -> Duration {
        Duration::ZERO
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600;

    #[test]
    fn every_sleep_is_noticed_the_first_one_too_and_time_never_runs_back() {
        let clocks = real::Clocks::new(Duration::from_secs(70));
        let at = |passed_ms, ahead: Option<u64>| clocks.slept(passed_ms, || ahead.map(Duration::from_secs)).as_secs();
        assert_eq!(at(50, Some(70 + 8 * HOUR)), 0, "they are compared ten times a second");
        assert_eq!(at(100, Some(70 + 8 * HOUR)), 8 * HOUR);
        assert_eq!(at(150, None), 8 * HOUR);
        assert_eq!(at(300, None), 8 * HOUR, "the system does not say at this moment");
        assert_eq!(at(400, Some(70)), 8 * HOUR);
        assert_eq!(at(500, Some(70 + 9 * HOUR)), 9 * HOUR);
        assert_eq!(at(450, Some(70 + 10 * HOUR)), 9 * HOUR, "they have just been compared");
        assert_eq!(at(100, Some(70 + 10 * HOUR)), 10 * HOUR, "after virtual time has gone on farther");
    }

    #[test]
    fn what_lies_between_two_readings_is_no_sleep() {
        let clocks = real::Clocks::new(Duration::ZERO);
        assert_eq!(clocks.slept(100, || Some(Duration::from_millis(999))), Duration::ZERO);
        assert_eq!(clocks.slept(200, || Some(Duration::from_millis(1_000))), Duration::from_secs(1));
    }

    #[test]
    fn a_machine_that_is_awake_has_not_slept() {
        assert_eq!(slept(), slept());
    }
}
