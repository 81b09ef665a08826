//! Bursts: which operations of a node may query all of their peers at once. A lookup near its target, or a publication, is then over in
//! one round trip instead of seven. But a holder takes datagrams of one source at a rate (docs/wire.md, 9.2), and drops what
//! goes beyond it: where many operations run, each keeps alpha queries in flight, so that they do not all come there together.

use std::time::{Duration, Instant};

/// Bursts that may begin at once. A burst sends a holder one datagram, which counts 4 in a publication: so this is within the
/// default of `source_burst`, even if each of them reaches the same holder.
pub const MAX_BURSTS: u32 = 16;
/// Bursts a second beyond that: half of the default of `source_rate` is left for what goes out alpha at a time.
pub const BURSTS_PER_SECOND: u32 = 6;

/// The bursts of a node so far: the generic cell rate algorithm, as for the rates of sources.
#[derive(Debug, Default)]
pub struct Bursts {
    /// When all of them would have begun at the rate; `None` before the first.
    due: Option<Instant>,
}

impl Bursts {
    /// Returns whether an operation may begin a burst at `now`. If so, it is counted.
    pub fn admit(&mut self, now: Instant) -> bool {
        let interval = Duration::from_secs(1) / BURSTS_PER_SECOND;
        let due = self.due.map_or(now, |due| due.max(now)) + interval;
        let admitted = due.saturating_duration_since(now) <= interval * MAX_BURSTS;
        if admitted {
            self.due = Some(due);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bursts_begin_at_once_and_six_a_second_after_them() {
        let (mut bursts, now) = (Bursts::default(), Instant::now());
        let mut admitted = |at| (0..1_000).filter(|_| bursts.admit(at)).count();
        assert_eq!([admitted(now), admitted(now)], [16, 0]);
        let over_ten_seconds: usize = (1..=1_000).map(|n| admitted(now + Duration::from_millis(10 * n))).sum();
        assert_eq!(over_ten_seconds, 60);
        assert_eq!(admitted(now + Duration::from_secs(60)), 16);
    }
}
