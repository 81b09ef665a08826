//! How many participants a simulated network has.

/// The participants that live in a [`Sim`](super::Sim), and how many came and went since it was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Population {
    /// Nodes of this crate, those on a slow line included.
    pub ours: usize,
    /// [Other participants](super::Others).
    pub others: usize,
    /// Came.
    pub joined: u64,
    /// Stopped politely.
    pub left: u64,
    /// Died.
    pub died: u64,
}
