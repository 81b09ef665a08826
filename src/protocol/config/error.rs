//! A setting out of its range.

use std::fmt::{self, Debug};
use std::ops::RangeInclusive;

/// A setting is out of its range. Nothing was started or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
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

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, but must be within {}..={}", self.name, self.value, self.low, self.high)
    }
}

impl std::error::Error for ConfigError {}

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
