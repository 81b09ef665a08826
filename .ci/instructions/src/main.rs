//! `count-instructions PATH TIMES` takes a hot path of the core as many times; without arguments it names the paths.
//!
//! Run under callgrind with two numbers of times, the difference between the counts is what the path takes, without what
//! prepares it.

#[path = "../../../benches/shared/network.rs"]
mod network;
#[path = "../../../benches/shared/table.rs"]
mod table;

use std::hint::black_box;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kademlia_dynamic::internals::{
    Admission, Goal, Lookup, Next, RecentPeers, Records, RemoteWrite, Tokens, Write as StoreWrite,
};
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::SeededEntropy;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Body, Message, PROTOCOL_VERSION, QueryId, Request, Response, Sender};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::{MemoryStore, Store};
use kademlia_dynamic::protocol::value::Value;

use network::Network;
use table::{strangers, table};

/// Peers of the routing table.
const PEERS: usize = 1_000;

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let paths = paths();
    let Some(name) = args.next() else {
        return paths.iter().try_for_each(|(name, _)| writeln!(io::stdout(), "{name}"));
    };
    let times = args.next().and_then(|times| times.parse().ok()).expect("count-instructions PATH TIMES");
    let (_, prepare) =
        paths.into_iter().find(|(path, _)| *path == name).expect("a path that is named without arguments");
    let mut take = prepare();
    (0..times).for_each(&mut take);
    Ok(())
}

type Take = Box<dyn FnMut(usize)>;
/// Prepares a path, and gives what takes it once; its argument counts the turns.
type Prepare = Box<dyn FnOnce() -> Take>;
/// A path that needs nothing from where it is named.
type Named = (&'static str, fn() -> Take);

fn paths() -> Vec<(String, Prepare)> {
    let mut paths: Vec<(String, Prepare)> = Vec::new();
    for codec in Codec::ALL {
        for (name, message) in messages() {
            let read = codec.encode(&message).expect("it is far smaller than a datagram may be");
            let decode = move || -> Take { Box::new(move |_| drop(black_box(codec.decode(black_box(&read))))) };
            let encode = move || -> Take {
                // As in a node, into the memory of the last one.
                let mut memory = Vec::new();
                Box::new(move |_| {
                    let encoded = codec.encode_within(black_box(&message), 60_000, std::mem::take(&mut memory));
                    memory = black_box(encoded).expect("it is far smaller than a datagram may be");
                })
            };
            paths.push((format!("{codec}/read/{name}"), Box::new(decode)));
            paths.push((format!("{codec}/write/{name}"), Box::new(encode)));
        }
    }
    let rest: [Named; 9] = [
        ("token/judge", judge),
        ("routing/nearest", nearest),
        ("routing/known-answers", known_answers),
        ("routing/stranger-asks", stranger_asks),
        ("store/new-value", new_value),
        ("store/same-value", same_value),
        ("lookup/nodes", || look_up(Goal::Nodes)),
        ("lookup/missed-value", || look_up(Goal::Value)),
        ("lookup/recent-peers", recent_peers),
    ];
    paths.extend(rest.map(|(name, prepare)| (name.to_owned(), Box::new(prepare) as Prepare)));
    paths
}

fn messages() -> [(&'static str, Message); 6] {
    let message = |body| Message {
        id: QueryId::from_u64(0x00c0_ffee_00c0_ffee),
        sender: Sender::new(Some(NodeId::of_key("sender")), SocketAddr::from(([192, 0, 2, 7], 49_152))),
        version: Some(PROTOCOL_VERSION),
        token: None,
        body,
    };
    let peers = (1..=20)
        .map(|n: u8| Peer::new(NodeId::of_key(&n.to_string()), SocketAddr::from(([198, 51, 100, n], 49_152))))
        .collect();
    let value = Arc::new(Value::from("x".repeat(200)));
    [
        ("ping", message(Body::Request(Request::Ping))),
        ("ping-answer", message(Body::Response(Response::Pong))),
        ("find_node", message(Body::Request(Request::FindNode { target: NodeId::of_key("target") }))),
        ("find_node-answer-of-20", message(Body::Response(Response::FindNode { peers }))),
        ("find_value", message(Body::Request(Request::FindValue { key: "a key of usual length 12345".into() }))),
        (
            "set-of-200-bytes",
            message(Body::Request(Request::Set {
                key: "a key of usual length 12345".into(),
                value,
                ttl: None,
                age: None,
            })),
        ),
    ]
}

fn judge() -> Take {
    let now = Instant::now();
    let tokens = Tokens::new(&mut SeededEntropy::new(1), now);
    let admission: Admission<()> = Admission::new(&Config::default(), 150, tokens.clone());
    let from = SocketAddr::from(([198, 51, 100, 1], 49_152));
    let shown = Some(tokens.make(from, now));
    Box::new(move |_| {
        let _ = black_box(admission.judge(black_box(from), shown, now));
    })
}

fn nearest() -> Take {
    let (table, targets) = (table(PEERS, Instant::now()), strangers());
    let asker = targets[0].addr;
    Box::new(move |turn| {
        let _ = black_box(table.nearest_for(&targets[turn % 1_024].id, 20, &asker));
    })
}

fn known_answers() -> Take {
    let now = Instant::now();
    let mut table = table(PEERS, now);
    let known = table.verified_peers(usize::MAX);
    Box::new(move |turn| {
        let _ = black_box(table.peer_answered(known[turn % known.len()], Some(1), now));
    })
}

fn stranger_asks() -> Take {
    let mut now = Instant::now();
    let (mut table, strangers) = (table(PEERS, now), strangers());
    Box::new(move |turn| {
        now += Duration::from_micros(20);
        let _ = black_box(table.peer_asked(strangers[turn % 1_024], now));
    })
}

/// A peer's write of a value of 200 bytes, from the message to what is held.
fn new_value() -> Take {
    let (mut store, now) = (HeldValues::new(), Instant::now());
    Box::new(move |turn| store.write(turn, now))
}

fn same_value() -> Take {
    let (mut store, now) = (HeldValues::new(), Instant::now());
    (0..VALUES).for_each(|turn| store.write(turn, now));
    Box::new(move |turn| store.write(turn % VALUES, now + Duration::from_secs(3_600)))
}

/// Values that the store holds already.
const VALUES: usize = 1_000;

struct HeldValues {
    records: Records,
    backend: MemoryStore,
    entropy: SeededEntropy,
    value: Arc<Value>,
}

impl HeldValues {
    fn new() -> Self {
        let records = Records::new(NodeId::of_key("the node"), &Config::default(), Instant::now());
        let (backend, entropy) = (MemoryStore::new(), SeededEntropy::new(1));
        Self { records, backend, entropy, value: Arc::new(Value::from("x".repeat(200))) }
    }

    fn write(&mut self, turn: usize, now: Instant) {
        let [a, b] = (turn as u16).to_be_bytes();
        let write = StoreWrite::Set(RemoteWrite {
            key: format!("a key of usual length {turn:05}").into(),
            value: self.value.clone(),
            ttl: None,
            age: None,
            from: SocketAddr::from(([198, a, b, 1], 4_000)),
            legacy: false,
        });
        let mut plan = self.records.propose(write, now, &mut self.entropy).expect("there is room");
        assert!(self.backend.commit_at_once(plan.take_changes()).is_ok(), "a store in memory commits at once");
        let _ = black_box(self.records.apply(plan));
    }
}

fn look_up(goal: Goal) -> Take {
    let network = Network::new();
    Box::new(move |_| drop(black_box(network.look_up(goal))))
}

/// Lookups that each met other peers than the last two, and the peers from which the next one begins.
fn recent_peers() -> Take {
    let (now, strangers) = (Instant::now(), strangers());
    let config = Config::builder().k(100).build().expect("k may be 100");
    let traces = [0, 100, 200].map(|from| {
        let (own, target) = (NodeId::of_key("own"), NodeId::of_key("target"));
        let mut lookup = Lookup::new(own, target, Goal::Nodes, &config, false, &strangers[from..from + 100], now);
        while let Next::Query(asked) = lookup.next(now) {
            lookup.handle_peers(&asked, &[], now);
        }
        lookup.into_trace()
    });
    let mut recent = RecentPeers::new(&config);
    Box::new(move |turn| {
        recent.learn(&traces[turn % 3], now);
        let _ = black_box(recent.nearest(&strangers[turn % 1_024].id, 20, now));
    })
}
