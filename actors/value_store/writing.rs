//! Values that come in, from the application and from peers: taken or refused, told of, and on their way to the backend. Who
//! wins among writers is the protocol's business.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use actix::Context;
use kademlia_dynamic::protocol::comparison::Later;
use kademlia_dynamic::protocol::message::Response;
use kademlia_dynamic::protocol::store::{RemoteWrite, WriteOutcome};

use super::super::clock;
use super::super::counters::Counter;
use super::super::events::Event;
use super::super::handling::Handler;
use super::super::messages::{PublishValue, ReplyTo, StoreValue, TransmitAnswer};
use super::ValueStore;
use super::committing::Waiting;

impl ValueStore {
    /// Whether the write is taken, its answer, and what is to be told once it is committed.
    fn write(&mut self, write: StoreValue, now: Instant) -> (bool, Response, Option<Event>) {
        let StoreValue { key, value, ttl, age, cached, nearer, legacy, to } = write;
        let (refusal, news) = match self.check_remote(&key, &value) {
            Err(why) => (Some(why), None),
            Ok(()) => {
                let name = key.clone();
                let outcome = if cached {
                    self.records.set_cached(key, value, ttl, nearer, to.addr, now)
                } else {
                    let write = RemoteWrite { key, value, ttl, age, from: to.addr, legacy };
                    self.records.set(write, now, &mut *self.entropy)
                };
                told(outcome, &name, to.addr)
            }
        };
        if let Some(why) = &refusal {
            self.counters.turned_away(Counter::WriteRefused, to.addr, why, now);
        }
        // A refused write is acknowledged too: a legacy node drops a peer after one silent query.
        let stored = refusal.is_none();
        (stored, if cached { Response::SetCached } else { Response::Set { stored } }, news)
    }
}

/// Why a write was not taken, if so, and what is to be told of it once it is committed.
fn told(outcome: WriteOutcome, key: &str, by: SocketAddr) -> (Option<String>, Option<Event>) {
    let key = key.to_owned();
    match outcome {
        WriteOutcome::Superseded { .. } => (None, Some(Event::Superseded { key, by })),
        WriteOutcome::Stored | WriteOutcome::Renewed => (None, Some(Event::ValueStored { key, by })),
        WriteOutcome::Unchanged => (None, None),
        WriteOutcome::Refused(reason) => (Some(reason.to_string()), None),
        WriteOutcome::Stale => (Some("an older value that somebody restores".to_owned()), None),
    }
}

impl ValueStore {
    /// Takes what was published after the copy held, as if its holder had restored it here.
    pub(super) fn adopt(&mut self, key: Arc<str>, later: Later, now: Instant, ctx: &mut Context<Self>) {
        let Later { value, ttl, age, from } = later;
        let mut undo = self.records.checkpoint(&key);
        let (refusal, news) = match self.check_remote(&key, &value) {
            Err(why) => (Some(why), None),
            Ok(()) => {
                let (from, ttl, age) = (from.addr, Some(ttl), Some(age));
                let write = RemoteWrite { key: key.clone(), value, ttl, age, from, legacy: false };
                told(self.records.set(write, now, &mut *self.entropy), &key, from)
            }
        };
        if let Some(why) = refusal {
            self.counters.turned_away(Counter::WriteRefused, from.addr, &why, now);
            return;
        }
        self.records.changed_since(&mut undo);
        self.commit(Waiting::Adopted { news, undo }, ctx);
    }
}

impl Handler<StoreValue> for ValueStore {
    type Result = ();

    fn handle(&mut self, mut write: StoreValue, ctx: &mut Self::Context) {
        let now = clock::now();
        let (permit, origin) = (write.to.permit.take(), write.to.origin.clone());
        let mut to = ReplyTo { addr: write.to.addr, id: write.to.id, limit: write.to.limit, permit, origin };
        // What waits for its commit is out of reach of a panic; the datagram is to blame all the same.
        let _blamed = write.to.origin.clone();
        let mut undo = self.records.checkpoint(&write.key);
        let (stored, response, news) = self.write(write, now);
        if stored {
            self.records.changed_since(&mut undo);
            // It waits here for the commit, in a queue of its own bound, so its slot is free.
            to.permit = None;
            self.commit(Waiting::Remote { to, response, news, undo }, ctx);
        } else {
            self.links.answer.do_send(TransmitAnswer { to, response });
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
        let mut undo = self.records.checkpoint(&key);
        let version = self.records.publish(key, value, clock::now(), &mut *self.entropy).version;
        self.records.changed_since(&mut undo);
        self.commit(Waiting::Local { version, answer, undo }, ctx);
    }
}
