//! The value store as an actor: what this node holds, and what of it it publishes. Each write is planned, given to the backend, and
//! applied and answered when that has committed it: at once from memory, later from a disk's thread. Who wins among writers is the
//! protocol's business.

mod actor;
mod committing;
mod ending;
mod lateness;
mod limits;
mod pending;
mod placing;
mod reading;
mod rounds;
mod transfers;
mod unsaved;
mod upkeep;
mod waiter;
mod writing;

pub use self::actor::ValueStore;
pub(super) use self::limits::{check_key, check_value};
