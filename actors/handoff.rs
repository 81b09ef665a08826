//! The handoff: it transfers copies to new peers that should hold them and, when this node stops, to the remaining peers. The
//! protocol decides on recipients and rates; the value store owns the values.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::{AsyncContext, Context, Supervised};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::transfer::{Neighbour, NewPeers, ShutdownHandoff};

use super::clock::{self, Alarmed, timed_actor};
use super::counters::Counter;
use super::handling::Receive;
use super::messages::{
    Answer, Asker, Failed, FindNeighbours, HandoffCause, Late, Leave, PeerEntered, QueryEvent, QueryResult,
    RecipientSlow, SendQuery, TransferEnded, ValuesSelected,
};
use super::operations::runner::Runner;
use super::operations::transfer::Transfer;
use super::shared::Shared;

/// The actor that transfers stored values. A client is no peer's neighbour, and transfers nothing.
pub struct Handoff {
    shared: Rc<Shared>,
    new_peers: NewPeers,
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
        Self { shared: shared.clone(), new_peers: NewPeers::new(&shared.config), leaving: None }
    }

    /// Counts a new peer beyond the bound: it gets its copies by restores.
    fn turn_away(&self, new_peer: &Neighbour, now: Instant) {
        let addr = new_peer.peer.addr;
        self.shared.counters.turned_away(Counter::HandoffRefused, addr, &"too many new peers at once", now);
    }

    /// Pings `peer`, to see whether it is there.
    fn ping(&self, peer: Peer, ctx: &mut Context<Self>) {
        let asker = Some(Asker::new(ctx.address().recipient()));
        let request = Request::Ping;
        self.shared.handles.queries.send(SendQuery { to: peer.addr, id: Some(peer.id), request, asker });
    }

    fn shutdown(&mut self) -> Option<&mut ShutdownHandoff> {
        self.leaving.as_mut()?.shutdown.as_mut()
    }

    /// Begins the transfers that may begin now.
    fn go_on(&mut self, now: Instant) {
        if let Some(selection) = self.new_peers.selection(now) {
            self.shared.handles.table.find_neighbours(FindNeighbours(HandoffCause::NewPeers(selection)));
        }
        let transfer = |key: Arc<str>, to: &[Peer], new_peer: Option<NodeId>| {
            Runner::run(Transfer::new(&self.shared, key, to, new_peer), &self.shared);
        };
        while let Some((to, copy)) = self.new_peers.next(now) {
            transfer(copy.key, &[to.peer], Some(to.peer.id));
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
        self.new_peers = NewPeers::new(&self.shared.config);
    }
}

impl Alarmed for Handoff {
    fn next_alarm(&self) -> Option<Instant> {
        let waiting = self.leaving.as_ref().filter(|leaving| !leaving.answers.is_empty());
        let shutdown = waiting.and_then(|leaving| leaving.shutdown.as_ref()).and_then(ShutdownHandoff::next_wakeup);
        let until = waiting.map(|leaving| leaving.until);
        [self.new_peers.next_wakeup(), shutdown, until].into_iter().flatten().min()
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
            (ValuesSelected::ForNewPeers(queues), None) => {
                for (new_peer, copies) in queues {
                    if !self.new_peers.queue(new_peer, copies, now) {
                        self.turn_away(&new_peer, now);
                    }
                }
            }
            (ValuesSelected::ForLeaving { copies, neighbours }, Some(leaving)) => {
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
            Some(new_peer) => self.new_peers.ended(&new_peer, !ended.silent),
            None => {
                if let Some(shutdown) = self.shutdown() {
                    shutdown.ended();
                }
            }
        }
        self.go_on(clock::now());
    }
}
