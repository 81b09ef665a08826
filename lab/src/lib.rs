//! The laboratory: experiments on whole simulated networks of `kademlia-dynamic`, what their users see in figures and
//! charts, and participants of other kinds to try them among; and the CPU that a request
//! costs a running node. It is not published; `kad-lab` is its command.

pub mod command;
pub mod experiment;
pub mod figures;
pub mod legacy;
pub mod liar;
pub mod mixed;

mod charts;
mod failure;
mod interrupt;
mod output;
mod progress;
mod requests;
mod sim;
mod sim_args;
