//! What caching along the path comes to: how many reads cached copies answer, and how many of those answers are out of date
//! after a value was set anew.

use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::store::Class;
use kademlia_dynamic::sim::{Latency, Sim, in_virtual_time};
use kademlia_dynamic::{Config, Error, GetResult, NodeId, Value};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, sleep_until};

use super::run::build;
use super::setup::{
    ExperimentError, MAX_NODES, MAX_PER_MINUTE, MAX_VALUES, MINUTE, Phase, Progress, Watch, lasts, within,
};
use crate::mixed::mixed;

/// How many minutes after a value was set go into one sample.
const MINUTES_A_SAMPLE: u32 = 10;
/// The fewest nodes: a node that holds no copy must remain.
const MIN_CACHING_NODES: usize = 20;
/// The part of a minute in which its reads begin: the rest is for the slow ones to end in.
const BEGIN_WITHIN: Duration = Duration::from_secs(45);

/// A network in which some values are read more often than others (the n-th of them in proportion to 1/n), and all are set
/// anew from time to time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CachingExperiment {
    /// Nodes (20..=[`MAX_NODES`]). 200 by default.
    pub nodes: usize,
    /// Replicas of a value (1..=20). 4 by default.
    pub k: usize,
    /// Values (1..=[`MAX_VALUES`]). 50 by default.
    pub values: usize,
    /// Reads in each virtual minute, by random nodes (1..=[`MAX_PER_MINUTE`]). 60 by default.
    pub reads_per_minute: usize,
    /// How long each value stays the same, in seconds as JSON (from one minute). 4 hours by default.
    #[serde(with = "super::seconds")]
    pub rewritten_every: Duration,
    /// How often each is set anew (from 1). 3 times by default. The network lasts once longer.
    pub rewrites: u32,
    /// Where all chances come from.
    pub seed: u64,
}

impl Default for CachingExperiment {
    fn default() -> Self {
        Self {
            nodes: 200,
            k: 4,
            values: 50,
            reads_per_minute: 60,
            rewritten_every: Duration::from_secs(4 * 3_600),
            rewrites: 3,
            seed: 1,
        }
    }
}

/// What caching came to. What happened before the first rewrite is not counted: nothing could be stale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CachingFigures {
    /// All reads.
    pub total: CachingReads,
    /// The reads by the time since the values had been set anew.
    pub by_age: Vec<CachingSample>,
}

/// Reads at the same age of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachingSample {
    /// The first minute of it, from 0.
    pub minute: u32,
    /// Its reads.
    pub reads: CachingReads,
}

/// Reads, and what they came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachingReads {
    /// How many.
    pub asked: u64,
    /// That found a value.
    pub found: u64,
    /// Of those, those that a cached copy answered.
    pub hits: u64,
    /// Of those found, those that found the value as it was before it was last set.
    pub stale: u64,
    /// Of those, those that a cached copy answered. The others found a full copy that the last `set` had not reached.
    pub stale_hits: u64,
}

impl CachingReads {
    /// The share of values found that came from a cached copy.
    pub fn hit_rate(&self) -> Option<f64> {
        (self.found > 0).then(|| self.hits as f64 / self.found as f64)
    }

    /// The share of values found that were out of date because they were cached.
    pub fn staleness(&self) -> Option<f64> {
        (self.found > 0).then(|| self.stale_hits as f64 / self.found as f64)
    }

    /// The share of values found that were out of date for whatever reason.
    pub fn overall_staleness(&self) -> Option<f64> {
        (self.found > 0).then(|| self.stale as f64 / self.found as f64)
    }

    fn take(&mut self, other: Self) {
        self.asked += other.asked;
        self.found += other.found;
        self.hits += other.hits;
        self.stale += other.stale;
        self.stale_hits += other.stale_hits;
    }
}

impl CachingExperiment {
    /// Measures it.
    ///
    /// # Errors
    /// A field out of its range, or a node that cannot be started.
    ///
    /// # Panics
    /// Where a runtime runs on this thread already, as [`in_virtual_time`] does: within a test under `#[tokio::test]` or
    /// `#[actix::test]`, say. A plain `#[test]` will do, and `tokio::task::spawn_blocking` elsewhere.
    pub fn run(&self) -> Result<Option<CachingFigures>, ExperimentError> {
        self.run_watched(&mut |_| ControlFlow::Continue(()))
    }

    /// Measures it, and calls `watch` in each virtual minute; `None` if that said `Break` before the end.
    ///
    /// # Errors
    /// As [`CachingExperiment::run`].
    ///
    /// # Panics
    /// As [`CachingExperiment::run`], and where `watch` panics.
    pub fn run_watched(&self, watch: Watch<'_>) -> Result<Option<CachingFigures>, ExperimentError> {
        within("the number of nodes", self.nodes as f64, MIN_CACHING_NODES as f64, MAX_NODES as f64)?;
        within("the replicas of a value", self.k as f64, 1.0, 20.0)?;
        within("the number of values", self.values as f64, 1.0, MAX_VALUES as f64)?;
        within("the reads in a minute", self.reads_per_minute as f64, 1.0, MAX_PER_MINUTE as f64)?;
        within("the number of rewrites", self.rewrites.into(), 1.0, 1e6)?;
        lasts("the time between rewrites", self.rewritten_every, MINUTE)?;
        self.measure(watch)
    }

    fn measure(&self, watch: Watch<'_>) -> Result<Option<CachingFigures>, ExperimentError> {
        let config = Config::builder().k(self.k).build().map_err(Error::from)?;
        let builder = mixed(self.nodes, 0.0).seed(self.seed).latency(Latency::INTERNET).config(config);
        let (minutes, rounds) = ((self.rewritten_every.as_secs() / 60) as u32, self.rewrites + 1);
        let (mut passed, of) = (0, rounds * minutes);
        let mut goes_on = |passed: u32, total: &CachingReads| {
            let progress = Progress { phase: Phase::Caching, done: passed, of, reads: total.asked, found: total.found };
            watch(&progress).is_continue()
        };
        let mut entropy = SeededEntropy::new(!self.seed);
        let mut total = CachingReads::default();
        let mut by_age = vec![CachingReads::default(); minutes.div_ceil(MINUTES_A_SAMPLE) as usize];
        let measured = in_virtual_time(async {
            let Some(sim) = build(builder, &mut |_| goes_on(passed, &total)).await? else { return Ok(None) };
            let publishers: Vec<usize> = (0..self.values).map(|_| sim.random_node()).collect();
            for round in 0..rounds {
                let begin = Instant::now();
                let sim = &sim;
                let set = async |(n, place): (usize, &usize)| sim.set(*place, &key(n), value(n, round)).await;
                let sets = publishers.iter().enumerate().map(set);
                try_join_all(sets).await?;
                for minute in 0..minutes {
                    if !goes_on(passed, &total) {
                        return Ok(None);
                    }
                    let reads = self.read(sim, round, &mut entropy).await;
                    if round > 0 {
                        total.take(reads);
                        by_age[(minute / MINUTES_A_SAMPLE) as usize].take(reads);
                    }
                    passed += 1;
                    sleep_until(begin + MINUTE * (minute + 1)).await;
                }
            }
            Ok::<_, ExperimentError>(Some(()))
        })?;
        let sample =
            |(at, reads): (usize, &CachingReads)| CachingSample { minute: at as u32 * MINUTES_A_SAMPLE, reads: *reads };
        let by_age = by_age.iter().enumerate().map(sample).collect();
        Ok(measured.map(|()| CachingFigures { total, by_age }))
    }

    /// The reads of one minute.
    async fn read(&self, sim: &Sim, round: u32, entropy: &mut SeededEntropy) -> CachingReads {
        let reads: Vec<(Duration, usize)> =
            (0..self.reads_per_minute).map(|_| (BEGIN_WITHIN.mul_f64(entropy.unit()), self.popular(entropy))).collect();
        let reads = reads.into_iter().map(|(after, n)| async move {
            sleep(after).await;
            let mut read = CachingReads { asked: 1, ..CachingReads::default() };
            let reader = sim.random_node();
            let Some(reader_id) = sim.node(reader).map(|node| node.id()) else { return read };
            if let Ok(GetResult::Found { value: found, holder, .. }) = sim.get(reader, &key(n)).await {
                read.found = 1;
                read.stale = u64::from(found != Value::from(value(n, round)));
                // Without a holder it was held by the reader.
                let holder = holder.map_or(reader_id, |holder| holder.id);
                read.hits = u64::from(caches(sim, &holder, &key(n)).await);
                read.stale_hits = read.stale & read.hits;
            }
            read
        });
        let mut sum = CachingReads::default();
        join_all(reads).await.into_iter().for_each(|read| sum.take(read));
        sum
    }

    /// A value: the n-th in proportion to 1/n.
    fn popular(&self, entropy: &mut SeededEntropy) -> usize {
        let weight = |n: usize| 1.0 / (n + 1) as f64;
        let mut left = entropy.unit() * (0..self.values).map(weight).sum::<f64>();
        for n in 0..self.values {
            left -= weight(n);
            if left <= 0.0 {
                return n;
            }
        }
        self.values - 1
    }
}

/// Whether what the node with this id holds is a cached copy.
async fn caches(sim: &Sim, id: &NodeId, key: &str) -> bool {
    let Some(node) = sim.places().into_iter().filter_map(|place| sim.node(place)).find(|node| node.id() == *id) else {
        return false;
    };
    node.copy_of(key).await.ok().flatten().is_some_and(|copy| copy.class == Class::Cached)
}

fn key(n: usize) -> String {
    format!("caching/{n}")
}

fn value(n: usize, round: u32) -> String {
    format!("value {n}, set for the {round}. time")
}
