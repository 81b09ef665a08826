//! A watch: the stream of what becomes of some keys, as its reader holds it. It is filled by `watches`, and bounded: a reader that
//! is too slow loses the oldest changes and holds nothing up.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::Stream;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::seconds;
use kademlia_dynamic::protocol::store::ValueDigest;
use kademlia_dynamic::protocol::value::Value;
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

/// When a key whose value has just changed is looked up again.
pub const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// The longest time between two lookups of a key whose value stays the same.
pub const MAX_INTERVAL: Duration = Duration::from_secs(300);
/// Keys that a node watches at most, each counted once for each stream. More are refused as busy.
pub const MAX_WATCHED: usize = 50_000;
/// Lookups of watched keys that run at the same time. The others wait.
pub const MAX_WATCH_LOOKUPS: usize = 32;
/// Changes that wait for a reader at most. Beyond it the oldest is dropped.
pub const MAX_CHANGES: usize = 1_024;
/// Bytes of the values that wait for a reader at most, unless it is one value. Beyond it the oldest change is dropped.
pub const MAX_CHANGE_BYTES: usize = 2 << 20;

/// What a watch reports. With serde it is an object whose field `event` names the kind, such as `value`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Change {
    /// A key has this value: found first, or another one than before.
    #[non_exhaustive]
    Value {
        /// The key.
        key: Arc<str>,
        /// Its value.
        #[serde(flatten)]
        value: Arc<Value>,
        /// The peer that had it; `None`: this node itself.
        holder: Option<Peer>,
        /// How long the copy that was read lives, where that is known.
        #[serde(serialize_with = "seconds::serialize")]
        expires_in: Option<Duration>,
    },
    /// No node holds a value of the key.
    Absent {
        /// The key.
        key: Arc<str>,
    },
    /// The reader was too slow: so many changes before the next one were dropped. The present values of their keys come again
    /// when these are looked at next.
    Missed {
        /// How many.
        changes: u64,
    },
}

impl Change {
    /// Its key; `None` of [`Change::Missed`].
    pub fn key(&self) -> Option<&Arc<str>> {
        match self {
            Change::Value { key, .. } | Change::Absent { key } => Some(key),
            Change::Missed { .. } => None,
        }
    }

    /// What the field `event` has.
    pub fn name(&self) -> &'static str {
        match self {
            Change::Value { .. } => "value",
            Change::Absent { .. } => "absent",
            Change::Missed { .. } => "missed",
        }
    }

    /// What the key has now, to compare with what it has later.
    pub(super) fn state(&self) -> Option<ValueDigest> {
        match self {
            Change::Value { value, .. } => Some(ValueDigest::of(value)),
            _ => None,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Change::Value { value, .. } => value.len(),
            _ => 0,
        }
    }
}

/// The reader of a watch: [`Node::watch`](super::node::Node::watch) makes it. It ends when it is dropped.
pub struct Watch {
    inbox: Arc<Inbox>,
    number: u64,
    ended: UnboundedSender<u64>,
}

impl Watch {
    pub(super) fn new(inbox: Arc<Inbox>, number: u64, ended: UnboundedSender<u64>) -> Self {
        Self { inbox, number, ended }
    }

    /// The next change; `None` once the node has stopped. It can be cancelled without loss.
    pub async fn next(&mut self) -> Option<Change> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Watch {
    type Item = Change;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        let mut waiting = self.inbox.lock();
        if waiting.missed > 0 {
            return Poll::Ready(Some(Change::Missed { changes: std::mem::take(&mut waiting.missed) }));
        }
        match waiting.changes.pop_front() {
            Some(change) => {
                waiting.bytes -= change.bytes();
                Poll::Ready(Some(change))
            }
            None if waiting.closed => Poll::Ready(None),
            None => {
                waiting.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // An error means that nothing watches any more.
        let _ = self.ended.send(self.number);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("waiting", &self.inbox.lock().changes.len()).finish_non_exhaustive()
    }
}

/// What a reader has not taken yet.
#[derive(Default)]
pub(super) struct Inbox(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    changes: VecDeque<Change>,
    /// Bytes of their values.
    bytes: usize,
    missed: u64,
    /// What the reader was given of each key, or is about to be given.
    seen: HashMap<Arc<str>, Option<ValueDigest>>,
    closed: bool,
    waker: Option<Waker>,
}

impl Inbox {
    /// Nothing that is done under this lock panics.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the reader `change`, unless it is what it was given last of this key.
    pub(super) fn push(&self, change: &Change) {
        let Some(key) = change.key() else { return };
        let mut waiting = self.lock();
        let state = change.state();
        if waiting.seen.get(key) == Some(&state) {
            return;
        }
        waiting.seen.insert(key.clone(), state);
        waiting.bytes += change.bytes();
        waiting.changes.push_back(change.clone());
        while waiting.changes.len() > MAX_CHANGES || waiting.bytes > MAX_CHANGE_BYTES && waiting.changes.len() > 1 {
            let Some(dropped) = waiting.changes.pop_front() else { break };
            waiting.bytes -= dropped.bytes();
            waiting.missed += 1;
            // It comes again, unless a later change of the key is among those that wait.
            let again = |key: &Arc<str>| !waiting.changes.iter().any(|change| change.key() == Some(key));
            if let Some(key) = dropped.key().filter(|key| again(key)) {
                waiting.seen.remove(key);
            }
        }
        waiting.wake();
    }

    /// Nothing comes any more.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.wake();
    }
}

impl Waiting {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use serde_json::{json, to_value};

    fn value(key: &str, value: impl Into<Value>) -> Change {
        Change::Value { key: key.into(), value: Arc::new(value.into()), holder: None, expires_in: None }
    }

    fn watch() -> (Arc<Inbox>, Watch) {
        let inbox = Arc::new(Inbox::default());
        (inbox.clone(), Watch::new(inbox, 0, tokio::sync::mpsc::unbounded_channel().0))
    }

    fn taken(watch: &mut Watch) -> Vec<Change> {
        std::iter::from_fn(|| watch.next().now_or_never().flatten()).collect()
    }

    #[test]
    fn a_reader_gets_each_change_once_and_no_value_that_it_knows() {
        let (inbox, mut watch) = watch();
        let absent = Change::Absent { key: "k".into() };
        for change in [&absent, &absent, &value("k", "a"), &value("k", "a"), &value("k", "b"), &absent] {
            inbox.push(change);
        }
        assert_eq!(taken(&mut watch), [absent.clone(), value("k", "a"), value("k", "b"), absent]);
        inbox.close();
        assert_eq!(watch.next().now_or_never(), Some(None));
    }

    #[test]
    fn a_slow_reader_is_told_how_many_changes_it_missed_and_gets_those_keys_again() {
        let (inbox, mut watch) = watch();
        for number in 0..MAX_CHANGES + 2 {
            inbox.push(&value(&number.to_string(), "v"));
        }
        inbox.push(&value("0", "v"));
        let changes = taken(&mut watch);
        assert_eq!(changes[0], Change::Missed { changes: 3 });
        assert_eq!((changes.len(), changes.last()), (MAX_CHANGES + 1, Some(&value("0", "v"))));
    }

    #[test]
    fn the_values_that_wait_for_a_slow_reader_are_bounded_in_bytes() {
        let (inbox, mut watch) = watch();
        let large = vec![0; MAX_CHANGE_BYTES / 4];
        (0..100).for_each(|number| inbox.push(&value(&number.to_string(), large.clone())));
        assert_eq!(taken(&mut watch).len(), 1 + 4);
        inbox.push(&value("huge", vec![0; MAX_CHANGE_BYTES + 1]));
        assert_eq!(taken(&mut watch).len(), 1, "one change is kept in any case");
    }

    #[test]
    fn a_change_serializes_with_its_kind_and_its_value() {
        let expected =
            json!({"event": "value", "key": "k", "kind": "text", "value": "v", "holder": null, "expires_in": null});
        assert_eq!(to_value(value("k", "v")).unwrap(), expected);
        let missed = Change::Missed { changes: 2 };
        assert_eq!(to_value(&missed).unwrap(), json!({"event": missed.name(), "changes": 2}));
    }
}
