//! What is done when a write has ended: what waits for it gets its answer, and others the news. How a write ends is decided
//! elsewhere.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;

use kademlia_dynamic::causes::Causes;
use kademlia_dynamic::protocol::message::Response;
use kademlia_dynamic::protocol::store::{Refusal, StoreError, StoredCopy, WriteOutcome};

use super::super::clock;
use super::super::counters::Counter;
use super::super::events::{Event, EventKind};
use super::super::messages::{
    PinKey, Placing, PublicationEnded, ReplyTo, TransmitAnswer, UnpinKey, UnwatchKey, WatchKey,
};
use super::super::outcome::Error;
use super::actor::ValueStore;
use super::pending::Waiter;

// Receivers of answers may have gone, so what `send` returns does not matter.
impl ValueStore {
    /// The write is committed and has taken effect.
    pub(super) fn committed(&mut self, key: Arc<str>, outcome: WriteOutcome, waiter: Waiter) {
        match waiter {
            Waiter::Peer { to, cached } => {
                self.emit(&key, &outcome, to.addr);
                self.acknowledge(to, &key, cached, true);
            }
            Waiter::Adopter { from, asked } => {
                self.emit(&key, &outcome, from);
                // If the later value has taken its place, it is placed no more.
                self.prepare(asked);
            }
            Waiter::Publisher { answer, placing } => {
                let WriteOutcome::Published { version } = outcome else { return };
                self.end_placement(&key);
                self.shared.events.emit(EventKind::Published, || Event::Published { key: key.to_string() });
                if placing.send(Placing { key: key.clone(), version, answer: Some(answer) }).is_err() {
                    // Its placement was lost.
                    self.records.retry(&key, version, false, clock::now(), &mut *self.entropy);
                }
            }
            Waiter::Release(answer) => {
                let released = outcome == WriteOutcome::Released;
                if released {
                    self.end_placement(&key);
                    self.shared.events.emit(EventKind::Released, || Event::Released { key: key.to_string() });
                }
                self.shared.handles.pins.publication_ended(PublicationEnded(key));
                let _ = answer.send(Ok(released));
            }
            Waiter::Pin(PinKey { key, min_replicas, answer }) => match outcome {
                WriteOutcome::Pinned { was_pinned } => {
                    self.shared.handles.pins.watch(WatchKey { key, min_replicas, was_pinned, answer });
                }
                _ => drop(answer.send(Err(Error::NotPublished { key: key.to_string() }))),
            },
            Waiter::Unpin(UnpinKey { key, answer }) => {
                if let Some(answer) = answer {
                    let was_pinned = outcome == WriteOutcome::Unpinned;
                    self.shared.handles.pins.unwatch(UnwatchKey { key, was_pinned, answer });
                }
            }
        }
    }

    /// The backend has failed: all is as if the write had never come.
    pub(super) fn not_committed(&mut self, key: Arc<str>, error: StoreError, waiter: Waiter) {
        let now = clock::now();
        match waiter {
            Waiter::Peer { to, .. } => {
                self.shared.counters.turned_away(Counter::WriteRefused, to.addr, &Causes(&error), now);
                // It is acknowledged all the same: a legacy node drops a peer after one silent query.
                self.acknowledge(to, &key, false, false);
            }
            // Its placement ends, and begins again soon if it is a publication.
            Waiter::Adopter { .. } => drop(self.unsaved.log(&error, now)),
            Waiter::Unpin(UnpinKey { answer: None, .. }) => drop(self.unsaved.log(&error, now)),
            waiter => waiter.fail(Error::Store(error)),
        }
    }

    /// The rules refuse the write. That happens to values of peers only.
    pub(super) fn refused(&mut self, key: Arc<str>, refusal: Refusal, waiter: Waiter) {
        match waiter {
            Waiter::Adopter { from, asked } => {
                // What is held is as late as the value that was found, as a rule.
                if refusal != Refusal::Stale {
                    self.shared.counters.turned_away(Counter::WriteRefused, from, &refusal, clock::now());
                }
                self.prepare(asked);
            }
            waiter => self.turn_away(key, &refusal, waiter),
        }
    }

    /// The write is not even planned, for this reason.
    pub(super) fn turn_away(&mut self, key: Arc<str>, why: &dyn Display, waiter: Waiter) {
        let now = clock::now();
        match waiter {
            Waiter::Peer { to, cached } => {
                self.shared.counters.turned_away(Counter::WriteRefused, to.addr, why, now);
                self.acknowledge(to, &key, cached, false);
            }
            Waiter::Adopter { from, asked } => {
                self.shared.counters.turned_away(Counter::WriteRefused, from, why, now);
                // What is published here would be so over the later value: its placement ends, and begins again soon.
                if !self.records.is_published(&key) {
                    self.prepare(asked);
                }
            }
            waiter => {
                let limit = self.shared.config.store.max_waiting_writes;
                waiter.fail(Error::Busy { what: "writes that wait for the store", limit });
            }
        }
    }

    /// Answers a peer what became of its write of `key`; where it was stored, with what is left of the copy's life.
    pub(super) fn acknowledge(&mut self, to: ReplyTo, key: &str, cached: bool, stored: bool) {
        self.recent.ended(to.addr, to.id, stored);
        let ttl = || self.records.get(key, clock::now()).filter(|_| stored).as_ref().map(StoredCopy::ttl_seconds);
        let response = if cached { Response::SetCached } else { Response::Set { stored, ttl: ttl() } };
        self.shared.handles.socket.answer(TransmitAnswer { to, response });
    }

    /// Emits what a value from the peer at this address has changed, if it has.
    pub(super) fn emit(&mut self, key: &Arc<str>, outcome: &WriteOutcome, by: SocketAddr) {
        match outcome {
            WriteOutcome::Superseded { .. } => {
                self.end_placement(key);
                self.shared.events.emit(EventKind::Superseded, || Event::Superseded { key: key.to_string(), by });
            }
            WriteOutcome::Stored | WriteOutcome::Renewed => {
                self.shared.events.emit(EventKind::ValueStored, || Event::ValueStored { key: key.to_string(), by });
            }
            _ => {}
        }
    }
}
