//! Participants of a simulated network that are no nodes of this crate: of another implementation, or dishonest.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use futures_util::future::{FutureExt, LocalBoxFuture};

use crate::protocol::codec::Codec;
use crate::protocol::config::Config;
use crate::protocol::peer::Peer;
use crate::sim::network::MemoryNetwork;

/// Contacts that a participant is given, unless it asks for another number.
const CONTACTS: usize = 3;

/// A participant of a [`Sim`](super::Sim) that is no node of this crate. It leaves the network when it is dropped.
pub trait Participant: Any {
    /// Its id and its address.
    fn peer(&self) -> Peer;

    /// All of its addresses: that of its peer, unless it plays several.
    fn addrs(&self) -> Vec<SocketAddr> {
        vec![self.peer().addr]
    }

    /// Whether it holds a copy of `key`, as [`Sim::copies_of`](super::Sim::copies_of) counts them. `false` by default.
    fn holds(&self, _key: &str) -> bool {
        false
    }

    /// Stops it as [`Sim::leave`](super::Sim::leave) does. By default it is only dropped.
    fn stop(&self) {}
}

/// What a participant starts with.
#[derive(Debug, Clone)]
pub struct Site {
    /// The network, on which it takes its endpoints.
    pub network: MemoryNetwork,
    /// The wire of this network.
    pub codec: Codec,
    /// The settings of its nodes.
    pub config: Config,
    /// Random addresses of honest participants that live, to join through: as many as were
    /// [wanted](Others::contacts), or all if there are fewer.
    pub contacts: Vec<SocketAddr>,
    /// The source of all its chances, so that equal seeds of the network give equal runs.
    pub seed: u64,
}

type Start = dyn Fn(Site) -> LocalBoxFuture<'static, Rc<dyn Participant>>;

/// A share of a network's places at which participants of one kind live.
#[derive(Clone)]
#[must_use = "it is to be handed to a builder"]
pub struct Others {
    pub(super) share: f64,
    pub(super) honest: bool,
    pub(super) contacts: usize,
    pub(super) start: Rc<Start>,
}

impl Others {
    /// This share (0..=1) of the places, at each of which `start` starts a participant; it has joined when `start` returns.
    pub fn new<P: Participant, F: Future<Output = P> + 'static>(
        share: f64,
        start: impl Fn(Site) -> F + 'static,
    ) -> Self {
        let boxed = move |site| {
            let starting = start(site);
            async move { Rc::new(starting.await) as Rc<dyn Participant> }.boxed_local()
        };
        Self { share, honest: true, contacts: CONTACTS, start: Rc::new(boxed) }
    }

    /// The same, as dishonest ones: they join after all others, no node joins through them, and they are not among the
    /// [true nearest](super::Sim::true_closest).
    pub fn dishonest(self) -> Self {
        Self { honest: false, ..self }
    }

    /// The same, each with so many contacts. Defaults to 3.
    pub fn contacts(self, contacts: usize) -> Self {
        Self { contacts, ..self }
    }
}

impl fmt::Debug for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Others").field("share", &self.share).field("honest", &self.honest).finish_non_exhaustive()
    }
}
