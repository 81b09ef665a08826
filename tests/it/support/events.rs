//! Waiting for an event, in virtual time.

use std::time::Duration;

use kademlia_dynamic::actors::events::{Event, EventStream};
use tokio::time::timeout;

/// What `pick` makes of the first event that it takes; `None` if none comes within this time, or the node has stopped.
pub(crate) async fn next_event<T>(
    events: &mut EventStream,
    within: Duration,
    pick: impl Fn(Event) -> Option<T>,
) -> Option<T> {
    let picked = async {
        while let Some(event) = events.next().await {
            if let Some(picked) = pick(event) {
                return Some(picked);
            }
        }
        None
    };
    timeout(within, picked).await.ok().flatten()
}

/// Whether the publication of `key` is reported as superseded within this time.
pub(crate) async fn superseded(events: &mut EventStream, key: &str, within: Duration) -> bool {
    let is_of_key = |event| matches!(event, Event::Superseded { key: ended, .. } if ended == key).then_some(());
    next_event(events, within, is_of_key).await.is_some()
}
