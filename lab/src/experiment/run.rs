//! Runs an experiment: builds the network, publishes, lets time pass, reads, and counts. What the numbers come to is
//! `report.rs`; who comes and goes is the simulation's business.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{FutureExt, LocalBoxFuture, try_join_all};
use futures_util::stream::FuturesUnordered;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::sim::{Churn, Latency, Sim, SimBuilder, SimError, in_virtual_time};
use kademlia_dynamic::{Error, GetOptions, GetResult, Node, Value};
use tokio::time::{Instant, sleep, sleep_until};

use super::figures::spread;
use super::measured::{Lookup, Measured, Read, ReadEnd, look_up};
use super::report::{Copies, Report};
use super::setup::{Experiment, ExperimentError, MINUTE, Phase, Progress, Watch};
use crate::legacy::LegacyNode;
use crate::mixed::mixed;

/// How often it is looked whether a network that forms shall go on forming, in virtual time.
const GLANCE: Duration = Duration::from_secs(1);
/// The part of nodes that publish, at most: one in ten, so that those who stay hardly calm the others' coming and going.
const PUBLISHERS: usize = 10;
/// How long the publishers are there before they publish.
const SETTLING: Duration = Duration::from_secs(60);
/// Values that are set at once.
const SET_AT_ONCE: usize = 32;
/// Copies are counted so often, in virtual minutes.
const COPIES_EVERY: u32 = 10;
/// Values whose copies are counted, at most.
const COPIES_OF: usize = 200;
/// The part of a minute in which its reads begin: the rest is for all but the slowest to end in, so that who watches is
/// given them with their minute.
const BEGIN_WITHIN: Duration = Duration::from_secs(45);

impl Experiment {
    /// Runs it to its end.
    ///
    /// # Errors
    /// A field out of its range, or a node that cannot be started.
    ///
    /// # Panics
    /// Where a runtime runs on this thread already, as [`in_virtual_time`] does: within a test under `#[tokio::test]` or
    /// `#[actix::test]`, say. A plain `#[test]` will do, and `tokio::task::spawn_blocking` elsewhere.
    pub fn run(&self) -> Result<Report, ExperimentError> {
        self.run_watched(&mut |_| ControlFlow::Continue(()))
    }

    /// Runs it, and tells `watch` how far it is, in each phase and each virtual minute. Once that says `Break` it ends
    /// with the report of what ran so far.
    ///
    /// # Errors
    /// As [`Experiment::run`].
    ///
    /// # Panics
    /// As [`Experiment::run`], and where `watch` panics.
    pub fn run_watched(&self, watch: Watch<'_>) -> Result<Report, ExperimentError> {
        self.validate()?;
        in_virtual_time(async {
            let mut run = Run::new(self, watch);
            let Some(sim) = run.form().await? else { return Ok(run.end()) };
            let publishers = run.publishers(&sim).await?;
            run.publish(&sim, &publishers).await?;
            run.live(&sim).await;
            Ok(run.end())
        })
    }

    /// How many nodes are legacy nodes: one at least is ours.
    fn legacy_nodes(&self) -> usize {
        ((self.nodes as f64 * self.legacy).round() as usize).min(self.nodes - 1)
    }

    /// How many nodes publish.
    fn publishers(&self) -> usize {
        (self.nodes / PUBLISHERS).clamp(1, self.values).min(self.nodes - self.legacy_nodes())
    }
}

struct Run<'a> {
    experiment: &'a Experiment,
    watch: Watch<'a>,
    entropy: SeededEntropy,
    measured: Measured,
    /// The turns that the values have had, with nodes and with visitors.
    turns: [usize; 2],
    stopped: bool,
}

impl<'a> Run<'a> {
    fn new(experiment: &'a Experiment, watch: Watch<'a>) -> Self {
        // Not the seed itself: the network has that one.
        let entropy = SeededEntropy::new(!experiment.seed);
        Self { experiment, watch, entropy, measured: Measured::default(), turns: [0; 2], stopped: false }
    }

    /// The network, without those who publish and stay; `None` if it was stopped before it had formed.
    async fn form(&mut self) -> Result<Option<Sim>, ExperimentError> {
        let Experiment { nodes, half_life, loss, seed, churn_publishers, .. } = *self.experiment;
        let staying = if churn_publishers { 0 } else { self.experiment.publishers() };
        let built = nodes - staying;
        let legacy = self.experiment.legacy_nodes() as f64 / built as f64;
        let mut builder = mixed(built, legacy).seed(seed).latency(Latency::INTERNET).loss(loss);
        if let Some(half_life) = half_life {
            builder = builder.churn(Churn::weibull(half_life));
        }
        let mut goes_on = |joined| {
            self.tell(Phase::Forming, joined, nodes);
            !self.stopped
        };
        Ok(build(builder, &mut goes_on).await?)
    }

    /// Those who publish. Unless they come and go as all do, they join now, at places of their own: who is there when
    /// the network is built is one of those who go.
    async fn publishers(&mut self, sim: &Sim) -> Result<Vec<usize>, ExperimentError> {
        let count = self.experiment.publishers();
        let mut publishers = Vec::with_capacity(count);
        if self.experiment.churn_publishers {
            let mut places = sim.places();
            while publishers.len() < count && !places.is_empty() {
                publishers.push(places.swap_remove(self.entropy.below(places.len() as u64) as usize));
            }
        } else {
            for _ in 0..count {
                publishers.push(sim.join().await?);
            }
            sleep(SETTLING).await;
        }
        Ok(publishers)
    }

    async fn publish(&mut self, sim: &Sim, publishers: &[usize]) -> Result<(), ExperimentError> {
        let values: Vec<usize> = (0..self.experiment.values).collect();
        for (done, batch) in values.chunks(SET_AT_ONCE).enumerate() {
            self.tell(Phase::Publishing, done * SET_AT_ONCE, values.len());
            if self.stopped {
                break;
            }
            let sets = batch.iter().map(|n| async move {
                let mut publisher = publishers[n % publishers.len()];
                // A node that comes and goes may go before its `set` has ended: then another one sets it.
                while !set(sim, publisher, &key(*n), value(*n)).await? {
                    match any_of(sim, &sim.places()) {
                        Some(another) => publisher = another,
                        None => break,
                    }
                }
                Ok::<_, Error>(())
            });
            try_join_all(sets).await?;
        }
        Ok(())
    }

    /// Lets the minutes pass. They do not wait for what began in them: a legacy node that reads among the dead may be at
    /// it for minutes, and what is to happen meanwhile happens at its time.
    async fn live(&mut self, sim: &Sim) {
        let (began, minutes) = (Instant::now(), self.experiment.minutes());
        self.measured.begin(sim);
        tracing::info!(nodes = sim.len(), minutes, "the network has formed");
        self.count_copies(sim, 0).await;
        let mut under_way = FuturesUnordered::new();
        for minute in 1..=minutes {
            self.tell(Phase::Running, minute as usize - 1, minutes as usize);
            if self.stopped {
                break;
            }
            self.measured.begin_minute(minute);
            under_way.extend(self.begin(sim, minute));
            let over = sleep_until(began + MINUTE * minute);
            tokio::pin!(over);
            loop {
                tokio::select! {
                    biased;
                    Some(ended) = under_way.next() => self.take(ended),
                    () = &mut over => break,
                }
            }
            self.measured.minutes = minute;
            if minute.is_multiple_of(COPIES_EVERY) {
                self.count_copies(sim, minute).await;
            }
        }
        self.measured.end(sim, self.experiment.nodes);
        // Without the last of them the slow ones would be missing, which are those that fail.
        while let Some(ended) = under_way.next().await {
            self.take(ended);
        }
        if !self.stopped {
            self.tell(Phase::Running, minutes as usize, minutes as usize);
        }
    }

    /// The reads and the lookups of one minute, each of which begins at a moment of its own.
    fn begin<'s>(&mut self, sim: &'s Sim, minute: u32) -> Vec<LocalBoxFuture<'s, Ended>> {
        let Experiment { reads_per_minute, visits_per_minute, lookups_per_minute, values, .. } = *self.experiment;
        let mut begun = Vec::with_capacity(reads_per_minute + visits_per_minute + lookups_per_minute);
        for n in turns(&mut self.turns[0], reads_per_minute, values) {
            let after = self.moment();
            let read = async move {
                sleep(after).await;
                Ended::Read { minute, read: read(sim, n).await }
            };
            begun.push(read.boxed_local());
        }
        for n in turns(&mut self.turns[1], visits_per_minute, values) {
            let after = self.moment();
            let visit = async move {
                sleep(after).await;
                Ended::Visit(visit(sim, n).await)
            };
            begun.push(visit.boxed_local());
        }
        for _ in 0..lookups_per_minute {
            let (after, chance) = (self.moment(), self.entropy.next_u64());
            let lookup = async move {
                sleep(after).await;
                let place = any_of(sim, &sim.places());
                Ended::Lookup(match place {
                    Some(place) => look_up(sim, place, chance).await,
                    None => None,
                })
            };
            begun.push(lookup.boxed_local());
        }
        begun
    }

    fn take(&mut self, ended: Ended) {
        match ended {
            Ended::Read { minute, read } => self.measured.take_read(minute, &read),
            Ended::Visit(visit) => self.measured.take_visit(&visit),
            Ended::Lookup(Some(lookup)) => self.measured.take_lookup(&lookup),
            Ended::Lookup(None) => {}
        }
    }

    /// When in a minute something begins.
    fn moment(&mut self) -> Duration {
        BEGIN_WITHIN.mul_f64(self.entropy.unit())
    }

    async fn count_copies(&mut self, sim: &Sim, minute: u32) {
        let mut counts = Vec::new();
        for n in 0..self.experiment.values.min(COPIES_OF) {
            counts.push(u32::try_from(sim.copies_of(&key(n)).await).unwrap_or(u32::MAX));
        }
        if let Some((min, median, max)) = spread(&mut counts) {
            self.measured.copies.push(Copies { minute, min, median, max });
        }
    }

    fn tell(&mut self, phase: Phase, done: usize, of: usize) {
        let [done, of] = [done, of].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let reads = self.measured.reads;
        let progress = Progress { phase, done, of, reads: reads.asked, found: reads.found };
        self.stopped |= (self.watch)(&progress).is_break();
    }

    fn end(self) -> Report {
        self.measured.report(self.experiment, !self.stopped)
    }
}

/// The next `count` of `values` whose turn it is, after so many turns.
pub(super) fn turns(taken: &mut usize, count: usize, values: usize) -> impl Iterator<Item = usize> + use<> {
    let first = *taken;
    *taken += count;
    (first..first + count).map(move |turn| turn % values)
}

/// Something that began in some minute, and has ended.
enum Ended {
    Read {
        /// The minute in which it began.
        minute: u32,
        read: Read,
    },
    Visit(Read),
    /// `None` if no node was there to look, or it left meanwhile.
    Lookup(Option<Lookup>),
}

/// Builds a network for as long as `goes_on`, which is given how many nodes have joined, says so; `None` if it was stopped before
/// it had formed.
pub(super) async fn build(
    builder: SimBuilder,
    goes_on: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<Sim>, SimError> {
    let joined = Cell::new(0);
    let building = builder.build_counting(&joined);
    tokio::pin!(building);
    while goes_on(joined.get()) {
        tokio::select! {
            biased;
            built = &mut building => return built.map(Some),
            () = sleep(GLANCE) => {}
        }
    }
    Ok(None)
}

fn key(n: usize) -> String {
    format!("experiment/{n}")
}

fn value(n: usize) -> String {
    format!("value {n} of an experiment")
}

/// One of these places, if there are any.
fn any_of(sim: &Sim, places: &[usize]) -> Option<usize> {
    (!places.is_empty()).then(|| places[sim.below(places.len())])
}

/// Lets the node at this place set a value, and says whether it was there until its `set` had ended.
async fn set(sim: &Sim, place: usize, key: &str, value: String) -> Result<bool, Error> {
    let Some(node) = sim.node(place) else { return Ok(false) };
    match node.set(key, value).await {
        Err(Error::Stopped(_)) => Ok(false),
        Err(error) => Err(error),
        // A node that has died meanwhile goes on, cut off, and no peer acknowledges its value.
        Ok(_) => Ok(is_there(sim, place, &node)),
    }
}

fn is_there(sim: &Sim, place: usize, node: &Node) -> bool {
    sim.node(place).is_some_and(|there| there.id() == node.id())
}

/// Lets any living node read value `n`.
async fn read(sim: &Sim, n: usize) -> Read {
    let readers = [sim.places(), sim.places_of::<LegacyNode>()].concat();
    let Some(place) = any_of(sim, &readers) else { return Read::abandoned() };
    match (sim.node(place), sim.participant::<LegacyNode>(place)) {
        (Some(node), _) => read_by(sim, place, &node, n).await,
        (None, Some(node)) => read_by_legacy(sim, place, &node, n).await,
        (None, None) => Read::abandoned(),
    }
}

async fn read_by(sim: &Sim, place: usize, node: &Node, n: usize) -> Read {
    let read = read_here(node, n).await;
    // A node that dies meanwhile reads on, cut off: that says nothing of the value.
    if is_there(sim, place, node) { read } else { Read { end: ReadEnd::Abandoned, ..read } }
}

/// A visitor comes, reads value `n`, and goes. One who cannot join, since all of those whom it knows have gone, has failed.
async fn visit(sim: &Sim, n: usize) -> Read {
    let Ok(client) = sim.client().await else { return Read { end: ReadEnd::Failed, ..Read::abandoned() } };
    let read = read_here(&client, n).await;
    client.stop().await;
    read
}

async fn read_here(node: &Node, n: usize) -> Read {
    let began = Instant::now();
    let traced = node.get_with(key(n), GetOptions::default().trace(true)).await;
    let took = began.elapsed();
    let end =
        match &traced {
            Ok(traced) => match &traced.result {
                GetResult::Found { value: found, holder, .. } if *found == Value::from(value(n)) => {
                    if holder.is_none() { ReadEnd::HeldByReader } else { ReadEnd::Found }
                }
                GetResult::Found { .. } | GetResult::Unsupported { .. } => ReadEnd::Failed,
                GetResult::NotFound { .. } => ReadEnd::NotFound,
                GetResult::NoneAnswered { .. } => ReadEnd::Unanswered,
            },
            Err(Error::Stopped(_)) => ReadEnd::Abandoned,
            Err(_) => ReadEnd::Failed,
        };
    Read { end, by_legacy: false, took, trace: traced.ok().and_then(|traced| traced.trace) }
}

/// A legacy node says whether it found the value, and nothing else.
async fn read_by_legacy(sim: &Sim, place: usize, node: &LegacyNode, n: usize) -> Read {
    let (began, expected) = (Instant::now(), Value::from(value(n)));
    let held = node.held(&key(n)).is_some();
    let found = node.get(&key(n)).await;
    let is_there = sim.participant::<LegacyNode>(place).is_some_and(|there| there.peer() == node.peer());
    let end = match found {
        _ if !is_there => ReadEnd::Abandoned,
        Some(found) if found != expected => ReadEnd::Failed,
        Some(_) if held => ReadEnd::HeldByReader,
        Some(_) => ReadEnd::Found,
        None => ReadEnd::NotFound,
    };
    Read { end, by_legacy: true, took: began.elapsed(), trace: None }
}
