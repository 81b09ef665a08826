//! What peers write: each `set` and `set_cached` from the wire to its plan. Who wins is decided in `rules.rs`, what gives way in
//! `quota.rs`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::outcome::{Refusal, WriteOutcome};
use super::plan::{Edit, Plan, Renewal};
use super::quota::Claim;
use super::record::{Class, Record, Writer};
use super::records::{Arrival, Records};
use super::rules::{RemoteWrite, Verdict, judge, judge_lapsed};
use super::slots::Slot;
use super::ttl::cache_ttl;
use crate::protocol::entropy::Entropy;
use crate::protocol::id::NodeId;
use crate::protocol::peer::canonical;
use crate::protocol::value::Value;

impl Records {
    /// Plans a `set` from the network.
    pub(super) fn plan_set(
        &mut self,
        write: RemoteWrite,
        now: Instant,
        entropy: &mut dyn Entropy,
    ) -> Result<Plan, Refusal> {
        let write = RemoteWrite { from: canonical(write.from), ..write };
        self.check_sizes(&write.key, &write.value)?;
        let held = self.find_live(&write.key, now);
        let Some(record) = held.and_then(|slot| self.holdings.at(slot)).filter(|record| record.is_full()) else {
            return self.plan_copy(write, held, WriteOutcome::Stored, now, entropy);
        };
        let lapsed = record.is_expired(now);
        let verdict = if lapsed {
            judge_lapsed(record, &write, now, &self.config)
        } else {
            judge(record, &write, now, &self.config)
        };
        let renewal = match verdict {
            Verdict::Unchanged | Verdict::Redate if lapsed => return self.plan_recall(&write, now),
            Verdict::Redate => Renewal { published: Some(published(&write, now)), ..Renewal::default() },
            Verdict::Unchanged => Renewal::default(),
            Verdict::Renew | Verdict::Prolong => {
                // Who restores a value is not its writer.
                let names_writer = write.ttl.is_none() && record.stored.writer == Writer::Unknown;
                Renewal {
                    expires_at: Some(now + self.life_of(&write)),
                    published: Some(published(&write, now)),
                    writer: names_writer.then_some(Writer::Peer(write.from)),
                }
            }
            Verdict::Replace => return self.plan_copy(write, held, WriteOutcome::Stored, now, entropy),
            Verdict::Supersede => {
                let outcome = superseded(record);
                return self.plan_copy(write, held, outcome, now, entropy);
            }
            Verdict::Stale => return Err(Refusal::Stale),
            Verdict::Refuse(refusal) => return Err(refusal),
        };
        let lives_longer = renewal.expires_at.is_some();
        let outcome = if lives_longer { WriteOutcome::Renewed } else { WriteOutcome::Unchanged };
        Ok(Plan::new(&write.key, Edit::Renew(renewal), outcome))
    }

    /// Plans to take in a later value; see [`Write::Adopt`](super::Write::Adopt).
    pub(super) fn plan_adoption(
        &mut self,
        write: RemoteWrite,
        now: Instant,
        entropy: &mut dyn Entropy,
    ) -> Result<Plan, Refusal> {
        let key = write.key.clone();
        let no_room = match self.plan_set(write, now, entropy) {
            Err(refusal @ (Refusal::Full | Refusal::SourceFull | Refusal::ValueTooLarge)) => refusal,
            planned => return planned,
        };
        let yields = |record: &&Record| record.is_published() && !self.stands(record);
        let record = self.holdings.get(&key).filter(yields).ok_or(no_room)?;
        self.counts.refused.count(no_room);
        Ok(Plan::new(&key, Edit::Remove, superseded(record)))
    }

    /// Plans a `set_cached` from the network; see [`Write::Cache`](super::Write::Cache).
    pub(super) fn plan_cached(&mut self, write: RemoteWrite, now: Instant) -> Result<Plan, Refusal> {
        let RemoteWrite { key, value, ttl, from, .. } = write;
        self.check_sizes(&key, &value)?;
        let before = self.find_live(&key, now);
        let (expiry, min) = (self.config.values.key_expiry, self.config.values.min_cache_ttl);
        let life = cache_ttl(&self.own, &NodeId::of_key(&key), expiry, min);
        let life = ttl.map_or(life, |ttl| life.min(Duration::from_secs(u64::from(ttl))));
        let plan = match before.and_then(|slot| self.holdings.at(slot)) {
            Some(full) if full.is_full() => {
                let same = full.holds(&value) && !full.is_expired(now);
                return if same { Ok(Plan::unchanged(&key)) } else { Err(Refusal::Stale) };
            }
            Some(record) if record.holds(&value) && record.stored.expires_at >= now + life => Plan::unchanged(&key),
            Some(record) if record.holds(&value) => {
                let renewal = Renewal { expires_at: Some(now + life), ..Renewal::default() };
                Plan::new(&key, Edit::Renew(renewal), WriteOutcome::Renewed)
            }
            _ => {
                let (class, writer, published) = (Class::Cached, Writer::Unknown, (now, false));
                let arrival = Arrival { key, value, class, writer, life, published, due_at: None, before };
                self.plan_arrival(arrival, canonical(from), false, now)?
            }
        };
        // It is not worth a commit.
        Ok(Plan { lasting: false, ..plan })
    }

    fn check_sizes(&self, key: &str, value: &Value) -> Result<(), Refusal> {
        if key.len() > self.config.store.max_key_len {
            Err(Refusal::KeyTooLong)
        } else if value.len() > self.config.store.max_value_len {
            Err(Refusal::ValueTooLarge)
        } else {
            Ok(())
        }
    }

    /// How long a copy lives that comes so: the full expiry, or what a restore says is left of it.
    fn life_of(&self, write: &RemoteWrite) -> Duration {
        let left = write.ttl.map_or(Duration::MAX, |ttl| Duration::from_secs(u64::from(ttl)));
        left.min(self.config.values.key_expiry)
    }

    /// Another node has what we published, whose time had run out here: it lives on for as long as it does there. It stays due.
    fn plan_recall(&self, write: &RemoteWrite, now: Instant) -> Result<Plan, Refusal> {
        let life = self.life_of(write);
        if life.is_zero() {
            return Err(Refusal::NoTimeLeft);
        }
        // Without a date it may be as old as ever: others may have set another since.
        let published = Some(published(write, now)).filter(|(_, dated)| *dated);
        let renewal = Renewal { expires_at: Some(now + life), published, ..Renewal::default() };
        Ok(Plan::new(&write.key, Edit::Renew(renewal), WriteOutcome::Renewed))
    }

    /// Plans to hold the value that came, in the place of what is held: with this outcome.
    fn plan_copy(
        &mut self,
        write: RemoteWrite,
        before: Option<Slot>,
        outcome: WriteOutcome,
        now: Instant,
        entropy: &mut dyn Entropy,
    ) -> Result<Plan, Refusal> {
        let (life, published) = (self.life_of(&write), published(&write, now));
        let RemoteWrite { key, value, ttl, from: source, .. } = write;
        let writer = if ttl.is_none() { Writer::Peer(source) } else { Writer::Unknown };
        let due_at = Some(now + self.restore_delay(entropy));
        let arrival = Arrival { key, value, class: Class::Held, writer, life, published, due_at, before };
        // A later value takes the place of the one held, wherever that is: it comes once.
        let replaces = before.and_then(|slot| self.holdings.at(slot)).is_some_and(Record::is_full);
        let plan = self.plan_arrival(arrival, source, ttl.is_some() && !replaces, now)?;
        Ok(Plan { outcome, ..plan })
    }

    /// Plans to hold a peer's copy, which `source` sent, in the place of what is held. `restored`: by another holder of the value, where none is held.
    fn plan_arrival(
        &mut self,
        arrival: Arrival,
        source: SocketAddr,
        restored: bool,
        now: Instant,
    ) -> Result<Plan, Refusal> {
        if arrival.life.is_zero() {
            return Err(Refusal::NoTimeLeft);
        }
        let key = arrival.key.clone();
        let distance = self.own.distance(&NodeId::of_key(&key));
        let bytes = key.len() + arrival.value.len();
        let claim = Claim { source, bytes, full: arrival.class == Class::Held, restored, distance };
        let mut evicted = Vec::new();
        if self.holdings.quota().victim(&claim) != Ok(None) {
            // What has ended makes room before anything else.
            self.expire(now);
            evicted = self.holdings.make_room(&key, &claim)?;
        }
        let record = self.record_of(arrival, distance, Some(source), now);
        let plan = Plan::new(&key, Edit::Put(record), WriteOutcome::Stored);
        Ok(Plan { evicted, claim: Some(claim), ..plan })
    }
}

/// Our publication `record` ends.
fn superseded(record: &Record) -> WriteOutcome {
    WriteOutcome::Superseded { version: record.stored.version, ours: record.stored.value.clone() }
}

/// When the value of `write` was published at the latest, and whether just then: now, where one of our nodes publishes it; by
/// its own word, where one restores it and knows.
fn published(write: &RemoteWrite, now: Instant) -> (Instant, bool) {
    match (write.ttl, write.age) {
        (None, _) => (now, !write.legacy),
        (Some(_), None) => (now, false),
        // A system that has just started may have no instants that far back.
        (Some(_), Some(age)) => now.checked_sub(Duration::from_secs(age.into())).map_or((now, false), |at| (at, true)),
    }
}
