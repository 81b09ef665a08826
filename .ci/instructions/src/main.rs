//! `count-instructions PATH TIMES` takes a hot path of the core as many times; without arguments it names the paths.
//!
//! Run under callgrind with two numbers of times, the difference between the counts is what the path takes, without what
//! prepares it.

use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kademlia_dynamic::internals::{Admission, Ending, Goal, Lookup, Next, RoutingTable, Tokens};
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Body, Message, PROTOCOL_VERSION, QueryId, Request, Response, Sender};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::prefix::Prefix;
use kademlia_dynamic::protocol::value::Value;

/// Peers of the routing table, and nodes of the network in which a lookup is made.
const PEERS: usize = 1_000;
const OWN: NodeId = NodeId::ZERO;

fn main() {
    let mut args = std::env::args().skip(1);
    let paths = paths();
    let Some(name) = args.next() else { return paths.iter().for_each(|(name, _)| println!("{name}")) };
    let times = args.next().and_then(|times| times.parse().ok()).expect("count-instructions PATH TIMES");
    let (_, prepare) =
        paths.into_iter().find(|(path, _)| *path == name).expect("a path that is named without arguments");
    let mut take = prepare();
    (0..times).for_each(|turn| take(turn));
}

type Take = Box<dyn FnMut(usize)>;
/// Prepares a path, and gives what takes it once; its argument counts the turns.
type Prepare = Box<dyn FnOnce() -> Take>;

fn paths() -> Vec<(String, Prepare)> {
    let mut paths: Vec<(String, Prepare)> = Vec::new();
    for codec in Codec::ALL {
        for (name, message) in messages() {
            let read = codec.encode(&message).expect("it is far smaller than a datagram may be");
            let decode = move || -> Take { Box::new(move |_| drop(black_box(codec.decode(black_box(&read))))) };
            let encode = move || -> Take {
                Box::new(move |_| drop(black_box(codec.encode_within(black_box(&message), 60_000))))
            };
            paths.push((format!("{codec}/read/{name}"), Box::new(decode)));
            paths.push((format!("{codec}/write/{name}"), Box::new(encode)));
        }
    }
    let rest: [(&str, fn() -> Take); 6] = [
        ("token/judge", judge),
        ("routing/nearest", nearest),
        ("routing/known-answers", known_answers),
        ("routing/stranger-asks", stranger_asks),
        ("lookup/nodes", || look_up(Goal::Nodes)),
        ("lookup/missed-value", || look_up(Goal::Value)),
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

/// A peer that shares at least `shared` bits with us, in a subnet of its own.
fn peer(entropy: &mut SeededEntropy, shared: u32, number: u32) -> Peer {
    let [_, a, b, c] = number.to_be_bytes();
    Peer::new(Prefix::of(&OWN, shared).random_id(entropy), SocketAddr::from(([40 + a, b, c, 1], 4_000)))
}

fn table(now: Instant) -> RoutingTable {
    let mut entropy = SeededEntropy::new(1);
    let mut table = RoutingTable::new(OWN, &Config::default(), now);
    for number in 0.. {
        if table.len() == PEERS {
            break;
        }
        let shared = entropy.below(PEERS as u64 / 20 + 1) as u32;
        let _ = table.peer_answered(peer(&mut entropy, shared, number), Some(1), now);
    }
    table
}

fn strangers() -> Vec<Peer> {
    let mut entropy = SeededEntropy::new(2);
    (0..1_024).map(|number| peer(&mut entropy, 0, 1_000_000 + number)).collect()
}

fn nearest() -> Take {
    let (table, targets) = (table(Instant::now()), strangers());
    let asker = targets[0].addr;
    Box::new(move |turn| {
        let _ = black_box(table.nearest_for(&targets[turn % 1_024].id, 20, &asker));
    })
}

fn known_answers() -> Take {
    let now = Instant::now();
    let mut table = table(now);
    let known = table.verified_peers(usize::MAX);
    Box::new(move |turn| {
        let _ = black_box(table.peer_answered(known[turn % known.len()], Some(1), now));
    })
}

fn stranger_asks() -> Take {
    let mut now = Instant::now();
    let (mut table, strangers) = (table(now), strangers());
    Box::new(move |turn| {
        now += Duration::from_micros(20);
        let _ = black_box(table.peer_asked(strangers[turn % 1_024], now));
    })
}

/// A lookup among nodes that answer at once. What each answers is prepared.
fn look_up(goal: Goal) -> Take {
    let (config, target, now) = (Config::default(), NodeId::of_key("what is looked for"), Instant::now());
    let mut entropy = SeededEntropy::new(1);
    let place = |n: usize| SocketAddr::from(([45, (n >> 8) as u8, n as u8, 1], 4_000));
    let peers: Vec<Peer> = (0..PEERS).map(|n| Peer::new(Prefix::ALL.random_id(&mut entropy), place(n))).collect();
    let answers: HashMap<NodeId, Vec<Peer>> =
        peers.iter().map(|peer| (peer.id, answer(peer, &peers, &target, config.lookup.k))).collect();
    Box::new(move |_| {
        let mut lookup = Lookup::new(peers[0].id, target, goal, &config, true, &answers[&peers[0].id], now);
        let mut in_flight = Vec::with_capacity(config.lookup.k);
        loop {
            match lookup.next(now) {
                Next::Query(peer) => in_flight.push(peer),
                Next::Wait { .. } => {
                    let peer = in_flight.remove(0);
                    lookup.handle_peers(&peer, &answers[&peer.id], now);
                }
                Next::Finished(ending) => return assert_eq!(ending, Ending::Complete),
            }
        }
    })
}

/// The k nearest to `target` of those that `own` has in its buckets.
fn answer(own: &Peer, peers: &[Peer], target: &NodeId, k: usize) -> Vec<Peer> {
    let mut taken = [0; 161];
    let mut known: Vec<Peer> = peers
        .iter()
        .filter(|other| {
            let bucket = own.id.common_prefix(&other.id) as usize;
            taken[bucket] += 1;
            bucket < 160 && taken[bucket] <= k
        })
        .copied()
        .collect();
    known.sort_by_key(|peer| peer.id.distance(target));
    known.truncate(k);
    known
}
