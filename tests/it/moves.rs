//! Nodes that come back at another address, others that want their place, and the events about peers that come and go. In
//! virtual time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kademlia_dynamic::actors::events::{Event, EventStream};
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::protocol::store::{
    Change, Committed, MAX_REMEMBERED_PEERS, Recollection, Store, StoreError, StoredRecord,
};
use kademlia_dynamic::sim::{MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Node, NodeBuilder, NodeId, Peer};
use tokio::time::{sleep, timeout};

use crate::support::{HOUR, MINUTE, known};

/// A store that outlives the node, and remembers whom it knew.
#[derive(Clone, Default)]
struct Lasting(Arc<Mutex<Recollection>>);

impl Store for Lasting {
    fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
        Ok(Vec::new())
    }

    fn commit(&mut self, _: Vec<Change>, done: Committed) {
        done(Ok(()));
    }

    fn recall(&mut self) -> Option<Recollection> {
        Some(self.0.lock().unwrap().clone())
    }

    fn remember(&mut self, recollection: Recollection) {
        *self.0.lock().unwrap() = recollection;
    }
}

async fn start_json(network: &MemoryNetwork, builder: NodeBuilder) -> Node {
    builder.codec(Codec::Json).start_local_over(network.endpoint()).await.unwrap()
}

/// Ends the node at once, and waits until it has gone.
async fn kill(network: &MemoryNetwork, node: Node) {
    let addr = node.local_addr();
    network.remove(addr);
    drop(node);
    sleep(Duration::from_millis(10)).await;
}

/// Where `node` knows `id`.
async fn known_at(node: &Node, id: NodeId) -> Option<SocketAddr> {
    known(node).await.into_iter().find(|peer| peer.id == id).map(|peer| peer.addr)
}

/// How many of `nodes` still know a node at its earlier address ten seconds after it has come back at another one.
async fn moves(nodes: usize, loss: f64, scope: AddressScope) -> (usize, usize) {
    let network = MemoryNetwork::new(7).with_scope(scope);
    let store = Lasting::default();
    let moving = |contact: Option<SocketAddr>| {
        Node::builder().node_id(NodeId::of_key("it moves")).store(store.clone()).seed(99).bootstrap(contact)
    };
    let mut others = vec![start_json(&network, Node::builder().node_id(NodeId::of_key("0")).seed(0)).await];
    let contact = others[0].local_addr();
    let before = start_json(&network, moving(Some(contact))).await;
    let (id, addr) = (before.id(), before.local_addr());
    for n in 1..nodes {
        let builder = Node::builder().node_id(NodeId::of_key(&n.to_string())).seed(n as u64).bootstrap([contact]);
        others.push(start_json(&network, builder).await);
    }
    sleep(2 * HOUR).await;
    let mut knew = Vec::new();
    for node in others {
        if known_at(&node, id).await == Some(addr) {
            knew.push(node);
        }
    }
    kill(&network, before).await;
    // They are idle, and nothing else happens: all that they learn they learn by its coming.
    network.set_link(network.link().with_loss(loss));
    let after = start_json(&network, moving(None)).await;
    sleep(Duration::from_secs(10)).await;
    let mut late = 0;
    for node in &knew {
        late += usize::from(known_at(node, id).await != Some(after.local_addr()));
    }
    (late, knew.len())
}

#[test]
fn a_node_that_comes_back_at_another_address_is_found_there_within_ten_seconds_by_all_that_knew_it() {
    for (nodes, scope) in [(1, AddressScope::Loopback), (2, AddressScope::Global), (60, AddressScope::Global)] {
        in_virtual_time(async {
            let (late, knew) = moves(nodes, 0.0, scope).await;
            assert_eq!(late, 0, "of {knew}");
            assert!(knew >= nodes.min(20), "{knew} of {nodes} knew it");
        });
    }
}

/// A node that knows a victim, both idle, and another peer that has the victim's id elsewhere.
struct Theft {
    network: MemoryNetwork,
    node: Node,
    victim: ScriptedPeers,
    thief: ScriptedPeers,
}

impl Theft {
    async fn new() -> Self {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let victim = ScriptedPeers::new(&network, Codec::Json).with(3);
        let thief = ScriptedPeers::new(&network, Codec::Json).with_id(victim.id(0));
        let node =
            start_json(&network, Node::builder().node_id(NodeId::of_key("ours")).seed(1).bootstrap([victim.addr(0)]))
                .await;
        sleep(MINUTE).await;
        victim.forget_heard();
        Self { network, node, victim, thief }
    }

    async fn claims(&self, times: usize, every: Duration) {
        for _ in 0..times {
            let _ = self.thief.ask(0, self.node.local_addr(), Request::Ping).await;
            sleep(every).await;
        }
    }

    async fn has_it(&self) -> Option<SocketAddr> {
        known_at(&self.node, self.victim.id(0)).await
    }
}

#[test]
fn an_id_that_is_claimed_from_elsewhere_for_an_hour_stays_with_the_peer_that_answers_and_costs_it_few_pings() {
    in_virtual_time(async {
        let theft = Theft::new().await;
        theft.claims(3_600, Duration::from_secs(1)).await;
        assert_eq!(theft.has_it().await, Some(theft.victim.addr(0)));
        let pings =
            theft.victim.heard().iter().filter(|asked| asked.peer == 0 && asked.request == Request::Ping).count();
        assert!((300..=380).contains(&pings), "{pings}, one in ten seconds");
    });
}

#[test]
fn a_victim_that_was_flooded_until_its_id_was_taken_has_it_back_within_minutes_of_the_floods_end() {
    in_virtual_time(async {
        let theft = Theft::new().await;
        theft.network.partition([theft.victim.addr(0)]);
        theft.claims(5, Duration::from_secs(2)).await;
        assert_eq!(theft.has_it().await, Some(theft.thief.addr(0)), "it was silent, and the other one answers");
        sleep(40 * MINUTE).await;
        theft.network.heal();
        // It sends nothing itself.
        sleep(7 * MINUTE).await;
        assert_eq!(theft.has_it().await, Some(theft.victim.addr(0)));
        theft.claims(5, Duration::from_secs(2)).await;
        assert_eq!(theft.has_it().await, Some(theft.victim.addr(0)));
        assert_eq!(theft.node.snapshot().await.unwrap().table.counters.restored, 1);
    });
}

#[test]
fn a_victim_that_asks_something_has_its_id_back_at_once() {
    in_virtual_time(async {
        let theft = Theft::new().await;
        theft.network.partition([theft.victim.addr(0)]);
        theft.claims(5, Duration::from_secs(2)).await;
        assert_eq!(theft.has_it().await, Some(theft.thief.addr(0)));
        theft.network.heal();
        theft.victim.ask(0, theft.node.local_addr(), Request::Ping).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(theft.has_it().await, Some(theft.victim.addr(0)));
    });
}

#[test]
fn addresses_in_whose_name_an_id_is_claimed_get_fewer_pings_than_datagrams_were_sent_in_their_name() {
    in_virtual_time(async {
        let theft = Theft::new().await;
        let named = ScriptedPeers::new(&theft.network, Codec::Json).with(20);
        named.on(|_| Reply::Silence);
        theft.network.partition([theft.victim.addr(0)]);
        const ROUNDS: usize = 60;
        for round in 0..ROUNDS {
            // While the known address is being asked none of them is.
            assert!(round > 5 || named.heard().is_empty(), "in round {round}");
            for n in 0..named.len() {
                let ping = kademlia_dynamic::protocol::message::Body::Request(Request::Ping);
                named.tell(n, Some(theft.victim.id(0)), theft.node.local_addr(), ping);
            }
            sleep(Duration::from_secs(1)).await;
            assert!(theft.has_it().await.is_none_or(|addr| addr == theft.victim.addr(0)), "round {round}");
        }
        for n in 0..named.len() {
            let pings = named.heard().iter().filter(|asked| asked.peer == n).count();
            assert!(pings <= ROUNDS / 2, "{pings} to the one of number {n}, for {ROUNDS} datagrams in its name");
        }
    });
}

// ---- Events ----

/// How many peers came in, and how many left, by the events so far.
async fn came_and_left(events: &mut EventStream) -> (usize, usize) {
    let (mut added, mut removed) = (0, 0);
    while let Ok(Some(event)) = timeout(Duration::from_millis(10), events.next()).await {
        added += usize::from(matches!(event, Event::PeerAdded(_)));
        removed += usize::from(matches!(event, Event::PeerRemoved(_)));
    }
    (added, removed)
}

#[test]
fn a_peer_that_comes_back_at_its_address_under_another_id_is_reported_to_have_left() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let node = start_json(&network, Node::builder().seed(1)).await;
        let mut events = node.events();
        let addr = network.endpoint().addr();
        for id in 1..=3u8 {
            let end = network.endpoint_at(addr).unwrap();
            let builder = Node::builder().codec(Codec::Json).node_id(NodeId::from_bytes([id; 20]));
            let peer = builder.bootstrap([node.local_addr()]).start_local_over(end).await.unwrap();
            sleep(Duration::from_secs(5)).await;
            kill(&network, peer).await;
        }
        assert_eq!(came_and_left(&mut events).await, (3, 2));
        assert_eq!(known(&node).await.len(), 1);
    });
}

#[test]
fn a_peer_that_moves_is_reported_to_have_left_and_to_have_come_in() {
    in_virtual_time(async {
        let theft = Theft::new().await;
        let mut events = theft.node.events();
        theft.network.partition([theft.victim.addr(0)]);
        theft.claims(5, Duration::from_secs(2)).await;
        assert_eq!(theft.has_it().await, Some(theft.thief.addr(0)));
        assert_eq!(came_and_left(&mut events).await, (1, 1));
    });
}

// ---- Remembered peers ----

/// Peers that are not there any more.
fn stale(count: usize) -> Vec<Peer> {
    let peer =
        |n: usize| Peer::new(NodeId::of_key(&format!("stale {n}")), ([45, 1, (n >> 8) as u8, n as u8], 7).into());
    (0..count).map(peer).collect()
}

#[test]
fn through_two_restarts_the_peers_that_answered_last_are_the_first_that_are_remembered() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(3);
        let store = Lasting::default();
        store.0.lock().unwrap().peers = stale(MAX_REMEMBERED_PEERS);
        let builder = || Node::builder().store(store.clone()).seed(1);
        let remembered = || store.0.lock().unwrap().peers.clone();
        for (round, fresh) in [0, 1, 2].into_iter().enumerate() {
            let node = start_json(&network, builder()).await;
            let _ = peers.ask(fresh, node.local_addr(), Request::Ping).await;
            sleep(5 * MINUTE).await;
            node.stop().await;
            let remembered = remembered();
            assert_eq!(remembered.len(), MAX_REMEMBERED_PEERS);
            // One peer at least has come in since the last start, and those before it are there again.
            let known: Vec<Peer> = peers.all();
            for peer in &known[..=round] {
                assert!(remembered[..3].contains(peer), "{peer} is not the first after restart {round}");
            }
        }
    });
}

#[test]
fn a_node_that_lost_all_its_peers_asks_the_fresh_ones_beside_two_hundred_stale_ones() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(1);
        let store = Lasting::default();
        store.0.lock().unwrap().peers = stale(MAX_REMEMBERED_PEERS);
        let node = start_json(&network, Node::builder().store(store).seed(1)).await;
        let _ = peers.ask(0, node.local_addr(), Request::Ping).await;
        sleep(5 * MINUTE).await;
        assert_eq!(known(&node).await, [peers.peer(0)]);
        network.partition([peers.addr(0)]);
        for _ in 0..10 {
            let _ = node.find_node(NodeId::ZERO).await;
            sleep(MINUTE).await;
        }
        assert_eq!(node.snapshot().await.unwrap().table.failing, 1);
        network.heal();
        // Longer than the longest pause between two rejoins.
        sleep(12 * MINUTE).await;
        assert_eq!(node.snapshot().await.unwrap().table.failing, 0);
    });
}
