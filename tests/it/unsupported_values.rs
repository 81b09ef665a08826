//! Values that are neither text nor bytes, or text with a lone surrogate. They work among legacy nodes: a `set` of one
//! here is acknowledged as refused, and a read of one from a holder says that it is there. In virtual time.

use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::actors::outcome::CameBack;
use kademlia_dynamic::protocol::message::{Body, QueryId, Request, Response};
use kademlia_dynamic::sim::{MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Error, GetOptions, GetResult, Node};
use tokio::time::{sleep, timeout};

use crate::support::{cached_for, set, spell};

/// Stands where a value stands.
const MARK: &str = "MARK";

/// How `codec` spells [`MARK`], and what can stand in its place.
fn spelled(codec: Codec) -> (&'static [u8], &'static [&'static [u8]]) {
    match codec {
        Codec::Json => (
            br#""MARK""#,
            &[
                br#""a\ud800b""#,
                br#""\udc00\ud800""#,
                br#"{"a": 1}"#,
                br#"{"a\ud800": ["\udfff"]}"#,
                b"[1]",
                b"5",
                b"-1.5e3",
                b"123456789012345678901234567890",
                b"true",
            ],
        ),
        Codec::Bencode => (b"4:MARK", &[b"d1:ai1ee", b"li1ee", b"i5e", b"i-5e", b"le"]),
        Codec::MessagePack => (
            b"\xa4MARK",
            &[
                b"\x81\xa1a\x01",
                b"\x91\x01",
                b"\x05",
                b"\xff",
                b"\xcb\0\0\0\0\0\0\0\0",
                b"\xc3",
                b"\xd4\x05\0",
                b"\xd6\xff\0\0\0\0",
            ],
        ),
    }
}

/// `datagram`, with `value` in the place of [`MARK`].
fn with_value(codec: Codec, datagram: &[u8], value: &[u8]) -> Vec<u8> {
    let (mark, _) = spelled(codec);
    let at = datagram.windows(mark.len()).position(|window| window == mark).unwrap();
    [&datagram[..at], value, &datagram[at + mark.len()..]].concat()
}

#[test]
fn a_set_of_such_a_value_is_acknowledged_as_refused_on_every_wire() {
    for codec in Codec::ALL {
        in_virtual_time(async move {
            let network = MemoryNetwork::new(7);
            let node = Node::builder().codec(codec).seed(1).start_local_over(network.endpoint()).await.unwrap();
            let stranger = network.endpoint();
            let mut refused = 0;
            for value in spelled(codec).1 {
                for cached in [false, true] {
                    let request = if cached { cached_for("key", MARK, None) } else { set("key", MARK) };
                    let write = spell(codec, stranger.addr(), None, refused, None, Body::Request(request));
                    stranger.send(node.local_addr(), with_value(codec, &write, value));
                    let answer = loop {
                        let heard = timeout(Duration::from_secs(5), stranger.receive()).await;
                        let heard = heard.unwrap_or_else(|_| panic!("{codec}: no answer to {}", value.escape_ascii()));
                        let heard = codec.decode(&heard.payload).unwrap();
                        if heard.id == QueryId::from_u64(refused) {
                            break heard.body;
                        }
                    };
                    let expected =
                        if cached { Response::SetCached } else { Response::Set { stored: false, ttl: None } };
                    assert_eq!(answer, Body::Response(expected), "{codec}: {}", value.escape_ascii());
                    refused += 1;
                    // Within the rate of writes.
                    sleep(Duration::from_millis(200)).await;
                }
            }
            assert!(node.copy_of("key").await.unwrap().is_none());
            assert_eq!(node.counters().get(Counter::ValueUnsupported), refused);
        });
    }
}

#[test]
fn a_get_that_meets_such_a_value_says_so_and_not_that_there_is_none() {
    for codec in Codec::ALL {
        in_virtual_time(async move {
            let network = MemoryNetwork::new(7);
            let peers = ScriptedPeers::new(&network, codec).with(4);
            let builder = Node::builder().codec(codec).bootstrap([peers.addr(0)]).seed(1);
            let node = builder.start_local_over(network.endpoint()).await.unwrap();
            sleep(Duration::from_secs(5)).await;
            peers.on(|asked| match (&asked.request, asked.peer) {
                (Request::FindValue { .. }, 2) => Response::UnsupportedValue.into(),
                _ => Reply::Usual,
            });
            let holder = peers.peer(2);
            peers.forget_heard();
            let read = node.get_with("key", GetOptions::default().trace(true)).await.unwrap();
            assert_eq!(read.result, GetResult::Unsupported { holder }, "{codec}");
            let trace = read.trace.unwrap();
            let reported = trace.asked.iter().filter(|asked| asked.came_back == CameBack::Unsupported);
            assert_eq!(reported.map(|asked| asked.peer).collect::<Vec<_>>(), [holder], "{codec}");
            let error = node.get("key").await.unwrap_err();
            assert!(matches!(error, Error::UnsupportedValue { holder: at } if at == holder), "{error}");
            let error = node.find_value("key").await.unwrap_err();
            assert!(matches!(error, Error::UnsupportedValue { .. }), "{error}");
            assert!(
                peers.heard().iter().all(|asked| asked.request.name() != "set_cached"),
                "there is nothing to cache"
            );

            // Where another holds one that can be represented, that is the value.
            peers.hold(1, "key", "value");
            assert_eq!(node.get("key").await.unwrap(), Some("value".into()), "{codec}");
        });
    }
}

#[test]
fn an_optional_field_of_another_type_reads_as_absent_and_the_query_is_answered() {
    let spelled: [(Codec, &[&str]); 3] = [
        (Codec::Json, &[r#""v":"2.0""#, r#""v":[1]"#, r#""v":-1"#, r#""ttl":"60","age":{}"#]),
        (Codec::Bencode, &["1:v3:2.0", "1:vli1ee", "1:vi-1e"]),
        (Codec::MessagePack, &["\u{a1}v\u{a3}2.0"]),
    ];
    for (codec, fields) in spelled {
        for field in fields {
            in_virtual_time(async move {
                let network = MemoryNetwork::new(7);
                let node = Node::builder().codec(codec).seed(1).start_local_over(network.endpoint()).await.unwrap();
                let stranger = network.endpoint();
                let mut datagram = spell(codec, stranger.addr(), None, 1, None, Body::Request(Request::Ping));
                match codec {
                    Codec::MessagePack => {
                        datagram[0] += 1;
                        datagram.extend(field.chars().map(|byte| byte as u8));
                    }
                    Codec::Json => {
                        datagram.pop();
                        datagram.extend(format!(",{field}}}").bytes());
                    }
                    Codec::Bencode => {
                        datagram.pop();
                        datagram.extend(format!("{field}e").bytes());
                    }
                }
                stranger.send(node.local_addr(), datagram);
                let answer = timeout(Duration::from_secs(5), stranger.receive()).await;
                let answer = answer.unwrap_or_else(|_| panic!("{codec}: no answer to a ping with {field}"));
                assert_eq!(codec.decode(&answer.payload).unwrap().body, Body::Response(Response::Pong));
            });
        }
    }
}
