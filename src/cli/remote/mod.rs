//! The commands that ask a running node through its gateway: `status`, `peers`, `values`, `events`, `watch`, `pin`, `unpin` and
//! `release`.

mod client;
pub(super) mod events;
mod keys;
pub(super) mod marks;
pub(super) mod peers;
pub(super) mod status;
mod stream;
mod target;
pub(super) mod url;
pub(super) mod values;
pub(super) mod watch;
