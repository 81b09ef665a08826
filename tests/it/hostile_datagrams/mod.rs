//! Datagrams that no honest node sends, and what becomes of each: dropped with a reason, or read as far as it is sound. The
//! table (`table.rs`) says them by name on every wire that can say them; `json.rs`, `bencode.rs` and `msgpack.rs` add what
//! one wire alone can spell; `node.rs` sends them all to nodes that run.

mod bencode;
#[path = "../../fuzzing/besieged.rs"]
mod besieged;
mod json;
#[path = "../../fuzzing/keeping.rs"]
mod keeping;
mod msgpack;
mod node;
#[path = "../../fuzzing/siege.rs"]
mod siege;
mod table;
mod wild;
#[path = "../../fuzzing/world.rs"]
mod world;

use std::sync::Arc;

use kademlia_dynamic::protocol::codec::{Codec, DecodeError};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Body, MAX_PEERS_READ, Message, Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::value::Value;

const ID: &str = "00c0ffee00c0ffee";
const NODE: &str = "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3";

/// The outcome of a datagram: a body, or the label of the reason for which it is dropped.
type Outcome = Result<Body, &'static str>;

const MALFORMED: Outcome = Err("malformed");
const TOO_DEEP: Outcome = Err("too_deep");
const DUPLICATE: Outcome = Err("duplicate");
const UNKNOWN_TYPE: Outcome = Err("unknown_type");
const QUERY_ID: Outcome = Err("query_id");
const BAD_SENDER: Outcome = Err("bad_sender");
const MISSING: Outcome = Err("missing_field");
const BAD_FIELD: Outcome = Err("bad_field");

fn outcome(codec: Codec, datagram: &[u8]) -> Outcome {
    codec.decode(datagram).map(|message| message.body).map_err(|error| match error {
        DecodeError::Empty => "empty",
        DecodeError::Malformed(_) => "malformed",
        DecodeError::TooDeep => "too_deep",
        DecodeError::Duplicate => "duplicate",
        DecodeError::UnknownType => "unknown_type",
        DecodeError::QueryId => "query_id",
        DecodeError::BadSender => "bad_sender",
        DecodeError::Missing(_) => "missing_field",
        DecodeError::BadField(_) => "bad_field",
        other => panic!("{other:?} has no name here"),
    })
}

fn ping() -> Outcome {
    Ok(Body::Request(Request::Ping))
}

fn found(key: &str) -> Outcome {
    Ok(Body::Request(Request::FindValue { key: key.into() }))
}

fn set(value: impl Into<Value>) -> Outcome {
    Ok(Body::Request(Request::Set { key: "k".into(), value: Arc::new(value.into()), ttl: None, age: None }))
}

/// A `set` of a value that is none of ours.
fn unsupported() -> Outcome {
    Ok(Body::Request(Request::SetUnsupported { cached: false }))
}

/// The answer of a holder of such a value.
fn unsupported_answer() -> Outcome {
    Ok(Body::Response(Response::UnsupportedValue))
}

/// A `check_store` without a size that can be read.
fn check_store() -> Outcome {
    Ok(Body::Request(Request::CheckStore { key: "k".into(), size: None }))
}

/// An answer to it with nothing else that can be read.
fn checked(has_key: bool) -> Outcome {
    Ok(Body::Response(Response::CheckStore { has_key, ttl: None, age: None }))
}

/// An answer to a `set` that refuses nothing.
fn stored() -> Outcome {
    Ok(Body::Response(Response::Set { stored: true, ttl: None }))
}

fn node_id() -> NodeId {
    NODE.parse().unwrap()
}

fn peers(addresses: &[&str]) -> Outcome {
    let peers = addresses.iter().map(|addr| Peer::new(node_id(), addr.parse().unwrap())).collect();
    Ok(Body::Response(Response::FindNode { peers }))
}

/// One case: a message of a type, some fields of which are replaced, added, or (spelled as nothing) taken out.
struct Case<'a> {
    kind: &'a str,
    fields: Vec<(&'a str, Vec<u8>)>,
    expected: Outcome,
}

fn case<'a>(kind: &'a str, name: &'a str, spelled: impl AsRef<[u8]>, expected: Outcome) -> Case<'a> {
    Case { kind, fields: vec![(name, spelled.as_ref().to_vec())], expected }
}

impl<'a> Case<'a> {
    fn and(mut self, name: &'a str, spelled: impl AsRef<[u8]>) -> Self {
        self.fields.push((name, spelled.as_ref().to_vec()));
        self
    }

    /// All fields, those that every message needs included.
    fn fields(&self, sound: [(&'a str, Vec<u8>); 3]) -> Vec<(&'a str, Vec<u8>)> {
        let mut fields = sound.to_vec();
        for (name, spelled) in &self.fields {
            fields.retain(|(other, _)| other != name);
            fields.push((name, spelled.clone()));
        }
        fields.retain(|(_, spelled)| !spelled.is_empty());
        fields
    }
}

fn check(codec: Codec, cases: &[Case<'_>], spell: impl Fn(&Case<'_>) -> Vec<u8>) {
    for case in cases {
        let datagram = spell(case);
        assert_eq!(outcome(codec, &datagram), case.expected, "{codec}: {}", datagram.escape_ascii());
    }
}

/// Every datagram of the vectors of `codec`.
fn sound_datagrams(codec: Codec) -> Vec<Vec<u8>> {
    let path = format!("{}/vectors/{codec}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| hex::decode(line["datagram_hex"].as_str().unwrap()).unwrap())
        .collect()
}

#[test]
fn each_row_of_the_table_is_dropped_for_its_reason_or_read_as_far_as_it_is_sound() {
    let rows = table::rows();
    let mut names: Vec<&str> = rows.iter().map(|row| &*row.name).collect();
    for row in &rows {
        let on = Codec::ALL.into_iter().filter_map(|codec| Some((codec, row.on(codec)?)));
        for (codec, (datagram, expected)) in on {
            let shown = datagram[..datagram.len().min(300)].escape_ascii();
            assert_eq!(&outcome(codec, datagram), expected, "{codec}: {}: {shown}", row.name);
        }
        assert!(Codec::ALL.into_iter().any(|codec| row.on(codec).is_some()), "{} is on no wire", row.name);
    }
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    assert!(names.len() >= 120, "{} rows", names.len());
}

#[test]
fn an_empty_datagram_says_nothing() {
    for codec in Codec::ALL {
        assert_eq!(outcome(codec, &[]), Err("empty"));
    }
}

#[test]
fn a_datagram_cut_short_anywhere_is_malformed() {
    for codec in Codec::ALL {
        for datagram in sound_datagrams(codec) {
            for cut in 1..datagram.len() {
                assert_eq!(outcome(codec, &datagram[..cut]), MALFORMED, "{codec}: {}", datagram[..cut].escape_ascii());
            }
        }
    }
}

#[test]
fn a_datagram_with_something_behind_it_is_malformed() {
    for codec in Codec::ALL {
        for datagram in sound_datagrams(codec) {
            for more in [&[0][..], b"x", b"e", b"0:", b"{}", b"\xc0", &datagram] {
                assert_eq!(outcome(codec, &[&datagram, more].concat()), MALFORMED, "{codec}: {}", more.escape_ascii());
            }
        }
    }
}

#[test]
fn a_datagram_on_another_wire_is_malformed() {
    for codec in Codec::ALL {
        for other in Codec::ALL.into_iter().filter(|other| *other != codec) {
            for datagram in sound_datagrams(other) {
                assert_eq!(outcome(codec, &datagram), MALFORMED, "{other} read as {codec}");
            }
        }
    }
}

#[test]
fn junk_of_the_largest_datagrams_size_is_malformed() {
    for codec in Codec::ALL {
        for byte in 0..=u8::MAX {
            let outcome = outcome(codec, &vec![byte; 65_507]);
            assert_eq!(outcome, MALFORMED, "{codec}: {byte}");
        }
        let mut state = 1u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(65_507)
        .collect();
        assert_eq!(outcome(codec, &noise), MALFORMED, "{codec}");
    }
}

#[test]
fn nesting_does_not_cost_stack() {
    // A thread with little of it, where recursion as deep as the input would be the end of the process.
    let nested = |open: &str, close: &str, depth: usize| open.repeat(depth) + &close.repeat(depth);
    let datagrams = [
        (Codec::Json, nested("[", "]", 32_000).into_bytes()),
        (Codec::Json, format!("{{\"x\":{}}}", nested("[", "]", 32_000)).into_bytes()),
        (Codec::Json, format!("{{\"value\":{}}}", nested("[", "]", 32_000)).into_bytes()),
        (Codec::Json, format!("{{\"peers\":[{}]}}", nested("[", "]", 32_000)).into_bytes()),
        (Codec::Json, format!("{{\"sender\":{}}}", nested("{\"ip\":", "}", 9_000).replace(":}", ":1}")).into_bytes()),
        (Codec::Bencode, format!("d1:x{}e", nested("l", "e", 32_000)).into_bytes()),
        (Codec::Bencode, nested("d1:a", "e", 13_000).into_bytes()),
        (Codec::MessagePack, [b"\x81\xa1x".to_vec(), vec![0x91; 65_000], vec![0xc0]].concat()),
        (Codec::MessagePack, [b"\x81\xa1x".repeat(21_000), vec![0xc0]].concat()),
    ];
    let reader = std::thread::Builder::new().stack_size(128 * 1024).spawn(move || {
        for (codec, datagram) in datagrams {
            assert!(codec.decode(&datagram).is_err());
        }
    });
    reader.unwrap().join().unwrap();
}

#[test]
fn an_id_in_capitals_is_the_same_id_and_is_written_small() {
    for codec in [Codec::Json, Codec::Bencode] {
        for datagram in sound_datagrams(codec) {
            let capital: String = String::from_utf8_lossy(&datagram).replace(NODE, &NODE.to_uppercase());
            let Ok(read) = codec.decode(capital.as_bytes()) else { continue };
            let small: Message = codec.decode(&datagram).unwrap();
            assert_eq!(read, small);
            assert!(!codec.encode(&read).unwrap().windows(40).any(|window| window == NODE.to_uppercase().as_bytes()));
        }
    }
}

#[test]
fn a_query_id_is_echoed_as_it_came() {
    for codec in Codec::ALL {
        for id in ["", "x", ID, "00C0FFEE00C0FFEE", "ключ", "12345678901234567890123456789012"] {
            let datagram = codec.decode(&sound_datagrams(codec)[0]).unwrap();
            let id = kademlia_dynamic::protocol::message::QueryId::from_text(id).unwrap();
            let echoed = codec.decode(&codec.encode(&Message { id, ..datagram }).unwrap()).unwrap();
            assert_eq!(echoed.id, id);
        }
    }
}
