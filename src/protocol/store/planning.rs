//! From a write to its plan, and from a plan to what is held: what this node itself does with its publications, and how every plan
//! ends. What peers write is decided in `writes.rs`.

use std::sync::Arc;
use std::time::Instant;

use super::backend::Change;
use super::outcome::{Refusal, WriteOutcome};
use super::plan::{Edit, Plan, Write};
use super::record::{Class, Writer};
use super::records::{Arrival, Records};
use crate::protocol::entropy::Entropy;
use crate::protocol::value::Value;

impl Records {
    /// Decides what `write` changes, against what is committed, and changes nothing of it; room for it is reserved. No write may be
    /// planned while its key is [in flight](Records::is_in_flight): it waits until that has ended.
    ///
    /// # Errors
    /// [`Refusal`]. Nothing was changed.
    pub fn plan(&mut self, write: Write, now: Instant, entropy: &mut dyn Entropy) -> Result<Plan, Refusal> {
        debug_assert!(!self.is_in_flight(write.key()), "one write of a key at a time");
        let planned = match write {
            Write::Publish { key, value } => Ok(self.plan_publication(key, value, now, entropy)),
            Write::Set(write) => self.plan_set(write, now, entropy),
            Write::Adopt(write) => self.plan_adoption(write, now, entropy),
            Write::Cache(write) => self.plan_cached(write, now),
            Write::Pin(key) => Ok(self.plan_pin(key, true)),
            Write::Unpin(key) => Ok(self.plan_pin(key, false)),
            Write::Release(key) => Ok(self.plan_release(key)),
        };
        let mut plan = planned.inspect_err(|refusal| self.counts.refused.count(*refusal))?;
        if plan.lasting {
            let record = plan.edit.stored(self.holdings.get(&plan.key));
            plan.changes.push(record.map_or_else(|| Change::Remove(plan.key.clone()), Change::Put));
            let full = |key: &&Arc<str>| self.is_held(key);
            plan.changes.extend(plan.evicted.iter().filter(full).cloned().map(Change::Remove));
        }
        plan.undated = self.undated;
        plan.keys().for_each(|key| self.holdings.lock(key));
        Ok(plan)
    }

    /// The changes of `plan` are committed, or there were none: they take effect, with what it evicts.
    pub fn apply(&mut self, plan: Plan) -> WriteOutcome {
        let Plan { key, edit, evicted, reserved, outcome, undated, .. } = plan;
        reserved.into_iter().for_each(|reserved| self.holdings.free(reserved));
        for key in &evicted {
            self.counts.evicted += u64::from(self.holdings.take(key).is_some());
            self.holdings.unlock(key);
        }
        let before = self.holdings.take(&key);
        self.holdings.unlock(&key);
        if let Some(mut record) = edit.apply(before) {
            // The clock may have stood still meanwhile.
            record.stored.dated &= undated == self.undated;
            self.holdings.put(record);
        }
        outcome
    }

    /// The changes of `plan` could not be committed: all stays as it was.
    pub fn abandon(&mut self, plan: Plan) {
        plan.reserved.into_iter().for_each(|reserved| self.holdings.free(reserved));
        plan.keys().for_each(|key| self.holdings.unlock(key));
    }

    /// Whether a plan that has not ended decides about `key`.
    pub fn is_in_flight(&self, key: &str) -> bool {
        self.holdings.is_locked(key)
    }

    fn plan_publication(&mut self, key: Arc<str>, value: Arc<Value>, now: Instant, entropy: &mut dyn Entropy) -> Plan {
        self.drop_expired(&key, now);
        let (class, writer, life) = (Class::Published, Writer::Own, self.config.values.key_expiry);
        let due_at = Some(now + self.republish_delay(entropy));
        let arrival = Arrival { key: key.clone(), value, class, writer, life, published: (now, true), due_at };
        let record = self.record_of(arrival, None, now);
        let outcome = WriteOutcome::Published { version: record.stored.version };
        Plan::new(&key, Edit::Put(Box::new(record)), outcome)
    }

    fn plan_pin(&self, key: Arc<str>, pin: bool) -> Plan {
        let was_pinned = self.is_pinned(&key);
        match pin {
            true if self.is_published(&key) => Plan::new(&key, Edit::Pin(true), WriteOutcome::Pinned { was_pinned }),
            false if was_pinned => Plan::new(&key, Edit::Pin(false), WriteOutcome::Unpinned),
            _ => Plan::unchanged(&key),
        }
    }

    fn plan_release(&mut self, key: Arc<str>) -> Plan {
        if !self.is_published(&key) {
            return Plan::unchanged(&key);
        }
        self.version += 1;
        Plan::new(&key, Edit::Release { version: self.version }, WriteOutcome::Released)
    }
}
