//! What an experiment is: its network, what happens in it, its ranges, and how far it is.

use std::ops::ControlFlow;
use std::time::Duration;

use kademlia_dynamic::Error;
use kademlia_dynamic::sim::SimError;
use serde::{Deserialize, Serialize};

use super::seconds;

/// One virtual minute: values are read once in each.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// The fewest nodes of an experiment: a value needs another node to hold it.
pub const MIN_NODES: usize = 2;
/// The most nodes of an experiment. 10,000 fit 4 GiB, so this is for machines with ten times that.
pub const MAX_NODES: usize = 100_000;
/// The shortest experiment: one read of each minute needs a minute.
pub const MIN_DURATION: Duration = MINUTE;
/// The longest experiment.
pub const MAX_DURATION: Duration = Duration::from_secs(366 * 86_400);
/// The shortest half-life of a session: below it a node leaves before it has joined.
pub const MIN_HALF_LIFE: Duration = MINUTE;
/// The greatest share of datagrams that may get lost: beyond it no network forms.
pub const MAX_LOSS: f64 = 0.9;
/// The most values.
pub const MAX_VALUES: usize = 100_000;
/// The most reads, and the most lookups, in one virtual minute.
pub const MAX_PER_MINUTE: usize = 10_000;

/// An experiment: what network, how long, and what happens in it. All chances come from the seed, so two runs of equal
/// experiments have equal reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Experiment {
    /// Nodes at the beginning, and about as many all along ([`MIN_NODES`]..=[`MAX_NODES`]). 200 by default.
    pub nodes: usize,
    /// How long it runs in virtual time after the network has formed and the values are set, in seconds as JSON
    /// ([`MIN_DURATION`]..=[`MAX_DURATION`]). One hour by default.
    #[serde(with = "seconds")]
    pub duration: Duration,
    /// Half of all sessions are over after this time (from [`MIN_HALF_LIFE`]), in seconds as JSON; `None`, the default:
    /// no node leaves. For each node that leaves another one joins.
    #[serde(with = "seconds::option")]
    pub half_life: Option<Duration>,
    /// The share of datagrams that get lost (0..=[`MAX_LOSS`]). 0 by default.
    pub loss: f64,
    /// The share of nodes that are legacy nodes (0..=1); one node at least is ours. 0 by default.
    pub legacy: f64,
    /// Values, each set once at the beginning by a node of ours, and from then on in that node's care
    /// (1..=[`MAX_VALUES`]). 20 by default.
    pub values: usize,
    /// Whether the publishers of values come and go as well; else they stay. Off by default.
    pub churn_publishers: bool,
    /// Reads in each virtual minute, by random living nodes (1..=[`MAX_PER_MINUTE`]). The values have their turn one after the
    /// other: with as many reads as values each is read in each minute. 10 by default.
    pub reads_per_minute: usize,
    /// Reads in each virtual minute by visitors, of the values in turn (0..=[`MAX_PER_MINUTE`]): clients, each of whom joins
    /// for one read, as `kad get` does. They hold nothing, so what they read came over the wire. 0 by default.
    pub visits_per_minute: usize,
    /// Lookups of random ids in each virtual minute, whose result is compared with the truth (0..=[`MAX_PER_MINUTE`]).
    /// 1 by default.
    pub lookups_per_minute: usize,
    /// Where all chances come from.
    pub seed: u64,
}

impl Default for Experiment {
    fn default() -> Self {
        Self {
            nodes: 200,
            duration: Duration::from_secs(3_600),
            half_life: None,
            loss: 0.0,
            legacy: 0.0,
            values: 20,
            churn_publishers: false,
            reads_per_minute: 10,
            visits_per_minute: 0,
            lookups_per_minute: 1,
            seed: 1,
        }
    }
}

/// Why an experiment was not run, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// A number is out of its range.
    #[error("{what} must be {min} to {max}, not {given}")]
    OutOfRange {
        /// Which one.
        what: &'static str,
        /// Its value.
        given: f64,
        /// The smallest permitted.
        min: f64,
        /// The greatest permitted.
        max: f64,
    },
    /// A duration is out of its range.
    #[error("{what} must be {min:?} to {max:?}, not {given:?}")]
    DurationOutOfRange {
        /// Which one.
        what: &'static str,
        /// Its value.
        given: Duration,
        /// The shortest permitted.
        min: Duration,
        /// The longest permitted.
        max: Duration,
    },
    /// The network could not be built.
    #[error(transparent)]
    Network(#[from] SimError),
    /// A node could not be started, or could not set a value.
    #[error(transparent)]
    Node(#[from] Error),
}

/// Is given how far an experiment is, and says whether it shall go on.
pub type Watch<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;

impl Experiment {
    /// Whether it can be run.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), ExperimentError> {
        within("the number of nodes", self.nodes as f64, MIN_NODES as f64, MAX_NODES as f64)?;
        lasts("the duration", self.duration, MIN_DURATION)?;
        if let Some(half_life) = self.half_life {
            lasts("the half-life of sessions", half_life, MIN_HALF_LIFE)?;
        }
        within("the share of datagrams lost", self.loss, 0.0, MAX_LOSS)?;
        within("the share of legacy nodes", self.legacy, 0.0, 1.0)?;
        within("the number of values", self.values as f64, 1.0, MAX_VALUES as f64)?;
        within("the reads in a minute", self.reads_per_minute as f64, 1.0, MAX_PER_MINUTE as f64)?;
        within("the visits in a minute", self.visits_per_minute as f64, 0.0, MAX_PER_MINUTE as f64)?;
        within("the lookups in a minute", self.lookups_per_minute as f64, 0.0, MAX_PER_MINUTE as f64)
    }

    /// How many virtual minutes it has.
    pub fn minutes(&self) -> u32 {
        u32::try_from(self.duration.as_secs() / MINUTE.as_secs()).unwrap_or(u32::MAX)
    }
}

/// How far an experiment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is at.
    pub phase: Phase,
    /// How much of this phase is done.
    pub done: u32,
    /// How much there is to do in it.
    pub of: u32,
    /// Reads so far.
    pub reads: u64,
    /// Of these, those that found the value.
    pub found: u64,
}

/// What an experiment is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nodes join, counted in nodes.
    Forming,
    /// The values are set, counted in values.
    Publishing,
    /// Time passes, counted in virtual minutes.
    Running,
    /// Lookups in networks of several sizes, counted in nodes that have joined.
    Sizes,
    /// Reads of values that are cached, counted in virtual minutes.
    Caching,
}

pub(super) fn within(what: &'static str, given: f64, min: f64, max: f64) -> Result<(), ExperimentError> {
    let fits = (min..=max).contains(&given);
    if fits { Ok(()) } else { Err(ExperimentError::OutOfRange { what, given, min, max }) }
}

pub(super) fn lasts(what: &'static str, given: Duration, min: Duration) -> Result<(), ExperimentError> {
    let fits = (min..=MAX_DURATION).contains(&given);
    if fits { Ok(()) } else { Err(ExperimentError::DurationOutOfRange { what, given, min, max: MAX_DURATION }) }
}
