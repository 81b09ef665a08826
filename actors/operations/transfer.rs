//! One transfer of a value: it asks one peer after the other whether it lacks the value, and sends it to the first that does.
//! The handoff decides which peers are asked, and the value store owns the value until it is sent.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::lookup::Failure;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::placement::{self, Mode, Placement};
use tokio::sync::oneshot;

use super::super::clock;
use super::super::messages::{Answered, Failed, Late, PrepareTransfer, RecipientSlow, TransferEnded};
use super::super::shared::Shared;
use super::operation::{End, Operation, Step};

/// A transfer under way.
pub(crate) struct Transfer {
    shared: Rc<Shared>,
    key: Arc<str>,
    new_peer: Option<NodeId>,
    placement: Placement,
    /// The legacy nodes among the peers that answered.
    legacy: BTreeSet<NodeId>,
    /// The writes that the value store has prepared, and that are to be sent.
    prepared: VecDeque<(Peer, Request)>,
}

impl Transfer {
    /// The transfer of `key` to the first of `recipients` that lacks it: the `new_peer`, if there is one.
    pub(crate) fn new(shared: &Rc<Shared>, key: Arc<str>, recipients: &[Peer], new_peer: Option<NodeId>) -> Self {
        let placement = Placement::new(Mode::Transfer, recipients, &shared.config, clock::now());
        let (shared, legacy, prepared) = (shared.clone(), BTreeSet::new(), VecDeque::new());
        Self { shared, key, new_peer, placement, legacy, prepared }
    }

    /// Asks the value store for what `to` is to be sent.
    fn send(&self, to: Peer) -> Step<Self> {
        let (answer, prepared) = oneshot::channel();
        let legacy = self.legacy.contains(&to.id);
        self.shared.handles.store.prepare_transfer(PrepareTransfer { key: self.key.clone(), legacy, answer });
        Step::after(prepared, move |transfer: &mut Self, request, _| match request {
            Ok(request) => transfer.prepared.push_back((to, request)),
            // There is nothing to send, or the value store was restarted.
            Err(_) => transfer.placement.handle_failure(&to.id, Failure::Unsent),
        })
    }
}

impl Operation for Transfer {
    const NAME: &'static str = "transfer";
    type Target = Peer;

    fn step(&mut self, now: Instant) -> Step<Self> {
        if let Some((to, request)) = self.prepared.pop_front() {
            return Step::Query(to, request);
        }
        match self.placement.next(now) {
            placement::Step::Check(peer) => {
                Step::Query(peer, Request::CheckStore { key: self.key.clone(), size: None })
            }
            placement::Step::Store(to) => self.send(to),
            placement::Step::Wait { until } => Step::Wait { until: Some(until) },
            placement::Step::Finished => Step::Finished,
        }
    }

    fn answer(&mut self, from: Peer, answer: Answered, now: Instant) {
        match answer.response {
            Response::CheckStore { has_key, ttl, .. } => {
                if answer.version.is_none() {
                    self.legacy.insert(from.id);
                }
                // At the end a copy that ends before its next restore is one all the same. Others have it prolonged.
                self.placement.handle_checked(&from.id, has_key || self.new_peer.is_none() && ttl.is_some());
            }
            Response::Set { stored, .. } => self.placement.handle_stored(&from.id, stored),
            _ => self.failure(from, Failed::Silent, now),
        }
    }

    fn late(&mut self, from: Peer, how: Late) {
        match how {
            Late::Suspect => return,
            // Every tenth answer or so is slower than expected: that alone does not mean that a peer has gone.
            Late::Deferred | Late::Slow => {}
            Late::Resent => self.shared.handles.handoff.slow(RecipientSlow(from.id)),
        }
        self.placement.handle_slow(&from.id);
    }

    fn failure(&mut self, from: Peer, why: Failed, _: Instant) {
        let why = why.into();
        if why == Failure::Silent {
            self.shared.handles.handoff.slow(RecipientSlow(from.id));
        }
        self.placement.handle_failure(&from.id, why);
    }

    fn finish(self, end: End) {
        let placed = self.placement.outcome();
        let complete = end == End::Complete;
        let silent = placed.asked > 0 && placed.asked == placed.silent + placed.wrong_id;
        self.shared.handles.handoff.ended(TransferEnded {
            new_peer: self.new_peer,
            stored: complete && placed.stored > 0,
            silent: complete && silent,
        });
    }
}
