//! Every tunable of a node, and its default as a named constant. How they are set is the builder's business, and what they may
//! be that of `ranges`.

mod builder;
mod ranges;

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::peer::AddressScope;
pub use builder::ConfigBuilder;
pub use ranges::ConfigError;

/// Peers per bucket and replicas per value (docs/wire.md, 7).
pub const DEFAULT_K: usize = 20;
/// Parallel queries of a lookup (docs/wire.md, 7).
pub const DEFAULT_ALPHA: usize = 3;
/// How long a query waits for its answer (docs/wire.md, 7).
pub const DEFAULT_QUERY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a bucket may go without a lookup before it is refreshed (docs/wire.md, 7).
pub const DEFAULT_BUCKET_REFRESH_INTERVAL: Duration = Duration::from_secs(3_600);
/// How long a published value lives (docs/wire.md, 7).
pub const DEFAULT_KEY_EXPIRY: Duration = Duration::from_secs(86_410);
/// How often a holder that is not the publisher restores a value (docs/wire.md, 7).
pub const DEFAULT_RESTORE_INTERVAL: Duration = Duration::from_secs(3_600);
/// How often a publisher republishes at the latest (docs/wire.md, 7).
pub const DEFAULT_REPUBLISH_INTERVAL: Duration = Duration::from_secs(86_400);
/// The shortest life of a cached copy (docs/wire.md, 7).
pub const DEFAULT_MIN_CACHE_TTL: Duration = Duration::from_secs(600);
/// Datagrams of strangers taken in and not yet dealt with. The next one is dropped and counted.
pub const DEFAULT_MAX_DISPATCHES: usize = 64;
/// Bytes of datagrams that wait in the system until they are read.
pub const DEFAULT_RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// How long a lookup may take before it ends with what it has.
pub const DEFAULT_LOOKUP_DEADLINE: Duration = Duration::from_secs(10);
/// Lookups that run at once. Further ones wait in order.
pub const DEFAULT_MAX_LOOKUPS: usize = 256;
/// Lookups that wait for their turn. Further ones are refused with an error.
pub const DEFAULT_MAX_WAITING_LOOKUPS: usize = 1_024;
/// Queries in flight. A further one fails at once.
pub const DEFAULT_MAX_QUERIES_IN_FLIGHT: usize = 4_096;

/// Queries within a minute to an address at which nobody has ever answered. A further one fails at once.
pub const DEFAULT_MAX_UNANSWERED: u32 = 10;

/// Responses and writes that await the verification of their address. A further one is dropped and counted.
pub const DEFAULT_MAX_UNVERIFIED: usize = 256;
/// The same, for one address.
pub const DEFAULT_MAX_UNVERIFIED_PER_ADDRESS: usize = 4;
/// How long an answer or a write waits for that pong.
pub const DEFAULT_VERIFICATION_TIME: Duration = Duration::from_secs(1);
/// Addresses remembered as verified. Beyond it the one verified longest ago is forgotten.
pub const DEFAULT_MAX_VERIFIED_ADDRESSES: usize = 65_536;
/// How long an address stays verified after it echoed a query id of ours.
pub const DEFAULT_VERIFIED_FOR: Duration = Duration::from_secs(600);
/// Writes a second of a legacy host whose address must prove itself. A further one is refused and counted.
pub const DEFAULT_LEGACY_WRITE_RATE: u32 = 4;
/// Datagrams a second from one global address. A further one is dropped and counted.
pub const DEFAULT_SOURCE_RATE: u32 = 50;
/// How many datagrams one global address may send at once.
pub const DEFAULT_SOURCE_BURST: u32 = 100;
/// Datagrams a second from one global network (/24, /48): ten hosts at their full rate. A further one is dropped and counted.
pub const DEFAULT_PREFIX_RATE: u32 = 500;
/// How many datagrams one global network may send at once.
pub const DEFAULT_PREFIX_BURST: u32 = 1_000;
/// Bytes of an answer to a global address: one Ethernet frame, since a lost fragment loses the whole answer.
pub const DEFAULT_MAX_GLOBAL_ANSWER: usize = 1_200;

/// Values held for others. Beyond it room is made, or the value refused.
pub const DEFAULT_MAX_VALUES: usize = 100_000;
/// Bytes (keys and values) held for others. Beyond it room is made, or the value refused.
pub const DEFAULT_MAX_STORE_BYTES: usize = 64 * 1024 * 1024;
/// Writes that wait for the store's commit. A further one is refused.
pub const DEFAULT_MAX_WAITING_WRITES: usize = 1_024;
/// The longest key in bytes of UTF-8.
pub const DEFAULT_MAX_KEY_LEN: usize = 1_024;
/// The longest value in bytes.
pub const DEFAULT_MAX_VALUE_LEN: usize = 60_000;
/// Above this many bytes a value's answer no longer fits one Ethernet frame, and a `set` logs a warning.
pub const LARGE_VALUE_LEN: usize = 1_200;
/// The largest UDP payload over IPv4 (docs/wire.md, 6).
pub const MAX_DATAGRAM: usize = 65_507;

/// The interval in which the replicas of a pinned key are counted.
pub const DEFAULT_AUDIT_INTERVAL: Duration = Duration::from_secs(600);
/// Pinned keys. A further one is refused with an error.
pub const DEFAULT_MAX_PINNED_KEYS: usize = 10_000;

/// The time in which a node that stops transfers its copies.
pub const DEFAULT_HAND_OFF_TIME: Duration = Duration::from_secs(2);
/// Copies a second to one new peer. Further ones wait.
pub const DEFAULT_HAND_OFF_RATE: u32 = 100;

/// Unanswered queries in a row after which a peer may be evicted, if others answer meanwhile.
pub const DEFAULT_MAX_FAILURES: u32 = 3;
/// Verified peers of one /24 (/64) in one bucket.
pub const DEFAULT_MAX_PER_SUBNET_BUCKET: usize = 2;
/// Verified peers of one /24 (/64) in the whole table.
pub const DEFAULT_MAX_PER_SUBNET_TABLE: usize = 10;
/// Candidates of one global /24 (/64) in one lookup.
pub const DEFAULT_MAX_PER_SUBNET_LOOKUP: usize = 3;

/// Restarts of one actor within [`DEFAULT_RESTART_WINDOW`]. One more stops the node.
pub const DEFAULT_MAX_RESTARTS: u32 = 5;
/// The window in which restarts are counted.
pub const DEFAULT_RESTART_WINDOW: Duration = Duration::from_secs(60);

/// To which addresses a rule about strangers applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppliesTo {
    /// Global addresses only: loopback and private ranges are exempt.
    #[default]
    Global,
    /// Every address.
    Always,
    /// No address: the rule is off.
    Off,
}

impl AppliesTo {
    /// Whether the rule applies to `ip`.
    pub fn covers(self, ip: &IpAddr) -> bool {
        match self {
            Self::Global => AddressScope::of(ip).is_global(),
            Self::Always => true,
            Self::Off => false,
        }
    }
}

/// What happens to a key that this node publishes when somebody else sets another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublisherConflict {
    /// The last writer wins, as on the legacy network: our publication ends, and an event says so.
    #[default]
    Supersede,
    /// The foreign `set` is acknowledged as refused and not applied.
    Hold,
}

/// The settings of a node. [`Config::default`] is what a node on the legacy network uses; [`Config::builder`] changes it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Peers per bucket, and replicas per value (1..=255). Defaults to [`DEFAULT_K`]; all nodes of a network should agree.
    pub k: usize,
    /// Parallel queries of a lookup (1..=64). Defaults to [`DEFAULT_ALPHA`].
    pub alpha: usize,
    /// How long a query waits for its answer (10 ms..=60 s). Defaults to [`DEFAULT_QUERY_TIMEOUT`].
    pub query_timeout: Duration,
    /// How long a bucket may go without a lookup before it is refreshed (10 ms..=7 days), jittered by a tenth. The
    /// expiry sweep runs as often. Defaults to [`DEFAULT_BUCKET_REFRESH_INTERVAL`].
    pub bucket_refresh_interval: Duration,
    /// How long a published value lives after its last publication (1 s..=365 days). Defaults to [`DEFAULT_KEY_EXPIRY`].
    pub key_expiry: Duration,
    /// How often a holder that is not the publisher restores a value (10 ms..=30 days), jittered by a tenth. Defaults
    /// to [`DEFAULT_RESTORE_INTERVAL`].
    pub restore_interval: Duration,
    /// How often a publisher republishes at the latest (10 ms..=365 days). A value is always republished before half
    /// of [`Config::key_expiry`] has passed, whatever stands here. Defaults to [`DEFAULT_REPUBLISH_INTERVAL`].
    pub republish_interval: Duration,
    /// The shortest life of a cached copy (0..=[`Config::key_expiry`]). Defaults to [`DEFAULT_MIN_CACHE_TTL`], or to
    /// the key expiry where that is shorter.
    pub min_cache_ttl: Duration,
    /// Datagrams of strangers taken in and not yet dealt with (1..=65,536). Defaults to [`DEFAULT_MAX_DISPATCHES`].
    pub max_dispatches: usize,
    /// Bytes that the system is asked for to hold datagrams until they are read (4,096..=1 GiB). It bears what comes while the
    /// node's thread has to wait for a processor: a small datagram counts some 800 bytes. What does not fit is dropped, the
    /// answers to our own queries not excepted, and counted where the system tells. The system may give less (Linux:
    /// `net.core.rmem_max`, often 208 KiB), and uses what it gives only under load. Defaults to [`DEFAULT_RECEIVE_BUFFER`].
    pub receive_buffer: usize,
    /// Whether an answer must come from the exact address that was asked. Off only where peers answer from another
    /// address; query id, kind and node id are checked in either case. Defaults to `true`.
    pub verify_response_source: bool,

    /// While legacy peers are in the table, store on the k nearest *and* on the k nearest of the own table, where
    /// legacy readers look (docs/wire.md, 9.8). Defaults to `true`.
    pub mixed_placement: bool,
    /// On a miss, read on past the k nearest to 5 k, where legacy writers may have put the value, while legacy peers
    /// are in the table (docs/wire.md, 9.8). Defaults to `true`.
    pub read_on: bool,
    /// How long a lookup may take (10 ms..=10 min). Defaults to [`DEFAULT_LOOKUP_DEADLINE`].
    pub lookup_deadline: Duration,
    /// Lookups that run at once (1..=65,536), of which the node's own upkeep has at most half, and one in four of those that begin
    /// while more are wanted than can run. Defaults to [`DEFAULT_MAX_LOOKUPS`].
    pub max_lookups: usize,
    /// Lookups that wait for their turn (0..=1,000,000): so many that somebody waits for, in their order, and so many of the
    /// node's own upkeep beside them, in each of its rounds, which come once a minute at least. Half of those of a round are
    /// certain to publish the node's own values again: with the default that suffices for 330,000 values in time. A node that
    /// publishes more needs more, and otherwise logs a warning. Defaults to [`DEFAULT_MAX_WAITING_LOOKUPS`].
    pub max_waiting_lookups: usize,
    /// Queries in flight (1..=1,000,000). Defaults to [`DEFAULT_MAX_QUERIES_IN_FLIGHT`].
    pub max_queries_in_flight: usize,
    /// Queries within any minute to an address at which nobody is remembered to have answered (2..=1,000,000), since others
    /// may name any address to us; all ports of a global host get three times as many. Those that the application itself sends,
    /// to contacts and by pings, do not count. Defaults to [`DEFAULT_MAX_UNANSWERED`].
    pub max_unanswered: u32,

    /// Which addresses must echo a query id of ours before they cost us more than 3 times their request's bytes.
    /// Defaults to global ones.
    pub source_verification: AppliesTo,
    /// Responses and writes that await such an echo (0..=65,536). Defaults to [`DEFAULT_MAX_UNVERIFIED`].
    pub max_unverified: usize,
    /// The same, for one address (0..=65,536). Defaults to [`DEFAULT_MAX_UNVERIFIED_PER_ADDRESS`].
    pub max_unverified_per_address: usize,
    /// How long they wait (10 ms..=60 s). Defaults to [`DEFAULT_VERIFICATION_TIME`].
    pub verification_time: Duration,
    /// Addresses remembered as verified (1..=16,777,216; about 100 bytes each). Defaults to [`DEFAULT_MAX_VERIFIED_ADDRESSES`].
    pub max_verified_addresses: usize,
    /// How long an address stays verified (1 s..=1 day). Defaults to [`DEFAULT_VERIFIED_FOR`].
    pub verified_for: Duration,
    /// Writes a second of a legacy host that has answered a ping (1..=1,000,000), 16 seconds' worth of them at once: it can show
    /// no token, so they may be forged. Further ones are refused. Those of nodes with tokens do not count. Defaults to
    /// [`DEFAULT_LEGACY_WRITE_RATE`].
    pub legacy_write_rate: u32,
    /// Which addresses, and which networks, have a rate. Defaults to global ones.
    pub rate_limit: AppliesTo,
    /// Datagrams a second from one address (1..=1,000,000); a `set` counts as four. Defaults to [`DEFAULT_SOURCE_RATE`].
    pub source_rate: u32,
    /// How many datagrams one address may send at once (4..=1,000,000). Defaults to [`DEFAULT_SOURCE_BURST`].
    pub source_burst: u32,
    /// Datagrams a second from all addresses of one network that have not proved themselves, an IPv4 /24 or an IPv6 /48 (1..=1,000,000); a `set` counts as
    /// four. Behind one may be many hosts: it should be several times [`Config::source_rate`], and where all nodes are in one
    /// private network under `rate_limit = always`, as many times as there are nodes. Defaults to [`DEFAULT_PREFIX_RATE`].
    pub prefix_rate: u32,
    /// How many datagrams one network may send at once (4..=1,000,000). Defaults to [`DEFAULT_PREFIX_BURST`].
    pub prefix_burst: u32,
    /// Bytes of an answer with peers to a global address (256..=65,507). Defaults to [`DEFAULT_MAX_GLOBAL_ANSWER`].
    pub max_global_answer: usize,

    /// Values held for others (0..=100,000,000). Defaults to [`DEFAULT_MAX_VALUES`].
    pub max_values: usize,
    /// Bytes, keys and values together, held for others. Defaults to [`DEFAULT_MAX_STORE_BYTES`].
    pub max_store_bytes: usize,
    /// Writes that wait for a commit, their own or that of another write of their key (1..=1,000,000). A further one is refused;
    /// one of the application only where it would wait for another. Defaults to [`DEFAULT_MAX_WAITING_WRITES`].
    pub max_waiting_writes: usize,
    /// The longest key in bytes of UTF-8 (1..=32,768). Defaults to [`DEFAULT_MAX_KEY_LEN`].
    pub max_key_len: usize,
    /// The longest value in bytes (1..=65,507). Defaults to [`DEFAULT_MAX_VALUE_LEN`]. Whatever stands here, the
    /// answer that carries the value must fit one datagram as a legacy node encodes it.
    pub max_value_len: usize,
    /// What happens when somebody else sets a key that this node publishes. Defaults to the last writer's victory.
    pub publisher_conflict: PublisherConflict,
    /// The interval in which the replicas of a pinned key are counted (10 ms..=30 days), jittered by a tenth; a quarter of it at
    /// first after the key was found in trouble. Many pinned keys may make it longer: there are at most 20 audits a second, and
    /// four at once. Defaults to [`DEFAULT_AUDIT_INTERVAL`].
    pub audit_interval: Duration,
    /// Pinned keys (0..=1,000,000). Defaults to [`DEFAULT_MAX_PINNED_KEYS`].
    pub max_pinned_keys: usize,
    /// The time in which a node that stops transfers its copies (0..=60 s). A node without copies stops at once; with 0 every
    /// node does. Defaults to [`DEFAULT_HAND_OFF_TIME`].
    pub hand_off_time: Duration,
    /// Copies a second to a peer that has entered the routing table and is among the k nearest to them (0..=10,000); 0: it gets
    /// them by the next restore only. All such peers together get at most four times as much, and one whose address has a
    /// [rate limit](Config::rate_limit) no more than that allows. Defaults to
    /// [`DEFAULT_HAND_OFF_RATE`].
    pub hand_off_rate: u32,

    /// Unanswered queries in a row after which a peer may be evicted (1..=100). Defaults to [`DEFAULT_MAX_FAILURES`].
    pub max_failures: u32,
    /// Which addresses count towards the limits on peers of one subnet. Defaults to global ones.
    pub diversity: AppliesTo,
    /// Verified peers of one subnet in a bucket (1..=255). Defaults to [`DEFAULT_MAX_PER_SUBNET_BUCKET`].
    pub max_per_subnet_bucket: usize,
    /// Verified peers of one subnet in the table (1..=65,536). Defaults to [`DEFAULT_MAX_PER_SUBNET_TABLE`].
    pub max_per_subnet_table: usize,
    /// Candidates of one subnet in a lookup (1..=255). Defaults to [`DEFAULT_MAX_PER_SUBNET_LOOKUP`].
    pub max_per_subnet_lookup: usize,

    /// Restarts of one actor within [`Config::restart_window`] (0..=1,000,000). Defaults to [`DEFAULT_MAX_RESTARTS`].
    pub max_restarts: u32,
    /// The window in which restarts are counted (1 s..=1 day). Defaults to [`DEFAULT_RESTART_WINDOW`].
    pub restart_window: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            k: DEFAULT_K,
            alpha: DEFAULT_ALPHA,
            query_timeout: DEFAULT_QUERY_TIMEOUT,
            bucket_refresh_interval: DEFAULT_BUCKET_REFRESH_INTERVAL,
            key_expiry: DEFAULT_KEY_EXPIRY,
            restore_interval: DEFAULT_RESTORE_INTERVAL,
            republish_interval: DEFAULT_REPUBLISH_INTERVAL,
            min_cache_ttl: DEFAULT_MIN_CACHE_TTL,
            max_dispatches: DEFAULT_MAX_DISPATCHES,
            receive_buffer: DEFAULT_RECEIVE_BUFFER,
            verify_response_source: true,
            mixed_placement: true,
            read_on: true,
            lookup_deadline: DEFAULT_LOOKUP_DEADLINE,
            max_lookups: DEFAULT_MAX_LOOKUPS,
            max_waiting_lookups: DEFAULT_MAX_WAITING_LOOKUPS,
            max_queries_in_flight: DEFAULT_MAX_QUERIES_IN_FLIGHT,
            max_unanswered: DEFAULT_MAX_UNANSWERED,
            source_verification: AppliesTo::Global,
            max_unverified: DEFAULT_MAX_UNVERIFIED,
            max_unverified_per_address: DEFAULT_MAX_UNVERIFIED_PER_ADDRESS,
            verification_time: DEFAULT_VERIFICATION_TIME,
            max_verified_addresses: DEFAULT_MAX_VERIFIED_ADDRESSES,
            verified_for: DEFAULT_VERIFIED_FOR,
            legacy_write_rate: DEFAULT_LEGACY_WRITE_RATE,
            rate_limit: AppliesTo::Global,
            source_rate: DEFAULT_SOURCE_RATE,
            source_burst: DEFAULT_SOURCE_BURST,
            prefix_rate: DEFAULT_PREFIX_RATE,
            prefix_burst: DEFAULT_PREFIX_BURST,
            max_global_answer: DEFAULT_MAX_GLOBAL_ANSWER,
            max_values: DEFAULT_MAX_VALUES,
            max_store_bytes: DEFAULT_MAX_STORE_BYTES,
            max_waiting_writes: DEFAULT_MAX_WAITING_WRITES,
            max_key_len: DEFAULT_MAX_KEY_LEN,
            max_value_len: DEFAULT_MAX_VALUE_LEN,
            publisher_conflict: PublisherConflict::Supersede,
            audit_interval: DEFAULT_AUDIT_INTERVAL,
            max_pinned_keys: DEFAULT_MAX_PINNED_KEYS,
            hand_off_time: DEFAULT_HAND_OFF_TIME,
            hand_off_rate: DEFAULT_HAND_OFF_RATE,
            max_failures: DEFAULT_MAX_FAILURES,
            diversity: AppliesTo::Global,
            max_per_subnet_bucket: DEFAULT_MAX_PER_SUBNET_BUCKET,
            max_per_subnet_table: DEFAULT_MAX_PER_SUBNET_TABLE,
            max_per_subnet_lookup: DEFAULT_MAX_PER_SUBNET_LOOKUP,
            max_restarts: DEFAULT_MAX_RESTARTS,
            restart_window: DEFAULT_RESTART_WINDOW,
        }
    }
}

impl Config {
    /// How often a publisher republishes: [`Config::republish_interval`], but always before half of the expiry has
    /// passed, so that one missed round loses nothing.
    pub fn effective_republish_interval(&self) -> Duration {
        self.republish_interval.min(self.key_expiry / 2)
    }

    /// A full copy with less than this left is about to end: `check_store` is answered as if it were not held, so that whoever
    /// has more left brings it, and a legacy node is given none, since it grants a full day to whatever it is given.
    /// [`Config::restore_interval`], or a quarter of the expiry where that is shorter: the copies of a publisher that lives
    /// never get there.
    pub fn nearly_expired(&self) -> Duration {
        self.restore_interval.min(self.key_expiry / 4)
    }

    /// Two copies whose ages differ by no more than this may be of one publication, whose holders date it when it reaches them:
    /// as long as a placement may take, and its last datagram. Beyond it the younger one is of a later publication.
    pub fn same_publication(&self) -> Duration {
        self.lookup_deadline + self.query_timeout + Duration::from_secs(1)
    }

    /// How many queries one lookup may send, reading on included: max(60, 3 k).
    pub fn lookup_queries(&self) -> usize {
        (3 * self.k).max(60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::builder().build().unwrap(), Config::default());
    }

    #[test]
    fn a_short_expiry_shortens_the_default_cache_ttl_but_not_one_that_was_asked_for() {
        let short = Duration::from_secs(100);
        assert_eq!(Config::builder().key_expiry(short).build().unwrap().min_cache_ttl, short);
        assert!(Config::builder().key_expiry(short).min_cache_ttl(short * 2).build().is_err());
    }

    #[test]
    fn a_value_is_republished_well_before_it_expires() {
        let config = Config::default();
        assert!(config.effective_republish_interval() * 2 <= config.key_expiry);
    }
}
