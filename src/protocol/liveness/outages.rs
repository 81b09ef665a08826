//! Outages: whether the network answers at all, which distinguishes a dead peer from an outage of ours. It knows no peers.

use std::time::{Duration, Instant};

use crate::protocol::peer::AddressScope;

/// The number of scopes, from narrow to wide.
const SCOPES: usize = 3;

/// The times at which peers answered, by scope: an answer of a loopback peer shows nothing about the internet, so a silent peer is
/// blamed only while others of its scope or a wider one answer.
#[derive(Debug, Clone)]
pub(crate) struct Outages {
    /// A query that went out this long ago has been answered or has timed out.
    query_timeout: Duration,
    /// The state at index `s` covers answers from scope `s` or wider.
    scopes: [ScopeState; SCOPES],
}

#[derive(Debug, Clone, Copy, Default)]
struct ScopeState {
    last_answer: Option<Instant>,
    /// When the answers began that have come without an outage since.
    up_since: Option<Instant>,
    /// Whether a query timed out and no peer had answered while it was in flight.
    dark: bool,
}

impl Outages {
    pub(crate) fn new(query_timeout: Duration) -> Self {
        Self { query_timeout, scopes: [ScopeState::default(); SCOPES] }
    }

    /// A peer of `scope` answered. It ends an outage for its own scope and narrower ones.
    pub(crate) fn answered(&mut self, scope: AddressScope, now: Instant) {
        for state in &mut self.scopes[..=scope as usize] {
            if state.dark || state.up_since.is_none() {
                state.up_since = Some(now);
            }
            state.dark = false;
            state.last_answer = Some(now);
        }
    }

    /// A peer of `scope` was silent. It is an outage if no peer of that scope answered while the query was in flight.
    pub(crate) fn silent(&mut self, scope: AddressScope, now: Instant) {
        let state = &mut self.scopes[scope as usize];
        state.dark |= state.last_answer.is_none_or(|last| now.saturating_duration_since(last) >= self.query_timeout);
    }

    /// Returns whether a peer of `scope` whose silences began at `since`, and whose query has just timed out, is to blame:
    /// another one answered since, and the query was sent after the last outage had ended.
    pub(crate) fn blames(&self, scope: AddressScope, since: Instant, now: Instant) -> bool {
        let state = &self.scopes[scope as usize];
        let answered = state.last_answer.is_some_and(|last| last > since);
        let sent_after_outage =
            state.up_since.is_some_and(|up| now.saturating_duration_since(up) >= self.query_timeout);
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
        let mut outages = Outages::new(TIMEOUT);
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..100 {
            outages.answered(AddressScope::Loopback, at(second));
            outages.answered(AddressScope::Private, at(second));
        }
        assert!(!outages.blames(AddressScope::Global, at(50), at(100)));
        assert!(outages.blames(AddressScope::Private, at(50), at(100)));
        outages.answered(AddressScope::Global, at(100));
        assert!(outages.blames(AddressScope::Global, at(50), at(102)));
    }

    #[test]
    fn a_query_sent_during_an_outage_blames_no_peer_when_the_network_is_back() {
        let start = Instant::now();
        let mut outages = Outages::new(TIMEOUT);
        let at = |seconds| start + Duration::from_secs(seconds);
        outages.answered(AddressScope::Global, at(0));
        outages.silent(AddressScope::Global, at(10));
        outages.answered(AddressScope::Global, at(20));
        assert!(!outages.blames(AddressScope::Global, at(10), at(21)), "that query was sent at 19 s");
        assert!(outages.blames(AddressScope::Global, at(10), at(22)));
    }
}
