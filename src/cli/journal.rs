//! What `kad node` logs about its life, for the operator: that the network is lost and found, and every five minutes how it
//! fares. What a part of the node logs itself is not repeated here.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, interval_at};

use super::stderr;
use super::wording::list;
use crate::actors::events::{Event, EventKind, EventStream};
use crate::actors::node::Node;
use crate::actors::snapshot::Snapshot;

/// How often the status is logged.
const STATUS_INTERVAL: Duration = Duration::from_secs(300);

/// The kinds of events that [`follow`] logs.
pub(super) const LOGGED: [EventKind; 7] = [
    EventKind::Joined,
    EventKind::NetworkLost,
    EventKind::NetworkFound,
    EventKind::Superseded,
    EventKind::ReplicasLow,
    EventKind::Lost,
    EventKind::NoLongerPinned,
];

/// Logs `events` until the node has stopped. `alone`: no contact has answered the node so far.
pub(super) async fn follow(events: &mut EventStream, mut alone: bool) {
    while let Some(event) = events.next().await {
        match event {
            Event::Joined(outcome) if outcome.joined() && std::mem::take(&mut alone) => {
                let through = list(outcome.answered.iter().map(|peer| peer.addr));
                tracing::info!(through, "joined: a contact answers now");
            }
            Event::NetworkLost => tracing::warn!("the network is lost: no known peer answers"),
            Event::NetworkFound => tracing::info!("the network answers again"),
            Event::Superseded { key, by } => tracing::info!(key, %by, "superseded: another writer has set this key"),
            Event::ReplicasLow { key, confirmed, min_replicas } => {
                tracing::warn!(key, confirmed, min_replicas, "too few replicas of a pinned key");
            }
            Event::Lost { key } => tracing::warn!(key, "no replica of a pinned key was found"),
            Event::NoLongerPinned { key } => tracing::warn!(key, "a key is no longer pinned: the store lost it"),
            _ => {}
        }
    }
}

/// Logs the status of `node` every five minutes.
pub(super) async fn report(node: &Node) -> Infallible {
    let mut before = BTreeMap::new();
    let mut ticks = interval_at(Instant::now() + STATUS_INTERVAL, STATUS_INTERVAL);
    loop {
        ticks.tick().await;
        // A part that is being restarted is reported the next time.
        if let Ok(snapshot) = node.snapshot().await {
            status(&snapshot, &before);
            before = snapshot.counters;
        }
    }
}

/// One line: the peers and values at this moment, and what was counted since `before`.
fn status(snapshot: &Snapshot, before: &BTreeMap<String, u64>) {
    let since = |name: &str| {
        let count = |counters: &BTreeMap<String, u64>| counters.get(name).copied().unwrap_or(0);
        count(&snapshot.counters).saturating_sub(count(before))
    };
    // `malformed 3, too_fast 20`; `none` where nothing was counted.
    let by_reason = |name: &str| {
        let reason = |counter: &'_ String| {
            let reason = counter.strip_prefix(name)?.strip_prefix('{')?.strip_suffix('}')?;
            Some(format!("{reason} {}", Some(since(counter)).filter(|count| *count > 0)?))
        };
        let listed = list(snapshot.counters.keys().filter_map(reason));
        if listed.is_empty() { "none".to_owned() } else { listed }
    };
    tracing::info!(
        peers = snapshot.table.peers,
        published = snapshot.store.published.values,
        held = snapshot.store.held.values,
        asked = since("kad_queries_sent_total"),
        silent = since("kad_queries_silent_total"),
        answered = since("kad_queries_answered_total"),
        dropped = by_reason("kad_dropped_total"),
        refused = by_reason("kad_refused_total"),
        log_lines_dropped = stderr::dropped(),
        "status",
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::codec::Codec;
    use crate::sim::{MemoryNetwork, in_virtual_time};
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_five_minutes_a_line_says_how_the_node_fares_and_what_it_dropped_since_the_last_one() {
        let paper = Paper::default();
        let lines = paper.clone();
        let log = tracing_subscriber::fmt().with_writer(move || lines.clone()).with_ansi(false).finish();
        let _log = crate::test_log::log_to(log);
        in_virtual_time(async {
            let network = MemoryNetwork::new(7);
            let node = Node::builder().codec(Codec::Json).seed(1).start_local_over(network.endpoint()).await.unwrap();
            let stranger = network.endpoint();
            let _ = node.set("k", "v").await.unwrap();
            for _ in 0..3 {
                stranger.send(node.local_addr(), b"junk".to_vec());
            }
            let reporting = tokio::time::timeout(Duration::from_secs(620), report(&node));
            assert!(reporting.await.is_err());
        });
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        let status: Vec<&str> = text.lines().filter(|line| line.contains(": status ")).collect();
        assert_eq!(status.len(), 2, "{text}");
        assert!(status[0].contains("peers=0 published=1 held=0"), "{}", status[0]);
        assert!(status[0].contains(r#"dropped="malformed 3""#), "{}", status[0]);
        assert!(status[1].contains(r#"dropped="none""#), "{}", status[1]);
    }
}
