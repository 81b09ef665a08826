//! Traffic by message and direction: how many messages of each name came in and went out, and their bytes. A datagram that cannot
//! be decoded is no message.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// The wire's names of all messages: each query, and its answer.
pub const MESSAGES: [&str; 18] = [
    "ping",
    "pong",
    "find_node",
    "find_node_res",
    "find_value",
    "find_value_res",
    "set",
    "set_res",
    "set_cached",
    "set_cached_res",
    "check_store",
    "check_store_res",
    "get",
    "get_res",
    "renew",
    "renew_res",
    "reconcile",
    "reconcile_res",
];

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// It came in.
    Received,
    /// It goes out. It may still be dropped where the network takes no more.
    Sent,
}

/// The traffic since the start.
#[derive(Debug, Default)]
pub struct Traffic([[Flow; 2]; MESSAGES.len()]);

#[derive(Debug, Default)]
struct Flow {
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// The traffic of one message since the start. Bytes are those of the datagrams, without the headers of IP and UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MessageTraffic {
    /// The wire's name of the message.
    pub message: &'static str,
    /// Messages that came in.
    pub received: u64,
    /// Bytes of these.
    pub received_bytes: u64,
    /// Messages that went out.
    pub sent: u64,
    /// Bytes of these.
    pub sent_bytes: u64,
}

impl Traffic {
    /// Counts one message with the wire's `name`, of so many `bytes`.
    pub(crate) fn count(&self, direction: Direction, name: &str, bytes: usize) {
        let message = MESSAGES.iter().position(|message| *message == name);
        debug_assert!(message.is_some(), "{name} is not among the messages");
        if let Some(message) = message {
            let flow = &self.0[message][direction as usize];
            flow.messages.fetch_add(1, Ordering::Relaxed);
            flow.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// The traffic so far, a row for each message, those without any included.
    pub fn rows(&self) -> Vec<MessageTraffic> {
        let read = |flow: &Flow| (flow.messages.load(Ordering::Relaxed), flow.bytes.load(Ordering::Relaxed));
        let rows = MESSAGES.iter().zip(&self.0).map(|(message, [received, sent])| {
            let ((received, received_bytes), (sent, sent_bytes)) = (read(received), read(sent));
            MessageTraffic { message, received, received_bytes, sent, sent_bytes }
        });
        rows.collect()
    }
}
