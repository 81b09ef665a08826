//! A warning where publications come too late, now and then.

use std::time::{Duration, Instant};

/// At most one warning that publications come too late in this time.
const WARN_EVERY: Duration = Duration::from_secs(600);

/// When it was last said that publications come too late.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    told: Option<Instant>,
}

impl Lateness {
    /// Says that so many publications are overdue, unless that was said lately.
    pub(super) fn tell(&mut self, overdue: impl FnOnce() -> usize, now: Instant) -> bool {
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < WARN_EVERY) {
            return false;
        }
        let values = overdue();
        if values > 0 {
            self.told = Some(now);
            tracing::warn!(
                values,
                "values of this node are published again so late that their copies may end before: there are more of them than \
                 max_waiting_lookups lets through, or the network is too slow"
            );
        }
        values > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_publications_come_too_late_is_told_once_in_ten_minutes() {
        let (start, mut lateness) = (Instant::now(), Lateness::default());
        assert!(!lateness.tell(|| 0, start));
        let told = (0..25).filter(|minute| lateness.tell(|| 7, start + Duration::from_secs(60 * minute)));
        assert_eq!(told.count(), 3);
    }
}
