//! What the pins are sent.

use std::sync::Arc;

use kademlia_dynamic::protocol::pins::PinsSnapshot;

use super::Answer;
use super::handle::handle;

handle! {
    /// Reaches the pins.
    PinsHandle = PinsInbox {
        send watch(WatchKey);
        send unwatch(UnwatchKey);
        send publication_ended(PublicationEnded);
        ask describe(DescribePins) -> PinsSnapshot;
    }
}

/// Value store → pins: this key is published here and pinned against other writers; look after its replicas.
pub struct WatchKey {
    /// The key.
    pub key: Arc<str>,
    /// The least number of replicas that it shall have.
    pub min_replicas: usize,
    /// Whether it was pinned against other writers before this request.
    pub was_pinned: bool,
    /// Where the outcome goes.
    pub answer: Answer<()>,
}

/// Value store → pins: this key is no longer pinned against other writers; do not look after its replicas any more.
pub struct UnwatchKey {
    /// The key.
    pub key: Arc<str>,
    /// Whether it was, until now.
    pub was_pinned: bool,
    /// Where it goes whether the key was pinned, against other writers or with its replicas.
    pub answer: Answer<bool>,
}

/// Value store → pins: the publication of this key has ended, so it is pinned no longer.
pub struct PublicationEnded(pub Arc<str>);

/// Node → pins: which keys are pinned, and what their last audits found?
pub struct DescribePins;
