//! Writes that are in flight, and those that wait for them. It plans and commits nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use kademlia_dynamic::protocol::store::{Plan, Write};

use super::waiter::Waiter;

/// What the backend was given and has not committed yet.
pub(super) enum Flight {
    /// The changes of this plan, and what waits for its end.
    Write(Box<(Plan, Waiter)>),
    /// What time has changed of these keys.
    Save(Vec<Arc<str>>),
}

/// Commits that have not ended, and writes that wait for others of the same key.
#[derive(Default)]
pub(super) struct Pending {
    /// Commits given to the backend since the start: the number of the last one.
    commits: u64,
    flights: HashMap<u64, Flight>,
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

    /// This commit ends later.
    pub(super) fn begin(&mut self, commit: u64, flight: Flight) {
        self.flights.insert(commit, flight);
    }

    /// This commit has ended; `None` if it was forgotten.
    pub(super) fn end(&mut self, commit: u64) -> Option<Flight> {
        self.flights.remove(&commit)
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
