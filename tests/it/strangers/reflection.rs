//! An address that never answers, named by others and in whose name others send: how often it is asked. And that honest peers
//! suffer nothing by that bound.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::message::{Body, Request, Response};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::protocol::prefix::Prefix;
use kademlia_dynamic::sim::{Latency, MemoryNetwork, MemoryTransport, Reply, ScriptedPeers, Sim, in_virtual_time};
use kademlia_dynamic::{Codec, Node, NodeId, Peer};
use tokio::time::{Instant, sleep};

use crate::support::{MINUTE, SECOND, legacy, random_id, set, start};

/// An address that never answers, and what has come to it.
struct Victim {
    end: MemoryTransport,
    /// When the node's queries came, but for pings.
    asked: Vec<Instant>,
    pings: usize,
    bytes: usize,
}

impl Victim {
    fn new(network: &MemoryNetwork) -> Self {
        Self { end: network.endpoint(), asked: Vec::new(), pings: 0, bytes: 0 }
    }

    /// Takes what has come since the last time, and distinguishes queries from answers.
    fn look(&mut self) {
        while let Some(datagram) = self.end.try_receive() {
            let message = Codec::Json.decode(&datagram.payload).expect("our node writes JSON");
            self.bytes += datagram.payload.len();
            match message.body {
                Body::Request(Request::Ping) => self.pings += 1,
                Body::Request(_) => self.asked.push(Instant::now()),
                Body::Response(_) => {}
            }
        }
    }

    /// The most queries within any minute, less the 3 s that they may have waited to be looked at.
    fn most_in_a_minute(&self) -> usize {
        let minute =
            |from: &Instant| self.asked.iter().filter(|at| **at >= *from && **at - *from < MINUTE - 3 * SECOND).count();
        self.asked.iter().map(minute).max().unwrap_or(0)
    }
}

/// Bytes of a lookup's query.
const LONGEST_QUERY: usize = 250;

/// Peers that name the victim in each answer, ever under another id that is nearest of all.
fn informants(network: &MemoryNetwork, victim: SocketAddr) -> ScriptedPeers {
    let peers = ScriptedPeers::new(network, Codec::Json).with(4);
    let all = peers.all();
    let entropy = Rc::new(RefCell::new(SeededEntropy::new(3)));
    peers.on(move |asked| {
        let name = |target: &NodeId| {
            let near = Prefix::of(target, 100).random_id(&mut *entropy.borrow_mut());
            [Peer::new(near, victim)].into_iter().chain(all.iter().copied()).collect()
        };
        match &asked.request {
            Request::FindNode { target } => Response::FindNode { peers: name(target) }.into(),
            Request::FindValue { key } => Response::NoValue { peers: name(&NodeId::of_key(key)) }.into(),
            _ => Reply::Usual,
        }
    });
    peers
}

#[test]
fn an_address_that_peers_name_and_that_never_answers_is_sent_ten_queries_a_minute_by_however_many_lookups() {
    for scope in [AddressScope::Global, AddressScope::Loopback] {
        in_virtual_time(async {
            let network = MemoryNetwork::new(7).with_scope(scope);
            let mut victim = Victim::new(&network);
            let peers = informants(&network, victim.end.addr());
            let node = start(&network, Node::builder().bootstrap([peers.addr(0)])).await;
            let mut entropy = SeededEntropy::new(1);
            peers.forget_heard();
            for _ in 0..180 {
                let before = peers.heard().len();
                let ids: Vec<NodeId> = (0..5).map(|_| random_id(&mut entropy)).collect();
                let lookups = ids.iter().map(|id| node.find_node(*id));
                let values = ids.iter().map(|id| node.get(id.to_string()));
                let sets = ids[..1].iter().map(|id| node.set(id.to_string(), "value"));
                let all = futures_util::future::join3(
                    futures_util::future::join_all(lookups),
                    futures_util::future::join_all(values),
                    futures_util::future::join_all(sets),
                );
                let (found, read, written) = all.await;
                assert!(found.iter().all(|found| found.as_ref().is_ok_and(|found| found.len() == 4)), "{found:?}");
                assert!(read.iter().all(|read| matches!(read, Ok(None))), "{read:?}");
                assert!(written.iter().all(|written| written.as_ref().is_ok_and(|it| it.stored == 4)), "{written:?}");
                assert!(peers.heard().len() >= before + 44, "those who answer are asked as ever");
                peers.forget_heard();
                sleep(Duration::from_secs(1)).await;
                victim.look();
            }
            let (most, all) = (victim.most_in_a_minute(), victim.asked.len());
            println!("{scope:?}: at most {most} in a minute, {all} in {:?}", victim.asked[all - 1] - victim.asked[0]);
            assert!((5..=10).contains(&most), "{most} in a minute");
            assert!(node.counters().get(Counter::NotAskedAgain) > 1_000);
        });
    }
}

#[test]
fn requests_in_an_addresss_name_bring_it_three_times_their_bytes_at_most_beside_ten_queries_a_minute() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let mut victim = Victim::new(&network);
        let peers = informants(&network, victim.end.addr());
        let node = start(&network, Node::builder().bootstrap([peers.addr(0)])).await;
        assert!(node.set("large", "x".repeat(50_000)).await.unwrap().stored == 4);
        let (mut entropy, mut forged, mut bytes) = (SeededEntropy::new(1), 0, 0);
        let begun = Instant::now();
        for _ in 0..120 {
            for n in 0..20 {
                let body = match n % 3 {
                    0 => Request::Ping,
                    1 => Request::FindValue { key: "large".into() },
                    _ => set("k", "v"),
                };
                // Each from a newcomer with an id of its own.
                let claim = Some(random_id(&mut entropy));
                let datagram = legacy(victim.end.addr(), claim, entropy.next_u64(), Body::Request(body));
                bytes += datagram.len();
                network.send(victim.end.addr(), node.local_addr(), datagram);
                forged += 1;
                sleep(Duration::from_millis(10)).await;
                victim.look();
            }
            let _ = node.find_node(random_id(&mut entropy)).await;
            sleep(Duration::from_millis(700)).await;
            victim.look();
            let minutes = begun.elapsed().as_secs() as usize / 60;
            assert!(victim.asked.len() <= 10 * (minutes + 2), "{} in {minutes} minutes", victim.asked.len());
            assert!(victim.bytes <= 3 * bytes + victim.asked.len() * LONGEST_QUERY, "after {minutes} minutes");
        }
        let most = victim.most_in_a_minute();
        let (asked, pings) = (victim.asked.len(), victim.pings);
        println!("{forged} forged datagrams of {bytes} bytes: {} bytes came, among them {pings} pings", victim.bytes);
        println!("at most {most} other queries in a minute, {asked} in all");
        assert!((5..=10).contains(&most), "{most} in a minute");
    });
}

#[test]
fn a_peer_that_has_answered_before_is_asked_by_any_number_of_reads_although_a_packet_was_lost() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(3);
        let node = start(&network, Node::builder().bootstrap([peers.addr(0)])).await;
        peers.on(|_| Reply::Silence);
        let _ = node.find_node(NodeId::of_key("lost")).await;
        peers.on(|_| Reply::Usual);
        let keys: Vec<String> = (0..64).map(|n| format!("key {n}")).collect();
        keys.iter().for_each(|key| peers.hold(2, key, "value"));
        let reads = futures_util::future::join_all(keys.iter().map(|key| node.get(key))).await;
        assert!(reads.into_iter().all(|read| read.is_ok_and(|value| value == Some("value".into()))));
        assert_eq!(node.counters().get(Counter::NotAskedAgain), 0);
    });
}

#[test]
fn hundreds_of_values_set_at_once_by_a_node_that_has_just_come_reach_their_k_holders() {
    let run =
        Sim::run(Sim::builder().nodes(100).seed(1).codec(Codec::MessagePack).latency(Latency::INTERNET), async |sim| {
            let writer = sim.node(sim.join().await.expect("there is room for one more")).expect("it lives");
            let keys: Vec<String> = (0..200).map(|n| format!("key {n}")).collect();
            let sets = futures_util::future::join_all(keys.iter().map(|key| writer.set(key, "value"))).await;
            // Here and there its peers find that it sends too fast, and drop what it sends; nothing else is lost.
            let stored: Vec<usize> = sets.into_iter().map(|set| set.expect("it runs").stored).collect();
            assert!(stored.iter().all(|stored| *stored >= 18), "{stored:?}");
            assert_eq!(writer.counters().get(Counter::NotAskedAgain), 0);
            // The peers that it meets meanwhile are no places for what is on its way to its places.
            assert_eq!(writer.counters().get(Counter::Transferred), 0);
        });
    run.expect("the settings are in their ranges");
}
