//! A node at one moment, for whoever looks in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::keeping::KeepingSnapshot;
use kademlia_dynamic::protocol::routing::TableSnapshot;
use kademlia_dynamic::protocol::store::StoreSnapshot;
use serde::Serialize;

/// A node at one moment. Its parts are read one after the other, so they may be a few messages apart.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// Its id.
    pub id: NodeId,
    /// The address it is bound to.
    pub addr: SocketAddr,
    /// How it spells its messages.
    pub codec: Codec,
    /// How long it runs.
    pub uptime: Duration,
    /// Who it knows.
    pub table: TableSnapshot,
    /// What it holds.
    pub store: StoreSnapshot,
    /// What it keeps.
    pub keeping: KeepingSnapshot,
    /// Its queries in flight.
    pub queries_in_flight: usize,
    /// Its lookups that run.
    pub lookups_running: usize,
    /// Its lookups that wait for their turn.
    pub lookups_waiting: usize,
    /// Every counter that is not zero, as `name` or `name{reason}`.
    pub counters: BTreeMap<String, u64>,
    /// Restarts by actor, of those that had any.
    pub restarts: BTreeMap<&'static str, u64>,
}
