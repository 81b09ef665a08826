//! How long reads take where a fifth of the peers in the tables is dead, against the same network with all of them alive.
//! Time is virtual, so these durations are the same on every machine.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kademlia_dynamic::actors::outcome::{CameBack, Trace};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::sim::{Latency, Sim};
use kademlia_dynamic::{Codec, GetOptions, NodeId};
use tokio::time::Instant;

const NODES: usize = 80;
const READS: usize = 100;
const INTERNET: Latency = Latency::LogNormal { median: Duration::from_millis(40), sigma: 0.5 };
const LAN: Latency = Latency::Constant(Duration::from_millis(20));

/// Figures of reads.
#[derive(Debug, Default)]
struct Figures {
    /// Shortest first.
    took: Vec<Duration>,
    queries: usize,
    silent: usize,
    found: usize,
    recall: f64,
}

impl Figures {
    fn take(&mut self, took: Duration, trace: &Trace) {
        let at = self.took.partition_point(|other| *other <= took);
        self.took.insert(at, took);
        self.queries += trace.asked.len();
        self.silent += trace.asked.len() - answered(trace).count();
        self.found += usize::from(trace.asked.iter().any(|asked| asked.came_back == CameBack::Value));
    }

    fn quantile(&self, quantile: f64) -> Duration {
        self.took[((self.took.len() - 1) as f64 * quantile).round() as usize]
    }

    fn per_read(&self, count: usize) -> f64 {
        count as f64 / self.took.len() as f64
    }

    fn print(&self, what: &str) {
        let ms = |quantile| self.quantile(quantile).as_millis();
        println!(
            "{what:28} p50 {:5} p99 {:5} max {:5} ms, {:5.2} queries, {:4.2} silent, {:.2} found, recall {:.4}",
            ms(0.5),
            ms(0.99),
            ms(1.0),
            self.per_read(self.queries),
            self.per_read(self.silent),
            self.per_read(self.found),
            self.recall / self.took.len() as f64,
        );
    }
}

fn answered(trace: &Trace) -> impl Iterator<Item = NodeId> {
    let answered =
        trace.asked.iter().filter(|asked| matches!(asked.came_back, CameBack::Peers { .. } | CameBack::Value));
    answered.map(|asked| asked.peer.id)
}

/// Lets a node read; `None` where it held the key itself.
async fn read(sim: &Sim, place: usize, key: &str) -> Option<(Duration, Arc<Trace>)> {
    let began = Instant::now();
    let traced = sim.node(place).unwrap().get_with(key, GetOptions::default().trace(true)).await.unwrap();
    Some((began.elapsed(), traced.trace?))
}

/// Lets random nodes read `keys`.
async fn reads(sim: &Sim, keys: &[String]) -> Figures {
    let mut figures = Figures::default();
    for key in keys {
        let place = sim.random_node();
        let Some((took, trace)) = read(sim, place, key).await else { continue };
        figures.take(took, &trace);
        let own = sim.node(place).unwrap().id();
        let truth = sim.true_closest_for(&own, &NodeId::of_key(key), 20);
        let found: HashSet<NodeId> = answered(&trace).collect();
        figures.recall += truth.iter().filter(|peer| found.contains(&peer.id)).count() as f64 / truth.len() as f64;
    }
    figures
}

/// The share of entries in the tables of all that live whose peer is dead.
async fn dead_in_tables(sim: &Sim) -> f64 {
    let living: HashSet<NodeId> = sim.true_closest(&NodeId::ZERO, sim.len()).iter().map(|peer| peer.id).collect();
    let (mut entries, mut dead) = (0, 0);
    for place in sim.places() {
        let table = sim.node(place).unwrap().snapshot().await.unwrap().table;
        for entry in table.buckets.iter().flat_map(|bucket| &bucket.peers) {
            entries += 1;
            dead += usize::from(!living.contains(&entry.peer.id));
        }
    }
    f64::from(dead as u32) / f64::from(entries)
}

fn keys(of: &str) -> Vec<String> {
    (0..READS).map(|n| format!("{of} {n}")).collect()
}

/// Reads in one network, first while all nodes live, then after a fifth of them has died: in each state, of keys that were
/// set before, and of keys that were not. No key is read in both states, since reads leave copies.
fn alive_and_ill(latency: Latency) -> [[Figures; 2]; 2] {
    let run = Sim::run(Sim::builder().nodes(NODES).seed(11).codec(Codec::MessagePack).latency(latency), async |sim| {
        let present = ["present", "still present"].map(keys);
        for key in present.iter().flatten() {
            sim.set(sim.random_node(), key, "value").await.unwrap();
        }
        let healthy = [reads(&sim, &present[0]).await, reads(&sim, &keys("absent")).await];
        let mut dying = NODES / 5;
        while dying > 0 {
            dying -= usize::from(sim.kill(sim.below(NODES)));
        }
        [healthy, [reads(&sim, &present[1]).await, reads(&sim, &keys("still absent")).await]]
    });
    run.unwrap()
}

/// Within this a read that finds nothing ends where a fifth of the peers is dead: the query timeout, and the round in which
/// those that are silent were asked.
const ABSENT_MEDIAN: Duration = Duration::from_millis(2_300);
const ABSENT_P99: Duration = Duration::from_millis(2_700);

#[test]
fn with_a_fifth_of_the_peers_dead_a_read_that_finds_takes_at_most_twice_as_long_and_none_waits_for_two_timeouts_in_a_row()
 {
    for latency in [INTERNET, LAN] {
        let [healthy, ill] = alive_and_ill(latency);
        for ((healthy, ill), keys) in healthy.iter().zip(&ill).zip(["present", "absent"]) {
            healthy.print(&format!("{keys}, all alive"));
            ill.print(&format!("{keys}, a fifth dead"));
            assert_eq!(healthy.found, if keys == "present" { healthy.took.len() } else { 0 });
            assert_eq!(ill.found, if keys == "present" { ill.took.len() } else { 0 });
        }
        let [[healthy_present, healthy_absent], [ill_present, ill_absent]] = [&healthy, &ill];
        assert!(ill_present.quantile(0.5) <= 2 * healthy_present.quantile(0.5), "{latency:?}: the median");
        assert!(ill_present.quantile(0.99) <= 5 * healthy_present.quantile(0.99), "{latency:?}: the 99th percentile");
        assert!(
            healthy_absent.quantile(1.0) < Config::DEFAULT.lookup.query_timeout,
            "{latency:?}: no peer is waited for in vain"
        );
        assert!(ill_absent.quantile(0.5) <= ABSENT_MEDIAN, "{latency:?}: {:?}", ill_absent.quantile(0.5));
        assert!(ill_absent.quantile(0.99) <= ABSENT_P99, "{latency:?}: {:?}", ill_absent.quantile(0.99));
        let [[_, healthy], [_, ill]] = [healthy, ill];
        assert_eq!(healthy.recall, healthy.took.len() as f64);
        assert!(healthy.per_read(healthy.queries) < 26.0, "k, the way there, and one more for each that is slow");
        // A peer that names 20 peers of which 4 are dead names 16 living ones, so some are not heard of.
        assert!(ill.recall >= 0.95 * ill.took.len() as f64);
        assert!(ill.per_read(ill.queries) < 1.4 * healthy.per_read(healthy.queries));
    }
}

#[test]
fn a_node_that_has_met_the_dead_once_asks_them_first_and_waits_for_them_together() {
    let again = |dead| {
        let builder = Sim::builder().nodes(NODES).seed(12).codec(Codec::MessagePack).latency(INTERNET).dead(dead);
        let run = Sim::run(builder, async |sim| {
            let in_tables = dead_in_tables(&sim).await;
            assert!((in_tables - dead).abs() < 0.05, "{in_tables} of the entries are of dead peers, not {dead}");
            let [mut first, mut second] = [Figures::default(), Figures::default()];
            for key in &keys("absent")[..READS / 3] {
                let place = sim.random_node();
                for figures in [&mut first, &mut second] {
                    let (took, trace) = read(&sim, place, key).await.unwrap();
                    figures.take(took, &trace);
                    // By then all silence has been noticed.
                    sim.run_for(Config::DEFAULT.lookup.query_timeout).await;
                }
            }
            first.print(&format!("{dead} dead, first time"));
            second.print(&format!("{dead} dead, once more"));
            second
        });
        run.unwrap()
    };
    let (healthy, ill) = (again(0.0), again(0.2));
    assert!(ill.silent > 3 * ill.took.len(), "they are asked nevertheless");
    assert!(
        ill.quantile(0.5) <= Config::DEFAULT.lookup.query_timeout + healthy.quantile(0.5) / 2,
        "{:?}",
        ill.quantile(0.5)
    );
    assert!(ill.quantile(0.5) <= ABSENT_MEDIAN && ill.quantile(0.99) <= ABSENT_P99, "{:?}", ill.quantile(0.99));
}
