//! A legacy node in a simulation: it does what a node of the Python package does, where that matters to others (docs/wire.md,
//! 8 and 10), so that networks of both kinds can be tried without Python. A test compares it with the package.

mod handle;
mod lookup;
mod node;
mod table;
#[cfg(test)]
mod tests;
mod upkeep;

pub use handle::{LegacyNode, legacy_nodes};
pub use node::LegacyVersion;
