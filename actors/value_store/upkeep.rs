//! Handlers for what happens while values are held: audits, republications out of turn, expiry, and the ends of placements. Who is
//! asked, and where a value goes, is decided elsewhere.

use std::time::Duration;

use kademlia_dynamic::protocol::store::Class;

use super::super::clock;
use super::super::handling::Handler;
use super::super::messages::{AuditKey, ExpireValues, PublishDone, RepublishKey, StartAudit};
use super::super::outcome::{Error, HeldHere};
use super::actor::ValueStore;

impl Handler<AuditKey> for ValueStore {
    type Result = ();

    fn handle(&mut self, audit: AuditKey, _: &mut Self::Context) {
        let AuditKey { key, answer } = audit;
        let copy = self.records.get(&key, clock::now()).map(|copy| (copy.class, copy.ttl_left));
        // A publication that waits for its turn to begin anew has not ended.
        let lapsed = || self.records.is_published(&key).then_some((Class::Published, Duration::ZERO));
        let here = copy.or_else(lapsed).map(|(class, expires_in)| HeldHere {
            class,
            pinned: self.records.is_pinned(&key),
            expires_in,
        });
        self.lookups.audit(StartAudit { key, here, answer });
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
            self.save(ctx);
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
        self.save(ctx);
    }
}
