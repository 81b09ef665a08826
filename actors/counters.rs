//! What is counted: every datagram, and all that was turned away, by reason. The numbers go to the `metrics` facade and
//! stay readable here; they outlive the actors that count.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kademlia_dynamic::protocol::codec::DecodeError;

pub use super::traffic::Traffic;

/// At most one log line for each reason in this time; the next one says how many were left out.
pub const LOG_EVERY: Duration = Duration::from_secs(10);

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $variant:ident => $metric:literal $(, $reason:literal)?;)*) => {
        /// Something that is counted. [`Counter::name`] is its name in the `metrics` facade, [`Counter::reason`] its label.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Counter { $($(#[doc = $doc])* $variant,)* }

        impl Counter {
            /// All there are.
            pub const ALL: &[Counter] = &[$(Counter::$variant),*];

            /// The metric's name.
            pub fn name(self) -> &'static str {
                match self { $(Counter::$variant => $metric,)* }
            }

            /// The metric's label `reason`; empty where it has none.
            pub fn reason(self) -> &'static str {
                match self { $(Counter::$variant => concat!($($reason)?),)* }
            }
        }
    };
}

counters! {
    /// Datagrams that came in.
    Received => "kad_datagrams_received_total";
    /// Datagrams that went out.
    Sent => "kad_datagrams_sent_total";
    /// Queries of others that were answered.
    Answered => "kad_queries_answered_total";
    /// Queries of ours.
    Asked => "kad_queries_sent_total";
    /// Queries of ours that were sent again, since no answer had come: once for each further send.
    Resent => "kad_queries_resent_total";
    /// Further answers to queries of ours that were sent again: each send may bring one.
    RepeatedAnswer => "kad_repeats_total", "answer";
    /// Writes of peers that came again, and changed nothing further.
    RepeatedWrite => "kad_repeats_total", "write";
    /// Queries of ours that no answer came to in time.
    Silent => "kad_queries_silent_total";
    /// Responses and writes that awaited the verification of their address.
    Unverified => "kad_unverified_total";
    /// Lookups begun.
    Lookups => "kad_lookups_total";
    /// Dropped: all dispatch slots were taken.
    NoSlot => "kad_dropped_total", "no_slot";
    /// Dropped by the system before we could read them: its receive buffer was full. They are not among those that came in.
    /// Known on Linux only, and brought up to date every five seconds and with each snapshot.
    KernelDropped => "kad_dropped_total", "kernel";
    /// Dropped: not a message of this wire.
    Malformed => "kad_dropped_total", "malformed";
    /// Dropped: an empty datagram.
    Empty => "kad_dropped_total", "empty";
    /// Dropped: a field that stands there twice.
    Duplicate => "kad_dropped_total", "duplicate";
    /// Dropped: a field that its type requires is missing.
    MissingField => "kad_dropped_total", "missing_field";
    /// Dropped: a field holds what it cannot hold.
    BadField => "kad_dropped_total", "bad_field";
    /// Dropped: nested too deep to be a message.
    TooDeep => "kad_dropped_total", "too_deep";
    /// Dropped: a message type that we do not know.
    UnknownType => "kad_dropped_total", "unknown_type";
    /// Dropped: the sender's id or port is not one.
    BadSender => "kad_dropped_total", "bad_sender";
    /// Dropped: a query id that cannot be echoed.
    BadQueryId => "kad_dropped_total", "query_id";
    /// Dropped: its source sends too fast.
    TooFast => "kad_dropped_total", "too_fast";
    /// Dropped: it made a part of the node panic before.
    Blocked => "kad_dropped_total", "blocked";
    /// Dropped: its source address cannot be answered.
    BadSource => "kad_dropped_total", "bad_source";
    /// Dropped: its source address is in the `deny` list.
    Denied => "kad_dropped_total", "denied";
    /// Dropped: news of a stranger for a routing table that does not keep up; the query itself is answered.
    NewsFull => "kad_dropped_total", "news_full";
    /// Dropped: an answer from an address that was not asked, for queries that do not keep up.
    ResponsesFull => "kad_dropped_total", "responses_full";
    /// Dropped: an answer to no query of ours.
    UnknownQuery => "kad_dropped_total", "unknown_query";
    /// Dropped: an answer from another address than was asked.
    WrongSource => "kad_dropped_total", "wrong_source";
    /// Dropped: an answer of another kind than was asked for.
    WrongKind => "kad_dropped_total", "wrong_kind";
    /// Dropped: too many responses and writes await verification already.
    UnverifiedFull => "kad_dropped_total", "unverified_full";
    /// Dropped: the pong that an answer or a write waited for did not come.
    NotVerified => "kad_dropped_total", "not_verified";
    /// Dropped, or cut short: an answer to an address that shows no token, beyond the budget of its host or of all hosts.
    OverBudget => "kad_dropped_total", "over_budget";
    /// Dropped: the socket's queue to the network is full.
    OutboxFull => "kad_dropped_total", "outbox_full";
    /// Dropped: an answer beyond `max_send_rate`.
    AnswerOverRate => "kad_dropped_total", "send_rate";
    /// Dropped: the system refused to send it.
    SendFailed => "kad_dropped_total", "send_failed";
    /// Dropped: it cannot be encoded.
    NotEncodable => "kad_dropped_total", "not_encodable";
    /// Refused: a write that the store has no room or no wish for.
    WriteRefused => "kad_refused_total", "write";
    /// Refused: a write whose value is neither text nor bytes.
    ValueUnsupported => "kad_refused_total", "unsupported_value";
    /// Refused: a write without a token by a node that knows tokens. Mostly it comes again at once, with the token that it got.
    NoToken => "kad_refused_total", "no_token";
    /// Refused: a write of a legacy node whose host writes too fast for one that can show no token.
    LegacyWrite => "kad_refused_total", "legacy_write";
    /// Refused: too many queries in flight.
    QueryRefused => "kad_refused_total", "query";
    /// Refused: a query to an address that has left enough of them unanswered.
    NotAskedAgain => "kad_refused_total", "unanswered";
    /// Refused: a query to an address in the `deny` list.
    QueryDenied => "kad_refused_total", "denied";
    /// Refused: a query beyond `max_send_rate`.
    QueryOverRate => "kad_refused_total", "send_rate";
    /// Refused: too many lookups run and wait.
    LookupRefused => "kad_refused_total", "lookup";
    /// Refused: a new peer beyond the bound, which receives no copies.
    HandoffRefused => "kad_refused_total", "handoff";
    /// Refused: a question of a peer what is held otherwise here than there. It has not answered this node before, or has had enough
    /// read for it.
    ReconcileRefused => "kad_refused_total", "reconcile";
    /// Exchanges with neighbours that this node has begun.
    Exchanges => "kad_exchanges_total";
    /// Exchanges that did not compare all: the peer did not answer, or more was different than one exchange holds.
    ExchangesIncomplete => "kad_exchanges_incomplete_total";
    /// Copies that were compared with those of a neighbour: once for each exchange that this node began.
    ValuesChecked => "kad_values_checked_total";
    /// Copies that this node lacked, or held an earlier publication of, and asked a neighbour for.
    ValuesWanted => "kad_values_wanted_total";
    /// Copies that this node brought to peers that lacked them: to new ones, to neighbours, to peers that do not reconcile, and when it
    /// stopped.
    Transferred => "kad_values_transferred_total";
    /// Restarts of actors after a panic.
    Restarts => "kad_actor_restarts_total";
}

/// What is wrong with a datagram.
impl From<&DecodeError> for Counter {
    fn from(error: &DecodeError) -> Self {
        match error {
            DecodeError::Empty => Self::Empty,
            DecodeError::Malformed(_) => Self::Malformed,
            DecodeError::TooDeep => Self::TooDeep,
            DecodeError::Duplicate => Self::Duplicate,
            DecodeError::UnknownType => Self::UnknownType,
            DecodeError::QueryId => Self::BadQueryId,
            DecodeError::BadSender => Self::BadSender,
            DecodeError::Missing(_) => Self::MissingField,
            DecodeError::BadField(_) => Self::BadField,
        }
    }
}

/// Nothing that is done under these locks panics.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The node's counters. Shared by its actors, and read by the holders of the node's handle.
pub struct Counters {
    counts: [AtomicU64; Counter::ALL.len()],
    logged: Mutex<BTreeMap<Counter, LogLimit>>,
    /// By actor: how many, and when the last was.
    restarts: Mutex<BTreeMap<&'static str, (u64, Instant)>>,
    traffic: Traffic,
    /// When a query came last from a global host that was sent nothing lately.
    reached_at: Mutex<Option<Instant>>,
}

/// Lets a line be logged once in a time.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    last: Option<Instant>,
    left_out: u64,
}

impl LogLimit {
    /// Whether the last line was logged at least so long ago.
    pub(crate) fn is_due(&self, every: Duration, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) >= every)
    }

    /// Whether a line is to be logged now: how many were left out before it, if so.
    pub(crate) fn pass(&mut self, every: Duration, now: Instant) -> Option<u64> {
        if !self.is_due(every, now) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

impl Default for Counters {
    fn default() -> Self {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            counts,
            logged: Mutex::default(),
            restarts: Mutex::default(),
            traffic: Traffic::default(),
            reached_at: Mutex::default(),
        }
    }
}

impl Counters {
    /// Counts one.
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts `n`.
    pub fn add(&self, counter: Counter, n: u64) {
        if n == 0 {
            return;
        }
        self.counts[counter as usize].fetch_add(n, Ordering::Relaxed);
        match counter.reason() {
            "" => metrics::counter!(counter.name()).increment(n),
            reason => metrics::counter!(counter.name(), "reason" => reason).increment(n),
        }
    }

    /// Counts something turned away, and logs it unless a line for the same reason was logged within [`LOG_EVERY`].
    /// Says whether it was logged.
    pub fn turned_away(&self, counter: Counter, from: SocketAddr, why: &dyn fmt::Display, now: Instant) -> bool {
        self.count(counter);
        let due = locked(&self.logged).entry(counter).or_default().pass(LOG_EVERY, now);
        let Some(left_out) = due else { return false };
        tracing::warn!(%from, reason = counter.reason(), left_out, "turned away: {why}");
        true
    }

    /// Counts a restart of the actor called `name`.
    pub fn restarted(&self, name: &'static str, now: Instant) {
        self.counts[Counter::Restarts as usize].fetch_add(1, Ordering::Relaxed);
        metrics::counter!(Counter::Restarts.name(), "actor" => name).increment(1);
        let mut restarts = locked(&self.restarts);
        let (count, last) = restarts.entry(name).or_insert((0, now));
        (*count, *last) = (*count + 1, now);
    }

    /// How many were counted so far.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counts[counter as usize].load(Ordering::Relaxed)
    }

    /// Restarts by actor, of those that had any.
    pub fn restarts(&self) -> BTreeMap<&'static str, u64> {
        locked(&self.restarts).iter().map(|(name, (count, _))| (*name, *count)).collect()
    }

    /// The actors that were restarted within `window`.
    pub(crate) fn restarted_within(&self, window: Duration, now: Instant) -> Vec<&'static str> {
        let recent = |last: &Instant| now.saturating_duration_since(*last) <= window;
        locked(&self.restarts).iter().filter(|(_, (_, last))| recent(last)).map(|(name, _)| *name).collect()
    }

    /// The traffic by message and direction.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// A query came from a global host that was sent nothing lately: strangers reach this node.
    pub(crate) fn reached(&self, now: Instant) {
        *self.reached_at.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(now);
    }

    /// When such a query came last.
    pub(crate) fn reached_at(&self) -> Option<Instant> {
        *self.reached_at.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Every counter that is not zero, as `name` or `name{reason}`.
    pub fn snapshot(&self) -> BTreeMap<String, u64> {
        let named = |counter: &Counter| match counter.reason() {
            "" => counter.name().to_owned(),
            reason => format!("{}{{{reason}}}", counter.name()),
        };
        Counter::ALL.iter().map(|counter| (named(counter), self.get(*counter))).filter(|(_, n)| *n > 0).collect()
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.snapshot()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_reason_is_logged_once_in_ten_seconds_and_counted_always() {
        let counters = Counters::default();
        let from = "127.0.0.1:9".parse().unwrap();
        let start = Instant::now();
        assert!(counters.turned_away(Counter::NoSlot, from, &"full", start));
        for _ in 0..999 {
            assert!(!counters.turned_away(Counter::NoSlot, from, &"full", start + LOG_EVERY / 2));
        }
        assert!(counters.turned_away(Counter::TooFast, from, &"another reason", start));
        assert!(counters.turned_away(Counter::NoSlot, from, &"full", start + LOG_EVERY));
        assert_eq!(counters.get(Counter::NoSlot), 1_001);
        assert_eq!(counters.snapshot()["kad_dropped_total{no_slot}"], 1_001);
    }

    #[test]
    fn a_restart_is_counted_for_ever_and_is_recent_for_the_time_over_which_restarts_are_limited() {
        let (counters, start, window) = (Counters::default(), Instant::now(), Duration::from_secs(60));
        counters.restarted("socket", start);
        counters.restarted("pins", start + window);
        assert_eq!(counters.restarted_within(window, start + window), ["pins", "socket"]);
        assert_eq!(counters.restarted_within(window, start + window * 3 / 2), ["pins"]);
        assert!(counters.restarted_within(window, start + window * 3).is_empty());
        assert_eq!(counters.restarts(), BTreeMap::from([("pins", 1), ("socket", 1)]));
    }
}
