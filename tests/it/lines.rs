//! How many queries lookups and publications send over long lines, and how long they take. Time is virtual, so these figures are the
//! same on every machine; `cargo bench --bench lines` measures larger networks.

use std::time::Duration;

use kademlia_dynamic::actors::outcome::{CameBack, Trace};
use kademlia_dynamic::actors::requests::SetOptions;
use kademlia_dynamic::sim::{Latency, Sim};
use kademlia_dynamic::{Codec, GetOptions, NodeId};
use tokio::time::Instant;

const NODES: usize = 200;
const SAMPLES: usize = 40;

/// What operations of one kind took.
#[derive(Default)]
struct Figures {
    took: Vec<Duration>,
    queries: Vec<usize>,
}

impl Figures {
    fn take(&mut self, took: Duration, trace: &Trace) {
        self.took.push(took);
        self.queries.push(trace.asked.len());
    }

    fn median(&mut self) -> (u128, usize) {
        self.took.sort_unstable();
        self.queries.sort_unstable();
        (self.took[self.took.len() / 2].as_millis(), self.queries[self.queries.len() / 2])
    }
}

fn assert_complete(sim: &Sim, own: &NodeId, trace: &Trace) {
    let answered = |id: &NodeId| {
        trace.asked.iter().any(|asked| asked.peer.id == *id && matches!(asked.came_back, CameBack::Peers { .. }))
    };
    let truth = sim.true_closest_for(own, &trace.target, 20);
    assert!(truth.iter().all(|peer| answered(&peer.id)), "{} of the nearest were not heard", truth.len());
}

fn absent(codec: Codec, age: Duration) -> [(u128, usize); 2] {
    let builder = Sim::builder().nodes(NODES).seed(21).codec(codec).latency(Latency::INTERNET);
    let run = Sim::run(builder, async |sim| {
        sim.run_for(age).await;
        let [mut lookups, mut reads] = [Figures::default(), Figures::default()];
        for n in 0..SAMPLES {
            let node = sim.node(sim.random_node()).unwrap();
            let began = Instant::now();
            let found = node.trace_nodes(NodeId::of_key(&format!("no node {n}"))).await.unwrap();
            lookups.take(began.elapsed(), &found.trace);
            assert_complete(&sim, &node.id(), &found.trace);
            let began = Instant::now();
            let read = node.get_with(format!("absent {n}"), GetOptions::default().trace(true)).await.unwrap();
            let trace = read.trace.unwrap();
            reads.take(began.elapsed(), &trace);
            assert_complete(&sim, &node.id(), &trace);
        }
        [lookups.median(), reads.median()]
    });
    run.unwrap()
}

#[test]
fn a_lookup_that_finds_nothing_asks_28_peers_at_most_in_the_median_and_takes_400_ms_or_550_in_json() {
    // Later than 10 minutes the tokens of the joins are outdated, and padded queries take their place.
    let later = Duration::from_secs(660);
    for (codec, age, most) in [(Codec::MessagePack, later, 400), (Codec::Json, Duration::ZERO, 550)] {
        for (took, queries) in absent(codec, age) {
            assert!(took <= most && queries <= 28, "{codec} after {age:?}: {took} ms, {queries} queries");
        }
    }
}

#[test]
fn a_second_read_of_an_absent_key_begins_from_the_nearest_and_takes_less_time() {
    let builder = Sim::builder().nodes(NODES).seed(23).codec(Codec::MessagePack).latency(Latency::INTERNET);
    let run = Sim::run(builder, async |sim| {
        let mut took = [Duration::ZERO; 2];
        let mut met_on_the_way = [0; 2];
        for n in 0..SAMPLES {
            let (key, node) = (format!("absent {n}"), sim.node(sim.random_node()).unwrap());
            for read in 0..2 {
                let began = Instant::now();
                let trace = node.get_with(&key, GetOptions::default().trace(true)).await.unwrap().trace.unwrap();
                took[read] += began.elapsed();
                assert_complete(&sim, &node.id(), &trace);
                let truth = sim.true_closest_for(&node.id(), &trace.target, 20);
                let of_truth = trace.asked.iter().filter(|asked| truth.contains(&asked.peer));
                met_on_the_way[read] += of_truth.filter(|asked| asked.hop > 1).count();
            }
            // Longer than a peer is remembered: the next node may be the same.
            sim.run_for(Duration::from_secs(301)).await;
        }
        (took, met_on_the_way)
    });
    let ([first, second], met_on_the_way) = run.unwrap();
    assert!(met_on_the_way[0] > SAMPLES && met_on_the_way[1] == 0, "{met_on_the_way:?} of the nearest");
    assert!(second < first, "{first:?}, and then {second:?}");
}

#[test]
fn a_set_with_a_quorum_returns_before_one_that_waits_for_all_and_all_of_the_nearest_hold_it_in_the_end() {
    let builder = Sim::builder().nodes(100).seed(22).codec(Codec::MessagePack).latency(Latency::INTERNET);
    Sim::run(builder, async |sim| {
        let [mut all, mut soon] = [Duration::ZERO; 2];
        for n in 0..20 {
            let node = sim.node(sim.random_node()).unwrap();
            let began = Instant::now();
            let outcome = node.set(format!("all {n}"), "value").await.unwrap();
            assert_eq!((outcome.asked, outcome.stored, outcome.pending), (20, 20, 0));
            all += began.elapsed();
            let began = Instant::now();
            let key = format!("soon {n}");
            let outcome = node.set_with(&key, "value", SetOptions::default().quorum(5)).await.unwrap();
            assert_eq!((outcome.asked, outcome.stored, outcome.silent, outcome.pending), (20, 5, 0, 15));
            soon += began.elapsed();
            sim.run_for(Duration::from_secs(2)).await;
            // The publisher's own copy is one more.
            assert_eq!(sim.copies_of(&key).await, 21);
        }
        assert!(soon < all.mul_f64(0.85), "{soon:?} of {all:?}");
        let node = sim.node(0).unwrap();
        for quorum in [0, 21] {
            assert!(node.set_with("k", "v", SetOptions::default().quorum(quorum)).await.is_err());
        }
    })
    .unwrap();
}
