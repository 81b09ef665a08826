//! Values that come in, from the application and from peers: taken or refused, told of, and on their way to the backend. Who
//! wins among writers is the protocol's business.

use std::time::Instant;

use kademlia_dynamic::protocol::message::Response;
use kademlia_dynamic::protocol::store::{RemoteWrite, WriteOutcome};

use super::super::clock;
use super::super::counters::Counter;
use super::super::events::Event;
use super::super::handling::Handler;
use super::super::messages::{EndPlacement, PublishValue, ReplyTo, StoreValue, TransmitAnswer};
use super::ValueStore;
use super::committing::Waiting;

impl ValueStore {
    fn write(&mut self, write: StoreValue, now: Instant) -> (bool, Response) {
        let StoreValue { key, value, ttl, cached, nearer, legacy, to } = write;
        let refusal = match self.check_remote(&key, &value) {
            Err(why) => Some(why),
            Ok(()) => {
                let name = key.clone();
                let outcome = if cached {
                    self.records.set_cached(key, value, ttl, nearer, to.addr, now)
                } else {
                    let write = RemoteWrite { key, value, ttl, from: to.addr, legacy };
                    self.records.set(write, now, &mut *self.entropy)
                };
                self.tell_of(&name, &to, &outcome);
                match outcome {
                    WriteOutcome::Refused(reason) => Some(reason.to_string()),
                    WriteOutcome::Stale => Some("an older value that somebody restores".to_owned()),
                    _ => None,
                }
            }
        };
        if let Some(why) = &refusal {
            self.counters.turned_away(Counter::WriteRefused, to.addr, why, now);
        }
        // A refused write is acknowledged too: a legacy node drops a peer after one silent query.
        let stored = refusal.is_none();
        (stored, if cached { Response::SetCached } else { Response::Set { stored } })
    }

    fn tell_of(&self, key: &str, to: &ReplyTo, outcome: &WriteOutcome) {
        let (key, by) = (key.to_owned(), to.addr);
        match outcome {
            WriteOutcome::Superseded { .. } => {
                self.links.end.do_send(EndPlacement(key.as_str().into()));
                self.events.emit(Event::Superseded { key, by });
            }
            WriteOutcome::Stored | WriteOutcome::Renewed => self.events.emit(Event::ValueStored { key, by }),
            WriteOutcome::Unchanged | WriteOutcome::Stale | WriteOutcome::Refused(_) => {}
        }
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
        let (stored, response) = self.write(write, now);
        if stored {
            self.records.changed_since(&mut undo);
            // It waits here for the commit, in a queue of its own bound, so its slot is free.
            to.permit = None;
            self.commit(Waiting::Remote { to, response, undo }, ctx);
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
