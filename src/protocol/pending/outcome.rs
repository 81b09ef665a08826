//! The results of queries: accepted answers, late ones, refusals, and counts of what is remembered.

use std::time::Duration;

use serde::Serialize;

/// Counts of the queries in flight, and of the addresses that are remembered for the outcome of earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PendingCounts {
    /// Queries in flight: at most [`max_queries_in_flight`](crate::protocol::config::LookupConfig::max_queries_in_flight).
    pub in_flight: usize,
    /// Addresses whose round-trip times are remembered: at most
    /// [`MAX_MEASURED_ADDRESSES`](crate::protocol::liveness::MAX_MEASURED_ADDRESSES).
    pub measured_addresses: usize,
    /// Addresses remembered as silent: at most [`MAX_SILENT_ADDRESSES`](crate::protocol::liveness::MAX_SILENT_ADDRESSES).
    pub silent_addresses: usize,
    /// Addresses remembered as having answered: at most
    /// [`MAX_ANSWERED_ADDRESSES`](crate::protocol::liveness::MAX_ANSWERED_ADDRESSES).
    pub answered_addresses: usize,
    /// Addresses that never answered whose queries are counted: at most
    /// [`MAX_UNANSWERED_ADDRESSES`](crate::protocol::liveness::MAX_UNANSWERED_ADDRESSES).
    pub unanswered_addresses: usize,
    /// Global hosts that never answered whose queries are counted: at most
    /// [`MAX_UNANSWERED_ADDRESSES`](crate::protocol::liveness::MAX_UNANSWERED_ADDRESSES).
    pub unanswered_hosts: usize,
    /// Addresses whose token is remembered: at most [`MAX_TOKENS`](super::MAX_TOKENS).
    pub tokens: usize,
}

/// An answer that was accepted.
#[derive(Debug)]
pub struct Answered<W> {
    /// The waiter of the query.
    pub waiter: W,
    /// The time from the first send of the query to the answer.
    pub rtt: Duration,
    /// Whether another node answered than was expected: the old id is to be dropped (docs/wire.md, 9.4).
    pub wrong_id: bool,
}

/// A query that has timed out.
#[derive(Debug)]
pub struct Expired<W> {
    /// The waiter of the query.
    pub waiter: W,
    /// Whether another query to its address was answered since it was sent: it is lost, and the peer is not.
    pub lives: bool,
}

/// The stages in which an answer is late. It may still come until the query times out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// The answer takes longer than is expected of its address. Not reported where the last query to that address
    /// [timed out](super::Pending::was_silent).
    Slow,
    /// The answer takes longer than the retransmission timeout: the query is to be sent again now, under the same id, so that
    /// either answer counts.
    Resend,
}

/// Reasons for which a query was not begun. Nothing was changed, and nothing must be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotBegun {
    /// [`max_queries_in_flight`](crate::protocol::config::LookupConfig::max_queries_in_flight) are in flight. Normal under
    /// load.
    #[error("too many queries in flight")]
    Full,
    /// A query with this id is in flight. With 64 random bits this means that the entropy is broken.
    #[error("a query with this id is in flight already")]
    DuplicateId,
}

/// Reasons for which an answer was not accepted. The query, if there is one, stays in flight and may still be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// No query of this id is in flight: the answer is too late, or the query was never sent.
    #[error("no query with this id is in flight")]
    UnknownQuery,
    /// The query was sent several times, and another answer was taken. Normal where datagrams are late.
    #[error("the query was sent several times and is answered already")]
    Repeated,
    /// The answer came from another address than the query went to.
    #[error("answered from another address than was asked")]
    WrongSource,
    /// The answer is to another kind of query.
    #[error("an answer to another kind of query")]
    WrongKind,
}
