//! The golden datagrams in `vectors/`, in both directions: those of the legacy package, and our own of MessagePack.

use std::path::Path;

use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Body, Message, Request, Response, Sender};
use kademlia_dynamic::protocol::peer::Peer;
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
        let vectors: Vec<String> = vectors(file).iter().map(|vector| hex::encode(&vector.datagram)).collect();
        let blocks = blocks(document, language);
        assert!(!blocks.is_empty(), "no example of {language}");
        for block in blocks {
            assert!(as_hex(block).iter().all(|example| vectors.contains(example)), "{block}");
        }
    }
}
