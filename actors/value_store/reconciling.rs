//! What exchanges and pushes ask of the store: answers to peers that compare what they hold, the questions of this node's own exchanges,
//! and what follows from the answers. It changes nothing of what is held.

use std::sync::Arc;

use actix::Context;
use kademlia_dynamic::protocol::entry::{Entries, Nonce};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::Response;
use kademlia_dynamic::protocol::reconcile::{Region, answer, ask, compare};
use kademlia_dynamic::protocol::transfer::{Neighbour, Neighbours, QueuedCopy};

use super::super::counters::Counter;
use super::super::handling::Receive;
use super::super::messages::{
    CompareAnswer, CompareCopies, CopiesLacking, DescribeEntries, ExchangeBegun, PlaceValue, Placing, PrepareQuestion,
    ReconcileRanges, TransmitAnswer,
};
use super::super::operations::reconcile::room;
use super::actor::ValueStore;

/// Copies that are restored in one round at most. The others are due in the next one.
const MAX_RESTORED: usize = 20_000;
/// Copies beyond the k nearest that are named to peers in one round at most. The others are an interval later.
const MAX_NAMED: usize = 1_000;
/// Copies beyond the k nearest that are compared by a lookup each, in one round at most, whatever peers answer. The others are an
/// interval later.
const MAX_LOOKED_UP: usize = 64;

impl ValueStore {
    fn nonce(&mut self) -> Nonce {
        Nonce(self.entropy.next_u64().to_be_bytes())
    }

    /// What is due to be restored to those of `neighbours` that do not reconcile, each on their own: so that no peer can keep a value from
    /// being restored. It is due again once in an interval, or less often where several nodes do so: two of them on average.
    ///
    /// No neighbour compares copies with this node of which it is not among the k nearest, as after others have joined. Such a copy is
    /// named to one of the nearest peers: so that it is not served for a day after the value was set anew, and is not lost where the
    /// nearest have none. Where none of them reconcile, it is compared with theirs by a lookup.
    pub(super) fn due_restores(
        &mut self,
        neighbours: &Neighbours,
        region: &Region,
    ) -> Vec<(Neighbour, Vec<QueuedCopy>)> {
        let (now, k) = (self.now(), self.shared.config.lookup.k);
        let mixed = neighbours.known().iter().any(|other| !other.reconciles());
        let mut queues: Vec<(Neighbour, Vec<QueuedCopy>)> = Vec::new();
        let mut queue = |to: Neighbour, copy| match queues.iter_mut().find(|(other, _)| other.peer.id == to.peer.id) {
            Some((_, queue)) => queue.push(copy),
            None => queues.push((to, vec![copy])),
        };
        self.lookups_left = MAX_LOOKED_UP;
        let mut named = 0;
        for due in self.records.due_copies(now, MAX_RESTORED) {
            let copy = QueuedCopy { key: due.key.clone(), bytes: due.bytes };
            if !region.covers(&due.place) {
                self.records.restore_again(&due.key, 1.0, now, &mut *self.entropy);
                named += 1;
                if named > MAX_NAMED {
                    continue;
                }
                match neighbours.near_reconciling(&due.place, &mut *self.entropy) {
                    Some(to) => queue(to, copy),
                    None => self.compare_by_lookup(due.key, due.version),
                }
                continue;
            }
            let restored = Some(&due.place).filter(|_| mixed).and_then(|place| neighbours.restored(place, k));
            let (recipients, reconcile) = restored.unwrap_or_default();
            recipients.into_iter().for_each(|to| queue(to, copy.clone()));
            self.records.restore_again(&due.key, (reconcile as f64 / 2.0).max(1.0), now, &mut *self.entropy);
        }
        queues
    }

    /// Has a copy compared with those of the nearest by a lookup, unless this round has had its lookups.
    fn compare_by_lookup(&mut self, key: Arc<str>, version: u64) {
        if let Some(left) = self.lookups_left.checked_sub(1) {
            self.lookups_left = left;
            self.shared.handles.lookups.place(PlaceValue(Placing { key, version, answer: None }));
        }
    }
}

impl Receive<ReconcileRanges> for ValueStore {
    fn receive(&mut self, asked: ReconcileRanges, _: &mut Context<Self>) {
        let ReconcileRanges { peer, neighbours, ranges, wanted, to } = asked;
        let now = self.now();
        let held = self.records.full_count();
        if self.leaving || !self.allowances.may_read(&peer.peer.id, held, now) {
            self.shared.counters.count(Counter::ReconcileRefused);
            let response = Response::Reconcile { ranges: Vec::new() };
            return self.shared.handles.socket.answer(TransmitAnswer { to, response });
        }
        let (answers, read) = answer(&self.records, &ranges, room(&self.shared), now);
        self.allowances.was_read(&peer.peer.id, read + wanted.len(), now);
        self.shared.handles.socket.answer(TransmitAnswer { to, response: Response::Reconcile { ranges: answers } });
        if !ranges.ranges.is_empty() {
            self.shared.handles.handoff.exchange_begun(ExchangeBegun(peer.peer.id));
        }
        let k = self.shared.config.lookup.k;
        let holds = wanted.iter().filter(|place| neighbours.is_holder(&peer.peer.id, place, k));
        let copies = holds.filter_map(|place| self.records.at_place(place, now));
        let copies: Vec<_> = copies.map(|copy| QueuedCopy { key: copy.key().clone(), bytes: copy.bytes() }).collect();
        if !copies.is_empty() {
            self.shared.handles.handoff.lacking(CopiesLacking { to: peer, copies });
        }
    }
}

impl Receive<PrepareQuestion> for ValueStore {
    fn receive(&mut self, PrepareQuestion { mut open, room, answer }: PrepareQuestion, _: &mut Context<Self>) {
        let (now, nonce) = (self.now(), self.nonce());
        let asked = ask(&self.records, &mut open, nonce, room, now);
        // The exchange may have ended.
        let _ = answer.send((asked, open));
    }
}

impl Receive<CompareAnswer> for ValueStore {
    fn receive(&mut self, CompareAnswer { asked, answers, answer }: CompareAnswer, _: &mut Context<Self>) {
        let now = self.now();
        // The exchange may have ended.
        let _ = answer.send(compare(&self.records, &asked, answers, now));
    }
}

impl Receive<CompareCopies> for ValueStore {
    /// Only of a copy beyond the k nearest, which is in no exchange. What is not in one interval is in the next one.
    fn receive(&mut self, CompareCopies(keys): CompareCopies, _: &mut Context<Self>) {
        let now = self.now();
        for key in keys {
            let beyond = |place: &NodeId| self.region.as_ref().is_some_and(|region| !region.covers(place));
            let copy = self.records.full_copy(&key, now).filter(|copy| !copy.is_published() && beyond(&copy.place));
            if let Some(version) = copy.map(|copy| copy.version()) {
                self.compare_by_lookup(key, version);
            }
        }
    }
}

impl Receive<DescribeEntries> for ValueStore {
    fn receive(&mut self, DescribeEntries { keys, answer }: DescribeEntries, _: &mut Context<Self>) {
        let (now, nonce) = (self.now(), self.nonce());
        let copies: Vec<_> = keys.iter().filter_map(|key| self.records.full_copy(key, now)).collect();
        let entries: Vec<_> = copies.iter().map(|copy| copy.entry(nonce, now)).collect();
        if !entries.is_empty() {
            let keys = copies.iter().map(|copy| copy.key().clone()).collect();
            // The push may have ended.
            let _ = answer.send((keys, Entries { nonce, entries }));
        }
    }
}
