//! Who does it: actors, each the only owner of a state, who speak in typed messages.
//!
//! Imports run one way: `assembly` names all actors, they name [`messages`] and [`clock`], and nobody names the actor that
//! it talks to: it holds a `Recipient` of the message. [`node::Node`] is what an application holds.

mod assembly;
mod bootstrap;
pub mod clock;
pub mod counters;
pub mod dispatcher;
pub mod events;
pub mod hand_off;
pub mod handling;
mod join_state;
pub mod keeper;
pub mod limits;
pub mod lookup_coordinator;
pub mod maintenance;
pub mod messages;
pub mod node;
pub mod node_actor;
mod operations;
pub mod outcome;
mod own_id;
mod parked;
pub mod poison;
pub mod queries;
pub mod reply;
pub mod requests;
pub mod routing_table;
pub mod snapshot;
pub mod socket;
pub mod supervision;
mod turns;
mod unreadable;
pub mod value_store;

#[cfg(test)]
mod tests;
