//! One audit of a key as a short-lived actor: it asks those who should hold the key, and tells everybody who wants to know.
//! Whom to ask is decided elsewhere, and nothing is repaired here.

use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient};
use kademlia_dynamic::protocol::audit as protocol;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::lookup::Failure;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::placement::Step;

use super::clock::{self, Alarm, Alarmed};
use super::messages::{Auditing, LookupResult, QueryEvent, QueryResult, SendQuery};
use super::outcome::Health;

/// The actor that is one audit.
pub struct Audit {
    key: Arc<str>,
    machine: protocol::Audit,
    /// Those who want to know. If it breaks, their answers are dropped, which is an error.
    audits: Vec<Auditing>,
    wake: Option<Instant>,
    links: AuditLinks,
}

/// Whom an audit tells.
pub(crate) struct AuditLinks {
    pub(crate) query: Recipient<SendQuery>,
}

impl Audit {
    /// An audit of the one key of `audits` at the peers that `found` brought.
    pub(crate) fn new(
        config: &Config,
        key: Arc<str>,
        audits: Vec<Auditing>,
        found: &LookupResult,
        links: AuditLinks,
    ) -> Self {
        let mixed = config.mixed_placement && found.legacy;
        let target = NodeId::of_key(&key);
        let machine = protocol::Audit::new(&target, config, &found.closest, &found.own_table, mixed, clock::now());
        Self { key, machine, audits, wake: None, links }
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        loop {
            match self.machine.next(clock::now()) {
                Step::Check(peer) | Step::Store(peer) => {
                    let asker = Some(ctx.address().recipient());
                    // The value may not be known here, so nothing is said of its size.
                    let request = Request::CheckStore { key: self.key.clone(), size: None };
                    self.links.query.do_send(SendQuery { to: peer.addr, id: Some(peer.id), request, asker });
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
        let (nearest, beyond) = self.machine.report();
        let earliest_expiry = [&nearest, &beyond].into_iter().filter_map(|part| part.earliest_expiry()).min();
        for Auditing { key, here, answer } in self.audits.drain(..) {
            let (nearest, beyond) = (nearest.clone(), beyond.clone());
            // Whoever asked may have gone.
            let _ = answer.send(Ok(Health { key, nearest, beyond, earliest_expiry, here }));
        }
    }

    fn take(&mut self, event: QueryEvent) {
        let Some(asked) = event.id else { return };
        let failure = match event.result {
            QueryResult::Answered { response: Response::CheckStore { has_key, ttl, .. }, .. } => {
                return self.machine.handle_checked(&asked, has_key, ttl);
            }
            QueryResult::Doubted => return,
            QueryResult::Parked | QueryResult::Slow | QueryResult::Resent => return self.machine.handle_slow(&asked),
            QueryResult::WrongId { actual: Some(actual) } => Failure::WrongId { actual },
            QueryResult::Unsent => Failure::Unsent,
            QueryResult::Answered { .. } | QueryResult::Silent | QueryResult::WrongId { actual: None } => {
                Failure::Silent
            }
        };
        self.machine.handle_failure(&asked, failure);
    }
}

impl Actor for Audit {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
        self.go_on(ctx);
    }
}

impl Alarmed for Audit {
    fn next_alarm(&self) -> Option<Instant> {
        self.wake
    }

    fn alarm(&mut self, _: Instant, ctx: &mut Self::Context) {
        self.wake = None;
        self.go_on(ctx);
    }
}

impl Handler<QueryEvent> for Audit {
    type Result = ();

    fn handle(&mut self, event: QueryEvent, ctx: &mut Self::Context) {
        self.take(event);
        self.go_on(ctx);
    }
}
