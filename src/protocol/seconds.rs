//! Durations as seconds, with their fraction, for serde: how outcomes, events and snapshots show them.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// Serializes a duration, or one that may be absent.
pub(crate) fn serialize<'a, T, S: Serializer>(duration: &'a T, serializer: S) -> Result<S::Ok, S::Error>
where
    Option<&'a Duration>: From<&'a T>,
{
    Option::from(duration).map(Duration::as_secs_f64).serialize(serializer)
}
