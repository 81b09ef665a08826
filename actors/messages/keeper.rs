//! What the keeper is told.

use std::sync::Arc;

use actix::Message;
use kademlia_dynamic::protocol::keeping::KeepingSnapshot;

use super::Answer;

/// Value store → keeper: this key is published here and kept against other writers; see to its replicas.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct WatchKey {
    /// The key.
    pub key: Arc<str>,
    /// The least number of replicas that it shall have.
    pub min_replicas: usize,
    /// Whether it was kept against other writers before it was last asked for.
    pub was_kept: bool,
    /// Where the outcome goes.
    pub answer: Answer<()>,
}

/// Value store → keeper: this key is no longer kept against other writers; do not see to its replicas any more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct UnwatchKey {
    /// The key.
    pub key: Arc<str>,
    /// Whether it was, until now.
    pub was_kept: bool,
    /// Where it goes whether the key was kept, against others or with its replicas.
    pub answer: Answer<bool>,
}

/// Value store → keeper: the publication of this key has ended, so it is kept no more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PublicationEnded(pub Arc<str>);

/// Node → keeper: what do you keep?
#[derive(Debug, Message)]
#[rtype(result = "KeepingSnapshot")]
pub struct DescribeKept;
