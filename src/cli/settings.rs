//! The settings of a node from a file and from the environment: every field of [`Config`], by its name. What stands in both
//! comes from the environment. Which values make sense is the business of [`Config`].

use std::path::Path;
use std::time::Duration;

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format, Toml};
use serde::{Deserialize, Deserializer};

use super::failure::{Exit, Failure};
use super::span::span;
use crate::protocol::config::{AppliesTo, Config, ConfigBuilder, PublisherConflict};
use crate::protocol::store::CacheTtl;

/// What the names of environment variables begin with; the name of the setting follows, in upper case.
const ENV_PREFIX: &str = "KAD_NODE_";

/// The settings of a node: the defaults, what stands in the file, and what stands in the environment.
pub(super) fn load(file: Option<&Path>) -> Result<Config, Failure> {
    let mut figment = Figment::new();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::new(Exit::NoInput, format!("cannot read {}: {error}", path.display())))?;
        figment = figment.merge(Toml::string(&text));
    }
    config(figment.merge(Env::prefixed(ENV_PREFIX)), file)
}

fn config(figment: Figment, file: Option<&Path>) -> Result<Config, Failure> {
    let settings: Settings = figment.extract().map_err(|error| not_permitted(&error, file))?;
    settings
        .apply(Config::builder())
        .build()
        .map_err(|error| Failure::new(Exit::Configuration, format!("the setting {error}")))
}

/// The first thing that is wrong, and where it stands.
fn not_permitted(error: &figment::Error, file: Option<&Path>) -> Failure {
    let from_file = error.metadata.as_ref().is_none_or(|metadata| metadata.name.contains("TOML"));
    let place = match file {
        Some(path) if from_file => path.display().to_string(),
        _ => format!("the environment ({ENV_PREFIX}…)"),
    };
    let name = error.path.join(".");
    let why = match &error.kind {
        Kind::UnknownField(field, _) => format!("there is no setting {field}; docs/operations.md lists all"),
        Kind::UnknownVariant(variant, known) => format!("{name} is {}, not {variant:?}", known.join(" or ")),
        Kind::InvalidType(found, wanted) => {
            format!("{name} is {}, not a {found}", wanted.replace("usize", "a whole number"))
        }
        other if name.is_empty() => other.to_string(),
        other => format!("{name}: {other}"),
    };
    Failure::new(Exit::Configuration, format!("in {place}: {why}"))
}

/// A duration as people write it.
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
    ($($name:ident: $kind:ty),* $(,)?) => {
        /// What was set, each as a field of [`Config`].
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Settings {
            $($name: Option<$kind>,)*
        }

        impl Settings {
            fn apply(self, mut builder: ConfigBuilder) -> ConfigBuilder {
                $(if let Some(value) = self.$name {
                    builder = builder.$name(value.into());
                })*
                builder
            }
        }
    };
}

settings! {
    k: usize, alpha: usize, query_timeout: Span, bucket_refresh_interval: Span, key_expiry: Span,
    restore_interval: Span, republish_interval: Span, min_cache_ttl: Span, cache_ttl: CacheTtl, max_dispatches: usize,
    verify_response_source: bool, mixed_placement: bool, read_on: bool, lookup_deadline: Span, max_lookups: usize,
    max_waiting_lookups: usize, max_queries_in_flight: usize, max_unanswered: u32, source_verification: AppliesTo, max_held: usize,
    max_held_per_address: usize, hold_time: Span, max_verified_addresses: usize, verified_for: Span,
    rate_limit: AppliesTo, source_rate: u32, source_burst: u32, prefix_rate: u32, prefix_burst: u32, receive_buffer: usize, max_global_answer: usize, max_values: usize,
    max_store_bytes: usize, max_waiting_writes: usize, max_key_len: usize, max_value_len: usize,
    publisher_conflict: PublisherConflict, audit_interval: Span, max_kept_keys: usize, hand_off_time: Span,
    hand_off_rate: u32, max_failures: u32, diversity: AppliesTo, max_per_subnet_bucket: usize,
    max_per_subnet_table: usize, max_per_subnet_lookup: usize, max_restarts: u32, restart_window: Span,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let settings = config(Figment::new().merge(Toml::string(text)), Some(Path::new("kad.toml")));
        settings.map_err(|failure| {
            assert_eq!(failure.exit.code(), 64);
            failure.to_string()
        })
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        assert_eq!(read("").unwrap(), Config::default());
        let config =
            read("k = 8\nquery_timeout = '500ms'\nrate_limit = 'always'\npublisher_conflict = 'hold'").unwrap();
        assert_eq!((config.k, config.query_timeout), (8, Duration::from_millis(500)));
        assert_eq!((config.rate_limit, config.publisher_conflict), (AppliesTo::Always, PublisherConflict::Hold));
        assert_eq!(config.alpha, Config::default().alpha);
    }

    #[test]
    fn each_field_of_the_configuration_can_be_set() {
        let fields = format!("{:#?}", Config::default());
        let fields: Vec<&str> = fields
            .lines()
            .filter_map(|line| line.strip_prefix("    ")?.split_once(": "))
            .map(|(name, _)| name)
            .filter(|name| !name.starts_with(' '))
            .collect();
        assert!(fields.len() > 40);
        for field in fields {
            let error = read(&format!("{field} = [0]")).unwrap_err();
            assert!(error.starts_with(&format!("in kad.toml: {field} is ")), "{field} cannot be set: {error}");
        }
    }

    #[test]
    fn the_documentation_lists_all_settings_with_their_defaults() {
        let text = include_str!("../../docs/operations.md");
        let block = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        assert_eq!(read(block).unwrap(), Config::default());
        let fields = format!("{:#?}", Config::default());
        for field in fields.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": ")) {
            assert!(block.contains(&format!("\n{} = ", field.0)), "{} is not in docs/operations.md", field.0);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_its_name() {
        let error = read("k = 0").unwrap_err();
        assert_eq!(error, "the setting k is 0, but must be within 1..=255");
        let error = read("query_timeout = '2 weeks'").unwrap_err();
        assert_eq!(error, "in kad.toml: query_timeout: \"2 weeks\" is no duration: write 250ms, 90s, 15m, 4h or 2d");
        for wrong in
            ["k = -1", "k = 'many'", "read_on = 1", "rate_limit = 'never'", "hold_time = 3", "k = ", "[k]\na = 1"]
        {
            let error = read(wrong).unwrap_err();
            assert!(error.starts_with("in kad.toml: "), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_said_so() {
        let failure = load(Some(Path::new("nowhere/kad.toml"))).unwrap_err();
        assert_eq!(failure.exit.code(), 66);
        assert!(failure.to_string().starts_with("cannot read nowhere/kad.toml: "), "{failure}");
    }
}
