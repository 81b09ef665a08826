//! `kad-lab sim`: runs an experiment, shows how far it is, and prints and draws what it came to.

use std::ops::ControlFlow;

use crate::charts;
use crate::experiment::{ExperimentError, Progress, Report};
use crate::failure::{Exit, Failure};
use crate::folder::Folder;
use crate::interrupt::Interrupt;
use crate::output;
use crate::progress::Bar;
use crate::sim_args::SimArgs;

/// Runs it. What can be known before hours have passed fails before.
pub(crate) fn run(args: &SimArgs) -> Result<(), Failure> {
    args.experiment().validate()?;
    if let Some(series) = args.size_series() {
        series.validate()?;
    }
    let folder = args.plot.as_deref().map(Folder::open).transpose()?;
    let interrupt = Interrupt::listen()?;
    let bar = Bar::new();
    let mut watch = |progress: &Progress| {
        bar.show(progress);
        if interrupt.requested().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let report = simulate(args, &mut watch);
    bar.finish();
    let report = report?;
    output::print(&if args.json { output::json(&report) } else { report.to_string() })?;
    if let Some(folder) = folder {
        folder.write(charts::all(&report))?;
    }
    match interrupt.requested() {
        Some(number) => Err(Failure::new(Exit::Signal(number), "stopped early; the report is of what ran so far")),
        None => Ok(()),
    }
}

fn simulate(args: &SimArgs, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<Report, ExperimentError> {
    let mut report = args.experiment().run_watched(watch)?;
    if let Some(series) = args.size_series().filter(|_| report.complete) {
        report.sizes = series.run_watched(watch)?;
        report.complete = report.sizes.len() == series.sizes.len();
    }
    if let Some(experiment) = args.caching_experiment().filter(|_| report.complete) {
        report.caching = experiment.run_watched(watch)?;
        report.complete = report.caching.is_some();
    }
    Ok(report)
}
