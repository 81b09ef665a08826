use std::time::Duration;

use super::{AppliesTo, Config, PublisherConflict};

#[test]
fn the_defaults_are_valid() {
    assert_eq!(Config::builder().build().unwrap(), Config::default());
}

#[test]
fn an_error_names_the_value_and_the_range() {
    let error = Config::builder().k(0).build().unwrap_err();
    assert_eq!(error.to_string(), "k is 0, but must be within 1..=255");
    let error = Config::builder().query_timeout(Duration::from_secs(61)).build().unwrap_err();
    assert_eq!(error.to_string(), "query_timeout is 61s, but must be within 10ms..=60s");
}

#[test]
fn a_rate_of_bytes_is_none_or_enough_to_live_on() {
    let build = |bytes| Config::builder().max_send_rate(bytes).build();
    assert!(build(0).is_ok() && build(10_000).is_ok());
    assert!(build(9_999).unwrap_err().to_string().starts_with("max_send_rate is 9999, but must be within 10000..="));
}

#[test]
fn a_short_expiry_shortens_the_default_cache_ttl_but_not_one_that_was_asked_for() {
    let short = Duration::from_secs(100);
    assert_eq!(Config::builder().key_expiry(short).build().unwrap().values.min_cache_ttl, short);
    assert!(Config::builder().key_expiry(short).min_cache_ttl(short * 2).build().is_err());
    let default = Config::DEFAULT.values.min_cache_ttl;
    assert!(Config::builder().min_cache_ttl(default).key_expiry(short).build().is_err());
}

#[test]
fn a_value_is_republished_well_before_it_expires() {
    let config = Config::default();
    assert!(config.effective_republish_interval() * 2 <= config.values.key_expiry);
}

#[test]
fn serde_reads_the_settings_that_it_wrote_flat_and_by_name() {
    let config = Config::builder()
        .k(8)
        .query_timeout(Duration::from_millis(250))
        .key_expiry(Duration::from_secs(100))
        .read_on(false)
        .rate_limit(AppliesTo::Always)
        .publisher_conflict(PublisherConflict::Hold);
    let config = config.build().unwrap();
    let written = serde_json::to_value(&config).unwrap();
    assert_eq!((&written["k"], &written["query_timeout"]), (&8.into(), &"0.25s".into()));
    assert_eq!((&written["read_on"], &written["rate_limit"]), (&false.into(), &"always".into()));
    assert_eq!(serde_json::from_value::<Config>(written).unwrap(), config);
}

#[test]
fn serde_leaves_the_defaults_of_what_is_not_named_and_refuses_what_is_wrong() {
    let read = |text: &str| serde_json::from_str::<Config>(text).map_err(|error| error.to_string());
    assert_eq!(read("{}").unwrap(), Config::default());
    assert_eq!(read(r#"{"key_expiry": "100s"}"#).unwrap().values.min_cache_ttl, Duration::from_secs(100));
    for (wrong, why) in [
        (r#"{"k": 0}"#, "k is 0, but must be within 1..=255"),
        (r#"{"lookup": {}}"#, "unknown field `lookup`"),
        (r#"{"verification_time": "1w"}"#, "\"1w\" is no duration"),
        (r#"{"verification_time": 3}"#, "invalid type: integer `3`"),
    ] {
        assert!(read(wrong).unwrap_err().contains(why), "{wrong}");
    }
}
