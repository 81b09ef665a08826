//! Silences: what a query without an answer shows of its peer. Of several in a row it depends on how many queries to living peers
//! get lost, and on whether the network answers at all, whether the peer is dead. This file knows no peers.

use std::time::{Duration, Instant};

use crate::protocol::peer::AddressScope;

/// How long a silence is remembered: as long as others go on naming a dead peer, which they notice within a refresh of their
/// buckets. The first answer of a peer that comes back earlier ends it.
pub const SILENT_FOR: Duration = Duration::from_secs(3_600);
/// Silent addresses that are remembered. Beyond it the one that was silent longest ago is forgotten.
pub const MAX_SILENT_ADDRESSES: usize = 4_096;

/// Queries that a peer left unanswered in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Streak {
    /// Silences that count (at least 1).
    pub(crate) count: u32,
    /// When the first of them was noticed.
    pub(crate) since: Instant,
    /// When the last of them was noticed.
    last: Instant,
    /// When the peer was last chosen to be pinged again, or the first of them was noticed.
    chosen: Instant,
}

impl Streak {
    /// The streak that follows from one more silence after those `known`. `None` if the silence does not count: a query that was
    /// already in flight when the silence before was noticed shows nothing new, since one lost burst of packets takes all of them.
    pub(crate) fn after(known: Option<Self>, query_timeout: Duration, now: Instant) -> Option<Self> {
        match known {
            None => Some(Self { count: 1, since: now, last: now, chosen: now }),
            Some(streak) if now.saturating_duration_since(streak.last) < query_timeout => None,
            Some(streak) => Some(Self { count: streak.count.saturating_add(1), last: now, ..streak }),
        }
    }

    /// The time by which peers take turns to be pinged again: that of the last silence, or of the last turn.
    pub(crate) fn waits_since(&self) -> Instant {
        self.last.max(self.chosen)
    }

    /// It is the peer's turn. A ping that cannot be sent is no silence, and must not keep others from theirs.
    pub(crate) fn choose(&mut self, now: Instant) {
        self.chosen = now;
    }
}

/// The weight of each answer, relative to that of the next one: the last hundred or so decide.
const FADING: f64 = 0.99;
/// Answers without a loss that are taken for granted, so that the first loss of all changes little.
const GRANTED: f64 = 15.0;
/// The greatest probability of taking a living peer for dead at the end of a row of silences.
const MISTAKE: f64 = 5e-4;
/// Silences in a row that suffice however bad the lines are, so that no node can keep dead peers in a table by answering now
/// and then.
const MAX_SILENCES: u32 = 8;

/// The share of queries to living peers that are lost, and so how many silences in a row distinguish a dead peer from a bad line.
///
/// A peer that answers after silences was alive all along: those were losses. Dead peers never answer, so however many there
/// are, they do not count as losses.
#[derive(Debug, Clone, Default)]
pub(crate) struct LossRate {
    answers: f64,
    silences: f64,
}

impl LossRate {
    /// A known peer answered after this many `silences` in a row.
    pub(crate) fn answered(&mut self, silences: u32) {
        self.answers = self.answers * FADING + 1.0;
        self.silences = self.silences * FADING + f64::from(silences);
    }

    /// The number of silences in a row after which a peer is unlikely to be alive (1..=[`MAX_SILENCES`]).
    pub(crate) fn patience(&self) -> u32 {
        let lost = self.silences / (self.silences + self.answers.max(GRANTED));
        // A share of 1 has the logarithm 0, and one of 0 an infinite one: the quotient is infinite or 0.
        (MISTAKE.ln() / lost.ln()).ceil().clamp(1.0, f64::from(MAX_SILENCES)) as u32
    }
}

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
    use crate::protocol::entropy::{Entropy, SeededEntropy};

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

    #[test]
    fn the_worse_the_lines_the_more_silences_are_borne() {
        assert_eq!(LossRate::default().patience(), 1);
        let mut entropy = SeededEntropy::new(1);
        for (lost, expected) in [(0.0, 1..=1), (0.02, 1..=3), (0.1, 2..=4), (0.36, 5..=8), (0.9, 8..=8)] {
            let mut losses = LossRate::default();
            for _ in 0..200 {
                let silences = std::iter::from_fn(|| (entropy.unit() < lost).then_some(())).count();
                losses.answered(silences as u32);
            }
            assert!(expected.contains(&losses.patience()), "{lost}: {}", losses.patience());
        }
    }

    #[test]
    fn bad_times_are_forgotten_and_one_loss_is_no_bad_time() {
        let mut losses = LossRate::default();
        losses.answered(1);
        assert!(losses.patience() <= 3);
        losses.answered(u32::MAX);
        assert_eq!(losses.patience(), MAX_SILENCES);
        for _ in 0..4_000 {
            losses.answered(0);
        }
        assert_eq!(losses.patience(), 1);
    }

    #[test]
    fn silences_of_queries_that_were_in_flight_together_count_once() {
        let (start, timeout) = (Instant::now(), Duration::from_secs(2));
        let first = Streak::after(None, timeout, start);
        assert_eq!(first.map(|streak| streak.count), Some(1));
        assert_eq!(Streak::after(first, timeout, start + timeout - Duration::from_millis(1)), None);
        let second = Streak::after(first, timeout, start + timeout);
        assert_eq!(second.map(|streak| (streak.count, streak.since)), Some((2, start)));
        assert_eq!(Streak::after(second, timeout, start + timeout), None);
    }
}
