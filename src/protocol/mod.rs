//! The protocol core: Kademlia as pure state machines, with the types that they share.
//!
//! It has no socket, no clock, no entropy of its own, no actix and no tokio. The caller passes the time as a
//! [`std::time::Instant`] and randomness as an [`Entropy`](entropy::Entropy); effects are return values.
//! `cargo check -p kademlia-dynamic --lib --no-default-features` builds this module alone, which proves it.
//!
//! Public are the parts that an application or another implementation needs: ids, peers and values, messages and their three
//! encodings, the settings, and the trait of a store. The state machines themselves are private to the crate.

pub(crate) mod admission;
pub(crate) mod audit;
pub(crate) mod bursts;
pub mod codec;
pub(crate) mod comparison;
pub mod config;
#[cfg(feature = "cli")]
pub(crate) mod crawl;
pub mod digest;
pub mod entropy;
pub mod entry;
pub(crate) mod growth;
pub(crate) mod half_hash;
pub mod id;
pub(crate) mod liveness;
pub(crate) mod lookup;
pub(crate) mod lru;
pub mod message;
pub(crate) mod packed;
pub mod peer;
pub(crate) mod pending;
pub(crate) mod pins;
pub(crate) mod placement;
pub mod prefix;
pub mod ranges;
pub(crate) mod reconcile;
pub(crate) mod routing;
pub(crate) mod seconds;
pub mod store;
pub(crate) mod survey;
pub(crate) mod transfer;
pub mod value;
