//! Values that survive the process: a [`Store`](crate::protocol::store::Store) in one file, on redb. It stores what it is given:
//! the protocol decides which value wins, and which are stored.
//!
//! ```no_run
//! use kademlia_dynamic::persist::DiskStore;
//!
//! # fn open() -> Result<(), kademlia_dynamic::persist::OpenError> {
//! let store = DiskStore::open("/var/lib/my-node")?;
//! // Node::builder().store(store)…: its id, its publications and its peers are those of the last run.
//! # drop(store);
//! # Ok(())
//! # }
//! ```

mod backup;
mod disk;
mod drafts;
mod form;
mod gate;
mod measures;
mod medium;
mod occupied;
mod outstanding;
mod overlay;
mod reading;
mod shared;
mod store;
mod times;
mod worker;

#[cfg(test)]
mod tests;

pub use backup::{BackupError, Saved, backup, restore};
pub use disk::Failure;
#[doc(hidden)]
pub use form::trial;
pub use medium::STORE_FILE;
pub use shared::{Durability, RELAXED_FLUSH};
pub use store::{DiskStore, OpenError, REOPEN_WITHIN};
