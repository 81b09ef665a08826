//! The hand-off: it gives newcomers what they should hold, and those who stay what this node holds when it leaves. Who gets
//! what, and how fast, is the protocol's decision; the values stay with their owner.

use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, AsyncContext, Context, Recipient, Supervised};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::hand_off::{Farewell, Newcomers};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::protocol::peer::Peer;

use super::clock::{self, Alarm, Alarmed};
use super::counters::{Counter, Counters};
use super::handling::Handler;
use super::messages::{
    Answer, Asker, Failed, FindNeighbours, GiveValue, HandOffCause, HandOverEnded, HeirSlow, Late, Leave, PeerEntered,
    QueryEvent, QueryResult, SendQuery, ValuesSelected,
};
use super::operations::runner::Runner;
use super::operations::transfer::{Transfer, TransferLinks};
use super::supervision::Lifetime;

/// The actor that hands over.
pub struct HandOff {
    config: Config,
    /// A client is nobody's neighbour: it gives nothing and takes no leave.
    client: bool,
    newcomers: Newcomers,
    leaving: Option<Leaving>,
    lifetime: Lifetime,
    counters: Arc<Counters>,
    links: HandOffLinks,
}

/// Whom the hand-off tells.
pub(crate) struct HandOffLinks {
    pub(crate) query: Recipient<SendQuery>,
    pub(crate) find: Recipient<FindNeighbours>,
    pub(crate) give: Recipient<GiveValue>,
}

/// The node is about to stop.
struct Leaving {
    until: Instant,
    /// `None` until it is known what is held.
    farewell: Option<Farewell>,
    answers: Vec<Answer<()>>,
}

impl HandOff {
    pub(crate) fn new(
        config: Config,
        client: bool,
        lifetime: Lifetime,
        counters: Arc<Counters>,
        links: HandOffLinks,
    ) -> Self {
        let newcomers = Newcomers::new(&config);
        Self { config, client, newcomers, leaving: None, lifetime, counters, links }
    }

    /// Asks whether `peer` is there.
    fn call(&self, peer: Peer, ctx: &mut Context<Self>) {
        let asker = Some(Asker::new(ctx.address().recipient()));
        let request = Request::Ping;
        self.links.query.do_send(SendQuery { to: peer.addr, id: Some(peer.id), request, asker });
    }

    fn farewell(&mut self) -> Option<&mut Farewell> {
        self.leaving.as_mut()?.farewell.as_mut()
    }

    /// Begins whatever may begin now.
    fn go_on(&mut self, now: Instant, ctx: &mut Context<Self>) {
        if let Some(look) = self.newcomers.look(now) {
            self.links.find.do_send(FindNeighbours(HandOffCause::Newcomers(look)));
        }
        let transfer = |key: Arc<str>, to: &[Peer], newcomer: Option<NodeId>| {
            let links = TransferLinks {
                give: self.links.give.clone(),
                slow: ctx.address().recipient(),
                ended: ctx.address().recipient(),
            };
            let transfer = Transfer::new(&self.config, key, to, newcomer, links);
            self.lifetime.run(Runner::new(transfer, self.links.query.clone()));
        };
        while let Some((to, gift)) = self.newcomers.next(now) {
            transfer(gift.key, &[to.peer], Some(to.peer.id));
        }
        let Some(Leaving { until, farewell, answers }) = &mut self.leaving else { return };
        if let Some(farewell) = farewell {
            while let Some((key, heirs)) = farewell.next(now) {
                transfer(key, &heirs, None);
            }
        }
        if *until <= now || farewell.as_ref().is_some_and(Farewell::is_over) {
            for answer in answers.drain(..) {
                // Whoever asked may have gone.
                let _ = answer.send(Ok(()));
            }
        }
    }
}

impl Actor for HandOff {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
    }
}

impl Supervised for HandOff {
    fn restarting(&mut self, _: &mut Self::Context) {
        // Whoever waits for the leave-taking sees its answer dropped. Newcomers get what they lack by restores.
        self.leaving = None;
        self.newcomers = Newcomers::new(&self.config);
    }
}

impl Alarmed for HandOff {
    fn next_alarm(&self) -> Option<Instant> {
        let waiting = self.leaving.as_ref().filter(|leaving| !leaving.answers.is_empty());
        let farewell = waiting.and_then(|leaving| leaving.farewell.as_ref()).and_then(Farewell::next_wakeup);
        let until = waiting.map(|leaving| leaving.until);
        [self.newcomers.next_wakeup(), farewell, until].into_iter().flatten().min()
    }

    fn alarm(&mut self, now: Instant, ctx: &mut Self::Context) {
        self.go_on(now, ctx);
    }
}

impl Handler<PeerEntered> for HandOff {
    type Result = ();

    fn handle(&mut self, PeerEntered(newcomer): PeerEntered, _: &mut Self::Context) {
        if self.client || self.leaving.is_some() {
            return;
        }
        let now = clock::now();
        if !self.newcomers.entered(newcomer, now) {
            let addr = newcomer.peer.addr;
            self.counters.turned_away(Counter::HandOffRefused, addr, &"too many newcomers at once", now);
        }
    }
}

impl Handler<Leave> for HandOff {
    type Result = ();

    fn handle(&mut self, leave: Leave, ctx: &mut Self::Context) {
        if self.client || self.config.hand_off_time.is_zero() {
            // Whoever asked may have gone.
            return drop(leave.answer.send(Ok(())));
        }
        let now = clock::now();
        self.newcomers.clear();
        if let Some(leaving) = &mut self.leaving {
            leaving.answers.push(leave.answer);
            return self.go_on(now, ctx);
        }
        let until = now + self.config.hand_off_time;
        self.leaving = Some(Leaving { until, farewell: None, answers: vec![leave.answer] });
        self.links.find.do_send(FindNeighbours(HandOffCause::Leaving));
    }
}

impl Handler<ValuesSelected> for HandOff {
    type Result = ();

    fn handle(&mut self, selected: ValuesSelected, ctx: &mut Self::Context) {
        let now = clock::now();
        match (selected, &mut self.leaving) {
            (ValuesSelected::ForNewcomers(gifts), None) => {
                for (newcomer, gifts) in gifts {
                    if !self.newcomers.serve(newcomer, gifts, now) {
                        let addr = newcomer.peer.addr;
                        self.counters.turned_away(Counter::HandOffRefused, addr, &"too many newcomers at once", now);
                    }
                }
            }
            (ValuesSelected::ForFarewell { values, neighbours }, Some(leaving)) => {
                let mut farewell = Farewell::new(values, neighbours, &self.config, now);
                let called = farewell.roll_call();
                leaving.farewell = Some(farewell);
                called.into_iter().for_each(|peer| self.call(peer, ctx));
            }
            _ => {}
        }
        self.go_on(now, ctx);
    }
}

impl Handler<HeirSlow> for HandOff {
    type Result = ();

    fn handle(&mut self, HeirSlow(heir): HeirSlow, _: &mut Self::Context) {
        if let Some(farewell) = self.farewell() {
            farewell.is_slow(&heir);
        }
    }
}

impl Handler<QueryEvent> for HandOff {
    type Result = ();

    /// What became of a ping of the roll call.
    fn handle(&mut self, event: QueryEvent, ctx: &mut Self::Context) {
        if let (Some(farewell), Some(called)) = (self.farewell(), event.id) {
            match event.result {
                QueryResult::Answered(_) => farewell.is_there(&called),
                QueryResult::Late(Late::Deferred | Late::Slow) | QueryResult::Failed(Failed::Silent) => {
                    if let Some(peer) = farewell.is_late(&called) {
                        self.call(peer, ctx);
                    }
                }
                QueryResult::Failed(_) => farewell.is_slow(&called),
                QueryResult::Late(_) => {}
            }
        }
        self.go_on(clock::now(), ctx);
    }
}

impl Handler<HandOverEnded> for HandOff {
    type Result = ();

    fn handle(&mut self, ended: HandOverEnded, ctx: &mut Self::Context) {
        if ended.stored {
            self.counters.count(Counter::HandedOver);
        }
        match ended.newcomer {
            Some(newcomer) => self.newcomers.ended(&newcomer, !ended.silent),
            None => {
                if let Some(farewell) = self.farewell() {
                    farewell.ended();
                }
            }
        }
        self.go_on(clock::now(), ctx);
    }
}
