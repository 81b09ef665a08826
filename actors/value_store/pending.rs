//! Writes that are in flight, those that wait for them, and what waits for their ends. It plans and commits nothing.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use kademlia_dynamic::protocol::store::{Plan, RenewalPlan, Write};
use tokio::sync::oneshot;

use super::super::blocklist::Origin;
use super::super::messages::{Answer, PinKey, Placing, PreparePlacement, ReplyTo, UnpinKey};
use super::super::outcome::{Error, SetOutcome};

/// What waits for a write to end.
pub(super) enum Waiter {
    /// A peer that has sent a value.
    Peer { to: ReplyTo, cached: bool },
    /// The placement of an earlier value, where a later one was found at this address.
    Adopter { from: SocketAddr, asked: PreparePlacement },
    /// A `set` of the application, and the placement of its value.
    Publisher { answer: Answer<SetOutcome>, placing: oneshot::Sender<Placing> },
    /// The application, which is answered whether there was a publication to end.
    Release(Answer<bool>),
    /// The application, of a key that is pinned with it.
    Pin(PinKey),
    /// The application or the pins.
    Unpin(UnpinKey),
}

impl Waiter {
    /// Whether a peer has caused the write: such writes fill a queue of their own, so that they never leave the application without
    /// a place.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Self::Peer { .. } | Self::Adopter { .. })
    }

    /// Whether the write is never refused: the pins undo what they could not finish, at most once a pin.
    pub(super) fn is_certain(&self) -> bool {
        matches!(self, Self::Unpin(UnpinKey { answer: None, .. }))
    }

    /// Its write is planned, and so out of reach of a panic: its datagram is not to blame any more, and needs no memory.
    pub(super) fn is_planned(&mut self) {
        if let Self::Peer { to, .. } = self {
            to.origin = Origin::default();
        }
    }

    /// It must wait, in a queue of its own bound, so its dispatch slot is free.
    pub(super) fn waits(&mut self) {
        if let Self::Peer { to, .. } = self {
            to.permit = None;
        }
    }

    /// Answers an application that the write has failed.
    pub(super) fn fail(self, error: Error) {
        // The caller may have gone.
        match self {
            Self::Publisher { answer, .. } => drop(answer.send(Err(error))),
            Self::Release(answer) => drop(answer.send(Err(error))),
            Self::Pin(pin) => drop(pin.answer.send(Err(error))),
            Self::Unpin(unpin) => drop(unpin.answer.map(|answer| answer.send(Err(error)))),
            Self::Peer { .. } | Self::Adopter { .. } => {}
        }
    }
}

/// What the backend was given and has not committed yet.
pub(super) enum Flight {
    /// The changes of this plan, and what waits for its end.
    Write(Box<(Plan, Waiter)>),
    /// The changes of all plans of a peer's renewals.
    Renewals(Renewals),
    /// What time has changed of these keys.
    Save(Vec<Arc<str>>),
}

/// What a peer's `renew` came to, which has not ended.
pub(super) struct Renewals {
    /// What is done once it is committed.
    pub(super) planned: RenewalPlan,
    /// Where the answer goes.
    pub(super) to: ReplyTo,
}

/// Commits that have not ended, and writes that wait for others of the same key.
#[derive(Default)]
pub(super) struct Pending {
    /// Commits given to the backend since the start: the number of the last one.
    commits: u64,
    /// By number, with the time since when.
    flights: HashMap<u64, (Instant, Flight)>,
    by_key: HashMap<Arc<str>, VecDeque<(Write, Waiter)>>,
    /// Writes of the application that wait, and those of peers.
    queued: [usize; 2],
    /// Keys that are free again.
    freed: Vec<Arc<str>>,
}

impl Pending {
    /// How many commits have not ended, with the writes that wait for them.
    pub(super) fn len(&self) -> usize {
        self.flights.len() + self.queued.iter().sum::<usize>()
    }

    /// How many writes of peers, or of the application, wait for others of their keys.
    pub(super) fn queued(&self, of_peers: bool) -> usize {
        self.queued[usize::from(of_peers)]
    }

    /// The number of the next commit.
    pub(super) fn next_commit(&mut self) -> u64 {
        self.commits += 1;
        self.commits
    }

    /// Whether the backend was ever given a commit.
    pub(super) fn has_begun(&self) -> bool {
        self.commits > 0
    }

    /// This commit ends later than `now`.
    pub(super) fn begin(&mut self, commit: u64, flight: Flight, now: Instant) {
        self.flights.insert(commit, (now, flight));
    }

    /// Since when the oldest commit has not ended.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.flights.values().map(|(begun, _)| *begun).min()
    }

    /// This commit has ended; `None` if it was forgotten.
    pub(super) fn end(&mut self, commit: u64) -> Option<Flight> {
        self.flights.remove(&commit).map(|(_, flight)| flight)
    }

    /// Forgets all but the number of the last commit: the ends of those before are not to be taken for later ones.
    pub(super) fn forget(&mut self) {
        *self = Self { commits: self.commits, ..Self::default() };
    }

    pub(super) fn push(&mut self, write: Write, waiter: Waiter) {
        self.queued[usize::from(waiter.is_remote())] += 1;
        self.by_key.entry(write.key().clone()).or_default().push_back((write, waiter));
    }

    pub(super) fn pop(&mut self, key: &str) -> Option<(Write, Waiter)> {
        let queue = self.by_key.get_mut(key)?;
        let next = queue.pop_front();
        if queue.is_empty() {
            self.by_key.remove(key);
        }
        if let Some((_, waiter)) = &next {
            self.queued[usize::from(waiter.is_remote())] -= 1;
        }
        next
    }

    /// The keys of `plan` take writes again.
    pub(super) fn free(&mut self, plan: &Plan) {
        if !self.by_key.is_empty() {
            self.freed.extend(plan.keys().filter(|key| self.by_key.contains_key(*key)).cloned());
        }
    }

    /// A key that is free again.
    pub(super) fn next_free(&mut self) -> Option<Arc<str>> {
        self.freed.pop()
    }
}
