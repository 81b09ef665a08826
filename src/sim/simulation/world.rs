//! The places of a simulated network: who is at each, how somebody gets there and how he goes.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::Population;
use crate::actors::node::Node;
use crate::actors::outcome::Error;
use crate::protocol::codec::Codec;
use crate::protocol::config::Config;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;
use crate::sim::network::MemoryNetwork;

/// Whom a newcomer joins through.
const CONTACTS: usize = 3;

pub(super) struct World {
    pub(super) network: MemoryNetwork,
    pub(super) codec: Codec,
    pub(super) config: Config,
    /// Of slow lines.
    pub(super) delay: Duration,
    pub(super) entropy: RefCell<SeededEntropy>,
    pub(super) places: RefCell<Vec<Place>>,
    /// When it was built, if it is.
    pub(super) built: Cell<Instant>,
    pub(super) is_built: Cell<bool>,
    pub(super) population: Cell<Population>,
}

/// Who belongs at a place: whoever comes after another is of the same kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persona {
    /// A node of ours.
    Ours,
    /// One on a slow line.
    Slow,
}

pub(super) struct Place {
    pub(super) persona: Persona,
    pub(super) occupant: Occupant,
}

pub(super) enum Occupant {
    Nobody,
    Ours(Node),
}

impl From<Persona> for Place {
    fn from(persona: Persona) -> Self {
        Self { persona, occupant: Occupant::Nobody }
    }
}

impl Occupant {
    fn peer(&self) -> Option<Peer> {
        match self {
            Self::Nobody => None,
            Self::Ours(node) => Some(Peer::new(node.id(), node.local_addr())),
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

    pub(super) fn true_closest(&self, target: &NodeId, k: usize) -> Vec<Peer> {
        let places = self.places.borrow();
        let mut peers: Vec<Peer> = places.iter().filter_map(|place| place.occupant.peer()).collect();
        let distance = |peer: &Peer| peer.id.distance(target);
        if k < peers.len() {
            peers.select_nth_unstable_by_key(k, distance);
            peers.truncate(k);
        }
        peers.sort_unstable_by_key(distance);
        peers
    }

    /// Lets a fresh somebody of the right kind join at this place. It is there once it has joined.
    pub(super) async fn seat(&self, place: usize) -> Result<(), Error> {
        let contacts = self.contacts();
        let (id, seed) = self.fresh_identity();
        let node = Node::builder()
            .node_id(id)
            .seed(seed)
            .codec(self.codec)
            .config(self.config.clone())
            .bootstrap(contacts)
            .start_local_over(self.network.endpoint())
            .await?;
        self.places.borrow_mut()[place].occupant = Occupant::Ours(node);
        self.count(|population| population.joined += 1);
        if self.is_built.get() {
            self.slow_down(place);
        }
        Ok(())
    }

    /// Gives whoever is at this place the line that its kind has.
    pub(super) fn slow_down(&self, place: usize) {
        let slow = self.places.borrow()[place].persona == Persona::Slow;
        if let Some(peer) = self.peer(place).filter(|_| slow) {
            self.network.delay(peer.addr, self.delay);
        }
    }

    pub(super) fn kill(&self, place: usize) -> bool {
        let Some(occupant) = self.vacate(place) else { return false };
        if let Some(peer) = occupant.peer() {
            self.network.remove(peer.addr);
        }
        self.count(|population| population.died += 1);
        // The node stops with its last handle, and nobody hears of it.
        drop(occupant);
        true
    }

    pub(super) async fn leave(&self, place: usize) -> bool {
        let Some(occupant) = self.vacate(place) else { return false };
        self.count(|population| population.left += 1);
        match occupant {
            Occupant::Nobody => {}
            Occupant::Ours(node) => node.stop().await,
        }
        true
    }

    /// Who was there, if anybody was.
    fn vacate(&self, place: usize) -> Option<Occupant> {
        let mut places = self.places.borrow_mut();
        let occupant = std::mem::replace(&mut places.get_mut(place)?.occupant, Occupant::Nobody);
        Some(occupant).filter(|occupant| !matches!(occupant, Occupant::Nobody))
    }

    fn count(&self, change: impl FnOnce(&mut Population)) {
        let mut population = self.population.get();
        change(&mut population);
        self.population.set(population);
    }

    /// Some who live, for a newcomer to join through; none if none does.
    fn contacts(&self) -> Vec<SocketAddr> {
        let living = self.places_where(|occupant| occupant.peer().is_some());
        let wanted = CONTACTS.min(living.len());
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
