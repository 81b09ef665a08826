//! Every setting of a node, in groups. Each is one row of the table in `table.rs`.

mod deny;
mod error;
mod generate;
mod policy;
#[cfg(feature = "cli")]
mod row;
mod span;
mod table;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use deny::{DenyList, IpPrefix, MAX_DENIED, ParsePrefixError};
pub use error::ConfigError;
pub use policy::{AppliesTo, PublisherConflict};
#[cfg(feature = "cli")]
pub(crate) use row::Row;
#[cfg(feature = "cli")]
pub(crate) use span::{shortest, span};
pub use table::{
    Config, ConfigBuilder, LimitsConfig, LookupConfig, MAX_DATAGRAM, StoreConfig, SupervisionConfig, TableConfig,
    ValuesConfig, VerificationConfig,
};

/// Above this many bytes a value's answer no longer fits one Ethernet frame, and a `set` logs a warning.
pub const LARGE_VALUE_LEN: usize = 1_200;

impl Config {
    /// How often a publisher republishes: `republish_interval`, but always before half of the expiry has passed, so that
    /// one missed round loses nothing.
    pub fn effective_republish_interval(&self) -> Duration {
        self.values.republish_interval.min(self.values.key_expiry / 2)
    }

    /// A full copy with less than this left is about to end: `check_store` is answered as if it were not held, so that a
    /// holder of a longer-lived one brings it, and a legacy node is sent none, since it grants a full day to each copy.
    /// It is `restore_interval`, or a quarter of the expiry where that is shorter: the copies of a live publisher never
    /// get there.
    pub fn nearly_expired(&self) -> Duration {
        self.values.restore_interval.min(self.values.key_expiry / 4)
    }

    /// Two copies whose ages differ by no more than this may be of one publication, whose holders date it when it reaches
    /// them: as long as a placement may take, and its last datagram. Beyond it the younger one is of a later publication.
    pub fn same_publication(&self) -> Duration {
        self.lookup.lookup_deadline + self.lookup.query_timeout + Duration::from_secs(1)
    }

    /// How many queries one lookup may send, reading on included: max(60, 3 k).
    pub fn lookup_queries(&self) -> usize {
        (3 * self.lookup.k).max(60)
    }
}
