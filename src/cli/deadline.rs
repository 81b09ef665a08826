//! The time that a command has, `--timeout` from its start to its end, whatever it waits for.

use std::cell::Cell;
use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::args::Network;
use super::failure::{Exit, Failure};
use super::output;
use super::wording::{human, list};

/// The pause before another attempt: a request that fails at once is not repeated at once.
const PAUSE: Duration = Duration::from_millis(100);

/// The time of one command. Work that does not end within it is abandoned: the process is about to end.
pub(super) struct Deadline<'a> {
    pub(super) network: &'a Network,
    end: Instant,
}

impl<'a> Deadline<'a> {
    /// From now on.
    pub(super) fn begin(network: &'a Network) -> Self {
        Self { network, end: Instant::now() + network.timeout }
    }

    /// Does `work` in the network, and repeats it while no answer comes. Fails as the last attempt that ended, or as `late`
    /// where none did.
    pub(super) async fn ask<T>(
        &self,
        late: impl FnOnce() -> Failure,
        mut work: impl AsyncFnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let unanswered = Cell::new(None);
        let attempts = async {
            loop {
                match work().await {
                    Err(failure) if failure.unanswered => unanswered.set(Some(failure)),
                    ended => return ended,
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        timeout_at(self.end, attempts).await.unwrap_or_else(|_| Err(unanswered.take().unwrap_or_else(late)))
    }

    /// No attempt ended in time.
    pub(super) fn too_slow(&self) -> Failure {
        let (within, contacts) = (human(self.network.timeout), list(&self.network.bootstrap));
        let text = format!(
            "not done within {within}, through {contacts}: no node has answered, or too few\n\
             --timeout TIME sets a longer limit; `kad ping HOST:PORT` shows whether a node answers there."
        );
        Failure::new(Exit::UNAVAILABLE, text)
    }

    /// Prints `bytes`.
    pub(super) async fn print(&self, bytes: impl Into<Vec<u8>>) -> Result<(), Failure> {
        let what = "cannot write to standard output: it did not accept all of it";
        self.within(Exit::OUTPUT, what, output::print(bytes)).await
    }

    /// Prints `json` as one line where `--json` asks for that, and `text` otherwise.
    pub(super) async fn report(&self, json: &impl Serialize, text: impl Into<Vec<u8>>) -> Result<(), Failure> {
        if self.network.json { self.print(output::json(json) + "\n").await } else { self.print(text).await }
    }

    /// Does `work`, which reads or writes; fails with `late` where it does not end in time.
    pub(super) async fn within<T>(
        &self,
        exit: Exit,
        late: impl Display,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let within = human(self.network.timeout);
        let text = format!("{late} within the {within} of the command (--timeout TIME sets a longer limit)");
        timeout_at(self.end, work).await.unwrap_or_else(|_| Err(Failure::new(exit, text)))
    }
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

    /// What becomes of work whose attempts end so, and how many there were.
    async fn after(mut ends: impl FnMut(u32) -> Result<(), Failure>) -> (Result<(), Failure>, u32) {
        let (network, mut tries) = (network(), 0);
        let deadline = Deadline::begin(&network);
        let ended = deadline.ask(
            || deadline.too_slow(),
            async || {
                tokio::time::sleep(Duration::from_secs(2)).await;
                tries += 1;
                ends(tries)
            },
        );
        let ended = ended.await;
        (ended, tries)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_answered_is_tried_until_it_is_or_the_time_is_over() {
        let silent = |tried: u32| client::silence(&tried.to_string(), Codec::Json);
        assert_eq!(after(|tries| if tries == 3 { Ok(()) } else { Err(silent(tries)) }).await, (Ok(()), 3));
        assert_eq!(after(|tries| Err(silent(tries))).await, (Err(silent(4)), 4));
        let refused = Failure::new(Exit::NOT_FOUND, "none holds it");
        assert_eq!(after(|_| Err(refused.clone())).await, (Err(refused.clone()), 1));
    }
}
