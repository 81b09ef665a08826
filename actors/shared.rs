//! What the actors of one node share: its identity and settings, and what outlives each of them.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Weak;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kademlia_dynamic::protocol::bursts::Bursts;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::store::{Class, StoredCopy};
use tokio::sync::oneshot;

use super::clock::SystemEntropy;
use super::counters::Counters;
use super::join_state::JoinState;
use super::messages::{Handles, Priority};
use super::operations::join::resolver::Resolver;
use super::outcome::Error;
use super::socket::transport::Transport;
use super::subscriptions::Events;
use super::supervision::{Ender, Lifetime};
use super::unreadable::Unreadable;

/// How much longer than its deadline a lookup may run before it counts as lost.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// Shared by all actors of one node.
pub(crate) struct Shared {
    pub(crate) id: NodeId,
    /// The address that the node is bound to.
    pub(crate) addr: SocketAddr,
    pub(crate) codec: Codec,
    /// Whether no peer is to insert this node.
    pub(crate) client: bool,
    pub(crate) config: Config,
    /// `None`: the system's entropy.
    pub(crate) seed: Option<u64>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) events: Events,
    pub(crate) joined: JoinState,
    pub(crate) lifetime: Lifetime,
    /// How the actors reach each other.
    pub(crate) handles: Handles,
    /// Shows which addresses can be reached. It belongs to the socket.
    pub(crate) transport: Weak<dyn Transport>,
    /// How the names of contacts become addresses.
    pub(crate) resolver: Resolver,
    pub(crate) unreadable: Unreadable,
    pub(crate) bursts: RefCell<Bursts>,
}

impl Shared {
    /// Our id as others are to insert it; `None` for a client.
    pub(crate) fn insertable_id(&self) -> Option<NodeId> {
        (!self.client).then_some(self.id)
    }

    /// Whether this copy is kept up to date: no peer brings a client what others publish, which it reads from the network.
    pub(crate) fn is_kept_up(&self, copy: &StoredCopy) -> bool {
        !self.client || copy.class != Class::Held
    }

    /// Whether an operation may query all of its peers at once: one that a caller waits for, where few do so.
    pub(crate) fn may_burst(&self, priority: Priority, now: Instant) -> bool {
        priority == Priority::Foreground && self.bursts.borrow_mut().admit(now)
    }

    /// Entropy for the actor of this number, which is its own.
    pub(crate) fn entropy(&self, actor: u64) -> Box<dyn Entropy> {
        match self.seed {
            Some(seed) => Box::new(SeededEntropy::new(SeededEntropy::new(seed ^ actor).next_u64())),
            None => Box::new(SystemEntropy::default()),
        }
    }

    /// The longest that a lookup with a placement or an audit after it takes, its time in the queue included: a last resort
    /// behind the deadlines of the operations themselves.
    pub(crate) fn patience(&self) -> Duration {
        let config = &self.config;
        // The background may hold half of the places.
        let rounds = 3 + 2 * config.lookup.max_waiting_lookups / config.lookup.max_lookups;
        (config.lookup.lookup_deadline + GRACE) * u32::try_from(rounds).unwrap_or(u32::MAX)
    }

    /// The answer of another actor, which may get lost.
    pub(crate) fn answered<T: 'static>(
        &self,
        answer: oneshot::Receiver<T>,
        patience: Duration,
    ) -> impl Future<Output = Result<T, Error>> + use<T> {
        let ender = self.lifetime.ender();
        async move { within(patience, answer).await?.map_err(|_| interrupted(&ender)) }
    }
}

/// What `work` comes to, unless it takes longer than anything should.
pub(crate) async fn within<T>(patience: Duration, work: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(patience, work).await.map_err(|_| Error::TookTooLong(patience))
}

/// An answer got lost: with the node, or with an actor that was restarted.
pub(crate) fn interrupted(ender: &Ender) -> Error {
    ender.reason().map_or(Error::Interrupted, Error::Stopped)
}
