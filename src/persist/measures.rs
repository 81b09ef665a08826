//! The health of the stores of a process for the `metrics` facade, and so for the recorder that the application installs.
//! Each worker has its own numbers; here they become sums over all stores.

use crate::protocol::store::BackendHealth;

/// A group of `writes` was committed.
pub(super) fn group(writes: usize) {
    metrics::histogram!("kad_store_group_size").record(writes as f64);
}

/// The thread of a store has panicked: it fails from now on.
pub(super) fn died() {
    level("kad_store_failing", 0.0, 1.0);
}

/// What was published of one store. Only differences are, since the other stores of the process add to the same numbers. Once
/// it is dropped, its store counts neither as waiting nor as failing.
#[derive(Debug, Default)]
pub(super) struct Measures {
    before: BackendHealth,
}

impl Measures {
    /// Publishes the store's health as it is now.
    pub(super) fn publish(&mut self, health: BackendHealth) {
        let before = std::mem::replace(&mut self.before, health);
        count("kad_store_commits_total", before.commits, health.commits);
        count("kad_store_writes_total", before.grouped, health.grouped);
        count("kad_store_failures_total", before.failures, health.failures);
        count("kad_store_reopened_total", before.reopened, health.reopened);
        count("kad_store_set_aside_total", before.set_aside, health.set_aside);
        count("kad_store_damaged_records_total", before.damaged, health.damaged);
        level("kad_store_waiting", before.waiting as f64, health.waiting as f64);
        level("kad_store_failing", before.failing.into(), health.failing.into());
    }
}

impl Drop for Measures {
    fn drop(&mut self) {
        // It may be the recorder that panicked, and twice would end the process.
        if std::thread::panicking() {
            return;
        }
        self.publish(BackendHealth { waiting: 0, failing: false, ..self.before });
    }
}

fn count(name: &'static str, before: u64, now: u64) {
    metrics::counter!(name).increment(now.saturating_sub(before));
}

fn level(name: &'static str, before: f64, now: f64) {
    metrics::gauge!(name).increment(now - before);
}
