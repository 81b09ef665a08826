//! What the operations ask of the store. A placement: whether its value is still to be placed, and to take in a later one. A
//! transfer: the copies for new peers and for the handoff, and the write that it sends.

use std::cmp::Reverse;
use std::time::Duration;

use actix::Context;
use kademlia_dynamic::protocol::comparison::Later;
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::protocol::reconcile::{Cells, cells};
use kademlia_dynamic::protocol::store::{Class, RemoteWrite, Write};
use kademlia_dynamic::protocol::transfer::{
    HandoffCopy, MAX_COPIES_PER_PEER, MAX_HANDOFF_COPIES, QueuedCopy, Selector,
};
use tokio::sync::oneshot;

use super::super::clock;
use super::super::handling::Receive;
use super::super::messages::{
    HandoffCause, PlacementEnded, PreparePlacement, PrepareTransfer, Prepared, SelectValues, ValuesSelected,
};
use super::actor::ValueStore;
use super::pending::Waiter;

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
    fn receive(&mut self, ended: PlacementEnded, ctx: &mut Context<Self>) {
        let (PlacementEnded { key, version, stored, refused }, now) = (ended, clock::now());
        if self.placements.get(&key).is_some_and(oneshot::Sender::is_closed) {
            self.placements.remove(&key);
        }
        // The publisher itself is a holder, and lives: its own copy goes on, whether others have stored it or not.
        self.records.renewed(&key, version, stored, now);
        if stored {
            self.records.published_again(&key, version, now, &mut *self.entropy);
        } else {
            self.records.retry(&key, version, refused, now, &mut *self.entropy);
        }
        self.save(ctx);
    }
}

impl Receive<SelectValues> for ValueStore {
    fn receive(&mut self, SelectValues { cause, neighbours }: SelectValues, _: &mut Context<Self>) {
        if cause == HandoffCause::Upkeep {
            let known: Vec<_> = neighbours.known().iter().map(|other| other.peer.id).collect();
            let Cells { shared, region } = cells(self.shared.id, &known, self.shared.config.lookup.k);
            let restores = self.due_restores(&neighbours, &region);
            self.region = Some(region);
            return self.shared.handles.handoff.selected(ValuesSelected::Upkeep { restores, neighbours, shared });
        }
        let copies = self.records.full_copies(clock::now());
        let selected = match cause {
            HandoffCause::NewPeers(selection) => {
                let new_peers = selection.new_peers.iter();
                let mut queues: Vec<_> = new_peers.map(|new| (new.neighbour, Vec::new())).collect();
                let selector = Selector::new(&neighbours, &selection);
                for copy in copies {
                    // What is still on its way to its places comes to those of them that are new as well.
                    let Some(placed_at) = copy.placed_at else { continue };
                    for to in selector.recipients(&copy.id, placed_at, self.shared.config.lookup.k) {
                        let of =
                            queues.iter_mut().filter(|(peer, queue)| peer == to && queue.len() < MAX_COPIES_PER_PEER);
                        of.for_each(|(_, queue)| queue.push(QueuedCopy { key: copy.key.clone(), bytes: copy.bytes }));
                    }
                }
                ValuesSelected::NewPeers(queues)
            }
            HandoffCause::Leaving | HandoffCause::Upkeep => {
                // Our publications first, whose publisher stops; then the values of which we are most surely a holder.
                let mut copies: Vec<_> = copies.collect();
                copies.sort_by_key(|copy| (Reverse(copy.published), self.shared.id.distance(&copy.id)));
                let copies = copies.into_iter().take(MAX_HANDOFF_COPIES);
                let copies = copies.map(|copy| HandoffCopy { key: copy.key.clone(), id: copy.id }).collect();
                self.leaving = true;
                ValuesSelected::Leaving { copies, neighbours }
            }
        };
        self.shared.handles.handoff.selected(selected);
    }
}

impl Receive<PrepareTransfer> for ValueStore {
    fn receive(&mut self, PrepareTransfer { key, legacy, answer }: PrepareTransfer, _: &mut Context<Self>) {
        let least = if legacy { self.shared.config.nearly_expired() } else { Duration::from_secs(1) };
        let now = self.now();
        let copy = self.records.get(&key, now).filter(|copy| copy.class != Class::Cached);
        if let Some(copy) = copy.filter(|copy| copy.ttl_left >= least) {
            let (ttl, age) = (Some(copy.ttl_seconds()), copy.age_seconds());
            // The transfer may have ended.
            let _ = answer.send(Request::Set { key, value: copy.value, ttl, age });
        }
    }
}
