//! Whether the network answers at all: what tells a dead peer from an outage of ours. It knows no peers.

use std::time::{Duration, Instant};

use crate::protocol::peer::AddressScope;

/// The scopes, from narrow to wide: a slot each.
const SCOPES: usize = 3;

/// When peers answered, by scope: an answer of a loopback peer says nothing of the internet, so a silent peer is
/// only blamed while others of its scope or a wider one answer.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    /// A query that went out this long ago has been answered or has timed out.
    query_timeout: Duration,
    /// Slot `s` tells of answers from scope `s` or wider.
    slots: [Slot; SCOPES],
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    last_answer: Option<Instant>,
    /// Since when answers come without an outage between them.
    up_since: Option<Instant>,
    /// A query timed out and nobody had answered while it was in flight.
    dark: bool,
}

impl Reach {
    pub(super) fn new(query_timeout: Duration) -> Self {
        Self { query_timeout, slots: [Slot::default(); SCOPES] }
    }

    /// A peer of `scope` answered. It ends an outage for its own scope and narrower ones.
    pub(super) fn answered(&mut self, scope: AddressScope, now: Instant) {
        for slot in &mut self.slots[..=scope as usize] {
            if slot.dark || slot.up_since.is_none() {
                slot.up_since = Some(now);
            }
            slot.dark = false;
            slot.last_answer = Some(now);
        }
    }

    /// A peer of `scope` was silent. It is an outage if nobody of that scope answered while the query was in flight.
    pub(super) fn silent(&mut self, scope: AddressScope, now: Instant) {
        let slot = &mut self.slots[scope as usize];
        slot.dark |= slot.last_answer.is_none_or(|last| now.saturating_duration_since(last) >= self.query_timeout);
    }

    /// Whether a peer of `scope` whose failures began at `since`, and whose query has just timed out, is to blame:
    /// somebody answered since, and the query was sent after the last outage had ended.
    pub(super) fn blames(&self, scope: AddressScope, since: Instant, now: Instant) -> bool {
        let slot = &self.slots[scope as usize];
        let answered = slot.last_answer.is_some_and(|last| last > since);
        let sent_after_outage = slot.up_since.is_some_and(|up| now.saturating_duration_since(up) >= self.query_timeout);
        answered && sent_after_outage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(2);

    #[test]
    fn a_local_answer_is_no_evidence_against_a_global_peer() {
        let start = Instant::now();
        let mut reach = Reach::new(TIMEOUT);
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..100 {
            reach.answered(AddressScope::Loopback, at(second));
            reach.answered(AddressScope::Private, at(second));
        }
        assert!(!reach.blames(AddressScope::Global, at(50), at(100)));
        assert!(reach.blames(AddressScope::Private, at(50), at(100)));
        reach.answered(AddressScope::Global, at(100));
        assert!(reach.blames(AddressScope::Global, at(50), at(102)));
    }

    #[test]
    fn a_query_sent_during_an_outage_blames_nobody_when_the_network_is_back() {
        let start = Instant::now();
        let mut reach = Reach::new(TIMEOUT);
        let at = |seconds| start + Duration::from_secs(seconds);
        reach.answered(AddressScope::Global, at(0));
        reach.silent(AddressScope::Global, at(10));
        reach.answered(AddressScope::Global, at(20));
        assert!(!reach.blames(AddressScope::Global, at(10), at(21)), "that query was sent at 19 s");
        assert!(reach.blames(AddressScope::Global, at(10), at(22)));
    }
}
