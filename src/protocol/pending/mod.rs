//! Queries in flight: which answer belongs to which query, whether it is authentic, when a query is sent again, and when it times
//! out. It sends nothing and reads no clock; the caller knows who waits for an answer.

mod outcome;
mod repeats;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use outcome::{Answered, Expired, Late, NotBegun, PendingCounts, Reject};
use repeats::AnsweredResends;
pub use repeats::MAX_RESENT_AT_ONCE;

use super::admission::TOKEN_EPOCH;
use super::config::Config;
use super::id::NodeId;
use super::liveness::{MAX_SILENT_ADDRESSES, NamedBy, RoundTrips, SILENT_FOR, Unanswered};
use super::lru::Expiring;
use super::message::{QueryId, Token};
use super::peer::canonical;

/// Addresses whose token is remembered. Beyond it the one that was given longest ago is forgotten: its node then gives
/// another one, at the cost of a round trip.
pub const MAX_TOKENS: usize = 16_384;
/// How long a token is sent along: as long as one can be valid.
pub const TOKEN_FOR: Duration = Duration::from_secs(600);
/// Queries for which room stays while none is in flight. For one more a hash table would take twice as much.
const SMALL: usize = 3;
/// A caller that looks for late answers later than this was busy, and answers may have come that are not read yet. So
/// nothing is sent again before this much more has passed: a stall of our own must not cause more traffic.
pub const STALL: Duration = Duration::from_millis(50);

/// The destination of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The address queried.
    pub addr: SocketAddr,
    /// The id expected there; `None` for a contact known by its address only.
    pub expected_id: Option<NodeId>,
    /// The source of the address.
    pub named_by: NamedBy,
}

struct Query<W> {
    target: Target,
    kind: &'static str,
    waiter: W,
    sent_at: Instant,
    /// Orders queries of the same instant, and finds this one in both maps.
    sequence: u64,
    timeout_at: Instant,
    /// The next report, and when it is due: never after the timeout.
    late: Option<(Instant, Late)>,
    /// The retransmission timeout when it was first sent.
    resend_timeout: Duration,
    /// The number of sends.
    sends: u32,
}

/// The queries in flight to one address.
#[derive(Debug, Clone, Copy, Default)]
struct Awaited {
    queries: usize,
    /// Of these, those that were sent again.
    resent: usize,
    /// When another query to it was last answered, while these were in flight.
    answered_at: Option<Instant>,
}

/// The queries in flight, each with its waiter.
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
    /// The addresses of which a query timed out, and no later answer came.
    silent: Expiring<SocketAddr, ()>,
    unanswered: Unanswered,
    resends: AnsweredResends,
    /// The latest token of each address; `None` where an answer brought none.
    tokens: Expiring<SocketAddr, Option<Token>>,
    /// The queries in flight by address; no address without any.
    awaited: HashMap<SocketAddr, Awaited>,
}

impl<W> Pending<W> {
    /// No queries, with the bounds of `config`.
    pub fn new(config: &Config) -> Self {
        Self {
            limit: config.lookup.max_queries_in_flight,
            timeout: config.lookup.query_timeout,
            verify_source: config.lookup.verify_response_source,
            queries: HashMap::new(),
            timeouts: BTreeMap::new(),
            late: BTreeMap::new(),
            sequence: 0,
            round_trips: RoundTrips::new(config.lookup.query_timeout),
            silent: Expiring::new(MAX_SILENT_ADDRESSES, SILENT_FOR),
            unanswered: Unanswered::new(config.lookup.max_unanswered),
            resends: AnsweredResends::default(),
            tokens: Expiring::new(MAX_TOKENS, TOKEN_FOR),
            awaited: HashMap::new(),
        }
    }

    /// The smoothed round-trip time of `addr`, if one was measured there.
    pub fn round_trip(&self, addr: SocketAddr) -> Option<Duration> {
        self.round_trips.smoothed(addr)
    }

    /// Counts of the queries in flight, and of what is remembered.
    pub fn counts(&self) -> PendingCounts {
        let [answered_addresses, unanswered_addresses, unanswered_hosts] = self.unanswered.sizes();
        PendingCounts {
            in_flight: self.queries.len(),
            measured_addresses: self.round_trips.len(),
            silent_addresses: self.silent.len(),
            answered_addresses,
            unanswered_addresses,
            unanswered_hosts,
            tokens: self.tokens.len(),
        }
    }

    /// The time at which the next query turns late or times out: when to call [`Pending::late`] and [`Pending::expire`].
    pub fn next_wakeup(&self) -> Option<Instant> {
        let first = |map: &BTreeMap<(Instant, u64), QueryId>| map.keys().next().map(|(at, _)| *at);
        first(&self.timeouts).into_iter().chain(first(&self.late)).min()
    }

    /// Returns whether a query to `addr` timed out within [`SILENT_FOR`], and no answer has come from there since it was sent: a peer
    /// there is likely to be gone.
    pub fn was_silent(&self, addr: SocketAddr, now: Instant) -> bool {
        self.silent.get(&canonical(addr), now).is_some()
    }

    /// Returns whether `addr`, which other nodes named or which a request came from, may be queried once more: at most
    /// `max_unanswered` times within [`UNANSWERED_WINDOW`](super::liveness::UNANSWERED_WINDOW), and all ports of a
    /// global host [`PORTS_TOGETHER`](super::liveness::PORTS_TOGETHER) times as often, unless an answer from there is
    /// remembered. If it may, that counts.
    pub fn may_ask(&mut self, addr: SocketAddr, now: Instant) -> bool {
        self.unanswered.admit(canonical(addr), now)
    }

    /// The token that a query to `addr` is to carry: the latest that came from there, for [`TOKEN_FOR`].
    pub fn token(&self, addr: SocketAddr, now: Instant) -> Option<Token> {
        self.tokens.get(&canonical(addr), now).copied().flatten()
    }

    /// Remembers the token that an answer from `addr` brought, or that it brought none: nothing needs to be proved there.
    pub fn given(&mut self, addr: SocketAddr, token: Option<Token>, now: Instant) {
        let addr = canonical(addr);
        let known = self.token(addr, now);
        // A legacy node brings none. From a node that gave one before, an answer without one takes nothing back.
        if token.is_some() || known.is_none() {
            self.tokens.insert(&addr, token, now);
        }
    }

    /// Returns whether `addr` may take a query for a forged one: no token from there is certainly valid, and it is not known to
    /// give none.
    pub fn is_unproved(&self, addr: SocketAddr, now: Instant) -> bool {
        match self.tokens.get_with_age(&canonical(addr), now) {
            Some((Some(_), age)) => age >= TOKEN_EPOCH,
            Some((None, _)) => false,
            None => true,
        }
    }

    /// Returns whether a query to `addr` is in flight.
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
        let resend_timeout = self.round_trips.resend_timeout(target.addr);
        let (wait, first) = match self.was_silent(target.addr, now) {
            true => (resend_timeout, Late::Resend),
            false => (self.round_trips.expected(target.addr), Late::Slow),
        };
        let late = (wait < self.timeout).then(|| (now + wait, first));
        let timeout_at = now + self.timeout;
        let sequence = self.sequence;
        self.sequence += 1;
        self.timeouts.insert((timeout_at, sequence), id);
        if let Some((at, _)) = late {
            self.late.insert((at, sequence), id);
        }
        self.awaited.entry(target.addr).or_default().queries += 1;
        let query = Query { target, kind, waiter, sent_at: now, sequence, timeout_at, late, resend_timeout, sends: 1 };
        self.queries.insert(id, query);
        Ok(())
    }

    /// Takes an answer that came from `from`, answers a query of the kind `answers` (the wire's name), and claims to be from
    /// `sender_id`. An answer without an id where one was expected is from the wrong node.
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
        self.silent.remove(&addr);
        self.unanswered.answered(addr);
        if let Some(awaited) = self.awaited.get_mut(&addr) {
            awaited.answered_at = Some(now);
        }
        let wrong_id = expected_id.is_some_and(|expected| sender_id != Some(expected));
        Ok(Answered { waiter: query.waiter, rtt, wrong_id })
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
            let Target { addr, named_by, .. } = query.target;
            let Some(awaited) = self.awaited.get_mut(&addr) else { continue };
            let (report, next) = match late {
                Late::Slow => (true, Some(query.sent_at + query.resend_timeout)),
                Late::Resend if stalled => (false, Some(now + STALL)),
                Late::Resend if query.sends == 1 && awaited.resent >= MAX_RESENT_AT_ONCE => {
                    (false, Some(now + query.resend_timeout))
                }
                Late::Resend if self.unanswered.may_send_again(addr, named_by, query.sends, now) => {
                    awaited.resent += usize::from(query.sends == 1);
                    query.sends += 1;
                    (true, repeats::next_send(now, query.resend_timeout, query.sends))
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

    /// Ends the queries that have timed out, and returns their waiters in the order of sending. A waiter may have gone meanwhile:
    /// then the peer is not to blame.
    pub fn expire(&mut self, now: Instant) -> Vec<Expired<W>> {
        let mut expired = Vec::new();
        while let Some((_, id)) = self.timeouts.first_key_value().filter(|((at, _), _)| *at <= now) {
            let id = *id;
            let answered_at = |query: &Query<W>| self.awaited.get(&query.target.addr)?.answered_at;
            let answered_at = self.queries.get(&id).and_then(answered_at);
            let Some(query) = self.take(&id) else { break };
            let lives = answered_at.is_some_and(|at| at > query.sent_at);
            if !lives {
                self.silent.insert(&query.target.addr, (), now);
            }
            expired.push(Expired { waiter: query.waiter, lives });
        }
        expired
    }

    /// Stops waiting for a query, since its waiter has gone. A late answer is then an unknown one: harmless.
    pub fn cancel(&mut self, id: &QueryId) -> Option<W> {
        self.take(id).map(|query| query.waiter)
    }

    /// Ends all queries, and returns their waiters in the order of sending.
    pub fn fail_all(&mut self) -> Vec<W> {
        self.late.clear();
        self.awaited.clear();
        let order = std::mem::take(&mut self.timeouts);
        let waiters = order.values().filter_map(|id| self.queries.remove(id)).map(|query| query.waiter).collect();
        self.release();
        waiters
    }

    /// Releases most memory of queries once none is in flight, which most of the time is so: a process may run thousands of nodes.
    fn release(&mut self) {
        if self.queries.is_empty() {
            self.queries.shrink_to(SMALL);
            self.awaited.shrink_to(SMALL);
            // Empty as they are, each has memory for eleven.
            (self.timeouts, self.late) = (BTreeMap::new(), BTreeMap::new());
        }
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
        self.release();
        Some(query)
    }
}

#[cfg(test)]
mod tests;
