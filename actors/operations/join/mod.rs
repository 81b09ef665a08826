//! One bootstrap. It tries its contacts independently of each other: each is resolved once and pinged, and the first answer
//! decides. Then it has the own id looked up, so that the neighbourhood gets to know this node, and the buckets filled. It
//! goes on until each contact has answered or failed.

pub(crate) mod resolver;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::protocol::peer::Peer;
use tokio::sync::oneshot;

use self::resolver::{addresses_of, is_at};
use super::super::events::{Event, EventKind};
use super::super::join_state::Attempt;
use super::super::messages::{Answer, Answered, Failed, LookupKey, RefreshBuckets, StartLookup};
use super::super::outcome::{BootstrapOutcome, ContactFailure, Error, FailedContact, Pong};
use super::super::shared::Shared;
use super::operation::{End, Operation, Step};

/// A bootstrap under way.
pub(crate) struct Join {
    shared: Rc<Shared>,
    contacts: Vec<Contact>,
    /// The contacts whose names are to be resolved yet.
    unresolved: VecDeque<usize>,
    /// The addresses that are to be asked yet.
    unasked: VecDeque<SocketAddr>,
    /// The addresses that were asked, or are about to be.
    asked: BTreeMap<SocketAddr, Asked>,
    answered: Vec<Peer>,
    /// The first answer.
    first: Option<Pong>,
    stage: Stage,
    /// When the queries count as lost, in the case that their end gets lost.
    give_up: Option<Instant>,
    /// `None` once the outcome has been reported.
    aim: Option<Aim>,
    /// `None` where only a pong is wanted.
    attempt: Option<Attempt>,
}

/// How far a bootstrap is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No contact has answered.
    Trying,
    /// The own id is being looked up.
    LookingUp,
    /// The outcome has been reported. `late`: a contact has answered since then, so the lookup did not start from it.
    Reported { late: bool },
}

/// What the contacts are asked for.
pub(crate) enum Aim {
    /// To become part of their network. A client asks its contacts and no more: no peer needs to know it.
    Join(Option<Answer<BootstrapOutcome>>),
    /// To see whether they are there.
    Ping(Answer<Pong>),
}

/// A contact and how far it is.
#[derive(Debug)]
struct Contact {
    /// As it was given.
    name: String,
    /// The addresses that it stands for, at least one, all of which were asked; or why none can be. `None` while its name is being
    /// resolved.
    found: Option<Result<Vec<SocketAddr>, ContactFailure>>,
}

/// What became of an address that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Waiting,
    Answered,
    Failed(ContactFailure),
}

impl Contact {
    fn addresses(&self) -> &[SocketAddr] {
        self.found.as_ref().and_then(|found| found.as_deref().ok()).unwrap_or_default()
    }

    /// Whether nothing more is to come of it.
    fn is_over(&self, asked: &BTreeMap<SocketAddr, Asked>) -> bool {
        let waits = self.addresses().iter().any(|addr| asked.get(addr) == Some(&Asked::Waiting));
        !waits && self.found.is_some()
    }

    /// Whether an address of it has answered.
    fn has_answered(&self, asked: &BTreeMap<SocketAddr, Asked>) -> bool {
        self.addresses().iter().any(|addr| asked.get(addr) == Some(&Asked::Answered))
    }

    /// Why it failed, if it has: the reason of the address that says most.
    fn failure(&self, asked: &BTreeMap<SocketAddr, Asked>) -> Option<FailedContact> {
        if !self.is_over(asked) || self.has_answered(asked) {
            return None;
        }
        let reason = match &self.found {
            Some(Err(reason)) => reason.clone(),
            _ => {
                let failures = self.addresses().iter().filter_map(|addr| match asked.get(addr) {
                    Some(Asked::Failed(reason)) => Some(reason),
                    _ => None,
                });
                failures.min_by_key(|reason| matches!(reason, ContactFailure::Silent { .. }))?.clone()
            }
        };
        Some(FailedContact { contact: self.name.clone(), addresses: self.addresses().to_vec(), reason })
    }
}

impl Join {
    /// A bootstrap through the contacts of these `names`. `attempt` is reported to; `None` for a ping.
    pub(crate) fn new(shared: &Rc<Shared>, names: Vec<String>, aim: Aim, attempt: Option<Attempt>) -> Self {
        let mut contacts: Vec<Contact> = Vec::new();
        for name in names {
            if contacts.iter().all(|contact| contact.name != name) {
                contacts.push(Contact { name, found: None });
            }
        }
        Self {
            shared: shared.clone(),
            unresolved: (0..contacts.len()).collect(),
            unasked: VecDeque::new(),
            contacts,
            asked: BTreeMap::new(),
            answered: Vec::new(),
            first: None,
            stage: Stage::Trying,
            give_up: None,
            aim: Some(aim),
            attempt,
        }
    }

    /// Has the name of one contact resolved.
    fn resolve(&self, contact: usize) -> Step<Self> {
        let (transport, resolver) = (self.shared.transport.clone(), self.shared.resolver.clone());
        let addresses = addresses_of(self.contacts[contact].name.clone(), transport, resolver);
        Step::after(addresses, move |join: &mut Self, found, _| join.resolved(contact, found))
    }

    /// The name of one contact has been resolved, or stands for nothing that can be asked.
    fn resolved(&mut self, contact: usize, found: Result<Vec<SocketAddr>, ContactFailure>) {
        for addr in found.iter().flatten() {
            // An address that two contacts stand for is asked once.
            if let Entry::Vacant(unasked) = self.asked.entry(*addr) {
                unasked.insert(Asked::Waiting);
                self.unasked.push_back(*addr);
            }
        }
        self.contacts[contact].found = Some(found);
    }

    fn ask(&mut self, to: SocketAddr, now: Instant) -> Step<Self> {
        self.shared.unreadable.forget(&to);
        self.give_up = Some(now + self.shared.config.lookup.query_timeout * 2);
        Step::Query(to, Request::Ping)
    }

    /// The queries that have not ended by now have been lost.
    fn give_up(&mut self) {
        self.give_up = None;
        let waiting = self.asked.iter().filter(|(_, asked)| **asked == Asked::Waiting);
        for addr in waiting.map(|(addr, _)| *addr).collect::<Vec<_>>() {
            self.ended(&addr, Err(self.silence(&addr)));
        }
    }

    /// Whether each contact has answered or failed.
    fn is_over(&self) -> bool {
        self.contacts.iter().all(|contact| contact.is_over(&self.asked))
    }

    /// Looks up the own id, and has the buckets filled.
    fn look_up(&mut self) -> Step<Self> {
        self.stage = Stage::LookingUp;
        let (done, looked_up) = oneshot::channel();
        self.shared.handles.lookups.start(StartLookup::foreground(LookupKey::Nodes(self.shared.id), done));
        Step::after(looked_up, |join: &mut Self, _, _| {
            join.shared.handles.table.refresh(RefreshBuckets { all: true });
            join.answer_caller();
        })
    }

    /// Reports the outcome to the caller, which may have gone.
    fn answer_caller(&mut self) {
        self.stage = Stage::Reported { late: false };
        match self.aim.take() {
            Some(Aim::Join(Some(answer))) => {
                let _ = answer.send(Ok(self.outcome()));
            }
            Some(Aim::Ping(answer)) => {
                let _ = answer.send(self.pong());
            }
            Some(Aim::Join(None)) | None => {}
        }
    }

    fn report(&mut self) {
        let outcome = self.outcome();
        if let Some(attempt) = &mut self.attempt {
            attempt.report(outcome);
        }
    }

    /// What no answer from `addr` within its time means.
    fn silence(&self, addr: &SocketAddr) -> ContactFailure {
        match self.shared.unreadable.of(addr) {
            Some(wire) => ContactFailure::OtherWire { wire },
            None => ContactFailure::Silent { within: self.shared.config.lookup.query_timeout },
        }
    }

    fn outcome(&self) -> BootstrapOutcome {
        let (mut failed, mut pending) = (Vec::new(), Vec::new());
        for contact in &self.contacts {
            if !contact.is_over(&self.asked) && !contact.has_answered(&self.asked) {
                pending.push(contact.name.clone());
            }
            failed.extend(contact.failure(&self.asked));
        }
        BootstrapOutcome { answered: self.answered.clone(), failed, pending }
    }

    fn pong(&self) -> Result<Pong, Error> {
        if let Some(pong) = &self.first {
            return Ok(pong.clone());
        }
        let failed = self.contacts.iter().find_map(|contact| contact.failure(&self.asked)).ok_or(Error::Interrupted)?;
        Err(match (&failed.reason, failed.addresses.first()) {
            (ContactFailure::Silent { within }, Some(addr)) => Error::Silent { addr: *addr, within: *within },
            (ContactFailure::Unresolved { reason }, _) => {
                Error::Resolve { addr: failed.contact, reason: reason.clone() }
            }
            _ => Error::Contact(Box::new(failed)),
        })
    }

    /// The query to `addr` has ended.
    fn ended(&mut self, addr: &SocketAddr, end: Result<Pong, ContactFailure>) {
        let Some(asked) = self.asked.get_mut(addr).filter(|asked| **asked == Asked::Waiting) else { return };
        match end {
            Ok(pong) if pong.peer.id == self.shared.id => {
                let itself = is_at(addr, self.shared.addr);
                let failure =
                    if itself { ContactFailure::Itself } else { ContactFailure::Copied { id: self.shared.id } };
                if !itself {
                    tracing::error!(%addr, "{failure}");
                }
                *asked = Asked::Failed(failure);
            }
            Ok(pong) => {
                *asked = Asked::Answered;
                self.answered.push(pong.peer);
                self.first.get_or_insert(pong);
                if let Stage::Reported { late } = &mut self.stage {
                    *late = true;
                }
            }
            Err(failure) => *asked = Asked::Failed(failure),
        }
    }
}

impl Operation for Join {
    const NAME: &'static str = "bootstrap";
    type Target = SocketAddr;

    fn step(&mut self, now: Instant) -> Step<Self> {
        if let Some(contact) = self.unresolved.pop_front() {
            return self.resolve(contact);
        }
        if let Some(addr) = self.unasked.pop_front() {
            return self.ask(addr, now);
        }
        if self.give_up.is_some_and(|at| at <= now) {
            self.give_up();
        }
        let over = self.is_over();
        // The outcome is reported with the first answer, or once there can be none.
        if self.stage == Stage::Trying && (self.first.is_some() || over) {
            if !matches!(self.aim, Some(Aim::Join(_))) {
                self.answer_caller();
                return Step::Finished;
            }
            self.report();
            self.shared.events.emit(EventKind::Joined, || Event::Joined(self.outcome()));
            if !self.shared.client && self.first.is_some() {
                return self.look_up();
            }
            self.answer_caller();
        }
        match self.stage {
            Stage::Reported { late: true } if over => self.look_up(),
            Stage::Reported { .. } if over => Step::Finished,
            Stage::Trying | Stage::LookingUp | Stage::Reported { .. } => Step::Wait { until: self.give_up },
        }
    }

    fn answer(&mut self, from: SocketAddr, answer: Answered, _: Instant) {
        self.ended(&from, Ok(Pong { peer: answer.peer, rtt: answer.rtt }));
    }

    fn failure(&mut self, from: SocketAddr, why: Failed, _: Instant) {
        let failure = match why {
            Failed::Silent => self.silence(&from),
            Failed::WrongId { .. } | Failed::NoId => ContactFailure::NoNode,
            Failed::Unsent => ContactFailure::NotAsked,
        };
        self.ended(&from, Err(failure));
    }

    fn finish(mut self, end: End) {
        if end == End::Complete {
            self.report();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_contact_fails_with_its_last_address_and_tells_what_says_most() {
        let addresses: [SocketAddr; 2] = ["127.0.0.1:1", "127.0.0.1:2"].map(|addr| addr.parse().unwrap());
        let contact = Contact { name: "both:1".into(), found: Some(Ok(addresses.to_vec())) };
        let silent = ContactFailure::Silent { within: Duration::from_secs(2) };
        let mut asked = BTreeMap::from([(addresses[0], Asked::Failed(silent)), (addresses[1], Asked::Waiting)]);
        assert!(!contact.is_over(&asked) && contact.failure(&asked).is_none());
        asked.insert(addresses[1], Asked::Failed(ContactFailure::OtherWire { wire: None }));
        let failed = contact.failure(&asked).unwrap();
        assert_eq!((failed.reason, failed.addresses), (ContactFailure::OtherWire { wire: None }, addresses.to_vec()));
        asked.insert(addresses[1], Asked::Answered);
        assert!(contact.is_over(&asked) && contact.failure(&asked).is_none());
    }
}
