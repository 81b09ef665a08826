//! An address that never answers, named by others and in whose name others send: how often it is asked.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Request, Response, Sender};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::protocol::prefix::Prefix;
use kademlia_dynamic::sim::{MemoryNetwork, MemoryTransport, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Node, NodeId, Peer};
use tokio::time::{Instant, sleep};

use super::{random_id, start};

/// When the queries of a node came to an address that never answers.
struct Victim {
    end: MemoryTransport,
    asked: Vec<Instant>,
}

impl Victim {
    fn new(network: &MemoryNetwork) -> Self {
        Self { end: network.endpoint(), asked: Vec::new() }
    }

    /// Takes what has come since the last time, and tells queries from answers.
    fn look(&mut self) {
        while let Some(datagram) = self.end.try_receive() {
            let message = Codec::Json.decode(&datagram.payload).expect("our node speaks JSON");
            if let Body::Request(_) = message.body {
                self.asked.push(Instant::now());
            }
        }
    }

    /// The most queries within any minute.
    fn most_in_a_minute(&self) -> usize {
        let minute = |from: &Instant| self.asked.iter().filter(|at| **at >= *from && **at - *from < MINUTE).count();
        self.asked.iter().map(minute).max().unwrap_or(0)
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// Peers that name the victim to whoever asks, ever under another id that is nearest of all.
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
fn whoever_sends_in_an_addresss_name_brings_it_ten_pings_a_minute_and_no_more_bytes_than_three_times_his_own() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let mut victim = Victim::new(&network);
        let peers = informants(&network, victim.end.addr());
        let node = start(&network, Node::builder().bootstrap([peers.addr(0)])).await;
        assert!(node.set("large", "x".repeat(50_000)).await.unwrap().stored == 4);
        let (mut entropy, mut forged) = (SeededEntropy::new(1), 0);
        for second in 0..120 {
            for n in 0..20 {
                let body = match n % 3 {
                    0 => Request::Ping,
                    1 => Request::FindValue { key: "large".into() },
                    _ => Request::Set { key: "k".into(), value: std::sync::Arc::new("v".into()), ttl: None },
                };
                // Each a newcomer under an id of his own.
                let sender = Sender::new(Some(random_id(&mut entropy)), victim.end.addr());
                let id = QueryId::from_u64(entropy.next_u64());
                let message = Message { id, sender, version: None, body: Body::Request(body) };
                network.send(victim.end.addr(), node.local_addr(), Codec::Json.encode(&message).unwrap());
                forged += 1;
                sleep(Duration::from_millis(10)).await;
                victim.look();
            }
            let _ = node.find_node(random_id(&mut entropy)).await;
            sleep(Duration::from_millis(700)).await;
            victim.look();
            assert!(victim.asked.len() <= 10 * (second / 60 + 2), "after {second} s");
        }
        let most = victim.most_in_a_minute();
        println!("{forged} forged datagrams: at most {most} queries in a minute, {} in all", victim.asked.len());
        assert!((5..=10).contains(&most), "{most} in a minute");
    });
}
