//! What a store has kept, as it comes back after a restart: what of it goes on, and when each is seen to next.

use std::time::{Duration, Instant};

use super::quota::Claim;
use super::record::{Class, Record, StoredRecord};
use super::records::Records;
use crate::protocol::entropy::Entropy;

impl Records {
    /// Rebuilds what a store has kept, as after a restart. Restores are spread over one interval, so that they do not come all at
    /// once; a publication is due when it would have been. What has ended meanwhile is dropped, and so is what is farthest from this node
    /// where the bounds have become smaller.
    ///
    /// Nothing of it has a date any more, only the latest at which it can have been published.
    ///
    /// Our own publications do not end by that: those whose time has run out are due at once; the result is how many they are.
    /// Those that never reached their places are due at once as well.
    pub fn load(&mut self, kept: Vec<StoredRecord>, now: Instant, entropy: &mut dyn Entropy) -> usize {
        let mut lapsed = 0;
        let full = kept.into_iter().filter(|stored| stored.class != Class::Cached);
        let mut records: Vec<Record> = full.map(|stored| Record::new(stored, &self.own)).collect();
        // A store may give them in any order; the outcome must not depend on it.
        records.sort_by(|a, b| (a.distance, &a.stored.key).cmp(&(b.distance, &b.stored.key)));
        for mut record in records {
            // Who knows how long the clock stood still meanwhile.
            record.stored_mut().dated = false;
            self.version = self.version.max(record.stored.version);
            if record.is_expired(now) {
                if record.is_published() {
                    // First of all, but in rounds as any upkeep, and not served before: this node cannot know what others have set
                    // in so long a time.
                    lapsed += 1;
                    record.due_at = Some(now);
                    self.holdings.put(record);
                } else {
                    self.counts.expired += 1;
                    self.gone(record);
                }
                continue;
            }
            if let Some(source) = record.stored.source {
                let claim =
                    Claim { source, bytes: record.bytes(), full: true, restored: true, distance: record.distance };
                if self.holdings.quota().victim(&claim) != Ok(None) {
                    self.counts.evicted += 1;
                    self.gone(record);
                    continue;
                }
            }
            let wait = match record.stored.class {
                Class::Published if record.is_unplaced() => Duration::ZERO,
                // Its time began anew when it was last published, and goes on where it was. A renewal that no place took has prolonged
                // the copy here alone.
                Class::Published => {
                    let left = record.stored.expires_at.saturating_duration_since(now);
                    let since = self.config.values.key_expiry.saturating_sub(left).max(record.age_at_least(now));
                    self.republish_delay(entropy).saturating_sub(since)
                }
                Class::Held | Class::Cached => self.config.values.restore_interval.mul_f64(entropy.unit()),
            };
            record.due_at = Some(now + wait);
            self.holdings.put(record);
        }
        lapsed
    }
}
