//! What Kademlia is: pure state machines.
//!
//! No socket, no clock, no entropy of its own, no actix, no tokio. Time comes in as a
//! [`std::time::Instant`], randomness as an [`Entropy`](entropy::Entropy); effects go out as return values.
//! `cargo check -p kademlia-dynamic --lib --no-default-features` builds this module alone, which proves it.

pub mod admission;
pub mod audit;
pub mod codec;
pub mod comparison;
pub mod config;
pub mod entropy;
pub mod hand_off;
pub mod id;
pub mod keeping;
pub mod liveness;
pub mod lookup;
mod lru;
pub mod message;
pub mod peer;
pub mod pending;
pub mod placement;
pub mod prefix;
pub mod routing;
pub mod store;
pub mod value;
