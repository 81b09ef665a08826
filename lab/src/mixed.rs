//! Simulated networks in which nodes of the Python package live too.

use kademlia_dynamic::Codec;
use kademlia_dynamic::sim::{Sim, SimBuilder};

use crate::legacy::{LegacyVersion, legacy_nodes};

/// A network of so many nodes, of which this share (0..=1) are legacy nodes. Those speak JSON; without them it is
/// MessagePack.
pub fn mixed(nodes: usize, legacy: f64) -> SimBuilder {
    let codec = if legacy > 0.0 { Codec::Json } else { Codec::MessagePack };
    Sim::builder().nodes(nodes).codec(codec).others(legacy_nodes(legacy, LegacyVersion::default()))
}
