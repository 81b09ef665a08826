//! What it costs to read and to say the messages that a node deals with most, on each wire.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kademlia_dynamic::internals::{Admission, TOKEN_EPOCH, Tokens};
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::SeededEntropy;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Body, Message, PROTOCOL_VERSION, QueryId, Request, Response, Sender};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::value::Value;

fn message(body: Body) -> Message {
    Message {
        id: QueryId::from_u64(0x00c0_ffee_00c0_ffee),
        sender: Sender::new(Some(NodeId::of_key("sender")), SocketAddr::from(([192, 0, 2, 7], 49_152))),
        version: Some(PROTOCOL_VERSION),
        token: None,
        body,
    }
}

fn messages() -> [(&'static str, Message); 3] {
    let peers = (1..=20)
        .map(|n: u8| Peer::new(NodeId::of_key(&n.to_string()), SocketAddr::from(([198, 51, 100, n], 49_152))))
        .collect();
    let value = Arc::new(Value::from("x".repeat(1_024)));
    [
        ("ping", message(Body::Request(Request::Ping))),
        ("find_node_res_20", message(Body::Response(Response::FindNode { peers }))),
        ("set_1_KiB", message(Body::Request(Request::Set { key: "key".into(), value, ttl: None, age: None }))),
    ]
}

fn codecs(criterion: &mut Criterion) {
    for (name, message) in messages() {
        let mut group = criterion.benchmark_group(name);
        for codec in Codec::ALL {
            let datagram = codec.encode(&message).expect("it is far smaller than a datagram may be");
            group.throughput(Throughput::Bytes(datagram.len() as u64));
            group.bench_function(BenchmarkId::new("encode", codec), |b| b.iter(|| codec.encode(black_box(&message))));
            group.bench_function(BenchmarkId::new("decode", codec), |b| b.iter(|| codec.decode(black_box(&datagram))));
        }
        group.finish();
    }
    let (name, answer) = &messages()[1];
    let mut group = criterion.benchmark_group(format!("{name}_within_1200_bytes"));
    for codec in Codec::ALL {
        group.bench_function(BenchmarkId::new("encode", codec), |b| {
            b.iter(|| codec.encode_within(black_box(answer), 1_200, Vec::new()));
        });
    }
    group.finish();
}

/// What a request from an address that must prove itself costs beside: the token for its answer, and the one that it shows.
fn tokens(criterion: &mut Criterion) {
    let now = Instant::now();
    let tokens = Tokens::new(&mut SeededEntropy::new(1), now);
    let admission: Admission<()> = Admission::new(&Config::default(), 150, tokens.clone());
    let from = SocketAddr::from(([198, 51, 100, 1], 49_152));
    let (shown, later) = (Some(tokens.make(from, now)), now + TOKEN_EPOCH);
    let mut group = criterion.benchmark_group("token");
    group.bench_function("made", |b| b.iter(|| admission.judge(black_box(from), None, now)));
    group.bench_function("of_this_epoch", |b| b.iter(|| admission.judge(black_box(from), shown, now)));
    group.bench_function("of_the_last_epoch", |b| b.iter(|| admission.judge(black_box(from), shown, later)));
    group.finish();
}

criterion_group!(benches, codecs, tokens);
criterion_main!(benches);
