//! `kad sim`: runs an experiment on a thread of its own, shows how far it is, and prints or draws what it came to.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::oneshot;

use super::failure::{Exit, Failure};
use super::signals::Signals;
use super::sim_args::SimArgs;
use super::{charts, off_thread, output, saving};
use crate::protocol::store::CacheTtl;
use crate::sim::experiment::{ExperimentError, Phase, Progress, Report};

/// What the simulation came to.
type Outcome = Result<Report, ExperimentError>;

pub(super) async fn run(args: SimArgs) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    // What can be known before hours have passed is said before.
    args.experiment().validate()?;
    if let Some(series) = args.size_series() {
        series.validate()?;
    }
    if let Some(dir) = &args.plot {
        fs::create_dir_all(dir).map_err(|error| cannot_create(dir, &error))?;
    }
    let (json, plot) = (args.json, args.plot.clone());
    let stop = Arc::new(AtomicBool::new(false));
    let mut simulation = start(args, stop.clone())?;
    let mut stopped_by = None;
    let report = loop {
        tokio::select! {
            biased;
            number = signals.next() => match stopped_by {
                None => {
                    stop.store(true, Ordering::Relaxed);
                    stopped_by = Some(number);
                }
                Some(_) => return Err(Failure::new(Exit::signal(number), "ended before the simulation had stopped")),
            },
            // Nothing is sent only by a thread that panicked.
            ended = &mut simulation => match ended {
                Ok(outcome) => break outcome.map_err(Failure::from)?,
                Err(_) => return Err(Failure::new(Exit::INTERNAL, "the simulation broke")),
            },
        }
    };
    let tell = async {
        if json {
            output::print(output::json(&report) + "\n").await?;
        } else {
            output::print(report.to_string()).await?;
        }
        match plot {
            Some(dir) => off_thread(move || draw(&report, &dir)).await?,
            None => Ok(()),
        }
    };
    tokio::select! {
        biased;
        number = signals.next() => return Err(Failure::new(Exit::signal(number), "ended before all was printed")),
        told = tell => told?,
    }
    match stopped_by {
        Some(number) => Err(Failure::new(Exit::signal(number), "stopped early; the report is of what ran so far")),
        None => Ok(()),
    }
}

/// Starts the simulation, which ends early once `stop` is set.
fn start(args: SimArgs, stop: Arc<AtomicBool>) -> Result<oneshot::Receiver<Outcome>, Failure> {
    let (sender, receiver) = oneshot::channel();
    let simulate = move || {
        let bar = Bar::new();
        let mut watch = |progress: &Progress| {
            bar.show(progress);
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let outcome = simulate(&args, &mut watch);
        bar.0.finish_and_clear();
        // Nobody waits after a second signal.
        let _ = sender.send(outcome);
    };
    thread::Builder::new()
        .name("simulation".to_owned())
        .spawn(simulate)
        .map_err(|error| Failure::new(Exit::SYSTEM, format!("cannot start a thread: {error}")))?;
    Ok(receiver)
}

fn simulate(args: &SimArgs, watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Outcome {
    let mut report = args.experiment().run_watched(watch)?;
    if let Some(series) = args.size_series().filter(|_| report.complete) {
        report.sizes = series.run_watched(watch)?;
        report.complete = report.sizes.len() == series.sizes.len();
    }
    if let Some(series) = args.caching_series().filter(|_| report.complete) {
        report.caching = series.run_watched(watch)?;
        report.complete = report.caching.len() == CacheTtl::ALL.len();
    }
    Ok(report)
}

fn draw(report: &Report, dir: &Path) -> Result<(), Failure> {
    for (name, svg) in charts::all(report) {
        saving::save(&dir.join(name), svg.as_bytes())?;
        tracing::info!(chart = name, "drawn");
    }
    Ok(())
}

fn cannot_create(dir: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::CANNOT_CREATE, format!("cannot create the directory {}: {error}", dir.display()))
}

impl From<ExperimentError> for Failure {
    fn from(error: ExperimentError) -> Self {
        match error {
            ExperimentError::Node(error) => error.into(),
            out_of_range => Self::new(Exit::USAGE, out_of_range.to_string()),
        }
    }
}

/// The progress on standard error. Where that is no terminal nothing is shown.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = Self::on(ProgressDrawTarget::stderr());
        // The time goes on even where nothing is told for a while.
        bar.0.enable_steady_tick(Duration::from_millis(500));
        bar
    }

    /// A bar that is drawn here, whenever something is shown.
    fn on(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{msg:<28} [{bar:30}] {pos}/{len} {elapsed} gone, {eta} to go");
        bar.set_style(style.expect("the template is well-formed").progress_chars("=> "));
        Self(bar)
    }

    fn show(&self, progress: &Progress) {
        let Progress { phase, done, of, reads, found } = *progress;
        let message = match phase {
            Phase::Forming => "nodes join".to_owned(),
            Phase::Publishing => "values are set".to_owned(),
            Phase::Running => format!("minutes; {found} of {reads} found"),
            Phase::Sizes => "networks of several sizes".to_owned(),
            Phase::Caching => format!("caching; {found} of {reads} found"),
        };
        // Another phase: its time and its rate are its own.
        if self.0.length() != Some(of.into()) || u64::from(done) < self.0.position() {
            self.0.reset();
            self.0.set_length(of.into());
        }
        self.0.set_position(done.into());
        // The message last: this is what draws at once.
        self.0.set_message(message);
    }
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    /// A bar on a terminal that can be read.
    fn bar() -> (Bar, InMemoryTerm) {
        let terminal = InMemoryTerm::new(5, 120);
        (Bar::on(ProgressDrawTarget::term_like(Box::new(terminal.clone()))), terminal)
    }

    fn progress(phase: Phase, done: u32, of: u32) -> Progress {
        Progress { phase, done, of, reads: 210, found: 209 }
    }

    #[test]
    fn the_bar_shows_each_phase_and_how_far_it_is() {
        let (bar, terminal) = bar();
        for (phase, done, of, name, arrow, count) in [
            (Phase::Forming, 50, 200, "nodes join ", "[=======>", " 50/200 "),
            (Phase::Publishing, 10, 20, "values are set ", "[===============>", " 10/20 "),
            (Phase::Running, 45, 60, "minutes; 209 of 210 found ", "[======================>", " 45/60 "),
            (Phase::Sizes, 0, 1_200, "networks of several sizes ", "[ ", " 0/1200 "),
            (Phase::Caching, 480, 480, "caching; 209 of 210 found ", "[==============================]", " 480/480 "),
        ] {
            bar.show(&progress(phase, done, of));
            let shown = terminal.contents();
            assert!(shown.starts_with(name) && shown.contains(arrow) && shown.contains(count), "{phase:?}: {shown:?}");
            assert!(shown.contains(" gone, ") && shown.ends_with(" to go"), "{shown:?}");
            assert_eq!(shown.lines().count(), 1, "it is drawn over what was shown before: {shown:?}");
        }
        bar.0.finish_and_clear();
        assert_eq!(terminal.contents(), "", "and nothing of it is left");
    }

    #[test]
    fn each_phase_has_a_time_of_its_own_even_one_as_long_as_the_one_before() {
        let (bar, terminal) = bar();
        let an_hour = Duration::from_secs(3_600);
        let shows = |phase, done, of| {
            bar.0.set_elapsed(an_hour);
            bar.show(&progress(phase, done, of));
            terminal.contents()
        };
        bar.show(&progress(Phase::Forming, 0, 20));
        for done in [1, 20] {
            let shown = shows(Phase::Forming, done, 20);
            assert!(shown.contains(" 60m gone"), "its time goes on: {shown:?}");
        }
        for (phase, of) in [(Phase::Publishing, 20), (Phase::Running, 60)] {
            let shown = shows(phase, 0, of);
            assert!(shown.contains(" 0s gone"), "{phase:?} begins: {shown:?}");
            let shown = shows(phase, 1, of);
            assert!(shown.contains(" 60m gone"), "{phase:?} goes on: {shown:?}");
        }
    }
}
