//! What an operator should know at once of a node: where it does not keep up, or cannot.

use crate::actors::snapshot::{BackendState, Snapshot};

/// Queries below which the share of the silent says nothing.
const ENOUGH_QUERIES: u64 = 100;

/// What is the matter, one sentence each; empty where the node keeps up.
pub(super) fn concerns(snapshot: &Snapshot) -> Vec<String> {
    let Snapshot { store, table, pins, counters, restarts, .. } = snapshot;
    let mut concerns = Vec::new();
    let mut when = |it_is: bool, text: &dyn Fn() -> String| {
        if it_is {
            concerns.push(text());
        }
    };
    let counter = |name: &str| counters.get(name).copied().unwrap_or_default();
    let state = store.backend.state;
    let full = matches!(state, BackendState::Full | BackendState::Failing | BackendState::Gone);
    when(full, &|| format!("The store takes no values: it is {}.", state.as_str()));
    when(table.peers == 0, &|| "No peer is known: values stay on this node alone.".to_owned());
    when(table.peers > 0 && table.failing == table.peers, &|| "No peer has answered its last query.".to_owned());
    let (asked, silent) = (counter("kad_queries_sent_total"), counter("kad_queries_silent_total"));
    when(asked >= ENOUGH_QUERIES && silent > asked / 2, &|| {
        format!("Of {asked} queries {silent} were not answered: is UDP let through?")
    });
    when(store.republications.overdue > 0, &|| {
        let overdue = store.republications.overdue;
        format!("Overdue publications: {overdue}. Copies of them may end (max_waiting_lookups).")
    });
    when(store.restores.overdue > 0, &|| {
        format!("Overdue restores of copies held for others: {}.", store.restores.overdue)
    });
    when(pins.below_min > 0, &|| {
        format!("Pinned keys with fewer replicas than their minimum, as counted last: {}.", pins.below_min)
    });
    when(!restarts.lately.is_empty(), &|| {
        format!("Restarted lately after a panic: {}. Please report it.", restarts.lately.join(", "))
    });
    concerns
}
