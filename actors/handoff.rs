//! The handoff: it brings copies to peers that should hold them, to new ones, to neighbours with which this node reconciles, to others
//! by restores and, when this node stops, to the remaining peers. The protocol decides on recipients, rates and times; the value store
//! owns the values.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::{AsyncContext, Context, Supervised};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::transfer::{Neighbour, NewPeers, QueuedCopy, Queues, ShutdownHandoff};

use super::clock::{self, Alarmed, timed_actor};
use super::counters::Counter;
use super::handling::Receive;
use super::messages::{
    Answer, Asker, CopiesLacking, DescribeUpkeep, ExchangeBegun, ExchangeEnded, Failed, FindNeighbours, HandoffCause,
    Late, Leave, PeerEntered, PushEnded, QueryEvent, QueryResult, Question, RecipientSlow, SendQuery, TransferEnded,
    ValuesSelected,
};
use super::operations::push::Push;
use super::operations::reconcile::Reconcile;
use super::operations::runner::Runner;
use super::operations::transfer::Transfer;
use super::shared::Shared;
use super::upkeep::{Upkeep, UpkeepSnapshot};

/// The actor that transfers stored values. A client is no peer's neighbour, and transfers nothing.
pub struct Handoff {
    shared: Rc<Shared>,
    new_peers: NewPeers,
    queues: Queues,
    upkeep: Upkeep,
    leaving: Option<Leaving>,
}

/// The node is about to stop.
struct Leaving {
    until: Instant,
    /// `None` until the value store has selected the copies.
    shutdown: Option<ShutdownHandoff>,
    answers: Vec<Answer<()>>,
}

impl Handoff {
    pub(crate) fn new(shared: &Rc<Shared>) -> Self {
        let (new_peers, queues, upkeep) = Self::begin(shared);
        Self { shared: shared.clone(), new_peers, queues, upkeep, leaving: None }
    }

    fn begin(shared: &Shared) -> (NewPeers, Queues, Upkeep) {
        let config = &shared.config;
        let queues = Queues::new(config, shared.codec.entries_per_datagram());
        (NewPeers::new(config), queues, Upkeep::new(config.values.restore_interval, shared.entropy(7)))
    }

    /// Queues `copies` for `to`.
    fn queue(&mut self, to: Neighbour, copies: Vec<QueuedCopy>, now: Instant) {
        if !self.queues.push(to, copies, now) {
            self.turn_away(&to, now);
        }
    }

    /// Begins the exchanges that may begin now.
    fn exchange(&mut self, now: Instant) {
        if self.leaving.is_some() {
            return;
        }
        while let Some((partner, cells)) = self.upkeep.next(now) {
            self.shared.counters.count(Counter::Exchanges);
            Runner::run(Reconcile::new(&self.shared, partner, cells, now), &self.shared);
        }
    }

    /// Counts a peer beyond the bound: it gets its copies by the next exchange or restore.
    fn turn_away(&self, new_peer: &Neighbour, now: Instant) {
        let addr = new_peer.peer.addr;
        self.shared.counters.turned_away(Counter::HandoffRefused, addr, &"too many new peers at once", now);
    }

    /// Pings `peer`, to see whether it is there.
    fn ping(&self, peer: Peer, ctx: &mut Context<Self>) {
        let asker = Asker::new(ctx.address().recipient());
        let question = Question::new(peer.addr, Some(peer.id), Some(asker));
        self.shared.handles.queries.send(SendQuery { question, request: Request::Ping });
    }

    fn shutdown(&mut self) -> Option<&mut ShutdownHandoff> {
        self.leaving.as_mut()?.shutdown.as_mut()
    }

    /// Begins the transfers that may begin now.
    fn go_on(&mut self, now: Instant) {
        if let Some(selection) = self.new_peers.selection(self.queues.recipients(), now) {
            self.shared.handles.table.find_neighbours(FindNeighbours(HandoffCause::NewPeers(selection)));
        }
        let transfer = |key: Arc<str>, to: &[Peer], new_peer: Option<NodeId>| {
            Runner::run(Transfer::new(&self.shared, key, to, new_peer), &self.shared);
        };
        while let Some((to, copies)) = self.queues.next(now) {
            let mut keys = copies.into_iter().map(|copy| copy.key);
            if to.reconciles() {
                Runner::run(Push::new(&self.shared, keys.collect(), to.peer), &self.shared);
            } else if let Some(key) = keys.next() {
                transfer(key, &[to.peer], Some(to.peer.id));
            }
        }
        let Some(Leaving { until, shutdown, answers }) = &mut self.leaving else { return };
        if let Some(shutdown) = shutdown {
            while let Some((key, recipients)) = shutdown.next(now) {
                transfer(key, &recipients, None);
            }
        }
        if *until <= now || shutdown.as_ref().is_some_and(ShutdownHandoff::is_over) {
            for answer in answers.drain(..) {
                // The caller may have gone.
                let _ = answer.send(Ok(()));
            }
        }
    }
}

timed_actor!(Handoff);

impl Supervised for Handoff {
    fn restarting(&mut self, _: &mut Self::Context) {
        // A caller that waits for the end of the handoff sees its answer dropped. New peers get their copies by restores.
        self.leaving = None;
        (self.new_peers, self.queues, self.upkeep) = Self::begin(&self.shared);
    }
}

impl Alarmed for Handoff {
    fn next_alarm(&self) -> Option<Instant> {
        let waiting = self.leaving.as_ref().filter(|leaving| !leaving.answers.is_empty());
        let shutdown = waiting.and_then(|leaving| leaving.shutdown.as_ref()).and_then(ShutdownHandoff::next_wakeup);
        let until = waiting.map(|leaving| leaving.until);
        [self.new_peers.next_wakeup(), self.queues.next_wakeup(), shutdown, until].into_iter().flatten().min()
    }

    fn alarm(&mut self, now: Instant, _: &mut Self::Context) {
        self.go_on(now);
    }
}

impl Receive<PeerEntered> for Handoff {
    fn receive(&mut self, PeerEntered(new_peer): PeerEntered, _: &mut Self::Context) {
        if self.shared.client || self.leaving.is_some() {
            return;
        }
        let now = clock::now();
        // A peer that comes back has lost its copies, or has moved.
        self.queues.left(&new_peer.peer.id);
        self.upkeep.entered(&new_peer.peer.id, now);
        if !self.new_peers.entered(new_peer, now) {
            self.turn_away(&new_peer, now);
        }
    }
}

impl Receive<Leave> for Handoff {
    fn receive(&mut self, leave: Leave, _: &mut Self::Context) {
        if self.shared.client || self.shared.config.values.handoff_time.is_zero() {
            // The caller may have gone.
            return drop(leave.answer.send(Ok(())));
        }
        let now = clock::now();
        self.new_peers.clear();
        self.queues.clear();
        if let Some(leaving) = &mut self.leaving {
            leaving.answers.push(leave.answer);
            return self.go_on(now);
        }
        let until = now + self.shared.config.values.handoff_time;
        self.leaving = Some(Leaving { until, shutdown: None, answers: vec![leave.answer] });
        self.shared.handles.table.find_neighbours(FindNeighbours(HandoffCause::Leaving));
    }
}

impl Receive<ValuesSelected> for Handoff {
    fn receive(&mut self, selected: ValuesSelected, ctx: &mut Self::Context) {
        let now = clock::now();
        match (selected, &mut self.leaving) {
            (ValuesSelected::NewPeers(queues), None) => {
                queues.into_iter().for_each(|(to, copies)| self.queue(to, copies, now));
            }
            (ValuesSelected::Upkeep { restores, neighbours, shared }, None) => {
                restores.into_iter().for_each(|(to, copies)| self.queue(to, copies, now));
                self.upkeep.update(&neighbours, shared, now);
                self.exchange(now);
            }
            (ValuesSelected::Leaving { copies, neighbours }, Some(leaving)) => {
                let mut shutdown = ShutdownHandoff::new(copies, neighbours, &self.shared.config, now);
                let to_ping = shutdown.liveness_check();
                leaving.shutdown = Some(shutdown);
                to_ping.into_iter().for_each(|peer| self.ping(peer, ctx));
            }
            _ => {}
        }
        self.go_on(now);
    }
}

impl Receive<RecipientSlow> for Handoff {
    fn receive(&mut self, RecipientSlow(recipient): RecipientSlow, _: &mut Self::Context) {
        if let Some(shutdown) = self.shutdown() {
            shutdown.slow(&recipient);
        }
    }
}

impl Receive<QueryEvent> for Handoff {
    /// The result of a ping of the liveness check.
    fn receive(&mut self, event: QueryEvent, ctx: &mut Self::Context) {
        if let (Some(shutdown), Some(id)) = (self.shutdown(), event.id) {
            match event.result {
                QueryResult::Answered(_) => shutdown.answered(&id),
                QueryResult::Late(Late::Deferred | Late::Slow) | QueryResult::Failed(Failed::Silent) => {
                    if let Some(peer) = shutdown.late(&id) {
                        self.ping(peer, ctx);
                    }
                }
                QueryResult::Failed(_) => shutdown.slow(&id),
                QueryResult::Late(_) => {}
            }
        }
        self.go_on(clock::now());
    }
}

impl Receive<TransferEnded> for Handoff {
    fn receive(&mut self, ended: TransferEnded, _: &mut Self::Context) {
        if ended.stored {
            self.shared.counters.count(Counter::Transferred);
        }
        match ended.new_peer {
            Some(recipient) => self.queues.ended(&recipient, 1, !ended.silent),
            None => {
                if let Some(shutdown) = self.shutdown() {
                    shutdown.ended();
                }
            }
        }
        self.go_on(clock::now());
    }
}

impl Receive<PushEnded> for Handoff {
    fn receive(&mut self, ended: PushEnded, _: &mut Self::Context) {
        self.shared.counters.add(Counter::Transferred, ended.stored as u64);
        self.queues.ended(&ended.to, ended.copies, !ended.silent);
        self.go_on(clock::now());
    }
}

impl Receive<CopiesLacking> for Handoff {
    fn receive(&mut self, CopiesLacking { to, copies }: CopiesLacking, _: &mut Self::Context) {
        if self.leaving.is_none() {
            let now = clock::now();
            self.queue(to, copies, now);
            self.go_on(now);
        }
    }
}

impl Receive<ExchangeBegun> for Handoff {
    fn receive(&mut self, ExchangeBegun(partner): ExchangeBegun, _: &mut Self::Context) {
        self.upkeep.was_begun(&partner, clock::now());
    }
}

impl Receive<ExchangeEnded> for Handoff {
    fn receive(&mut self, ExchangeEnded { partner, mut outcome }: ExchangeEnded, _: &mut Self::Context) {
        let (now, counters) = (clock::now(), &self.shared.counters);
        counters.add(Counter::ValuesChecked, outcome.settled as u64);
        counters.add(Counter::ValuesWanted, outcome.wanted_here as u64);
        if !outcome.complete {
            counters.count(Counter::ExchangesIncomplete);
        }
        self.upkeep.ended(&partner.peer.id, &mut outcome, now);
        if self.leaving.is_none() {
            self.queue(partner, outcome.lacking_there, now);
        }
        self.exchange(now);
        self.go_on(now);
    }
}

impl Receive<DescribeUpkeep> for Handoff {
    fn receive(&mut self, _: DescribeUpkeep, _: &mut Self::Context) -> UpkeepSnapshot {
        self.upkeep.snapshot(self.queues.len(), clock::now())
    }
}
