//! Headless Chromium, and a network of nodes whose first one serves its page.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod browser;
mod network;

pub use browser::Browser;
pub use network::Network;
