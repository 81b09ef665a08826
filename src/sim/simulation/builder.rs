//! The builder of a simulated network: what it is made of. It builds in waves, over a line that loses nothing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::churn::{self, Churn};
use super::error::{SimError, within};
use super::others::Others;
use super::population::Population;
use super::sim::Sim;
use super::world::{Persona, World};
use crate::actors::outcome::Error;
use crate::protocol::codec::Codec;
use crate::protocol::config::Config;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::peer::AddressScope;
use crate::sim::link::{Latency, Link};
use crate::sim::network::MemoryNetwork;
use crate::sim::time::{in_virtual_time, is_virtual};

/// The most nodes that join at once: those who join together find each other only later.
const WAVE: usize = 64;
/// What passes between the last join and the start: the nodes fill their tables meanwhile.
const SETTLING: Duration = Duration::from_secs(60);
/// The most nodes of one network: at 300 kB each they fill the memory of most machines long before.
const MAX_NODES: usize = 1_000_000;

/// Builds a [`Sim`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct SimBuilder {
    nodes: usize,
    seed: u64,
    link: Link,
    scope: AddressScope,
    codec: Codec,
    config: Config,
    churn: Option<Churn>,
    dead: f64,
    slow: f64,
    delay: Duration,
    others: Vec<Others>,
}

impl Default for SimBuilder {
    fn default() -> Self {
        Self {
            nodes: 50,
            seed: 1,
            link: Link::new(Latency::Constant(Duration::from_millis(20))),
            scope: AddressScope::Global,
            codec: Codec::default(),
            config: Config::default(),
            churn: None,
            dead: 0.0,
            slow: 0.0,
            delay: Duration::ZERO,
            others: Vec::new(),
        }
    }
}

impl Sim {
    /// A builder with the defaults: 50 nodes of ours, seed 1, 20 ms one way, nothing lost, no node leaves.
    pub fn builder() -> SimBuilder {
        SimBuilder::default()
    }

    /// Builds a network in [virtual time](in_virtual_time) of its own, and runs `story` with it.
    ///
    /// # Errors
    /// As [`SimBuilder::build`].
    ///
    /// # Panics
    /// Where a runtime runs on this thread already, as [`in_virtual_time`] does: within a test under `#[tokio::test]` or
    /// `#[actix::test]`, say. In virtual time already, await [`SimBuilder::build`] instead. Where `story` panics.
    pub fn run<T>(builder: SimBuilder, story: impl AsyncFnOnce(Sim) -> T) -> Result<T, SimError> {
        in_virtual_time(async move { Ok(story(builder.build().await?).await) })
    }
}

impl SimBuilder {
    /// How many places there are (1..=1,000,000). Defaults to 50.
    pub fn nodes(self, nodes: usize) -> Self {
        Self { nodes, ..self }
    }

    /// Where all chances come from. Defaults to 1.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// How long a datagram takes, one way. Defaults to 20 ms, always.
    pub fn latency(mut self, latency: Latency) -> Self {
        self.link.latency = latency;
        self
    }

    /// The part of datagrams that get lost (0..=1) once the network is built. Defaults to 0.
    pub fn loss(mut self, loss: f64) -> Self {
        self.link.loss = loss;
        self
    }

    /// The part of datagrams that arrive twice (0..=1) once the network is built. Defaults to 0.
    pub fn duplication(mut self, duplication: f64) -> Self {
        self.link.duplication = duplication;
        self
    }

    /// Which addresses the nodes have. Defaults to global ones, to which all rules about strangers apply.
    pub fn scope(self, scope: AddressScope) -> Self {
        Self { scope, ..self }
    }

    /// The wire of the network. Defaults to JSON, as that of a [node](crate::NodeBuilder::codec).
    pub fn codec(self, codec: Codec) -> Self {
        Self { codec, ..self }
    }

    /// The settings of the nodes. Defaults to [`Config::default`].
    pub fn config(self, config: Config) -> Self {
        Self { config, ..self }
    }

    /// How nodes come and go once the network is built. Defaults to: they don't.
    pub fn churn(self, churn: Churn) -> Self {
        Self { churn: Some(churn), ..self }
    }

    /// The share of places (0..=1) that die at the moment at which the network is built: they are in the tables, and
    /// never answer.
    pub fn dead(self, share: f64) -> Self {
        Self { dead: share, ..self }
    }

    /// The share of places (0..=1) at which a node of ours has a slow line: once the network is built, what it sends
    /// arrives so much later.
    pub fn slow(self, share: f64, delay: Duration) -> Self {
        Self { slow: share, delay, ..self }
    }

    /// Lets participants that are no nodes of this crate live at a share of the places; again for another kind. All shares
    /// together, slow nodes included, are at most 1.
    pub fn others(mut self, others: Others) -> Self {
        self.others.push(others);
        self
    }

    /// Builds the network: all nodes have joined when this returns.
    ///
    /// # Errors
    /// [`SimError::OutOfRange`] for what is out of its range, [`SimError::Node`] for a [`Config`] that is, and
    /// [`Error::NoArbiter`] in it outside an actix system. Outside of [virtual time](crate::sim::in_virtual_time) it takes
    /// minutes; a warning in the log says so.
    pub async fn build(self) -> Result<Sim, SimError> {
        self.build_counting(&Cell::new(0)).await
    }

    /// The same; `joined` is how many nodes have joined so far, to be shown meanwhile.
    ///
    /// # Errors
    /// As [`SimBuilder::build`].
    pub async fn build_counting(self, joined: &Cell<usize>) -> Result<Sim, SimError> {
        self.validate()?;
        if !is_virtual() {
            tracing::warn!(
                "a simulated network outside of virtual time takes minutes to build; Sim::run builds it in virtual time"
            );
        }
        let mut entropy = SeededEntropy::new(self.seed);
        let good = Link { loss: 0.0, duplication: 0.0, ..self.link };
        let network = MemoryNetwork::new(entropy.next_u64()).with_scope(self.scope).with_link(good);
        let personas = self.cast(&mut entropy);
        let world = Rc::new(World {
            network,
            codec: self.codec,
            config: self.config.clone(),
            others: self.others.clone(),
            delay: self.delay,
            entropy: RefCell::new(entropy),
            places: RefCell::new(personas.into_iter().map(Into::into).collect()),
            built: Cell::new(Instant::now()),
            is_built: Cell::new(false),
            population: Cell::default(),
        });
        // Dishonest ones come last: a network is built by honest ones.
        let is_honest = |place: &usize| match world.places.borrow()[*place].persona {
            Persona::Ours | Persona::Slow => true,
            Persona::Other(kind) => world.others[kind].honest,
        };
        let (honest, dishonest): (Vec<usize>, Vec<usize>) = (0..self.nodes).partition(is_honest);
        let order: Vec<usize> = honest.into_iter().chain(dishonest).collect();
        while joined.get() < self.nodes {
            let wave = &order[joined.get()..][..joined.get().clamp(1, WAVE).min(self.nodes - joined.get())];
            let seated = wave.iter().map(async |place| {
                world.seat(*place).await?;
                joined.set(joined.get() + 1);
                Ok::<_, Error>(())
            });
            try_join_all(seated).await?;
        }
        tokio::time::sleep(SETTLING).await;
        self.start(&world);
        Ok(Sim::of(world))
    }

    fn validate(&self) -> Result<(), SimError> {
        self.config.validate().map_err(Error::from)?;
        within("the number of nodes", self.nodes as f64, 1.0, MAX_NODES as f64)?;
        within("the share of datagrams lost", self.link.loss, 0.0, 1.0)?;
        within("the share of datagrams that arrive twice", self.link.duplication, 0.0, 1.0)?;
        within("the share of dead places", self.dead, 0.0, 1.0)?;
        within("the share of slow places", self.slow, 0.0, 1.0)?;
        for others in &self.others {
            within("a share of other participants", others.share, 0.0, 1.0)?;
        }
        let others: f64 = self.others.iter().map(|others| others.share).sum();
        within("the shares of slow places and other participants together", self.slow + others, 0.0, 1.0 + 1e-9)
    }

    /// Who takes which place.
    fn cast(&self, entropy: &mut SeededEntropy) -> Vec<Persona> {
        let mut cast = vec![Persona::Ours; self.nodes];
        let mut rest = cast.as_mut_slice();
        let others = self.others.iter().enumerate().map(|(kind, others)| (Persona::Other(kind), others.share));
        for (persona, share) in others.chain([(Persona::Slow, self.slow)]) {
            let taken = count(share, self.nodes).min(rest.len());
            let (these, others) = rest.split_at_mut(taken);
            these.fill(persona);
            rest = others;
        }
        shuffle(&mut cast, entropy);
        cast
    }

    /// What was held back while the network was built.
    fn start(&self, world: &Rc<World>) {
        world.network.set_link(self.link);
        world.is_built.set(true);
        let mut places: Vec<usize> = (0..self.nodes).collect();
        shuffle(&mut places, &mut world.entropy.borrow_mut());
        for place in places.into_iter().take(count(self.dead, self.nodes)) {
            world.kill(place);
        }
        for place in 0..self.nodes {
            world.slow_down(place);
        }
        world.population.set(Population::default());
        world.built.set(Instant::now());
        if let Some(churn) = self.churn {
            churn::start(churn, world);
        }
    }
}

/// This share (0..=1) of `of`, to the nearest whole one.
fn count(share: f64, of: usize) -> usize {
    (share * of as f64).round() as usize
}

fn shuffle<T>(of: &mut [T], entropy: &mut SeededEntropy) {
    for i in (1..of.len()).rev() {
        of.swap(i, entropy.below(i as u64 + 1) as usize);
    }
}
