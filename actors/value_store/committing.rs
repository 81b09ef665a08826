//! Commits: what waits for one, and what becomes of it when the backend has taken it or has failed. What was changed, and why,
//! is decided elsewhere.

use std::sync::Arc;
use std::time::Instant;

use actix::{Addr, AsyncContext, Context};
use kademlia_dynamic::protocol::message::Response;
use kademlia_dynamic::protocol::store::{Checkpoint, StoreError};

use super::super::clock::{self, Alarmed};
use super::super::counters::Counter;
use super::super::events::Event;
use super::super::handling::Handler;
use super::super::messages::{
    Answer, Committed, EndPlacement, KeepKey, PublicationEnded, ReplyTo, TransmitAnswer, UnkeepKey, UnwatchKey,
    WatchKey,
};
use super::super::outcome::{Error, SetOutcome};
use super::ValueStore;

/// What waits for a commit.
pub(super) enum Waiting {
    /// A peer's write, and what is told of it.
    Remote { to: ReplyTo, response: Response, news: Option<Event>, undo: Checkpoint },
    /// What was published after the copy that was held, and what is told of it.
    Adopted { news: Option<Event>, undo: Checkpoint },
    /// A write of the application.
    Local { version: u64, answer: Answer<SetOutcome>, undo: Checkpoint },
    /// A publication that the application has ended. Without `undo` there was none.
    Release { key: Arc<str>, undo: Option<Checkpoint>, answer: Answer<bool> },
    /// A key that is kept from now on.
    Keep { keep: KeepKey, was_kept: bool },
    /// A key that is kept no more.
    Unkeep { unkeep: UnkeepKey, was_kept: bool },
    /// Nobody: a sweep, a renewal.
    Nobody,
    /// Nobody: a part of what the backend did not take before.
    Owed,
}

impl Waiting {
    fn undo(&mut self) -> Option<&mut Checkpoint> {
        match self {
            Waiting::Remote { undo, .. } | Waiting::Adopted { undo, .. } | Waiting::Local { undo, .. } => Some(undo),
            Waiting::Release { undo, .. } => undo.as_mut(),
            Waiting::Keep { .. } | Waiting::Unkeep { .. } | Waiting::Nobody | Waiting::Owed => None,
        }
    }

    /// Whether `key` was kept before, where it waits for another word on that.
    fn was_kept(&mut self, key: &str) -> Option<&mut bool> {
        match self {
            Waiting::Keep { keep, was_kept } => (*keep.key == *key).then_some(was_kept),
            Waiting::Unkeep { unkeep, was_kept } => (*unkeep.key == *key).then_some(was_kept),
            _ => None,
        }
    }
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
        // Nothing to commit, and nothing under way that it may rest on: a value that was written twice is not safe
        // before the first write is.
        if changes.is_empty() && self.waiting.is_empty() {
            return self.committed(Group { keys: Vec::new(), waiting }, Ok(()));
        }
        self.groups += 1;
        let group = self.groups;
        let keys = changes.iter().map(|change| change.key().clone()).collect();
        self.waiting.insert(group, Group { keys, waiting });
        let report = Report { to: ctx.address(), group, result: None };
        self.backend.commit(changes, Box::new(move |result| report.tell(result)));
    }

    fn committed(&mut self, group: Group, result: Result<(), StoreError>) {
        match (group.waiting, result) {
            (Waiting::Remote { to, response, news, undo }, Ok(())) => {
                self.tell(news, undo.key());
                self.links.answer.do_send(TransmitAnswer { to, response });
            }
            (Waiting::Adopted { news, undo }, Ok(())) => self.tell(news, undo.key()),
            (Waiting::Local { version, answer, undo }, Ok(())) => {
                let key = undo.key().clone();
                // What is still sent of an older value could arrive after this one, and be taken for the newer.
                self.links.end.do_send(EndPlacement(key.clone()));
                self.find_places(key, version, false, Some(answer));
            }
            (Waiting::Release { key, undo, answer }, Ok(())) => {
                let released = undo.is_some();
                if released {
                    self.links.end.do_send(EndPlacement(key.clone()));
                }
                self.links.ended.do_send(PublicationEnded(key));
                // Whoever asked may have gone.
                let _ = answer.send(Ok(released));
            }
            (Waiting::Keep { keep: KeepKey { key, min_replicas, answer }, .. }, Ok(())) => {
                self.links.watch.do_send(WatchKey { key, min_replicas, answer });
            }
            (Waiting::Unkeep { unkeep: UnkeepKey { key, answer }, .. }, Ok(())) => {
                if let Some(answer) = answer {
                    self.links.unwatch.do_send(UnwatchKey { key, answer });
                }
            }
            (Waiting::Nobody | Waiting::Owed, Ok(())) => {}
            (waiting, Err(error)) => self.not_committed(group.keys, waiting, error),
        }
    }

    /// Tells of a write by others that is committed. What it superseded is not sent any more.
    fn tell(&self, news: Option<Event>, key: &Arc<str>) {
        if let Some(Event::Superseded { .. }) = news {
            self.links.end.do_send(EndPlacement(key.clone()));
        }
        if let Some(news) = news {
            self.events.emit(news);
        }
    }

    /// The backend failed: the write that waited is as if it had never come, and whatever else was in its group is owed.
    fn not_committed(&mut self, mut keys: Vec<Arc<str>>, waiting: Waiting, error: StoreError) {
        let now = clock::now();
        let undone = match waiting {
            Waiting::Remote { to, response, undo, .. } => {
                self.counters.turned_away(Counter::WriteRefused, to.addr, &error, now);
                // It is acknowledged all the same: a legacy node drops a peer after one silent query.
                let response = if response == Response::SetCached { response } else { Response::Set { stored: false } };
                self.links.answer.do_send(TransmitAnswer { to, response });
                Some(undo)
            }
            Waiting::Adopted { undo, .. } => {
                self.backlog.tell(&error, now);
                Some(undo)
            }
            Waiting::Local { answer, undo, .. } => {
                // Whoever asked may have gone.
                let _ = answer.send(Err(Error::Store(error)));
                Some(undo)
            }
            Waiting::Release { undo, answer, .. } => {
                let _ = answer.send(Err(Error::Store(error)));
                undo
            }
            Waiting::Keep { keep: KeepKey { key, answer, .. }, was_kept } => {
                self.keep_as_before(&key, was_kept);
                let _ = answer.send(Err(Error::Store(error)));
                None
            }
            Waiting::Unkeep { unkeep: UnkeepKey { key, answer: Some(answer) }, was_kept } => {
                self.keep_as_before(&key, was_kept);
                let _ = answer.send(Err(Error::Store(error)));
                None
            }
            Waiting::Unkeep { .. } | Waiting::Nobody | Waiting::Owed => {
                self.backlog.tell(&error, now);
                None
            }
        };
        let written = undone.as_ref().map(|undo| undo.key().clone());
        keys.retain(|key| Some(key) != written.as_ref());
        self.backlog.owe(keys, |key| self.records.is_held(key), now);
        let Some(stands) = undone.and_then(|undo| self.records.undo(undo)) else { return };
        // A later write of the key took its place. If that one fails as well, it must not bring this one back.
        let mut waiting = self.waiting.values_mut().filter_map(|group| group.waiting.undo());
        if let Some(later) = waiting.find(|later| later.follows(&stands)) {
            later.rest_on(stands);
        }
    }

    /// A word on whether `key` is kept has failed: what was true before it is true again, also where a write that waits
    /// behind it fails as well. A later word stands.
    fn keep_as_before(&mut self, key: &Arc<str>, kept: bool) {
        for undo in self.waiting.values_mut().filter_map(|group| group.waiting.undo()) {
            undo.set_keep(key, kept);
        }
        let later = self.waiting.iter_mut().filter_map(|(number, group)| Some((number, group.waiting.was_kept(key)?)));
        match later.min_by_key(|(number, _)| **number) {
            Some((_, was_kept)) => *was_kept = kept,
            None if kept => drop(self.records.keep(key)),
            None => drop(self.records.unkeep(key)),
        }
    }
}

impl Handler<Committed> for ValueStore {
    type Result = ();

    fn handle(&mut self, committed: Committed, _: &mut Self::Context) {
        let Some(group) = self.waiting.remove(&committed.group) else { return };
        if matches!(group.waiting, Waiting::Owed) {
            self.backlog.returned();
        }
        if committed.result.is_ok() {
            self.backlog.settle(&group.keys, clock::now());
        }
        self.committed(group, committed.result);
    }
}

impl Alarmed for ValueStore {
    fn next_alarm(&self) -> Option<Instant> {
        self.backlog.next()
    }

    fn alarm(&mut self, now: Instant, ctx: &mut Self::Context) {
        // What may be taken back yet must not be committed by the way.
        let in_doubt =
            self.waiting.values_mut().filter_map(|group| group.waiting.undo()).map(|undo| undo.key().clone());
        if let Some(part) = self.backlog.take_part(&in_doubt.collect(), now) {
            self.records.still_uncommitted(part);
            self.commit(Waiting::Owed, ctx);
        }
    }
}
