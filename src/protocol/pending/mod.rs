//! Queries in flight: which answer belongs to which query, whether it may be believed, when to send a query again, and when
//! to stop waiting. It sends nothing and reads no clock; who waits for an answer is its caller's business.

mod resends;
mod round_trip;
mod shown;
mod silences;
mod unanswered;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::config::Config;
use super::id::NodeId;
use super::message::{QueryId, Token};
use super::peer::canonical;
use resends::AnsweredResends;
pub use resends::{MAX_ANSWERED_RESENDS, MAX_RESENT_AT_ONCE, MAX_SENDS, MAX_SENDS_UNANSWERED, NamedBy};
use round_trip::RoundTrips;
pub use round_trip::{INITIAL_EXPECTED_RTT, MAX_MEASURED_ADDRESSES, MIN_EXPECTED_RTT, MIN_RESEND_TIMEOUT};
use shown::Shown;
pub use shown::{MAX_TOKENS, TOKEN_FOR};
use silences::Silences;
pub use silences::{MAX_SILENT_ADDRESSES, SILENT_FOR};
use unanswered::Unanswered;
pub use unanswered::{MAX_ANSWERED_ADDRESSES, MAX_UNANSWERED_ADDRESSES, PORTS_TOGETHER, UNANSWERED_WINDOW};

/// A caller that looks for late answers later than this was busy, and answers may have come that are not read yet. So
/// nothing is sent again before this much more has passed: a stall of our own must not be answered with more traffic.
pub const STALL: Duration = Duration::from_millis(50);

/// Whom a query goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The address asked.
    pub addr: SocketAddr,
    /// The id that we believe to be there; `None` for a contact known by its address only.
    pub expected_id: Option<NodeId>,
    /// Where the address is known from.
    pub named_by: NamedBy,
}

/// How many queries are in flight, and how many addresses are remembered for what became of earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PendingCounts {
    /// Queries in flight: at most [`Config::max_queries_in_flight`].
    pub in_flight: usize,
    /// Addresses whose round-trip times are remembered: at most [`MAX_MEASURED_ADDRESSES`].
    pub measured_addresses: usize,
    /// Addresses remembered as silent: at most [`MAX_SILENT_ADDRESSES`].
    pub silent_addresses: usize,
    /// Addresses remembered as having answered: at most [`MAX_ANSWERED_ADDRESSES`].
    pub answered_addresses: usize,
    /// Addresses that never answered whose queries are counted: at most [`MAX_UNANSWERED_ADDRESSES`].
    pub unanswered_addresses: usize,
    /// Global hosts that never answered whose queries are counted: at most [`MAX_UNANSWERED_ADDRESSES`].
    pub unanswered_hosts: usize,
    /// Addresses whose token is remembered: at most [`MAX_TOKENS`].
    pub tokens: usize,
}

/// An answer that was accepted.
#[derive(Debug)]
pub struct Answered<W> {
    /// Who waits for it.
    pub waiter: W,
    /// The address that was asked.
    pub addr: SocketAddr,
    /// How long the answer took since the query was first sent.
    pub rtt: Duration,
    /// The id that was expected there.
    pub expected_id: Option<NodeId>,
    /// Whether the answerer is not who was expected: the old id is to be dropped (docs/wire.md, 9.4).
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

/// How late an answer is. It may still come until the query times out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// It takes longer than [expected](Pending::expected_rtt). Not said where the last query to that address
    /// [timed out](Pending::was_silent).
    Slow,
    /// It takes longer than the [retransmission timeout](Pending::resend_timeout): the query is to be sent again now, under
    /// the same id, so that either answer counts.
    Resend,
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
    /// The query was sent several times, and another answer was taken. Normal where datagrams are late.
    #[error("the query was sent several times and is answered already")]
    Repeated,
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
    /// What is to be reported next, and when: never after the timeout.
    late: Option<(Instant, Late)>,
    /// When it is to be sent again, if it turns slow before.
    resend_at: Option<Instant>,
    /// The retransmission timeout when it was first sent.
    resend_timeout: Duration,
    /// How often it was sent.
    sends: u32,
}

/// What is in flight to one address.
#[derive(Debug, Clone, Copy, Default)]
struct Awaited {
    queries: usize,
    /// Of these, those that were sent again.
    resent: usize,
}

/// The queries in flight, each with the one who waits for it.
///
/// Invariant: each query is in `timeouts` under its `(timeout_at, sequence)`, and in `late` exactly if its own `late` is
/// set, under that instant.
pub struct Pending<W> {
    limit: usize,
    timeout: Duration,
    verify_source: bool,
    queries: HashMap<QueryId, Query<W>>,
    timeouts: BTreeMap<(Instant, u64), QueryId>,
    late: BTreeMap<(Instant, u64), QueryId>,
    sequence: u64,
    round_trips: RoundTrips,
    silences: Silences,
    unanswered: Unanswered,
    resends: AnsweredResends,
    shown: Shown,
    /// What is in flight to each address that has any.
    awaited: HashMap<SocketAddr, Awaited>,
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
            late: BTreeMap::new(),
            sequence: 0,
            round_trips: RoundTrips::new(config.query_timeout),
            silences: Silences::default(),
            unanswered: Unanswered::new(config.max_unanswered),
            resends: AnsweredResends::default(),
            shown: Shown::default(),
            awaited: HashMap::new(),
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

    /// What is in flight, and what is remembered.
    pub fn counts(&self) -> PendingCounts {
        let [answered_addresses, unanswered_addresses, unanswered_hosts] = self.unanswered.sizes();
        PendingCounts {
            in_flight: self.queries.len(),
            measured_addresses: self.round_trips.len(),
            silent_addresses: self.silences.len(),
            answered_addresses,
            unanswered_addresses,
            unanswered_hosts,
            tokens: self.shown.len(),
        }
    }

    /// When the next query turns late or times out: when to call [`Pending::late`] and [`Pending::expire`].
    pub fn next_wakeup(&self) -> Option<Instant> {
        let first = |map: &BTreeMap<(Instant, u64), QueryId>| map.keys().next().map(|(at, _)| *at);
        first(&self.timeouts).into_iter().chain(first(&self.late)).min()
    }

    /// How long an answer from `addr` is expected to take: from what was measured there, otherwise from what was
    /// measured anywhere; at least [`MIN_EXPECTED_RTT`], at most the query timeout.
    pub fn expected_rtt(&self, addr: SocketAddr) -> Duration {
        self.round_trips.expected(canonical(addr))
    }

    /// How long to wait for an answer from `addr` before the query is sent again: the retransmission timeout of RFC 6298, its
    /// own or that over all addresses, whichever is longer; at least [`MIN_RESEND_TIMEOUT`], at most the query timeout.
    pub fn resend_timeout(&self, addr: SocketAddr) -> Duration {
        self.round_trips.resend_timeout(canonical(addr))
    }

    /// Whether the last query to `addr` timed out, within [`SILENT_FOR`]: a peer there is likely to be gone.
    pub fn was_silent(&self, addr: SocketAddr, now: Instant) -> bool {
        self.silences.was_silent(canonical(addr), now)
    }

    /// Whether `addr`, which others named to us or sent in the name of, may be asked once more: at most
    /// [`Config::max_unanswered`] times within [`UNANSWERED_WINDOW`], and all ports of a global host [`PORTS_TOGETHER`] times
    /// as often, unless somebody there is remembered to have answered. If it may, that counts.
    pub fn may_ask(&mut self, addr: SocketAddr, now: Instant) -> bool {
        self.unanswered.admit(canonical(addr), now)
    }

    /// What a query to `addr` is to show: the latest token that came from there, for [`TOKEN_FOR`].
    pub fn token(&self, addr: SocketAddr, now: Instant) -> Option<Token> {
        self.shown.to(canonical(addr), now)
    }

    /// Takes in the token that an answer from `addr` brought.
    pub fn given(&mut self, addr: SocketAddr, token: Token, now: Instant) {
        self.shown.given(canonical(addr), token, now);
    }

    /// Whether a query to `addr` is in flight.
    pub fn is_awaited(&self, addr: SocketAddr) -> bool {
        self.awaited.contains_key(&canonical(addr))
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
        let within_timeout = |wait: Duration| (wait < self.timeout).then(|| now + wait);
        let resend_timeout = self.round_trips.resend_timeout(target.addr);
        let resend_at = within_timeout(resend_timeout);
        let silent = self.silences.was_silent(target.addr, now);
        let slow_at = if silent { None } else { within_timeout(self.round_trips.expected(target.addr)) };
        let (late, resend_at) = match slow_at {
            Some(at) => (Some((at, Late::Slow)), resend_at),
            None => (resend_at.map(|at| (at, Late::Resend)), None),
        };
        let timeout_at = now + self.timeout;
        let sequence = self.sequence;
        self.sequence += 1;
        self.timeouts.insert((timeout_at, sequence), id);
        if let Some((at, _)) = late {
            self.late.insert((at, sequence), id);
        }
        self.awaited.entry(target.addr).or_default().queries += 1;
        let query = Query {
            target,
            kind,
            waiter,
            sent_at: now,
            sequence,
            timeout_at,
            late,
            resend_at,
            resend_timeout,
            sends: 1,
        };
        self.queries.insert(id, query);
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
        let from = canonical(from);
        let Some(query) = self.queries.get(id) else {
            let repeated = self.resends.expects(id, from, now);
            return Err(if repeated { Reject::Repeated } else { Reject::UnknownQuery });
        };
        if self.verify_source && from != query.target.addr {
            return Err(Reject::WrongSource);
        }
        if query.kind != answers {
            return Err(Reject::WrongKind);
        }
        let query = self.take(id).ok_or(Reject::UnknownQuery)?;
        let Target { addr, expected_id, .. } = query.target;
        let rtt = now.saturating_duration_since(query.sent_at);
        // Where it lasted longer than a query may, the machine has slept. Which of several sends an answer belongs to cannot be
        // seen (Karn's algorithm); of several queries that were in flight together one backs the timeout off.
        match query.sends {
            _ if now >= query.timeout_at => {}
            1 => self.round_trips.measured(addr, rtt),
            _ if query.resend_timeout >= self.round_trips.resend_timeout(addr) => self.round_trips.ambiguous(addr, rtt),
            _ => {}
        }
        self.resends.answered(*id, addr, query.sends, now, query.timeout_at + self.timeout);
        self.silences.answered(addr);
        self.unanswered.answered(addr);
        let wrong_id = expected_id.is_some_and(|expected| sender_id != Some(expected));
        Ok(Answered { waiter: query.waiter, addr, rtt, expected_id, wrong_id })
    }

    /// The waiters of the queries whose answer has just become late, in the order in which that happened. They may still be
    /// answered until the timeout. Those that are to be sent again count as sent. After a [`STALL`] none is yet.
    pub fn late(&mut self, now: Instant) -> Vec<(&W, Late)> {
        let stalled = self.late.keys().next().is_some_and(|(at, _)| now.saturating_duration_since(*at) > STALL);
        let mut ids = Vec::new();
        while let Some(entry) = self.late.first_entry().filter(|entry| entry.key().0 <= now) {
            let id = entry.remove();
            let Some(query) = self.queries.get_mut(&id) else { continue };
            let Some((_, late)) = query.late.take() else { continue };
            let Some(awaited) = self.awaited.get_mut(&query.target.addr) else { continue };
            let (report, next) = match late {
                Late::Slow => (true, query.resend_at.take()),
                Late::Resend if stalled => (false, Some(now + STALL)),
                Late::Resend if query.sends == 1 && awaited.resent >= MAX_RESENT_AT_ONCE => {
                    (false, Some(now + query.resend_timeout))
                }
                Late::Resend if self.unanswered.may_send_again(&query.target, query.sends, now) => {
                    awaited.resent += usize::from(query.sends == 1);
                    query.sends += 1;
                    (true, resends::next_send(now, query.resend_timeout, query.sends))
                }
                Late::Resend => (false, None),
            };
            if let Some(at) = next.filter(|at| *at < query.timeout_at) {
                query.late = Some((at, Late::Resend));
                self.late.insert((at, query.sequence), id);
            }
            if report {
                ids.push((id, late));
            }
        }
        let waiter = |(id, late)| self.queries.get(&id).map(|query| (&query.waiter, late));
        ids.into_iter().filter_map(waiter).collect()
    }

    /// Ends the queries whose time is up, in the order in which they were sent.
    pub fn expire(&mut self, now: Instant) -> Vec<Expired<W>> {
        let mut expired = Vec::new();
        while let Some(((_, _), id)) = self.timeouts.first_key_value().filter(|((at, _), _)| *at <= now) {
            let id = *id;
            let Some(query) = self.take(&id) else { break };
            let Target { addr, expected_id, .. } = query.target;
            self.silences.silent(addr, now);
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
        self.late.clear();
        self.awaited.clear();
        let order = std::mem::take(&mut self.timeouts);
        order.values().filter_map(|id| self.queries.remove(id)).map(|query| query.waiter).collect()
    }

    fn take(&mut self, id: &QueryId) -> Option<Query<W>> {
        let query = self.queries.remove(id)?;
        self.timeouts.remove(&(query.timeout_at, query.sequence));
        if let Some((at, _)) = query.late {
            self.late.remove(&(at, query.sequence));
        }
        if let Some(awaited) = self.awaited.get_mut(&query.target.addr) {
            awaited.queries -= 1;
            awaited.resent -= usize::from(query.sends > 1);
            if awaited.queries == 0 {
                self.awaited.remove(&query.target.addr);
            }
        }
        Some(query)
    }
}

#[cfg(test)]
mod tests;
