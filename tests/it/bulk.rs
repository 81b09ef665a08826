//! Many values set by one node: how fast it sends to their holders, which drop what comes faster than their rates. In virtual
//! time.

use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::sim::{Latency, Sim};
use kademlia_dynamic::{Codec, Node};

/// Lets a node that has just come set so many values, in so many loops at once. Returns how many peers have stored each, how many
/// datagrams came too fast, and how many queries no answer came to.
fn set_in_loops(nodes: usize, latency: Latency, count: usize, loops: usize) -> (Vec<usize>, u64, u64) {
    let builder = Sim::builder().nodes(nodes).seed(1).codec(Codec::MessagePack).latency(latency);
    let run = Sim::run(builder, async |sim| {
        let writer = sim.node(sim.join().await.expect("there is room for one more")).expect("it lives");
        let in_a_loop = async |writer: &Node, from: usize| {
            let mut stored = Vec::new();
            for n in (from..count).step_by(loops) {
                stored.push(writer.set(format!("key {n}"), "value").await.expect("it runs").stored);
            }
            stored
        };
        let all = futures_util::future::join_all((0..loops).map(|from| in_a_loop(&writer, from))).await;
        let nodes = sim.places().into_iter().filter_map(|place| sim.node(place));
        let too_fast = nodes.map(|node| node.counters().get(Counter::TooFast)).sum();
        (all.concat(), too_fast, writer.counters().get(Counter::Silent))
    });
    run.expect("the settings are in their ranges")
}

#[test]
fn no_value_of_one_loop_or_of_eight_comes_too_fast_to_its_holders_over_long_lines() {
    for loops in [1, 8] {
        let (stored, too_fast, silent) = set_in_loops(30, Latency::INTERNET, 100, loops);
        assert_eq!((stored, too_fast, silent), (vec![20; 100], 0, 0), "{loops} loops");
    }
}

#[test]
fn values_set_one_after_another_over_short_lines_reach_all_of_their_holders_although_some_come_too_fast() {
    let (stored, _, silent) = set_in_loops(30, Latency::Constant(Duration::from_millis(1)), 300, 1);
    assert_eq!((stored, silent), (vec![20; 300], 0));
}
