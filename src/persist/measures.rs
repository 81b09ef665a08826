//! How the stores of a process fare, as the `metrics` facade has it: for whatever recorder the application installs. The
//! numbers themselves are kept by each worker; here they become sums over all stores.

use crate::protocol::store::BackendHealth;

/// A group of `writes` was committed.
pub(super) fn group(writes: usize) {
    metrics::histogram!("kad_store_group_size").record(writes as f64);
}

/// The thread of a store has panicked: it fails from now on.
pub(super) fn died() {
    level("kad_store_failing", 0.0, 1.0);
}

/// What was told of one store. Only differences are, since the other stores of the process add to the same numbers. When it
/// is dropped, what its store no longer is goes with it.
#[derive(Debug, Default)]
pub(super) struct Measures {
    told: BackendHealth,
}

impl Measures {
    /// The store fares like this now.
    pub(super) fn publish(&mut self, health: BackendHealth) {
        let told = std::mem::replace(&mut self.told, health);
        count("kad_store_commits_total", told.commits, health.commits);
        count("kad_store_writes_total", told.grouped, health.grouped);
        count("kad_store_failures_total", told.failures, health.failures);
        count("kad_store_reopened_total", told.reopened, health.reopened);
        count("kad_store_set_aside_total", told.set_aside, health.set_aside);
        count("kad_store_damaged_records_total", told.damaged, health.damaged);
        level("kad_store_waiting", told.waiting as f64, health.waiting as f64);
        level("kad_store_failing", told.failing.into(), health.failing.into());
    }
}

impl Drop for Measures {
    fn drop(&mut self) {
        // It may be the recorder that panicked, and twice would end the process.
        if std::thread::panicking() {
            return;
        }
        self.publish(BackendHealth { waiting: 0, failing: false, ..self.told });
    }
}

fn count(name: &'static str, told: u64, now: u64) {
    metrics::counter!(name).increment(now.saturating_sub(told));
}

fn level(name: &'static str, told: f64, now: f64) {
    metrics::gauge!(name).increment(now - told);
}
