//! How many requests a second there may be: a bucket of tokens, as one time (GCRA).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many a second on average, and twice as many at once.
#[derive(Debug)]
pub(super) struct Budget {
    interval: Duration,
    burst: Duration,
    /// When the bucket will be full again.
    full_at: Mutex<Option<Instant>>,
}

impl Budget {
    /// `rate` a second: at least 1.
    pub(super) fn new(rate: u32) -> Self {
        let interval = Duration::from_secs(1) / rate.max(1);
        Self { interval, burst: interval * (2 * rate.max(1)), full_at: Mutex::new(None) }
    }

    /// Takes one.
    ///
    /// # Errors
    /// After what time there is one again.
    pub(super) fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = full_at.unwrap_or(now).max(now) + self.interval;
        let over = next.saturating_duration_since(now + self.burst);
        if over.is_zero() {
            *full_at = Some(next);
            return Ok(());
        }
        Err(over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_gives_a_burst_and_then_its_rate() {
        let (budget, start) = (Budget::new(10), Instant::now());
        assert_eq!((0..100).filter(|_| budget.take(start).is_ok()).count(), 20);
        assert_eq!(budget.take(start), Err(Duration::from_millis(100)));
        assert_eq!(budget.take(start + Duration::from_millis(100)), Ok(()));
        let later = start + Duration::from_secs(3_600);
        assert_eq!((0..100).filter(|_| budget.take(later).is_ok()).count(), 20);
    }
}
