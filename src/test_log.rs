//! Where tests read what is logged on their thread.

use tracing::dispatcher::{DefaultGuard, Dispatch};
use tracing::subscriber::{NoSubscriber, Subscriber, set_default};

/// Logs what this thread logs to `log`, until both are dropped.
///
/// The second dispatcher is there since where `tracing` knows of one only, it asks the thread that first reaches a log statement
/// whether that is logged at all, and keeps the answer: a thread of another test, which logs nothing.
pub(crate) fn log_to(log: impl Subscriber + Send + Sync) -> (DefaultGuard, Dispatch) {
    let second = Dispatch::new(NoSubscriber::default());
    (set_default(log), second)
}
