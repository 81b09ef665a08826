//! How nodes behave: one file or folder for each subject. Most run in virtual time, on a network in memory; `nodes`,
//! `bad_input` and a part of `hostile_datagrams` use sockets of this machine.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod bulk;
mod failing_store;
mod handoff;
mod hostile_datagrams;
mod late_holder;
mod latency;
mod lines;
mod many_values;
mod memory_network;
mod moves;
mod nodes;
mod overwrites;
mod readme;
mod replicas;
mod restarts;
mod restores;
mod scripted_peers;
mod simulator;
mod strangers;
mod support;
mod suspend;
mod thousand_nodes;
mod unsupported_values;
mod values;
mod versions;
mod watches;
mod wire_vectors;
