//! Experiments: a whole network with values in it, run for a while, and measured all along. What a network is and how
//! its nodes come and go is `Sim`'s business; what is measured here is what its users see.

mod caching;
mod figures;
mod measured;
mod report;
mod run;
mod seconds;
mod setup;
mod sizes;
#[cfg(test)]
mod tests;

pub use caching::{CachingExperiment, CachingFigures, CachingReads, CachingSample};
pub use figures::{CdfPoint, Figures};
pub(crate) use report::lasting;
pub use report::{Availability, Churned, Copies, Lookups, Reads, Report, SizeFigures, Traffic};
pub use setup::{
    Experiment, ExperimentError, MAX_DURATION, MAX_LOSS, MAX_NODES, MAX_PER_MINUTE, MAX_VALUES, MIN_DURATION,
    MIN_HALF_LIFE, MIN_NODES, Phase, Progress, Watch,
};
pub use sizes::{MAX_SIZES, SizeSeries};
