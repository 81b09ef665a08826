//! When a write counts as committed.

use std::time::Duration;

use serde::Deserialize;

/// How long a [relaxed](Durability::Relaxed) store leaves writes in memory.
pub const RELAXED_FLUSH: Duration = Duration::from_secs(1);

/// When a write counts as committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Once it is safe on the disk: 3 to 75 ms a group of writes. It survives a kill and a power cut.
    #[default]
    Durable,
    /// At once; the disk follows within [`RELAXED_FLUSH`]. A kill or a power cut loses what was acknowledged since, and
    /// nothing else: an older value is then there again, or none.
    Relaxed,
}
