//! What strangers write: each `set` and `set_cached` from the wire to its outcome. Who wins is decided in `rules.rs`, what
//! gives way in `quota.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome::{Refusal, WriteOutcome};
use super::quota::Claim;
use super::record::{Class, Record, Writer};
use super::records::Records;
use super::rules::{RemoteWrite, Verdict, judge, judge_lapsed};
use super::ttl::cache_ttl;
use crate::protocol::entropy::Entropy;
use crate::protocol::id::NodeId;
use crate::protocol::peer::canonical;
use crate::protocol::value::Value;

/// A copy that a stranger brings.
struct Arrival {
    key: Arc<str>,
    value: Arc<Value>,
    /// Held or cached.
    class: Class,
    writer: Writer,
    source: SocketAddr,
    life: Duration,
    /// See [`StoredRecord`](super::StoredRecord): when it was published at the latest, and whether just then.
    published: (Instant, bool),
}

impl Records {
    /// Takes a `set` from the network.
    pub fn set(&mut self, write: RemoteWrite, now: Instant, entropy: &mut dyn Entropy) -> WriteOutcome {
        let write = RemoteWrite { from: canonical(write.from), ..write };
        if let Err(refusal) = self.check_sizes(&write.key, &write.value) {
            return self.refuse(refusal);
        }
        self.drop_expired(&write.key, now);
        let verdict = match self.holdings.get(&write.key).filter(|record| record.is_full()) {
            Some(record) if record.is_expired(now) => judge_lapsed(record, &write, now, &self.config),
            Some(record) => judge(record, &write, now, &self.config),
            None => Verdict::Replace,
        };
        match verdict {
            Verdict::Unchanged | Verdict::Redate if self.lapsed(&write.key, now).is_some() => self.recall(&write, now),
            Verdict::Redate => {
                if let Some(mut record) = self.holdings.take(&write.key) {
                    let (at, dated) = published(&write, now);
                    record.date(at, dated);
                    self.holdings.put(record);
                }
                WriteOutcome::Unchanged
            }
            Verdict::Unchanged => {
                self.postpone_restore(&write.key, now, entropy);
                WriteOutcome::Unchanged
            }
            Verdict::Renew | Verdict::Prolong => self.renew(&write, now, entropy),
            Verdict::Replace | Verdict::Supersede => self.store(write, now, entropy),
            Verdict::Stale => {
                self.refused.stale += 1;
                WriteOutcome::Stale
            }
            Verdict::Refuse(refusal) => self.refuse(refusal),
        }
    }

    /// Takes a `set_cached` from the network: `ttl` is what it says is left in the copy that it was made from. A full copy
    /// stays as it is; a cached one of another value gives way, since the one that comes was read later.
    pub fn set_cached(
        &mut self,
        key: Arc<str>,
        value: Arc<Value>,
        ttl: Option<u32>,
        from: SocketAddr,
        now: Instant,
    ) -> WriteOutcome {
        if let Err(refusal) = self.check_sizes(&key, &value) {
            return self.refuse(refusal);
        }
        self.drop_expired(&key, now);
        if let Some(record) = self.holdings.get(&key).filter(|record| record.is_full()) {
            let same = record.holds(&value) && !record.is_expired(now);
            self.refused.stale += u64::from(!same);
            return if same { WriteOutcome::Unchanged } else { WriteOutcome::Stale };
        }
        let (expiry, min) = (self.config.key_expiry, self.config.min_cache_ttl);
        let life = cache_ttl(&self.own, &NodeId::of_key(&key), expiry, min);
        let life = ttl.map_or(life, |ttl| life.min(Duration::from_secs(u64::from(ttl))));
        let before = self.holdings.take(&key);
        let same = before.as_ref().is_some_and(|record| record.holds(&value));
        match before {
            Some(record) if same && record.stored.expires_at >= now + life => {
                self.holdings.put(record);
                WriteOutcome::Unchanged
            }
            Some(mut record) if same => {
                record.stored.expires_at = now + life;
                self.holdings.put(record);
                WriteOutcome::Renewed
            }
            before => {
                let (class, writer, source) = (Class::Cached, Writer::Unknown, canonical(from));
                let arrival = Arrival { key, value, class, writer, source, life, published: (now, false) };
                match self.store_copy(before, arrival, now) {
                    Ok(()) => WriteOutcome::Stored,
                    Err(refusal) => self.refuse(refusal),
                }
            }
        }
    }

    /// Ends our publication of `key`, if there is one that gives way to others, where there is no room for the later value of
    /// another, which others hold: nothing is held of it then. Says whether there was one.
    pub fn give_way(&mut self, key: &str) -> bool {
        let yields = |record: &Record| record.is_published() && !self.stands(record);
        if !self.holdings.get(key).is_some_and(yields) {
            return false;
        }
        let ours = self.holdings.take(key);
        self.changed.extend(ours.map(|ours| ours.stored.key));
        true
    }

    fn check_sizes(&self, key: &str, value: &Value) -> Result<(), Refusal> {
        if key.len() > self.config.max_key_len {
            Err(Refusal::KeyTooLong)
        } else if value.len() > self.config.max_value_len {
            Err(Refusal::ValueTooLarge)
        } else {
            Ok(())
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> WriteOutcome {
        self.refused.count(refusal);
        WriteOutcome::Refused(refusal)
    }

    /// Gives the value that is held its full expiry, or what is left of a later publication that did not get here.
    fn renew(&mut self, write: &RemoteWrite, now: Instant, entropy: &mut dyn Entropy) -> WriteOutcome {
        if let Some(mut record) = self.holdings.take(&write.key) {
            record.stored.expires_at = record.stored.expires_at.max(now + self.life_of(write));
            // Who restores a value is not its writer.
            if write.ttl.is_none() && record.stored.writer == Writer::Unknown {
                record.stored.writer = Writer::Peer(write.from);
            }
            let (at, dated) = published(write, now);
            record.date(at, dated);
            self.holdings.put(record);
            self.changed.insert(write.key.clone());
            self.postpone_restore(&write.key, now, entropy);
        }
        WriteOutcome::Renewed
    }

    /// How long a copy lives that comes so: the full expiry, or what a restore says is left of it.
    fn life_of(&self, write: &RemoteWrite) -> Duration {
        let left = write.ttl.map_or(Duration::MAX, |ttl| Duration::from_secs(u64::from(ttl)));
        left.min(self.config.key_expiry)
    }

    /// Somebody else has what we published, whose time had run out here: it lives on for as long as it does there. It stays due.
    fn recall(&mut self, write: &RemoteWrite, now: Instant) -> WriteOutcome {
        let life = self.life_of(write);
        if life.is_zero() {
            return self.refuse(Refusal::NoTimeLeft);
        }
        if let Some(mut record) = self.holdings.take(&write.key) {
            record.stored.expires_at = record.stored.expires_at.max(now + life);
            // Without a date it may be as old as ever: others may have set another since.
            if let (at, true) = published(write, now) {
                record.date(at, true);
            }
            self.holdings.put(record);
            self.changed.insert(write.key.clone());
        }
        WriteOutcome::Renewed
    }

    /// Holds the value that came, in the place of whatever was held.
    fn store(&mut self, write: RemoteWrite, now: Instant, entropy: &mut dyn Entropy) -> WriteOutcome {
        let (life, published) = (self.life_of(&write), published(&write, now));
        let RemoteWrite { key, value, ttl, from: source, .. } = write;
        let writer = if ttl.is_none() { Writer::Peer(source) } else { Writer::Unknown };
        let before = self.holdings.take(&key);
        let ended = before.as_ref().filter(|record| record.is_published());
        let ended = ended.map(|record| (record.stored.version, record.stored.value.clone()));
        let arrival = Arrival { key: key.clone(), value, class: Class::Held, writer, source, life, published };
        if let Err(refusal) = self.store_copy(before, arrival, now) {
            return self.refuse(refusal);
        }
        self.changed.insert(key.clone());
        let delay = self.restore_delay(entropy);
        self.holdings.reschedule(&key, now + delay);
        match ended {
            Some((version, ours)) => WriteOutcome::Superseded { version, ours },
            None => WriteOutcome::Stored,
        }
    }

    /// Holds a stranger's copy in the place of `before`, which goes back where it was if the copy is refused.
    fn store_copy(&mut self, before: Option<Record>, arrival: Arrival, now: Instant) -> Result<(), Refusal> {
        let Arrival { key, value, class, writer, source, life, published: (published_at, dated) } = arrival;
        let distance = match &before {
            Some(record) => record.distance,
            None => self.own.distance(&NodeId::of_key(&key)),
        };
        let claim = Claim { source, bytes: key.len() + value.len(), full: class == Class::Held, distance };
        let room = if life.is_zero() { Err(Refusal::NoTimeLeft) } else { self.make_room(&claim, now) };
        if let Err(refusal) = room {
            if let Some(before) = before {
                self.holdings.put(before);
            }
            return Err(refusal);
        }
        let mut record = self.with_value(before, key, value, writer, now);
        record.stored.class = class;
        record.stored.keep = false;
        record.stored.source = Some(source);
        record.stored.expires_at = now + life;
        record.date(published_at, dated);
        record.due_at = None;
        self.holdings.put(record);
        Ok(())
    }

    /// Somebody else has just sent the value to a holder of it, and so to the others as well, if he knows them: our own restore
    /// can wait (Kademlia paper, 2.5). Once, until it has been due: that the value came here says nothing of the k nearest. A
    /// legacy node sends it each hour to those whom its own table names, and whoever wants it gone may do so, too.
    fn postpone_restore(&mut self, key: &str, now: Instant, entropy: &mut dyn Entropy) {
        let can_wait = |record: &Record| record.stored.class == Class::Held && !record.put_off;
        if self.holdings.get(key).is_some_and(can_wait) {
            let delay = self.restore_delay(entropy);
            self.holdings.put_off(key, now + delay);
        }
    }
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
