//! Addresses that a peer names, and addresses in whose names others send.

use std::net::SocketAddr;
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Request, Response};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::protocol::store::{Change, Committed, Recollection, Store, StoreError, StoredRecord};
use kademlia_dynamic::sim::{MemoryNetwork, MemoryTransport, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Node, NodeId, Peer};
use tokio::time::sleep;

use crate::support::{drain, known, legacy, own_id, set, start};

#[test]
fn bad_addresses_that_a_peer_names_are_never_asked() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(2);
        let endpoint = network.endpoint();
        let own = endpoint.addr();
        let bad = ["0.0.0.0:7000", "127.0.0.1:7000", "10.0.0.1:7000", "192.168.0.1:7000", "224.0.0.1:7000"];
        let bad: Vec<SocketAddr> = bad.iter().map(|addr| addr.parse().unwrap()).collect();
        // An endpoint listens at each of them.
        let traps: Vec<MemoryTransport> = bad.iter().map(|addr| network.endpoint_at(*addr).unwrap()).collect();
        let good = ScriptedPeers::new(&network, Codec::Json).with(1);
        let named: Vec<Peer> = (bad.iter().copied().chain([own, good.addr(0)]))
            .enumerate()
            .map(|(n, addr)| Peer::new(NodeId::of_key(&n.to_string()), addr))
            .collect();
        // Port 0 and a host name cannot even be spelled by our own types.
        let raw = named.iter().map(|peer| (peer.addr.ip().to_string(), peer.addr.port(), peer.id));
        let raw = raw.chain([("8.8.8.8".to_owned(), 0, NodeId::of_key("p")), ("localhost".to_owned(), 1, own_id())]);
        let list: Vec<String> =
            raw.map(|(ip, port, id)| format!(r#"{{"node_id":"{id}","ip":"{ip}","port":{port}}}"#)).collect();
        let list = list.join(",");
        let ids: Vec<NodeId> = (0..2).map(|n| peers.id(n)).collect();
        peers.on(move |asked| match asked.request {
            Request::FindNode { .. } => Reply::Raw(
                format!(
                    r#"{{"type":"find_node_res","id":"{}","sender":{{"node_id":"{}","ip":"","port":7000}},"peers":[{list}]}}"#,
                    asked.query, ids[asked.peer]
                )
                .into_bytes(),
            ),
            _ => Reply::Usual,
        });
        let builder = Node::builder().node_id(own_id()).seed(1).bootstrap([peers.addr(0), peers.addr(1)]);
        let node = builder.start_local_over(endpoint).await.unwrap();
        for n in 0..20 {
            node.find_node(NodeId::of_key(&n.to_string())).await.unwrap();
        }
        assert!(traps.iter().all(|trap| trap.try_receive().is_none()));
        assert!(!good.heard().is_empty(), "the good one among the bad ones was asked");
        // Nor was any other: the peers have received all queries that were sent.
        let heard = peers.heard().len() + good.heard().len();
        assert_eq!(node.counters().get(Counter::Asked), heard as u64);
    });
}

/// A legacy node in whose name others send, on a network of global addresses.
struct Victim {
    network: MemoryNetwork,
    end: MemoryTransport,
    node: Node,
}

impl Victim {
    /// A node that knows eleven peers and holds a large value, and a victim that it does not know.
    async fn new() -> Self {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(11);
        let node = start(&network, Node::builder().bootstrap([peers.addr(0)])).await;
        assert_eq!(node.set("large", "x".repeat(50_000)).await.expect("it fits").stored, 11);
        Self { end: network.endpoint(), network, node }
    }

    /// A query that claims to come from the victim. How many bytes it has.
    fn forge(&self, request: Request, claim: Option<NodeId>) -> usize {
        let datagram = legacy(self.end.addr(), claim, 99, Body::Request(request));
        let bytes = datagram.len();
        self.network.send(self.end.addr(), self.node.local_addr(), datagram);
        bytes
    }

    /// What has come to the victim meanwhile, and how many bytes.
    async fn received(&self) -> (Vec<Message>, usize) {
        sleep(Duration::from_millis(50)).await;
        let datagrams: Vec<Vec<u8>> =
            std::iter::from_fn(|| self.end.try_receive()).map(|datagram| datagram.payload).collect();
        let bytes = datagrams.iter().map(Vec::len).sum();
        (datagrams.iter().map(|datagram| Codec::Json.decode(datagram).expect("our node speaks JSON")).collect(), bytes)
    }

    /// Answers a ping among these messages.
    fn pong(&self, messages: &[Message], claim: Option<NodeId>) {
        let ping = messages.iter().find(|message| message.body == Body::Request(Request::Ping));
        let id = ping.and_then(|ping| ping.id.as_u64()).expect("it was pinged");
        let pong = legacy(self.end.addr(), claim, id, Body::Response(Response::Pong));
        assert!(self.end.send(self.node.local_addr(), pong));
    }
}

/// A sender in the victim's name may claim an id, so that the node pings it, or none.
fn claims() -> [Option<NodeId>; 2] {
    [None, Some(NodeId::of_key("the victim"))]
}

#[test]
fn an_unverified_address_gets_at_most_three_times_its_requests_bytes_and_the_answer_with_its_pong() {
    let find_node = || Request::FindNode { target: NodeId::ZERO };
    let find_value = || Request::FindValue { key: "large".into() };
    for claim in claims() {
        for (request, answer_bytes) in [(find_node(), 600..1_201), (find_value(), 50_000..51_000)] {
            in_virtual_time(async {
                let victim = Victim::new().await;
                let name = request.name();
                let asked = victim.forge(request, claim);
                let (messages, bytes) = victim.received().await;
                assert!(bytes <= 3 * asked, "{bytes} bytes for the {asked} of a {name} under {claim:?}: {messages:?}");
                assert!(messages.iter().all(|message| message.body == Body::Request(Request::Ping)), "{messages:?}");

                victim.pong(&messages, claim);
                let (messages, bytes) = victim.received().await;
                assert_eq!(messages.len(), 1, "{messages:?}");
                assert_eq!((messages[0].id, messages[0].body.name()), (QueryId::from_u64(99), &*format!("{name}_res")));
                assert!(answer_bytes.contains(&bytes), "{bytes} bytes");
                // From now on it is who it says.
                victim.forge(find_node(), claim);
                assert_eq!(victim.received().await.0[0].body.name(), "find_node_res");
            });
        }
    }
}

#[test]
fn many_requests_in_a_victims_name_bring_it_no_more_than_three_times_their_bytes() {
    for claim in claims() {
        in_virtual_time(async {
            let victim = Victim::new().await;
            let (mut asked, mut got) = (0, 0);
            for n in 0..200 {
                asked += match n % 3 {
                    0 => victim.forge(Request::Ping, claim),
                    1 => victim.forge(Request::FindNode { target: NodeId::ZERO }, claim),
                    _ => victim.forge(Request::FindValue { key: "large".into() }, claim),
                };
                got += victim.received().await.1;
                assert!(got <= 3 * asked, "{got} bytes for {asked} after {n} requests under {claim:?}");
            }
            assert!(got > asked / 4, "pings are answered at once: {got} bytes for {asked}");
        });
    }
}

#[test]
fn a_legacy_nodes_write_from_an_address_that_was_not_heard_from_takes_effect_with_its_pong() {
    for claim in claims() {
        in_virtual_time(async {
            let victim = Victim::new().await;
            let held = async || victim.node.snapshot().await.unwrap().store.held.values;
            let asked = victim.forge(set("key", "value"), claim);
            let (messages, bytes) = victim.received().await;
            assert!(bytes <= 3 * asked);
            assert_eq!(held().await, 0);
            victim.pong(&messages, claim);
            let (messages, _) = victim.received().await;
            assert!(matches!(messages[0].body, Body::Response(Response::Set { stored: true, ttl: Some(_) })));
            assert_eq!(held().await, 1);

            let late = Victim::new().await;
            late.forge(set("key", "value"), claim);
            let (messages, _) = late.received().await;
            sleep(Duration::from_millis(1_500)).await;
            late.pong(&messages, claim);
            let came = late.received().await.0;
            let is_ping = |message: &Message| message.body == Body::Request(Request::Ping);
            assert!(came.iter().all(is_ping), "the write was given up after a second: {came:?}");
            assert_eq!(late.node.snapshot().await.unwrap().store.held.values, 0);
        });
    }
}

#[test]
fn a_client_that_writes_from_a_global_address_proves_itself_and_is_inserted_nowhere() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let node = start(&network, Node::builder()).await;
        let builder = Node::builder().client(true).bootstrap([node.local_addr()]);
        let client = builder.start_local_over(network.endpoint()).await.unwrap();
        assert_eq!(client.set("key", "value").await.unwrap().stored, 1);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(known(&node).await, []);
    });
}

#[test]
fn with_the_source_check_off_an_answer_from_elsewhere_proves_no_address() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let config = kademlia_dynamic::Config::builder().verify_response_source(false).build().unwrap();
        let node = start(&network, Node::builder().config(config)).await;
        let _ = node.set("large", "x".repeat(50_000)).await.unwrap();
        let (attacker, victim) = (network.endpoint(), network.endpoint());
        let claim = Some(NodeId::of_key("attacker"));
        let query = |from, request| legacy(from, claim, 1, Body::Request(request));
        // The ping that goes to the attacker is answered in the victim's name.
        attacker.send(node.local_addr(), query(attacker.addr(), Request::Ping));
        sleep(Duration::from_millis(20)).await;
        let mut forged = 0;
        for message in drain(&attacker) {
            if message.body == Body::Request(Request::Ping) {
                let pong = legacy(victim.addr(), claim, message.id.as_u64().unwrap(), Body::Response(Response::Pong));
                forged += usize::from(network.send(victim.addr(), node.local_addr(), pong));
            }
        }
        assert_eq!(forged, 1);
        sleep(Duration::from_millis(20)).await;
        let ask = query(victim.addr(), Request::FindValue { key: "large".into() });
        let spent = ask.len();
        network.send(victim.addr(), node.local_addr(), ask);
        sleep(Duration::from_millis(50)).await;
        let got: usize = std::iter::from_fn(|| victim.try_receive()).map(|datagram| datagram.payload.len()).sum();
        assert!(got <= 3 * spent, "the victim got {got} bytes for {spent}");
    });
}

/// A store that knew these peers when it was closed, whatever has become of them.
struct Remembering(Vec<Peer>);

impl Store for Remembering {
    fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
        Ok(Vec::new())
    }

    fn commit(&mut self, _: Vec<Change>, done: Committed) {
        done(Ok(()));
    }

    fn recall(&mut self) -> Option<Recollection> {
        Some(Recollection { id: Some(own_id()), peers: self.0.clone() })
    }
}

#[test]
fn peers_that_were_remembered_are_in_no_table_before_they_answer_and_then_under_their_true_ids() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(3);
        peers.on(|asked| match asked.request {
            Request::FindNode { .. } => Reply::Answer(Response::FindNode { peers: Vec::new() }),
            _ => Reply::Usual.after(Duration::from_millis(500)),
        });
        let dead = Peer::new(NodeId::of_key("dead"), "127.0.0.1:1".parse().unwrap());
        let forged = Peer::new(NodeId::of_key("forged"), peers.addr(1));
        let kept = Remembering(vec![peers.peer(0), forged, dead]);
        let node = Node::builder().store(kept).seed(1).start_local_over(network.endpoint()).await.unwrap();
        assert_eq!(node.id(), own_id());
        // They are asked, and have not answered yet.
        sleep(Duration::from_millis(300)).await;
        assert!(peers.heard().iter().any(|asked| asked.peer == 0) && known(&node).await.is_empty());
        let asked = peers.ask(2, node.local_addr(), Request::FindNode { target: forged.id }).await.unwrap();
        assert_eq!(asked, Response::FindNode { peers: Vec::new() }, "it names no peer");
        sleep(Duration::from_secs(30)).await;
        let known = known(&node).await;
        assert!(known.contains(&peers.peer(0)), "{known:?}");
        assert!(!known.iter().any(|peer| [forged.id, dead.id].contains(&peer.id)), "{known:?}");
    });
}
