//! The gateway over real HTTP: what each request gets, and from whom it is taken.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod client;
mod limits;
mod mounted;
mod network;
mod page;
mod streams;
mod values;
