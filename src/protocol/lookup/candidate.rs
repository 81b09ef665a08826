//! A candidate of a lookup: a peer that may be among the nearest, where it comes from, and what has become of its query.

use super::outcome::Failure;
use crate::protocol::id::Distance;
use crate::protocol::peer::Peer;

/// The state of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Not queried yet.
    Fresh,
    /// Queried; `entry` is its index in the trace.
    InFlight { entry: usize, expectation: Expectation },
    /// Answered, with the value or with peers.
    Answered { with_value: bool },
    /// The query brought no answer from this id at this address.
    Failed(Failure),
}

/// The expectation of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expectation {
    /// The query is in time. It holds a slot.
    InTime,
    /// The address did not answer its last query. The query holds one of as many slots again, which are for suspects.
    Suspect,
    /// The answer is late. The query holds no slot.
    Slow,
}

/// The origin of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Provenance {
    /// 1 from our own table or the recent peers, otherwise one more than the informant's.
    pub(super) hop: u32,
    /// The informant's index in the trace.
    pub(super) named_by: Option<usize>,
}

impl Provenance {
    /// A peer that this node knew: of its own table, or a recent one.
    pub(super) const KNOWN: Self = Self { hop: 1, named_by: None };
}

/// A peer that may be among the nearest.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) peer: Peer,
    pub(super) state: State,
    /// Its first origin.
    pub(super) origin: Provenance,
    pub(super) distance: Distance,
    /// Its subnet, where the number of a subnet's peers is limited: the index in [`Shortlist::subnets`].
    pub(super) subnet: Option<usize>,
    /// All informants that named it, each once: indices in the trace, or our own table with the recent peers.
    pub(super) informants: Vec<Option<usize>>,
    /// Whether the address answered with this id itself when it was queried by another one.
    pub(super) self_named: bool,
}

impl Candidate {
    /// `None` if it is not in flight.
    pub(super) fn expectation(&self) -> Option<Expectation> {
        if let State::InFlight { expectation, .. } = self.state { Some(expectation) } else { None }
    }

    /// Whether it has answered, or is expected to.
    pub(super) fn is_likely(&self) -> bool {
        self.is_answered() || self.expectation() == Some(Expectation::InTime)
    }

    pub(super) fn is_answered(&self) -> bool {
        matches!(self.state, State::Answered { .. })
    }

    /// Whether an answer may still come, now or once it is queried.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Fresh | State::InFlight { .. })
    }

    /// Whether it counts against its informants: it failed, or its answer is late. A query that was never sent does not count.
    pub(super) fn is_debt(&self) -> bool {
        match self.state {
            State::InFlight { expectation, .. } => expectation != Expectation::InTime,
            State::Failed(why) => why != Failure::Unsent,
            State::Fresh | State::Answered { .. } => false,
        }
    }

    /// Whether our own table, a recent answer, or more than one informant named it.
    pub(super) fn is_confirmed(&self) -> bool {
        self.informants.len() > 1 || self.informants.contains(&None)
    }
}
