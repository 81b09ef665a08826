//! Lookups against network size: static networks of several sizes, and what a lookup takes in each.

use std::ops::ControlFlow;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::figures::Measurements;
use super::measured::{Searches, look_up};
use super::run::{LATENCY, build};
use super::{ExperimentError, MAX_LOSS, MAX_NODES, MIN_NODES, Phase, Progress, SizeFigures, Watch, within};
use crate::actors::outcome::Error;
use crate::protocol::config::DEFAULT_K;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::sim::{Sim, in_virtual_time};

/// Lookups that are under way at once.
const AT_ONCE: usize = 10;

/// Static networks of several sizes, in which lookups of random ids are measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SizeSeries {
    /// The sizes ([`MIN_NODES`]..=[`MAX_NODES`] each), in the order in which they are measured.
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
    pub fn run(&self) -> Result<Vec<SizeFigures>, ExperimentError> {
        self.run_watched(&mut |_| ControlFlow::Continue(()))
    }

    /// Measures them, and tells `watch` all along. Once that says `Break` it ends with those that are done.
    ///
    /// # Errors
    /// As [`SizeSeries::run`].
    pub fn run_watched(&self, watch: Watch<'_>) -> Result<Vec<SizeFigures>, ExperimentError> {
        within("the share of datagrams lost", self.loss, 0.0, MAX_LOSS)?;
        within("the number of lookups", self.lookups as f64, 1.0, u32::MAX.into())?;
        for size in &self.sizes {
            within("a network's size", *size as f64, MIN_NODES as f64, MAX_NODES as f64)?;
        }
        let mut figures = Vec::with_capacity(self.sizes.len());
        for (done, size) in self.sizes.iter().enumerate() {
            let [done, of] = [done, self.sizes.len()].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
            let progress = Progress { phase: Phase::Sizes, done, of, reads: 0, found: 0 };
            match self.measure(*size, &mut || watch(&progress).is_continue())? {
                Some(size) => figures.push(size),
                None => break,
            }
        }
        Ok(figures)
    }

    /// `None` if it was stopped meanwhile.
    fn measure(&self, nodes: usize, goes_on: &mut dyn FnMut() -> bool) -> Result<Option<SizeFigures>, ExperimentError> {
        let builder = Sim::builder().nodes(nodes).seed(self.seed).loss(self.loss).latency(LATENCY);
        let (mut searches, mut recall) = (Searches::default(), Measurements::default());
        let mut entropy = SeededEntropy::new(!self.seed);
        let chances: Vec<u64> = (0..self.lookups).map(|_| entropy.next_u64()).collect();
        let measured = in_virtual_time(async {
            let Some(sim) = build(builder, goes_on).await? else { return Ok::<_, Error>(None) };
            for chances in chances.chunks(AT_ONCE) {
                if !goes_on() {
                    return Ok(None);
                }
                let started = chances.iter().map(|chance| look_up(&sim, sim.random_node(), *chance));
                for lookup in join_all(started).await.iter().flatten() {
                    searches.take_lookup(lookup);
                    recall.push(lookup.recall);
                }
            }
            Ok(Some(()))
        })?;
        let recall = recall.figures();
        Ok(measured.map(|()| SizeFigures {
            nodes,
            k: DEFAULT_K,
            lookups: searches.report(),
            recall: recall.map_or(0.0, |figures| figures.mean),
            worst_recall: recall.map_or(0.0, |figures| figures.min),
        }))
    }
}
