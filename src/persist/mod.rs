//! Values that survive the process: a [`Store`](crate::protocol::store::Store) in one file, on redb. It keeps what it is
//! told to and decides nothing; who wins, and what is worth keeping, is the protocol's business.
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

mod disk;
mod form;
mod looking;
mod measures;
mod medium;
mod occupied;
mod store;
mod times;
mod worker;

#[cfg(test)]
mod tests;

pub use disk::Failure;
#[doc(hidden)]
pub use form::trial;
pub use medium::STORE_FILE;
pub use store::{DiskStore, Durability, OpenError, RELAXED_FLUSH, REOPEN_WITHIN};
