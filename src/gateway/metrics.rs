//! Metrics for Prometheus: what the node counts by the `metrics` facade, and how much there is of what when it is asked.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::problem::{Answer, Problem};
use super::state::State;
use crate::actors::counters::Counter;
use crate::actors::snapshot::Snapshot;

/// The content type of the text format of Prometheus.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One metric: docs/metrics.md says more of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub help: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, kind: Kind::Counter }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, kind: Kind::Gauge }
}

/// All metrics of a node.
pub const METRICS: &[Metric] = &[
    counter("kad_datagrams_received_total", "Datagrams that came in."),
    counter("kad_datagrams_sent_total", "Datagrams that went out."),
    counter("kad_queries_answered_total", "Queries of other nodes that were answered."),
    counter("kad_queries_sent_total", "Queries of this node."),
    counter("kad_queries_resent_total", "Further sends of queries that no answer had come to."),
    counter("kad_queries_silent_total", "Queries of this node that no answer came to in time."),
    counter("kad_repeats_total", "Answers and writes that came again, by reason."),
    counter("kad_unverified_total", "Responses and writes that awaited the verification of their address."),
    counter("kad_lookups_total", "Lookups begun."),
    counter("kad_dropped_total", "What was dropped, by reason."),
    counter("kad_refused_total", "What was refused, by reason."),
    counter("kad_messages_total", "Messages, by name and direction."),
    counter("kad_message_bytes_total", "Bytes of their datagrams, by name and direction."),
    counter("kad_exchanges_total", "Exchanges with neighbours that this node began."),
    counter("kad_exchanges_incomplete_total", "Exchanges that did not compare all."),
    counter("kad_values_checked_total", "Copies that were compared with those of a neighbour."),
    counter("kad_values_wanted_total", "Copies that were asked of a neighbour."),
    counter("kad_values_transferred_total", "Copies brought to peers that lacked them."),
    counter("kad_actor_restarts_total", "Restarts of actors after a panic, by actor."),
    counter("kad_store_commits_total", "Commits of the store on disk."),
    counter("kad_store_writes_total", "Writes in these commits."),
    counter("kad_store_failures_total", "Commits that failed."),
    counter("kad_store_reopened_total", "Times that the store was opened again after a failure."),
    counter("kad_store_set_aside_total", "Damaged stores that were set aside."),
    counter("kad_store_damaged_records_total", "Records that could not be read."),
    Metric { name: "kad_store_group_size", help: "Writes of one commit.", kind: Kind::Histogram },
    gauge("kad_store_waiting", "Writes that wait for a commit."),
    gauge("kad_store_failing", "Stores that cannot be written."),
    gauge("kad_uptime_seconds", "How long the node runs."),
    gauge("kad_peers", "Peers of the routing table, by state."),
    gauge("kad_values", "Values that are stored here, by class."),
    gauge("kad_value_bytes", "Bytes of keys and values that are stored here, by class."),
    gauge(
        "kad_values_due",
        "Values that wait to be published again or restored, by kind: each is counted up to 10,000.",
    ),
    gauge("kad_pass_values", "Values that the pass over the publications is done with; 0 while none runs."),
    gauge("kad_pass_ratio", "What part of the id space that pass is through with, 0 to 1."),
    gauge("kad_pass_left_seconds", "How long that pass takes yet."),
    gauge("kad_pinned_keys", "Pinned keys."),
    gauge("kad_queries_in_flight", "Queries of this node that have not ended."),
    gauge("kad_lookups_unfinished", "Lookups that have not ended, by state."),
];

/// Installs the recorder of this process for the `metrics` facade, whose handle [`Builder::metrics`](super::Builder::metrics) takes.
/// `None` where there is another recorder already.
pub fn recorder() -> Option<PrometheusHandle> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).ok()?;
    for Metric { name, help, kind } in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
    // So that each is there from the start, with 0.
    for counter in Counter::ALL.iter().filter(|counter| **counter != Counter::Restarts) {
        match counter.reason() {
            "" => metrics::counter!(counter.name()).increment(0),
            reason => metrics::counter!(counter.name(), "reason" => reason).increment(0),
        }
    }
    Some(handle)
}

/// The metrics in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "node",
    responses((status = 200, description = "The metrics, as docs/metrics.md explains them", body = String, content_type = "text/plain"))
)]
pub(super) async fn show(state: Data<State>) -> Answer {
    let Some(recorder) = &state.settings.metrics else {
        let detail = "the application that mounts this gateway has given it no recorder";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_metrics", detail));
    };
    let _turn = state.turn().await;
    measure(&state.node.snapshot().await?);
    recorder.run_upkeep();
    Ok(HttpResponse::Ok().content_type(CONTENT_TYPE).body(recorder.render()))
}

/// Sets the gauges, and the counts of traffic, to what `snapshot` has.
fn measure(snapshot: &Snapshot) {
    let set = |name: &'static str, value: usize| metrics::gauge!(name).set(value as f64);
    metrics::gauge!("kad_uptime_seconds").set(snapshot.uptime.as_secs_f64());
    set("kad_pinned_keys", snapshot.pins.pinned);
    set("kad_queries_in_flight", snapshot.queries_in_flight);
    let (table, store) = (&snapshot.table, &snapshot.store);
    let answering = table.peers.saturating_sub(table.failing);
    for (state, peers) in [("answering", answering), ("failing", table.failing), ("replacement", table.replacements)] {
        metrics::gauge!("kad_peers", "state" => state).set(peers as f64);
    }
    for (class, count) in [("published", store.published), ("held", store.held), ("cached", store.cached)] {
        metrics::gauge!("kad_values", "class" => class).set(count.values as f64);
        metrics::gauge!("kad_value_bytes", "class" => class).set(count.bytes as f64);
    }
    for row in &snapshot.traffic {
        let flows = [("received", row.received, row.received_bytes), ("sent", row.sent, row.sent_bytes)];
        for (direction, messages, bytes) in flows {
            metrics::counter!("kad_messages_total", "message" => row.message, "direction" => direction)
                .absolute(messages);
            metrics::counter!("kad_message_bytes_total", "message" => row.message, "direction" => direction)
                .absolute(bytes);
        }
    }
    for (kind, count) in [("republications", store.republications), ("restores", store.restores)] {
        metrics::gauge!("kad_values_due", "kind" => kind).set(count.due as f64);
    }
    let pass = store.pass;
    metrics::gauge!("kad_pass_values").set(pass.map_or(0.0, |pass| pass.done as f64));
    metrics::gauge!("kad_pass_ratio").set(pass.map_or(0.0, |pass| f64::from(pass.percent) / 100.0));
    let left = pass.and_then(|pass| pass.left).unwrap_or_default();
    metrics::gauge!("kad_pass_left_seconds").set(left.as_secs_f64());
    for (state, lookups) in [("running", snapshot.lookups_running), ("waiting", snapshot.lookups_waiting)] {
        metrics::gauge!("kad_lookups_unfinished", "state" => state).set(lookups as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_documentation_lists_all_metrics_and_no_other() {
        let text = include_str!("../../docs/metrics.md");
        let row =
            |line: &str| line.strip_prefix("| `kad_").map(|rest| format!("kad_{}", rest.split('`').next().unwrap()));
        let documented: BTreeSet<String> = text.lines().filter_map(row).collect();
        let known: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
        assert_eq!(documented, known);
    }

    #[test]
    fn whatever_a_node_counts_is_among_the_metrics_and_each_reason_in_the_documentation() {
        let (known, text) =
            (METRICS.iter().map(|metric| metric.name).collect::<Vec<_>>(), include_str!("../../docs/metrics.md"));
        for counter in Counter::ALL {
            assert!(known.contains(&counter.name()), "{counter:?}");
            let reason = counter.reason();
            assert!(reason.is_empty() || text.contains(&format!("`{reason}`")), "{reason}");
        }
    }
}
