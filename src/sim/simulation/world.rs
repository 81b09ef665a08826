//! The places of a simulated network: who is at each, how somebody gets there and how he goes.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::Population;
use crate::actors::node::{Node, NodeBuilder};
use crate::actors::outcome::Error;
use crate::protocol::codec::Codec;
use crate::protocol::config::Config;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;
use crate::sim::legacy::{LegacyNode, LegacyVersion};
use crate::sim::liar::Liar;
use crate::sim::network::MemoryNetwork;

/// Whom a newcomer joins through.
const CONTACTS: usize = 3;
/// Whom a liar asks, so as to be known.
const VICTIMS: usize = 20;

pub(super) struct World {
    pub(super) network: MemoryNetwork,
    pub(super) codec: Codec,
    pub(super) config: Config,
    /// Of legacy nodes.
    pub(super) version: LegacyVersion,
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
    /// A node that behaves as one of the Python package.
    Legacy,
    /// Somebody who invents peers.
    Liar,
}

pub(super) struct Place {
    pub(super) persona: Persona,
    pub(super) occupant: Occupant,
}

pub(super) enum Occupant {
    Nobody,
    Ours(Node),
    Legacy(LegacyNode),
    Liar(Liar),
}

impl From<Persona> for Place {
    fn from(persona: Persona) -> Self {
        Self { persona, occupant: Occupant::Nobody }
    }
}

impl Occupant {
    /// Whether it takes part in the network as it should.
    pub(super) fn is_honest(&self) -> bool {
        matches!(self, Self::Ours(_) | Self::Legacy(_))
    }

    /// All addresses that it has.
    pub(super) fn addrs(&self) -> Vec<SocketAddr> {
        match self {
            Self::Liar(liar) => liar.addrs(),
            other => other.peer().map(|peer| peer.addr).into_iter().collect(),
        }
    }

    fn peer(&self) -> Option<Peer> {
        match self {
            Self::Nobody => None,
            Self::Ours(node) => Some(Peer::new(node.id(), node.local_addr())),
            Self::Legacy(node) => Some(node.peer()),
            Self::Liar(liar) => Some(liar.peer()),
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

    /// All addresses of whoever is at this place.
    pub(super) fn addrs(&self, place: usize) -> Vec<SocketAddr> {
        self.places.borrow().get(place).map(|place| place.occupant.addrs()).unwrap_or_default()
    }

    /// `but`: nobody finds himself.
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

    /// Lets a fresh somebody of the right kind join at this place. It is there once it has joined.
    pub(super) async fn seat(&self, place: usize) -> Result<(), Error> {
        let contacts = self.contacts();
        let persona = self.places.borrow()[place].persona;
        let occupant = match persona {
            Persona::Ours | Persona::Slow => Occupant::Ours(self.start_ours(contacts).await?),
            Persona::Legacy => Occupant::Legacy(self.start_legacy(contacts).await),
            Persona::Liar => {
                let liar = Liar::start(&self.network, self.codec);
                liar.ingratiate(&self.some(VICTIMS));
                Occupant::Liar(liar)
            }
        };
        self.places.borrow_mut()[place].occupant = occupant;
        self.count(|population| population.joined += 1);
        if self.is_built.get() {
            self.slow_down(place);
        }
        Ok(())
    }

    async fn start_ours(&self, contacts: Vec<SocketAddr>) -> Result<Node, Error> {
        self.builder().bootstrap(contacts).start_local_over(self.network.endpoint()).await
    }

    /// A fresh client, at no place.
    pub(super) async fn start_client(&self) -> Result<Node, Error> {
        self.builder().client(true).bootstrap(self.contacts()).start_local_over(self.network.endpoint()).await
    }

    fn builder(&self) -> NodeBuilder {
        let (id, seed) = self.fresh_identity();
        Node::builder().node_id(id).seed(seed).codec(self.codec).config(self.config.clone())
    }

    /// A legacy node takes the first contact that answers: with each it would do all of its joining again.
    async fn start_legacy(&self, contacts: Vec<SocketAddr>) -> LegacyNode {
        let node = LegacyNode::start(&self.network, self.codec, &self.config, self.version);
        for contact in contacts {
            if node.table().is_empty() {
                node.bootstrap(&[contact]).await;
            }
        }
        node
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
        for addr in occupant.addrs() {
            self.network.remove(addr);
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
            Occupant::Ours(node) => node.stop().await,
            Occupant::Legacy(node) => node.stop(),
            Occupant::Nobody | Occupant::Liar(_) => {}
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
        self.some(CONTACTS)
    }

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
