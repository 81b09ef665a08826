//! Publications that are due: which of them a pass takes, region by region, and how each is named to its places.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome::age_seconds;
use super::records::Records;
use crate::protocol::entropy::Entropy;
use crate::protocol::entry::{Entry, Nonce};
use crate::protocol::id::{Distance, NodeId};

/// Publications that a pass takes at once.
pub const MAX_DUE_AT_ONCE: usize = 1_000;
/// Records that are looked at for these. Few of them may be due.
const MAX_SCANNED: usize = 10_000;
/// The part of an interval by which a publication is renewed early, where another one is due: so all of a region go together.
const EARLY: u32 = 4;

/// A publication of this node that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueValue {
    /// The key.
    pub key: Arc<str>,
    /// Its place.
    pub place: NodeId,
    /// To be checked with [`Records::still_current`] before it is sent: an old value must not be written back.
    pub version: u64,
    /// Whether its time has run out: it is compared with what others hold before it goes on.
    pub lapsed: bool,
}

impl Records {
    /// When the first of our publications is due.
    pub fn publication_due(&self) -> Option<Instant> {
        self.holdings.first_due(true)
    }

    /// Our publications that are due, and those that are within a quarter of the interval, in the order of their distances from this
    /// node, from `from` on (`None`: from the nearest on): [`MAX_DUE_AT_ONCE`] at most. Nothing is changed of them. With the distance
    /// at which to go on; `None` at the end.
    pub fn due_publications(&self, from: Option<Distance>, now: Instant) -> (Vec<DueValue>, Option<Distance>) {
        let until = now + self.config.effective_republish_interval() / EARLY;
        let (mut due, mut scanned) = (Vec::new(), 0);
        for record in self.holdings.fixed_from(from.unwrap_or_default()) {
            if scanned >= MAX_SCANNED || due.len() >= MAX_DUE_AT_ONCE {
                return (due, Some(record.distance));
            }
            scanned += 1;
            if record.is_published() && record.due_at.is_some_and(|at| at <= until) {
                due.push(DueValue {
                    key: record.stored.key.clone(),
                    place: self.own.xor(&NodeId::from_bytes(*record.distance.as_bytes())),
                    version: record.stored.version,
                    lapsed: record.is_expired(now),
                });
            }
        }
        (due, None)
    }

    /// How our publication of `key` is named in a `renew`. `None` if `version` is not current any more, or has run out.
    pub fn renewal_of(&self, key: &str, version: u64, nonce: Nonce, now: Instant) -> Option<Entry> {
        let is_current = |publication: u64| publication == version && !self.has_lapsed(key, now);
        self.published_version(key).filter(|publication| is_current(*publication))?;
        let record = self.holdings.get(key)?;
        Some(Entry {
            place: self.own.xor(&NodeId::from_bytes(*record.distance.as_bytes())),
            digest: record.digest().keyed(nonce),
            age: record.age(now).map(age_seconds),
            life: None,
            kind: Entry::PLAIN,
        })
    }

    /// Our publication of `version` has gone out to its places: it is due again after an interval.
    pub fn published_again(&mut self, key: &str, version: u64, now: Instant, entropy: &mut dyn Entropy) {
        if self.published_version(key) == Some(version) {
            let delay = self.republish_delay(entropy);
            self.holdings.reschedule(key, now + delay);
        }
    }

    /// How many of our publications have been due for longer than `late`, and how long the first of them.
    pub fn overdue(&self, late: Duration, now: Instant) -> (usize, Duration) {
        let first = self.publication_due().map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let count = now.checked_sub(late).map_or(0, |before| self.holdings.count_due_before(true, before, usize::MAX));
        (count, first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::config::Config;
    use crate::protocol::digest::ValueDigest;
    use crate::protocol::entropy::SeededEntropy;
    use crate::protocol::store::contract::record;
    use crate::protocol::store::plan::Write;
    use crate::protocol::store::record::StoredRecord;

    struct Case {
        records: Records,
        entropy: SeededEntropy,
        now: Instant,
    }

    impl Case {
        fn new() -> Self {
            let now = Instant::now() + Duration::from_secs(1_000_000);
            Self {
                records: Records::new(NodeId::of_key("own"), &Config::default(), now),
                entropy: SeededEntropy::new(1),
                now,
            }
        }

        fn publish(&mut self, key: &str, value: &str) {
            let write = Write::Publish { key: key.into(), value: Arc::new(value.into()) };
            let plan = self.records.plan(write, self.now, &mut self.entropy).unwrap();
            let _ = self.records.apply(plan);
        }

        /// All that is due, in one go.
        fn due(&self) -> Vec<DueValue> {
            let (mut all, mut from) = (Vec::new(), None);
            loop {
                let (due, next) = self.records.due_publications(from, self.now);
                assert!(due.len() <= MAX_DUE_AT_ONCE);
                all.extend(due);
                from = match next {
                    Some(next) => Some(next),
                    None => return all,
                };
            }
        }
    }

    const INTERVAL: Duration = Duration::from_secs(43_205);

    #[test]
    fn a_pass_takes_each_publication_that_is_due_once_in_the_order_of_its_place() {
        let mut case = Case::new();
        (0..3_500).for_each(|n| case.publish(&n.to_string(), "v"));
        assert!(case.due().is_empty());
        case.now += INTERVAL;
        let due = case.due();
        assert_eq!(due.len(), 3_500);
        let own = NodeId::of_key("own");
        assert!(due.is_sorted_by(|a, b| own.distance(&a.place) < own.distance(&b.place)));
        assert!(due.iter().all(|value| value.place == NodeId::of_key(&value.key) && !value.lapsed));

        // What was renewed is not due any more, so another pass goes on with the rest.
        for value in &due[..2_000] {
            assert!(case.records.renewed(&value.key, value.version, true, case.now));
            case.records.published_again(&value.key, value.version, case.now, &mut case.entropy);
        }
        assert_eq!(case.due(), due[2_000..]);
    }

    #[test]
    fn a_publication_that_will_be_due_soon_goes_with_the_others_of_its_region() {
        let mut case = Case::new();
        case.publish("first", "v");
        case.now += INTERVAL / 5;
        case.publish("second", "v");
        case.now += INTERVAL / 2;
        case.publish("third", "v");
        case.now += INTERVAL * 3 / 10;
        assert!(case.records.publication_due().unwrap() <= case.now);
        let mut keys: Vec<_> = case.due().iter().map(|value| value.key.to_string()).collect();
        keys.sort();
        assert_eq!(keys, ["first", "second"]);
    }

    #[test]
    fn a_pass_takes_each_publication_among_more_copies_of_others_than_it_would_look_at() {
        let mut case = Case::new();
        let copies = (0..3 * MAX_SCANNED as u64).map(|n| StoredRecord {
            source: Some(([198, 18, (n >> 8) as u8, n as u8], 1).into()),
            expires_at: case.now + INTERVAL * 2,
            ..record(&format!("copy {n}"), "v", n, case.now)
        });
        case.records.load(copies.collect(), case.now, &mut case.entropy);
        assert_eq!(case.records.full_count(), 3 * MAX_SCANNED);
        (0..500).for_each(|n| case.publish(&n.to_string(), "v"));
        case.now += INTERVAL;
        let due = case.due();
        assert_eq!(due.len(), 500);
        let own = NodeId::of_key("own");
        assert!(due.is_sorted_by(|a, b| own.distance(&a.place) < own.distance(&b.place)));
    }

    #[test]
    fn after_a_restart_a_pass_goes_on_where_it_was() {
        let mut case = Case::new();
        (0..100).for_each(|n| case.publish(&n.to_string(), "v"));
        for value in 0..100 {
            let version = case.records.published_version(&value.to_string()).unwrap();
            case.now += Duration::from_nanos(1);
            assert!(case.records.renewed(&value.to_string(), version, true, case.now));
        }
        case.now += INTERVAL;
        let due = case.due();
        for value in &due[..60] {
            assert!(case.records.renewed(&value.key, value.version, true, case.now));
        }
        // Only what a store keeps outlives the process, and no schedule is among it.
        let kept = case.records.full_copies(case.now).map(|copy| copy.key.clone()).collect::<Vec<_>>();
        let kept = kept.iter().map(|key| (*case.records.holdings.get(key).unwrap().stored).clone()).collect();
        let mut again = Case::new();
        again.now = case.now + Duration::from_secs(60);
        again.records.load(kept, again.now, &mut again.entropy);
        let left: Vec<_> = again.due().into_iter().map(|value| value.key).collect();
        assert_eq!(left, due[60..].iter().map(|value| value.key.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn a_renewal_that_no_place_took_is_due_at_once_after_a_restart() {
        for reached in [true, false] {
            let mut case = Case::new();
            case.publish("key", "v");
            let version = case.records.published_version("key").unwrap();
            case.now += Duration::from_secs(1);
            assert!(case.records.renewed("key", version, true, case.now));
            // The network is away when it is due.
            case.now += INTERVAL;
            assert!(case.records.renewed("key", version, reached, case.now));
            let kept = vec![(*case.records.holdings.get("key").unwrap().stored).clone()];
            let mut again = Case::new();
            again.now = case.now + Duration::from_secs(60);
            again.records.load(kept, again.now, &mut again.entropy);
            assert_eq!(again.due().len(), usize::from(!reached));
        }
    }

    #[test]
    fn all_publications_are_due_once_the_clock_has_stood_still() {
        let mut case = Case::new();
        (0..10).for_each(|n| case.publish(&n.to_string(), "v"));
        case.now += Duration::from_secs(60);
        assert!(case.due().is_empty());
        case.records.undate(case.now);
        assert_eq!((case.due().len(), case.records.publication_due()), (10, Some(case.now)));
    }

    #[test]
    fn what_peers_refuse_is_tried_again_ever_later_and_what_reached_none_within_a_minute() {
        let mut case = Case::new();
        case.publish("key", "v");
        let version = case.records.published_version("key").unwrap();
        for (age, refused, wait) in
            [(60, true, 60), (60, false, 60), (28_800, true, 3_600), (28_800, false, 60), (800_000, true, 43_205)]
        {
            let now = case.now + Duration::from_secs(age);
            case.records.retry("key", version, refused, now, &mut case.entropy);
            let waits = case.records.publication_due().unwrap() - now;
            let wait = Duration::from_secs(wait);
            assert!((wait.mul_f64(0.89)..wait.mul_f64(1.11)).contains(&waits), "{waits:?} after {age} s");
        }
    }

    #[test]
    fn an_entry_names_the_current_value_with_its_age_where_that_is_known() {
        let (mut case, nonce) = (Case::new(), Nonce(*b"a nonce!"));
        case.publish("key", "v");
        let version = case.records.published_version("key").unwrap();
        case.now += Duration::from_secs(60);
        let entry = case.records.renewal_of("key", version, nonce, case.now).unwrap();
        let digest = ValueDigest::of(&"v".into()).keyed(nonce);
        let expected = Entry { place: NodeId::of_key("key"), digest, age: Some(60), life: None, kind: Entry::PLAIN };
        assert_eq!(entry, expected);
        case.records.undate(case.now);
        assert_eq!(case.records.renewal_of("key", version, nonce, case.now).unwrap().age, None);
        let lapsed = case.now + Duration::from_secs(86_410);
        assert_eq!(case.records.renewal_of("key", version, nonce, lapsed), None);
        case.publish("key", "w");
        assert_eq!(case.records.renewal_of("key", version, nonce, case.now), None, "superseded");
    }
}
