//! The handoff: it transfers to newcomers the values that they should hold, and to the peers that stay what this node holds when
//! it leaves. Which peer gets what, and how fast, is the protocol's decision; the values stay with their owner.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, AsyncContext, Context, Supervised};
use kademlia_dynamic::protocol::hand_off::{Farewell, Neighbour, Newcomers};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::protocol::peer::Peer;

use super::clock::{self, Alarm, Alarmed};
use super::counters::Counter;
use super::handles::Handles;
use super::handling::Receive;
use super::messages::{
    Answer, Asker, Failed, FindNeighbours, HandoffCause, HandoffHandle, Late, Leave, PeerEntered, QueriesHandle,
    QueryEvent, QueryResult, RecipientSlow, SendQuery, StoreHandle, TableHandle, TransferEnded, ValuesSelected,
};
use super::operations::runner::Runner;
use super::operations::transfer::Transfer;
use super::shared::Shared;

/// The actor that transfers stored values. A client is no peer's neighbour, and transfers nothing.
pub struct Handoff {
    shared: Rc<Shared>,
    newcomers: Newcomers,
    leaving: Option<Leaving>,
    /// This actor.
    handoff: HandoffHandle,
    queries: QueriesHandle,
    table: TableHandle,
    store: StoreHandle,
}

/// The node is about to stop.
struct Leaving {
    until: Instant,
    /// `None` until it is known what is stored.
    farewell: Option<Farewell>,
    answers: Vec<Answer<()>>,
}

impl Handoff {
    pub(crate) fn new(shared: &Rc<Shared>, handles: &Handles) -> Self {
        Self {
            shared: shared.clone(),
            newcomers: Newcomers::new(&shared.config),
            leaving: None,
            handoff: handles.handoff.clone(),
            queries: handles.queries.clone(),
            table: handles.table.clone(),
            store: handles.store.clone(),
        }
    }

    /// More newcomers came than are served at once: this one gets what it lacks by restores.
    fn turn_away(&self, newcomer: &Neighbour, now: Instant) {
        let addr = newcomer.peer.addr;
        self.shared.counters.turned_away(Counter::HandOffRefused, addr, &"too many newcomers at once", now);
    }

    /// Pings `peer`, to see whether it is there.
    fn ping(&self, peer: Peer, ctx: &mut Context<Self>) {
        let asker = Some(Asker::new(ctx.address().recipient()));
        let request = Request::Ping;
        self.queries.send(SendQuery { to: peer.addr, id: Some(peer.id), request, asker });
    }

    fn farewell(&mut self) -> Option<&mut Farewell> {
        self.leaving.as_mut()?.farewell.as_mut()
    }

    /// Begins the transfers that may begin now.
    fn go_on(&mut self, now: Instant) {
        if let Some(look) = self.newcomers.look(now) {
            self.table.find_neighbours(FindNeighbours(HandoffCause::Newcomers(look)));
        }
        let transfer = |key: Arc<str>, to: &[Peer], newcomer: Option<NodeId>| {
            let (store, handoff) = (self.store.clone(), self.handoff.clone());
            let transfer = Transfer::new(&self.shared.config, key, to, newcomer, store, handoff);
            Runner::run(transfer, &self.shared.lifetime, &self.queries);
        };
        while let Some((to, gift)) = self.newcomers.next(now) {
            transfer(gift.key, &[to.peer], Some(to.peer.id));
        }
        let Some(Leaving { until, farewell, answers }) = &mut self.leaving else { return };
        if let Some(farewell) = farewell {
            while let Some((key, recipients)) = farewell.next(now) {
                transfer(key, &recipients, None);
            }
        }
        if *until <= now || farewell.as_ref().is_some_and(Farewell::is_over) {
            for answer in answers.drain(..) {
                // The caller may have gone.
                let _ = answer.send(Ok(()));
            }
        }
    }
}

impl Actor for Handoff {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
    }
}

impl Supervised for Handoff {
    fn restarting(&mut self, _: &mut Self::Context) {
        // A caller that waits for the end of the handoff sees its answer dropped. Newcomers get what they lack by restores.
        self.leaving = None;
        self.newcomers = Newcomers::new(&self.shared.config);
    }
}

impl Alarmed for Handoff {
    fn next_alarm(&self) -> Option<Instant> {
        let waiting = self.leaving.as_ref().filter(|leaving| !leaving.answers.is_empty());
        let farewell = waiting.and_then(|leaving| leaving.farewell.as_ref()).and_then(Farewell::next_wakeup);
        let until = waiting.map(|leaving| leaving.until);
        [self.newcomers.next_wakeup(), farewell, until].into_iter().flatten().min()
    }

    fn alarm(&mut self, now: Instant, _: &mut Self::Context) {
        self.go_on(now);
    }
}

impl Receive<PeerEntered> for Handoff {
    fn receive(&mut self, PeerEntered(newcomer): PeerEntered, _: &mut Self::Context) {
        if self.shared.client || self.leaving.is_some() {
            return;
        }
        let now = clock::now();
        if !self.newcomers.entered(newcomer, now) {
            self.turn_away(&newcomer, now);
        }
    }
}

impl Receive<Leave> for Handoff {
    fn receive(&mut self, leave: Leave, _: &mut Self::Context) {
        if self.shared.client || self.shared.config.hand_off_time.is_zero() {
            // The caller may have gone.
            return drop(leave.answer.send(Ok(())));
        }
        let now = clock::now();
        self.newcomers.clear();
        if let Some(leaving) = &mut self.leaving {
            leaving.answers.push(leave.answer);
            return self.go_on(now);
        }
        let until = now + self.shared.config.hand_off_time;
        self.leaving = Some(Leaving { until, farewell: None, answers: vec![leave.answer] });
        self.table.find_neighbours(FindNeighbours(HandoffCause::Leaving));
    }
}

impl Receive<ValuesSelected> for Handoff {
    fn receive(&mut self, selected: ValuesSelected, ctx: &mut Self::Context) {
        let now = clock::now();
        match (selected, &mut self.leaving) {
            (ValuesSelected::ForNewcomers(gifts), None) => {
                for (newcomer, gifts) in gifts {
                    if !self.newcomers.serve(newcomer, gifts, now) {
                        self.turn_away(&newcomer, now);
                    }
                }
            }
            (ValuesSelected::ForLeaving { values, neighbours }, Some(leaving)) => {
                let mut farewell = Farewell::new(values, neighbours, &self.shared.config, now);
                let to_ping = farewell.roll_call();
                leaving.farewell = Some(farewell);
                to_ping.into_iter().for_each(|peer| self.ping(peer, ctx));
            }
            _ => {}
        }
        self.go_on(now);
    }
}

impl Receive<RecipientSlow> for Handoff {
    fn receive(&mut self, RecipientSlow(recipient): RecipientSlow, _: &mut Self::Context) {
        if let Some(farewell) = self.farewell() {
            farewell.is_slow(&recipient);
        }
    }
}

impl Receive<QueryEvent> for Handoff {
    /// What became of a ping of the liveness check.
    fn receive(&mut self, event: QueryEvent, ctx: &mut Self::Context) {
        if let (Some(farewell), Some(called)) = (self.farewell(), event.id) {
            match event.result {
                QueryResult::Answered(_) => farewell.is_there(&called),
                QueryResult::Late(Late::Deferred | Late::Slow) | QueryResult::Failed(Failed::Silent) => {
                    if let Some(peer) = farewell.is_late(&called) {
                        self.ping(peer, ctx);
                    }
                }
                QueryResult::Failed(_) => farewell.is_slow(&called),
                QueryResult::Late(_) => {}
            }
        }
        self.go_on(clock::now());
    }
}

impl Receive<TransferEnded> for Handoff {
    fn receive(&mut self, ended: TransferEnded, _: &mut Self::Context) {
        if ended.stored {
            self.shared.counters.count(Counter::HandedOver);
        }
        match ended.newcomer {
            Some(newcomer) => self.newcomers.ended(&newcomer, !ended.silent),
            None => {
                if let Some(farewell) = self.farewell() {
                    farewell.ended();
                }
            }
        }
        self.go_on(clock::now());
    }
}
