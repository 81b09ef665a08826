//! The time that a command has: `--timeout`, from its start to its end, whatever it waits for.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::args::Network;
use super::contact::Contact;
use super::failure::{Exit, Failure};
use super::wording::{human, list};
use super::{off_thread, output, saving};

/// The pause before another try: what fails at once is not tried at once again.
const PAUSE: Duration = Duration::from_millis(100);

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

    /// Does `work` in the network, from its beginning again while no answer comes. Fails as the last try that had an end.
    pub(super) async fn ask<T>(&self, mut work: impl AsyncFnMut() -> Result<T, Failure>) -> Result<T, Failure> {
        let unanswered = Cell::new(None);
        let tries = async {
            loop {
                match work().await {
                    Err(failure) if failure.unanswered => unanswered.set(Some(failure)),
                    ended => return ended,
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let late = || unanswered.take().unwrap_or_else(|| too_slow(self.network.timeout, &self.network.bootstrap));
        self.bound(tries, late).await
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

#[cfg(test)]
mod tests {
    use super::super::client;
    use super::*;
    use crate::protocol::codec::Codec;

    fn network() -> Network {
        let bootstrap = vec!["127.0.0.1:1".parse().unwrap()];
        Network { bootstrap, wire: Codec::Json, timeout: Duration::from_secs(10), json: false }
    }

    /// What becomes of work whose tries end so, and how many there were.
    async fn after(mut ends: impl FnMut(u32) -> Result<(), Failure>) -> (Result<(), Failure>, u32) {
        let (network, mut tries) = (network(), 0);
        let ended = Deadline::begin(&network)
            .ask(async || {
                tokio::time::sleep(Duration::from_secs(2)).await;
                tries += 1;
                ends(tries)
            })
            .await;
        (ended, tries)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_answered_is_tried_until_it_is_or_the_time_is_over() {
        let silent = |tried: u32| client::silence(&tried.to_string(), Codec::Json);
        assert_eq!(after(|tries| if tries == 3 { Ok(()) } else { Err(silent(tries)) }).await, (Ok(()), 3));
        assert_eq!(after(|tries| Err(silent(tries))).await, (Err(silent(4)), 4));
        let refused = Failure::new(Exit::NotFound, "none holds it");
        assert_eq!(after(|_| Err(refused.clone())).await, (Err(refused.clone()), 1));
    }
}
