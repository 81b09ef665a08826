//! Several copies for one peer that reconciles: it asks by `renew` which of them the peer lacks, and sends those. The handoff decides
//! which copies, and the value store owns the values until they are sent.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use kademlia_dynamic::protocol::entry::{Entries, EntryState};
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use tokio::sync::oneshot;

use super::super::messages::{Answered, CompareCopies, DescribeEntries, Failed, PrepareTransfer, PushEnded};
use super::super::shared::Shared;
use super::operation::{End, Operation, Step};

/// A push under way.
pub(crate) struct Push {
    shared: Rc<Shared>,
    to: Peer,
    /// How many copies it is about.
    copies: usize,
    /// What is to be described.
    keys: Option<Vec<Arc<str>>>,
    /// What is described, in the order of its entries.
    named: Vec<Arc<str>>,
    /// What the peer lacks, and is to be prepared.
    lacking: Vec<Arc<str>>,
    /// What is to be sent.
    requests: VecDeque<Request>,
    /// What is awaited: of the value store, or of the peer.
    awaited: usize,
    stored: usize,
    answered: bool,
    silent: bool,
}

impl Push {
    /// Brings `to` the copies of these keys that it lacks.
    pub(crate) fn new(shared: &Rc<Shared>, keys: Vec<Arc<str>>, to: Peer) -> Self {
        Self {
            shared: shared.clone(),
            to,
            copies: keys.len(),
            keys: Some(keys),
            named: Vec::new(),
            lacking: Vec::new(),
            requests: VecDeque::new(),
            awaited: 0,
            stored: 0,
            answered: false,
            silent: false,
        }
    }

    fn describe(&mut self, keys: Vec<Arc<str>>) -> Step<Self> {
        let (answer, described) = oneshot::channel();
        self.shared.handles.store.describe_entries(DescribeEntries { keys, answer });
        self.awaited += 1;
        Step::after(described, |push: &mut Self, described: Result<(Vec<Arc<str>>, Entries), _>, _| {
            push.awaited -= 1;
            // Where there is nothing to send, or the value store was restarted, it is over.
            if let Ok((keys, entries)) = described {
                push.named = keys;
                push.requests.push_back(Request::Renew { entries });
            }
        })
    }

    fn prepare(&mut self, key: Arc<str>) -> Step<Self> {
        let (answer, prepared) = oneshot::channel();
        self.shared.handles.store.prepare_transfer(PrepareTransfer { key, legacy: false, answer });
        self.awaited += 1;
        Step::after(prepared, |push: &mut Self, request, _| {
            push.awaited -= 1;
            push.requests.extend(request);
        })
    }
}

impl Operation for Push {
    const NAME: &'static str = "push";
    type Target = Peer;

    fn step(&mut self, _: Instant) -> Step<Self> {
        if let Some(keys) = self.keys.take() {
            return self.describe(keys);
        }
        if let Some(request) = self.requests.pop_front() {
            self.awaited += 1;
            return Step::Query(self.to, request);
        }
        if let Some(key) = self.lacking.pop() {
            return self.prepare(key);
        }
        if self.awaited > 0 { Step::Wait { until: None } } else { Step::Finished }
    }

    fn answer(&mut self, _: Peer, answer: Answered, _: Instant) {
        self.awaited -= 1;
        self.answered = true;
        match answer.response {
            Response::Renew { states } => {
                let mut others = Vec::new();
                for (key, state) in self.named.drain(..).zip(states) {
                    match state {
                        EntryState::Lacking => self.lacking.push(key),
                        // What it refuses may belong to nodes that are nearer than those that this node knows.
                        EntryState::Later | EntryState::Unordered | EntryState::Refused => others.push(key),
                        EntryState::Held => {}
                    }
                }
                if !others.is_empty() {
                    self.shared.handles.store.compare_copies(CompareCopies(others));
                }
            }
            Response::Set { stored, .. } => self.stored += usize::from(stored),
            _ => {}
        }
    }

    fn failure(&mut self, _: Peer, why: Failed, _: Instant) {
        self.awaited -= 1;
        self.silent |= why != Failed::Unsent;
    }

    fn finish(self, end: End) {
        self.shared.handles.handoff.pushed(PushEnded {
            to: self.to.id,
            copies: self.copies,
            stored: self.stored,
            silent: end == End::Complete && self.silent && !self.answered,
        });
    }
}
