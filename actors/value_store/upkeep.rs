//! Handlers for what happens while values are stored: audits, rounds of upkeep, and expiry. Which peers are asked, and where a
//! value goes, is decided elsewhere; which values are due, the records know.

use std::time::Duration;

use actix::Context;
use kademlia_dynamic::protocol::store::Class;

use super::super::clock;
use super::super::handling::Receive;
use super::super::messages::{AuditKey, ExpireValues, PlaceValue, Placing, RepublishDue, RepublishKey, StartAudit};
use super::super::outcome::{Error, HeldHere};
use super::actor::ValueStore;

impl Receive<RepublishDue> for ValueStore {
    fn receive(&mut self, _: RepublishDue, _: &mut Context<Self>) {
        let now = self.now();
        self.warn_if_late(now);
        self.begin_pass(now);
    }
}

impl Receive<AuditKey> for ValueStore {
    fn receive(&mut self, AuditKey { key, priority, answer }: AuditKey, _: &mut Context<Self>) {
        let copy = self.records.get(&key, clock::now()).map(|copy| (copy.class, copy.ttl_left));
        // A publication that waits for its turn to begin anew has not ended.
        let lapsed = || self.records.is_published(&key).then_some((Class::Published, Duration::ZERO));
        let here = copy.or_else(lapsed).map(|(class, expires_in)| HeldHere {
            class,
            pinned: self.records.is_pinned(&key),
            expires_in,
        });
        self.shared.handles.lookups.audit(StartAudit { key, here, priority, answer });
    }
}

impl Receive<RepublishKey> for ValueStore {
    fn receive(&mut self, RepublishKey { key, answer }: RepublishKey, _: &mut Context<Self>) {
        self.records.resume(&key, clock::now());
        match self.records.published_version(&key) {
            Some(version) => {
                self.shared.handles.lookups.place(PlaceValue(Placing { key, version, answer: Some(answer) }))
            }
            None => drop(answer.send(Err(Error::NotPublished { key: key.to_string() }))),
        }
    }
}

impl Receive<ExpireValues> for ValueStore {
    fn receive(&mut self, _: ExpireValues, ctx: &mut Context<Self>) {
        let swept = self.records.expire(clock::now());
        if swept > 0 {
            tracing::debug!(swept, "values expired");
            self.save(ctx);
        }
    }
}
