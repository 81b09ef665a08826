//! The value store as an actor: what this node stores, and what of that it publishes. Each write is planned, given to the backend, and
//! applied and answered when that has committed it: at once from memory, later from a disk's thread. Which writer wins is the
//! protocol's business.

mod actor;
mod committing;
mod ending;
mod pending;
mod placing;
mod reading;
mod reconciling;
mod renewing;
mod republishing;
mod unsaved;
mod upkeep;
mod writing;

pub use self::actor::ValueStore;
pub(super) use self::writing::{check_key, check_value};
