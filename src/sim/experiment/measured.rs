//! What is measured while an experiment runs, and how single reads and lookups are measured.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::figures::{Measurements, round};
use super::{Availability, Churned, Copies, Experiment, Lookups, Reads, Report, Traffic};
use crate::protocol::config::DEFAULT_K;
use crate::protocol::id::NodeId;
use crate::protocol::lookup::{CameBack, Trace};
use crate::protocol::peer::Peer;
use crate::sim::Sim;

/// All that an experiment measures.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) minutes: u32,
    pub(super) reads: Reads,
    pub(super) availability: Vec<Availability>,
    pub(super) copies: Vec<Copies>,
    gets: Searches,
    lookups: Searches,
    recall: Measurements,
}

/// One read.
pub(super) struct Read {
    pub(super) end: ReadEnd,
    /// Whether a legacy node read.
    pub(super) by_legacy: bool,
    pub(super) took: Duration,
    /// How it was looked for, if it was.
    pub(super) trace: Option<Arc<Trace>>,
}

/// How a read ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadEnd {
    Found,
    HeldByReader,
    NotFound,
    Unanswered,
    Failed,
    /// The reader left meanwhile.
    Abandoned,
}

/// One lookup of a random id.
pub(super) struct Lookup {
    took: Duration,
    trace: Arc<Trace>,
    /// The share of the true k nearest that it found.
    pub(super) recall: f64,
}

/// Lookups of one kind.
#[derive(Debug, Default)]
pub(super) struct Searches {
    hops: Measurements,
    queries: Measurements,
    millis: Measurements,
}

impl Read {
    /// Nobody is there to read.
    pub(super) fn abandoned() -> Self {
        Self { end: ReadEnd::Abandoned, by_legacy: false, took: Duration::ZERO, trace: None }
    }
}

impl Searches {
    pub(super) fn take(&mut self, hops: Option<u32>, trace: &Trace, took: Duration) {
        if let Some(hops) = hops {
            self.hops.push(f64::from(hops));
        }
        self.queries.push(trace.asked.len() as f64);
        self.millis.push(took.as_secs_f64() * 1e3);
    }

    pub(super) fn take_lookup(&mut self, lookup: &Lookup) {
        self.take(hops_to_nearest(&lookup.trace), &lookup.trace, lookup.took);
    }

    pub(super) fn report(&mut self) -> Lookups {
        Lookups {
            hops: self.hops.figures(),
            queries: self.queries.figures(),
            latency_ms: self.millis.figures(),
            latency_cdf: self.millis.distribution(),
        }
    }
}

impl Measured {
    /// Whether it found its value; `None` if it says nothing of that.
    pub(super) fn take_read(&mut self, read: &Read) -> Option<bool> {
        let reads = &mut self.reads;
        if read.end == ReadEnd::Abandoned {
            reads.abandoned += 1;
            return None;
        }
        reads.asked += 1;
        match read.end {
            ReadEnd::Found => reads.found += 1,
            ReadEnd::HeldByReader => {
                reads.found += 1;
                reads.held_by_reader += 1;
            }
            ReadEnd::NotFound => reads.not_found += 1,
            ReadEnd::Unanswered => reads.unanswered += 1,
            ReadEnd::Failed | ReadEnd::Abandoned => reads.failed += 1,
        }
        if let Some(trace) = &read.trace {
            self.gets.take(hops_to_value(trace), trace, read.took);
        }
        let found = matches!(read.end, ReadEnd::Found | ReadEnd::HeldByReader);
        self.reads.by_legacy += u64::from(read.by_legacy);
        self.reads.found_by_legacy += u64::from(read.by_legacy && found);
        Some(found)
    }

    pub(super) fn take_lookup(&mut self, lookup: &Lookup) {
        self.lookups.take_lookup(lookup);
        self.recall.push(lookup.recall);
    }

    /// What it all came to. `sim` is `None` if the network never formed.
    pub(super) fn report(mut self, experiment: &Experiment, complete: bool, sim: Option<&Sim>) -> Report {
        let (mut churned, mut traffic, mut trace_hash) = (Churned::default(), Traffic::default(), 0);
        if let Some(sim) = sim {
            let (population, counters) = (sim.population(), sim.network().counters());
            let left = population.left + population.died;
            churned = Churned { joined: population.joined, left, alive: (population.ours + population.legacy) as u64 };
            let rate = counters.sent as f64 / sim.now().as_secs_f64().max(1.0) / experiment.nodes as f64;
            traffic = Traffic {
                sent: counters.sent,
                delivered: counters.delivered,
                lost: counters.lost,
                no_such_address: counters.no_such_address,
                per_node_and_second: round(rate),
            };
            trace_hash = sim.network().trace_hash();
        }
        Report {
            experiment: experiment.clone(),
            minutes: self.minutes,
            complete,
            reads: self.reads,
            availability: self.availability,
            copies: self.copies,
            gets: self.gets.report(),
            lookups: self.lookups.report(),
            recall: self.recall.figures().map(|figures| figures.mean),
            churned,
            traffic,
            trace_hash: format!("{trace_hash:016x}"),
            sizes: Vec::new(),
            caching: Vec::new(),
        }
    }
}

/// Lets the node at `place` look for an id that nobody has, chosen by `chance`; `None` if the node left meanwhile.
pub(super) async fn look_up(sim: &Sim, place: usize, chance: u64) -> Option<Lookup> {
    let node = sim.node(place)?;
    // A key that nobody set: the search ends with the nearest nodes, and says how it went.
    let key = format!("nobody's/{chance:016x}");
    let target = NodeId::of_key(&key);
    let began = Instant::now();
    let traced = node.get_traced(&key).await.ok()?;
    let took = began.elapsed();
    if sim.node(place)?.id() != node.id() {
        return None;
    }
    let trace = traced.trace?;
    // Nobody finds himself.
    let mut truth = sim.true_closest(&target, DEFAULT_K + 1);
    truth.retain(|peer| peer.id != node.id());
    truth.truncate(DEFAULT_K);
    let recall = recall(&answered(&trace), &truth);
    Some(Lookup { took, trace, recall })
}

/// Who answered, each with the hop at which it was asked, nearest first.
fn answered(trace: &Trace) -> Vec<(Peer, u32)> {
    let answered = trace.asked.iter().filter(|asked| matches!(asked.came_back, CameBack::Peers { .. }));
    let mut answered: Vec<_> = answered.map(|asked| (asked.peer, asked.hop)).collect();
    answered.sort_by_key(|(peer, _)| peer.id.distance(&trace.target));
    answered
}

fn recall(answered: &[(Peer, u32)], truth: &[Peer]) -> f64 {
    let found = truth.iter().filter(|peer| answered.iter().any(|(found, _)| found == *peer)).count();
    found as f64 / truth.len().max(1) as f64
}

fn hops_to_nearest(trace: &Trace) -> Option<u32> {
    answered(trace).first().map(|(_, hop)| *hop)
}

fn hops_to_value(trace: &Trace) -> Option<u32> {
    trace.asked.iter().find(|asked| asked.came_back == CameBack::Value).map(|asked| asked.hop)
}
