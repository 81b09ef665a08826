//! The time that a command has: `--timeout`, from its start to its end, whatever it waits for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::args::Network;
use super::contact::Contact;
use super::failure::{Exit, Failure};
use super::wording::{human, list};
use super::{off_thread, output, saving};

/// The time of one command. What does not end within it is left to itself: the process is about to end.
pub(super) struct Deadline<'a> {
    network: &'a Network,
    end: Instant,
}

impl<'a> Deadline<'a> {
    /// From now on.
    pub(super) fn begin(network: &'a Network) -> Self {
        Self { network, end: Instant::now() + network.timeout }
    }

    /// Does `work` in the network.
    pub(super) async fn ask<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.bound(work, || too_slow(self.network.timeout, &self.network.bootstrap)).await
    }

    /// Reads what `source` is called, on another thread.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        source: &str,
        read: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let late = || self.late(Exit::NoInput, &format!("cannot read {source}: it has not ended"));
        self.bound(async { off_thread(read).await? }, late).await
    }

    /// Prints `bytes`.
    pub(super) async fn print(&self, bytes: impl Into<Vec<u8>>) -> Result<(), Failure> {
        let late = || self.late(Exit::Output, "cannot write to standard output: it has not taken all");
        self.bound(output::print(bytes), late).await
    }

    /// Prints `value` as one line of JSON.
    pub(super) async fn print_json(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.print(format!("{}\n", output::json(value))).await
    }

    /// Saves `bytes` as [`saving::save`] does, on another thread.
    pub(super) async fn save(&self, path: &Path, bytes: impl Into<Vec<u8>>) -> Result<(), Failure> {
        let (target, bytes): (PathBuf, Vec<u8>) = (path.to_owned(), bytes.into());
        let late = || self.late(Exit::CannotCreate, &format!("cannot write {}: it has not taken all", path.display()));
        self.bound(async { off_thread(move || saving::save(&target, &bytes)).await? }, late).await
    }

    async fn bound<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
        late: impl FnOnce() -> Failure,
    ) -> Result<T, Failure> {
        timeout_at(self.end, work).await.unwrap_or_else(|_| Err(late()))
    }

    fn late(&self, exit: Exit, what: &str) -> Failure {
        let within = human(self.network.timeout);
        Failure::new(exit, format!("{what} within the {within} of the command (--timeout SECONDS gives it longer)"))
    }
}

fn too_slow(timeout: Duration, contacts: &[Contact]) -> Failure {
    let text = format!(
        "not done within {}, through {}: nobody answered so far, or not enough\n\
         --timeout SECONDS gives it longer; `kad ping HOST:PORT` tells whether somebody is there.",
        human(timeout),
        list(contacts)
    );
    Failure::new(Exit::Unavailable, text)
}
