//! `kad node` as a process that other programs start, signal and kill: a service manager, and the machine that fails.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

#[cfg(unix)]
mod manager;
mod persistence;
#[path = "../process/mod.rs"]
mod running;
#[cfg(unix)]
mod unit;
