//! Mutated messages through our decoder and through the Python package's: where the two read different things, a rule of the
//! list says why. A difference that none explains fails the test.

use std::collections::BTreeMap;
use std::process::Stdio;

use kademlia_dynamic::protocol::codec::{Codec, DecodeError};
use kademlia_dynamic::protocol::message::{Body, Message, Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::value::Value;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::mutator::Mutator;
use crate::python::{self, Version};
use crate::raw::Raw;
use crate::rules::{RULES, Rule};

/// Mutations for each wire.
const EACH: usize = 50_000;

/// One datagram, and what came of it on both sides.
pub(crate) struct Case {
    pub(crate) codec: Codec,
    pub(crate) datagram: Vec<u8>,
    pub(crate) ours: Result<Message, DecodeError>,
    /// As `decode.py` shows it; or the exception's name.
    pub(crate) theirs: Result<Json, String>,
}

/// Where the two differ.
#[derive(Debug, Clone)]
pub(crate) enum Difference {
    /// We do not read it, they do.
    WeRefuse(DecodeError),
    /// They do not read it, we do.
    TheyRefuse(String),
    /// Both read it, and this field is not the same; ours first.
    Field(&'static str, Json, Json),
}

impl Case {
    /// The field of theirs at `path`; null if there is none.
    pub(crate) fn theirs(&self, path: &[&str]) -> Json {
        let mut at = self.theirs.as_ref().ok();
        for name in path {
            at = at.and_then(|dict| field(dict, name));
        }
        at.cloned().unwrap_or_default()
    }

    fn differences(&self) -> Vec<Difference> {
        match (&self.ours, &self.theirs) {
            (Err(_), Err(_)) => vec![],
            (Err(error), Ok(_)) => vec![Difference::WeRefuse(*error)],
            (Ok(_), Err(name)) => vec![Difference::TheyRefuse(name.clone())],
            (Ok(message), Ok(_)) => fields(message)
                .into_iter()
                .map(|(path, ours)| (path, ours, self.theirs(&path.split('.').collect::<Vec<_>>())))
                .filter(|(_, ours, theirs)| ours != theirs)
                .map(|(path, ours, theirs)| Difference::Field(path, ours, theirs))
                .collect(),
        }
    }
}

/// The field of a dictionary as `decode.py` shows it.
pub(crate) fn field<'a>(dict: &'a Json, name: &str) -> Option<&'a Json> {
    dict.get("dict")?.as_array()?.iter().find(|pair| pair[0] == name).map(|pair| &pair[1])
}

fn shown_peer(peer: &Peer) -> Json {
    json!({"dict": [["node_id", peer.id.to_string()], ["ip", peer.addr.ip().to_string()], ["port", peer.addr.port()]]})
}

/// What we make of a value that is neither text nor bytes.
pub(crate) fn unsupported() -> Json {
    json!({"unsupported": true})
}

fn shown_value(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => json!({"bytes": hex::encode(bytes)}),
    }
}

/// All that such a message says to a legacy node, as `decode.py` would show it.
fn fields(message: &Message) -> Vec<(&'static str, Json)> {
    let sender = &message.sender;
    let mut fields = vec![
        ("type", json!(message.body.name())),
        ("id", json!(message.id.as_str())),
        ("sender.node_id", json!(sender.id.map_or(String::new(), |id| id.to_string()))),
        ("sender.ip", json!(sender.ip.map(|ip| ip.to_string()))),
        ("sender.port", json!(sender.port)),
    ];
    let peers = |peers: &[Peer]| peers.iter().map(shown_peer).collect::<Json>();
    fields.extend(match &message.body {
        Body::Request(Request::Ping) => vec![],
        Body::Request(Request::FindNode { target }) => vec![("target", json!(target.to_string()))],
        Body::Request(Request::FindValue { key } | Request::Get { key }) => vec![("key", json!(key))],
        Body::Request(Request::Set { key, value, .. }) => vec![("key", json!(key)), ("value", shown_value(value))],
        Body::Request(Request::SetCached { key, value, target, .. }) => vec![
            ("key", json!(key)),
            ("value", shown_value(value)),
            ("target_id", json!(target.map(|target| target.to_string()))),
        ],
        Body::Request(Request::SetUnsupported { .. }) | Body::Response(Response::UnsupportedValue) => {
            vec![("value", unsupported())]
        }
        Body::Request(Request::CheckStore { key, size }) => vec![("key", json!(key)), ("size", json!(size))],
        Body::Response(Response::Pong | Response::SetCached | Response::Set { .. }) => vec![],
        Body::Response(Response::FindNode { peers: named }) => vec![("peers", peers(named))],
        Body::Response(Response::NoValue { peers: named }) => vec![("value", Json::Null), ("peers", peers(named))],
        Body::Response(Response::Value { value, .. }) => vec![("value", shown_value(value))],
        Body::Response(Response::CheckStore { has_key, .. }) => vec![("has_key", json!(has_key))],
        Body::Response(Response::Get { value }) => vec![("value", json!(value.as_deref().map(shown_value)))],
        // No legacy node knows these.
        Body::Request(Request::Renew { .. } | Request::Reconcile { .. })
        | Body::Response(Response::Renew { .. } | Response::Reconcile { .. }) => vec![],
        other => panic!("{other:?} is to be shown too"),
    });
    fields
}

/// Datagrams of `codec`: the vectors, mutated as bytes, and messages with a field exchanged for anything else.
fn mutations(codec: Codec, mutator: &mut Mutator) -> Vec<Vec<u8>> {
    let path = format!("{}/vectors/{codec}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the vectors");
    let sound: Vec<Vec<u8>> = text
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).expect("a vector is JSON"))
        .map(|line| hex::decode(line["datagram_hex"].as_str().expect("text")).expect("hex"))
        .collect();
    let said: Vec<Raw> = sound.iter().filter_map(|datagram| Raw::read(codec, datagram).ok()).collect();
    assert!(said.len() >= 20, "{codec}: {} of the vectors can be read", said.len());
    let made = made_by_hand(codec);
    let mutated = (made.len()..EACH).map(|n| {
        let (one, other) = (mutator.below(sound.len()), mutator.below(sound.len()));
        if n % 2 == 0 {
            let mut raw = said[one % said.len()].clone();
            exchange(&mut raw, mutator);
            return raw.spelled(codec);
        }
        let mut mutated = Vec::new();
        mutator.mutate(&sound[one], &sound[other], &mut mutated);
        mutated
    });
    let mutated: Vec<_> = mutated.collect();
    [made, mutated].concat()
}

/// What mutations rarely make.
fn made_by_hand(codec: Codec) -> Vec<Vec<u8>> {
    if codec != Codec::Json {
        return vec![];
    }
    let sender = r#""sender":{"node_id":"","ip":"","port":1}"#;
    let ping = |more: &str| format!(r#"{{"type":"ping","id":"",{sender},{more}}}"#).into_bytes();
    vec![
        ping(r#""x":{"__bytes_b64__":"d"}"#),
        ping(&format!(r#""x":{}{}"#, "[".repeat(20_000), "]".repeat(20_000))),
        ping(r#""x":NaN"#),
        ping(r#""v":1e999"#),
        ping(r#""x":-Infinity"#),
    ]
}

/// Puts anything in the place of anything in `raw`, so that the form stays sound.
fn exchange(raw: &mut Raw, mutator: &mut Mutator) {
    match raw {
        Raw::Dict(fields) if !fields.is_empty() && mutator.below(8) > 0 => {
            let at = mutator.below(fields.len());
            let name = fields.keys().nth(at).cloned().unwrap_or_default();
            match mutator.below(10) {
                0 => drop(fields.remove(&name)),
                1 => {
                    let renamed = ["key", "value", "v", "peers", "target", "id", "x"][mutator.below(7)];
                    if let Some(field) = fields.remove(&name) {
                        fields.insert(renamed.to_owned(), field);
                    }
                }
                _ => exchange(fields.get_mut(&name).expect("just named"), mutator),
            }
        }
        Raw::List(items) if !items.is_empty() && mutator.below(8) > 0 => {
            let at = mutator.below(items.len());
            match mutator.below(10) {
                0 => drop(items.remove(at)),
                1 => {
                    let item = items[at].clone();
                    items.insert(at, item);
                }
                _ => exchange(&mut items[at], mutator),
            }
        }
        Raw::Text(text) if mutator.below(2) > 0 => {
            let mut mutated = Vec::new();
            mutator.mutate(text.as_bytes(), b"a94a8fe5ccb1 192.0.2.1 ::1 ping", &mut mutated);
            *text = String::from_utf8_lossy(&mutated).into_owned();
        }
        any => *any = anything(mutator),
    }
}

fn anything(mutator: &mut Mutator) -> Raw {
    const NUMBERS: [i64; 10] = [0, 1, -1, 8, 65_535, 65_536, 70_000, 1 << 32, i64::MAX, i64::MIN];
    const TEXTS: [&str; 14] = [
        "",
        "-1",
        "ping",
        "set",
        "find_value_res",
        "A94A8FE5CCB19BA61C4C0873D391E987982FBBD3",
        "0xa94a8fe5ccb19ba61c4c0873d391e987982fbbd3",
        "localhost",
        "0.0.0.0",
        "::ffff:192.0.2.1",
        "2001:DB8::1",
        "\0bytes\0k",
        "ключ",
        "123456789012345678901234567890123",
    ];
    match mutator.below(7) {
        0 | 1 => Raw::Int(NUMBERS[mutator.below(NUMBERS.len())]),
        2 => Raw::Truth(mutator.below(2) > 0),
        3 | 4 => TEXTS[mutator.below(TEXTS.len())].into(),
        5 => Raw::Bytes([&b"\xff\0"[..], b"k", b""][mutator.below(3)].to_vec()),
        _ => {
            let depth = mutator.below(10);
            (0..depth).fold(Raw::List(vec![]), |inner, _| Raw::List(vec![inner]))
        }
    }
}

/// What the package's decoders make of each, in one process.
async fn theirs(codec: Codec, datagrams: &[Vec<u8>]) -> Result<Vec<Result<Json, String>>, String> {
    let interpreter = python::with_package(Version::V1_1_1).await?;
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/decode.py");
    let mut child = Command::new(interpreter)
        .arg(script)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut stdin = child.stdin.take().expect("piped above");
    let mut lines = BufReader::new(child.stdout.take().expect("piped above")).lines();
    let questions: String = datagrams.iter().map(|datagram| format!("{codec} {}\n", hex::encode(datagram))).collect();
    // Both at once, since neither pipe holds it all.
    let asking = async move { stdin.write_all(questions.as_bytes()).await };
    let answering = async {
        let mut answers = Vec::with_capacity(datagrams.len());
        while let Ok(Some(line)) = lines.next_line().await {
            let mut answer: Json = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
            answers.push(match answer["failed"].as_str() {
                Some(name) => Err(name.to_owned()),
                None => Ok(answer["read"].take()),
            });
        }
        Ok(answers)
    };
    let (asked, answers) = tokio::join!(asking, answering);
    asked.map_err(|error| error.to_string())?;
    answers
}

async fn on(codec: Codec) {
    if python::left_out() {
        return;
    }
    let datagrams = mutations(codec, &mut Mutator::new(20_261_122));
    let theirs = theirs(codec, &datagrams).await.unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(theirs.len(), datagrams.len(), "an answer for each");
    let applicable: Vec<&Rule> = RULES.iter().filter(|rule| rule.on.is_none_or(|on| on == codec)).collect();
    let (mut both, mut neither, mut explained) = (0, 0, BTreeMap::<&str, usize>::new());
    let mut unexplained = Vec::new();
    for (datagram, theirs) in datagrams.into_iter().zip(theirs) {
        let case = Case { codec, ours: codec.decode(&datagram), datagram, theirs };
        let differences = case.differences();
        match &case.ours {
            _ if !differences.is_empty() => {}
            Ok(_) => both += 1,
            Err(_) => neither += 1,
        }
        for difference in differences {
            match applicable.iter().find(|rule| (rule.explains)(&case, &difference)) {
                Some(rule) => *explained.entry(rule.what).or_default() += 1,
                None => unexplained.push(format!("{difference:?}: {}", case.datagram.escape_ascii())),
            }
        }
    }
    python::say(&format!("{codec}: {EACH} mutations, read alike by both {both}, by neither {neither}"));
    for rule in &applicable {
        let count = explained.get(rule.what).copied().unwrap_or_default();
        python::say(&format!("{codec}: {count:>6} {} ({})", rule.what, rule.see));
    }
    let shown = &unexplained[..unexplained.len().min(12)];
    assert!(
        unexplained.is_empty(),
        "{codec}: {} differences are not explained:\n{}",
        unexplained.len(),
        shown.join("\n")
    );
    let idle: Vec<&str> =
        applicable.iter().map(|rule| rule.what).filter(|what| !explained.contains_key(what)).collect();
    assert_eq!(idle, Vec::<&str>::new(), "rules that explain nothing");
    assert!(both > EACH / 50, "only {both} are read alike: the mutations are too wild to show anything");
}

#[tokio::test]
async fn mutated_json_is_read_as_the_package_reads_it_or_a_rule_says_why_not() {
    on(Codec::Json).await;
}

#[tokio::test]
async fn mutated_bencode_is_read_as_the_package_reads_it_or_a_rule_says_why_not() {
    on(Codec::Bencode).await;
}
