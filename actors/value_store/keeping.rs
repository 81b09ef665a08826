//! What is seen to while values are held: kept and released keys, audits, expiry, and the ends of placements. Who is asked, and
//! where a value goes, is that of others.

use std::time::Duration;

use kademlia_dynamic::protocol::store::{Class, Deed};

use super::super::clock;
use super::super::handling::Handler;
use super::super::messages::{
    AuditKey, ExpireValues, KeepKey, PublishDone, ReleaseKey, RepublishKey, StartAudit, UnkeepKey,
};
use super::super::outcome::{Error, HeldHere};
use super::ValueStore;
use super::committing::Waiting;

impl Handler<AuditKey> for ValueStore {
    type Result = ();

    fn handle(&mut self, audit: AuditKey, _: &mut Self::Context) {
        let AuditKey { key, answer } = audit;
        let copy = self.records.get(&key, clock::now()).map(|copy| (copy.class, copy.ttl_left));
        // A publication that waits for its turn to begin anew has not ended.
        let lapsed = || self.records.is_published(&key).then_some((Class::Published, Duration::ZERO));
        let here = copy.or_else(lapsed).map(|(class, expires_in)| HeldHere {
            class,
            kept: self.records.is_kept(&key),
            expires_in,
        });
        self.lookups.audit(StartAudit { key, here, answer });
    }
}

impl Handler<ReleaseKey> for ValueStore {
    type Result = ();

    fn handle(&mut self, release: ReleaseKey, ctx: &mut Self::Context) {
        let ReleaseKey { key, answer } = release;
        let before = self.records.checkpoint(&key);
        // What may fail yet decides whether there is a publication to be ended.
        if self.records.release(&key) || self.records.is_in_doubt(&key) {
            let doubt = self.records.doubt(before, Deed::Release);
            self.commit(Waiting::Release { answer, doubt }, ctx);
        } else {
            self.released(key, false, answer);
        }
    }
}

impl Handler<KeepKey> for ValueStore {
    type Result = ();

    fn handle(&mut self, keep: KeepKey, ctx: &mut Self::Context) {
        let before = self.records.checkpoint(&keep.key);
        if self.records.keep(&keep.key) {
            let doubt = self.records.doubt(before, Deed::Keep);
            return self.commit(Waiting::Keep { keep, doubt }, ctx);
        }
        // Whoever asked may have gone.
        let _ = keep.answer.send(Err(Error::NotPublished { key: keep.key.to_string() }));
    }
}

impl Handler<UnkeepKey> for ValueStore {
    type Result = ();

    fn handle(&mut self, unkeep: UnkeepKey, ctx: &mut Self::Context) {
        let before = self.records.checkpoint(&unkeep.key);
        if self.records.unkeep(&unkeep.key) || self.records.is_in_doubt(&unkeep.key) {
            let doubt = self.records.doubt(before, Deed::Unkeep);
            self.commit(Waiting::Unkeep { unkeep, doubt }, ctx);
        } else {
            self.unkept(unkeep, false);
        }
    }
}

impl Handler<RepublishKey> for ValueStore {
    type Result = ();

    fn handle(&mut self, republish: RepublishKey, _: &mut Self::Context) {
        let RepublishKey { key, answer } = republish;
        self.records.resume(&key, clock::now());
        match self.records.published_version(&key) {
            Some(version) => self.find_places(key, version, false, Some(answer)),
            None => drop(answer.send(Err(Error::NotPublished { key: key.to_string() }))),
        }
    }
}

impl Handler<ExpireValues> for ValueStore {
    type Result = ();

    fn handle(&mut self, _: ExpireValues, ctx: &mut Self::Context) {
        let swept = self.records.expire(clock::now());
        if swept > 0 {
            tracing::debug!(swept, "values expired");
            self.commit(Waiting::Nobody, ctx);
        }
    }
}

impl Handler<PublishDone> for ValueStore {
    type Result = ();

    fn handle(&mut self, done: PublishDone, ctx: &mut Self::Context) {
        let now = clock::now();
        // The publisher itself is a holder, and lives: its own copy goes on, whomever it reached.
        self.records.renewed(&done.key, done.version, done.stored, now);
        if !done.stored {
            self.records.retry_soon(&done.key, done.version, now, &mut *self.entropy);
        }
        self.commit(Waiting::Nobody, ctx);
    }
}
