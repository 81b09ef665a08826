//! A setting out of its range.

use std::fmt::Debug;
use std::ops::RangeInclusive;

/// A setting is out of its range. Nothing was started or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value}, but must be within {low}..={high}")]
#[non_exhaustive]
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

/// Checks the value of the setting `name`.
pub(super) fn within<T>(name: &'static str, value: T, range: RangeInclusive<T>) -> Result<(), ConfigError>
where
    T: PartialOrd + Debug,
{
    if range.contains(&value) {
        return Ok(());
    }
    let text = |value: &T| format!("{value:?}");
    Err(ConfigError { name, value: text(&value), low: text(range.start()), high: text(range.end()) })
}
