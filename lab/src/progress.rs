//! How far a simulation is, as a bar on the terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::experiment::{Phase, Progress};

/// The progress on standard error. Where that is no terminal nothing is shown.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new() -> Self {
        let bar = Self::on(ProgressDrawTarget::stderr());
        // The time goes on even where nothing is reported for a while.
        bar.0.enable_steady_tick(Duration::from_millis(500));
        bar
    }

    /// Takes it off the terminal.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }

    /// A bar that is drawn here, whenever something is shown.
    fn on(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{msg:<28} [{bar:30}] {pos}/{len} {elapsed} gone, {eta} to go");
        bar.set_style(style.expect("the template is well-formed").progress_chars("=> "));
        Self(bar)
    }

    pub(crate) fn show(&self, progress: &Progress) {
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
        bar.finish();
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
