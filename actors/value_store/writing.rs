//! Values that come in, from the application and from peers: taken or refused, told of, and on their way to the backend. Who
//! wins among writers is the protocol's business.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use actix::Context;
use kademlia_dynamic::protocol::comparison::Later;
use kademlia_dynamic::protocol::message::Response;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::{Deed, Refusal, RemoteWrite, Seen, StoredCopy, WriteOutcome};

use super::super::clock;
use super::super::counters::Counter;
use super::super::events::Event;
use super::super::handling::Handler;
use super::super::messages::{PublishValue, ReplyTo, StoreValue, TransmitAnswer};
use super::ValueStore;
use super::committing::Waiting;

/// A stranger's write that was taken.
struct Taken {
    /// What it did; `None` where it left everything as it was.
    deed: Option<Deed>,
    /// Whether there is something to be told.
    news: bool,
}

impl ValueStore {
    /// What became of the write; `None` if it was refused.
    fn write(&mut self, write: StoreValue, now: Instant) -> Option<Taken> {
        let StoreValue { key, value, ttl, age, cached, legacy, to } = write;
        let outcome = self.check_remote(&key, &value).map(|()| {
            if cached {
                self.records.set_cached(key, value, ttl, to.addr, now)
            } else {
                let write = RemoteWrite { key, value, ttl, age, from: to.addr, legacy };
                self.records.set(write, now, &mut *self.entropy)
            }
        });
        let why = match outcome {
            Ok(WriteOutcome::Stored | WriteOutcome::Superseded { .. }) => {
                return Some(Taken { deed: Some(Deed::Write), news: true });
            }
            Ok(WriteOutcome::Renewed) => return Some(Taken { deed: Some(Deed::Repeat), news: true }),
            Ok(WriteOutcome::Unchanged) => return Some(Taken { deed: None, news: false }),
            Ok(WriteOutcome::Refused(reason)) => reason.to_string(),
            Ok(WriteOutcome::Stale) => "an older value that somebody restores".to_owned(),
            Err(why) => why,
        };
        self.counters.turned_away(Counter::WriteRefused, to.addr, &why, now);
        None
    }
}

impl ValueStore {
    /// Takes what was published after the copy held, as if its holder had restored it here. A publication of ours ends even
    /// where there is no room for it. Whether to go on: not where it cannot be taken just now, and would be published over.
    pub(super) fn adopt(&mut self, key: &Arc<str>, later: Later, now: Instant, ctx: &mut Context<Self>) -> bool {
        let Later { value, ttl, age, from } = later;
        let before = self.records.checkpoint(key);
        let outcome = self.check_remote(key, &value).map(|()| {
            let write = RemoteWrite { key: key.clone(), value, ttl: Some(ttl), age, from: from.addr, legacy: false };
            self.records.set(write, now, &mut *self.entropy)
        });
        let deed = match outcome {
            Ok(WriteOutcome::Stored | WriteOutcome::Superseded { .. }) => Deed::Write,
            Ok(WriteOutcome::Renewed) => Deed::Repeat,
            // It is the value at hand; or what is held by now is as late.
            Ok(WriteOutcome::Unchanged | WriteOutcome::Stale) => return true,
            Ok(WriteOutcome::Refused(Refusal::Full | Refusal::SourceFull | Refusal::ValueTooLarge))
                if self.records.give_way(key) =>
            {
                Deed::Write
            }
            Ok(WriteOutcome::Refused(refusal)) => {
                self.not_adopted(&refusal, from, now);
                return true;
            }
            Err(why) => {
                self.not_adopted(&why, from, now);
                return !self.records.is_published(key);
            }
        };
        let doubt = self.records.doubt(before, deed);
        self.commit(Waiting::Adopted { from: from.addr, doubt }, ctx);
        true
    }

    fn not_adopted(&self, why: &dyn Display, from: Peer, now: Instant) {
        self.counters.turned_away(Counter::WriteRefused, from.addr, why, now);
    }
}

impl ValueStore {
    /// Tells a peer what became of its write of `key`; where it was stored, with what is left of the copy's life.
    pub(super) fn acknowledge(&mut self, to: ReplyTo, key: &str, cached: bool, stored: bool) {
        self.recent.ended(to.addr, to.id, stored);
        let ttl = || self.records.get(key, clock::now()).filter(|_| stored).as_ref().map(StoredCopy::ttl_seconds);
        let response = if cached { Response::SetCached } else { Response::Set { stored, ttl: ttl() } };
        self.socket.answer(TransmitAnswer { to, response });
    }

    /// A write comes again: it is acknowledged as it was before, and not applied, since others may have been since.
    fn repeated(&mut self, write: StoreValue, seen: Seen) {
        self.counters.count(Counter::RepeatedWrite);
        if let Seen::Acknowledged { stored } = seen {
            self.acknowledge(write.to, &write.key, write.cached, stored);
        }
    }
}

impl Handler<StoreValue> for ValueStore {
    type Result = ();

    fn handle(&mut self, mut write: StoreValue, ctx: &mut Self::Context) {
        let now = clock::now();
        let seen = self.recent.came(write.to.addr, write.to.id, &write.key, &write.value, now);
        if seen != Seen::New {
            return self.repeated(write, seen);
        }
        let (key, cached) = (write.key.clone(), write.cached);
        let (permit, origin) = (write.to.permit.take(), write.to.origin.clone());
        let ReplyTo { addr, local, id, version, token, limit, cut, .. } = write.to;
        let mut to = ReplyTo { addr, local, id, version, token, limit, cut, permit, origin };
        // What waits for its commit is out of reach of a panic; the datagram is to blame all the same.
        let _blamed = write.to.origin.clone();
        let before = self.records.checkpoint(&key);
        let taken = self.write(write, now);
        if cached {
            // It is on no disk, so there is nothing to wait for.
            if taken.is_some_and(|taken| taken.news) {
                self.events.emit(Event::ValueStored { key: key.to_string(), by: to.addr });
            }
            self.acknowledge(to, &key, cached, true);
            return self.commit(Waiting::Nobody, ctx);
        }
        // A value that was written twice is not safe before the first write is, nor if that fails.
        let unsure = self.records.is_in_doubt(&key) || self.backlog.owes(&key);
        match taken {
            Some(Taken { deed, news }) if deed.is_some() || unsure => {
                let doubt = self.records.doubt(before, deed.unwrap_or(Deed::Repeat));
                // It waits here for the commit, in a queue of its own bound, so its slot is free.
                to.permit = None;
                self.commit(Waiting::Remote { to, news, doubt }, ctx);
            }
            // A refused write is acknowledged too: a legacy node drops a peer after one silent query.
            taken => self.acknowledge(to, &key, cached, taken.is_some()),
        }
    }
}

impl Handler<PublishValue> for ValueStore {
    type Result = ();

    fn handle(&mut self, publish: PublishValue, ctx: &mut Self::Context) {
        let PublishValue { key, value, answer } = publish;
        if let Err(error) = self.check(&key, &value) {
            let _ = answer.send(Err(error));
            return;
        }
        let before = self.records.checkpoint(&key);
        let version = self.records.publish(key, value, clock::now(), &mut *self.entropy).version;
        let doubt = self.records.doubt(before, Deed::Write);
        self.commit(Waiting::Local { version, answer, doubt }, ctx);
    }
}
