//! One comparison of a value with what its nearest holders have: it fetches what was published later, and hands it on with
//! what was to be placed. Which peers are asked is decided elsewhere.

use std::sync::Arc;
use std::time::Instant;

use kademlia_dynamic::protocol::comparison::{self, Comparison};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::Peer;

use super::super::clock;
use super::super::messages::{Answered, Compared, Failed, Late, LaunchCompare, LookupResult, Placing, StoreHandle};
use super::operation::{End, Operation, Step};

/// A comparison under way.
pub(crate) struct Compare {
    machine: Comparison,
    placing: Placing,
    found: Arc<LookupResult>,
    store: StoreHandle,
}

impl Compare {
    /// A comparison of what is to be placed.
    pub(crate) fn new(config: &Config, launch: LaunchCompare, store: StoreHandle) -> Self {
        let LaunchCompare { placing, found, copy } = launch;
        let machine = Comparison::new(copy, &found.of_ours, config, clock::now());
        Self { machine, placing, found, store }
    }
}

impl Operation for Compare {
    const NAME: &'static str = "comparison";
    type Target = Peer;

    fn step(&mut self, now: Instant) -> Step<Self> {
        let key = || self.placing.key.clone();
        match self.machine.next(now) {
            comparison::Step::Check(peer) => Step::Query(peer, Request::CheckStore { key: key(), size: None }),
            comparison::Step::Fetch(peer) => Step::Query(peer, Request::FindValue { key: key() }),
            comparison::Step::Wait { until } => Step::Wait { until: Some(until) },
            comparison::Step::Finished => Step::Finished,
        }
    }

    fn answer(&mut self, from: Peer, answer: Answered, now: Instant) {
        match answer.response {
            Response::CheckStore { ttl, age, .. } => self.machine.handle_checked(&from.id, ttl, age, now),
            Response::Value { value, ttl, age } => self.machine.handle_value(&from.id, value, ttl, age, now),
            _ => self.machine.handle_failure(&from.id),
        }
    }

    fn late(&mut self, from: Peer, how: Late) {
        if how != Late::Suspect {
            self.machine.handle_slow(&from.id);
        }
    }

    fn failure(&mut self, from: Peer, _: Failed, _: Instant) {
        self.machine.handle_failure(&from.id);
    }

    /// What was to be placed is placed, also where the comparison broke.
    fn finish(mut self, _: End) {
        let later = self.machine.take_later();
        self.store.compared(Compared { placing: self.placing, found: self.found, later });
    }
}
