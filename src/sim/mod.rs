//! A network in memory: nodes, scripted peers and time without a socket among them. For tests of applications, for our
//! own tests, and for simulation. It names the actors only as any embedder does.
//!
//! - [`MemoryNetwork`] carries datagrams between its [endpoints](MemoryNetwork::endpoint): with latency, loss,
//!   duplication and partitions, and by its seed always alike.
//! - [`ScriptedPeers`] are peers without a node behind them, which say what a test wants said.
//! - [`Sim`] is a whole network of nodes, with churn, loss and [other participants](Others), to run for days and to query.
//! - [`in_virtual_time`] runs weeks in seconds; [`VirtualTime`] is the same for several runs; [`suspend`] lets the machine sleep.

mod addresses;
mod delivery;
mod endpoint;
mod link;
mod network;
mod script;
mod scripted;
mod simulation;
mod time;
mod transport;
mod usual;

pub use endpoint::INBOX;
pub use link::{Latency, Link};
pub use network::{AddressTaken, MemoryNetwork, NetworkCounters};
pub use script::{Asked, Reply, Silent};
pub use scripted::{HEARD, ScriptedPeers};
pub use simulation::{Churn, Others, Participant, Population, Sim, SimBuilder, SimError, Site, WEIBULL_SHAPE};
pub use time::{VirtualTime, in_virtual_time, suspend};
pub use transport::MemoryTransport;
