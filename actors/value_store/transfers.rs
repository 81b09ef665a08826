//! Handlers for transfers: the selection of copies for new peers and for the handoff, and the write that a transfer sends. The
//! protocol decides on recipients and rates.

use std::cmp::Reverse;
use std::time::Duration;

use actix::Context;
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::protocol::store::Class;
use kademlia_dynamic::protocol::transfer::{
    HandoffCopy, MAX_COPIES_PER_PEER, MAX_HANDOFF_COPIES, QueuedCopy, Selector,
};

use super::super::clock;
use super::super::handling::Receive;
use super::super::messages::{HandoffCause, PrepareTransfer, SelectValues, ValuesSelected};
use super::actor::ValueStore;

impl Receive<SelectValues> for ValueStore {
    fn receive(&mut self, select: SelectValues, _: &mut Context<Self>) {
        let SelectValues { cause, neighbours } = select;
        let copies = self.records.full_copies(clock::now());
        let selected = match cause {
            HandoffCause::NewPeers(selection) => {
                let new_peers = selection.new_peers.iter();
                let mut queues: Vec<_> = new_peers.map(|new| (new.neighbour, Vec::new())).collect();
                let selector = Selector::new(&neighbours, &selection);
                for copy in copies {
                    for to in selector.recipients(&copy.id, copy.stored_at, self.shared.config.lookup.k) {
                        let of =
                            queues.iter_mut().filter(|(peer, queue)| peer == to && queue.len() < MAX_COPIES_PER_PEER);
                        of.for_each(|(_, queue)| queue.push(QueuedCopy { key: copy.key.clone(), bytes: copy.bytes }));
                    }
                }
                ValuesSelected::ForNewPeers(queues)
            }
            HandoffCause::Leaving => {
                // Our publications first, whose publisher stops; then the values of which we are most surely a holder.
                let mut copies: Vec<_> = copies.collect();
                copies.sort_by_key(|copy| (Reverse(copy.published), self.shared.id.distance(&copy.id)));
                let copies = copies.into_iter().take(MAX_HANDOFF_COPIES);
                let copies = copies.map(|copy| HandoffCopy { key: copy.key.clone(), id: copy.id }).collect();
                self.leaving = true;
                ValuesSelected::ForLeaving { copies, neighbours }
            }
        };
        self.handoff.selected(selected);
    }
}

impl Receive<PrepareTransfer> for ValueStore {
    fn receive(&mut self, asked: PrepareTransfer, _: &mut Context<Self>) {
        let PrepareTransfer { key, legacy, answer } = asked;
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
