//! What can be set: the options of `kad node`, and each field of [`Config`](crate::protocol::config::Config).

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::cli::args::LogFormat;
use crate::cli::contact::{ContactList, ListenAddr};
use crate::cli::span::span;
use crate::persist::Durability;
use crate::protocol::codec::Codec;
use crate::protocol::config::{AppliesTo, ConfigBuilder, PublisherConflict};
use crate::protocol::id::NodeId;

/// A duration as a number and its unit.
#[derive(Debug, Clone, Copy)]
struct Span(Duration);

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom(format!("{text:?} is no duration: write 250ms, 90s, 15m, 4h or 2d"));
        span(&text).map(Self).ok_or_else(wrong)
    }
}

macro_rules! settings {
    ($($option:ident: $form:ty),* $(,)?; $($name:ident: $kind:ty),* $(,)?) => {
        /// What was set: options of `kad node`, and fields of [`Config`].
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct Settings {
            $(pub(super) $option: Option<$form>,)*
            $($name: Option<$kind>,)*
        }

        impl Settings {
            /// All there are.
            pub(super) const NAMES: &[&str] = &[$(stringify!($option),)* $(stringify!($name),)*];
            /// What each is read as, in the order of their names.
            pub(super) const KINDS: &[&str] = &[$(stringify!($form),)* $(stringify!($kind),)*];

            pub(super) fn apply(&self, mut builder: ConfigBuilder) -> ConfigBuilder {
                $(if let Some(value) = self.$name {
                    builder = builder.$name(value.into());
                })*
                builder
            }
        }
    };
}

settings! {
    listen: ListenAddr, wire: Codec, bootstrap: ContactList, node_id: NodeId, data_dir: PathBuf, ephemeral: bool,
    durability: Durability, log_format: LogFormat;
    k: usize, alpha: usize, query_timeout: Span, bucket_refresh_interval: Span, key_expiry: Span,
    restore_interval: Span, republish_interval: Span, min_cache_ttl: Span, max_dispatches: usize,
    verify_response_source: bool, mixed_placement: bool, read_on: bool, lookup_deadline: Span, max_lookups: usize,
    max_waiting_lookups: usize, max_queries_in_flight: usize, max_unanswered: u32, source_verification: AppliesTo, max_unverified: usize,
    max_unverified_per_address: usize, verification_time: Span, max_verified_addresses: usize, verified_for: Span,
    legacy_write_rate: u32, rate_limit: AppliesTo, source_rate: u32, source_burst: u32, prefix_rate: u32, prefix_burst: u32, receive_buffer: usize, max_global_answer: usize, max_values: usize,
    max_store_bytes: usize, max_waiting_writes: usize, max_key_len: usize, max_value_len: usize,
    publisher_conflict: PublisherConflict, audit_interval: Span, max_pinned_keys: usize, hand_off_time: Span,
    hand_off_rate: u32, max_failures: u32, diversity: AppliesTo, max_per_subnet_bucket: usize,
    max_per_subnet_table: usize, max_per_subnet_lookup: usize, max_restarts: u32, restart_window: Span,
}
