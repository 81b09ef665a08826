//! Stories of whole networks in virtual time, on a network in memory: what keeps values readable for a week, through
//! outages and churn, and that a run can be repeated.

use std::net::SocketAddr;
use std::time::Duration;

use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::sim::{INBOX, Latency, Link, MemoryNetwork, in_virtual_time};
use kademlia_dynamic::{Codec, Config, GetOptions, GetResult, Node, NodeId, Value};
use tokio::time::{Instant, sleep};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn internet() -> Link {
    Link::new(Latency::LogNormal { median: Duration::from_millis(40), sigma: 0.5 })
}

/// A node of the run `seed`, whose id and chances come from its number.
async fn node(network: &MemoryNetwork, seed: u64, number: u64, contacts: &[SocketAddr], config: &Config) -> Node {
    let mut entropy = SeededEntropy::new(seed.wrapping_mul(1_000_003) + number);
    let mut id = [0; 20];
    entropy.fill(&mut id);
    Node::builder()
        .node_id(NodeId::from_bytes(id))
        .seed(entropy.next_u64())
        .codec(Codec::MessagePack)
        .config(config.clone())
        .bootstrap(contacts)
        .start_local_over(network.endpoint())
        .await
        .expect("a node starts")
}

async fn nodes(network: &MemoryNetwork, seed: u64, count: u64, config: &Config) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for number in 0..count {
        let contacts: Vec<SocketAddr> = nodes.first().map(Node::local_addr).into_iter().collect();
        nodes.push(node(network, seed, number, &contacts, config).await);
    }
    nodes
}

fn pick<'a, T>(entropy: &mut SeededEntropy, of: &'a [T]) -> &'a T {
    &of[entropy.below(of.len() as u64) as usize]
}

// ---- The network ----

/// Six nodes that publish, read, reconcile and republish over a bad network for 13 hours.
fn run(seed: u64) -> (u64, u64) {
    in_virtual_time(async {
        let network = MemoryNetwork::new(seed)
            .with_scope(AddressScope::Global)
            .with_link(internet().with_loss(0.05).with_duplication(0.05));
        let nodes = nodes(&network, seed, 6, &Config::default()).await;
        for (n, node) in nodes.iter().enumerate() {
            let outcome = node.set(format!("key {n}"), format!("value {n}")).await.expect("it can be set");
            assert!(outcome.stored > 0, "{outcome:?}");
        }
        sleep(13 * HOUR).await;
        for (n, node) in nodes.iter().rev().enumerate() {
            assert!(matches!(node.get(format!("key {n}")).await, Ok(Some(_))));
        }
        (network.trace_hash(), network.counters().sent)
    })
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_bit_and_another_seed_another() {
    let (first, second, other) = (run(1), run(1), run(2));
    assert!(first.1 > 1_000, "only {} datagrams were compared", first.1);
    assert_eq!(first, second);
    assert_ne!(first.0, other.0);
}

#[test]
fn a_link_loses_and_doubles_the_part_that_it_should() {
    in_virtual_time(async {
        let link = Link::default().with_loss(0.2).with_duplication(0.1);
        let network = MemoryNetwork::new(3).with_link(link);
        let (here, there) = (network.endpoint(), network.endpoint());
        let mut received = 0;
        for _ in 0..100 {
            for _ in 0..100 {
                assert!(here.send(there.addr(), vec![1, 2, 3]));
            }
            sleep(Duration::from_millis(2)).await;
            received += std::iter::from_fn(|| there.try_receive()).count();
        }
        let counters = network.counters();
        assert_eq!(counters.sent, 10_000);
        assert!((1_900..2_100).contains(&counters.lost), "{counters:?}");
        assert!((700..900).contains(&counters.duplicated), "a tenth of what was not lost: {counters:?}");
        assert_eq!(counters.delivered, received as u64);
        assert_eq!(counters.sent + counters.duplicated, counters.delivered + counters.lost);
    });
}

#[test]
fn datagrams_overtake_each_other_where_the_latency_varies_and_only_there() {
    let order = |latency| {
        in_virtual_time(async {
            let network = MemoryNetwork::new(4).with_link(Link::new(latency));
            let (here, there) = (network.endpoint(), network.endpoint());
            for n in 0..100 {
                here.send(there.addr(), vec![n]);
            }
            sleep(Duration::from_secs(1)).await;
            std::iter::from_fn(|| there.try_receive()).map(|datagram| datagram.payload[0]).collect::<Vec<u8>>()
        })
    };
    let sent: Vec<u8> = (0..100).collect();
    assert_eq!(order(Latency::Constant(Duration::from_micros(50))), sent);
    let mut shuffled = order(Latency::Uniform { min: Duration::ZERO, max: Duration::from_millis(100) });
    assert_ne!(shuffled, sent);
    shuffled.sort();
    assert_eq!(shuffled, sent);
}

#[test]
fn a_latency_is_what_passes_between_sending_and_receiving() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(5).with_link(Link::new(Latency::Constant(Duration::from_millis(250))));
        let (here, there) = (network.endpoint(), network.endpoint());
        let sent = Instant::now();
        here.send(there.addr(), b"hello".to_vec());
        let datagram = there.receive().await;
        assert_eq!((datagram.addr, datagram.payload.as_slice()), (here.addr(), b"hello".as_slice()));
        assert_eq!(sent.elapsed(), Duration::from_millis(250));
    });
}

#[test]
fn a_cut_keeps_the_parts_from_each_other_until_it_is_healed() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(6);
        let ends: Vec<_> = (0..4).map(|_| network.endpoint()).collect();
        let reached = async |from: usize| {
            for to in &ends {
                ends[from].send(to.addr(), vec![0]);
            }
            sleep(Duration::from_millis(2)).await;
            ends.iter().map(|end| usize::from(end.try_receive().is_some())).collect::<Vec<_>>()
        };
        assert_eq!(reached(0).await, [1, 1, 1, 1]);
        network.partition([ends[0].addr(), ends[1].addr()]);
        network.partition([ends[2].addr()]);
        assert_eq!(reached(0).await, [1, 1, 0, 0]);
        assert_eq!(reached(2).await, [0, 0, 1, 0]);
        assert_eq!(reached(3).await, [0, 0, 0, 1]);
        network.heal();
        assert_eq!(reached(3).await, [1, 1, 1, 1]);
        assert_eq!(network.counters().cut, 8);
    });
}

#[test]
fn an_endpoint_that_is_removed_neither_receives_nor_sends_and_its_address_is_free() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let (here, there) = (network.endpoint(), network.endpoint());
        let addr = there.addr();
        assert!(network.endpoint_at(addr).is_err());
        here.send(addr, vec![1]);
        assert!(network.remove(addr));
        assert!(!there.send(here.addr(), vec![2]));
        sleep(Duration::from_millis(2)).await;
        assert_eq!((there.try_receive(), here.try_receive()), (None, None));
        assert_eq!(network.counters().no_such_address, 1);

        let successor = network.endpoint_at(addr).unwrap();
        drop(there);
        here.send(addr, vec![3]);
        assert_eq!(successor.receive().await.payload, [3], "its predecessor took nothing with it");
        drop(successor);
        assert!(network.endpoint_at(addr).is_ok());
    });
}

#[test]
fn an_inbox_that_is_not_read_is_bounded() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(8);
        let (here, there) = (network.endpoint(), network.endpoint());
        for _ in 0..INBOX + 10 {
            here.send(there.addr(), vec![0]);
        }
        sleep(Duration::from_millis(2)).await;
        assert_eq!(network.counters().overflowed, 10);
        assert_eq!(std::iter::from_fn(|| there.try_receive()).count(), INBOX);
    });
}

#[test]
fn what_is_longer_than_a_datagram_is_refused() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(9);
        let (here, there) = (network.endpoint(), network.endpoint());
        assert!(here.send(there.addr(), vec![0; 65_507]));
        assert!(!here.send(there.addr(), vec![0; 65_508]));
        assert_eq!(network.counters().sent, 1);
    });
}

// ---- Stories ----

/// Simulated days; `KAD_DAYS` asks for more. Three are enough for each value to expire twice, were it not published again.
fn days() -> usize {
    std::env::var("KAD_DAYS").map_or(3, |days| days.parse().unwrap())
}

/// A published value, and the number of its node.
struct Published {
    key: String,
    value: Value,
    by: usize,
}

async fn publish(nodes: &[Node], count: usize) -> Vec<Published> {
    let mut published = Vec::new();
    for n in 0..count {
        let (key, value, by) = (format!("key {n}"), Value::from(format!("value {n}")), n % nodes.len());
        let outcome = nodes[by].set(&key, value.clone()).await.expect("a value of this size can be set");
        assert!(outcome.stored > 0, "{outcome:?}");
        published.push(Published { key, value, by });
    }
    published
}

#[test]
fn for_days_every_published_value_can_be_read_at_every_hour() {
    in_virtual_time(async {
        let seed = 10;
        let config = Config::builder().k(8).republish_interval(DAY / 2).build().unwrap();
        let network = MemoryNetwork::new(seed).with_scope(AddressScope::Global).with_link(internet().with_loss(0.01));
        let nodes = nodes(&network, seed, 20, &config).await;
        let published = publish(&nodes[..3], 6).await;
        let mut entropy = SeededEntropy::new(seed);
        for hour in 0..days() * 24 {
            sleep(HOUR).await;
            for Published { key, value, by } in &published {
                let reader = pick(&mut entropy, &nodes);
                assert_eq!(reader.get(key).await.unwrap().as_ref(), Some(value), "{key} of {by} after hour {hour}");
            }
        }
        for node in &nodes {
            let snapshot = node.snapshot().await.unwrap();
            assert!(snapshot.table.peers >= 8, "{snapshot:?}");
            assert!(snapshot.restarts.by_actor.is_empty(), "{:?}", snapshot.restarts);
        }
    });
}

#[test]
fn for_days_values_outlive_the_coming_and_going_of_their_holders() {
    in_virtual_time(async {
        let seed = 11;
        // Few replicas, so that holders matter: 20 nodes, 5 of which hold each value.
        let config = Config::builder().k(5).republish_interval(DAY / 2).build().unwrap();
        let network = MemoryNetwork::new(seed).with_scope(AddressScope::Global).with_link(internet().with_loss(0.01));
        let mut nodes = nodes(&network, seed, 20, &config).await;
        let published = publish(&nodes[..3], 9).await;
        let mut entropy = SeededEntropy::new(seed);
        let mut number = 1_000;
        for hour in 0..days() * 24 {
            if hour % 3 == 0 {
                // The three publishers stay. One of the others crashes; another comes, under a new id and address.
                let leaving = 3 + entropy.below(nodes.len() as u64 - 3) as usize;
                let gone = nodes.swap_remove(leaving);
                network.remove(gone.local_addr());
                gone.stop().await;
                let contacts = [pick(&mut entropy, &nodes).local_addr(), pick(&mut entropy, &nodes).local_addr()];
                number += 1;
                nodes.push(node(&network, seed, number, &contacts, &config).await);
            }
            sleep(HOUR).await;
            for Published { key, value, by } in &published {
                let reader = pick(&mut entropy, &nodes);
                assert_eq!(reader.get(key).await.unwrap().as_ref(), Some(value), "{key} of {by} after hour {hour}");
            }
        }
    });
}

#[test]
fn an_outage_of_half_an_hour_evicts_no_peer_for_good() {
    in_virtual_time(async {
        let seed = 12;
        let config = Config::default();
        let network = MemoryNetwork::new(seed).with_scope(AddressScope::Global).with_link(internet());
        let nodes = nodes(&network, seed, 20, &config).await;
        let published = publish(&nodes, 5).await;
        sleep(HOUR).await;

        network.set_link(internet().with_loss(1.0));
        let until = Instant::now() + HOUR / 2;
        while Instant::now() < until {
            for node in &nodes {
                let read = node.get_with("a key without a value", GetOptions::default()).await.unwrap().result;
                assert!(!matches!(read, GetResult::Found { .. } | GetResult::NotFound { answered: 1.., .. }));
            }
            sleep(Duration::from_secs(60)).await;
        }
        network.set_link(internet());
        sleep(Duration::from_secs(60)).await;

        let mut entropy = SeededEntropy::new(seed);
        for Published { key, value, .. } in &published {
            assert_eq!(pick(&mut entropy, &nodes).get(key).await.unwrap().as_ref(), Some(value), "{key}");
        }
        sleep(HOUR).await;
        for node in &nodes {
            assert_eq!(node.snapshot().await.unwrap().table.peers, 19, "{node:?}");
        }
    });
}

#[test]
fn a_node_whose_contacts_were_silent_joins_once_they_are_back() {
    in_virtual_time(async {
        let seed = 13;
        let config = Config::default();
        let network = MemoryNetwork::new(seed).with_link(internet());
        let first = node(&network, seed, 0, &[], &config).await;
        network.partition([first.local_addr()]);
        let second = node(&network, seed, 1, &[first.local_addr()], &config).await;
        assert_eq!(second.snapshot().await.unwrap().table.peers, 0);
        sleep(HOUR).await;
        assert_eq!(second.snapshot().await.unwrap().table.peers, 0);

        network.heal();
        sleep(Duration::from_secs(700)).await;
        assert_eq!(second.snapshot().await.unwrap().table.peers, 1, "it has tried again at least every 11 minutes");
        assert_eq!(first.snapshot().await.unwrap().table.peers, 1);
    });
}

#[test]
fn a_value_is_gone_at_its_expiry_when_its_publisher_has_gone_and_swept_one_round_later() {
    in_virtual_time(async {
        let seed = 14;
        let config = Config::default();
        let network = MemoryNetwork::new(seed).with_link(internet());
        let mut nodes = nodes(&network, seed, 10, &config).await;
        let reader = node(&network, seed, 99, &[nodes[0].local_addr()], &config).await;
        let publisher = nodes.pop().unwrap();
        let published = Instant::now();
        assert_eq!(publisher.set("key", "value").await.unwrap().stored, 10);
        publisher.stop().await;

        let ends = published + config.values.key_expiry;
        tokio::time::sleep_until(ends - HOUR).await;
        assert_eq!(reader.get("key").await.unwrap(), Some(Value::from("value")), "restored, and never beyond its life");
        // Some seconds pass between the first and the last copy of a `set`.
        tokio::time::sleep_until(ends + Duration::from_secs(10)).await;
        assert_eq!(reader.get("key").await.unwrap(), None);
        for node in &nodes {
            assert_eq!(node.get("key").await.unwrap(), None);
        }
        sleep(config.table.bucket_refresh_interval.mul_f64(1.1)).await;
        for node in nodes.iter().chain([&reader]) {
            let store = node.snapshot().await.unwrap().store;
            assert_eq!((store.held.values, store.cached.values), (0, 0), "{store:?}");
        }
    });
}
