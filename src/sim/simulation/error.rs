//! Why a simulated network cannot be built.

use crate::actors::outcome::Error;

/// Why a [`Sim`](super::Sim) was not built. Nothing of it runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// A setting of the builder is out of its range.
    #[error("{what} must be {min} to {max}, not {given}")]
    OutOfRange {
        /// The setting.
        what: &'static str,
        /// Its value.
        given: f64,
        /// The smallest value that is permitted.
        min: f64,
        /// The greatest value that is permitted.
        max: f64,
    },
    /// A node could not be started.
    #[error(transparent)]
    Node(#[from] Error),
}

/// Whether `given` is in its range.
pub(super) fn within(what: &'static str, given: f64, min: f64, max: f64) -> Result<(), SimError> {
    let fits = (min..=max).contains(&given);
    if fits { Ok(()) } else { Err(SimError::OutOfRange { what, given, min, max }) }
}
