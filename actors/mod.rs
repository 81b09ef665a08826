//! The actors: each is the only owner of a state, and they communicate by typed messages.
//!
//! Imports run one way: `wiring` names all actors, they name [`messages`] and [`clock`], and none names the actor that it sends
//! to: it holds a handle. [`node::Node`] is what an application holds.

mod bootstrap;
pub mod clock;
pub mod counters;
pub mod dispatcher;
pub mod events;
mod handles;
pub mod handling;
pub mod handoff;
mod join_state;
pub mod limits;
pub mod lookups;
pub mod maintenance;
pub mod messages;
pub mod node;
pub mod node_actor;
mod operations;
pub mod outcome;
mod own_id;
mod parked;
pub mod pins;
pub mod poison;
pub mod queries;
mod queue;
pub mod reply;
pub mod requests;
pub mod routing_table;
mod shared;
pub mod snapshot;
pub mod socket;
pub mod supervision;
mod unreadable;
pub mod value_store;
mod wiring;

#[cfg(test)]
mod tests;
