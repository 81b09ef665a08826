//! What is measured while an experiment runs, and how single reads and lookups are measured.

use kademlia_dynamic::GetOptions;
use std::sync::Arc;
use std::time::Duration;

use kademlia_dynamic::actors::outcome::{CameBack, Trace};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::sim::{Population, Sim};
use tokio::time::Instant;

use super::figures::{Measurements, round};
use super::report::{Availability, Churned, Copies, Lookups, Reads, Report, Traffic};
use super::setup::Experiment;

/// All that an experiment measures.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) minutes: u32,
    pub(super) reads: Reads,
    pub(super) visits: Reads,
    pub(super) availability: Vec<Availability>,
    pub(super) copies: Vec<Copies>,
    gets: Searches,
    lookups: Searches,
    recall: Recall,
    /// What had been sent, and who had joined, when time began to pass.
    before: (u64, Population),
    churned: Churned,
    traffic: Traffic,
    trace_hash: u64,
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
    /// No node is there to read.
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

/// The shares of the true nearest that lookups found: their mean must not look like all of them where it is not.
#[derive(Debug, Default)]
pub(super) struct Recall {
    sum: f64,
    count: u32,
    worst: f64,
}

impl Recall {
    pub(super) fn take(&mut self, share: f64) {
        self.worst = if self.count == 0 { share } else { self.worst.min(share) };
        self.sum += share;
        self.count += 1;
    }

    /// Their mean and the least of them; `None` without any.
    pub(super) fn mean_and_worst(&self) -> Option<(f64, f64)> {
        (self.count > 0).then(|| (self.sum / f64::from(self.count), self.worst))
    }
}

impl Reads {
    /// Whether it found its value; `None` if it says nothing of that.
    fn take(&mut self, read: &Read) -> Option<bool> {
        if read.end == ReadEnd::Abandoned {
            self.abandoned += 1;
            return None;
        }
        self.asked += 1;
        match read.end {
            ReadEnd::Found => self.found += 1,
            ReadEnd::HeldByReader => {
                self.found += 1;
                self.held_by_reader += 1;
            }
            ReadEnd::NotFound => self.not_found += 1,
            ReadEnd::Unanswered => self.unanswered += 1,
            ReadEnd::Failed | ReadEnd::Abandoned => self.failed += 1,
        }
        let found = matches!(read.end, ReadEnd::Found | ReadEnd::HeldByReader);
        self.by_legacy += u64::from(read.by_legacy);
        self.found_by_legacy += u64::from(read.by_legacy && found);
        Some(found)
    }
}

impl Measured {
    /// Time begins to pass: what was before is not part of what is measured.
    pub(super) fn begin(&mut self, sim: &Sim) {
        self.before = (sim.network().counters().sent, sim.population());
    }

    /// Time is over: what comes after is not part of what is measured, but for the end of what had begun.
    pub(super) fn end(&mut self, sim: &Sim, nodes: usize) {
        let (population, counters) = (sim.population(), sim.network().counters());
        let (sent_before, before) = self.before;
        self.churned = Churned {
            joined: population.joined - before.joined,
            left: population.left + population.died - before.left - before.died,
            alive: (population.ours + population.others) as u64,
        };
        let node_seconds = nodes as f64 * 60.0 * f64::from(self.minutes);
        let rate = (counters.sent - sent_before) as f64 / node_seconds.max(1.0);
        self.traffic = Traffic {
            sent: counters.sent,
            delivered: counters.delivered,
            lost: counters.lost,
            no_such_address: counters.no_such_address,
            per_node_and_second: round(rate),
        };
        self.trace_hash = sim.network().trace_hash();
    }

    /// A minute begins, in which reads will.
    pub(super) fn begin_minute(&mut self, minute: u32) {
        self.availability.push(Availability { minute, reads: 0, found: 0 });
    }

    /// A read by a node of the network that began in this minute, whenever it ended.
    pub(super) fn take_read(&mut self, minute: u32, read: &Read) {
        if let Some(trace) = read.trace.as_ref().filter(|_| read.end != ReadEnd::Abandoned) {
            self.gets.take(hops_to_value(trace), trace, read.took);
        }
        let Some(found) = self.reads.take(read) else { return };
        if let Some(sample) = self.availability.iter_mut().rfind(|sample| sample.minute == minute) {
            sample.reads += 1;
            sample.found += u32::from(found);
        }
    }

    /// A read by a visitor.
    pub(super) fn take_visit(&mut self, read: &Read) {
        let _ = self.visits.take(read);
    }

    pub(super) fn take_lookup(&mut self, lookup: &Lookup) {
        self.lookups.take_lookup(lookup);
        self.recall.take(lookup.recall);
    }

    /// What it all came to.
    pub(super) fn report(mut self, experiment: &Experiment, complete: bool) -> Report {
        Report {
            experiment: experiment.clone(),
            minutes: self.minutes,
            complete,
            reads: self.reads,
            visits: self.visits,
            availability: self.availability,
            copies: self.copies,
            gets: self.gets.report(),
            lookups: self.lookups.report(),
            recall: self.recall.mean_and_worst().map(|(mean, _)| mean),
            worst_recall: self.recall.mean_and_worst().map(|(_, worst)| worst),
            churned: self.churned,
            traffic: self.traffic,
            trace_hash: format!("{:016x}", self.trace_hash),
            sizes: Vec::new(),
            caching: None,
        }
    }
}

/// Lets the node at `place` look for an id that no node has, chosen by `chance`; `None` if the node left meanwhile.
pub(super) async fn look_up(sim: &Sim, place: usize, chance: u64) -> Option<Lookup> {
    let node = sim.node(place)?;
    // A key that no node set: the search ends with the nearest nodes, and says how it went.
    let key = format!("no node's/{chance:016x}");
    let target = NodeId::of_key(&key);
    let began = Instant::now();
    let traced = node.get_with(&key, GetOptions::default().trace(true)).await.ok()?;
    let took = began.elapsed();
    if sim.node(place)?.id() != node.id() {
        return None;
    }
    let trace = traced.trace?;
    let truth = sim.true_closest_for(&node.id(), &target, Config::DEFAULT.lookup.k);
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
