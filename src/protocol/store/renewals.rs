//! Renewals: what many entries of one message do to the copies that they name. Each is a `set` without its value: what that would
//! do is decided in `writes.rs`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::outcome::Refusal;
use super::plan::{Plan, Write};
use super::quota::Claim;
use super::record::Record;
use super::records::Records;
use super::rules::{RemoteWrite, is_later};
use crate::protocol::entropy::Entropy;
use crate::protocol::entry::{Entries, Entry, EntryState, Nonce};
use crate::protocol::id::NodeId;
use crate::protocol::peer::canonical;

/// What a `renew` comes to: the state of each of its entries, and the plans for those that change a copy.
#[derive(Debug)]
#[must_use = "the keys of its plans take no other write until they are applied or abandoned"]
pub struct RenewalPlan {
    /// In the order of the entries. Where a plan is abandoned, its entry was not [held](EntryState::Held).
    pub states: Vec<EntryState>,
    /// At most one for each entry, with the number of that.
    pub plans: Vec<(usize, Plan)>,
}

impl Records {
    /// Decides what a `renew` from `from` changes, and changes nothing of it: see [`Records::plan`]. Nothing is prolonged that is
    /// not held under its digest.
    ///
    /// A copy that another holder brings is wanted only if this node `holds` values at its place, being among the k nearest. A node knows
    /// that of itself better than others know it: each of its buckets has k peers, or all that there are. A copy beyond the k nearest
    /// would be reached by no later publication.
    pub fn plan_renewals(
        &mut self,
        renewed: &Entries,
        from: SocketAddr,
        holds: &dyn Fn(&NodeId) -> bool,
        now: Instant,
        entropy: &mut dyn Entropy,
    ) -> RenewalPlan {
        let mut plans = Vec::new();
        let states = renewed.entries.iter().enumerate().map(|(number, entry)| {
            let (state, plan) = self.plan_renewal(entry, renewed.nonce, from, holds, now, entropy);
            plans.extend(plan.map(|plan| (number, plan)));
            state
        });
        RenewalPlan { states: states.collect(), plans }
    }

    fn plan_renewal(
        &mut self,
        entry: &Entry,
        nonce: Nonce,
        from: SocketAddr,
        holds: &dyn Fn(&NodeId) -> bool,
        now: Instant,
        entropy: &mut dyn Entropy,
    ) -> (EntryState, Option<Plan>) {
        if entry.kind != Entry::PLAIN {
            return (EntryState::Refused, None);
        }
        let distance = self.own.distance(&entry.place);
        let held = self.holdings.at_place(distance).find(|record| !record.is_expired(now));
        let Some(record) = held else {
            let wanted = entry.life.is_none() || holds(&entry.place);
            return (if wanted { self.lacking(entry, from) } else { EntryState::Refused }, None);
        };
        // What comes of a write in flight is not known yet. A `set` waits for that.
        if self.is_in_flight(&record.stored.key) {
            return (EntryState::Lacking, None);
        }
        if record.digest().keyed(nonce) != entry.digest {
            return (self.order(record, entry, now), None);
        }
        let (key, value) = (record.stored.key.clone(), record.stored.value.clone());
        // The age is that of the publication before, where this is one.
        let age = entry.age.filter(|_| entry.life.is_some());
        let write = RemoteWrite { key, value, ttl: entry.life, age, from, legacy: false };
        match self.plan(Write::Set(write), now, entropy) {
            Ok(plan) => (EntryState::Held, Some(plan)),
            Err(_) => (EntryState::Refused, None),
        }
    }

    /// Nothing is held at the place of `entry`: whether its value would be taken. Its length is not known, so it counts as long as others
    /// are.
    fn lacking(&self, entry: &Entry, from: SocketAddr) -> EntryState {
        let (distance, quota) = (self.own.distance(&entry.place), self.holdings.quota());
        let (source, bytes, restored) = (canonical(from), quota.mean_bytes(), entry.life.is_some());
        let claim = Claim { source, bytes, full: true, restored, distance };
        match quota.victim(&claim) {
            Ok(_) => EntryState::Lacking,
            Err(Refusal::Full | Refusal::SourceFull) => EntryState::Refused,
            Err(_) => EntryState::Lacking,
        }
    }

    /// Which of two values is the later one: `record`, or the one of `entry`.
    fn order(&self, record: &Record, entry: &Entry, now: Instant) -> EntryState {
        if self.stands(record) {
            return EntryState::Refused;
        }
        let margin = self.config.same_publication();
        let Some(theirs) = entry.age.map(|seconds| Duration::from_secs(seconds.into())) else {
            return EntryState::Unordered;
        };
        let ours = record.age_at_least(now);
        if is_later(theirs, ours, margin) {
            EntryState::Lacking
        } else if record.stored.dated && is_later(ours, theirs, margin) {
            EntryState::Later
        } else {
            EntryState::Unordered
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::protocol::config::{Config, PublisherConflict};
    use crate::protocol::digest::ValueDigest;
    use crate::protocol::entropy::SeededEntropy;
    use crate::protocol::store::outcome::WriteOutcome;

    const NONCE: Nonce = Nonce(*b"a nonce!");
    const HOUR: Duration = Duration::from_secs(3_600);

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    /// Records of a node, and what it is told.
    struct Case {
        records: Records,
        entropy: SeededEntropy,
        start: Instant,
    }

    impl Case {
        fn new(config: &Config) -> Self {
            let start = Instant::now() + Duration::from_secs(1_000_000);
            Self { records: Records::new(NodeId::ZERO, config, start), entropy: SeededEntropy::new(1), start }
        }

        fn write(&mut self, write: Write, at: Duration) {
            let mut plan = self.records.plan(write, self.start + at, &mut self.entropy).unwrap();
            plan.take_changes();
            let _ = self.records.apply(plan);
        }

        /// A peer's `set` of `value`, dated with `age` if it has a `ttl`.
        fn set(&mut self, value: &str, ttl: Option<u32>, age: Option<u32>, at: Duration) {
            let write = RemoteWrite {
                key: "key".into(),
                value: Arc::new(value.into()),
                ttl,
                age,
                from: addr(1),
                legacy: false,
            };
            self.write(Write::Set(write), at);
        }

        fn renew(&mut self, entries: Vec<Entry>, at: Duration) -> (Vec<EntryState>, Vec<WriteOutcome>) {
            let renewed = Entries { nonce: NONCE, entries };
            let planned = self.records.plan_renewals(&renewed, addr(2), &|_| true, self.start + at, &mut self.entropy);
            let outcomes = planned.plans.into_iter().map(|(_, mut plan)| {
                plan.take_changes();
                self.records.apply(plan)
            });
            (planned.states, outcomes.collect())
        }

        fn state(&mut self, entry: Entry, at: Duration) -> EntryState {
            self.renew(vec![entry], at).0[0]
        }

        fn ttl(&self, at: Duration) -> Duration {
            self.records.get("key", self.start + at).unwrap().ttl_left
        }
    }

    fn entry(value: &str, age: Option<u32>, life: Option<u32>) -> Entry {
        let digest = ValueDigest::of(&value.into()).keyed(NONCE);
        Entry { place: NodeId::of_key("key"), digest, age, life, kind: Entry::PLAIN }
    }

    #[test]
    fn a_publication_entry_of_the_held_value_renews_it_as_a_set_of_it_would() {
        let config = Config::default();
        let (mut renewed, mut set) = (Case::new(&config), Case::new(&config));
        for case in [&mut renewed, &mut set] {
            case.set("value", None, None, Duration::ZERO);
        }
        let (states, outcomes) = renewed.renew(vec![entry("value", Some(36_000), None)], 10 * HOUR);
        assert_eq!((&states[..], &outcomes[..]), (&[EntryState::Held][..], &[WriteOutcome::Renewed][..]));
        set.set("value", None, None, 10 * HOUR);
        assert_eq!(renewed.ttl(10 * HOUR), config.values.key_expiry);
        let copies = [renewed, set].map(|case| case.records.get("key", case.start + 11 * HOUR).map(|copy| copy.age));
        assert_eq!(copies[0], Some(Some(HOUR)), "dated now, whatever the age of the publication before");
        assert_eq!(copies[0], copies[1]);
    }

    #[test]
    fn a_restore_entry_of_the_held_value_prolongs_it_only_for_a_later_publication() {
        let mut case = Case::new(&Config::default());
        case.set("value", Some(40_000), Some(46_000), Duration::ZERO);
        assert_eq!(case.state(entry("value", Some(46_000), Some(80_000)), Duration::ZERO), EntryState::Held);
        assert_eq!(case.ttl(Duration::ZERO), Duration::from_secs(40_000), "the same publication");
        assert_eq!(case.state(entry("value", None, Some(80_000)), Duration::ZERO), EntryState::Held);
        assert_eq!(case.ttl(Duration::ZERO), Duration::from_secs(40_000), "it is unknown of which");
        assert_eq!(case.state(entry("value", Some(6_000), Some(80_000)), Duration::ZERO), EntryState::Held);
        assert_eq!(case.ttl(Duration::ZERO), Duration::from_secs(80_000), "a later one");
    }

    #[test]
    fn what_is_not_held_is_lacking_and_a_cached_copy_or_an_expired_one_counts_as_none() {
        let mut case = Case::new(&Config::default());
        assert_eq!(case.state(entry("value", None, None), Duration::ZERO), EntryState::Lacking);
        let cached = RemoteWrite {
            key: "key".into(),
            value: Arc::new("value".into()),
            ttl: None,
            age: None,
            from: addr(1),
            legacy: false,
        };
        case.write(Write::Cache(cached), Duration::ZERO);
        assert_eq!(case.state(entry("value", None, None), Duration::ZERO), EntryState::Lacking);
        case.set("value", Some(60), Some(60), Duration::ZERO);
        assert_eq!(case.state(entry("value", None, Some(50)), Duration::ZERO), EntryState::Held);
        assert_eq!(case.state(entry("value", None, None), Duration::from_secs(60)), EntryState::Lacking);
        assert!(case.records.get("key", case.start + Duration::from_secs(60)).is_none());
    }

    #[test]
    fn of_two_values_the_one_published_later_is_wanted_where_that_is_known() {
        for (theirs, state) in [
            // The one held is an hour old.
            (Some(3_600 - 14), EntryState::Lacking),
            (Some(3_600 - 13), EntryState::Unordered),
            (Some(3_600 + 13), EntryState::Unordered),
            (Some(3_600 + 14), EntryState::Later),
            (None, EntryState::Unordered),
        ] {
            for life in [None, Some(9_999)] {
                let mut case = Case::new(&Config::default());
                case.set("held", Some(80_000), Some(3_600), Duration::ZERO);
                let before = case.records.get("key", case.start);
                assert_eq!(case.state(entry("other", theirs, life), Duration::ZERO), state, "{theirs:?} {life:?}");
                assert_eq!(case.records.get("key", case.start), before, "nothing is changed");
            }
        }
    }

    #[test]
    fn a_copy_without_a_date_is_at_least_as_old_as_it_is_here_and_never_the_later_one() {
        let mut case = Case::new(&Config::default());
        case.set("held", Some(80_000), None, Duration::ZERO);
        assert_eq!(case.state(entry("other", Some(60), None), HOUR), EntryState::Lacking);
        assert_eq!(case.state(entry("other", Some(3_600), None), HOUR), EntryState::Unordered);
        assert_eq!(case.state(entry("other", Some(80_000), None), HOUR), EntryState::Unordered);
    }

    #[test]
    fn our_own_publication_is_dated_by_another_publisher_of_its_value_and_gives_way_to_no_entry() {
        let config = Config::default();
        let hold = Config::builder().publisher_conflict(PublisherConflict::Hold).build().unwrap();
        for (config, other) in [(&config, EntryState::Lacking), (&hold, EntryState::Refused)] {
            let mut case = Case::new(config);
            case.write(Write::Publish { key: "key".into(), value: Arc::new("value".into()) }, Duration::ZERO);
            assert_eq!(case.state(entry("value", None, None), HOUR), EntryState::Held);
            let copy = case.records.get("key", case.start + HOUR).unwrap();
            assert_eq!(copy.age, Some(Duration::ZERO));
            assert_eq!(copy.ttl_left, config.values.key_expiry - HOUR, "only we prolong it");
            assert_eq!(case.state(entry("other", Some(0), None), 2 * HOUR), other);
            assert!(case.records.is_published("key"));
        }
    }

    #[test]
    fn an_entry_of_an_unknown_kind_and_one_for_which_there_is_no_room_are_refused() {
        let config = Config::builder().max_values(1).build().unwrap();
        let mut case = Case::new(&config);
        case.set("value", None, None, Duration::ZERO);
        let before = case.records.get("key", case.start + HOUR);
        let unknown = Entry { kind: 1, ..entry("value", None, None) };
        assert_eq!(case.state(unknown, HOUR), EntryState::Refused);
        assert_eq!(case.records.get("key", case.start + HOUR), before);
        let far = Entry { place: NodeId::from_bytes([0xff; 20]), ..entry("value", None, None) };
        assert_eq!(case.state(far, HOUR), EntryState::Refused, "a nearer copy fills the store");
    }

    #[test]
    fn a_holder_brings_nothing_to_a_node_that_is_not_among_the_nearest_and_a_publisher_does() {
        let mut case = Case::new(&Config::default());
        let mut states = |lives: [Option<u32>; 2], at| {
            let entries = lives.map(|life| entry("value", Some(50), life)).to_vec();
            let renewed = Entries { nonce: NONCE, entries };
            case.records.plan_renewals(&renewed, addr(2), &|_| false, case.start + at, &mut case.entropy).states
        };
        assert_eq!(states([None, Some(9_999)], Duration::ZERO), [EntryState::Lacking, EntryState::Refused]);
        case.set("value", Some(40_000), Some(46_000), Duration::ZERO);
        assert_eq!(case.state(entry("value", Some(50), Some(80_000)), Duration::ZERO), EntryState::Held);
        let other = Entries { nonce: NONCE, entries: vec![entry("later", Some(9), Some(80_000))] };
        let planned = case.records.plan_renewals(&other, addr(2), &|_| false, case.start, &mut case.entropy);
        assert_eq!(planned.states, [EntryState::Lacking], "a later value in the place of one that is held");
    }

    #[test]
    fn an_entry_of_a_key_with_a_write_in_flight_is_lacking_and_each_entry_has_its_state() {
        let mut case = Case::new(&Config::default());
        case.set("value", None, None, Duration::ZERO);
        let (here, other) = (entry("value", None, None), entry("other", None, None));
        let elsewhere = Entry { place: NodeId::of_key("another key"), ..here };
        let (states, outcomes) = case.renew(vec![elsewhere, other, here, here], HOUR);
        let expected = [EntryState::Lacking, EntryState::Unordered, EntryState::Held, EntryState::Lacking];
        assert_eq!(states, expected, "the second of the same place comes while the first is in flight");
        assert_eq!(outcomes, [WriteOutcome::Renewed]);
        let planned = case.records.plan_renewals(
            &Entries { nonce: NONCE, entries: vec![here] },
            addr(1),
            &|_| true,
            case.start + 2 * HOUR,
            &mut case.entropy,
        );
        planned.plans.into_iter().for_each(|(_, plan)| case.records.abandon(plan));
        assert_eq!(case.ttl(2 * HOUR), Config::default().values.key_expiry - HOUR, "an abandoned one changes nothing");
    }
}
