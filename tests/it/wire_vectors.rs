//! The golden datagrams in `vectors/`, in both directions: those of the legacy package, our own of MessagePack, the messages that
//! only nodes of ours send, and queries that are padded.

use std::path::Path;

use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::digest::ValueDigest;
use kademlia_dynamic::protocol::entry::Entry;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Body, Message, Request, Response, Sender};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::prefix::Prefix;
use kademlia_dynamic::protocol::ranges::{Fingerprint, Range, RangeAnswer, RangeState};
use kademlia_dynamic::protocol::value::Value;
use serde_json::{Value as Json, json};

fn lines(file: &str) -> Vec<Json> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

struct Vector {
    name: String,
    datagram: Vec<u8>,
    decodes_to: Json,
}

fn vectors(file: &str) -> Vec<Vector> {
    let vectors: Vec<_> = lines(file)
        .into_iter()
        .map(|line| Vector {
            name: line["name"].as_str().unwrap().to_owned(),
            datagram: hex::decode(line["datagram_hex"].as_str().unwrap()).unwrap(),
            decodes_to: line["decodes_to"].clone(),
        })
        .collect();
    assert_eq!(vectors.len(), 25, "{file}");
    vectors
}

/// A message as the vectors' `decodes_to` shows it, made without any codec.
fn shown(message: &Message) -> Json {
    let Sender { id, ip, port } = message.sender;
    let sender = json!({"node_id": id.unwrap().to_string(), "ip": ip.unwrap().to_string(), "port": port});
    let mut shown = json!({"type": message.body.name(), "id": message.id.as_str(), "sender": sender});
    assert_eq!(message.version, None, "a legacy node sends no version");
    match &message.body {
        Body::Request(Request::Ping) => {}
        Body::Request(Request::FindNode { target }) => shown["target"] = json!(target.to_string()),
        Body::Request(Request::FindValue { key } | Request::Get { key }) => shown["key"] = json!(key),
        Body::Request(Request::Set { key, value, ttl: None, age: None }) => {
            shown["key"] = json!(key);
            shown["value"] = shown_value(value);
        }
        Body::Request(Request::SetCached { key, value, target: Some(target), ttl: None }) => {
            shown["key"] = json!(key);
            shown["value"] = shown_value(value);
            shown["target_id"] = json!(target.to_string());
        }
        Body::Request(Request::CheckStore { key, size: Some(size) }) => {
            shown["key"] = json!(key);
            shown["size"] = json!(size);
        }
        Body::Response(Response::Pong | Response::SetCached | Response::Set { stored: true, ttl: None }) => {}
        Body::Response(Response::FindNode { peers } | Response::NoValue { peers }) => {
            shown["peers"] = peers.iter().map(shown_peer).collect();
        }
        Body::Response(Response::Value { value, ttl: None, age: None } | Response::Get { value: Some(value) }) => {
            shown["value"] = shown_value(value);
        }
        Body::Response(Response::Get { value: None }) => {}
        Body::Response(Response::CheckStore { has_key, ttl: None, age: None }) => shown["has_key"] = json!(has_key),
        other => panic!("no legacy node says {other:?}"),
    }
    shown
}

fn shown_value(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => json!({"bytes_hex": hex::encode(bytes)}),
    }
}

fn shown_peer(peer: &Peer) -> Json {
    json!({"node_id": peer.id.to_string(), "ip": peer.addr.ip().to_string(), "port": peer.addr.port()})
}

fn read(codec: Codec, vector: &Vector) -> Message {
    codec.decode(&vector.datagram).unwrap_or_else(|error| panic!("{codec} {}: {error}", vector.name))
}

/// A line of `sync.jsonl`: a message that only nodes of ours send, in all three codecs.
struct SyncVector {
    name: String,
    datagrams: [(Codec, Vec<u8>); 3],
    decodes_to: Json,
}

fn sync_vectors() -> Vec<SyncVector> {
    let vectors = lines("sync.jsonl").into_iter().map(|line| SyncVector {
        name: line["name"].as_str().unwrap().to_owned(),
        datagrams: Codec::ALL
            .map(|codec| (codec, hex::decode(line[format!("{codec}_hex")].as_str().unwrap()).unwrap())),
        decodes_to: line["decodes_to"].clone(),
    });
    vectors.collect()
}

fn shown_entry(entry: &Entry) -> Json {
    let Entry { place, digest, age, life, kind } = entry;
    json!({"place": place.to_string(), "digest": hex::encode(digest.0), "age": age, "life": life, "kind": kind})
}

fn shown_prefix(prefix: &Prefix) -> Json {
    json!({"bits": prefix.fixed_bits(), "first": prefix.first().to_string()})
}

fn shown_range(range: &RangeAnswer) -> Json {
    let hex = |Fingerprint(sum): &Fingerprint| format!("{sum:016x}");
    let mut shown = shown_prefix(&range.prefix);
    match &range.state {
        RangeState::Equal => shown["equal"] = json!(true),
        RangeState::List(entries) => shown["list"] = entries.iter().map(shown_entry).collect(),
        RangeState::Split(parts) => shown["split"] = parts.iter().map(hex).collect(),
    }
    shown
}

/// A message of `sync.jsonl` as its `decodes_to` shows it, made without any codec.
fn shown_sync(message: &Message) -> Json {
    let Sender { id, ip, port } = message.sender;
    let sender = json!({"node_id": id.unwrap().to_string(), "ip": ip.unwrap().to_string(), "port": port});
    let mut shown =
        json!({"type": message.body.name(), "id": message.id.as_str(), "sender": sender, "v": message.version});
    if let Some(token) = message.token {
        shown["token"] = json!(format!("{:016x}", token.as_u64()));
    }
    match &message.body {
        Body::Request(Request::Renew { entries }) => {
            shown["nonce"] = json!(hex::encode(entries.nonce.0));
            shown["entries"] = entries.entries.iter().map(shown_entry).collect();
        }
        Body::Request(Request::Reconcile { ranges, wanted }) => {
            let range = |range: &Range| {
                let mut shown = shown_prefix(&range.prefix);
                shown["fingerprint"] = json!(format!("{:016x}", range.fingerprint.0));
                shown
            };
            shown["nonce"] = json!(hex::encode(ranges.nonce.0));
            shown["ranges"] = ranges.ranges.iter().map(range).collect();
            shown["wanted"] = wanted.iter().map(|place| json!(place.to_string())).collect();
        }
        Body::Response(Response::Renew { states }) => {
            shown["states"] = states.iter().map(|state| json!(format!("{state:?}").to_lowercase())).collect();
        }
        Body::Response(Response::Reconcile { ranges }) => {
            shown["ranges"] = ranges.iter().map(shown_range).collect();
        }
        other => panic!("{other:?} is no message of sync.jsonl"),
    }
    shown
}

#[test]
fn what_only_nodes_of_ours_send_is_read_and_said_again_byte_for_byte_in_every_codec() {
    let vectors = sync_vectors();
    assert_eq!(vectors.len(), 8);
    for SyncVector { name, datagrams, decodes_to } in vectors {
        for (codec, datagram) in datagrams {
            let message = codec.decode(&datagram).unwrap_or_else(|error| panic!("{codec} {name}: {error}"));
            assert_eq!(shown_sync(&message), decodes_to, "{codec} {name}");
            let again = codec.encode(&message).unwrap();
            assert_eq!(again.escape_ascii().to_string(), datagram.escape_ascii().to_string(), "{codec} {name}");
        }
    }
}

#[test]
fn a_padded_query_is_read_as_if_it_were_not_and_said_again_byte_for_byte_in_every_codec() {
    let vectors = lines("padded.jsonl");
    assert_eq!(vectors.len(), 3);
    for line in vectors {
        let (name, len) = (&line["name"], line["len"].as_u64().unwrap() as usize);
        for codec in Codec::ALL {
            let datagram = hex::decode(line[format!("{codec}_hex")].as_str().unwrap()).unwrap();
            assert!((len..=len + 7).contains(&datagram.len()), "{codec} {name}: {}", datagram.len());
            let message = codec.decode(&datagram).unwrap_or_else(|error| panic!("{codec} {name}: {error}"));
            let mut shown = shown(&Message { version: None, ..message.clone() });
            shown["v"] = json!(message.version);
            assert_eq!(shown, line["decodes_to"], "{codec} {name}");
            let again = codec.encode_padded(&message, len, Vec::new()).unwrap();
            assert_eq!(again.escape_ascii().to_string(), datagram.escape_ascii().to_string(), "{codec} {name}");
        }
    }
}

#[test]
fn an_entry_names_the_value_that_its_digest_is_made_of() {
    let renew = &sync_vectors()[0];
    let (codec, datagram) = &renew.datagrams[0];
    let Body::Request(Request::Renew { entries }) = codec.decode(datagram).unwrap().body else { panic!() };
    let [entry] = entries.entries[..] else { panic!() };
    assert_eq!(entry.place, NodeId::of_key("my_key"));
    assert_eq!(entry.digest, ValueDigest::of(&"hello".into()).keyed(entries.nonce));
}

#[test]
fn legacy_json_is_read_and_said_again() {
    for vector in vectors("json.jsonl") {
        let message = read(Codec::Json, &vector);
        assert_eq!(shown(&message), vector.decodes_to, "{}", vector.name);
        let ours: Json = serde_json::from_slice(&Codec::Json.encode(&message).unwrap()).unwrap();
        let theirs: Json = serde_json::from_slice(&vector.datagram).unwrap();
        assert_eq!(ours, theirs, "{}", vector.name);
    }
}

#[test]
fn legacy_bencode_is_read_and_said_again_byte_for_byte() {
    for mut vector in vectors("bencode.jsonl") {
        // A boolean is an integer on that wire.
        if let Some(has_key) = vector.decodes_to.get_mut("has_key") {
            *has_key = json!(has_key == 1);
        }
        let message = read(Codec::Bencode, &vector);
        assert_eq!(shown(&message), vector.decodes_to, "{}", vector.name);
        assert_eq!(
            Codec::Bencode.encode(&message).unwrap().escape_ascii().to_string(),
            vector.datagram.escape_ascii().to_string(),
            "{}",
            vector.name
        );
    }
}

#[test]
fn our_messagepack_is_what_it_was_when_it_was_written_down() {
    for vector in vectors("msgpack.jsonl") {
        let message = read(Codec::MessagePack, &vector);
        assert_eq!(shown(&message), vector.decodes_to, "{}", vector.name);
        assert_eq!(
            hex::encode(Codec::MessagePack.encode(&message).unwrap()),
            hex::encode(&vector.datagram),
            "{}",
            vector.name
        );
    }
}

#[test]
fn the_three_files_say_the_same() {
    let [json, bencode, msgpack] = [
        (Codec::Json, vectors("json.jsonl")),
        (Codec::Bencode, vectors("bencode.jsonl")),
        (Codec::MessagePack, vectors("msgpack.jsonl")),
    ]
    .map(|(codec, vectors)| {
        vectors.iter().map(|vector| (vector.name.clone(), read(codec, vector))).collect::<Vec<_>>()
    });
    assert_eq!(json, bencode);
    assert_eq!(json, msgpack);
}

#[test]
fn a_legacy_answer_is_as_long_as_predicted() {
    for (codec, file) in [(Codec::Json, "json.jsonl"), (Codec::Bencode, "bencode.jsonl")] {
        for vector in vectors(file) {
            let message = read(codec, &vector);
            let Body::Response(Response::Value { value, .. }) = &message.body else { continue };
            let predicted = codec.legacy_answer_len(value);
            // Predicted is the longest address and port (192.0.2.7 is 6 shorter), and our optional fields.
            let spare = predicted - vector.datagram.len();
            assert!((6..=90).contains(&spare), "{codec} {}: {predicted} for {}", vector.name, vector.datagram.len());
        }
    }
}

#[test]
fn a_key_lies_where_the_legacy_network_looks_for_it() {
    let keys = lines("key_hash.jsonl");
    assert!(!keys.is_empty());
    for line in keys {
        let key = line["key"].as_str().unwrap();
        assert_eq!(NodeId::of_key(key).to_string(), line["node_id"], "{key:?}");
    }
}

/// The contents of the blocks of `document` that are marked as `language`.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("\n```{language}\n");
    document.split(&start).skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

#[test]
fn the_examples_in_the_specification_are_vectors() {
    let document = include_str!("../../docs/wire.md");
    let hex_of = |block: &str| -> String {
        let digits = block.lines().filter_map(|line| line.split('#').next());
        digits.flat_map(str::chars).filter(|character| !character.is_whitespace()).collect()
    };
    let as_lines = |block: &str| block.lines().map(|line| hex::encode(line.replace(r"\x00", "\0"))).collect();
    for (language, file, as_hex) in [
        ("json", "json.jsonl", &as_lines as &dyn Fn(&str) -> Vec<String>),
        ("bencode", "bencode.jsonl", &as_lines),
        ("msgpack", "msgpack.jsonl", &|block| vec![hex_of(block)]),
    ] {
        let mut vectors: Vec<String> = vectors(file).iter().map(|vector| hex::encode(&vector.datagram)).collect();
        vectors.extend(sync_vectors().iter().flat_map(|vector| &vector.datagrams).map(|(_, said)| hex::encode(said)));
        let blocks = blocks(document, language);
        assert!(!blocks.is_empty(), "no example of {language}");
        for block in blocks {
            assert!(as_hex(block).iter().all(|example| vectors.contains(example)), "{block}");
        }
    }
}
