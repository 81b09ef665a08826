//! The places of a simulated network: which participant lives at each, how it gets there and how it goes.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::others::{Others, Participant, Site};
use super::population::Population;
use crate::actors::node::{Node, NodeBuilder};
use crate::actors::outcome::Error;
use crate::protocol::codec::Codec;
use crate::protocol::config::Config;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;
use crate::sim::network::MemoryNetwork;

/// Contacts that a new node joins through.
const CONTACTS: usize = 3;

pub(super) struct World {
    pub(super) network: MemoryNetwork,
    pub(super) codec: Codec,
    pub(super) config: Config,
    /// The kinds of participants that are no nodes of this crate.
    pub(super) others: Vec<Others>,
    /// Of slow lines.
    pub(super) delay: Duration,
    pub(super) entropy: RefCell<SeededEntropy>,
    pub(super) places: RefCell<Vec<Place>>,
    /// When it was built, if it is.
    pub(super) built: Cell<Instant>,
    pub(super) is_built: Cell<bool>,
    pub(super) population: Cell<Population>,
}

/// The kind that belongs at a place: each of its occupants is of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persona {
    /// A node of ours.
    Ours,
    /// One on a slow line.
    Slow,
    /// A participant of this kind among the others.
    Other(usize),
}

pub(super) struct Place {
    pub(super) persona: Persona,
    pub(super) occupant: Occupant,
}

pub(super) enum Occupant {
    Vacant,
    Ours(Node),
    Other { participant: Rc<dyn Participant>, honest: bool },
}

impl From<Persona> for Place {
    fn from(persona: Persona) -> Self {
        Self { persona, occupant: Occupant::Vacant }
    }
}

impl Occupant {
    /// Whether it takes part in the network as it should.
    pub(super) fn is_honest(&self) -> bool {
        matches!(self, Self::Ours(_) | Self::Other { honest: true, .. })
    }

    /// All addresses that it has.
    pub(super) fn addrs(&self) -> Vec<SocketAddr> {
        match self {
            Self::Other { participant, .. } => participant.addrs(),
            other => other.peer().map(|peer| peer.addr).into_iter().collect(),
        }
    }

    /// The participant of kind `P`, if it is one.
    pub(super) fn other<P: Participant>(&self) -> Option<Rc<P>> {
        match self {
            Self::Other { participant, .. } => (participant.clone() as Rc<dyn Any>).downcast().ok(),
            Self::Vacant | Self::Ours(_) => None,
        }
    }

    fn peer(&self) -> Option<Peer> {
        match self {
            Self::Vacant => None,
            Self::Ours(node) => Some(Peer::new(node.id(), node.local_addr())),
            Self::Other { participant, .. } => Some(participant.peer()),
        }
    }
}

impl World {
    pub(super) fn below(&self, bound: usize) -> usize {
        self.entropy.borrow_mut().below(bound as u64) as usize
    }

    /// An empty place for one more node of ours.
    pub(super) fn add_place(&self) -> usize {
        let mut places = self.places.borrow_mut();
        places.push(Persona::Ours.into());
        places.len() - 1
    }

    pub(super) fn places_where(&self, is: impl Fn(&Occupant) -> bool) -> Vec<usize> {
        let places = self.places.borrow();
        let matching = places.iter().enumerate().filter(|(_, place)| is(&place.occupant));
        matching.map(|(number, _)| number).collect()
    }

    pub(super) fn peer(&self, place: usize) -> Option<Peer> {
        self.places.borrow().get(place)?.occupant.peer()
    }

    /// All addresses of the participant at this place.
    pub(super) fn addrs(&self, place: usize) -> Vec<SocketAddr> {
        self.places.borrow().get(place).map(|place| place.occupant.addrs()).unwrap_or_default()
    }

    /// `but`: no node finds itself.
    pub(super) fn true_closest(&self, target: &NodeId, k: usize, but: Option<NodeId>) -> Vec<Peer> {
        let places = self.places.borrow();
        let honest = places.iter().map(|place| &place.occupant).filter(|it| it.is_honest()).filter_map(Occupant::peer);
        let mut peers: Vec<Peer> = honest.filter(|peer| but != Some(peer.id)).collect();
        let distance = |peer: &Peer| peer.id.distance(target);
        if k < peers.len() {
            peers.select_nth_unstable_by_key(k, distance);
            peers.truncate(k);
        }
        peers.sort_unstable_by_key(distance);
        peers
    }

    /// Lets a fresh participant of the right kind join at this place. It is there once it has joined.
    pub(super) async fn seat(&self, place: usize) -> Result<(), Error> {
        let persona = self.places.borrow()[place].persona;
        let occupant = match persona {
            Persona::Ours | Persona::Slow => Occupant::Ours(self.start_ours().await?),
            Persona::Other(kind) => self.start_other(&self.others[kind]).await,
        };
        self.places.borrow_mut()[place].occupant = occupant;
        self.count(|population| population.joined += 1);
        if self.is_built.get() {
            self.slow_down(place);
        }
        Ok(())
    }

    async fn start_ours(&self) -> Result<Node, Error> {
        let contacts = self.some(CONTACTS);
        self.builder().bootstrap(contacts).start_local_over(self.network.endpoint()).await
    }

    async fn start_other(&self, kind: &Others) -> Occupant {
        let contacts = self.some(kind.contacts);
        let (network, codec, config) = (self.network.clone(), self.codec, self.config.clone());
        let seed = self.entropy.borrow_mut().next_u64();
        let participant = (kind.start)(Site { network, codec, config, contacts, seed }).await;
        Occupant::Other { participant, honest: kind.honest }
    }

    /// A fresh client, at no place.
    pub(super) async fn start_client(&self) -> Result<Node, Error> {
        self.node_builder().client(true).start_local_over(self.network.endpoint()).await
    }

    /// The builder of a fresh node at no place.
    pub(super) fn node_builder(&self) -> NodeBuilder {
        self.builder().bootstrap(self.some(CONTACTS))
    }

    fn builder(&self) -> NodeBuilder {
        let (id, seed) = self.fresh_identity();
        Node::builder().node_id(id).seed(seed).codec(self.codec).config(self.config.clone())
    }

    /// Gives the participant at this place the line that its kind has.
    pub(super) fn slow_down(&self, place: usize) {
        let slow = self.places.borrow()[place].persona == Persona::Slow;
        if let Some(peer) = self.peer(place).filter(|_| slow) {
            self.network.delay(peer.addr, self.delay);
        }
    }

    pub(super) fn kill(&self, place: usize) -> bool {
        let Some(occupant) = self.vacate(place) else { return false };
        for addr in occupant.addrs() {
            self.network.remove(addr);
        }
        self.count(|population| population.died += 1);
        // The node stops with its last handle, without a message.
        drop(occupant);
        true
    }

    pub(super) async fn leave(&self, place: usize) -> bool {
        let Some(occupant) = self.vacate(place) else { return false };
        self.count(|population| population.left += 1);
        match occupant {
            Occupant::Ours(node) => node.stop().await,
            Occupant::Other { participant, .. } => participant.stop(),
            Occupant::Vacant => {}
        }
        true
    }

    /// The participant that was there, if there was one.
    fn vacate(&self, place: usize) -> Option<Occupant> {
        let mut places = self.places.borrow_mut();
        let occupant = std::mem::replace(&mut places.get_mut(place)?.occupant, Occupant::Vacant);
        Some(occupant).filter(|occupant| !matches!(occupant, Occupant::Vacant))
    }

    fn count(&self, change: impl FnOnce(&mut Population)) {
        let mut population = self.population.get();
        change(&mut population);
        self.population.set(population);
    }

    /// The addresses of so many random honest participants, or of all if there are fewer.
    fn some(&self, wanted: usize) -> Vec<SocketAddr> {
        let living = self.places_where(Occupant::is_honest);
        let wanted = wanted.min(living.len());
        let mut chosen: Vec<usize> = Vec::with_capacity(wanted);
        while chosen.len() < wanted {
            let place = living[self.below(living.len())];
            if !chosen.contains(&place) {
                chosen.push(place);
            }
        }
        chosen.into_iter().filter_map(|place| self.peer(place)).map(|peer| peer.addr).collect()
    }

    fn fresh_identity(&self) -> (NodeId, u64) {
        let mut entropy = self.entropy.borrow_mut();
        let mut id = [0; 20];
        entropy.fill(&mut id);
        (NodeId::from_bytes(id), entropy.next_u64())
    }
}
