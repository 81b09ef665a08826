//! How the settings of a node are set: one by one, and checked at the end.

use std::time::Duration;

use super::{AppliesTo, Config, ConfigError, DEFAULT_MIN_CACHE_TTL, PublisherConflict};

impl Config {
    /// A builder that starts from the defaults.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder { config: Config::default(), min_cache_ttl: None }
    }
}

/// Builds a [`Config`]: each method sets the field of its name.
#[derive(Debug, Clone)]
#[must_use]
pub struct ConfigBuilder {
    config: Config,
    /// Until it is set, it follows a shorter key expiry.
    min_cache_ttl: Option<Duration>,
}

macro_rules! setters {
    ($($name:ident: $kind:ty),* $(,)?) => {
        impl ConfigBuilder {
            $(
                #[doc = concat!("Sets [`Config::", stringify!($name), "`].")]
                pub fn $name(mut self, value: $kind) -> Self {
                    self.config.$name = value;
                    self
                }
            )*
        }
    };
}

setters! {
    k: usize, alpha: usize, query_timeout: Duration, bucket_refresh_interval: Duration, key_expiry: Duration,
    restore_interval: Duration, republish_interval: Duration, max_dispatches: usize,
    receive_buffer: usize, verify_response_source: bool, mixed_placement: bool, read_on: bool,
    lookup_deadline: Duration, max_lookups: usize, max_waiting_lookups: usize, max_queries_in_flight: usize,
    max_unanswered: u32, source_verification: AppliesTo, max_unverified: usize, max_unverified_per_address: usize,
    verification_time: Duration, max_verified_addresses: usize, verified_for: Duration, legacy_write_rate: u32,
    rate_limit: AppliesTo,
    source_rate: u32, source_burst: u32, prefix_rate: u32, prefix_burst: u32, max_global_answer: usize,
    max_values: usize, max_store_bytes: usize, max_waiting_writes: usize, max_key_len: usize, max_value_len: usize,
    publisher_conflict: PublisherConflict, audit_interval: Duration, max_pinned_keys: usize, hand_off_time: Duration,
    hand_off_rate: u32, max_failures: u32, diversity: AppliesTo, max_per_subnet_bucket: usize,
    max_per_subnet_table: usize, max_per_subnet_lookup: usize, max_restarts: u32, restart_window: Duration,
}

impl ConfigBuilder {
    /// Sets [`Config::min_cache_ttl`].
    pub fn min_cache_ttl(mut self, value: Duration) -> Self {
        self.min_cache_ttl = Some(value);
        self
    }

    /// The settings, checked.
    ///
    /// # Errors
    /// The first setting out of its range, with its value and the range.
    pub fn build(mut self) -> Result<Config, ConfigError> {
        self.config.min_cache_ttl = self.min_cache_ttl.unwrap_or(DEFAULT_MIN_CACHE_TTL.min(self.config.key_expiry));
        self.config.validate()?;
        Ok(self.config)
    }
}
