//! The handler for what peers send of many values at once: renewals, one commit for all of a message. What each entry changes is the
//! protocol's business.

use actix::Context;
use kademlia_dynamic::causes::Causes;
use kademlia_dynamic::protocol::entry::EntryState;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::Response;
use kademlia_dynamic::protocol::store::{Plan, StoreError};

use super::super::blocklist::Origin;
use super::super::clock;
use super::super::counters::Counter;
use super::super::handling::Receive;
use super::super::messages::{RenewValues, TransmitAnswer};
use super::actor::ValueStore;
use super::pending::{Flight, Renewals};

impl Receive<RenewValues> for ValueStore {
    fn receive(&mut self, RenewValues { entries, mut to }: RenewValues, ctx: &mut Context<Self>) {
        let now = self.now();
        // What waits for its commit is out of reach of a panic; the datagram is to blame all the same.
        let _blamed = to.origin.clone();
        if let Err(why) = self.check_takes_writes() {
            self.shared.counters.turned_away(Counter::WriteRefused, to.addr, &why, now);
            let states = vec![EntryState::Refused; entries.entries.len()];
            return self.shared.handles.socket.answer(TransmitAnswer { to, response: Response::Renew { states } });
        }
        let region = self.region.as_ref();
        let holds = |place: &NodeId| region.is_none_or(|region| region.covers(place));
        let mut planned = self.records.plan_renewals(&entries, to.addr, &holds, now, &mut *self.entropy);
        let changes: Vec<_> = planned.plans.iter_mut().flat_map(|(_, plan)| plan.take_changes()).collect();
        if changes.is_empty() {
            self.renewals_ended(Renewals { planned, to }, Ok(()));
        } else {
            match self.give(changes, ctx) {
                (_, Some(result)) => self.renewals_ended(Renewals { planned, to }, result),
                (group, None) => {
                    (to.permit, to.origin) = (None, Origin::default());
                    self.pending.begin(group, Flight::Renewals(Renewals { planned, to }), now);
                }
            }
        }
        self.advance(ctx);
    }
}

impl ValueStore {
    /// The changes of a peer's renewals are committed, or could not be: then nothing of it was renewed.
    pub(super) fn renewals_ended(&mut self, renewals: Renewals, result: Result<(), StoreError>) {
        let Renewals { planned, to } = renewals;
        let (now, mut states) = (clock::now(), planned.states);
        match result {
            Ok(()) => {
                self.unsaved.works(now);
                for (_, plan) in planned.plans {
                    self.pending.free(&plan);
                    let (key, outcome) = (plan.key().clone(), self.records.apply(plan));
                    self.emit(&key, &outcome, to.addr);
                }
            }
            Err(error) => {
                self.shared.counters.turned_away(Counter::WriteRefused, to.addr, &Causes(&error), now);
                for (number, plan) in planned.plans {
                    states[number] = EntryState::Refused;
                    self.abandon(plan);
                }
            }
        }
        self.shared.handles.socket.answer(TransmitAnswer { to, response: Response::Renew { states } });
    }

    fn abandon(&mut self, plan: Plan) {
        self.pending.free(&plan);
        self.records.abandon(plan);
    }
}
