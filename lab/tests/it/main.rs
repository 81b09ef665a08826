//! What simulated networks come to, with nodes of the Python package and liars among ours; and the commands of the laboratory.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod figures;
mod legacy;
mod mixed;
mod requests;
mod sim;
mod stress;
