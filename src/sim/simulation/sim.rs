//! The handle to a simulated network. What comes and goes by itself is `churn.rs`, which participant takes which place is
//! `world.rs`; what the nodes do is their own business.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::others::Participant;
use super::population::Population;
use super::world::{Occupant, World};
use crate::actors::node::{Node, NodeBuilder};
use crate::actors::outcome::{Error, GetResult, SetOutcome};
use crate::actors::requests::GetOptions;
use crate::actors::supervision::StopReason;
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;
use crate::protocol::store::Class;
use crate::protocol::value::Value;
use crate::sim::network::MemoryNetwork;

/// A network of nodes in virtual time, on one thread: the very actors of a real node, on a [`MemoryNetwork`]. The same
/// seed gives the same run to the bit.
///
/// It has numbered places. At each lives a node of ours, [another participant](super::Others), or none; what comes in place of a
/// node that left has an id and an address of its own. Cheap to clone; the nodes go with the last clone.
///
/// ```
/// use std::time::Duration;
/// use kademlia_dynamic::sim::{Churn, Sim};
/// use kademlia_dynamic::{GetResult, Value};
///
/// let hour = Duration::from_secs(3_600);
/// let builder = Sim::builder().nodes(30).seed(7).loss(0.01).churn(Churn::weibull(4 * hour));
/// Sim::run(builder, async |sim| {
///     let writer = sim.random_node();
///     sim.set(writer, "greeting", "hello").await.unwrap();
///
///     sim.run_for(hour).await;
///     let outcome = sim.get(sim.random_node(), "greeting").await.unwrap();
///     assert!(matches!(outcome, GetResult::Found { value: Value::Text(text), .. } if text == "hello"));
/// }).unwrap();
/// ```
#[derive(Clone)]
pub struct Sim(Rc<World>);

impl Sim {
    pub(super) fn of(world: Rc<World>) -> Self {
        Self(world)
    }

    /// Lets this much virtual time pass.
    pub async fn run_for(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// The virtual time since it was built.
    pub fn now(&self) -> Duration {
        Instant::now() - self.0.built.get()
    }

    /// The network itself: its counters, its fingerprint, its links.
    pub fn network(&self) -> &MemoryNetwork {
        &self.0.network
    }

    /// How many places there are, empty ones included.
    pub fn len(&self) -> usize {
        self.0.places.borrow().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Who lives, and how many came and went.
    pub fn population(&self) -> Population {
        let mut population = self.0.population.get();
        for place in self.0.places.borrow().iter() {
            match place.occupant {
                Occupant::Vacant => {}
                Occupant::Ours(_) => population.ours += 1,
                Occupant::Other { .. } => population.others += 1,
            }
        }
        population
    }

    /// The places at which a node of ours lives.
    pub fn places(&self) -> Vec<usize> {
        self.0.places_where(|occupant| matches!(occupant, Occupant::Ours(_)))
    }

    /// The node of ours at this place, if one lives there.
    pub fn node(&self, place: usize) -> Option<Node> {
        match &self.0.places.borrow().get(place)?.occupant {
            Occupant::Ours(node) => Some(node.clone()),
            _ => None,
        }
    }

    /// The places at which a [participant](super::Others) of kind `P` lives.
    pub fn places_of<P: Participant>(&self) -> Vec<usize> {
        self.0.places_where(|occupant| occupant.other::<P>().is_some())
    }

    /// The participant of kind `P` at this place, if one lives there.
    pub fn participant<P: Participant>(&self, place: usize) -> Option<Rc<P>> {
        self.0.places.borrow().get(place)?.occupant.other()
    }

    /// The place of a node of ours, any living one, by the seed.
    ///
    /// # Panics
    /// If none lives.
    pub fn random_node(&self) -> usize {
        let places = self.places();
        assert!(!places.is_empty(), "no node of ours lives");
        places[self.0.below(places.len())]
    }

    /// A number in `0..bound`, by the seed: for choices of the story that are to be the same in each run.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&self, bound: usize) -> usize {
        assert!(bound > 0, "there is nothing to choose from");
        self.0.below(bound)
    }

    /// Lets the node at this place publish a value.
    ///
    /// # Errors
    /// As [`Node::set`]; [`Error::Stopped`] if no node of ours lives there.
    pub async fn set(&self, place: usize, key: &str, value: impl Into<Value>) -> Result<SetOutcome, Error> {
        self.living(place)?.set(key, value).await
    }

    /// Lets the node at this place read a value.
    ///
    /// # Errors
    /// As [`Node::get_with`]; [`Error::Stopped`] if no node of ours lives there.
    pub async fn get(&self, place: usize, key: &str) -> Result<GetResult, Error> {
        Ok(self.living(place)?.get_with(key, GetOptions::default()).await?.result)
    }

    /// Takes the participant at this place off the network, as a power cut does: it says nothing any more. The place stays
    /// empty. Says whether there was one.
    pub fn kill(&self, place: usize) -> bool {
        self.0.kill(place)
    }

    /// Stops the participant at this place politely, and returns when it has gone. The place stays empty. Says whether there
    /// was one.
    pub async fn leave(&self, place: usize) -> bool {
        self.0.leave(place).await
    }

    /// Lets a fresh node of ours join at a place of its own, and says which.
    ///
    /// # Errors
    /// As [`NodeBuilder::start_local_over`].
    pub async fn join(&self) -> Result<usize, Error> {
        let place = self.0.add_place();
        self.0.seat(place).await?;
        Ok(place)
    }

    /// A fresh client of ours that has joined through some who live: it asks as any node does, holds nothing, and is in no node's
    /// table. It has no place, and goes with its last handle.
    ///
    /// # Errors
    /// As [`NodeBuilder::start_local_over`].
    pub async fn client(&self) -> Result<Node, Error> {
        self.0.start_client().await
    }

    /// The builder of one more node for this network: with its wire and settings, a seed and an id by the network's seed, and
    /// some contacts. Change what differs, and start it over an endpoint of [`Sim::network`]. The node has no place: nothing
    /// here counts or kills it, and it goes with its last handle.
    ///
    /// ```
    /// # use kademlia_dynamic::sim::Sim;
    /// # use kademlia_dynamic::Value;
    /// Sim::run(Sim::builder().nodes(10), async |sim| {
    ///     let node = sim.node_builder().start_local_over(sim.network().endpoint()).await.unwrap();
    ///     node.set("greeting", "hello").await.unwrap();
    ///     assert_eq!(sim.node(0).unwrap().get("greeting").await.unwrap(), Some(Value::from("hello")));
    /// }).unwrap();
    /// ```
    pub fn node_builder(&self) -> NodeBuilder {
        self.0.node_builder()
    }

    /// Cuts those at these places off from all others, but not from each other, as [`MemoryNetwork::partition`] does. Who
    /// joins meanwhile is with the others.
    pub fn partition(&self, places: impl IntoIterator<Item = usize>) {
        self.0.network.partition(places.into_iter().flat_map(|place| self.0.addrs(place)));
    }

    /// Joins all parts again.
    pub fn heal(&self) {
        self.0.network.heal();
    }

    /// The k peers nearest to `target` among those that live and are honest, nearest first: what a perfect lookup finds.
    pub fn true_closest(&self, target: &NodeId, k: usize) -> Vec<Peer> {
        self.0.true_closest(target, k, None)
    }

    /// The same for `seeker`, whose own lookups never find itself.
    pub fn true_closest_for(&self, seeker: &NodeId, target: &NodeId, k: usize) -> Vec<Peer> {
        self.0.true_closest(target, k, Some(*seeker))
    }

    /// How many living nodes hold a full copy of `key`, published or held, those participants included that
    /// [say so](Participant::holds). Nothing is sent.
    pub async fn copies_of(&self, key: &str) -> usize {
        let mut copies = 0;
        for place in self.places() {
            let Some(node) = self.node(place) else { continue };
            let copy = node.copy_of(key).await.ok().flatten();
            copies += usize::from(copy.is_some_and(|copy| copy.class != Class::Cached));
        }
        let holds =
            |occupant: &Occupant| matches!(occupant, Occupant::Other { participant, .. } if participant.holds(key));
        copies + self.0.places_where(holds).len()
    }

    fn living(&self, place: usize) -> Result<Node, Error> {
        self.node(place).ok_or(Error::Stopped(StopReason::Asked))
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("population", &self.population()).field("network", &self.0.network).finish()
    }
}
