//! Queries in flight: which answer belongs to which query, whether it may be believed, and when to stop waiting.
//! It sends nothing and reads no clock; who waits for an answer is its caller's business.

mod round_trip;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::config::Config;
use super::id::NodeId;
use super::message::QueryId;
use super::peer::canonical;
use round_trip::RoundTrips;
pub use round_trip::{INITIAL_EXPECTED_RTT, MAX_MEASURED_ADDRESSES, MIN_EXPECTED_RTT};

/// Whom a query goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The address asked.
    pub addr: SocketAddr,
    /// The id that we believe to be there; `None` for a contact known by its address only.
    pub expected_id: Option<NodeId>,
}

/// An answer that was accepted.
#[derive(Debug)]
pub struct Answered<W> {
    /// Who waits for it.
    pub waiter: W,
    /// The address that was asked.
    pub addr: SocketAddr,
    /// How long the answer took.
    pub rtt: Duration,
    /// The id that was expected there.
    pub expected_id: Option<NodeId>,
    /// Whether the answerer is not who was expected: the old id is to be dropped (WIRE.md, last table).
    pub wrong_id: bool,
}

/// A query that nobody answered in time.
#[derive(Debug)]
pub struct Expired<W> {
    /// Who waits for it. It may have gone meanwhile: then the peer is not to blame.
    pub waiter: W,
    /// The address that was asked.
    pub addr: SocketAddr,
    /// The id that was expected there.
    pub expected_id: Option<NodeId>,
    /// The wire's name of the query.
    pub kind: &'static str,
}

/// Why a query was not begun. Nothing was changed, and nothing must be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotBegun {
    /// [`Config::max_queries_in_flight`] are in flight. Normal under load.
    #[error("too many queries in flight")]
    Full,
    /// A query with this id is in flight. With 64 random bits this means that the entropy is broken.
    #[error("a query with this id is in flight already")]
    DuplicateId,
}

/// Why an answer was not accepted. The query, if there is one, stays in flight and may still be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// No query of this id is in flight: too late, or never asked.
    #[error("no query with this id is in flight")]
    UnknownQuery,
    /// It came from another address than the query went to.
    #[error("answered from another address than was asked")]
    WrongSource,
    /// It answers another kind of query.
    #[error("an answer to another kind of query")]
    WrongKind,
}

struct Query<W> {
    target: Target,
    kind: &'static str,
    waiter: W,
    sent_at: Instant,
    /// Orders queries of the same instant, and finds this one in both maps.
    sequence: u64,
    timeout_at: Instant,
    /// `None` once reported, or where it would not be before the timeout.
    slow_at: Option<Instant>,
}

/// The queries in flight, each with the one who waits for it.
///
/// Invariant: each query is in `timeouts` under its `(timeout_at, sequence)`, and in `slow` exactly if `slow_at` is set.
pub struct Pending<W> {
    limit: usize,
    timeout: Duration,
    verify_source: bool,
    queries: HashMap<QueryId, Query<W>>,
    timeouts: BTreeMap<(Instant, u64), QueryId>,
    slow: BTreeMap<(Instant, u64), QueryId>,
    sequence: u64,
    round_trips: RoundTrips,
}

impl<W> Pending<W> {
    /// No queries, with the bounds of `config`.
    pub fn new(config: &Config) -> Self {
        Self {
            limit: config.max_queries_in_flight,
            timeout: config.query_timeout,
            verify_source: config.verify_response_source,
            queries: HashMap::new(),
            timeouts: BTreeMap::new(),
            slow: BTreeMap::new(),
            sequence: 0,
            round_trips: RoundTrips::new(config.query_timeout),
        }
    }

    /// How many queries are in flight.
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether no query is in flight.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }

    /// When the next query turns slow or times out: when to call [`Pending::slow`] and [`Pending::expire`].
    pub fn next_wakeup(&self) -> Option<Instant> {
        let first = |map: &BTreeMap<(Instant, u64), QueryId>| map.keys().next().map(|(at, _)| *at);
        first(&self.timeouts).into_iter().chain(first(&self.slow)).min()
    }

    /// How long an answer from `addr` is expected to take: from what was measured there, otherwise from what was
    /// measured anywhere; at least [`MIN_EXPECTED_RTT`], at most the query timeout.
    pub fn expected_rtt(&self, addr: SocketAddr) -> Duration {
        self.round_trips.expected(canonical(addr))
    }

    /// Begins to wait for the answer to a query of the kind `kind` (the wire's name) that is sent now.
    ///
    /// # Errors
    /// [`NotBegun`], with the waiter back.
    pub fn begin(
        &mut self,
        id: QueryId,
        to: Target,
        kind: &'static str,
        waiter: W,
        now: Instant,
    ) -> Result<(), (W, NotBegun)> {
        if self.queries.len() >= self.limit {
            return Err((waiter, NotBegun::Full));
        }
        if self.queries.contains_key(&id) {
            return Err((waiter, NotBegun::DuplicateId));
        }
        let target = Target { addr: canonical(to.addr), ..to };
        let expected = self.round_trips.expected(target.addr);
        let slow_at = (expected < self.timeout).then(|| now + expected);
        let timeout_at = now + self.timeout;
        let sequence = self.sequence;
        self.sequence += 1;
        self.timeouts.insert((timeout_at, sequence), id);
        if let Some(at) = slow_at {
            self.slow.insert((at, sequence), id);
        }
        self.queries.insert(id, Query { target, kind, waiter, sent_at: now, sequence, timeout_at, slow_at });
        Ok(())
    }

    /// Takes an answer that came from `from`, answers a query of the kind `answers` (the wire's name), and says that
    /// it is from `sender_id`. An answer without an id where one was expected is from the wrong one.
    ///
    /// # Errors
    /// [`Reject`]; a query in flight stays so.
    pub fn answer(
        &mut self,
        from: SocketAddr,
        id: &QueryId,
        answers: &str,
        sender_id: Option<NodeId>,
        now: Instant,
    ) -> Result<Answered<W>, Reject> {
        let query = self.queries.get(id).ok_or(Reject::UnknownQuery)?;
        let from = canonical(from);
        if self.verify_source && from != query.target.addr {
            return Err(Reject::WrongSource);
        }
        if query.kind != answers {
            return Err(Reject::WrongKind);
        }
        let query = self.take(id).ok_or(Reject::UnknownQuery)?;
        let Target { addr, expected_id } = query.target;
        let rtt = now.saturating_duration_since(query.sent_at);
        self.round_trips.measured(addr, rtt);
        let wrong_id = expected_id.is_some_and(|expected| sender_id != Some(expected));
        Ok(Answered { waiter: query.waiter, addr, rtt, expected_id, wrong_id })
    }

    /// The waiters of the queries that have just become slower than expected, each reported once. They may still be
    /// answered until the timeout.
    pub fn slow(&mut self, now: Instant) -> Vec<&W> {
        let mut ids = Vec::new();
        while let Some(entry) = self.slow.first_entry().filter(|entry| entry.key().0 <= now) {
            let id = entry.remove();
            if let Some(query) = self.queries.get_mut(&id) {
                query.slow_at = None;
                ids.push(id);
            }
        }
        ids.iter().filter_map(|id| self.queries.get(id)).map(|query| &query.waiter).collect()
    }

    /// Ends the queries whose time is up, in the order in which they were sent.
    pub fn expire(&mut self, now: Instant) -> Vec<Expired<W>> {
        let mut expired = Vec::new();
        while let Some(((_, _), id)) = self.timeouts.first_key_value().filter(|((at, _), _)| *at <= now) {
            let id = *id;
            let Some(query) = self.take(&id) else { break };
            let Target { addr, expected_id } = query.target;
            expired.push(Expired { waiter: query.waiter, addr, expected_id, kind: query.kind });
        }
        expired
    }

    /// Stops waiting for a query, since its waiter has gone. A late answer is then an unknown one: harmless.
    pub fn cancel(&mut self, id: &QueryId) -> Option<W> {
        self.take(id).map(|query| query.waiter)
    }

    /// Ends all queries, in the order in which they were sent, so that each waiter can be told.
    pub fn fail_all(&mut self) -> Vec<W> {
        self.slow.clear();
        let order = std::mem::take(&mut self.timeouts);
        order.values().filter_map(|id| self.queries.remove(id)).map(|query| query.waiter).collect()
    }

    fn take(&mut self, id: &QueryId) -> Option<Query<W>> {
        let query = self.queries.remove(id)?;
        self.timeouts.remove(&(query.timeout_at, query.sequence));
        if let Some(at) = query.slow_at {
            self.slow.remove(&(at, query.sequence));
        }
        Some(query)
    }
}

#[cfg(test)]
mod tests;
