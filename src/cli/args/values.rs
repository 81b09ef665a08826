//! Values of options as users write them.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::de::{DeserializeOwned, IntoDeserializer, value};

use crate::protocol::config::span;

/// Where a node listens, and where a client contacts one, by default.
pub(in crate::cli) const DEFAULT_ADDR: &str = "127.0.0.1:8000";
/// The names of the wires.
pub(in crate::cli) const WIRES: &[&str] = &["json", "bencode", "msgpack"];
/// The shortest `--timeout` in seconds: an answer from far away takes longer than less.
pub(in crate::cli) const MIN_TIMEOUT: f64 = 0.1;
/// The longest `--timeout` in seconds.
pub(in crate::cli) const MAX_TIMEOUT: f64 = 3_600.0;

/// One of `names`, as serde reads it.
pub(in crate::cli) fn one_of<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    names: &[&'static str],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(names.iter().copied())
        .try_map(|name| T::deserialize(IntoDeserializer::<value::Error>::into_deserializer(name)))
}

pub(in crate::cli) fn timeout(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().or_else(|| span(text).map(|span| span.as_secs_f64()));
    match seconds {
        Some(seconds) if (MIN_TIMEOUT..=MAX_TIMEOUT).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("a timeout is {MIN_TIMEOUT} to {MAX_TIMEOUT} seconds, such as 5, 5s, 500ms or 2m")),
    }
}

pub(in crate::cli) fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a setting is NAME=VALUE, such as max_values=10000")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}
