//! What this node holds, who wins when two values meet, and the trait of whatever keeps the records.
//!
//! `Records` is the state machine: it plans each write against what is committed. A [`Store`] commits the changes of the plan, in
//! memory or on a disk, and outlives the actor that owns the records; then the plan is applied, or abandoned where the
//! commit failed. Neither sends anything.

mod accounts;
mod backend;
mod by_key;
#[cfg(test)]
pub(crate) mod contract;
mod health;
mod holdings;
mod key_order;
mod listing;
mod loading;
mod memory;
mod order;
mod outcome;
mod pass_snapshot;
mod places;
mod plan;
mod publications;
mod quota;
mod recent;
mod record;
mod records;
mod renewals;
mod rules;
mod slots;
mod sorted;
mod ttl;
mod writes;

pub use super::digest::ValueDigest;
pub use backend::{Change, Committed, Store, StoreError};
pub use health::{BackendHealth, BackendState, MAX_REMEMBERED_PEERS, Recollection};
pub use listing::{HeldKey, KeyPage, MAX_PAGE};
pub use memory::MemoryStore;
pub use outcome::{ClassCount, DueCount, MAX_COUNTED, Refusals, StoreSnapshot, StoredCopy};
pub(crate) use outcome::{Refusal, ToCompare, WriteOutcome, age_seconds};
pub use pass_snapshot::PassSnapshot;
pub(crate) use places::PlacedCopy;
pub(crate) use plan::Plan;
#[doc(hidden)]
pub use plan::Write;
pub(crate) use publications::DueValue;
pub(crate) use recent::{RecentWrites, Seen};
pub use record::{Class, MAX_REPLACED, Replaced, StoredRecord, Writer};
#[doc(hidden)]
pub use records::Records;
pub(crate) use renewals::RenewalPlan;
#[doc(hidden)]
pub use rules::RemoteWrite;
pub(crate) use rules::is_later;
pub use ttl::cache_ttl;
