//! Requests in the names of nodes that live, and so answer our pings: how many bytes they bring them, which writes take effect,
//! and that those whose addresses are abused lose nothing by it.

use std::net::SocketAddr;
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::internals::{HOST_BUDGET, HOST_BUDGET_REFILL};
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::message::{Body, Message, PROTOCOL_VERSION, QueryId, Request, Response, Sender, Token};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::sim::{MemoryNetwork, MemoryTransport, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Node, NodeId, Value};
use tokio::time::sleep;

use super::holder;
use crate::support::{drain, random_id, set, spell, start};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Victim {
    Silent,
    Legacy,
    Ours,
}

/// The node at the victim's address.
enum Lives {
    Nothing { _end: MemoryTransport },
    Legacy(ScriptedPeers),
    Ours(Node),
}

impl Lives {
    async fn new(victim: Victim, network: &MemoryNetwork, codec: Codec) -> Self {
        match victim {
            Victim::Silent => Self::Nothing { _end: network.endpoint() },
            Victim::Legacy => Self::Legacy(ScriptedPeers::new(network, codec).legacy().with(1)),
            Victim::Ours => {
                let node = Node::builder().codec(codec).seed(2).client(true);
                Self::Ours(node.start_local_over(network.endpoint()).await.expect("a node starts"))
            }
        }
    }

    fn addr(&self) -> SocketAddr {
        match self {
            Self::Nothing { _end } => _end.addr(),
            Self::Legacy(legacy) => legacy.addr(0),
            Self::Ours(node) => node.local_addr(),
        }
    }
}

/// Any request, for a large value or not.
fn any_request(large: bool, n: u64, entropy: &mut SeededEntropy) -> Request {
    match n % 5 {
        0 if large => Request::FindValue { key: "large".into() },
        1 => Request::FindNode { target: random_id(entropy) },
        2 => Request::CheckStore { key: "small".into(), size: None },
        3 => set(&format!("evil {n}"), "v"),
        _ if large => Request::Get { key: "large".into() },
        _ => Request::FindValue { key: "absent".into() },
    }
}

#[test]
fn a_victim_gets_at_most_three_times_the_forged_bytes_and_its_hosts_budget_whatever_lives_there() {
    const SECONDS: u64 = 120;
    println!("| codec | victim | values | forged | the victim got | times | bound |");
    for codec in Codec::ALL {
        for victim in [Victim::Silent, Victim::Legacy, Victim::Ours] {
            // No legacy node speaks MessagePack.
            if (victim, codec) == (Victim::Legacy, Codec::MessagePack) {
                continue;
            }
            for large in [false, true] {
                in_virtual_time(async {
                    let (network, _peers, node, bytes) = holder(codec, Config::default()).await;
                    let lives = Lives::new(victim, &network, codec).await;
                    let (mut entropy, mut forged) = (SeededEntropy::new(4), 0);
                    for n in 0..SECONDS * 20 {
                        let claim = [None, Some(NodeId::of_key("victim")), Some(random_id(&mut entropy))];
                        let claim = claim[entropy.below(3) as usize];
                        let version = [None, Some(PROTOCOL_VERSION)][entropy.below(2) as usize];
                        let body = Body::Request(any_request(large, n, &mut entropy));
                        let request = spell(codec, lives.addr(), claim, n, version, body);
                        forged += request.len();
                        network.send(lives.addr(), node.local_addr(), request);
                        sleep(Duration::from_millis(50)).await;
                    }
                    sleep(Duration::from_secs(3)).await;
                    let got = bytes.borrow().get(&lives.addr()).copied().unwrap_or_default();
                    let free = if victim == Victim::Silent { 0 } else { 1 };
                    let budget = HOST_BUDGET as usize + HOST_BUDGET_REFILL as usize * (SECONDS as usize + 3);
                    let bound = 3 * forged + free * budget;
                    let (values, times) = (if large { "50 kB" } else { "small" }, got as f64 / forged as f64);
                    println!("| {codec} | {victim:?} | {values} | {forged} | {got} | {times:.2} | {bound} |");
                    assert!(got <= bound, "{got} bytes for {forged}, where {bound} may be");
                    let store = node.snapshot().await.unwrap().store;
                    if victim != Victim::Legacy {
                        assert_eq!((store.held.values, store.cached.values), (0, 0), "no write took effect");
                    }
                });
            }
        }
    }
}

#[test]
fn forged_reads_of_a_large_value_in_a_participants_name_bring_it_a_budget_and_forged_writes_nothing() {
    in_virtual_time(async {
        let (network, _peers, node, bytes) = holder(Codec::Json, Config::default()).await;
        let live = Node::builder().codec(Codec::Json).seed(2).client(true);
        let live = live.start_local_over(network.endpoint()).await.unwrap();
        let victim = live.local_addr();
        let mut forged = 0;
        for n in 0..500 {
            let body = Body::Request(Request::FindValue { key: "large".into() });
            let request = spell(Codec::Json, victim, None, n, Some(PROTOCOL_VERSION), body);
            forged += request.len();
            network.send(victim, node.local_addr(), request);
            sleep(Duration::from_millis(20)).await;
        }
        for n in 0..20 {
            // Says a version, or conceals it.
            let version = Some(PROTOCOL_VERSION).filter(|_| n % 2 == 0);
            let request =
                spell(Codec::Json, victim, None, 1_000 + n, version, Body::Request(set(&format!("evil {n}"), "v")));
            forged += request.len();
            network.send(victim, node.local_addr(), request);
            sleep(Duration::from_millis(200)).await;
        }
        sleep(Duration::from_secs(2)).await;
        let got = bytes.borrow()[&victim];
        println!("{forged} bytes forged in 16 s brought the participant {got}");
        assert!(got <= 3 * forged + 256_000 + 8_000 * 16, "{got} bytes for {forged}");
        assert!(node.counters().get(Counter::OverBudget) > 400);
        assert_eq!(node.snapshot().await.unwrap().store.held.values, 0);
        // What the participant itself wants it gets, and it writes, at once.
        let contact = live.bootstrap([node.local_addr().to_string()]).await;
        assert!(contact.is_ok(), "{contact:?}");
        assert_eq!(live.get("large").await.unwrap(), Some(Value::from("x".repeat(50_000))));
        assert!(live.set("mine", "value").await.unwrap().stored >= 1);
        assert_eq!(node.snapshot().await.unwrap().store.held.values, 1);
    });
}

#[test]
fn all_victims_together_get_a_megabyte_a_second_at_most() {
    in_virtual_time(async {
        let (network, _peers, node, bytes) = holder(Codec::Bencode, Config::default()).await;
        let living = ScriptedPeers::new(&network, Codec::Bencode).legacy().with(200);
        let (mut forged, mut n) = (0, 0);
        for _ in 0..60 {
            for legacy in living.all() {
                n += 1;
                let body = Body::Request(Request::FindValue { key: "large".into() });
                let request = spell(Codec::Bencode, legacy.addr, None, n, None, body);
                forged += request.len();
                network.send(legacy.addr, node.local_addr(), request);
                sleep(Duration::from_millis(5)).await;
            }
        }
        sleep(Duration::from_secs(1)).await;
        let got: usize = living.all().iter().map(|legacy| bytes.borrow()[&legacy.addr]).sum();
        println!("{forged} bytes forged in 61 s in the names of 200 hosts brought them {got}");
        assert!(got <= 3 * forged + 4_000_000 + 1_000_000 * 61, "{got}");
        assert!(got > 50_000_000, "what the budgets bear is sent: {got}");
    });
}

/// One datagram, and what came back within 50 ms.
async fn ask(end: &MemoryTransport, node: &Node, n: u64, token: Option<Token>, request: Request) -> Vec<Message> {
    let (id, sender) = (QueryId::from_u64(n), Sender::new(Some(NodeId::of_key("asker")), end.addr()));
    let message = Message { id, sender, version: Some(PROTOCOL_VERSION), token, body: Body::Request(request) };
    end.send(node.local_addr(), Codec::Json.encode(&message).expect("it fits a datagram"));
    sleep(Duration::from_millis(50)).await;
    drain(end).into_iter().filter(|message| message.id == id).collect()
}

#[test]
fn a_token_is_worth_as_much_as_ever_after_the_memory_of_who_answered_was_flushed() {
    in_virtual_time(async {
        // Small, so that it is flushed at once: a thousand ports do what 65,536 do by default.
        let config = Config::builder().max_verified_addresses(100).build().unwrap();
        let (network, _peers, node, _) = holder(Codec::Json, config).await;
        let asker = network.endpoint();
        let first = ask(&asker, &node, 1, None, set("mine", "v")).await;
        assert_eq!(first[0].body, Body::Response(Response::Set { stored: false, ttl: None }));
        let token = first[0].token;
        assert!(token.is_some());
        let before = node.snapshot().await.unwrap().admission.verified_addresses;

        // An attacker proves one port after the other.
        let host = network.endpoint().addr().ip();
        for port in 1..=1_000u16 {
            let end = network.endpoint_at(SocketAddr::new(host, port)).unwrap();
            end.send(node.local_addr(), spell(Codec::Json, end.addr(), None, 7, None, Body::Request(set("x", "v"))));
            sleep(Duration::from_millis(90)).await;
            while let Some(ping) = end.try_receive() {
                let id = Codec::Json.decode(&ping.payload).unwrap().id.as_u64().unwrap();
                end.send(
                    node.local_addr(),
                    spell(Codec::Json, end.addr(), None, id, None, Body::Response(Response::Pong)),
                );
            }
            sleep(Duration::from_millis(10)).await;
        }
        let admission = node.snapshot().await.unwrap().admission;
        assert_eq!((admission.verified_addresses, before <= 100), (100, true));

        let held = node.counters().get(Counter::Unverified);
        let read = ask(&asker, &node, 2, token, Request::FindValue { key: "large".into() }).await;
        assert!(matches!(&read[0].body, Body::Response(Response::Value { value, .. }) if value.len() == 50_000));
        let written = ask(&asker, &node, 3, token, set("mine", "v")).await;
        assert!(matches!(written[0].body, Body::Response(Response::Set { stored: true, .. })));
        assert_eq!(node.counters().get(Counter::Unverified), held, "nothing of it waited for a pong");
        // Another's token, or a made-up one, is none.
        let other = network.endpoint();
        let stolen = ask(&other, &node, 4, token, set("theirs", "v")).await;
        assert_eq!(stolen[0].body, Body::Response(Response::Set { stored: false, ttl: None }));
    });
}

#[test]
fn a_token_outlives_a_network_that_sends_too_fast() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let config = Config::builder().prefix_rate(1).prefix_burst(10).build().unwrap();
        let node = start(&network, Node::builder().config(config)).await;
        let asker = network.endpoint();
        let token = ask(&asker, &node, 1, None, Request::Ping).await[0].token;
        let neighbour = |n: u64| {
            let std::net::IpAddr::V4(ip) = asker.addr().ip() else { panic!("an IPv4 network") };
            let [a, b, c, d] = ip.octets();
            SocketAddr::from(([a, b, c, d.wrapping_add(1 + (n % 100) as u8)], 9))
        };
        for n in 0..500 {
            let from = neighbour(n);
            network.send(
                from,
                node.local_addr(),
                spell(Codec::Json, from, None, n, None, Body::Request(Request::Ping)),
            );
            if n % 10 == 9 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        assert!(node.counters().get(Counter::TooFast) > 400);
        assert_eq!(ask(&asker, &node, 2, None, Request::Ping).await, [], "its network has used up its rate");
        assert_eq!(ask(&asker, &node, 3, token, Request::Ping).await.len(), 1);
    });
}

#[test]
fn a_node_of_ours_whose_budget_others_have_used_up_reads_and_writes_all_the_same() {
    in_virtual_time(async {
        let (network, _peers, node, _) = holder(Codec::Json, Config::default()).await;
        let live = Node::builder().seed(2).bootstrap([node.local_addr()]);
        let live = live.start_local_over(network.endpoint()).await.unwrap();
        sleep(Duration::from_secs(5)).await;
        // Another port of the same host has no token yet, and its budget is gone.
        let end = network.endpoint_at(SocketAddr::new(live.local_addr().ip(), 1)).unwrap();
        for n in 0..100 {
            let body = Body::Request(Request::FindValue { key: "large".into() });
            network.send(
                live.local_addr(),
                node.local_addr(),
                spell(Codec::Json, live.local_addr(), None, n, None, body),
            );
            sleep(Duration::from_millis(20)).await;
        }
        assert!(node.counters().get(Counter::OverBudget) > 50);
        let second = Node::builder().seed(3).bootstrap([node.local_addr()]);
        let second = second.start_local_over(end).await.unwrap();
        for reader in [&live, &second] {
            assert_eq!(reader.get("large").await.unwrap(), Some(Value::from("x".repeat(50_000))));
            assert!(reader.set(reader.id().to_string(), "v").await.unwrap().stored >= 10);
        }
        assert_eq!(node.snapshot().await.unwrap().store.held.values, 2);
    });
}

#[test]
fn writes_of_legacy_nodes_take_effect_within_a_rate_and_are_acknowledged_beyond_it() {
    in_virtual_time(async {
        let (network, _peers, node, _) = holder(Codec::Json, Config::default()).await;
        let writer = network.endpoint();
        let (mut stored, mut refused) = (0, 0);
        for n in 0..600 {
            let write = spell(Codec::Json, writer.addr(), None, n, None, Body::Request(set(&format!("k{n}"), "v")));
            writer.send(node.local_addr(), write);
            sleep(Duration::from_millis(100)).await;
            while let Some(datagram) = writer.try_receive() {
                let message = Codec::Json.decode(&datagram.payload).unwrap();
                match message.body {
                    Body::Request(_) => {
                        let id = message.id.as_u64().unwrap();
                        let pong = spell(Codec::Json, writer.addr(), None, id, None, Body::Response(Response::Pong));
                        writer.send(node.local_addr(), pong);
                    }
                    Body::Response(Response::Set { stored: true, .. }) => stored += 1,
                    Body::Response(_) => refused += 1,
                }
            }
        }
        sleep(Duration::from_secs(1)).await;
        println!("of 600 writes in a minute {stored} took effect, {refused} were refused");
        assert!((64 + 200..=64 + 4 * 61).contains(&stored), "{stored}");
        assert!(stored + refused >= 598, "each is acknowledged: {stored} and {refused}");
        assert!(node.counters().get(Counter::LegacyWrite) >= refused - 1);
    });
}
