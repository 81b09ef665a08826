//! Commits: what waits for one, and what becomes of it when the backend has taken it or has failed. What was changed, and why,
//! is decided elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use actix::{Addr, AsyncContext, Context};
use kademlia_dynamic::protocol::store::{Doubt, Settled, StoreError};

use super::super::clock::{self, Alarmed};
use super::super::counters::Counter;
use super::super::events::Event;
use super::super::handling::Handler;
use super::super::messages::{
    Answer, Committed, EndPlacement, KeepKey, PublicationEnded, ReplyTo, UnkeepKey, UnwatchKey, WatchKey,
};
use super::super::outcome::{Error, SetOutcome};
use super::ValueStore;

/// What waits for a commit.
pub(super) enum Waiting {
    /// A peer's write of a value, and whether there is news of it to be told.
    Remote { to: ReplyTo, news: bool, doubt: Doubt },
    /// What was published after the copy that was held, by the word of the peer at this address.
    Adopted { from: SocketAddr, doubt: Doubt },
    /// A write of the application.
    Local { version: u64, answer: Answer<SetOutcome>, doubt: Doubt },
    /// A publication that the application has ended, if there was one.
    Release { answer: Answer<bool>, doubt: Doubt },
    /// A key that is kept from now on.
    Keep { keep: KeepKey, doubt: Doubt },
    /// A key that is kept no more.
    Unkeep { unkeep: UnkeepKey, doubt: Doubt },
    /// Nobody: the backend was told what came to nothing.
    Amend(Doubt),
    /// Nobody: a sweep, a renewal.
    Nobody,
    /// Nobody: a part of what the backend did not take before.
    Owed,
}

/// Changes on their way to the backend.
pub(super) struct Group {
    keys: Vec<Arc<str>>,
    waiting: Waiting,
}

/// Tells the store what became of a group: also where the backend ends without a word.
struct Report {
    to: Addr<ValueStore>,
    group: u64,
    result: Option<Result<(), StoreError>>,
}

impl Report {
    fn tell(mut self, result: Result<(), StoreError>) {
        self.result = Some(result);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or(Err(StoreError::Ended));
        self.to.do_send(Committed { group: self.group, result });
    }
}

impl ValueStore {
    /// Hands the changes to the backend; `waiting` goes on when they are committed.
    pub(super) fn commit(&mut self, waiting: Waiting, ctx: &mut Context<Self>) {
        let changes = self.records.take_changes();
        // Whatever somebody waits for is among them.
        if changes.is_empty() {
            return;
        }
        self.groups += 1;
        let group = self.groups;
        let keys = changes.iter().map(|change| change.key().clone()).collect();
        self.waiting.insert(group, Group { keys, waiting });
        let report = Report { to: ctx.address(), group, result: None };
        self.backend.commit(changes, Box::new(move |result| report.tell(result)));
    }

    fn committed(&mut self, waiting: Waiting) {
        match waiting {
            Waiting::Remote { to, news, doubt } => {
                let key = doubt.key().clone();
                let effective = self.taken_from(to.addr, news, doubt);
                self.acknowledge(to, &key, false, effective);
            }
            Waiting::Adopted { from, doubt } => drop(self.taken_from(from, true, doubt)),
            Waiting::Local { version, answer, doubt } => {
                let key = doubt.key().clone();
                let _ = self.records.settle(doubt, true);
                // What is still sent of an older value could arrive after this one, and be taken for the newer.
                self.lookups.end_placement(EndPlacement(key.clone()));
                self.find_places(key, version, false, Some(answer));
            }
            Waiting::Release { answer, doubt } => {
                let key = doubt.key().clone();
                let released = self.records.settle(doubt, true).ended;
                self.released(key, released, answer);
            }
            Waiting::Keep { keep: KeepKey { key, min_replicas, answer }, doubt } => {
                let Settled { effective, was_kept, .. } = self.records.settle(doubt, true);
                if effective {
                    self.pins.watch(WatchKey { key, min_replicas, was_pinned: was_kept, answer });
                } else {
                    // The `set` before it has failed. Whoever asked may have gone.
                    let _ = answer.send(Err(Error::NotPublished { key: key.to_string() }));
                }
            }
            Waiting::Unkeep { unkeep, doubt } => {
                let was_kept = self.records.settle(doubt, true).was_kept;
                self.unkept(unkeep, was_kept);
            }
            Waiting::Amend(doubt) => drop(self.records.settle(doubt, true)),
            Waiting::Nobody | Waiting::Owed => {}
        }
    }

    /// What came from the peer at this address is committed: whether it has an effect, which is told.
    fn taken_from(&mut self, by: SocketAddr, news: bool, doubt: Doubt) -> bool {
        let key = doubt.key().clone();
        let Settled { effective, ended, .. } = self.records.settle(doubt, true);
        if ended {
            self.lookups.end_placement(EndPlacement(key.clone()));
            self.events.emit(Event::Superseded { key: key.to_string(), by });
        } else if news && effective {
            self.events.emit(Event::ValueStored { key: key.to_string(), by });
        }
        effective
    }

    /// `key` is published no more, as a node that comes back from its store would have it, too.
    pub(super) fn released(&self, key: Arc<str>, released: bool, answer: Answer<bool>) {
        if released {
            self.lookups.end_placement(EndPlacement(key.clone()));
        }
        self.pins.publication_ended(PublicationEnded(key));
        // Whoever asked may have gone.
        let _ = answer.send(Ok(released));
    }

    /// The key is kept against nobody any more.
    pub(super) fn unkept(&self, UnkeepKey { key, answer }: UnkeepKey, was_kept: bool) {
        if let Some(answer) = answer {
            self.pins.unwatch(UnwatchKey { key, was_pinned: was_kept, answer });
        }
    }

    /// The backend failed: what waited is as if it had never been, and whatever else was in its group is owed.
    fn not_committed(&mut self, mut keys: Vec<Arc<str>>, waiting: Waiting, error: StoreError, ctx: &mut Context<Self>) {
        let now = clock::now();
        let mut adopting = None;
        // Whoever asked may have gone, so what `send` returns does not matter.
        let undone = match waiting {
            Waiting::Remote { to, doubt, .. } => {
                self.counters.turned_away(Counter::WriteRefused, to.addr, &error, now);
                // It is acknowledged all the same: a legacy node drops a peer after one silent query.
                self.acknowledge(to, doubt.key(), false, false);
                Some(doubt)
            }
            Waiting::Adopted { doubt, .. } => {
                self.backlog.tell(&error, now);
                adopting = Some(doubt.key().clone());
                Some(doubt)
            }
            Waiting::Local { answer, doubt, .. } => {
                let _ = answer.send(Err(Error::Store(error)));
                Some(doubt)
            }
            Waiting::Release { answer, doubt } => {
                let _ = answer.send(Err(Error::Store(error)));
                Some(doubt)
            }
            Waiting::Keep { keep, doubt } => {
                let _ = keep.answer.send(Err(Error::Store(error)));
                Some(doubt)
            }
            Waiting::Unkeep { unkeep, doubt } => {
                match unkeep.answer {
                    Some(answer) => drop(answer.send(Err(Error::Store(error)))),
                    None => drop(self.backlog.tell(&error, now)),
                }
                Some(doubt)
            }
            Waiting::Amend(doubt) => {
                self.backlog.tell(&error, now);
                drop(self.records.settle(doubt, false));
                None
            }
            Waiting::Nobody | Waiting::Owed => {
                self.backlog.tell(&error, now);
                None
            }
        };
        keys.retain(|key| undone.as_ref().is_none_or(|doubt| doubt.key() != key));
        self.backlog.owe(keys, |key| self.records.is_held(key), now);
        let amend = undone.and_then(|doubt| self.records.settle(doubt, false).amend);
        // What was to be placed was not: it had given way.
        if let Some(key) = adopting
            && let Some(version) = self.records.published_version(&key)
        {
            self.records.retry_soon(&key, version, now, &mut *self.entropy);
        }
        if let Some(doubt) = amend {
            self.commit(Waiting::Amend(doubt), ctx);
        }
    }
}

impl Handler<Committed> for ValueStore {
    type Result = ();

    fn handle(&mut self, committed: Committed, ctx: &mut Self::Context) {
        let Some(Group { keys, waiting }) = self.waiting.remove(&committed.group) else { return };
        if matches!(waiting, Waiting::Owed) {
            self.backlog.returned();
        }
        match committed.result {
            Ok(()) => {
                self.backlog.settle(&keys, clock::now());
                self.committed(waiting);
            }
            Err(error) => self.not_committed(keys, waiting, error, ctx),
        }
    }
}

impl Alarmed for ValueStore {
    fn next_alarm(&self) -> Option<Instant> {
        self.backlog.next()
    }

    fn alarm(&mut self, now: Instant, ctx: &mut Self::Context) {
        // What may be taken back yet must not be committed by the way.
        let Self { backlog, records, .. } = self;
        if let Some(part) = backlog.take_part(|key| records.is_in_doubt(key), now) {
            self.records.still_uncommitted(part);
            self.commit(Waiting::Owed, ctx);
        }
    }
}
