//! One exchange: the asker's state from the first range to the last answer. It reads no records and sends nothing.

use std::time::{Duration, Instant};

use super::asking::{Asked, Compared};
use super::schedule::Ending;
use crate::protocol::id::NodeId;
use crate::protocol::prefix::Prefix;
use crate::protocol::ranges::MAX_WANTED;
use crate::protocol::transfer::QueuedCopy;

/// Differences of one exchange. What is beyond them waits for the next one, which is due at once.
pub const MAX_DIFFERENCES: usize = 4_096;
/// Datagrams of one exchange.
pub const MAX_DATAGRAMS: usize = 2_048;
/// Answers in a row that settle no range. A range of 2^32 copies is split eight times.
const MAX_FRUITLESS: usize = 32;
/// Queries that may fail. The next one ends the exchange.
const MAX_FAILURES: usize = 2;
/// Prefixes that are left to the next exchange at most. If there are more, it begins anew.
const MAX_REST: usize = 1_024;
/// How long an exchange may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// What the owner of an exchange does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Prepare the next question: [`Exchange::open`] by [`ask`](super::ask), and [`Exchange::asked`].
    Prepare,
    /// Nothing to do before something comes back, or before this instant.
    Wait {
        /// The deadline.
        until: Instant,
    },
    /// It is over; it stays so.
    Finished,
}

/// What an exchange has come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// What the peer lacks.
    pub lacking_there: Vec<QueuedCopy>,
    /// How many values were asked for.
    pub wanted_here: usize,
    /// Copies of this node that are settled.
    pub settled: usize,
    /// Whether all was compared.
    pub complete: bool,
    /// Otherwise: what was not, for the next exchange to go on with. Empty where that begins anew.
    pub rest: Vec<Prefix>,
}

/// An exchange with one peer. Call [`Exchange::next`] until it is not [`Step::Prepare`], and again after each event. It ends after
/// [`MAX_DATAGRAMS`] at the latest.
#[derive(Debug)]
pub struct Exchange {
    /// What is to be asked about, the next one last.
    open: Vec<Prefix>,
    /// What waits for its answer.
    asked: Option<Asked>,
    /// The places that the question under way wants.
    wanting: Vec<NodeId>,
    /// What was asked about last.
    last: Vec<Prefix>,
    /// The places that were not asked for yet.
    wanted: Vec<NodeId>,
    is_preparing: bool,
    deadline: Instant,
    datagrams: usize,
    fruitless: usize,
    failures: usize,
    outcome: Outcome,
}

impl Outcome {
    /// How it has ended. One that is not complete goes on soon only where the peer lacks something: a peer that names ranges or places
    /// without end is asked no more often than one that is silent.
    pub fn ending(&self) -> Ending {
        match self {
            Self { complete: true, .. } => Ending::Complete,
            Self { lacking_there, .. } if !lacking_there.is_empty() => Ending::Partial,
            _ => Ending::Failed,
        }
    }
}

impl Exchange {
    /// An exchange about the places with these prefixes.
    pub fn new(cells: Vec<Prefix>, now: Instant) -> Self {
        Self {
            open: cells,
            asked: None,
            wanting: Vec::new(),
            last: Vec::new(),
            wanted: Vec::new(),
            is_preparing: false,
            deadline: now + DEADLINE,
            datagrams: 0,
            fruitless: 0,
            failures: 0,
            outcome: Outcome::default(),
        }
    }

    /// The next thing to do.
    pub fn next(&mut self, now: Instant) -> Step {
        let spent = self.datagrams >= MAX_DATAGRAMS
            || self.fruitless >= MAX_FRUITLESS
            || self.failures > MAX_FAILURES
            || self.deadline <= now;
        if self.asked.is_some() || self.is_preparing {
            return if self.deadline <= now { Step::Finished } else { Step::Wait { until: self.deadline } };
        }
        if self.differences() >= MAX_DIFFERENCES && self.wanted.is_empty() || spent {
            return Step::Finished;
        }
        if self.open.is_empty() && self.wanted.is_empty() {
            self.outcome.complete = true;
            return Step::Finished;
        }
        self.is_preparing = true;
        Step::Prepare
    }

    /// What is to be asked about, the next one last: [`ask`](super::ask) takes from it, and gives back the rest. Nothing once there are
    /// enough differences.
    pub fn open(&mut self) -> Vec<Prefix> {
        if self.differences() >= MAX_DIFFERENCES { Vec::new() } else { std::mem::take(&mut self.open) }
    }

    /// The places that the next question asks for: at most half of `room` packed bytes, or all of it if there is nothing else to ask.
    pub fn wants(&mut self, room: usize) -> &[NodeId] {
        let alone = self.open.is_empty() || self.differences() >= MAX_DIFFERENCES;
        let room = if alone { room } else { room / 2 };
        let count = (room / 20).min(MAX_WANTED).min(self.wanted.len());
        self.wanting = self.wanted.drain(..count).collect();
        &self.wanting
    }

    /// The next question is sent. `rest`: what it left of [`Exchange::open`].
    pub fn asked(&mut self, asked: Asked, rest: Vec<Prefix>) {
        self.is_preparing = false;
        self.open.extend(rest);
        self.datagrams += 1;
        self.asked = Some(asked);
    }

    /// It cannot go on: it is over.
    pub fn give_up(&mut self) {
        (self.is_preparing, self.asked) = (false, None);
        self.failures = MAX_FAILURES + 1;
    }

    /// The question that is answered, to be [compared](super::compare): the result goes to [`Exchange::compared`]. `None` if there is
    /// none.
    pub fn answered(&mut self) -> Option<Asked> {
        let asked = self.asked.take()?;
        self.is_preparing = true;
        self.last = asked.ranges.ranges.iter().map(|range| range.prefix).collect();
        self.outcome.wanted_here += self.wanting.len();
        self.wanting.clear();
        Some(asked)
    }

    /// The answer was compared with what is held.
    pub fn compared(&mut self, compared: Compared) {
        self.is_preparing = false;
        let Compared { mut lacking_there, mut wanted_here, open, unanswered, settled, progress } = compared;
        self.fruitless = if progress { 0 } else { self.fruitless + 1 };
        // A peer that answers nothing does not reconcile with this node.
        let says_nothing = !progress && open.is_empty() && !unanswered.is_empty();
        self.failures += usize::from(says_nothing);
        let room = MAX_DIFFERENCES.saturating_sub(self.differences());
        let left_there = lacking_there.split_off(room.min(lacking_there.len()));
        let left_here = wanted_here.split_off((room - lacking_there.len()).min(wanted_here.len()));
        if !left_there.is_empty() || !left_here.is_empty() {
            // The ranges in which these lie are asked about again. One range has no more than an exchange takes, so the next one gets
            // further.
            let left: Vec<NodeId> = left_there.iter().map(|copy| NodeId::of_key(&copy.key)).chain(left_here).collect();
            self.last.retain(|prefix| left.iter().any(|place| prefix.covers(place)));
            self.outcome.rest = std::mem::take(&mut self.last);
        }
        self.outcome.lacking_there.extend(lacking_there);
        self.wanted.extend(wanted_here);
        self.outcome.settled += settled;
        self.open.extend(unanswered);
        // What came of a split first: so that each difference is settled soon after it was found.
        self.open.extend(open.into_iter().rev());
    }

    /// No answer came: the question is asked again.
    pub fn failed(&mut self) {
        let Some(asked) = self.asked.take() else { return };
        self.failures += 1;
        self.open.extend(asked.ranges.ranges.into_iter().rev().map(|range| range.prefix));
        self.wanted.append(&mut self.wanting);
    }

    /// What it has come to.
    pub fn outcome(mut self) -> Outcome {
        let goes_on = self.outcome.ending() == Ending::Partial;
        // What waits for its answer is asked about again.
        self.failed();
        let (rest, mut open) = (&mut self.outcome.rest, self.open);
        // What is next comes last.
        open.append(rest);
        *rest = open;
        // What is wanted and was not asked for is found again by an exchange from the beginning.
        if !goes_on || !self.wanted.is_empty() || rest.len() > MAX_REST {
            *rest = Vec::new();
        }
        self.outcome
    }

    fn differences(&self) -> usize {
        self.outcome.lacking_there.len() + self.outcome.wanted_here + self.wanted.len() + self.wanting.len()
    }
}
