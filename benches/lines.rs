//! How long operations take over long lines, in virtual time: 40 ms one way in the median, log-normal with sigma 0.5, as between
//! continents. `cargo bench --bench lines` prints a table with the targets, and fails where one is missed. Options: `--nodes`
//! (1,000), `--samples` (300), `--seed` (1), `--age` (seconds that pass between the end of the joins and the first operation, 0);
//! further arguments take the rows whose names contain one of them: `cargo bench --bench lines -- --nodes 10000 MessagePack`.
//! One seed gives the same figures on every machine.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use kademlia_dynamic::actors::outcome::{CameBack, Trace};
use kademlia_dynamic::sim::{Churn, Latency, Sim, SimBuilder};
use kademlia_dynamic::{Codec, GetOptions, NodeId, SetOptions};
use tokio::time::Instant;

/// Nodes of the rows with dead peers, and of those with sessions: the sizes at which they were measured first.
const WITH_DEAD: usize = 120;
const WITH_SESSIONS: usize = 300;
const HOUR: Duration = Duration::from_secs(3_600);
/// What keys that are set before they are read begin with.
const PRESENT: &str = "present";

/// The most that a row may show; `None` is not bounded.
#[derive(Clone, Copy, Default)]
struct Target {
    median: Option<u64>,
    p99: Option<u64>,
    queries: Option<usize>,
}

const fn target(median: u64, p99: Option<u64>, queries: Option<usize>) -> Target {
    Target { median: Some(median), p99, queries }
}

/// What the operations of one row took.
#[derive(Default)]
struct Row {
    millis: Vec<f64>,
    queries: Vec<usize>,
    /// The true nearest among those that answered, and how many there were to find.
    recall: (usize, usize),
}

impl Row {
    fn take(&mut self, took: Duration, queries: usize) {
        self.millis.push(took.as_secs_f64() * 1e3);
        self.queries.push(queries);
    }

    fn take_traced(&mut self, sim: &Sim, own: &NodeId, took: Duration, trace: &Trace) {
        self.take(took, trace.asked.len());
        let truth = sim.true_closest_for(own, &trace.target, 20);
        let answered = trace.asked.iter().filter(|asked| matches!(asked.came_back, CameBack::Peers { .. }));
        let answered: Vec<_> = answered.map(|asked| asked.peer).collect();
        self.recall.0 += truth.iter().filter(|peer| answered.contains(peer)).count();
        self.recall.1 += truth.len();
    }
}

fn quantile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    sorted.get(((sorted.len().saturating_sub(1)) as f64 * share).round() as usize).copied()
}

/// What is measured, and of what size.
struct Options {
    nodes: usize,
    samples: usize,
    seed: u64,
    age: Duration,
    wanted: Vec<String>,
    missed: usize,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|part| name.contains(part.as_str()))
    }

    /// Ten times as many nodes are another hop away.
    fn larger(&self, target: Target) -> Target {
        let more = if self.nodes > 1_000 { 100 } else { 0 };
        Target { median: target.median.map(|ms| ms + more), p99: target.p99.map(|ms| ms + more), ..target }
    }

    fn network(&self, nodes: usize, codec: Codec) -> SimBuilder {
        Sim::builder().nodes(nodes).seed(self.seed).codec(codec).latency(Latency::INTERNET)
    }

    fn print(&mut self, name: &str, mut row: Row, target: Target) -> io::Result<()> {
        if !self.wants(name) {
            return Ok(());
        }
        row.millis.sort_by(f64::total_cmp);
        row.queries.sort_unstable();
        // A row that is not measured is not reached.
        let measured = row.millis.len();
        let figures = [quantile(&row.millis, 0.5), quantile(&row.millis, 0.99)].map(Option::unwrap_or_default);
        let queries = quantile(&row.queries, 0.5).unwrap_or_default();
        let most = row.queries.last().copied().unwrap_or_default();
        let mut missed = target.queries.is_some_and(|target| queries > target) || measured < self.samples;
        let bounded: Vec<String> = figures
            .iter()
            .zip([target.median, target.p99])
            .map(|(figure, target)| {
                missed |= target.is_some_and(|target| *figure > target as f64);
                target.map_or("–".to_owned(), |target| format!("≤ {target} ({:.2})", figure / target as f64))
            })
            .collect();
        let recall = match row.recall {
            (_, 0) => "–".to_owned(),
            (found, all) => format!("{:.2} %", found as f64 / all as f64 * 100.0),
        };
        let at_most = target.queries.map_or("–".to_owned(), |most| format!("≤ {most}"));
        self.missed += usize::from(missed);
        writeln!(
            io::stdout(),
            "| {name} | {:.0} / {:.0} | {} / {} | {queries}, {most} at most | {at_most} | {recall} |{}",
            figures[0],
            figures[1],
            bounded[0],
            bounded[1],
            match missed {
                true if measured < self.samples => format!(" **{measured} of {} samples**", self.samples),
                true => " **missed**".to_owned(),
                false => String::new(),
            },
        )
    }
}

/// Lets random nodes look for ids that no node has.
async fn lookups(sim: &Sim, samples: usize) -> Row {
    let mut row = Row::default();
    for n in 0..samples {
        let Some(node) = sim.node(sim.random_node()) else { continue };
        let began = Instant::now();
        let Ok(found) = node.trace_nodes(NodeId::of_key(&format!("no node {n}"))).await else { continue };
        row.take_traced(sim, &node.id(), began.elapsed(), &found.trace);
    }
    row
}

/// Lets random nodes read keys that begin like this, each of those that do not hold it. One that does not find what was set is no sample.
async fn reads(sim: &Sim, keys: &str, samples: usize) -> Row {
    let mut row = Row::default();
    for n in 0..samples {
        let key = format!("{keys} {n}");
        let mut node = sim.node(sim.random_node());
        while let Some(holder) = &node
            && holder.copy_of(&key).await.is_ok_and(|copy| copy.is_some())
        {
            node = sim.node(sim.random_node());
        }
        let Some(node) = node else { continue };
        let began = Instant::now();
        let options = GetOptions::default().trace(true);
        let Ok(read) = node.get_with(&key, options).await else { continue };
        let Some(trace) = read.trace else { continue };
        if trace.asked.iter().any(|asked| asked.came_back == CameBack::Value) {
            row.take(began.elapsed(), trace.asked.len());
        } else if keys != PRESENT {
            row.take_traced(sim, &node.id(), began.elapsed(), &trace);
        }
    }
    row
}

/// Lets random nodes read keys that were never set, each twice, and measures the second read.
async fn reads_again(sim: &Sim, keys: &str, samples: usize) -> Row {
    let mut row = Row::default();
    for n in 0..samples {
        let key = format!("{keys} {n}");
        let Some(node) = sim.node(sim.random_node()) else { continue };
        let options = GetOptions::default().trace(true);
        let Ok(_) = node.get_with(&key, options).await else { continue };
        let began = Instant::now();
        let Ok(read) = node.get_with(&key, options).await else { continue };
        let Some(trace) = read.trace else { continue };
        row.take_traced(sim, &node.id(), began.elapsed(), &trace);
    }
    row
}

/// Lets random nodes set keys that begin like this, and counts the holders at which they return as queries.
async fn sets(sim: &Sim, keys: &str, samples: usize, options: SetOptions) -> Row {
    let mut row = Row::default();
    for n in 0..samples {
        let Some(node) = sim.node(sim.random_node()) else { continue };
        let began = Instant::now();
        let Ok(set) = node.set_with(&format!("{keys} {n}"), "value", options).await else { continue };
        row.take(began.elapsed(), set.stored);
    }
    row
}

fn main() -> io::Result<ExitCode> {
    let mut options =
        Options { nodes: 1_000, samples: 300, seed: 1, age: Duration::ZERO, wanted: Vec::new(), missed: 0 };
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|text| text.parse().ok());
        let parsed = match arg.as_str() {
            "--nodes" => number().map(|nodes: u64| options.nodes = nodes as usize),
            "--samples" => number().map(|samples| options.samples = samples as usize),
            "--seed" => number().map(|seed| options.seed = seed),
            "--age" => number().map(|age| options.age = Duration::from_secs(age)),
            _ => {
                options.wanted.push(arg.clone());
                Some(())
            }
        };
        if parsed.is_none() {
            writeln!(io::stderr(), "{arg} takes a number")?;
            return Ok(ExitCode::from(2));
        }
    }
    let Options { nodes, samples, seed, age, .. } = options;
    let mut out = io::stdout();
    writeln!(out, "{nodes} nodes, {samples} samples a row, seed {seed}, {} s old", age.as_secs())?;
    writeln!(out, "| operation | median / p99, ms | target (ratio) | queries (holders), median | target | recall |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for (codec, name, absent) in [
        (Codec::MessagePack, "MessagePack", target(400, Some(650), Some(28))),
        (Codec::Json, "JSON", target(550, Some(850), Some(28))),
        (Codec::Bencode, "bencode", target(550, Some(850), Some(28))),
    ] {
        still(&mut options, codec, name, absent)?;
    }
    with_dead(&mut options)?;
    with_sessions(&mut options)?;
    Ok(if options.missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The rows of a network in which all live.
fn still(options: &mut Options, codec: Codec, name: &str, absent: Target) -> io::Result<()> {
    let of_set = |median| if codec == Codec::MessagePack { target(median, None, None) } else { Target::default() };
    let rows: [(&str, Target); 5] = [
        ("lookup of an id that no node has", options.larger(absent)),
        ("`get` of an absent key", options.larger(absent)),
        ("`set`, all k acknowledged", options.larger(of_set(600))),
        ("`set` that returns with the 5th holder", options.larger(of_set(420))),
        ("`get` of the same absent key again", options.larger(absent)),
    ];
    let names = rows.map(|(row, _)| format!("{row}, {name}"));
    if !names.iter().any(|row| options.wants(row)) {
        return Ok(());
    }
    let (samples, age) = (options.samples, options.age);
    let run = Sim::run(options.network(options.nodes, codec), async |sim| {
        sim.run_for(age).await;
        let all = SetOptions::default();
        [
            lookups(&sim, samples).await,
            reads(&sim, "absent", samples).await,
            sets(&sim, "set", samples, all).await,
            sets(&sim, "set soon", samples, all.quorum(5)).await,
            reads_again(&sim, "absent twice", samples).await,
        ]
    });
    let measured = run.expect("the settings are in their ranges");
    for ((row, name), (_, target)) in measured.into_iter().zip(&names).zip(rows) {
        options.print(name, row, target)?;
    }
    Ok(())
}

/// The rows of a network of which a fifth dies.
fn with_dead(options: &mut Options) -> io::Result<()> {
    let names =
        ["`get` of a present key, a fifth of the peers dead", "`get` of an absent key, a fifth of the peers dead"];
    if !names.iter().any(|name| options.wants(name)) {
        return Ok(());
    }
    let (samples, age) = (options.samples, options.age);
    let run = Sim::run(options.network(WITH_DEAD, Codec::MessagePack), async |sim| {
        for n in 0..samples {
            let _ = sim.set(sim.random_node(), &format!("{PRESENT} {n}"), "value").await;
        }
        sim.run_for(age).await;
        let mut dying = WITH_DEAD / 5;
        while dying > 0 {
            dying -= usize::from(sim.kill(sim.below(WITH_DEAD)));
        }
        let present = reads(&sim, PRESENT, samples).await;
        [present, reads(&sim, "absent", samples).await]
    });
    let targets = [target(75, Some(250), None), target(2_300, Some(2_700), None)];
    let measured = run.expect("the settings are in their ranges");
    for ((row, name), target) in measured.into_iter().zip(names).zip(targets) {
        options.print(name, row, target)?;
    }
    Ok(())
}

/// The rows of a network whose nodes come and go.
fn with_sessions(options: &mut Options) -> io::Result<()> {
    let names = [
        "lookup of an id that no node has, sessions with a half-life of 1 h",
        "`get` of an absent key, sessions with a half-life of 1 h",
    ];
    if !names.iter().any(|name| options.wants(name)) {
        return Ok(());
    }
    let samples = options.samples;
    let builder = options.network(WITH_SESSIONS, Codec::MessagePack).churn(Churn::weibull(HOUR));
    let run = Sim::run(builder, async |sim| {
        sim.run_for(2 * HOUR).await;
        let mut rows = [Row::default(), Row::default()];
        for n in 0..samples {
            let Some(node) = sim.node(sim.random_node()) else { continue };
            let began = Instant::now();
            if let Ok(found) = node.trace_nodes(NodeId::of_key(&format!("no node {n}"))).await {
                rows[0].take_traced(&sim, &node.id(), began.elapsed(), &found.trace);
            }
            let began = Instant::now();
            let options = GetOptions::default().trace(true);
            if let Ok(read) = node.get_with(&format!("absent {n}"), options).await
                && let Some(trace) = read.trace
            {
                rows[1].take_traced(&sim, &node.id(), began.elapsed(), &trace);
            }
            sim.run_for(Duration::from_secs(20)).await;
        }
        rows
    });
    let targets = [target(2_300, None, None), Target::default()];
    for ((row, name), target) in run.expect("the settings are in their ranges").into_iter().zip(names).zip(targets) {
        options.print(name, row, target)?;
    }
    Ok(())
}
