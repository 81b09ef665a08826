//! Many values of one publisher: they are renewed by regions with few lookups, many in a message, and go on where that was interrupted;
//! and what is said where they are more than can be renewed in time. In virtual time.

use std::collections::BTreeSet;
use std::time::Duration;

use kademlia_dynamic::actors::snapshot::MessageTraffic;
use kademlia_dynamic::protocol::entry::{Entry, EntryState};
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::store::Class;
use kademlia_dynamic::sim::{MemoryNetwork, Reply, ScriptedPeers, Sim, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Node, NodeId};
use tokio::time::sleep;

use crate::support::{HOUR, Lines, MINUTE, SECOND, joined_among, with_k};

/// A node that knows two peers and has set so many values.
async fn publisher(config: Config, values: usize) -> (ScriptedPeers, Node) {
    let network = MemoryNetwork::new(7);
    let peers = ScriptedPeers::new(&network, Codec::Json).with(2);
    let builder = Node::builder().config(config).bootstrap([peers.addr(0)]).seed(1);
    let node = builder.start_local_over(network.endpoint()).await.unwrap();
    for n in 0..values {
        node.set(n.to_string(), "value").await.unwrap();
    }
    peers.forget_heard();
    (peers, node)
}

/// The entries of all renewals since that was last forgotten.
fn renewed(peers: &ScriptedPeers) -> Vec<Entry> {
    let entries = |request: Request| match request {
        Request::Renew { entries } => entries.entries,
        _ => Vec::new(),
    };
    peers.heard().into_iter().flat_map(|asked| entries(asked.request)).collect()
}

/// The places that were renewed since that was last forgotten.
fn renewed_places(peers: &ScriptedPeers) -> BTreeSet<NodeId> {
    renewed(peers).iter().map(|entry| entry.place).collect()
}

/// How many messages of this name a node has sent.
async fn sent(node: &Node, name: &str) -> u64 {
    let traffic = node.snapshot().await.unwrap().traffic;
    traffic.iter().find(|row: &&MessageTraffic| row.message == name).map_or(0, |row| row.sent)
}

/// How many of the `k` nodes nearest to `key` hold a full copy, and the shortest life of one of them.
async fn copies(sim: &Sim, key: &str, k: usize) -> (usize, Duration) {
    let place = NodeId::of_key(key);
    let mut nodes: Vec<Node> = sim.places().into_iter().filter_map(|place| sim.node(place)).collect();
    nodes.sort_by_key(|node| node.id().distance(&place));
    let (mut count, mut shortest) = (0, Duration::MAX);
    for node in nodes.iter().take(k) {
        let copy = node.copy_of(key).await.unwrap();
        if let Some(copy) = copy.filter(|copy| copy.class == Class::Held) {
            (count, shortest) = (count + 1, shortest.min(copy.ttl_left));
        }
    }
    (count, shortest)
}

#[test]
fn a_thousand_values_are_renewed_at_all_of_their_places_with_a_few_lookups_and_many_in_a_message() {
    let story = async |sim: Sim| {
        let node = sim.node_builder().start_local_over(sim.network().endpoint()).await.unwrap();
        for n in 0..1_000 {
            node.set(format!("key {n}"), "value").await.unwrap();
        }
        let before = [sent(&node, "find_node").await, sent(&node, "renew").await, sent(&node, "set").await];
        sim.run_for(13 * HOUR).await;
        let after = [sent(&node, "find_node").await, sent(&node, "renew").await, sent(&node, "set").await];
        let [find_node, renew, set] = [0, 1, 2].map(|n| after[n] - before[n]);
        // Refreshes of buckets look up, too: as many as in these hours without any value.
        assert!(find_node < 6_000, "{find_node} where a lookup each would take some 30,000");
        assert!((1..=1_000).contains(&renew) && set < 200, "{renew} messages for 5,000 entries, {set} sets");
        for n in (0..1_000).step_by(100) {
            // A copy beyond the nearest, as a peer with a smaller table brings it, is not renewed: it ends.
            let (count, shortest) = copies(&sim, &format!("key {n}"), 5).await;
            assert!(count == 5 && shortest > Config::DEFAULT.values.key_expiry - 4 * HOUR, "{n}: {count} {shortest:?}");
        }
        let traffic = node.snapshot().await.unwrap().traffic;
        let renewals = traffic.iter().find(|row| row.message == "renew").unwrap();
        assert!(renewals.sent_bytes / renewals.sent <= 1_200);
    };
    // Holders restore nothing meanwhile.
    let config = Config::builder().k(5).restore_interval(24 * HOUR).build().unwrap();
    let sim = Sim::builder().nodes(60).seed(3).config(config).codec(Codec::MessagePack);
    Sim::run(sim, story).unwrap();
}

#[test]
fn a_place_that_lacks_a_value_is_sent_it_and_one_that_refuses_it_is_not() {
    for (state, sets) in [(EntryState::Lacking, 1), (EntryState::Refused, 0), (EntryState::Held, 0)] {
        in_virtual_time(async {
            let (_, peers, node) = joined_among(4, with_k(5)).await;
            node.set("key", "value").await.unwrap();
            peers.forget_heard();
            peers.on(move |asked| match &asked.request {
                Request::Renew { entries } if asked.peer == 2 => {
                    Response::Renew { states: vec![state; entries.entries.len()] }.into()
                }
                _ => Reply::Usual,
            });
            sleep(13 * HOUR).await;
            let heard = peers.heard();
            let set = |peer| {
                let of = heard.iter().filter(|asked| asked.peer == peer && asked.request.name() == "set");
                of.map(|asked| asked.query.to_string()).collect::<BTreeSet<_>>().len()
            };
            assert_eq!((set(2), set(0) + set(1) + set(3)), (sets, 0), "{state:?}");
            assert_eq!(renewed_places(&peers), BTreeSet::from([NodeId::of_key("key")]));
        });
    }
}

#[test]
fn a_peer_of_an_earlier_version_is_sent_each_value_and_no_renewal() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(4).legacy();
        let builder = Node::builder().config(with_k(5)).bootstrap([peers.addr(0)]).seed(1);
        let node = builder.start_local_over(network.endpoint()).await.unwrap();
        node.set("key", "value").await.unwrap();
        peers.forget_heard();
        sleep(13 * HOUR).await;
        let names: Vec<_> = peers.heard().iter().map(|asked| asked.request.name()).collect();
        assert_eq!(names.iter().filter(|name| **name == "renew").count(), 0);
        assert_eq!(names.iter().filter(|name| **name == "set").count(), 4);
    });
}

#[test]
fn a_pass_that_is_interrupted_goes_on_with_what_it_had_not_renewed() {
    in_virtual_time(async {
        let (peers, node) = publisher(Config::builder().k(2).build().unwrap(), 2_000).await;
        // All fall silent after a part of it.
        let mut left = 20;
        peers.on(move |asked| match asked.request {
            Request::Renew { .. } if left > 0 => {
                left -= 1;
                Reply::Usual
            }
            Request::Renew { .. } => Reply::Silence,
            _ => Reply::Usual,
        });
        sleep(13 * HOUR).await;
        peers.on(|_| Reply::Usual);
        peers.forget_heard();
        sleep(10 * MINUTE).await;
        let rest = renewed_places(&peers).len();
        assert!((1_000..2_000).contains(&rest), "{rest} of 2,000: some were renewed before");
        peers.forget_heard();
        sleep(HOUR).await;
        assert_eq!(renewed(&peers).len(), 0, "all have had their turn");
        assert_eq!(node.snapshot().await.unwrap().store.republications.due, 0);
    });
}

#[test]
fn a_pass_shows_how_far_it_is_while_it_runs() {
    in_virtual_time(async {
        let config = Config::builder().k(2).source_rate(1).build().unwrap();
        let (peers, node) = publisher(config, 2_000).await;
        let mut seen: Vec<(u64, u8)> = Vec::new();
        for _ in 0..14 * 60 {
            sleep(60 * SECOND).await;
            if let Some(pass) = node.snapshot().await.unwrap().store.pass {
                seen.push((pass.done, pass.percent));
            }
        }
        let heard = renewed(&peers).len();
        assert!(seen.len() >= 5 && seen.is_sorted(), "{seen:?} {heard}");
        assert!(seen.iter().any(|(done, percent)| *done > 0 && *done < 2_000 && *percent > 0), "{seen:?}");
        assert_eq!(node.snapshot().await.unwrap().store.pass, None);
    });
}

#[test]
fn a_publisher_of_more_than_it_can_renew_says_so_and_loses_none() {
    in_virtual_time(async {
        let (lines, _logging) = Lines::of_this_thread();
        let seconds = Duration::from_secs;
        // Four entries a second are within the rate of a peer, so a pass takes twice as long as it may.
        let config = Config::builder().k(2).source_rate(1);
        let config = config.key_expiry(seconds(1_000)).republish_interval(seconds(400)).restore_interval(seconds(100));
        let (peers, node) = publisher(config.build().unwrap(), 3_000).await;
        sleep(seconds(350)).await;
        assert_eq!(lines.that_say("published again so late"), 0, "its time has only just come");
        sleep(seconds(3_000)).await;
        let reported = lines.that_say("published again so late");
        assert!((1..=6).contains(&reported), "{reported} times in 50 minutes");
        assert!(lines.that_say("renewed_in_an_interval") > 0, "it says how many it can keep");
        assert_eq!(node.snapshot().await.unwrap().store.published.values, 3_000);
        // One that has run out is compared first, and set.
        let mut placed = renewed_places(&peers);
        placed.extend(peers.heard().iter().filter_map(|asked| match &asked.request {
            Request::Set { key, .. } => Some(NodeId::of_key(key)),
            _ => None,
        }));
        assert_eq!(placed.len(), 3_000, "each has its turn, if late");
    });
}
