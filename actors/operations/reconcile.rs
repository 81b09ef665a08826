//! One exchange with a peer: it asks what the peer holds otherwise than this node, and follows the answers. What is asked and what
//! follows is decided elsewhere; the value store reads the values, and the handoff brings the peer what it lacks.

use std::rc::Rc;
use std::time::Instant;

use kademlia_dynamic::protocol::entry::ENTRY_LEN;
use kademlia_dynamic::protocol::id::{NODE_ID_BYTES, NodeId};
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::prefix::Prefix;
use kademlia_dynamic::protocol::ranges::{RangeAnswer, Ranges};
use kademlia_dynamic::protocol::reconcile::{self, Exchange, Outcome};
use kademlia_dynamic::protocol::transfer::Neighbour;
use tokio::sync::oneshot;

use super::super::messages::{Answered, CompareAnswer, ExchangeEnded, Failed, PrepareQuestion};
use super::super::shared::Shared;
use super::operation::{End, Operation, Step};

/// An exchange under way.
pub(crate) struct Reconcile {
    shared: Rc<Shared>,
    partner: Neighbour,
    exchange: Exchange,
    /// The question that is to be sent.
    question: Option<(Ranges, Vec<NodeId>)>,
    /// The answer that is to be compared.
    answers: Option<Vec<RangeAnswer>>,
}

/// How many packed bytes a question or an answer may have, so that it fits one Ethernet frame.
pub(crate) fn room(shared: &Shared) -> usize {
    ENTRY_LEN * shared.codec.entries_per_datagram()
}

impl Reconcile {
    /// An exchange with `partner` about the places with these prefixes.
    pub(crate) fn new(shared: &Rc<Shared>, partner: Neighbour, cells: Vec<Prefix>, now: Instant) -> Self {
        let exchange = Exchange::new(cells, now);
        Self { shared: shared.clone(), partner, exchange, question: None, answers: None }
    }

    fn prepare(&mut self) -> Step<Self> {
        let room = room(&self.shared);
        let wanted = self.exchange.wants(room).to_vec();
        let room = room - NODE_ID_BYTES * wanted.len();
        let (answer, prepared) = oneshot::channel();
        self.shared.handles.store.prepare_question(PrepareQuestion { open: self.exchange.open(), room, answer });
        Step::after(prepared, |operation: &mut Self, prepared, _| match prepared {
            Ok((asked, rest)) => {
                operation.question = Some((asked.ranges.clone(), wanted));
                operation.exchange.asked(asked, rest);
            }
            // The value store was restarted.
            Err(_) => operation.exchange.give_up(),
        })
    }

    fn compare(&mut self, answers: Vec<RangeAnswer>) -> Option<Step<Self>> {
        let (asked, (answer, compared)) = (self.exchange.answered()?, oneshot::channel());
        self.shared.handles.store.compare_answer(CompareAnswer { asked, answers, answer });
        Some(Step::after(compared, |operation: &mut Self, compared, _| match compared {
            Ok(compared) => operation.exchange.compared(compared),
            Err(_) => operation.exchange.give_up(),
        }))
    }
}

impl Operation for Reconcile {
    const NAME: &'static str = "exchange";
    type Target = Peer;

    fn step(&mut self, now: Instant) -> Step<Self> {
        if let Some((ranges, wanted)) = self.question.take() {
            return Step::Query(self.partner.peer, Request::Reconcile { ranges, wanted });
        }
        if let Some(step) = self.answers.take().and_then(|answers| self.compare(answers)) {
            return step;
        }
        match self.exchange.next(now) {
            reconcile::Step::Prepare => self.prepare(),
            reconcile::Step::Wait { until } => Step::Wait { until: Some(until) },
            reconcile::Step::Finished => Step::Finished,
        }
    }

    fn answer(&mut self, _: Peer, answer: Answered, _: Instant) {
        match answer.response {
            Response::Reconcile { ranges } => self.answers = Some(ranges),
            _ => self.exchange.failed(),
        }
    }

    fn failure(&mut self, _: Peer, why: Failed, _: Instant) {
        match why {
            Failed::Silent | Failed::Unsent => self.exchange.failed(),
            Failed::WrongId { .. } | Failed::NoId => self.exchange.give_up(),
        }
    }

    fn finish(self, end: End) {
        let outcome = if end == End::Complete { self.exchange.outcome() } else { Outcome::default() };
        self.shared.handles.handoff.exchanged(ExchangeEnded { partner: self.partner, outcome });
    }
}
