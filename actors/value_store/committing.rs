//! Commits: writes that are planned go to the backend with their changes, and take effect when it has them. A second write of a key
//! waits until the first has ended. What is answered then is decided elsewhere.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use actix::{Addr, AsyncContext, Context};
use kademlia_dynamic::protocol::store::{Change, Plan, StoreError, Write};

use super::super::clock::{self, Alarmed};
use super::super::handling::Receive;
use super::super::messages::Committed;
use super::actor::ValueStore;
use super::pending::{Flight, Waiter};

/// Where the end of a commit goes.
enum Slot {
    /// Here: the call to the backend has not returned.
    Open,
    /// It has come here.
    Filled(Result<(), StoreError>),
    /// To the store, as a message.
    Closed,
}

/// Reports the end of a commit to the store: also where the backend ends without one.
struct Report {
    to: Addr<ValueStore>,
    group: u64,
    slot: Arc<Mutex<Slot>>,
    result: Result<(), StoreError>,
}

impl Drop for Report {
    fn drop(&mut self) {
        let result = mem::replace(&mut self.result, Ok(()));
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*slot, Slot::Open) {
            *slot = Slot::Filled(result);
        } else {
            self.to.do_send(Committed { group: self.group, result });
        }
    }
}

impl ValueStore {
    /// Takes a write in: it is planned now, or once those of the same key before it have ended.
    pub(super) fn submit(&mut self, write: Write, mut waiter: Waiter, ctx: &mut Context<Self>) {
        if !self.records.is_in_flight(write.key()) {
            self.begin(write, waiter, ctx);
        } else if waiter.is_certain()
            || self.pending.queued(waiter.is_remote()) < self.shared.config.store.max_waiting_writes
        {
            waiter.waits();
            self.pending.push(write, waiter);
        } else {
            self.turn_away(write.key().clone(), &"too many writes wait for others of their keys", waiter);
        }
        self.advance(ctx);
    }

    fn begin(&mut self, write: Write, mut waiter: Waiter, ctx: &mut Context<Self>) {
        let key = write.key().clone();
        let mut plan = match self.records.propose(write, clock::now(), &mut *self.entropy) {
            Ok(plan) => plan,
            Err(refusal) => return self.refused(key, refusal, waiter),
        };
        let changes = plan.take_changes();
        if changes.is_empty() {
            return self.end(plan, waiter, Ok(()));
        }
        let changes = match self.backend.commit_at_once(changes) {
            Ok(()) => {
                self.pending.next_commit();
                return self.ended(plan, waiter, Ok(()));
            }
            Err(changes) => changes,
        };
        self.records.hold(&mut plan);
        match self.give_later(changes, ctx) {
            (_, Some(result)) => self.ended(plan, waiter, result),
            (group, None) => {
                waiter.waits();
                waiter.is_planned();
                self.pending.begin(group, Flight::Write(Box::new((plan, waiter))), clock::now());
            }
        }
    }

    /// Gives the backend `changes` as one commit, with its number: the result, if the backend says it at once; otherwise it comes
    /// as [`Committed`].
    pub(super) fn give(
        &mut self,
        changes: Vec<Change>,
        ctx: &mut Context<Self>,
    ) -> (u64, Option<Result<(), StoreError>>) {
        match self.backend.commit_at_once(changes) {
            Ok(()) => (self.pending.next_commit(), Some(Ok(()))),
            Err(changes) => self.give_later(changes, ctx),
        }
    }

    /// The same with a backend that does not commit them before it returns, as a rule.
    fn give_later(&mut self, changes: Vec<Change>, ctx: &mut Context<Self>) -> (u64, Option<Result<(), StoreError>>) {
        let group = self.pending.next_commit();
        let slot = Arc::new(Mutex::new(Slot::Open));
        let report = Report { to: ctx.address(), group, slot: slot.clone(), result: Err(StoreError::Ended) };
        let done = move |result| {
            let mut report = report;
            report.result = result;
        };
        self.backend.commit(changes, Box::new(done));
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        match mem::replace(&mut *slot, Slot::Closed) {
            Slot::Filled(result) => (group, Some(result)),
            Slot::Open | Slot::Closed => (group, None),
        }
    }

    /// The backend has ended the commit of `plan`.
    fn ended(&mut self, plan: Plan, waiter: Waiter, result: Result<(), StoreError>) {
        if result.is_ok() && self.unsaved.has_keys() {
            self.unsaved.works(clock::now());
        }
        self.end(plan, waiter, result);
    }

    /// The changes of `plan`, if there are any, are committed, or could not be.
    fn end(&mut self, plan: Plan, waiter: Waiter, result: Result<(), StoreError>) {
        self.pending.free(&plan);
        let key = plan.key().clone();
        match result {
            Ok(()) => {
                let outcome = self.records.apply(plan);
                self.committed(key, outcome, waiter);
            }
            Err(error) => {
                self.records.abandon(plan);
                self.not_committed(key, error, waiter);
            }
        }
    }

    /// Begins the writes whose keys are free again, and gives the backend what time has changed.
    pub(super) fn advance(&mut self, ctx: &mut Context<Self>) {
        while let Some(key) = self.pending.next_free() {
            while !self.records.is_in_flight(&key)
                && let Some((write, waiter)) = self.pending.pop(&key)
            {
                self.begin(write, waiter, ctx);
            }
        }
        self.save(ctx);
    }

    /// Gives the backend what time has changed and it has not yet, a part at a time. Nothing waits for that.
    pub(super) fn save(&mut self, ctx: &mut Context<Self>) {
        if !self.records.has_changed() && self.unsaved.next().is_none() {
            return;
        }
        let now = clock::now();
        let Self { unsaved, records, .. } = self;
        unsaved.add(records.take_changed(), |key| records.is_held(key), now);
        loop {
            let Self { unsaved, records, .. } = self;
            let Some(part) = unsaved.take_part(|key| records.is_in_flight(key), now) else { return };
            let changes = part.iter().map(|key| records.change_of(key.clone())).collect();
            match self.give(changes, ctx) {
                (_, Some(result)) => self.saved(part, result),
                (group, None) => self.pending.begin(group, Flight::Save(part), now),
            }
        }
    }

    fn saved(&mut self, part: Vec<Arc<str>>, result: Result<(), StoreError>) {
        let (now, Self { unsaved, records, .. }) = (clock::now(), self);
        match result {
            Ok(()) => unsaved.saved(now),
            Err(error) => {
                unsaved.failed(part, |key| records.is_held(key), now);
                unsaved.log(&error, now);
            }
        }
    }
}

impl Receive<Committed> for ValueStore {
    fn receive(&mut self, committed: Committed, ctx: &mut Context<Self>) {
        // After a restart it may be of a time before that.
        match self.pending.end(committed.group) {
            Some(Flight::Write(write)) => self.ended(write.0, write.1, committed.result),
            Some(Flight::Renewals(renewals)) => self.renewals_ended(renewals, committed.result),
            Some(Flight::Save(part)) => self.saved(part, committed.result),
            None => return,
        }
        self.advance(ctx);
    }
}

impl Alarmed for ValueStore {
    fn next_alarm(&self) -> Option<Instant> {
        self.unsaved.next()
    }

    fn alarm(&mut self, _: Instant, ctx: &mut Context<Self>) {
        self.save(ctx);
    }
}
