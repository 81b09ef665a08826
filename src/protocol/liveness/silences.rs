//! Silences: addresses whose last query timed out, and queries that a peer left unanswered in a row.

use std::time::{Duration, Instant};

/// How long a silence is remembered: as long as others go on naming a dead peer, which they notice within a refresh of their
/// buckets. The first answer of a peer that comes back earlier ends it.
pub const SILENT_FOR: Duration = Duration::from_secs(3_600);
/// Silent addresses that are remembered. Beyond it the one that was silent longest ago is forgotten.
pub const MAX_SILENT_ADDRESSES: usize = 4_096;

/// Queries that a peer left unanswered in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Streak {
    /// Silences that count (at least 1).
    pub(crate) count: u32,
    /// When the first of them was noticed.
    pub(crate) since: Instant,
    /// When the last of them was noticed.
    last: Instant,
}

impl Streak {
    /// The streak that follows from one more silence after those `known`. `None` if the silence does not count: a query that was
    /// already in flight when the silence before was noticed shows nothing new, since one lost burst of packets takes all of them.
    pub(crate) fn after(known: Option<Self>, query_timeout: Duration, now: Instant) -> Option<Self> {
        match known {
            None => Some(Self { count: 1, since: now, last: now }),
            Some(streak) if now.saturating_duration_since(streak.last) < query_timeout => None,
            Some(streak) => Some(Self { count: streak.count.saturating_add(1), last: now, ..streak }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_of_queries_that_were_in_flight_together_count_once() {
        let (start, timeout) = (Instant::now(), Duration::from_secs(2));
        let first = Streak::after(None, timeout, start);
        assert_eq!(first.map(|streak| streak.count), Some(1));
        assert_eq!(Streak::after(first, timeout, start + timeout - Duration::from_millis(1)), None);
        let second = Streak::after(first, timeout, start + timeout);
        assert_eq!(second.map(|streak| (streak.count, streak.since)), Some((2, start)));
        assert_eq!(Streak::after(second, timeout, start + timeout), None);
    }
}
