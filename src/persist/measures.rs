//! How the store fares, as the `metrics` facade has it: for whatever recorder the application installs. The numbers themselves
//! are kept by the worker.

use crate::protocol::store::BackendHealth;

/// A group of `writes` was committed.
pub(super) fn group(writes: usize) {
    metrics::histogram!("kad_store_group_size").record(writes as f64);
}

/// It fares like this now.
pub(super) fn publish(health: &BackendHealth) {
    metrics::counter!("kad_store_commits_total").absolute(health.commits);
    metrics::counter!("kad_store_writes_total").absolute(health.grouped);
    metrics::counter!("kad_store_failures_total").absolute(health.failures);
    metrics::counter!("kad_store_reopened_total").absolute(health.reopened);
    metrics::counter!("kad_store_set_aside_total").absolute(health.set_aside);
    metrics::counter!("kad_store_damaged_records_total").absolute(health.damaged);
    metrics::gauge!("kad_store_waiting").set(health.waiting as f64);
    metrics::gauge!("kad_store_failing").set(if health.failing { 1.0 } else { 0.0 });
}
