//! What a placement asks of the store: whether its value is still to be placed, and to take in a later one; and its end.

use actix::Context;
use kademlia_dynamic::protocol::comparison::Later;
use kademlia_dynamic::protocol::store::{RemoteWrite, Write};
use tokio::sync::oneshot;

use super::super::clock;
use super::super::handling::Receive;
use super::super::messages::{PlacementEnded, PreparePlacement, Prepared};
use super::actor::ValueStore;
use super::waiter::Waiter;

impl ValueStore {
    /// The answer to `asked`. Its placement may have ended.
    pub(super) fn prepare(&mut self, asked: PreparePlacement) {
        let prepared = self.prepared(&asked);
        let _ = asked.answer.send(prepared);
    }

    fn prepared(&mut self, asked: &PreparePlacement) -> Prepared {
        let PreparePlacement { key, version, compare, resume, .. } = asked;
        let now = self.now();
        if *compare && let Some(copy) = self.records.to_compare(key, *version, now) {
            return Prepared::Compare(copy);
        }
        if !self.records.still_current(key, *version) {
            return Prepared::Obsolete;
        }
        if *resume {
            self.records.resume(key, now);
        }
        let Some(copy) = self.records.get(key, now) else { return Prepared::Obsolete };
        let (supersede, superseded) = oneshot::channel();
        self.end_placement(key);
        self.placements.insert(key.clone(), supersede);
        Prepared::Send(copy, superseded)
    }

    /// Ends the placement of `key` that is under way: another value is held now, or the publication has ended. What is still sent of
    /// an older value could arrive after a later one, and be taken for that.
    pub(super) fn end_placement(&mut self, key: &str) {
        // It may have ended.
        let _ = self.placements.remove(key).map(|placement| placement.send(()));
    }
}

impl Receive<PreparePlacement> for ValueStore {
    fn receive(&mut self, mut asked: PreparePlacement, ctx: &mut Context<Self>) {
        let Some(Later { value, ttl, age, from }) = asked.later.take() else { return self.prepare(asked) };
        // As if its holder had restored it here.
        let (key, from) = (asked.key.clone(), from.addr);
        let waiter = Waiter::Adopter { from, asked };
        if let Err(why) = self.check_remote(&key, &value) {
            return self.turn_away(key, &why, waiter);
        }
        let write = RemoteWrite { key, value, ttl: Some(ttl), age, from, legacy: false };
        self.submit(Write::Adopt(write), waiter, ctx);
    }
}

impl Receive<PlacementEnded> for ValueStore {
    fn receive(&mut self, PlacementEnded { key, version, stored }: PlacementEnded, ctx: &mut Context<Self>) {
        let now = clock::now();
        if self.placements.get(&key).is_some_and(oneshot::Sender::is_closed) {
            self.placements.remove(&key);
        }
        // The publisher itself is a holder, and lives: its own copy goes on, whether others have stored it or not.
        self.records.renewed(&key, version, stored, now);
        if !stored {
            self.records.retry_soon(&key, version, now, &mut *self.entropy);
        }
        self.save(ctx);
    }
}
