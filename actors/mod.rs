//! The node: actors, each the only owner of a state, which communicate by typed messages.
//!
//! An application holds a [`Node`](node::Node): its methods, or [`requests`] sent to its actor, end in an [`outcome`];
//! [`events`], [`counters`] and a [`snapshot`] show what it does. A node runs over a [`transport`].
//!
//! The actors themselves are private to the crate. Imports run one way: `wiring` names all actors, they name `messages` and
//! `clock`, and none names the actor that it sends to: it holds a handle.

mod blocklist;
mod bootstrap;
pub(crate) mod clock;
pub mod counters;
mod deferred;
mod dispatcher;
pub mod events;
mod handling;
mod handoff;
mod join_state;
mod lengths;
pub(crate) mod limits;
mod lookups;
mod maintenance;
mod messages;
pub mod node;
mod node_actor;
mod operations;
pub mod outcome;
mod pins;
mod queries;
mod queue;
mod reply;
pub mod requests;
mod routing_table;
mod shared;
pub mod snapshot;
pub(crate) mod socket;
mod subscriptions;
pub(crate) mod supervision;
mod traffic;
mod unreadable;
pub(crate) mod upkeep;
mod value_store;
pub mod watch;
mod watches;
mod wiring;

/// The way that a node's datagrams take: the trait, and the UDP socket that implements it. A network in memory is another
/// transport: the module `sim`, with the feature of that name.
pub mod transport {
    pub use super::socket::transport::{Datagram, Sent, Transport};
    pub use super::socket::udp::UdpTransport;
}

#[cfg(test)]
mod tests;
