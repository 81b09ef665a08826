//! The cases of the figures: what is done in each network, and what is counted. Which of them are run, with how many seeds
//! and what is made of the counts is the callers' business: the bench and the test of the same name.

use std::time::Duration;

use kademlia_dynamic::sim::{Churn, Latency, Sim, SimBuilder};
use kademlia_dynamic::{GetResult, Value};

use crate::experiment::{Experiment, Reads, Report};
use crate::legacy::LegacyNode;
use crate::mixed::mixed;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Of how many, how many were as they should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// How many were as they should be.
    pub good: u64,
    /// Of how many.
    pub all: u64,
}

impl Share {
    fn note(&mut self, good: bool) {
        self.good += u64::from(good);
        self.all += 1;
    }

    /// Adds what another seed counted.
    pub fn add(&mut self, other: Self) {
        self.good += other.good;
        self.all += other.all;
    }

    /// The share (0..=1); 0 of none.
    pub fn value(self) -> f64 {
        self.good as f64 / self.all.max(1) as f64
    }
}

/// What one run of a case counted, and what that must come to.
#[derive(Debug, Clone)]
pub struct Count {
    /// What is counted.
    pub what: &'static str,
    /// What was counted.
    pub share: Share,
    /// What it must come to.
    pub target: Target,
}

/// What a count must come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// This share at least.
    AtLeast(f64),
    /// The share that was counted beside it, whatever it is.
    Other(Share),
    /// It is reported, and may be what it is.
    Reported,
}

/// A case: its name, and what it counts with one seed.
pub struct Case {
    /// Its name, by which the bench picks cases.
    pub name: &'static str,
    /// Runs it.
    pub run: fn(seed: u64) -> Vec<Count>,
}

/// All cases.
pub const CASES: &[Case] = &[
    Case { name: "200 nodes, no faults, 24 h", run: |seed| no_faults(200, DAY, seed) },
    Case { name: "1,000 nodes, no faults, 24 h", run: |seed| no_faults(1_000, DAY, seed) },
    Case { name: "loss 1 %", run: |seed| loss(200, 1_000, (0.01, 0.9999), seed) },
    Case { name: "loss 5 %", run: |seed| loss(200, 1_000, (0.05, 0.999), seed) },
    Case { name: "loss 20 %", run: |seed| loss(200, 1_000, (0.2, 0.99), seed) },
    Case { name: "churn, half-life 4 h, 300 nodes, 12 h", run: |seed| churn(300, 12 * HOUR, (4 * HOUR, 0.999), seed) },
    Case { name: "churn, half-life 1 h, 300 nodes, 12 h", run: |seed| churn(300, 12 * HOUR, (HOUR, 0.99), seed) },
    Case {
        name: "churn, half-life 15 min, 300 nodes, 12 h",
        run: |seed| churn(300, 12 * HOUR, (15 * MINUTE, 0.95), seed),
    },
    Case { name: "30 % of 300 nodes die at once", run: |seed| deaths(300, 1_000, seed) },
    Case { name: "halves cut apart for 1 h, then healed", run: |seed| halves(100, 100, seed) },
    Case { name: "30 days, 20 nodes, half legacy, our publisher", run: |seed| half_legacy(30 * DAY, seed) },
    Case { name: "all legacy but one, N = 200", run: |seed| all_but_one_legacy(200, 100, seed) },
    Case { name: "overwritten in a network that grows", run: |seed| overwritten(&GROWING, seed) },
    Case { name: "overwritten on both sides of a cut", run: |seed| overwritten(&CUT, seed) },
    Case { name: "overwritten while nodes come and go, half-life 1 h", run: |seed| overwritten(&CHURNING, seed) },
    Case { name: "overwritten, loss 5 %", run: |seed| overwritten(&LOSING, seed) },
    Case { name: "publishers gone, 20 nodes of ours", run: |seed| afterlife(20, 0.0, None, seed) },
    Case { name: "publishers gone, 20 nodes, a tenth legacy", run: |seed| afterlife(20, 0.1, None, seed) },
    Case { name: "publishers gone, 20 nodes, half legacy", run: |seed| afterlife(20, 0.5, None, seed) },
    Case { name: "publishers gone, 50 nodes of ours that come and go", run: |seed| afterlife_under_churn(0.0, seed) },
    Case {
        name: "publishers gone, 50 nodes that come and go, a tenth legacy",
        run: |seed| afterlife_under_churn(0.1, seed),
    },
    Case {
        name: "publishers gone, 50 nodes that come and go, half legacy",
        run: |seed| afterlife_under_churn(0.5, seed),
    },
];

fn experiment(experiment: Experiment) -> Report {
    experiment.run().expect("the experiment is within its ranges")
}

/// Those that found their value; and the same without those by nodes that held it themselves, which say nothing of the others.
fn found(reads: Reads, target: f64) -> Vec<Count> {
    let Reads { found, asked, held_by_reader: held, .. } = reads;
    let count = |what, good, all| Count { what, share: Share { good, all }, target: Target::AtLeast(target) };
    vec![
        count("reads that found their value", found, asked),
        count("of those, over the network", found - held, asked - held),
    ]
}

/// Every value readable at every minute: each is read in each.
pub fn no_faults(nodes: usize, duration: Duration, seed: u64) -> Vec<Count> {
    const VALUES: usize = 20;
    let (values, reads_per_minute, lookups_per_minute) = (VALUES, VALUES, 0);
    let report = experiment(Experiment {
        nodes,
        duration,
        values,
        reads_per_minute,
        lookups_per_minute,
        seed,
        ..Experiment::default()
    });
    found(report.reads, 1.0)
}

/// Reads over lines that lose datagrams, and what becomes of the tables of nodes that all live: none of their entries is to be
/// evicted, be it while the network forms.
pub fn loss(nodes: usize, reads: usize, (loss, target): (f64, f64), seed: u64) -> Vec<Count> {
    const VALUES: usize = 100;
    run(mixed(nodes, 0.0).loss(loss), seed, async |sim| {
        let values = publish(&sim, VALUES).await;
        let mut found = Share::default();
        // Two hours, so that every bucket is refreshed.
        for n in 0..reads {
            sim.run_for(2 * HOUR / reads as u32).await;
            found.note(is_found(&sim, sim.random_node(), &values[n % VALUES].0).await);
        }
        let kept = entries_kept(&sim).await;
        vec![
            Count { what: "reads that found their value", share: found, target: Target::AtLeast(target) },
            Count { what: "table entries kept", share: kept, target: Target::AtLeast(0.99) },
        ]
    })
}

/// The table entries that ever were, from the first node on, and those of them that were not evicted: an entry that was, and came
/// back, is one that was lost and another one.
async fn entries_kept(sim: &Sim) -> Share {
    let (mut there, mut evicted) = (0, 0);
    for place in sim.places() {
        let Some(node) = sim.node(place) else { continue };
        let table = node.snapshot().await.expect("it runs").table;
        there += table.peers as u64;
        evicted += table.counters.evicted;
    }
    Share { good: there, all: there + evicted }
}

/// Reads while nodes come and go, publishers as all others.
pub fn churn(nodes: usize, duration: Duration, (half_life, target): (Duration, f64), seed: u64) -> Vec<Count> {
    let report = experiment(Experiment {
        nodes,
        duration,
        half_life: Some(half_life),
        churn_publishers: true,
        values: 100,
        lookups_per_minute: 0,
        seed,
        ..Experiment::default()
    });
    found(report.reads, target)
}

/// Nearly a third of the nodes die at once, publishers or not.
pub fn deaths(nodes: usize, values: usize, seed: u64) -> Vec<Count> {
    run(mixed(nodes, 0.0), seed, async |sim| {
        let values = publish(&sim, values).await;
        let mut places = sim.places();
        for _ in 0..nodes * 3 / 10 {
            sim.kill(places.swap_remove(sim.below(places.len())));
        }
        let mut kept = Share::default();
        for (key, _) in &values {
            kept.note(is_found(&sim, sim.random_node(), key).await);
        }
        vec![Count { what: "values kept", share: kept, target: Target::AtLeast(1.0) }]
    })
}

/// Values that were set on one side of a cut, before it and during it, are read from the other side after it.
pub fn halves(nodes: usize, values: usize, seed: u64) -> Vec<Count> {
    run(mixed(nodes, 0.0), seed, async |sim| {
        let mut published = publish(&sim, values / 2).await;
        sim.partition(0..nodes / 2);
        sim.run_for(HOUR / 2).await;
        for n in 0..values / 2 {
            let (key, writer) = (format!("meanwhile {n}"), sim.random_node());
            sim.set(writer, &key, key.as_str()).await.expect("it runs");
            published.push((key, writer));
        }
        sim.run_for(HOUR / 2).await;
        sim.heal();
        // Two refresh intervals.
        sim.run_for(2 * HOUR).await;
        let mut across = Share::default();
        for (key, writer) in &published {
            let others: Vec<usize> =
                sim.places().into_iter().filter(|place| (*place < nodes / 2) != (*writer < nodes / 2)).collect();
            across.note(is_found(&sim, others[sim.below(others.len())], key).await);
        }
        vec![Count { what: "reads across", share: across, target: Target::AtLeast(0.99) }]
    })
}

/// A small network, half legacy, in which one in ten publishes. All of its nodes hold each value, so visitors read.
pub fn half_legacy(duration: Duration, seed: u64) -> Vec<Count> {
    let report = experiment(Experiment {
        nodes: 20,
        duration,
        legacy: 0.5,
        values: 10,
        reads_per_minute: 1,
        visits_per_minute: 1,
        lookups_per_minute: 0,
        seed,
        ..Experiment::default()
    });
    let Reads { found, asked, .. } = report.visits;
    let visits = Share { good: found, all: asked };
    let mut counts = vec![Count { what: "reads by visitors", share: visits, target: Target::AtLeast(0.999) }];
    counts.extend(self::found(report.reads, 0.999).drain(..1));
    counts
}

/// What the only node of ours sets is read by legacy nodes as often as what one of them sets.
pub fn all_but_one_legacy(nodes: usize, values: usize, seed: u64) -> Vec<Count> {
    const READERS: usize = 5;
    let share = (nodes - 1) as f64 / nodes as f64;
    run(mixed(nodes, share), seed, async |sim| {
        let ours = *sim.places().first().expect("one is ours");
        let legacy = sim.places_of::<LegacyNode>().into_iter();
        let legacy: Vec<_> = legacy.filter_map(|place| sim.participant::<LegacyNode>(place)).collect();
        let (mut of_ours, mut of_theirs) = (Share::default(), Share::default());
        for n in 0..values {
            let (key, other) = (format!("ours {n}"), format!("theirs {n}"));
            sim.set(ours, &key, "value").await.expect("it runs");
            legacy[sim.below(legacy.len())].set(&other, "value").await;
            for _ in 0..READERS {
                let reader = &legacy[sim.below(legacy.len())];
                of_ours.note(reader.get(&key).await.is_some());
                of_theirs.note(reader.get(&other).await.is_some());
            }
        }
        vec![Count { what: "legacy reads of our values", share: of_ours, target: Target::Other(of_theirs) }]
    })
}

/// What happens to a network between a first value and a second one.
pub struct Overwriting {
    nodes: usize,
    loss: f64,
    half_life: Option<Duration>,
    /// So many nodes join.
    newcomers: usize,
    /// The nodes are cut in two halves meanwhile, and find together after the second value.
    cut: bool,
    target: f64,
}

const QUIET: Overwriting =
    Overwriting { nodes: 100, loss: 0.0, half_life: None, newcomers: 0, cut: false, target: 1.0 };
/// Many nodes join.
pub const GROWING: Overwriting = Overwriting { newcomers: 60, ..QUIET };
/// Both halves are cut apart.
pub const CUT: Overwriting = Overwriting { cut: true, ..QUIET };
/// Nodes come and go.
pub const CHURNING: Overwriting = Overwriting { nodes: 150, half_life: Some(HOUR), target: 0.99, ..QUIET };
/// Datagrams get lost.
pub const LOSING: Overwriting = Overwriting { loss: 0.05, target: 0.99, ..QUIET };

/// Each publisher sets another value an hour after the first, or another one if it has left. How many reads give the second
/// value, right after that and two restore intervals later.
pub fn overwritten(case: &Overwriting, seed: u64) -> Vec<Count> {
    const VALUES: usize = 20;
    const READS: usize = 200;
    let mut builder = mixed(case.nodes, 0.0).loss(case.loss);
    if let Some(half_life) = case.half_life {
        builder = builder.churn(Churn::weibull(half_life));
    }
    run(builder, seed, async |sim| {
        let key = |n: usize| format!("value {}", n % VALUES);
        let mut publishers = Vec::new();
        for n in 0..VALUES {
            publishers.push(set_by(&sim, sim.random_node(), &key(n), "first").await);
        }
        for _ in 0..case.newcomers {
            sim.join().await.expect("it starts");
        }
        if case.cut {
            sim.partition(0..case.nodes / 2);
        }
        sim.run_for(HOUR).await;
        for (n, publisher) in publishers.into_iter().enumerate() {
            set_by(&sim, publisher, &key(n), "second").await;
        }
        sim.heal();
        let mut counts = Vec::new();
        for (what, after, target) in [
            ("new values read at once", MINUTE, Target::Reported),
            ("two restore intervals later", 2 * HOUR + HOUR / 5, Target::AtLeast(case.target)),
        ] {
            sim.run_for(after).await;
            let mut share = Share::default();
            for n in 0..READS {
                let read = sim.get(sim.random_node(), &key(n)).await;
                share.note(matches!(read, Ok(GetResult::Found { value, .. }) if value == Value::from("second")));
            }
            counts.push(Count { what, share, target });
        }
        counts
    })
}

/// Lets the node at this place set a value, or another one if it has left, or leaves before its `set` has ended; which one did.
async fn set_by(sim: &Sim, mut place: usize, key: &str, value: &str) -> usize {
    loop {
        if let Some(node) = sim.node(place) {
            let is_set = node.set(key, value).await.is_ok();
            if is_set && sim.node(place).is_some_and(|there| there.id() == node.id()) {
                return place;
            }
        }
        place = sim.random_node();
    }
}

/// The same among nodes half of which have left after four hours.
fn afterlife_under_churn(legacy: f64, seed: u64) -> Vec<Count> {
    afterlife(50, legacy, Some(Churn::weibull(4 * HOUR)), seed)
}

/// How many values can still be read when their publishers have gone, a day and an hour, three days, and ten days later.
fn afterlife(nodes: usize, legacy: f64, churn: Option<Churn>, seed: u64) -> Vec<Count> {
    const VALUES: usize = 5;
    let mut builder = mixed(nodes, legacy);
    if let Some(churn) = churn {
        builder = builder.churn(churn);
    }
    run(builder, seed, async |sim| {
        for n in 0..VALUES {
            // Who leaves by himself meanwhile leaves it to another.
            let publisher = loop {
                let publisher = sim.random_node();
                if sim.set(publisher, &format!("value {n}"), "value").await.is_ok() {
                    break publisher;
                }
            };
            sim.kill(publisher);
        }
        let (mut counts, mut passed) = (Vec::new(), Duration::ZERO);
        for (what, after) in
            [("read after 25 h", 25 * HOUR), ("read after 3 days", 3 * DAY), ("read after 10 days", 10 * DAY)]
        {
            sim.run_for(after - passed).await;
            passed = after;
            let mut share = Share::default();
            for n in 0..VALUES {
                let read = sim.get(sim.random_node(), &format!("value {n}")).await;
                share.note(matches!(read, Ok(GetResult::Found { .. })));
            }
            counts.push(Count { what, share, target: Target::Reported });
        }
        counts
    })
}

fn run(builder: SimBuilder, seed: u64, story: impl AsyncFnOnce(Sim) -> Vec<Count>) -> Vec<Count> {
    Sim::run(builder.seed(seed).latency(Latency::INTERNET), story).expect("the default settings are in their ranges")
}

/// Lets random nodes publish `count` values, which are their own keys; says which places they are at.
async fn publish(sim: &Sim, count: usize) -> Vec<(String, usize)> {
    let mut published = Vec::with_capacity(count);
    for n in 0..count {
        let (key, writer) = (format!("value {n}"), sim.random_node());
        sim.set(writer, &key, key.as_str()).await.expect("it runs");
        published.push((key, writer));
    }
    published
}

async fn is_found(sim: &Sim, reader: usize, key: &str) -> bool {
    matches!(sim.get(reader, key).await, Ok(GetResult::Found { value, .. }) if value == Value::from(key))
}
