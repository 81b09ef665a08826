//! The laboratory: experiments on whole simulated networks of `kademlia-dynamic`, what their users see in figures and
//! charts, and participants of other kinds to try them among; the CPU that a request
//! costs a running node; and what clients that mean it no good cost the others. It is not published; `kad-lab` is its command.

pub mod command;
pub mod experiment;
pub mod figures;
pub mod legacy;
pub mod liar;
pub mod mixed;

mod charts;
mod failure;
mod folder;
mod growth;
mod hold;
mod interrupt;
mod loopback;
mod output;
mod process;
#[cfg(target_os = "linux")]
mod processors;
mod progress;
mod publish;
mod requests;
mod sim;
mod sim_args;
mod simulated;
mod stress;
