//! The `kad` binary as a person or a script meets it: processes, what they print, and their exit codes.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod backups;
mod clients;
mod files;
mod http;
mod limits;
mod losses;
mod networks;
mod node;
mod process;
mod relay;
mod remote;
#[path = "../process/mod.rs"]
mod running;
mod tools;
mod unwritable;
mod values;
