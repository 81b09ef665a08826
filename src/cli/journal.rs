//! What `kad node` logs of its life, for the operator: that it started and where, that the network is lost and found, and
//! every five minutes how it fares. What a part of the node logs of itself is not repeated here.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, interval_at};

use super::stderr;
use super::wording::list;
use crate::actors::events::{Event, EventStream};
use crate::actors::node::Node;
use crate::actors::snapshot::Snapshot;

/// How often it says how it fares.
const STATUS_INTERVAL: Duration = Duration::from_secs(300);

/// Logs what `events` tell, until the node has stopped. `alone`: no contact has answered it so far.
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
                tracing::warn!(key, confirmed, min_replicas, "too few replicas of a kept key");
            }
            Event::Lost { key } => tracing::warn!(key, "no replica of a kept key was found"),
            Event::NoLongerKept { key } => tracing::warn!(key, "a key is kept no longer: its store lost it"),
            _ => {}
        }
    }
}

/// Logs every five minutes how `node` fares.
pub(super) async fn report(node: &Node) -> Infallible {
    let mut before = BTreeMap::new();
    let mut ticks = interval_at(Instant::now() + STATUS_INTERVAL, STATUS_INTERVAL);
    loop {
        ticks.tick().await;
        // A part that is being restarted is asked again the next time.
        if let Ok(snapshot) = node.snapshot().await {
            status(&snapshot, &before);
            before = snapshot.counters;
        }
    }
}

/// One line: what is known and held now, and what was counted since `before`.
fn status(snapshot: &Snapshot, before: &BTreeMap<String, u64>) {
    let since = |name: &str| {
        let now = snapshot.counters.get(name).copied().unwrap_or(0);
        now.saturating_sub(before.get(name).copied().unwrap_or(0))
    };
    tracing::info!(
        peers = snapshot.table.peers,
        published = snapshot.store.published.values,
        held = snapshot.store.held.values,
        asked = since("kad_queries_sent_total"),
        silent = since("kad_queries_silent_total"),
        answered = since("kad_queries_answered_total"),
        dropped = by_reason(snapshot, &since, "kad_dropped_total"),
        refused = by_reason(snapshot, &since, "kad_refused_total"),
        log_lines_dropped = stderr::dropped(),
        "status",
    );
}

/// `malformed 3, too_fast 20`; `none` where nothing was counted.
fn by_reason(snapshot: &Snapshot, since: &impl Fn(&str) -> u64, name: &str) -> String {
    let reason = |counter: &str| Some(counter.strip_prefix(name)?.strip_prefix('{')?.strip_suffix('}')?.to_owned());
    let counted = snapshot.counters.keys().filter_map(|counter| Some((reason(counter)?, since(counter))));
    let listed: Vec<String> =
        counted.filter(|(_, count)| *count > 0).map(|(reason, count)| format!("{reason} {count}")).collect();
    if listed.is_empty() { "none".to_owned() } else { listed.join(", ") }
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
        let _log = tracing::subscriber::set_default(log);
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
