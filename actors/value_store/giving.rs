//! What is handed over: which of the values held are for newcomers, which for those who stay when this node leaves, and what
//! is sent of each. To whom, and how fast, is decided elsewhere.

use std::cmp::Reverse;
use std::time::Duration;

use kademlia_dynamic::protocol::hand_off::{Gift, MAX_GIFTS, MAX_PARTING, Parting};
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::protocol::store::Class;

use super::super::clock;
use super::super::handling::Handler;
use super::super::messages::{HandoffCause, PrepareTransfer, SelectValues, ValuesSelected};
use super::actor::ValueStore;

impl Handler<SelectValues> for ValueStore {
    type Result = ();

    fn handle(&mut self, select: SelectValues, _: &mut Self::Context) {
        let SelectValues { cause, neighbours } = select;
        let copies = self.records.full_copies(clock::now());
        let selected = match cause {
            HandoffCause::Newcomers(look) => {
                let mut gifts: Vec<_> = look.newcomers.iter().map(|newcomer| (newcomer.who, Vec::new())).collect();
                let serving = neighbours.serving(&look);
                for copy in copies {
                    for to in serving.of(&copy.id, copy.stored_at, self.config.k) {
                        let of = gifts.iter_mut().filter(|(newcomer, gifts)| newcomer == to && gifts.len() < MAX_GIFTS);
                        of.for_each(|(_, gifts)| gifts.push(Gift { key: copy.key.clone(), bytes: copy.bytes }));
                    }
                }
                ValuesSelected::ForNewcomers(gifts)
            }
            HandoffCause::Leaving => {
                // Our own first, whose publisher goes; then those that we are the surest to be a holder of.
                let mut copies: Vec<_> = copies.collect();
                copies.sort_by_key(|copy| (Reverse(copy.published), self.own.distance(&copy.id)));
                let values =
                    copies.into_iter().take(MAX_PARTING).map(|copy| Parting { key: copy.key.clone(), id: copy.id });
                let values = values.collect();
                self.leaving = true;
                ValuesSelected::ForLeaving { values, neighbours }
            }
        };
        self.handoff.selected(selected);
    }
}

impl Handler<PrepareTransfer> for ValueStore {
    type Result = ();

    fn handle(&mut self, asked: PrepareTransfer, _: &mut Self::Context) {
        let PrepareTransfer { key, legacy, answer } = asked;
        let least = if legacy { self.config.nearly_expired() } else { Duration::from_secs(1) };
        let now = self.now();
        let copy = self.records.get(&key, now).filter(|copy| copy.class != Class::Cached);
        if let Some(copy) = copy.filter(|copy| copy.ttl_left >= least) {
            let (ttl, age) = (Some(copy.ttl_seconds()), copy.age_seconds());
            // The transfer may have ended.
            let _ = answer.send(Request::Set { key, value: copy.value, ttl, age });
        }
    }
}
