//! Lookups against network size: static networks of several sizes, and what a lookup takes in each.

use std::ops::ControlFlow;

use futures_util::future::join_all;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::sim::{Latency, in_virtual_time};
use serde::{Deserialize, Serialize};

use super::measured::{Recall, Searches, look_up};
use super::report::SizeFigures;
use super::run::build;
use super::setup::{ExperimentError, MAX_LOSS, MAX_NODES, MIN_NODES, Phase, Progress, Watch, within};
use crate::mixed::mixed;

/// The most sizes in one series.
pub const MAX_SIZES: usize = 20;
/// Lookups that are under way at once.
const AT_ONCE: usize = 10;

/// Static networks of several sizes, in which lookups of random ids are measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SizeSeries {
    /// The sizes ([`MIN_NODES`]..=[`MAX_NODES`] each, [`MAX_SIZES`] at most), in the order in which they are measured.
    pub sizes: Vec<usize>,
    /// Lookups in each network, each by a random node (from 1). 500 by default.
    pub lookups: usize,
    /// The share of datagrams that get lost (0..=[`MAX_LOSS`]) once a network has formed. 0 by default.
    pub loss: f64,
    /// Where all chances come from.
    pub seed: u64,
}

impl Default for SizeSeries {
    fn default() -> Self {
        Self { sizes: vec![200, 1_000], lookups: 500, loss: 0.0, seed: 1 }
    }
}

impl SizeSeries {
    /// Measures them all.
    ///
    /// # Errors
    /// A field out of its range, or a node that cannot be started.
    ///
    /// # Panics
    /// Where a runtime runs on this thread already, as [`in_virtual_time`] does: within a test under `#[tokio::test]` or
    /// `#[actix::test]`, say. A plain `#[test]` will do, and `tokio::task::spawn_blocking` elsewhere.
    pub fn run(&self) -> Result<Vec<SizeFigures>, ExperimentError> {
        self.run_watched(&mut |_| ControlFlow::Continue(()))
    }

    /// Measures them, and tells `watch` all along. Once that says `Break` it ends with those that are done.
    ///
    /// # Errors
    /// As [`SizeSeries::run`].
    ///
    /// # Panics
    /// As [`SizeSeries::run`], and where `watch` panics.
    pub fn run_watched(&self, watch: Watch<'_>) -> Result<Vec<SizeFigures>, ExperimentError> {
        self.validate()?;
        let of: usize = self.sizes.iter().sum();
        let (mut figures, mut built) = (Vec::with_capacity(self.sizes.len()), 0);
        for size in &self.sizes {
            let mut goes_on = |joined| {
                let [done, of] = [built + joined, of].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
                watch(&Progress { phase: Phase::Sizes, done, of, reads: 0, found: 0 }).is_continue()
            };
            match self.measure(*size, &mut goes_on)? {
                Some(size) => figures.push(size),
                None => break,
            }
            built += size;
        }
        Ok(figures)
    }

    /// Whether it can be run.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), ExperimentError> {
        within("the share of datagrams lost", self.loss, 0.0, MAX_LOSS)?;
        within("the number of lookups", self.lookups as f64, 1.0, u32::MAX.into())?;
        within("the number of sizes", self.sizes.len() as f64, 0.0, MAX_SIZES as f64)?;
        let mut sizes = self.sizes.iter();
        sizes.try_for_each(|size| within("a network's size", *size as f64, MIN_NODES as f64, MAX_NODES as f64))
    }

    /// `None` if it was stopped meanwhile.
    fn measure(
        &self,
        nodes: usize,
        goes_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<SizeFigures>, ExperimentError> {
        let builder = mixed(nodes, 0.0).seed(self.seed).latency(Latency::INTERNET).loss(self.loss);
        let (mut searches, mut recall) = (Searches::default(), Recall::default());
        let mut entropy = SeededEntropy::new(!self.seed);
        let chances: Vec<u64> = (0..self.lookups).map(|_| entropy.next_u64()).collect();
        let measured = in_virtual_time(async {
            let Some(sim) = build(builder, goes_on).await? else { return Ok::<_, ExperimentError>(None) };
            for chances in chances.chunks(AT_ONCE) {
                if !goes_on(nodes) {
                    return Ok(None);
                }
                let started = chances.iter().map(|chance| look_up(&sim, sim.random_node(), *chance));
                for lookup in join_all(started).await.iter().flatten() {
                    searches.take_lookup(lookup);
                    recall.take(lookup.recall);
                }
            }
            Ok(Some(()))
        })?;
        let (recall, worst_recall) = recall.mean_and_worst().unwrap_or_default();
        Ok(measured.map(|()| SizeFigures {
            nodes,
            k: Config::DEFAULT.lookup.k,
            lookups: searches.report(),
            recall,
            worst_recall,
        }))
    }
}
