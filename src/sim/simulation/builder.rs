//! Says what a simulated network is made of, and builds it: in waves, over a line that loses nothing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::churn::{self, Churn};
use super::world::{Persona, World};
use super::{Population, Sim};
use crate::actors::outcome::Error;
use crate::protocol::codec::Codec;
use crate::protocol::config::Config;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::peer::AddressScope;
use crate::sim::legacy::LegacyVersion;
use crate::sim::link::{Latency, Link};
use crate::sim::network::MemoryNetwork;

/// The most nodes that join at once: those who join together find each other only later.
const WAVE: usize = 64;
/// What passes between the last join and the start: the nodes fill their tables meanwhile.
const SETTLING: Duration = Duration::from_secs(60);

/// Builds a [`Sim`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct SimBuilder {
    nodes: usize,
    seed: u64,
    link: Link,
    scope: AddressScope,
    codec: Option<Codec>,
    config: Config,
    churn: Option<Churn>,
    dead: f64,
    slow: f64,
    delay: Duration,
    legacy: f64,
    version: LegacyVersion,
    liars: f64,
}

impl Default for SimBuilder {
    fn default() -> Self {
        Self {
            nodes: 50,
            seed: 1,
            link: Link::new(Latency::Constant(Duration::from_millis(20))),
            scope: AddressScope::Global,
            codec: None,
            config: Config::default(),
            churn: None,
            dead: 0.0,
            slow: 0.0,
            delay: Duration::ZERO,
            legacy: 0.0,
            version: LegacyVersion::default(),
            liars: 0.0,
        }
    }
}

impl SimBuilder {
    /// How many places there are. Defaults to 50.
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

    /// How the nodes spell their messages. Defaults to MessagePack, or to JSON where there are legacy nodes.
    pub fn codec(self, codec: Codec) -> Self {
        Self { codec: Some(codec), ..self }
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

    /// The share of places (0..=1) at which a legacy node lives.
    pub fn legacy(self, share: f64) -> Self {
        Self { legacy: share, ..self }
    }

    /// Which version of the Python package those are like. Defaults to 1.1.1.
    pub fn legacy_version(self, version: LegacyVersion) -> Self {
        Self { version, ..self }
    }

    /// The share of places (0..=1) at which somebody invents ever nearer peers, answers in their names, and stores nothing.
    pub fn liars(self, share: f64) -> Self {
        Self { liars: share, ..self }
    }

    /// Builds the network: all nodes have joined when this returns.
    ///
    /// # Errors
    /// A setting out of its range; [`Error::NoArbiter`] outside an actix system. In anything but
    /// [virtual time](crate::sim::in_virtual_time) it takes minutes.
    pub async fn build(self) -> Result<Sim, Error> {
        self.build_counting(&Cell::new(0)).await
    }

    /// The same; `joined` is how many nodes have joined so far.
    pub(crate) async fn build_counting(self, joined: &Cell<usize>) -> Result<Sim, Error> {
        self.config.validate()?;
        let mut entropy = SeededEntropy::new(self.seed);
        let good = Link { loss: 0.0, duplication: 0.0, ..self.link };
        let network = MemoryNetwork::new(entropy.next_u64()).with_scope(self.scope).with_link(good);
        let personas = self.cast(&mut entropy);
        let world = Rc::new(World {
            network,
            codec: self.codec.unwrap_or(if self.legacy > 0.0 { Codec::Json } else { Codec::MessagePack }),
            config: self.config.clone(),
            version: self.version,
            delay: self.delay,
            entropy: RefCell::new(entropy),
            places: RefCell::new(personas.into_iter().map(Into::into).collect()),
            built: Cell::new(Instant::now()),
            is_built: Cell::new(false),
            population: Cell::default(),
        });
        // Liars come last: who builds a network is honest.
        let is_liar = |place: &usize| world.places.borrow()[*place].persona == Persona::Liar;
        let (liars, honest): (Vec<usize>, Vec<usize>) = (0..self.nodes).partition(is_liar);
        let order: Vec<usize> = honest.into_iter().chain(liars).collect();
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
        Ok(Sim(world))
    }

    /// Who takes which place.
    fn cast(&self, entropy: &mut SeededEntropy) -> Vec<Persona> {
        let mut cast = vec![Persona::Ours; self.nodes];
        let mut rest = cast.as_mut_slice();
        for (persona, share) in
            [(Persona::Legacy, self.legacy), (Persona::Liar, self.liars), (Persona::Slow, self.slow)]
        {
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

/// This share of `of`, to the nearest whole one.
fn count(share: f64, of: usize) -> usize {
    (share.clamp(0.0, 1.0) * of as f64).round() as usize
}

fn shuffle<T>(of: &mut [T], entropy: &mut SeededEntropy) {
    for i in (1..of.len()).rev() {
        of.swap(i, entropy.below(i as u64 + 1) as usize);
    }
}
