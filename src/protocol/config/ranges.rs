//! What each setting may be.

use std::fmt;
use std::time::Duration;

use super::{Config, MAX_DATAGRAM};

impl Config {
    /// Checks each value against its range, and those that bound each other.
    ///
    /// # Errors
    /// The first setting out of its range, with its value and the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const MS: fn(u64) -> Duration = Duration::from_millis;
        const DAYS: fn(u64) -> Duration = |days| Duration::from_secs(86_400 * days);
        within("k", self.k, 1, 255)?;
        within("alpha", self.alpha, 1, 64)?;
        lasts("query_timeout", self.query_timeout, MS(10), MS(60_000))?;
        lasts("bucket_refresh_interval", self.bucket_refresh_interval, MS(10), DAYS(7))?;
        lasts("key_expiry", self.key_expiry, MS(1_000), DAYS(365))?;
        lasts("restore_interval", self.restore_interval, MS(10), DAYS(30))?;
        lasts("republish_interval", self.republish_interval, MS(10), DAYS(365))?;
        lasts("min_cache_ttl", self.min_cache_ttl, MS(0), self.key_expiry)?;
        within("max_dispatches", self.max_dispatches, 1, 65_536)?;
        within("receive_buffer", self.receive_buffer, 4_096, 1 << 30)?;
        lasts("lookup_deadline", self.lookup_deadline, MS(10), MS(600_000))?;
        within("max_lookups", self.max_lookups, 1, 65_536)?;
        within("max_waiting_lookups", self.max_waiting_lookups, 0, 1_000_000)?;
        within("max_queries_in_flight", self.max_queries_in_flight, 1, 1_000_000)?;
        within("max_unanswered", self.max_unanswered as usize, 2, 1_000_000)?;
        within("max_unverified", self.max_unverified, 0, 65_536)?;
        within("max_unverified_per_address", self.max_unverified_per_address, 0, 65_536)?;
        lasts("verification_time", self.verification_time, MS(10), MS(60_000))?;
        within("max_verified_addresses", self.max_verified_addresses, 1, 1 << 24)?;
        lasts("verified_for", self.verified_for, MS(1_000), DAYS(1))?;
        within("legacy_write_rate", self.legacy_write_rate as usize, 1, 1_000_000)?;
        within("source_rate", self.source_rate as usize, 1, 1_000_000)?;
        within("source_burst", self.source_burst as usize, 4, 1_000_000)?;
        within("prefix_rate", self.prefix_rate as usize, 1, 1_000_000)?;
        within("prefix_burst", self.prefix_burst as usize, 4, 1_000_000)?;
        within("max_global_answer", self.max_global_answer, 256, MAX_DATAGRAM)?;
        within("max_values", self.max_values, 0, 100_000_000)?;
        within("max_waiting_writes", self.max_waiting_writes, 1, 1_000_000)?;
        within("max_key_len", self.max_key_len, 1, 32_768)?;
        within("max_value_len", self.max_value_len, 1, MAX_DATAGRAM)?;
        lasts("audit_interval", self.audit_interval, MS(10), DAYS(30))?;
        within("max_pinned_keys", self.max_pinned_keys, 0, 1_000_000)?;
        lasts("hand_off_time", self.hand_off_time, MS(0), MS(60_000))?;
        within("hand_off_rate", self.hand_off_rate as usize, 0, 10_000)?;
        within("max_failures", self.max_failures as usize, 1, 100)?;
        within("max_per_subnet_bucket", self.max_per_subnet_bucket, 1, 255)?;
        within("max_per_subnet_table", self.max_per_subnet_table, 1, 65_536)?;
        within("max_per_subnet_lookup", self.max_per_subnet_lookup, 1, 255)?;
        within("max_restarts", self.max_restarts as usize, 0, 1_000_000)?;
        lasts("restart_window", self.restart_window, MS(1_000), DAYS(1))
    }
}

fn within(name: &'static str, value: usize, low: usize, high: usize) -> Result<(), ConfigError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(ConfigError { name, value: value.to_string(), low: low.to_string(), high: high.to_string() })
}

fn lasts(name: &'static str, value: Duration, low: Duration, high: Duration) -> Result<(), ConfigError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let text = |duration: Duration| format!("{duration:?}");
    Err(ConfigError { name, value: text(value), low: text(low), high: text(high) })
}

/// A setting is out of its range. Nothing was started or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The setting's name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// The least value permitted.
    pub low: String,
    /// The greatest value permitted.
    pub high: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, but must be within {}..={}", self.name, self.value, self.low, self.high)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_value_and_the_range() {
        let error = Config::builder().k(0).build().unwrap_err();
        assert_eq!(error.to_string(), "k is 0, but must be within 1..=255");
        let error = Config::builder().query_timeout(Duration::from_secs(61)).build().unwrap_err();
        assert_eq!(error.to_string(), "query_timeout is 61s, but must be within 10ms..=60s");
    }
}
