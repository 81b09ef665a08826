//! A node and its distance from a target, as commands list them.

use std::net::SocketAddr;

use serde::Serialize;

use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;

/// A node of a list.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Near {
    node_id: NodeId,
    address: SocketAddr,
    /// The length of its XOR distance from the target.
    pub(super) distance_bits: u32,
}

impl Near {
    pub(super) fn new(peer: &Peer, target: NodeId) -> Self {
        Self { node_id: peer.id, address: peer.addr, distance_bits: peer.id.distance(&target).bits() }
    }

    /// It as cells of a table: `ID`, `ADDRESS`, `DISTANCE`.
    pub(super) fn cells(&self) -> [String; 3] {
        [self.node_id.to_string(), self.address.to_string(), format!("{:>3} bits", self.distance_bits)]
    }
}
