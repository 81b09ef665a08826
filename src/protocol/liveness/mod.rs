//! Liveness: whether a peer is alive, and how long its answers may take. It keeps what earlier queries showed, sends nothing and
//! reads no clock.

mod departed;
mod round_trips;
mod silences;
mod unanswered;

pub(super) use departed::Departed;
#[cfg(test)]
pub(super) use departed::{DEPARTED_FOR, DISPLACED_FOR, MAX_DEPARTED, MAX_DISPLACED};
pub use round_trips::MAX_MEASURED_ADDRESSES;
pub(super) use round_trips::RoundTrips;
pub(super) use silences::{LossRate, Outages, Streak};
pub use silences::{MAX_SILENT_ADDRESSES, SILENT_FOR};
pub(super) use unanswered::Unanswered;
pub use unanswered::{MAX_ANSWERED_ADDRESSES, MAX_SENDS, MAX_UNANSWERED_ADDRESSES, NamedBy};
