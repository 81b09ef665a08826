//! One audit of a key: it asks the peers that should hold the key, and reports to every caller that waits for it. Which peers
//! are asked is decided elsewhere, and nothing is repaired here.

use std::sync::Arc;
use std::time::Instant;

use kademlia_dynamic::protocol::audit as protocol;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::lookup::Failure;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::placement;

use super::super::clock;
use super::super::messages::{Answered, Failed, Late, LookupResult, StartAudit};
use super::super::outcome::Health;
use super::operation::{End, Operation, Step};

/// An audit under way.
pub(crate) struct Audit {
    key: Arc<str>,
    machine: protocol::Audit,
    /// The callers that wait. If the audit breaks, their answers are dropped, which is an error.
    audits: Vec<StartAudit>,
}

impl Audit {
    /// An audit of the one key of `audits` at the peers that `found` brought.
    pub(crate) fn new(config: &Config, key: Arc<str>, audits: Vec<StartAudit>, found: &LookupResult) -> Self {
        let mixed = config.lookup.mixed_placement && found.legacy;
        let target = NodeId::of_key(&key);
        let machine = protocol::Audit::new(&target, config, &found.closest, &found.own_table, mixed, clock::now());
        Self { key, machine, audits }
    }
}

impl Operation for Audit {
    const NAME: &'static str = "audit";
    type Target = Peer;

    fn step(&mut self, now: Instant) -> Step<Self> {
        match self.machine.next(now) {
            placement::Step::Check(peer) | placement::Step::Store(peer) => {
                // The value may not be known here, so the query gives no size.
                Step::Query(peer, Request::CheckStore { key: self.key.clone(), size: None })
            }
            placement::Step::Wait { until } => Step::Wait { until: Some(until) },
            placement::Step::Finished => Step::Finished,
        }
    }

    fn answer(&mut self, from: Peer, answer: Answered, _: Instant) {
        match answer.response {
            Response::CheckStore { has_key, ttl, .. } => self.machine.handle_checked(&from.id, has_key, ttl),
            _ => self.machine.handle_failure(&from.id, Failure::Silent),
        }
    }

    fn late(&mut self, from: Peer, how: Late) {
        if how != Late::Suspect {
            self.machine.handle_slow(&from.id);
        }
    }

    fn failure(&mut self, from: Peer, why: Failed, _: Instant) {
        self.machine.handle_failure(&from.id, why.into());
    }

    fn finish(self, end: End) {
        if end == End::Broken {
            return;
        }
        let (nearest, beyond) = self.machine.report();
        let earliest_expiry = [&nearest, &beyond].into_iter().filter_map(|part| part.earliest_expiry()).min();
        for StartAudit { key, here, answer, .. } in self.audits {
            let (nearest, beyond) = (nearest.clone(), beyond.clone());
            // The caller may have gone.
            let _ = answer.send(Ok(Health { key, nearest, beyond, earliest_expiry, here }));
        }
    }
}
