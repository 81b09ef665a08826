//! Values go from hand to hand: what a node that leaves politely held stays as often as it was, and who comes nearer is
//! given what it should hold, at a bounded rate. In virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::protocol::store::Class;
use kademlia_dynamic::sim::{Asked, Latency, MemoryNetwork, Reply, ScriptedPeers, Sim, in_virtual_time};
use kademlia_dynamic::{Codec, Config, GetResult, Node, NodeId, Value};
use tokio::time::{Instant, sleep};

use crate::support::{
    SECOND, by_distance, cached_for, joined_among, joined_among_kind, requests, set, set_for, with_k,
};

/// So many keys whose place shares its first 8 bits with `id`.
fn keys_near(id: NodeId, count: usize) -> Vec<String> {
    let all = (0..).map(|n| format!("key {n}"));
    all.filter(|key| NodeId::of_key(key).common_prefix(&id) >= 8).take(count).collect()
}

/// `id` with its bits turned around from the first one that `mask` has set.
fn across(id: NodeId, mask: u8) -> NodeId {
    let mut bytes = *id.as_bytes();
    bytes[0] ^= mask;
    NodeId::from_bytes(bytes)
}

// ---- Leaving ----

/// The copies of `key` that are left, and whether it can be read, after 3 k of its holders have gone within minutes, always
/// the nearest one; the publisher first of all. Of the datagrams, `loss` get lost.
fn after_the_holders_went(politely: bool, loss: f64, config: Config, seed: u64) -> (usize, bool) {
    let many = 3 * config.lookup.k;
    let builder = Sim::builder().nodes(60).seed(seed).loss(loss).config(config);
    let run = Sim::run(builder, async |sim| {
        let publisher = sim.random_node();
        assert!(sim.set(publisher, "key", "value").await.unwrap().stored >= 5);
        let mut going = Some(publisher);
        for _ in 0..=many {
            if let Some(place) = going {
                assert!(if politely { sim.leave(place).await } else { sim.kill(place) });
            }
            sim.run_for(10 * SECOND).await;
            going = None;
            for peer in sim.true_closest(&NodeId::of_key("key"), 60) {
                let of = |place: &usize| sim.node(*place).is_some_and(|node| node.id() == peer.id);
                let place = sim.places().into_iter().find(of).unwrap();
                let copy = sim.node(place).unwrap().copy_of("key").await.unwrap();
                if copy.is_some_and(|copy| copy.class != Class::Cached) {
                    going = Some(place);
                    break;
                }
            }
        }
        let outcome = sim.get(sim.random_node(), "key").await.unwrap();
        (sim.copies_of("key").await, matches!(outcome, GetResult::Found { .. }))
    });
    run.unwrap()
}

#[test]
fn a_value_survives_the_polite_leave_of_many_more_holders_than_it_has_and_not_their_death() {
    for seed in 1..=3 {
        for loss in [0.0, 0.05] {
            let (copies, readable) = after_the_holders_went(true, loss, with_k(5), seed);
            assert!(copies >= 5 && readable, "seed {seed}, {loss} lost: {copies} copies");
        }
        assert_eq!(after_the_holders_went(false, 0.0, with_k(5), seed), (0, false), "seed {seed}");
        let silently = Config::builder().k(5).handoff_time(Duration::ZERO).build().unwrap();
        assert_eq!(after_the_holders_went(true, 0.0, silently, seed), (0, false), "seed {seed}");
    }
}

/// Answers take longer now and then, and a peer that is slow once receives no transfer. A copy may be lost by that, but none of k.
#[test]
fn over_lines_of_uneven_speed_a_leaving_node_hands_over_nearly_all_that_it_held() {
    let builder = Sim::builder().nodes(60).seed(1).latency(Latency::INTERNET).config(with_k(5));
    let run = Sim::run(builder, async |sim| {
        let (leaving, keys) = (sim.random_node(), (0..1_000).map(|n| format!("key {n}")));
        let mut held = Vec::new();
        for key in keys {
            assert!(sim.set(sim.random_node(), &key, "value").await.unwrap().stored >= 5);
            let copy = sim.node(leaving).unwrap().copy_of(&key).await.unwrap();
            if copy.is_some_and(|copy| copy.class == Class::Held) {
                held.push((sim.copies_of(&key).await, key));
            }
        }
        assert!(held.len() > 60, "it held {}", held.len());
        assert!(sim.leave(leaving).await);
        let mut fewer = 0;
        for (copies, key) in &held {
            let left = sim.copies_of(key).await;
            assert!(left >= 5, "{key}: {left} of {copies}");
            fewer += usize::from(left < *copies);
        }
        assert!(fewer * 20 <= held.len(), "{fewer} of {} values have a copy fewer", held.len());
    });
    run.unwrap();
}

/// Lets peer `n` set a value at `node`.
async fn write(peers: &ScriptedPeers, n: usize, node: &Node, key: &str, ttl: Option<u32>) {
    let answer = peers.ask(n, node.local_addr(), set_for(key, key, ttl)).await;
    assert!(matches!(answer, Ok(Response::Set { stored: true, ttl: Some(_) })), "{answer:?}");
}

#[test]
fn a_node_that_holds_nothing_or_knows_no_peer_or_is_a_client_stops_at_once() {
    in_virtual_time(async {
        let (network, peers, node) = joined_among(5, with_k(5)).await;
        let begin = Instant::now();
        node.stop().await;
        assert_eq!((begin.elapsed(), peers.heard().len()), (Duration::ZERO, 0));

        let alone = Node::builder().start_local_over(network.endpoint()).await.unwrap();
        alone.set("key", "value").await.unwrap();
        let begin = Instant::now();
        alone.stop().await;
        assert_eq!(begin.elapsed(), Duration::ZERO);

        let client = Node::builder().client(true).bootstrap([peers.addr(0)]);
        let client = client.start_local_over(network.endpoint()).await.unwrap();
        assert_eq!(client.set("key", "value").await.unwrap().stored, 5);
        peers.forget_heard();
        let begin = Instant::now();
        client.stop().await;
        assert_eq!((begin.elapsed(), peers.heard().len()), (Duration::ZERO, 0));
    });
}

#[test]
fn a_leave_takes_two_seconds_at_most_whatever_is_held_and_however_many_are_silent() {
    for silent in [false, true] {
        in_virtual_time(async {
            let (_, peers, node) = joined_among(20, with_k(5)).await;
            for key in keys_near(node.id(), 2_000) {
                write(&peers, 0, &node, &key, None).await;
            }
            peers.forget_heard();
            if silent {
                peers.on(|_| Reply::Silence);
            } else {
                peers.on(|_| Reply::Usual.after(Duration::from_millis(200)));
            }
            let begin = Instant::now();
            node.stop().await;
            assert!(begin.elapsed() <= Duration::from_millis(2_010), "{:?}", begin.elapsed());
            let heard = peers.heard();
            assert!((10..2_000).contains(&heard.len()), "{} datagrams", heard.len());
        });
    }
}

#[test]
fn what_a_leaving_node_hands_over_goes_to_one_who_lacks_it_with_the_time_that_it_has_left() {
    for legacy in [false, true] {
        in_virtual_time(async {
            let (_, peers, node) = joined_among_kind(legacy, 12, with_k(5)).await;
            let key = keys_near(node.id(), 1).remove(0);
            write(&peers, 0, &node, &key, Some(5_000)).await;
            let order = by_distance(&peers, &key);
            // The four others of the five nearest hold it, and so does the one that comes after them.
            for n in &order[..5] {
                peers.hold(*n, &key, key.as_str());
            }
            sleep(1_000 * SECOND).await;
            peers.forget_heard();
            node.stop().await;
            let given = requests(&peers, "set");
            assert_eq!(given.iter().map(|asked| asked.peer).collect::<Vec<_>>(), [order[5]], "legacy {legacy}");
            let Request::Set { ttl: Some(ttl), .. } = given[0].request else { panic!("a publication: {given:?}") };
            assert!((3_998..=4_000).contains(&ttl), "{ttl}");
        });
    }
}

#[test]
fn legacy_nodes_which_grant_a_full_day_are_not_handed_what_is_about_to_end() {
    for (legacy, given) in [(true, 0), (false, 1)] {
        in_virtual_time(async {
            let (_, peers, node) = joined_among_kind(legacy, 12, with_k(5)).await;
            let key = keys_near(node.id(), 1).remove(0);
            write(&peers, 0, &node, &key, Some(3_000)).await;
            peers.forget_heard();
            node.stop().await;
            assert_eq!(requests(&peers, "set").len(), given);
        });
    }
}

#[test]
fn a_node_that_is_about_to_stop_takes_nothing_in_any_more_and_cached_copies_go_with_it() {
    in_virtual_time(async {
        let (_, peers, node) = joined_among(12, with_k(5)).await;
        let keys = keys_near(node.id(), 2);
        write(&peers, 0, &node, &keys[0], None).await;
        let cached = cached_for(&keys[1], "v", None);
        assert_eq!(peers.ask(0, node.local_addr(), cached).await, Ok(Response::SetCached));
        peers.on(|_| Reply::Usual.after(Duration::from_millis(40)));
        peers.forget_heard();
        let late = async {
            sleep(Duration::from_millis(20)).await;
            peers.ask(0, node.local_addr(), set_for("late", "v", None)).await
        };
        let (answer, ()) = tokio::join!(late, node.stop());
        assert_eq!(answer, Ok(Response::Set { stored: false, ttl: None }), "acknowledged, and not taken");
        let handed: Vec<_> = requests(&peers, "check_store").into_iter().map(|asked| asked.request).collect();
        assert!(!handed.is_empty());
        assert!(handed.iter().all(|request| matches!(request, Request::CheckStore { key, .. } if **key == *keys[0])));
    });
}

// ---- Newcomers ----

/// How many of `asked` arrived in the busiest second.
fn busiest_second(asked: &[Asked]) -> usize {
    let within = |from: &Asked| asked.iter().filter(|asked| asked.at >= from.at && asked.at < from.at + SECOND).count();
    asked.iter().map(within).max().unwrap_or(0)
}

#[test]
fn a_newcomer_nearer_to_500_keys_is_given_them_within_seconds_and_at_250_a_second() {
    in_virtual_time(async {
        let (_, peers, node) = joined_among(12, with_k(5)).await;
        let newcomer = across(node.id(), 1);
        let keys = keys_near(newcomer, 500);
        for key in &keys {
            write(&peers, 0, &node, key, Some(5_000)).await;
        }
        let begin = Instant::now();
        let peers = peers.with_id(newcomer);
        peers.forget_heard();
        peers.ask(12, node.local_addr(), Request::Ping).await.unwrap();
        sleep(10 * SECOND).await;
        let given = requests(&peers, "set");
        assert_eq!(given.len(), 500);
        assert!(given.iter().all(|asked| asked.peer == 12), "no other peer is given anything");
        assert!(given[499].at - begin < 5 * SECOND, "{:?}", given[499].at - begin);
        // Named in batches, so that some of one second may arrive in the next.
        assert!((210..=290).contains(&busiest_second(&given)), "{}", busiest_second(&given));
        for asked in &given {
            let Request::Set { ttl: Some(ttl), .. } = asked.request else { panic!("a publication: {asked:?}") };
            assert!(ttl <= 5_000);
        }
        assert_eq!(node.counters().get(Counter::Transferred), 500);
        assert!(keys.iter().all(|key| peers.held(12, key).is_some()));
    });
}

#[test]
fn a_newcomer_takes_over_ten_thousand_values_within_a_minute() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let node = async |seed| Node::builder().seed(seed).start_local_over(network.endpoint()).await.unwrap();
        let one = node(1).await;
        let writer = ScriptedPeers::new(&network, Codec::Json).legacy().with(1);
        for number in 0..10_000 {
            let value = format!("{number:0200}");
            let stored = writer.ask(0, one.local_addr(), set(&format!("key {number}"), &value)).await;
            assert!(matches!(stored, Ok(Response::Set { stored: true, .. })), "{number}: {stored:?}");
        }
        let newcomer = node(2).await;
        let peers = newcomer.bootstrap([one.local_addr()]).await.unwrap();
        assert!(peers.joined());
        sleep(60 * SECOND).await;
        assert_eq!(newcomer.snapshot().await.unwrap().store.held.values, 10_000);
    });
}

#[test]
fn a_newcomer_that_holds_the_values_already_is_sent_none_of_them() {
    for legacy in [false, true] {
        in_virtual_time(async {
            let (_, peers, node) = joined_among_kind(legacy, 12, with_k(5)).await;
            let newcomer = across(node.id(), 1);
            let peers = peers.with_id(newcomer);
            for key in keys_near(newcomer, 50) {
                write(&peers, 0, &node, &key, None).await;
                peers.hold(12, &key, key.as_str());
            }
            peers.forget_heard();
            peers.ask(12, node.local_addr(), Request::Ping).await.unwrap();
            sleep(10 * SECOND).await;
            let asked =
                if legacy { requests(&peers, "check_store").len() } else { 25 * requests(&peers, "renew").len() };
            assert!((50..=75).contains(&asked), "{asked}");
            assert_eq!(requests(&peers, "set").len(), 0);
        });
    }
}

#[test]
fn a_newcomer_gets_nothing_from_a_node_that_is_not_the_nearest_holder_or_whose_rate_is_zero() {
    in_virtual_time(async {
        let silent = Config::builder().k(5).handoff_rate(0).build().unwrap();
        for (config, nearer, given) in [(with_k(5), false, 50), (with_k(5), true, 0), (silent, false, 0)] {
            let (_, peers, node) = joined_among(4, config).await;
            let newcomer = across(node.id(), 1);
            let peers = if nearer { peers.with_id(across(newcomer, 2)).with_id(newcomer) } else { peers };
            let peers = if nearer { peers } else { peers.with_id(across(node.id(), 0x80)).with_id(newcomer) };
            peers.ask(4, node.local_addr(), Request::Ping).await.unwrap();
            sleep(5 * SECOND).await;
            // These keys are nearer to peer 4 than to the node, where there is such a peer.
            let keys = keys_near(if nearer { across(newcomer, 2) } else { newcomer }, 50);
            for key in &keys {
                write(&peers, 0, &node, key, None).await;
            }
            peers.forget_heard();
            peers.ask(5, node.local_addr(), Request::Ping).await.unwrap();
            sleep(10 * SECOND).await;
            assert_eq!(requests(&peers, "set").len(), given);
        }
    });
}

#[test]
fn a_newcomer_that_dies_is_given_up_and_one_at_a_global_address_gets_no_more_than_its_rate_limit_bears() {
    in_virtual_time(async {
        let (_, peers, node) = joined_among(12, with_k(5)).await;
        let newcomer = across(node.id(), 1);
        for key in keys_near(newcomer, 500) {
            write(&peers, 0, &node, &key, None).await;
        }
        let peers = peers.with_id(newcomer);
        peers.on(|asked| match asked.request {
            Request::CheckStore { .. } => Reply::Silence,
            _ => Reply::Usual,
        });
        peers.forget_heard();
        peers.ask(12, node.local_addr(), Request::Ping).await.unwrap();
        sleep(60 * SECOND).await;
        // Each is sent again, as any query is.
        let heard = requests(&peers, "check_store");
        let queries: BTreeSet<String> = heard.iter().map(|asked| asked.query.to_string()).collect();
        assert!(queries.len() <= 2 * 64 && heard.len() <= 3 * queries.len(), "{} of {}", heard.len(), queries.len());
    });
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let node = Node::builder().config(with_k(5)).start_local_over(network.endpoint()).await.unwrap();
        for key in keys_near(node.id(), 100) {
            node.set(key, "value").await.unwrap();
        }
        let peers = ScriptedPeers::new(&network, Codec::Json).with_id(across(node.id(), 1));
        peers.ask(0, node.local_addr(), Request::Ping).await.unwrap();
        sleep(30 * SECOND).await;
        let given = requests(&peers, "set");
        assert_eq!(given.len(), 100);
        // 50 datagrams a second, of which a `check_store` counts one, and a `set` four.
        assert!((6..=10).contains(&busiest_second(&given)), "{}", busiest_second(&given));
    });
}

#[test]
fn a_storm_of_newcomers_with_ids_of_their_choice_gets_no_more_than_four_times_the_rate() {
    in_virtual_time(async {
        let (_, peers, node) = joined_among(4, with_k(20)).await;
        let keys = keys_near(node.id(), 400);
        for key in &keys {
            write(&peers, 0, &node, key, None).await;
        }
        // 200 strangers, all as near as the keys, in two waves.
        let mut peers = peers;
        peers.forget_heard();
        for wave in 0..2u8 {
            for n in 0..100u8 {
                let mut id = *node.id().as_bytes();
                (id[1], id[2]) = (n, wave);
                peers = peers.with_id(NodeId::from_bytes(id));
            }
            for n in 0..100 {
                let of = 4 + 100 * usize::from(wave) + n;
                peers.tell(
                    of,
                    Some(peers.id(of)),
                    node.local_addr(),
                    kademlia_dynamic::protocol::message::Body::Request(Request::Ping),
                );
            }
            sleep(5 * SECOND).await;
        }
        sleep(20 * SECOND).await;
        let mut by_second: BTreeMap<u64, usize> = BTreeMap::new();
        let begin = peers.heard()[0].at;
        for asked in requests(&peers, "renew") {
            let Request::Renew { entries } = &asked.request else { panic!("another query: {asked:?}") };
            *by_second.entry((asked.at - begin).as_secs()).or_default() += entries.entries.len();
        }
        let busiest = by_second.values().max().copied().unwrap_or(0);
        assert!((500..=1_100).contains(&busiest), "{by_second:?}");
    });
}

#[test]
fn among_nodes_each_key_is_given_once_reads_find_it_and_no_copy_outlives_its_publication() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(3);
        let mut nodes: Vec<Node> = Vec::new();
        for number in 0..16u64 {
            let contacts: Vec<_> = nodes.first().map(Node::local_addr).into_iter().collect();
            let builder =
                Node::builder().config(with_k(5)).seed(number).node_id(NodeId::of_key(&format!("node {number}")));
            nodes.push(builder.bootstrap(contacts).start_local_over(network.endpoint()).await.unwrap());
            sleep(3 * SECOND).await;
        }
        let newcomer = NodeId::of_key("the newcomer");
        let keys = keys_near(newcomer, 500);
        let published = Instant::now();
        for key in &keys {
            assert!(nodes[0].set(key, key.as_str()).await.unwrap().stored >= 5);
        }
        let all_set = Instant::now();
        let given = |nodes: &[Node]| nodes.iter().map(|node| node.counters().get(Counter::Transferred)).sum::<u64>();
        let before = given(&nodes);
        let builder = Node::builder().config(with_k(5)).seed(99).node_id(newcomer).bootstrap([nodes[3].local_addr()]);
        let node = builder.start_local_over(network.endpoint()).await.unwrap();
        sleep(10 * SECOND).await;
        let given = given(&nodes) - before;
        assert!((500..=510).contains(&given), "each key once: {given}");
        for key in &keys {
            let copy = node.copy_of(key).await.unwrap().unwrap();
            assert_eq!(copy.class, Class::Held);
            let ends = Instant::now() + copy.ttl_left;
            assert!(ends <= all_set + Config::default().values.key_expiry && ends > published, "{key}: {copy:?}");
        }
        // All who held them before have gone, and said nothing.
        for gone in nodes.drain(..).take(14) {
            network.remove(gone.local_addr());
        }
        for key in keys.iter().step_by(25) {
            assert_eq!(node.get(key).await.unwrap(), Some(Value::from(key.as_str())));
        }
    });
}
