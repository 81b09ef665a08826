//! `kad-lab sim`: runs an experiment, shows how far it is, and prints and draws what it came to.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::charts;
use crate::experiment::{ExperimentError, Progress, Report};
use crate::failure::{Exit, Failure};
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
        folder.draw(&report)?;
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

/// A folder for charts that can be written to.
struct Folder(PathBuf);

impl Folder {
    /// Makes the folder if need be, and tries to write there.
    fn open(path: &Path) -> Result<Self, Failure> {
        let path = path.to_owned();
        fs::create_dir_all(&path).map_err(|error| cannot("create the directory", &path, &error))?;
        let trial = path.join(".kad-lab");
        File::create(&trial)
            .and_then(|_| fs::remove_file(&trial))
            .map_err(|error| cannot("write charts into", &path, &error))?;
        Ok(Self(path))
    }

    /// Writes the charts of `report`, each whole or not at all, and names them on standard error.
    fn draw(&self, report: &Report) -> Result<(), Failure> {
        for (name, svg) in charts::all(report) {
            let (path, part) = (self.0.join(name), self.0.join(format!(".{name}.part")));
            fs::write(&part, svg)
                .and_then(|()| fs::rename(&part, &path))
                .map_err(|error| cannot("write", &path, &error))?;
            let _ = writeln!(io::stderr(), "wrote {}", path.display());
        }
        Ok(())
    }
}

fn cannot(do_what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::CannotCreate, format!("cannot {do_what} {}: {error}", path.display()))
}
