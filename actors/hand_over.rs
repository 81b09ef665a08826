//! One hand-over of a value as a short-lived actor: it asks one peer after the other who lacks it, and has the first of them
//! given it. Who is asked is decided elsewhere, and the value itself stays with its owner until it is sent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::lookup::Failure;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::placement::{Mode, Placement, Step};

use super::clock::{self, Alarm, Alarmed};
use super::messages::{GiveValue, HandOverEnded, HeirSlow, QueryEvent, QueryResult, SendQuery};

/// The actor that is one hand-over.
pub struct HandOver {
    key: Arc<str>,
    newcomer: Option<NodeId>,
    placement: Placement,
    /// Legacy nodes among those who answered.
    legacy: BTreeSet<NodeId>,
    wake: Option<Instant>,
    /// `None` once the end has been told.
    links: Option<HandOverLinks>,
}

/// Whom a hand-over tells.
#[derive(Clone)]
pub(crate) struct HandOverLinks {
    pub(crate) query: Recipient<SendQuery>,
    pub(crate) give: Recipient<GiveValue>,
    pub(crate) slow: Recipient<HeirSlow>,
    pub(crate) ended: Recipient<HandOverEnded>,
}

impl HandOver {
    /// The hand-over of `key` to the first of `heirs` that lacks it, who is the `newcomer` if there is one.
    pub(crate) fn new(
        config: &Config,
        key: Arc<str>,
        heirs: &[Peer],
        newcomer: Option<NodeId>,
        links: HandOverLinks,
    ) -> Self {
        let placement = Placement::new(Mode::HandOver, heirs, config, clock::now());
        Self { key, newcomer, placement, legacy: BTreeSet::new(), wake: None, links: Some(links) }
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        loop {
            let Some(links) = &self.links else { return };
            let asker = ctx.address().recipient();
            match self.placement.next(clock::now()) {
                Step::Check(peer) => {
                    let request = Request::CheckStore { key: self.key.clone(), size: None };
                    links.query.do_send(SendQuery { to: peer.addr, id: Some(peer.id), request, asker: Some(asker) });
                }
                Step::Store(to) => {
                    let legacy = self.legacy.contains(&to.id);
                    links.give.do_send(GiveValue { key: self.key.clone(), to, legacy, asker });
                }
                Step::Wait { until } => {
                    self.wake = Some(until);
                    return;
                }
                Step::Finished => {
                    self.finish();
                    return ctx.stop();
                }
            }
        }
    }

    fn finish(&mut self) {
        let Some(links) = self.links.take() else { return };
        let placed = self.placement.outcome();
        let silent = placed.asked > 0 && placed.asked == placed.silent + placed.wrong_id;
        links.ended.do_send(HandOverEnded { newcomer: self.newcomer, stored: placed.stored > 0, silent });
    }

    fn take(&mut self, event: QueryEvent) {
        let Some(asked) = event.id else { return };
        let failure = match event.result {
            QueryResult::Answered { response: Response::CheckStore { has_key, ttl, .. }, version, .. } => {
                if version.is_none() {
                    self.legacy.insert(asked);
                }
                // A copy that ends before its next restore is one all the same.
                self.placement.handle_checked(&asked, has_key || ttl.is_some());
                return;
            }
            QueryResult::Answered { response: Response::Set { stored, .. }, .. } => {
                return self.placement.handle_stored(&asked, stored);
            }
            QueryResult::Doubted => return,
            // Every tenth answer or so is slower than expected: that alone makes nobody a peer that has gone.
            QueryResult::Parked | QueryResult::Slow => return self.placement.handle_slow(&asked),
            QueryResult::Resent => {
                self.slow(asked);
                return self.placement.handle_slow(&asked);
            }
            QueryResult::WrongId { actual: Some(actual) } => Failure::WrongId { actual },
            QueryResult::Unsent => Failure::Unsent,
            QueryResult::Answered { .. } | QueryResult::Silent | QueryResult::WrongId { actual: None } => {
                self.slow(asked);
                Failure::Silent
            }
        };
        self.placement.handle_failure(&asked, failure);
    }

    fn slow(&self, heir: NodeId) {
        if let Some(links) = &self.links {
            links.slow.do_send(HeirSlow(heir));
        }
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        // It broke: nobody waits for it any longer.
        if let Some(links) = self.links.take() {
            links.ended.do_send(HandOverEnded { newcomer: self.newcomer, stored: false, silent: false });
        }
    }
}

impl Actor for HandOver {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
        self.go_on(ctx);
    }
}

impl Alarmed for HandOver {
    fn next_alarm(&self) -> Option<Instant> {
        self.wake
    }

    fn alarm(&mut self, _: Instant, ctx: &mut Self::Context) {
        self.wake = None;
        self.go_on(ctx);
    }
}

impl Handler<QueryEvent> for HandOver {
    type Result = ();

    fn handle(&mut self, event: QueryEvent, ctx: &mut Self::Context) {
        self.take(event);
        self.go_on(ctx);
    }
}
