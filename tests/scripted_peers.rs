//! How an application is tested against scripted peers: first an actor of an embedder's own, then what our node does
//! when its peers lie, keep silent, or are not who they say.

use std::net::SocketAddr;
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::message::{
    Body, Message as Wire, PROTOCOL_VERSION, QueryId, Request, Response, Sender,
};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::sim::{Asked, MemoryNetwork, MemoryTransport, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Error, GetOutcome, Node, NodeId, Peer, Value};
use tokio::time::sleep;

// ---- An application ----

/// Keeps one greeting in the network, and has one of its own for when the network does not answer.
struct Greeter {
    node: Node,
}

#[derive(Message)]
#[rtype(result = "String")]
struct Greet(&'static str);

#[derive(Message)]
#[rtype(result = "bool")]
struct LearnGreeting(&'static str);

impl Actor for Greeter {
    type Context = Context<Self>;
}

impl Handler<Greet> for Greeter {
    type Result = ResponseFuture<String>;

    fn handle(&mut self, Greet(name): Greet, _: &mut Self::Context) -> Self::Result {
        let node = self.node.clone();
        Box::pin(async move {
            match node.get("greeting").await {
                Ok(Some(Value::Text(greeting))) => format!("{greeting}, {name}!"),
                Ok(_) => format!("{name}!"),
                Err(_) => format!("Hello, {name} (nobody answers)"),
            }
        })
    }
}

impl Handler<LearnGreeting> for Greeter {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, LearnGreeting(greeting): LearnGreeting, _: &mut Self::Context) -> Self::Result {
        let node = self.node.clone();
        Box::pin(async move { node.set("greeting", greeting).await.is_ok_and(|outcome| outcome.stored >= 2) })
    }
}

#[test]
fn a_greeter_greets_with_what_the_network_holds() {
    in_virtual_time(async {
        let (_, peers, node) = house(3).await;
        let greeter = Greeter { node }.start();
        assert_eq!(greeter.send(Greet("Ada")).await.unwrap(), "Ada!");
        peers.hold(1, "greeting", "Good morning");
        assert_eq!(greeter.send(Greet("Ada")).await.unwrap(), "Good morning, Ada!");
    });
}

#[test]
fn a_greeter_has_a_greeting_when_nobody_answers() {
    in_virtual_time(async {
        let (_, peers, node) = house(3).await;
        let greeter = Greeter { node }.start();
        peers.on(|_| Reply::Silence);
        assert_eq!(greeter.send(Greet("Ada")).await.unwrap(), "Hello, Ada (nobody answers)");
    });
}

#[test]
fn a_greeting_is_learnt_when_two_peers_hold_it() {
    in_virtual_time(async {
        let (_, peers, node) = house(3).await;
        let greeter = Greeter { node }.start();
        peers.on(|asked| match (&asked.request, asked.peer) {
            (Request::Set { .. }, 0 | 1) => Response::Set { stored: false }.into(),
            _ => Reply::Usual,
        });
        assert!(!greeter.send(LearnGreeting("Hi")).await.unwrap(), "one of three took it");
        assert_eq!((peers.held(1, "greeting"), peers.held(2, "greeting")), (None, Some("Hi".into())));
        peers.on(|_| Reply::Usual);
        assert!(greeter.send(LearnGreeting("Hi")).await.unwrap());
    });
}

// ---- Our node among peers that are not as they should be ----

/// A loopback network with `n` scripted peers, and a node that knows them all.
async fn house(n: usize) -> (MemoryNetwork, ScriptedPeers, Node) {
    let network = MemoryNetwork::new(7);
    let peers = ScriptedPeers::new(&network, Codec::Json).add(n);
    let node = start(&network, Node::builder().bootstrap([peers.addr(0)])).await;
    assert_eq!(known(&node).await.len(), n);
    peers.forget_heard();
    (network, peers, node)
}

async fn start(network: &MemoryNetwork, builder: kademlia_dynamic::NodeBuilder) -> Node {
    builder.node_id(own_id()).seed(1).start_local_over(network.endpoint()).await.unwrap()
}

/// Who is in the node's table.
async fn known(node: &Node) -> Vec<Peer> {
    let table = node.snapshot().await.unwrap().table;
    table.buckets.iter().flat_map(|bucket| &bucket.peers).map(|entry| entry.peer).collect()
}

fn named<'a>(heard: &'a [Asked], name: &'a str) -> impl Iterator<Item = &'a Asked> {
    heard.iter().filter(move |asked| asked.request.name() == name)
}

#[test]
fn a_peer_that_answers_under_another_id_is_dropped() {
    in_virtual_time(async {
        let (_, peers, node) = house(5).await;
        let (gone, new) = (peers.peer(2), NodeId::of_key("who sits there now"));
        peers.on(move |asked| match asked.peer {
            2 => Reply::As(new, Response::FindNode { peers: Vec::new() }),
            _ => Reply::Usual,
        });
        let found = node.find_node(gone.id).await.unwrap();
        assert!(!found.contains(&gone), "{found:?}");
        let known = known(&node).await;
        assert!(!known.contains(&gone) && known.contains(&Peer::new(new, gone.addr)), "{known:?}");
    });
}

#[test]
fn a_peer_silent_once_is_kept_and_one_silent_for_good_is_not() {
    in_virtual_time(async {
        let (_, peers, node) = house(5).await;
        let mut silences = 1;
        peers.on(move |asked| {
            if asked.peer == 2 && silences > 0 {
                silences -= 1;
                return Reply::Silence;
            }
            Reply::Usual
        });
        for _ in 0..3 {
            node.find_node(peers.id(2)).await.unwrap();
            sleep(Duration::from_secs(5)).await;
            assert!(known(&node).await.contains(&peers.peer(2)));
        }
        peers.on(|asked| if asked.peer == 2 { Reply::Silence } else { Reply::Usual });
        for _ in 0..5 {
            node.find_node(peers.id(2)).await.unwrap();
            sleep(Duration::from_secs(5)).await;
        }
        assert_eq!(known(&node).await.len(), 4);
        assert!(!known(&node).await.contains(&peers.peer(2)));
    });
}

#[test]
fn a_late_answer_is_an_answer_until_the_query_times_out() {
    in_virtual_time(async {
        let (_, peers, node) = house(1).await;
        peers.hold(0, "key", "value");
        peers.on(|_| Reply::Usual.after(Duration::from_millis(1_900)));
        assert_eq!(node.get("key").await.unwrap(), Some("value".into()));
        peers.on(|_| Reply::Usual.after(Duration::from_millis(2_100)));
        assert!(matches!(node.get("key").await, Err(Error::NobodyAnswered { asked: 1 })));
    });
}

#[test]
fn a_lookup_passes_liars_that_name_nearer_peers_which_do_not_exist() {
    in_virtual_time(async {
        let (_, peers, node) = house(20).await;
        let key = NodeId::of_key("key");
        let mut by_distance: Vec<usize> = (0..20).collect();
        by_distance.sort_by_key(|n| peers.id(*n).distance(&key));
        // The three nearest name ten each that are nearer still. The one after them holds the value.
        let liars = by_distance[..3].to_vec();
        peers.hold(by_distance[3], "key", "value");
        let told = liars.clone();
        peers.on(move |asked| {
            if !told.contains(&asked.peer) {
                return Reply::Usual;
            }
            let fake = |n: usize| {
                let mut id = *key.as_bytes();
                id[19] ^= (asked.peer * 10 + n + 1) as u8;
                let port = (asked.peer * 10 + n + 1) as u16;
                Peer::new(NodeId::from_bytes(id), ([127, 0, 0, 9], port).into())
            };
            Response::NoValue { peers: (0..10).map(fake).collect() }.into()
        });
        assert_eq!(node.get("key").await.unwrap(), Some("value".into()));
        let known = known(&node).await;
        assert_eq!(known.len(), 20, "who was only named is in no table: {known:?}");
    });
}

#[test]
fn an_answer_that_is_no_message_is_silence() {
    in_virtual_time(async {
        let (_, peers, node) = house(2).await;
        peers.on(|_| Reply::Raw(b"{\"type\":\"find_value_res\"".to_vec()));
        assert_eq!(node.get_outcome("key").await.unwrap(), GetOutcome::NobodyAnswered { asked: 2 });
        assert!(node.counters().get(Counter::Malformed) > 0);
    });
}

#[test]
fn a_get_tells_that_nobody_answered_from_not_found() {
    in_virtual_time(async {
        let (_, peers, node) = house(4).await;
        assert_eq!(node.get_outcome("key").await.unwrap(), GetOutcome::NotFound { answered: 4 });
        peers.on(|asked| if asked.peer == 3 { Reply::Usual } else { Reply::Silence });
        assert_eq!(node.get_outcome("key").await.unwrap(), GetOutcome::NotFound { answered: 1 });
        peers.on(|_| Reply::Silence);
        assert_eq!(node.get_outcome("key").await.unwrap(), GetOutcome::NobodyAnswered { asked: 4 });
    });
}

#[test]
fn a_value_found_is_cached_at_the_nearest_peer_that_had_none_after_the_answer() {
    in_virtual_time(async {
        let (_, peers, node) = house(12).await;
        let key = NodeId::of_key("key");
        let distance = |n: &usize| peers.id(*n).distance(&key);
        let farthest = (0..12).max_by_key(distance).unwrap();
        peers.hold(farthest, "key", "value");
        let outcome = node.get_outcome("key").await.unwrap();
        assert!(matches!(outcome, GetOutcome::Found { holder: Some(holder), .. } if holder == peers.peer(farthest)));
        assert_eq!(named(&peers.heard(), "set_cached").count(), 0, "the answer does not wait for it");

        sleep(Duration::from_secs(5)).await;
        let heard = peers.heard();
        let asked = named(&heard, "find_value").map(|asked| asked.peer).filter(|n| *n != farthest);
        let cached: Vec<usize> = named(&heard, "set_cached").map(|asked| asked.peer).collect();
        assert_eq!(cached, [asked.min_by_key(distance).unwrap()]);
        assert_eq!(peers.held(cached[0], "key"), Some("value".into()));
    });
}

#[test]
fn a_set_asks_nobody_whether_it_holds_the_key_and_names_no_ttl() {
    in_virtual_time(async {
        let (_, peers, node) = house(6).await;
        peers.hold(2, "key", "an older value");
        let outcome = node.set("key", "value").await.unwrap();
        assert_eq!((outcome.asked, outcome.stored), (6, 6));
        let heard = peers.heard();
        assert_eq!(named(&heard, "check_store").count(), 0);
        assert_eq!(named(&heard, "set").count(), 6);
        assert!(named(&heard, "set").all(|asked| matches!(asked.request, Request::Set { ttl: None, .. })));
        assert!((0..6).all(|n| peers.held(n, "key") == Some("value".into())));
    });
}

#[test]
fn a_client_never_claims_its_own_id() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).add(8);
        let client = start(&network, Node::builder().client(true).bootstrap([peers.addr(0)])).await;
        assert_eq!(client.set("key", "value").await.unwrap().stored, 8);
        assert_eq!(client.get("other").await.unwrap(), None);
        sleep(Duration::from_secs(3 * 3_600)).await;
        let heard = peers.heard();
        assert!(heard.len() > 20);
        for asked in heard {
            assert!(asked.sender.is_none_or(|claimed| claimed == peers.id(asked.peer)), "{asked:?}");
        }
    });
}

#[test]
fn a_pong_that_nobody_asked_for_inserts_nobody() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).add(3);
        let node = start(&network, Node::builder()).await;
        for n in 0..3 {
            peers.tell(n, Some(peers.id(n)), node.local_addr(), Body::Response(Response::Pong));
        }
        sleep(Duration::from_secs(5)).await;
        assert_eq!(known(&node).await, []);
        assert_eq!(node.counters().get(Counter::UnknownQuery), 3);
        assert_eq!(peers.heard().len(), 0);
    });
}

#[test]
fn a_peer_that_asks_is_inserted_once_it_has_answered_a_ping_itself() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).add(2);
        let node = start(&network, Node::builder()).await;
        peers.on(|asked| if asked.peer == 0 { Reply::Silence } else { Reply::Usual });
        for n in 0..2 {
            assert_eq!(peers.ask(n, node.local_addr(), Request::Ping).await, Ok(Response::Pong));
        }
        sleep(Duration::from_secs(5)).await;
        assert_eq!(known(&node).await, [peers.peer(1)]);
        // Under an id that is no sender's to have, or none, it is served and not inserted.
        let body = Body::Request(Request::Ping);
        peers.forget_heard();
        peers.tell(0, None, node.local_addr(), body.clone());
        peers.tell(0, Some(node.id()), node.local_addr(), body);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(peers.heard().len(), 0);
    });
}

#[test]
fn what_a_node_holds_a_scripted_peer_can_ask_for() {
    in_virtual_time(async {
        let (_, peers, node) = house(2).await;
        let set = Request::Set { key: "key".into(), value: Value::from("value").into(), ttl: None };
        assert_eq!(peers.ask(0, node.local_addr(), set).await, Ok(Response::Set { stored: true }));
        let answer = peers.ask(1, node.local_addr(), Request::FindValue { key: "key".into() }).await.unwrap();
        assert_eq!(answer, Response::Value { value: Value::from("value").into(), ttl: Some(86_409) });
        assert_eq!(node.get("key").await.unwrap(), Some("value".into()));
        node.stop().await;
        assert!(peers.ask(0, node.local_addr(), Request::Ping).await.is_err());
    });
}

#[test]
#[should_panic(expected = "the script says so")]
fn a_panic_in_a_script_reaches_the_test() {
    in_virtual_time(async {
        let (_, peers, node) = house(1).await;
        peers.on(|_| panic!("the script says so"));
        let _ = node.get("key").await;
        drop(node);
    });
}

// ---- Addresses ----

#[test]
fn bad_addresses_that_a_peer_names_are_never_asked() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let peers = ScriptedPeers::new(&network, Codec::Json).add(2);
        let endpoint = network.endpoint();
        let own = endpoint.addr();
        let bad = ["0.0.0.0:7000", "127.0.0.1:7000", "10.0.0.1:7000", "192.168.0.1:7000", "224.0.0.1:7000"];
        let bad: Vec<SocketAddr> = bad.iter().map(|addr| addr.parse().unwrap()).collect();
        // Somebody listens at each of them.
        let traps: Vec<MemoryTransport> = bad.iter().map(|addr| network.endpoint_at(*addr).unwrap()).collect();
        let good = ScriptedPeers::new(&network, Codec::Json).add(1);
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
        // Nobody else was either: all that was asked has been heard.
        let heard = peers.heard().len() + good.heard().len();
        assert_eq!(node.counters().get(Counter::Asked), heard as u64);
    });
}

fn own_id() -> NodeId {
    NodeId::of_key("the node under test")
}

/// Somebody in whose name others send, on a network of global addresses.
struct Victim {
    network: MemoryNetwork,
    end: MemoryTransport,
    node: Node,
}

impl Victim {
    /// A node that knows eleven peers and holds a large value, and a victim that it does not know.
    async fn new() -> Self {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let peers = ScriptedPeers::new(&network, Codec::Json).add(11);
        let node = start(&network, Node::builder().bootstrap([peers.addr(0)])).await;
        assert_eq!(node.set("large", "x".repeat(50_000)).await.unwrap().stored, 11);
        Self { end: network.endpoint(), network, node }
    }

    fn spell(&self, body: Body, id: QueryId, claim: Option<NodeId>) -> Vec<u8> {
        let sender = Sender::new(claim, self.end.addr());
        Codec::Json.encode(&Wire { id, sender, version: Some(PROTOCOL_VERSION), body }).unwrap()
    }

    /// A query that claims to come from the victim. How many bytes it has.
    fn forge(&self, request: Request, claim: Option<NodeId>) -> usize {
        let datagram = self.spell(Body::Request(request), QueryId::from_u64(99), claim);
        let bytes = datagram.len();
        self.network.send(self.end.addr(), self.node.local_addr(), datagram);
        bytes
    }

    /// What has come to the victim meanwhile, and how many bytes.
    async fn received(&self) -> (Vec<Wire>, usize) {
        sleep(Duration::from_millis(50)).await;
        let datagrams: Vec<Vec<u8>> =
            std::iter::from_fn(|| self.end.try_receive()).map(|datagram| datagram.payload).collect();
        let bytes = datagrams.iter().map(Vec::len).sum();
        (datagrams.iter().map(|datagram| Codec::Json.decode(datagram).unwrap()).collect(), bytes)
    }

    /// Answers a ping among these messages.
    fn pong(&self, messages: &[Wire], claim: Option<NodeId>) {
        let ping = messages.iter().find(|message| message.body == Body::Request(Request::Ping));
        let pong = self.spell(Body::Response(Response::Pong), ping.expect("it was pinged").id, claim);
        assert!(self.end.send(self.node.local_addr(), pong));
    }
}

/// Who sends in the victim's name may claim an id, which makes the node curious, or none.
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
fn a_write_from_an_unverified_address_takes_effect_with_its_pong() {
    for claim in claims() {
        in_virtual_time(async {
            let victim = Victim::new().await;
            let held = async || victim.node.snapshot().await.unwrap().store.held.values;
            let set = || Request::Set { key: "key".into(), value: Value::from("value").into(), ttl: None };
            let asked = victim.forge(set(), claim);
            let (messages, bytes) = victim.received().await;
            assert!(bytes <= 3 * asked);
            assert_eq!(held().await, 0);
            victim.pong(&messages, claim);
            let (messages, _) = victim.received().await;
            assert_eq!(messages[0].body, Body::Response(Response::Set { stored: true }));
            assert_eq!(held().await, 1);

            let late = Victim::new().await;
            late.forge(set(), claim);
            let (messages, _) = late.received().await;
            sleep(Duration::from_millis(1_500)).await;
            late.pong(&messages, claim);
            assert_eq!(late.received().await.0, [], "the write was given up after a second");
            assert_eq!(late.node.snapshot().await.unwrap().store.held.values, 0);
        });
    }
}
