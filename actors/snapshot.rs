//! A node at one moment: what a program that watches it reads. With serde durations are seconds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use kademlia_dynamic::protocol::admission::AdmissionCounts;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::pending::PendingCounts;
use kademlia_dynamic::protocol::seconds;
use serde::Serialize;

pub use kademlia_dynamic::protocol::admission::{MAX_BUDGETS, MAX_RATED_PREFIXES, MAX_RATED_SOURCES};
pub use kademlia_dynamic::protocol::liveness::{
    MAX_ANSWERED_ADDRESSES, MAX_MEASURED_ADDRESSES, MAX_SILENT_ADDRESSES, MAX_UNANSWERED_ADDRESSES,
};
pub use kademlia_dynamic::protocol::lookup::MAX_RECENT_PEERS;
pub use kademlia_dynamic::protocol::pending::MAX_TOKENS;
pub use kademlia_dynamic::protocol::pins::{Count, KEYS_SHOWN, PinnedKeySnapshot, PinsSnapshot};
pub use kademlia_dynamic::protocol::routing::{BucketSnapshot, EntrySnapshot, TableCounters, TableSnapshot};
pub use kademlia_dynamic::protocol::store::{
    BackendHealth, BackendState, ClassCount, DueCount, MAX_COUNTED, Refusals, StoreSnapshot,
};

pub use super::blocklist::MAX_BLOCKED;
pub use super::deferred::MAX_DEFERRED;
pub use super::traffic::{MESSAGES, MessageTraffic};
pub use super::upkeep::UpkeepSnapshot;

/// A node at one moment. Its parts are read one after the other, so they may be a few messages apart.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its id.
    pub id: NodeId,
    /// The address it is bound to.
    pub addr: SocketAddr,
    /// How it spells its messages.
    pub codec: Codec,
    /// How long it runs.
    #[serde(serialize_with = "seconds::serialize")]
    pub uptime: Duration,
    /// The peers that it knows.
    pub table: TableSnapshot,
    /// What it holds.
    pub store: StoreSnapshot,
    /// How far it is with comparing what it holds with its neighbours.
    pub upkeep: UpkeepSnapshot,
    /// Its pinned keys.
    pub pins: PinsSnapshot,
    /// How much it remembers of addresses.
    pub admission: AdmissionSnapshot,
    /// Its queries in flight.
    pub queries_in_flight: usize,
    /// Its lookups that run.
    pub lookups_running: usize,
    /// Its lookups that wait in the queue.
    pub lookups_waiting: usize,
    /// The peers that answered its lookups lately, from which further ones begin: at most [`MAX_RECENT_PEERS`].
    pub recent_peers: usize,
    /// Every counter that is not zero, as `name` or `name{reason}`.
    pub counters: BTreeMap<String, u64>,
    /// Restarts of its actors after panics.
    pub restarts: RestartSnapshot,
    /// The traffic, a row for each message.
    pub traffic: Vec<MessageTraffic>,
    /// How long ago a query came from a global host that was sent nothing for ten minutes: strangers reach this node. `None`: there
    /// was none, which says nothing.
    #[serde(serialize_with = "seconds::serialize")]
    pub reached: Option<Duration>,
}

/// Restarts of actors after panics.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct RestartSnapshot {
    /// All since the start, by actor, of those that had any.
    pub by_actor: BTreeMap<&'static str, u64>,
    /// The actors that were restarted within the last `restart_window`, the time over which restarts are limited.
    pub lately: Vec<&'static str>,
}

/// A peer of the routing table, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KnownPeer {
    /// The peer.
    #[serde(flatten)]
    pub peer: Peer,
    /// The bits that all ids of its bucket begin with, and a star.
    pub bucket: String,
    /// How long ago it answered last.
    #[serde(serialize_with = "seconds::serialize")]
    pub answered_ago: Duration,
    /// Queries in a row without an answer.
    pub failures: u32,
    /// Whether its last answer was a legacy node's.
    pub legacy: bool,
    /// Its smoothed round-trip time, where one was measured lately.
    #[serde(serialize_with = "seconds::serialize")]
    pub round_trip: Option<Duration>,
}

impl KnownPeer {
    pub(crate) fn new(bucket: &BucketSnapshot, entry: &EntrySnapshot) -> Self {
        Self {
            peer: entry.peer,
            bucket: bucket.prefix.clone(),
            answered_ago: Duration::from_millis(entry.answer_age_ms),
            failures: entry.failures,
            legacy: entry.legacy,
            round_trip: None,
        }
    }
}

/// What a node remembers of addresses, and what waits for them. All of it is filled by strangers, so each part has a bound.
// Not non_exhaustive: the fuzzers name each part with its bound, and do not compile where one is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AdmissionSnapshot {
    /// Sources (an IPv4 address, an IPv6 /64) whose rate is remembered: at most
    /// [`MAX_RATED_SOURCES`].
    pub rated_sources: usize,
    /// Networks (an IPv4 /24, an IPv6 /48) whose rate is remembered: at most
    /// [`MAX_RATED_PREFIXES`].
    pub rated_prefixes: usize,
    /// Addresses that have proved themselves: at most
    /// [`max_verified_addresses`](kademlia_dynamic::protocol::config::VerificationConfig::max_verified_addresses).
    pub verified_addresses: usize,
    /// Responses and writes that await the verification of their address: at most
    /// [`max_unverified`](kademlia_dynamic::protocol::config::VerificationConfig::max_unverified).
    pub unverified: usize,
    /// Of these, those of the address with the most of them: at most
    /// [`max_unverified_per_address`](kademlia_dynamic::protocol::config::VerificationConfig::max_unverified_per_address).
    pub unverified_for_one_address: usize,
    /// Datagrams that made an actor panic and are dropped when they come again: at most
    /// [`MAX_BLOCKED`].
    pub blocked_datagrams: usize,
    /// Addresses whose round-trip times are remembered: at most
    /// [`MAX_MEASURED_ADDRESSES`].
    pub measured_addresses: usize,
    /// Addresses that were silent when they were asked last: at most
    /// [`MAX_SILENT_ADDRESSES`].
    pub silent_addresses: usize,
    /// Addresses that are known to have answered: at most
    /// [`MAX_ANSWERED_ADDRESSES`].
    pub answered_addresses: usize,
    /// Addresses that never answered, and are asked only so often: at most
    /// [`MAX_UNANSWERED_ADDRESSES`].
    pub unanswered_addresses: usize,
    /// Global hosts that never answered, and are asked only so often: as many at most.
    pub unanswered_hosts: usize,
    /// Hosts whose budget of answers is remembered: at most
    /// [`MAX_BUDGETS`].
    pub budgets: usize,
    /// Hosts whose rate of legacy writes is remembered: at most
    /// [`MAX_RATED_SOURCES`].
    pub legacy_writers: usize,
    /// Addresses whose token, or lack of one, is remembered: at most [`MAX_TOKENS`].
    pub tokens: usize,
    /// Queries that wait for what becomes of others to the same address: at most
    /// [`MAX_DEFERRED`].
    pub queries_deferred: usize,
}

impl AdmissionSnapshot {
    /// What the dispatcher and the queries have counted.
    pub(crate) fn new(
        admitted: &AdmissionCounts,
        blocked_datagrams: usize,
        queries: &PendingCounts,
        queries_deferred: usize,
    ) -> Self {
        Self {
            rated_sources: admitted.rated_sources,
            rated_prefixes: admitted.rated_prefixes,
            verified_addresses: admitted.verified_addresses,
            unverified: admitted.unverified,
            unverified_for_one_address: admitted.unverified_for_one_address,
            blocked_datagrams,
            measured_addresses: queries.measured_addresses,
            silent_addresses: queries.silent_addresses,
            answered_addresses: queries.answered_addresses,
            unanswered_addresses: queries.unanswered_addresses,
            unanswered_hosts: queries.unanswered_hosts,
            budgets: admitted.budgets,
            legacy_writers: admitted.legacy_writers,
            tokens: queries.tokens,
            queries_deferred,
        }
    }
}
