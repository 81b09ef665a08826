//! One comparison of a value with what its nearest holders have, as a short-lived actor: it fetches what was published later,
//! and hands it on with what was to be placed. Whom to ask is decided elsewhere.

use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient};
use kademlia_dynamic::protocol::comparison::{Comparison, Step};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::message::{Request, Response};

use super::clock::{self, Alarm, Alarmed};
use super::messages::{Compared, LaunchCompare, LookupResult, Placing, QueryEvent, QueryResult, SendQuery};

/// The actor that is one comparison.
pub struct Compare {
    key: Arc<str>,
    machine: Comparison,
    wake: Option<Instant>,
    /// `None` once the end has been told.
    links: Option<CompareLinks>,
    /// What goes on afterwards, whatever this comes to.
    placing: Option<(Placing, Arc<LookupResult>)>,
}

/// Whom a comparison tells.
pub(crate) struct CompareLinks {
    pub(crate) query: Recipient<SendQuery>,
    pub(crate) compared: Recipient<Compared>,
}

impl Compare {
    /// A comparison of what is to be placed.
    pub(crate) fn new(config: &Config, launch: LaunchCompare, links: CompareLinks) -> Self {
        let LaunchCompare { placing, found, copy } = launch;
        let machine = Comparison::new(copy, &found.of_ours, config, clock::now());
        Self { key: placing.key.clone(), machine, wake: None, links: Some(links), placing: Some((placing, found)) }
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        loop {
            let Some(links) = &self.links else { return };
            let (peer, request) = match self.machine.next(clock::now()) {
                Step::Check(peer) => (peer, Request::CheckStore { key: self.key.clone(), size: None }),
                Step::Fetch(peer) => (peer, Request::FindValue { key: self.key.clone() }),
                Step::Wait { until } => {
                    self.wake = Some(until);
                    return;
                }
                Step::Finished => {
                    self.finish();
                    return ctx.stop();
                }
            };
            let asker = Some(ctx.address().recipient());
            links.query.do_send(SendQuery { to: peer.addr, id: Some(peer.id), request, asker });
        }
    }

    fn finish(&mut self) {
        let Some(links) = self.links.take() else { return };
        let Some((placing, found)) = self.placing.take() else { return };
        links.compared.do_send(Compared { placing, found, later: self.machine.take_later() });
    }

    fn take(&mut self, event: QueryEvent) {
        let Some(asked) = event.id else { return };
        let now = clock::now();
        match event.result {
            QueryResult::Answered { response: Response::CheckStore { ttl, age, .. }, .. } => {
                self.machine.handle_checked(&asked, ttl, age, now);
            }
            QueryResult::Answered { response: Response::Value { value, ttl, age }, .. } => {
                self.machine.handle_value(&asked, value, ttl, age, now);
            }
            QueryResult::Doubted => {}
            QueryResult::Parked | QueryResult::Slow | QueryResult::Resent => self.machine.handle_slow(&asked),
            QueryResult::Answered { .. } | QueryResult::WrongId { .. } | QueryResult::Silent | QueryResult::Unsent => {
                self.machine.handle_failure(&asked);
            }
        }
    }
}

impl Drop for Compare {
    fn drop(&mut self) {
        // It broke: what was to be placed is placed all the same.
        self.finish();
    }
}

impl Actor for Compare {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
        self.go_on(ctx);
    }
}

impl Alarmed for Compare {
    fn next_alarm(&self) -> Option<Instant> {
        self.wake
    }

    fn alarm(&mut self, _: Instant, ctx: &mut Self::Context) {
        self.wake = None;
        self.go_on(ctx);
    }
}

impl Handler<QueryEvent> for Compare {
    type Result = ();

    fn handle(&mut self, event: QueryEvent, ctx: &mut Self::Context) {
        self.take(event);
        self.go_on(ctx);
    }
}
