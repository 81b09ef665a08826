//! What clients may cost.

use std::time::Duration;

/// What requests may cost. What is above a limit is refused with 429 or 503, and says when to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Requests a second of all kinds, over all clients; twice as many at once. Defaults to 2,000.
    pub requests: u32,
    /// Requests a second that ask the network, over all clients; twice as many at once. Reads of what the node holds are not
    /// among them. Defaults to 50.
    pub network_requests: u32,
    /// Streams of events and watches at the same time. Defaults to 64.
    pub streams: usize,
    /// Connections to a [`Server`](super::server::Server) at the same time; others wait. Defaults to 512.
    pub connections: usize,
    /// How long a [`Server`](super::server::Server) holds what a client does not read, before it ends the connection (Linux).
    /// Defaults to 20 seconds.
    pub read_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 2_000,
            network_requests: 50,
            streams: 64,
            connections: 512,
            read_time: Duration::from_secs(20),
        }
    }
}
