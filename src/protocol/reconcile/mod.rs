//! Reconciliation: two nodes that should hold the same values compare what they hold, and bring each other what differs
//! (docs/wire.md, 9.11). It costs what differs, not what is held.
//!
//! - [`cells`] says which places both this node and a peer are among the k nearest to, and its [`Region`] which this node is.
//! - An [`Exchange`] is one comparison with one peer: it asks for fingerprints of ranges, and follows those that differ. Its state is
//!   here, what it compares is read from the records by [`ask`] and [`compare`]; the peer answers by [`answer`].
//! - The [`Schedule`] says with which peers an exchange is due.
//!
//! An exchange changes nothing. What one side lacks is sent to it as a restore, by the rules for restores: so a peer that lies can
//! cost an exchange some datagrams, and can neither remove nor shorten nor replace anything.

mod allowance;
mod answering;
mod asking;
mod cells;
mod exchange;
mod region;
mod schedule;
#[cfg(test)]
mod tests;

pub use allowance::Allowances;
pub use answering::answer;
pub use asking::{Asked, Compared, ask, compare};
pub use cells::{Cells, cells};
pub use exchange::{Exchange, Outcome, Step};
pub use region::Region;
pub use schedule::{Ending, Schedule};
