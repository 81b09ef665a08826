//! Hours of mixed load in virtual time: values set and read, nodes that come and go, a flood now and then. What strangers and
//! users can fill stays within its bounds, and memory stays flat. `cargo bench --bench flood -- day 24` shows a day. And a
//! network of strangers, each of whom sends slowly, and who all together do not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Request, Response, Sender};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::sim::{Churn, MemoryNetwork, MemoryTransport, Sim, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Node, NodeId};

const HOUR: Duration = Duration::from_secs(3_600);
/// Values that a node holds for others at most.
const MAX_VALUES: usize = 50;
/// Keys that are set. More than a node may hold.
const KEYS: usize = 100;
/// How many of them in each step.
const SETS: usize = 15;
/// Datagrams that a stranger sends to one node at once: more than there are slots.
const FLOOD: u64 = 80;
/// Strangers who do so one after the other.
const STRANGERS: u64 = 25;
/// How often they come.
const STEP: Duration = Duration::from_secs(600);
/// How many kilobytes of memory may come to be used while 40,000 datagrams come in: a leak of 30 bytes each is more.
const MAX_GROWTH: u64 = 1_024;

/// Kilobytes of memory that this process uses; `None` where the system does not say.
fn memory_kb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// Some set values and some read them, and then strangers come; how full they make the nodes.
async fn a_step(sim: &Sim, step: u64, entropy: &mut SeededEntropy) -> (usize, usize, usize) {
    for _ in 0..SETS {
        let key = format!("key {}", sim.below(KEYS));
        let _ = sim.set(sim.random_node(), &key, format!("at step {step}")).await;
        let _ = sim.get(sim.random_node(), &key).await;
    }
    for stranger in 0..STRANGERS {
        flood(sim, step * STRANGERS + stranger, entropy);
        sim.run_for(Duration::from_millis(100)).await;
    }
    let most = fullest(sim).await;
    sim.run_for(STEP).await;
    most
}

/// A stranger sends [`FLOOD`] datagrams at once to one of the nodes, and answers nothing.
fn flood(sim: &Sim, number: u64, entropy: &mut SeededEntropy) {
    let stranger = sim.network().endpoint();
    let Some(node) = sim.node(sim.random_node()) else { return };
    for n in 0..FLOOD {
        let mut random = || {
            let mut id = [0; 20];
            entropy.fill(&mut id);
            NodeId::from_bytes(id)
        };
        let (claimed, target) = (random(), random());
        let request = match n % 4 {
            0 => Request::Ping,
            1 => Request::FindNode { target },
            2 => Request::FindValue { key: format!("absent {n}").into() },
            _ => Request::Set {
                key: format!("foreign {number} {n}").into(),
                value: std::sync::Arc::new("x".repeat(100).into()),
                ttl: None,
                age: None,
            },
        };
        let sender = Sender::new(Some(claimed), stranger.addr());
        let message =
            Message { id: QueryId::from_u64(n), sender, version: None, token: None, body: Body::Request(request) };
        stranger.send(node.local_addr(), Codec::Json.encode(&message).unwrap());
    }
}

/// The most that any node holds of each: values of others, peers, queries in flight.
async fn fullest(sim: &Sim) -> (usize, usize, usize) {
    let mut most = (0, 0, 0);
    for place in sim.places() {
        let Some(node) = sim.node(place) else { continue };
        let snapshot = node.snapshot().await.unwrap();
        let held = snapshot.store.remote.values;
        let peers = snapshot.table.peers + snapshot.table.replacements;
        most = (most.0.max(held), most.1.max(peers), most.2.max(snapshot.queries_in_flight));
    }
    most
}

#[test]
fn after_hours_of_mixed_load_all_is_within_its_bounds_and_memory_is_flat() {
    let config = Config::builder().max_values(MAX_VALUES).key_expiry(HOUR).restore_interval(HOUR / 4).build().unwrap();
    let builder = Sim::builder().nodes(8).seed(1).loss(0.01).config(config).churn(Churn::weibull(2 * HOUR));
    Sim::run(builder, async |sim| {
        let mut entropy = SeededEntropy::new(2);
        let (mut memory, mut most) = (Vec::new(), 0);
        for step in 1..=30 {
            let (values, peers, queries) = a_step(&sim, step, &mut entropy).await;
            most = most.max(values);
            // Those who flood never prove themselves, so whoever is known is a node.
            assert!(peers < 200 && queries < 500, "{peers} peers, {queries} queries in flight");
            if u64::is_multiple_of(step, 6) {
                memory.extend(memory_kb());
            }
        }
        assert_eq!(most, MAX_VALUES, "values that one node held at most");
        // The second hour has filled whatever can be filled.
        if let [_, second, .., last] = memory[..] {
            assert!(last < second + MAX_GROWTH, "memory by the hour, in kilobytes: {memory:?}");
        }
    })
    .unwrap();
}

/// Somebody who pings a node, and answers its pings or does not.
struct Pinger {
    end: MemoryTransport,
    sent: u64,
    answered: u64,
}

impl Pinger {
    fn at(network: &MemoryNetwork, ip: IpAddr) -> Self {
        let end = network.endpoint_at(SocketAddr::new(ip, 7_000)).unwrap();
        Self { end, sent: 0, answered: 0 }
    }

    fn say(&self, to: SocketAddr, id: QueryId, claimed: NodeId, body: Body) {
        let message =
            Message { id, sender: Sender::new(Some(claimed), self.end.addr()), version: None, token: None, body };
        self.end.send(to, Codec::Json.encode(&message).unwrap());
    }

    /// Sends a ping under the node's own id, so that it is not curious who that is.
    fn ping(&mut self, node: &Node) {
        self.sent += 1;
        self.say(node.local_addr(), QueryId::from_u64(self.sent), node.id(), Body::Request(Request::Ping));
    }

    /// Counts the pongs that have come.
    fn look(&mut self) {
        while let Some(datagram) = self.end.try_receive() {
            let said = Codec::Json.decode(&datagram.payload).unwrap();
            self.answered += u64::from(said.body == Body::Response(Response::Pong));
        }
    }

    /// Proves to `node` that it is where it says.
    async fn prove(&self, node: &Node) {
        let answer = async {
            let query = Codec::Json.decode(&self.end.receive().await.payload).unwrap();
            self.say(node.local_addr(), query.id, NodeId::of_key("verified"), Body::Response(Response::Pong));
        };
        let (pong, ()) = futures_util::future::join(node.ping(self.end.addr()), answer).await;
        assert_eq!(pong.unwrap().peer.addr, self.end.addr());
    }
}

#[test]
fn strangers_of_one_network_share_its_rate_however_slowly_each_sends_and_nobody_else_suffers() {
    let networks: [fn(u8, u8) -> IpAddr; 2] = [
        |network, host| [45, 9, network, host].into(),
        // A /48 each, of which every host has a /64.
        |network, host| [0x2600, 0x9, network.into(), host.into(), 0, 0, 0, 1].into(),
    ];
    for ip in networks {
        in_virtual_time(async {
            let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
            let config = Config::builder().source_rate(50).source_burst(50).prefix_rate(100).prefix_burst(100);
            let own = network.endpoint_at(SocketAddr::new(ip(1, 1), 7_000)).unwrap();
            let builder = Node::builder().config(config.build().unwrap()).seed(1);
            let node = builder.start_local_over(own).await.unwrap();
            let mut strangers: Vec<Pinger> = (1..=10).map(|host| Pinger::at(&network, ip(2, host))).collect();
            let (mut neighbour, mut elsewhere) = (Pinger::at(&network, ip(2, 200)), Pinger::at(&network, ip(3, 1)));
            neighbour.prove(&node).await;

            // 25 a second from each: half of what one may send, and two and a half times what they may together.
            for _ in 0..25 * 4 {
                let all = strangers.iter_mut().chain([&mut neighbour, &mut elsewhere]);
                all.for_each(|pinger| pinger.ping(&node));
                tokio::time::sleep(Duration::from_millis(40)).await;
                strangers.iter_mut().chain([&mut neighbour, &mut elsewhere]).for_each(Pinger::look);
            }
            let sum = |of: fn(&Pinger) -> u64| strangers.iter().map(of).sum::<u64>();
            let (sent, answered) = (sum(|it| it.sent), sum(|it| it.answered));
            // The burst, and four seconds of the rate.
            assert!((490..=500).contains(&answered), "{answered} of {sent} answered");
            assert_eq!(node.counters().get(Counter::TooFast), sent - answered, "{:?}", node.counters());
            for unharmed in [&neighbour, &elsewhere] {
                assert_eq!(unharmed.answered, unharmed.sent, "at {}", unharmed.end.addr());
            }
            let dropped = node.counters().snapshot();
            let reasons: Vec<_> = dropped.keys().filter(|name| name.starts_with("kad_dropped_total")).collect();
            assert_eq!(reasons, ["kad_dropped_total{too_fast}"]);

            // When they pause, the network has room again.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let before = strangers[0].answered;
            strangers[0].ping(&node);
            tokio::time::sleep(Duration::from_millis(40)).await;
            strangers[0].look();
            assert_eq!(strangers[0].answered, before + 1);
        });
    }
}
