//! A node under siege: whatever bytes come, each from a source of its own, it goes on, keeps its bounds, and says nothing that
//! a node may not say. Its state is kept from one datagram to the next. The tests run it, and so does the fuzzer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use kademlia_dynamic::actors::snapshot::MAX_BLOCKED;
use kademlia_dynamic::actors::snapshot::MAX_DEFERRED;
use kademlia_dynamic::actors::snapshot::MAX_TOKENS;
use kademlia_dynamic::actors::snapshot::{AdmissionSnapshot, Snapshot};
use kademlia_dynamic::actors::snapshot::{
    MAX_ANSWERED_ADDRESSES, MAX_MEASURED_ADDRESSES, MAX_RECENT_PEERS, MAX_SILENT_ADDRESSES, MAX_UNANSWERED_ADDRESSES,
};
use kademlia_dynamic::actors::snapshot::{MAX_BUDGETS, MAX_RATED_PREFIXES, MAX_RATED_SOURCES};
use kademlia_dynamic::protocol::config::MAX_DATAGRAM;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Request, Response, Sender};
use kademlia_dynamic::protocol::peer::{AddressScope, Subnet, check_unicast};
use kademlia_dynamic::sim::MemoryNetwork;
use kademlia_dynamic::{Codec, Config, Node, NodeId, Peer};
use tokio::time::sleep;

use super::world::{Line, World};

/// Peers that the node knows from the start.
const RESIDENTS: u64 = 24;
/// Peers that answer, at most.
const LIVE: usize = 400;
/// Sources, each for one datagram; after that many they come again.
const SOURCES: u64 = 1 << 16;

/// A node and the peers that besiege it.
pub(crate) struct Besieged {
    codec: Codec,
    config: Config,
    network: MemoryNetwork,
    world: Rc<RefCell<World>>,
    node: Node,
    entropy: SeededEntropy,
    fed: u64,
}

impl Besieged {
    /// A node that knows [`RESIDENTS`] peers, with bounds so narrow that a thousand datagrams reach them. Within an actix
    /// system in virtual time.
    pub(crate) async fn new(codec: Codec, seed: u64) -> Self {
        let config = Config::builder()
            .max_values(200)
            .max_store_bytes(200_000)
            .max_unverified(8)
            .max_queries_in_flight(64)
            .max_lookups(8)
            .max_waiting_lookups(16)
            .max_verified_addresses(128)
            .max_pinned_keys(4)
            .handoff_time(Duration::ZERO)
            .build()
            .expect("narrow bounds are bounds");

        let network = MemoryNetwork::new(seed).with_scope(AddressScope::Global);
        let inner = network.endpoint();
        let own = Peer::new(NodeId::of_key("the besieged"), inner.addr());
        let mut world = World::new(codec, own, seed);
        let residents: Vec<SocketAddr> =
            (0..RESIDENTS).map(|n| SocketAddr::from(([30, n as u8, 0, 1], 7_000))).collect();
        for addr in &residents {
            world.assign(*addr, Some(NodeId::of_key(&addr.to_string())));
            world.is_named(*addr);
        }
        let world = Rc::new(RefCell::new(world));
        let line = Line { inner, network: network.clone(), world: world.clone() };
        let builder = Node::builder().codec(codec).config(config.clone()).node_id(own.id).seed(seed);
        let node = builder.bootstrap(residents).start_local_over(line).await.expect("a node starts");
        Self { codec, config, network, world, node, entropy: SeededEntropy::new(seed ^ 1), fed: 0 }
    }

    /// Lets the node hear `datagram` from a new source; and again as the answer to a query of its own, if it can be one.
    ///
    /// # Panics
    /// Where the node does what it must not do, or does no more what it must.
    pub(crate) async fn feed(&mut self, datagram: &[u8]) {
        self.fed += 1;
        let read = self.codec.decode(datagram).ok();
        let from = self.source();
        {
            let mut world = self.world.borrow_mut();
            let id = read.as_ref().and_then(|message| message.sender.id);
            // Every third stranger answers when it is asked.
            world.assign(from, id.filter(|_| self.entropy.below(3) == 0));
            if world.live() > LIVE {
                world.silence_the_oldest();
            }
        }
        self.say(from, datagram);
        if let Some(message) = read {
            for peer in peers_of(&message.body) {
                self.world.borrow_mut().is_named(peer.addr);
            }
            if let Body::Response(response) = &message.body {
                self.answer_with(datagram, &message, response).await;
            }
        }
        self.live_on().await;
        self.see_that_it_answers(datagram).await;
        self.check(datagram).await;
    }

    /// How many peers the node has named to others so far.
    pub(crate) fn relayed(&self) -> u64 {
        self.world.borrow().relayed
    }

    /// The node itself.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Asks as a peer that the node has never heard of, but whose address it trusts, and waits for the answer.
    pub(crate) async fn ask(&mut self, request: Request) {
        self.fed += 1;
        let from = SocketAddr::from(([10, 9, (self.fed >> 8) as u8, self.fed as u8], 7_000));
        let datagram = self.spell(from, QueryId::from_u64(self.fed), Body::Request(request));
        self.say(from, &datagram);
        self.see_that_it_answers(&datagram).await;
        self.check(&datagram).await;
    }

    /// A new source: most of them anywhere, some in one subnet, and some in the neighbourhood, whose claims count for more.
    fn source(&mut self) -> SocketAddr {
        let n = self.fed % SOURCES;
        let [.., a, b] = n.to_be_bytes();
        let ip = match self.entropy.below(8) {
            0 => Ipv4Addr::new(10, 1, a, b),
            1 | 2 => Ipv4Addr::new(20, 200, 0, b),
            _ => Ipv4Addr::new(20, a, b, 1),
        };
        SocketAddr::new(ip.into(), 1_024 + n as u16 % 30_000)
    }

    fn say(&self, from: SocketAddr, datagram: &[u8]) {
        self.world.borrow_mut().says(from, datagram.len());
        assert!(datagram.len() <= MAX_DATAGRAM, "no datagram is so long");
        self.network.send(from, self.node.local_addr(), datagram.to_vec());
    }

    /// Has the node ask what `response` is an answer to, and lets it hear that: under the id of the query, from whom was asked.
    async fn answer_with(&mut self, datagram: &[u8], message: &Message, response: &Response) {
        self.world.borrow_mut().wanted = Some(response.answers());
        self.do_something(response.answers());
        sleep(Duration::from_millis(8)).await;
        let open = self.world.borrow_mut().open.take();
        self.world.borrow_mut().wanted = None;
        let Some((peer, query)) = open else { return };
        let sender = Sender::new(Some(peer.id), peer.addr);
        let renamed = Message { id: query, sender, ..message.clone() };
        let answer = self.readdressed(datagram, message, &renamed);
        self.world.borrow_mut().proves(peer);
        self.say(peer.addr, &answer);
    }

    /// `datagram` under the query id and the sender's id of `renamed`: byte for byte the same otherwise where that can be
    /// done, since what is wrong with it is what matters.
    fn readdressed(&self, datagram: &[u8], message: &Message, renamed: &Message) -> Vec<u8> {
        let (Some(old), Some(new)) = (message.sender.id, renamed.sender.id) else { return self.encode(renamed) };
        let ids: [(Vec<u8>, Vec<u8>); 2] = match (self.codec, message.id.as_u64(), renamed.id.as_u64()) {
            (Codec::MessagePack, Some(was), Some(is)) => [
                (was.to_be_bytes().to_vec(), is.to_be_bytes().to_vec()),
                (old.as_bytes().to_vec(), new.as_bytes().to_vec()),
            ],
            (_, Some(_), Some(_)) => [
                (message.id.as_str().into(), renamed.id.as_str().into()),
                (old.to_string().into(), new.to_string().into()),
            ],
            _ => return self.encode(renamed),
        };
        let mut patched = datagram.to_vec();
        for (was, is) in ids {
            // The first place only: a peer that is named may have the same id.
            if let Some(at) = patched.windows(was.len()).position(|window| window == was) {
                patched[at..at + was.len()].copy_from_slice(&is);
            }
        }
        match self.codec.decode(&patched) {
            Ok(read) if read.id == renamed.id && read.sender.id == renamed.sender.id => patched,
            _ => self.encode(renamed),
        }
    }

    fn encode(&self, message: &Message) -> Vec<u8> {
        // What a legacy node spells shorter than we do may not fit any more.
        self.codec.encode(message).unwrap_or_default()
    }

    fn spell(&self, from: SocketAddr, id: QueryId, body: Body) -> Vec<u8> {
        // Under the node's own id no peer is inserted.
        self.encode(&Message { id, sender: Sender::new(Some(self.node.id()), from), version: None, token: None, body })
    }

    /// An application's wish: one that makes the node send a query of this name.
    fn do_something(&mut self, name: &str) {
        let (node, number) = (self.node.clone(), self.entropy.below(64));
        let resident = SocketAddr::from(([30, (number % RESIDENTS) as u8, 0, 1], 7_000));
        match name {
            "ping" => drop(actix_rt::spawn(async move { drop(node.ping(resident).await) })),
            "find_value" => drop(actix_rt::spawn(async move { drop(node.get(number.to_string()).await) })),
            "set" | "check_store" | "set_cached" => {
                drop(actix_rt::spawn(async move { drop(node.set(number.to_string(), "ours").await) }));
            }
            _ => {
                let target = NodeId::of_key(&self.entropy.next_u64().to_string());
                drop(actix_rt::spawn(async move { drop(node.find_node(target).await) }));
            }
        }
    }

    /// Time passes: mostly little, now and then so much that everything falls due.
    async fn live_on(&mut self) {
        if self.fed.is_multiple_of(16) {
            let name = ["find_node", "find_value", "set", "ping"][self.entropy.below(4) as usize];
            self.do_something(name);
        }
        let passes = match self.fed {
            fed if fed.is_multiple_of(16_384) => Duration::from_secs(90_000),
            fed if fed.is_multiple_of(2_048) => Duration::from_secs(4_000),
            fed if fed.is_multiple_of(128) => Duration::from_millis(2_500),
            _ => Duration::from_millis(1),
        };
        sleep(passes).await;
    }

    /// A ping sent right behind `datagram` is answered, and within a few milliseconds.
    async fn see_that_it_answers(&self, datagram: &[u8]) {
        let id = QueryId::from_u64(self.fed);
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        self.say(from, &self.spell(from, id, Body::Request(Request::Ping)));
        sleep(Duration::from_millis(3)).await;
        let pong = self.world.borrow().last_pong;
        assert_eq!(pong, Some(id), "no pong after {}", shown(datagram));
    }

    /// Nothing is broken, and nothing is beyond its bound.
    async fn check(&self, datagram: &[u8]) {
        let broken = self.world.borrow().broken.clone();
        assert_eq!(broken, None, "after {}", shown(datagram));
        let seen = self.node.snapshot().await.expect("the node runs");
        if let Err(what) = self.within_bounds(&seen) {
            panic!("{what} after {}\n{seen:?}", shown(datagram));
        }
    }

    fn within_bounds(&self, seen: &Snapshot) -> Result<(), String> {
        let config = &self.config;
        if !seen.restarts.by_actor.is_empty() {
            return Err(format!("actors panicked: {:?}", seen.restarts));
        }
        within("buckets", seen.table.buckets.len() as u64, 160)?;
        for bucket in &seen.table.buckets {
            within("peers in a bucket", bucket.peers.len() as u64, config.lookup.k)?;
            within("replacements in a bucket", bucket.replacements as u64, config.lookup.k)?;
        }
        let peers: Vec<Peer> = (seen.table.buckets.iter().flat_map(|bucket| &bucket.peers)).map(|e| e.peer).collect();
        let mut subnets = HashMap::new();
        for peer in &peers {
            let sound = check_unicast(&peer.addr).is_ok() && peer.addr != seen.addr && peer.id != seen.id;
            if !sound || !self.world.borrow().has_answered(peer) {
                return Err(format!("{peer} is in the table, and never answered"));
            }
            if config.table.diversity.covers(&peer.addr.ip()) {
                let neighbours: &mut u64 = subnets.entry(Subnet::of(&peer.addr.ip())).or_default();
                *neighbours += 1;
                within("peers of one subnet", *neighbours, config.table.max_per_subnet_table)?;
            }
        }
        within("values of strangers", seen.store.remote.values as u64, config.store.max_values)?;
        within("bytes of strangers", seen.store.remote.bytes as u64, config.store.max_store_bytes)?;
        within("cached values", seen.store.cached.values as u64, config.store.max_values / 10)?;
        within("queries in flight", seen.queries_in_flight as u64, config.lookup.max_queries_in_flight)?;
        within("lookups", seen.lookups_running as u64, config.lookup.max_lookups)?;
        within("peers that answered lookups", seen.recent_peers as u64, MAX_RECENT_PEERS)?;
        within("lookups that wait", seen.lookups_waiting as u64, 2 * config.lookup.max_waiting_lookups)?;
        within("pinned keys", seen.pins.pinned as u64, config.values.max_pinned_keys)?;
        admission_within_bounds(config, &seen.admission)
    }
}

fn within(what: &str, found: u64, bound: usize) -> Result<(), String> {
    if found <= bound as u64 { Ok(()) } else { Err(format!("{found} {what} where {bound} may be")) }
}

/// The sizes of all that is remembered of addresses. A new part must have its bound here, or this does not compile.
fn admission_within_bounds(config: &Config, seen: &AdmissionSnapshot) -> Result<(), String> {
    let AdmissionSnapshot {
        rated_sources,
        rated_prefixes,
        verified_addresses,
        unverified,
        unverified_for_one_address,
        blocked_datagrams,
        measured_addresses,
        silent_addresses,
        answered_addresses,
        unanswered_addresses,
        unanswered_hosts,
        budgets,
        legacy_writers,
        tokens,
        queries_deferred,
    } = *seen;
    let parts = [
        ("sources with a rate", rated_sources, MAX_RATED_SOURCES),
        ("networks with a rate", rated_prefixes, MAX_RATED_PREFIXES),
        ("verified addresses", verified_addresses, config.verification.max_verified_addresses),
        ("items that await verification", unverified, config.verification.max_unverified),
        ("items that wait for one address", unverified_for_one_address, config.verification.max_unverified_per_address),
        ("datagrams that made an actor panic", blocked_datagrams, MAX_BLOCKED),
        ("addresses with a round-trip time", measured_addresses, MAX_MEASURED_ADDRESSES),
        ("silent addresses", silent_addresses, MAX_SILENT_ADDRESSES),
        ("addresses that answered", answered_addresses, MAX_ANSWERED_ADDRESSES),
        ("addresses that never answered", unanswered_addresses, MAX_UNANSWERED_ADDRESSES),
        ("hosts that never answered", unanswered_hosts, MAX_UNANSWERED_ADDRESSES),
        ("hosts with a budget", budgets, MAX_BUDGETS),
        ("hosts with a rate of legacy writes", legacy_writers, MAX_RATED_SOURCES),
        ("tokens of others", tokens, MAX_TOKENS),
        ("queries that wait for others", queries_deferred, MAX_DEFERRED),
    ];
    parts.into_iter().try_for_each(|(what, found, bound)| within(what, found as u64, bound))
}

fn peers_of(body: &Body) -> &[Peer] {
    match body {
        Body::Response(Response::FindNode { peers } | Response::NoValue { peers }) => peers,
        _ => &[],
    }
}

fn shown(datagram: &[u8]) -> String {
    format!("{} bytes: {}", datagram.len(), datagram[..datagram.len().min(600)].escape_ascii())
}
