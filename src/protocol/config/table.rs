//! The table of settings: name, type, default, range, unit and meaning of each. All else about them is generated from it.

use std::fmt;
use std::time::Duration;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::deny::DenyList;
use super::error::{ConfigError, within};
use super::generate::{settings, written};
use super::policy::{AppliesTo, PublisherConflict};
#[cfg(feature = "cli")]
use super::row::{Row, json};
use super::span::Span;

/// The largest UDP payload over IPv4 (docs/wire.md, 6).
pub const MAX_DATAGRAM: usize = 65_507;

/// With less a node could not even look for its neighbours.
const MIN_SEND_RATE: u64 = 10_000;

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn days(count: u64) -> Duration {
    Duration::from_secs(86_400 * count)
}

settings! {
    /// Lookups and queries of this node (docs/wire.md, 7).
    lookup: LookupConfig {
        /// Peers per bucket, and replicas per value; all nodes of a network should agree.
        k: usize = 20, in 1..=255, "peers";
        /// Parallel queries of a lookup.
        alpha: usize = 3, in 1..=64, "queries";
        /// How long a query waits for its answer.
        query_timeout: Duration = secs(2), in ms(10)..=secs(60);
        /// How long a lookup may take before it ends with what it has.
        lookup_deadline: Duration = secs(10), in ms(10)..=secs(600);
        /// Lookups that run at once, of which the node's own upkeep has at most half, and one in four of those that begin while
        /// more are wanted than can run. Further ones wait in order.
        max_lookups: usize = 256, in 1..=65_536, "lookups";
        /// Lookups of callers that wait for their turn, in order; a further one fails with an error. The node's own upkeep has a
        /// queue of this length beside it, filled in each of its rounds, which come once a minute at least.
        max_waiting_lookups: usize = 1_024, in 0..=1_000_000, "lookups";
        /// Queries in flight. A further one fails at once.
        max_queries_in_flight: usize = 4_096, in 1..=1_000_000, "queries";
        /// Queries within any minute to an address from which no answer is remembered, since other nodes may name any address to
        /// this one; all ports of a global host get three times as many. A further one fails at once. Those that the application
        /// itself sends, to contacts and by pings, do not count.
        max_unanswered: u32 = 10, in 2..=1_000_000, "queries";
        /// Whether an answer must come from the exact address that was asked. Off only where peers answer from another address;
        /// query id, kind and node id are checked in either case.
        verify_response_source: bool = true;
        /// While legacy peers are in the table, store on the k nearest *and* on the k nearest of the own table, where legacy
        /// readers look (docs/wire.md, 9.8).
        mixed_placement: bool = true;
        /// On a miss, read on past the k nearest to 5 k, where legacy writers may have put the value, while legacy peers are in
        /// the table (docs/wire.md, 9.8).
        read_on: bool = true;
    }

    /// The routing table.
    table: TableConfig {
        /// How long a bucket may go without a lookup before it is refreshed, jittered by a tenth. The expiry sweep runs as often.
        bucket_refresh_interval: Duration = secs(3_600), in ms(10)..=days(7);
        /// Unanswered queries in a row after which a peer may be evicted, if others answer meanwhile.
        max_failures: u32 = 3, in 1..=100, "queries";
        /// Which addresses count towards the limits on peers of one subnet, a /24 or an IPv6 /64.
        diversity: AppliesTo = AppliesTo::Global;
        /// Verified peers of one subnet in a bucket.
        max_per_subnet_bucket: usize = 2, in 1..=255, "peers";
        /// Verified peers of one subnet in the table.
        max_per_subnet_table: usize = 10, in 1..=65_536, "peers";
        /// Candidates of one subnet in a lookup.
        max_per_subnet_lookup: usize = 3, in 1..=255, "peers";
    }

    /// How long values live, and how they are kept alive.
    values: ValuesConfig {
        /// How long a value lives after its last publication.
        key_expiry: Duration = secs(86_410), in secs(1)..=days(365);
        /// How often a node compares its copies with those of each neighbour, and how often a holder restores a value to peers that
        /// cannot compare, less often where several holders do; jittered by a tenth.
        restore_interval: Duration = secs(3_600), in ms(10)..=days(30);
        /// How often a publisher republishes at the latest. A value is always republished before half of `key_expiry` has passed.
        republish_interval: Duration = secs(86_400), in ms(10)..=days(365);
        /// The shortest life of a cached copy, at most `key_expiry`; unless it is set, a shorter `key_expiry` shortens it.
        min_cache_ttl: Duration = secs(600);
        /// What happens when another node sets a key that this node publishes.
        publisher_conflict: PublisherConflict = PublisherConflict::Supersede;
        /// The interval in which the replicas of a pinned key are counted, jittered by a tenth; a quarter of it at first after
        /// some were missing. Many pinned keys may make it longer: there are at most 20 audits a second, and four at once.
        audit_interval: Duration = secs(600), in ms(10)..=days(30);
        /// Pinned keys. A further one is refused with an error.
        max_pinned_keys: usize = 10_000, in 0..=1_000_000, "keys";
        /// The time in which a node that stops transfers its copies. A node without copies stops at once; with 0 every node does.
        handoff_time: Duration = secs(2), in ms(0)..=secs(60);
        /// Copies a second to a peer that has entered the routing table and is among the k nearest to them; with 0 it gets them by
        /// the next restore only. All such peers together get at most four times as much, and one whose address has a rate limit
        /// no more than that allows.
        handoff_rate: u32 = 250, in 0..=10_000, "copies a second";
    }

    /// What the store takes.
    store: StoreConfig {
        /// Values held for other nodes. Beyond it room is made, or the value refused.
        max_values: usize = 100_000, in 0..=100_000_000, "values";
        /// Keys and values together, held for other nodes. Beyond it room is made, or the value refused.
        max_store_bytes: usize = 64 * 1024 * 1024, "bytes";
        /// Writes that wait for a commit, their own or that of another write of their key. A further one is refused; one of the
        /// application only where it would wait for another.
        max_waiting_writes: usize = 1_024, in 1..=1_000_000, "writes";
        /// The longest key, in UTF-8.
        max_key_len: usize = 1_024, in 1..=32_768, "bytes";
        /// The longest value. In any case the answer that carries the value must fit one datagram as a legacy node encodes it.
        max_value_len: usize = 60_000, in 1..=MAX_DATAGRAM, "bytes";
    }

    /// What remote hosts may cost.
    limits: LimitsConfig {
        /// Datagrams that are taken in and not yet handled. The next one is dropped and counted.
        max_dispatches: usize = 64, in 1..=65_536, "datagrams";
        /// Addresses that this node has nothing to do with: what comes from there is dropped and counted, and no query goes there,
        /// also where other nodes, contacts or an earlier run name them. At most 10,000 prefixes.
        deny: DenyList = DenyList::EMPTY;
        /// All that is sent, with the headers of IP and UDP; what is not used is kept for one second. 0: there is no limit, and
        /// any other is at least 10,000. Where it is reached, answers with peers or values are dropped first, from half of a
        /// second's bytes on; then, from a quarter on, short answers; queries of this node only where none are left.
        max_send_rate: u64 = 0, in 0..=1_000_000_000_000, "bytes a second";
        /// What the system is requested to buffer until it is read, which bridges the time that the node's thread waits for a
        /// processor: a small datagram counts some 800 bytes. What does not fit is dropped, answers to queries of this node
        /// included, and counted where the system reports it. The system may give less (Linux: `net.core.rmem_max`, often
        /// 208 KiB), and uses what it gives only under load.
        receive_buffer: usize = 4 * 1024 * 1024, in 4_096..=1 << 30, "bytes";
        /// Bytes of an answer with peers to a global address. The default is one Ethernet frame, since a lost fragment loses the
        /// whole answer.
        max_global_answer: usize = 1_200, in 256..=MAX_DATAGRAM, "bytes";
        /// Which addresses, and which networks, have a rate.
        rate_limit: AppliesTo = AppliesTo::Global;
        /// The rate of one address; a `set` counts as four. A further datagram is dropped and counted.
        source_rate: u32 = 50, in 1..=1_000_000, "datagrams a second";
        /// How many datagrams one address may send at once. A `renew` of 32 values counts as eight.
        source_burst: u32 = 100, in 8..=1_000_000, "datagrams";
        /// The rate of all unverified addresses of one network together, an IPv4 /24 or an IPv6 /48; a `set` counts as four. A
        /// further datagram is dropped and counted. One network may have many hosts: it should be several times `source_rate`,
        /// and where all nodes are in one private network under `rate_limit = always`, as many times as there are nodes.
        prefix_rate: u32 = 500, in 1..=1_000_000, "datagrams a second";
        /// How many datagrams one network may send at once.
        prefix_burst: u32 = 1_000, in 8..=1_000_000, "datagrams";
        /// Writes a second of a legacy host that has answered a ping, 16 seconds' worth of them at once: it can show no token, so
        /// they may be forged. A further one is refused and counted. Those of nodes with tokens do not count.
        legacy_write_rate: u32 = 4, in 1..=1_000_000, "writes a second";
    }

    /// The verification of source addresses.
    verification: VerificationConfig {
        /// Which addresses must echo a query id of this node before they cost it more than 3 times their request's bytes.
        source_verification: AppliesTo = AppliesTo::Global;
        /// Responses and writes that await such an echo. A further one is dropped and counted.
        max_unverified: usize = 256, in 0..=65_536, "items";
        /// The same, for one address.
        max_unverified_per_address: usize = 4, in 0..=65_536, "items";
        /// How long each of them waits.
        verification_time: Duration = secs(1), in ms(10)..=secs(60);
        /// Addresses remembered as verified, about 100 bytes each. Beyond it the one verified longest ago is forgotten.
        max_verified_addresses: usize = 65_536, in 1..=1 << 24, "addresses";
        /// How long an address stays verified after an echo.
        verified_for: Duration = secs(600), in secs(1)..=days(1);
    }

    /// Restarts of actors that fail.
    supervision: SupervisionConfig {
        /// Restarts of one actor within `restart_window`. One more stops the node.
        max_restarts: u32 = 5, in 0..=1_000_000, "restarts";
        /// The window in which restarts are counted.
        restart_window: Duration = secs(60), in secs(1)..=days(1);
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Config {
    /// A builder that starts from the defaults.
    pub const fn builder() -> ConfigBuilder {
        ConfigBuilder { config: Self::DEFAULT, set_cache_ttl: false }
    }

    /// Checks each value against its range, and those that bound each other.
    ///
    /// # Errors
    /// The first setting out of its range, with its value and the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check_ranges()?;
        if self.limits.max_send_rate > 0 {
            within("max_send_rate", self.limits.max_send_rate, MIN_SEND_RATE..=1_000_000_000_000)?;
        }
        within("min_cache_ttl", self.values.min_cache_ttl, ms(0)..=self.values.key_expiry)
    }
}

/// Builds a [`Config`]: each method sets the setting of its name, in whichever group it is.
#[derive(Debug, Clone)]
#[must_use]
pub struct ConfigBuilder {
    config: Config,
    /// Until the `min_cache_ttl` is set, it follows a shorter key expiry.
    set_cache_ttl: bool,
}

impl ConfigBuilder {
    /// The settings, checked.
    ///
    /// # Errors
    /// The first setting out of its range, with its value and the range.
    pub fn build(mut self) -> Result<Config, ConfigError> {
        let values = &mut self.config.values;
        if !self.set_cache_ttl {
            values.min_cache_ttl = values.min_cache_ttl.min(values.key_expiry);
        }
        self.config.validate()?;
        Ok(self.config)
    }
}

impl<'de> Deserialize<'de> for ConfigBuilder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Config::builder())
    }
}

impl TryFrom<ConfigBuilder> for Config {
    type Error = ConfigError;

    fn try_from(builder: ConfigBuilder) -> Result<Self, ConfigError> {
        builder.build()
    }
}
