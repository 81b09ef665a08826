//! Datagrams that no honest node sends, and what the decoders make of each: dropped with a reason, or read as far as it
//! is sound. Whether a node stays up under them is another suite's question.

use std::sync::Arc;

use kademlia_dynamic::protocol::codec::{Codec, DecodeError, MAX_PEERS_READ};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Body, Message, Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::value::Value;

const ID: &str = "00c0ffee00c0ffee";
const NODE: &str = "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3";

/// What becomes of a datagram: a body, or the label of the reason for which it is dropped.
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
    codec.decode(datagram).map(|message| message.body).map_err(|error| {
        assert!(DecodeError::REASONS.contains(&error.reason()));
        error.reason()
    })
}

fn ping() -> Outcome {
    Ok(Body::Request(Request::Ping))
}

fn found(key: &str) -> Outcome {
    Ok(Body::Request(Request::FindValue { key: key.into() }))
}

fn set(value: impl Into<Value>) -> Outcome {
    Ok(Body::Request(Request::Set { key: "k".into(), value: Arc::new(value.into()), ttl: None }))
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

mod json {
    use super::*;

    const SENDER: &str = r#"{"node_id":"a94a8fe5ccb19ba61c4c0873d391e987982fbbd3","ip":"127.0.0.1","port":8000}"#;

    fn spell(case: &Case<'_>) -> Vec<u8> {
        let text = |text: &str| format!("{text:?}").into_bytes();
        let fields = case.fields([("type", text(case.kind)), ("id", text(ID)), ("sender", SENDER.into())]);
        let fields: Vec<_> =
            fields.iter().map(|(name, spelled)| [format!("{name:?}:").as_bytes(), spelled].concat()).collect();
        [b"{", &fields.join(&b","[..])[..], b"}"].concat()
    }

    fn sender(node_id: &str, ip: &str, port: &str) -> String {
        format!(r#"{{"node_id":{node_id},"ip":{ip},"port":{port}}}"#)
    }

    fn good(ip: &str) -> String {
        sender(&format!("{NODE:?}"), &format!("{ip:?}"), "1")
    }

    #[test]
    fn fields_of_every_kind_of_wrong() {
        let own = format!("{NODE:?}");
        let peer = |id: &str, ip: &str, port: &str| format!("[{},{}]", sender(id, ip, port), good("192.0.2.1"));
        let one = || peers(&["192.0.2.1:1"]);
        let mut cases = vec![
            case("ping", "type", "", MISSING),
            case("ping", "type", "null", MISSING),
            case("ping", "type", "1", BAD_FIELD),
            case("ping", "type", "[\"ping\"]", BAD_FIELD),
            case("ping", "type", "{\"ping\":null}", BAD_FIELD),
            case("Ping", "x", "1", UNKNOWN_TYPE),
            case("", "x", "1", UNKNOWN_TYPE),
            case("find_node_response", "x", "1", UNKNOWN_TYPE),
            case("hello", "id", "7", UNKNOWN_TYPE),
            case("ping", "id", "", QUERY_ID),
            case("ping", "id", "null", QUERY_ID),
            case("ping", "id", "7", QUERY_ID),
            case("ping", "id", "true", QUERY_ID),
            case("ping", "id", "[]", QUERY_ID),
            case("ping", "id", "{}", QUERY_ID),
            case("ping", "id", format!("{:?}", "x".repeat(33)), QUERY_ID),
            case("ping", "id", format!("{:?}", "x".repeat(32)), ping()),
            case("ping", "id", "\"\"", ping()),
            case("ping", "sender", "", BAD_SENDER),
            case("ping", "sender", "null", BAD_SENDER),
            case("ping", "sender", "\"me\"", BAD_SENDER),
            case("ping", "sender", "[]", BAD_SENDER),
            case("ping", "sender", format!("[{own},\"127.0.0.1\",1]"), BAD_SENDER),
            case("ping", "sender", "{}", BAD_SENDER),
            case("ping", "sender", format!("{{\"node_id\":{own}}}"), BAD_SENDER),
            case("ping", "sender", "{\"ip\":\"127.0.0.1\",\"port\":1}", BAD_SENDER),
            case("ping", "sender", format!("{{\"node_id\":{own},\"port\":1}}"), ping()),
            case("ping", "sender", format!("{{\"node_id\":{own},\"port\":1,\"port\":1}}"), BAD_SENDER),
            case("ping", "sender", sender(&own, "\"localhost\"", "1"), ping()),
            case("ping", "sender", sender(&own, "\"\"", "1"), ping()),
            case("ping", "sender", sender(&own, "null", "1"), ping()),
            case("ping", "sender", sender(&own, "1", "1"), BAD_SENDER),
            case("ping", "sender", sender("\"\"", "\"127.0.0.1\"", "1"), ping()),
            case("ping", "sender", sender(&own.to_uppercase(), "\"127.0.0.1\"", "1"), ping()),
            case("find_node", "target", "", MISSING),
            case("find_node", "target", "null", MISSING),
            case("find_node", "target", "\"\"", BAD_FIELD),
            case("find_node", "target", "\"-1\"", BAD_FIELD),
            case("find_node", "target", "7", BAD_FIELD),
            case("find_value", "key", "", MISSING),
            case("find_value", "key", "7", BAD_FIELD),
            case("find_value", "key", "\"\"", found("")),
            case("find_value", "key", "\"\\u0000\"", found("\0")),
            case("find_value", "key", "\"\\ud800\"", MALFORMED),
            case("find_value", "key", "\"\\udc00\\ud800\"", MALFORMED),
            case("find_value", "key", "\"\\ud83d\\udd11\"", found("🔑")),
            case("find_value", "key", b"\"\xff\"", MALFORMED),
            case("find_value", "key", "{\"__bytes_b64__\":\"aw==\"}", BAD_FIELD),
            case("find_value", "key", "\"a\nb\"", MALFORMED),
            case("get", "key", "", MISSING),
            case("set", "key", "\"k\"", MISSING),
            case("set", "value", "\"v\"", MISSING),
            case("set", "key", "\"k\"", MISSING).and("value", "null"),
            case("set_cached", "key", "\"k\"", MISSING),
            case("check_store", "size", "1", MISSING),
            // What a message does not read does not matter to it.
            case("ping", "target", "-1", ping()),
            case("ping", "peers", "\"none\"", ping()),
            case("ping", "value", "[[]]", ping()),
            case("ping", "peers6", "7", ping()),
            case("ping", "x", "1e999", ping()),
            case("ping", "x", "NaN", MALFORMED),
            case("ping", "x", "Infinity", MALFORMED),
            case("ping", "x", "01", MALFORMED),
            case("ping", "x", b"\"\xff\"", MALFORMED),
            case("ping", "x", "{\"y\":[null,{\"y\":1,\"y\":2}]}", ping()),
            case("ping", "v", "-1", BAD_FIELD),
            case("ping", "v", "4294967296", BAD_FIELD),
            case("ping", "v", "1.0", BAD_FIELD),
            case("ping", "v", "\"1\"", BAD_FIELD),
            case("ping", "v", "null", ping()),
            case("find_node_res", "peers", "", peers(&[])),
            case("find_node_res", "peers", "null", peers(&[])),
            case("find_node_res", "peers", "\"\"", BAD_FIELD),
            case("find_node_res", "peers", "{}", BAD_FIELD),
            case("find_node_res", "peers", "[1]", peers(&[])),
            case("find_node_res", "peers", "[null,true,-1,1.5,\"x\",[],[[]],{}]", peers(&[])),
            case("find_node_res", "peers", format!("[\"x\",{},[{{}}]]", good("192.0.2.1")), one()),
            case("find_node_res", "peers", format!("[{}]", good("::ffff:192.0.2.1")), one()),
            case("find_node_res", "peers", format!("[{}]", good("2001:db8::1")), peers(&["[2001:db8::1]:1"])),
            case("find_node_res", "peers", peer("\"\"", "\"192.0.2.2\"", "1"), one()),
            case("find_node_res", "peers", peer(&own, "\"192.0.2.2\"", "1,\"port\":1"), one()),
            case(
                "find_node_res",
                "peers",
                peer(&own.to_uppercase(), "\"192.0.2.2\"", "1,\"x\":[]"),
                peers(&["192.0.2.2:1", "192.0.2.1:1"]),
            ),
            case("find_value_res", "value", "null", Ok(Body::Response(Response::NoValue { peers: vec![] }))),
            case("find_value_res", "value", "7", BAD_FIELD),
            case("get_res", "value", "7", BAD_FIELD),
            case("get_res", "value", "null", Ok(Body::Response(Response::Get { value: None }))),
            case("set_res", "stored", "0", BAD_FIELD),
            case("set_res", "stored", "null", Ok(Body::Response(Response::Set { stored: true }))),
            case("check_store_res", "has_key", "1", BAD_FIELD),
            case("check_store_res", "has_key", "\"true\"", BAD_FIELD),
            case("check_store_res", "x", "1", Ok(Body::Response(Response::CheckStore { has_key: false, ttl: None }))),
            case("check_store_res", "ttl", "-1", BAD_FIELD),
        ];
        for id in [
            "\"-1\"",
            "\"0x4a8fe5ccb19ba61c4c0873d391e987982fbbd300\"",
            "\" a94a8fe5ccb19ba61c4c0873d391e987982fbbd\"",
            "\"a94a8fe5ccb19ba61c4c0873d391e987982fbbd\"",
            "\"a94a8fe5ccb19ba61c4c0873d391e987982fbbd3a\"",
            "\"g94a8fe5ccb19ba61c4c0873d391e987982fbbd3\"",
            "null",
            "1",
            "[]",
            "{}",
            "true",
        ] {
            cases.push(case("ping", "sender", sender(id, "\"127.0.0.1\"", "1"), BAD_SENDER));
            cases.push(case("find_node_res", "peers", peer(id, "\"192.0.2.2\"", "1"), one()));
            let expected = if id == "null" { MISSING } else { BAD_FIELD };
            cases.push(case("find_node", "target", id, expected));
            let no_target =
                Request::SetCached { key: "k".into(), value: Arc::new("v".into()), target: None, ttl: None };
            cases.push(
                case("set_cached", "target_id", id, Ok(Body::Request(no_target)))
                    .and("key", "\"k\"")
                    .and("value", "\"v\""),
            );
        }
        for port in [
            "0",
            "-1",
            "65536",
            "70000",
            "1.5",
            "1.0",
            "1e3",
            "\"x\"",
            "\"1\"",
            "null",
            "true",
            "[]",
            "{}",
            "99999999999999999999999",
            "-0",
        ] {
            cases.push(case("ping", "sender", sender(&own, "\"127.0.0.1\"", port), BAD_SENDER));
            cases.push(case("find_node_res", "peers", peer(&own, "\"192.0.2.2\"", port), one()));
        }
        for ip in [
            "\"localhost\"",
            "\"example.org\"",
            "\"\"",
            "\"0.0.0.0\"",
            "\"0.1.2.3\"",
            "\"224.0.0.1\"",
            "\"255.255.255.255\"",
            "\"::\"",
            "\"ff02::1\"",
            "\"::ffff:0.0.0.0\"",
            "\"192.0.2.2 \"",
            "\"192.0.2.02\"",
            "\"192.0.2\"",
            "\"192.0.2.256\"",
            "\"192.0.2.2:1\"",
            "\"fe80::1%eth0\"",
            "3221225986",
            "null",
            "[]",
            "{}",
        ] {
            cases.push(case("find_node_res", "peers", peer(&own, ip, "1"), one()));
        }
        for value in [
            "7",
            "1.5",
            "true",
            "[]",
            "[\"v\"]",
            "{}",
            "{\"x\":\"dg==\"}",
            "{\"__bytes_b64__\":7}",
            "{\"__bytes_b64__\":null}",
            "{\"__bytes_b64__\":{\"__bytes_b64__\":\"\"}}",
            "{\"__bytes_b64__\":\"dg\"}",
            "{\"__bytes_b64__\":\"dg=\"}",
            "{\"__bytes_b64__\":\"dh==\"}",
            "{\"__bytes_b64__\":\"d g==\"}",
            "{\"__bytes_b64__\":\"_-8=\"}",
            "{\"__bytes_b64__\":\"dg==\",\"x\":1}",
            "{\"__bytes_b64__\":\"dg==\",\"__bytes_b64__\":\"dg==\"}",
        ] {
            cases.push(case("set", "value", value, BAD_FIELD).and("key", "\"k\""));
        }
        cases.push(case("set", "value", "{\"__bytes_b64__\":\"dg==\"}", set(b"v")).and("key", "\"k\""));
        cases.push(case("set", "value", "{\"__bytes_b64__\":\"\"}", set(b"")).and("key", "\"k\""));
        for number in ["-1", "1.5", "4294967296", "1e2", "\"60\"", "true", "[]"] {
            cases.push(case("set", "ttl", number, BAD_FIELD).and("key", "\"k\"").and("value", "\"v\""));
        }
        for size in ["-1", "1.5", "\"8\"", "true", "[]", "18446744073709551616"] {
            cases.push(case("check_store", "size", size, BAD_FIELD).and("key", "\"k\""));
        }
        let no_size = Request::CheckStore { key: "k".into(), size: None };
        cases.push(case("check_store", "size", "null", Ok(Body::Request(no_size.clone()))).and("key", "\"k\""));
        cases.push(case("check_store", "key", "\"k\"", Ok(Body::Request(no_size))));
        check(Codec::Json, &cases, spell);
    }

    #[test]
    fn datagrams_out_of_form() {
        let whole = String::from_utf8(spell(&case("ping", "x", "1", ping()))).unwrap();
        let cases: Vec<(String, Outcome)> = vec![
            ("null".into(), MALFORMED),
            ("7".into(), MALFORMED),
            ("\"ping\"".into(), MALFORMED),
            ("[]".into(), MALFORMED),
            (format!("[{whole}]"), MALFORMED),
            (format!("[\"ping\",{ID:?},{SENDER}]"), MALFORMED),
            ("{}".into(), MISSING),
            (format!("{whole}{whole}"), MALFORMED),
            (format!("{whole}x"), MALFORMED),
            (format!("{whole}\0"), MALFORMED),
            (format!("\u{feff}{whole}"), MALFORMED),
            (format!(" \r\n\t{whole} \r\n\t"), ping()),
            (whole.replace("}", ",}"), MALFORMED),
            (whole.replace('"', "'"), MALFORMED),
            (whole.replace("\"x\":1", "x:1"), MALFORMED),
            (whole.replace("\"x\":1", "1:1"), MALFORMED),
            (whole.replace("\"x\":1", "\"type\":\"ping\""), DUPLICATE),
            (whole.replace("\"x\":1", "\"\\u0074ype\":\"ping\""), DUPLICATE),
            (whole.replace("\"x\":1", "\"id\":null"), DUPLICATE),
            (whole.replace("\"x\":1", "\"v\":null,\"v\":1"), DUPLICATE),
            (whole.replace("\"x\":1", "/**/"), MALFORMED),
            (format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)), MALFORMED),
            ("[".repeat(65_507), MALFORMED),
            ("{\"a\":".repeat(13_000), MALFORMED),
            // Skipped without recursion, so that its depth does no harm.
            (whole.replace("\"x\":1", &format!("\"x\":{}{}", "[".repeat(30_000), "]".repeat(30_000))), ping()),
            (whole.replace("\"x\":1", &format!("\"sender\":{}", "[".repeat(30_000))), MALFORMED),
            (whole.replace("\"x\":1", &format!("\"x\":{}1{}", "{\"x\":".repeat(10_000), "}".repeat(10_000))), ping()),
        ];
        for (datagram, expected) in cases {
            let shown: String = datagram.chars().take(300).collect();
            assert_eq!(outcome(Codec::Json, datagram.as_bytes()), expected, "{shown}");
        }
    }

    #[test]
    fn no_more_than_the_first_entries_are_read() {
        let many = |bad: usize, good_ones: usize| {
            let entries = [vec!["0".to_owned(); bad], vec![good("192.0.2.1"); good_ones]].concat().join(",");
            outcome(Codec::Json, &spell(&case("find_node_res", "peers", format!("[{entries}]"), ping())))
        };
        assert_eq!(many(0, 300), peers(&["192.0.2.1:1"; MAX_PEERS_READ]));
        assert_eq!(many(MAX_PEERS_READ - 1, 300), peers(&["192.0.2.1:1"]));
        assert_eq!(many(30_000, 1), peers(&[]));
    }
}

mod bencode {
    use super::*;

    const SENDER: &str = "d2:ip9:127.0.0.17:node_id40:a94a8fe5ccb19ba61c4c0873d391e987982fbbd34:porti8000ee";

    fn text(text: &str) -> String {
        format!("{}:{text}", text.len())
    }

    fn spell(case: &Case<'_>) -> Vec<u8> {
        let sound = [("type", text(case.kind).into_bytes()), ("id", text(ID).into_bytes()), ("sender", SENDER.into())];
        let mut fields = case.fields(sound);
        fields.sort();
        let fields: Vec<_> = fields.iter().map(|(name, spelled)| [text(name).as_bytes(), spelled].concat()).collect();
        [b"d", &fields.concat()[..], b"e"].concat()
    }

    fn contact(node_id: &str, ip: &str, port: &str) -> String {
        format!("d2:ip{ip}7:node_id{node_id}4:port{port}e")
    }

    #[test]
    fn fields_of_every_kind_of_wrong() {
        let own = text(NODE);
        let here = text("192.0.2.1");
        let one = || peers(&["192.0.2.1:1"]);
        let peer = |id: &str, ip: &str, port: &str| {
            format!("l{}{}e", contact(id, ip, port), contact(&text(NODE), &text("192.0.2.1"), "i1e"))
        };
        let mut cases = vec![
            case("ping", "x", "0:", ping()),
            case("ping", "type", "", MISSING),
            case("ping", "type", "i1e", BAD_FIELD),
            case("ping", "type", "l4:pinge", BAD_FIELD),
            case("ping", "type", "d4:pingi1ee", BAD_FIELD),
            case("ping", "type", b"4:\xff\xff\xff\xff", BAD_FIELD),
            case("ping\0", "x", "0:", UNKNOWN_TYPE),
            case("ping", "id", "", QUERY_ID),
            case("ping", "id", "i7e", QUERY_ID),
            case("ping", "id", b"1:\xff", QUERY_ID),
            case("ping", "id", text(&"x".repeat(33)), QUERY_ID),
            case("ping", "id", text(&"x".repeat(32)), ping()),
            case("ping", "sender", "", BAD_SENDER),
            case("ping", "sender", "i1e", BAD_SENDER),
            case("ping", "sender", "le", BAD_SENDER),
            case("ping", "sender", "de", BAD_SENDER),
            case("ping", "sender", "2:me", BAD_SENDER),
            case("ping", "sender", contact("0:", &here, "i1e"), ping()),
            case("ping", "sender", contact(&own.to_uppercase(), &here, "i1e"), ping()),
            case("ping", "sender", contact(&own, &text("localhost"), "i1e"), ping()),
            case("ping", "sender", contact(&own, "i1e", "i1e"), BAD_SENDER),
            case("find_node", "target", "", MISSING),
            case("find_node", "target", "0:", BAD_FIELD),
            case("find_node", "target", b"20:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", BAD_FIELD),
            case("find_value", "key", "", MISSING),
            case("find_value", "key", "i1e", BAD_FIELD),
            case("find_value", "key", b"1:\xff", BAD_FIELD),
            case("find_value", "key", "0:", found("")),
            case("set", "key", "1:k", MISSING),
            case("set", "value", "i1e", BAD_FIELD).and("key", "1:k"),
            case("set", "value", "le", BAD_FIELD).and("key", "1:k"),
            case("set", "value", "d13:__bytes_b64__4:dg==e", BAD_FIELD).and("key", "1:k"),
            case("set", "value", "7:\0bytes\0", set(b"")).and("key", "1:k"),
            case("set", "value", "6:\0bytes", set("\0bytes")).and("key", "1:k"),
            case("set", "value", b"2:\xffv", set(b"\xffv")).and("key", "1:k"),
            case("set", "value", b"8:\0bytes\0v", set(b"v")).and("key", "1:k"),
            case("set", "ttl", "i-1e", BAD_FIELD).and("key", "1:k").and("value", "1:v"),
            case("set", "ttl", "i4294967296e", BAD_FIELD).and("key", "1:k").and("value", "1:v"),
            case("set", "ttl", "2:60", BAD_FIELD).and("key", "1:k").and("value", "1:v"),
            case("check_store", "size", "i-1e", BAD_FIELD).and("key", "1:k"),
            case("check_store", "size", "1:8", BAD_FIELD).and("key", "1:k"),
            case("check_store_res", "has_key", "i2e", BAD_FIELD),
            case("check_store_res", "has_key", "i-1e", BAD_FIELD),
            case("check_store_res", "has_key", "4:true", BAD_FIELD),
            case(
                "check_store_res",
                "has_key",
                "i1e",
                Ok(Body::Response(Response::CheckStore { has_key: true, ttl: None })),
            ),
            case("set_res", "stored", "i0e", Ok(Body::Response(Response::Set { stored: false }))),
            case("ping", "v", "i-1e", BAD_FIELD),
            case("ping", "target", "i-1e", ping()),
            case("ping", "x", "llllleeeee", ping()),
            case("ping", "x", "llllllleeeeeee", ping()),
            case("ping", "x", "lllllllleeeeeeee", TOO_DEEP),
            case("ping", "x", "d1:ad1:ad1:ad1:ad1:ad1:ad1:ad1:aleeeeeeeeee", TOO_DEEP),
            case("ping", "x", "l".repeat(30_000), TOO_DEEP),
            case("ping", "peers", format!("l{}{}e", "l".repeat(30_000), "e".repeat(30_000)), TOO_DEEP),
            case("find_node_res", "peers", "", peers(&[])),
            case("find_node_res", "peers", "de", BAD_FIELD),
            case("find_node_res", "peers", "0:", BAD_FIELD),
            case("find_node_res", "peers", "li1e1:xleded1:xi1eee", peers(&[])),
            case(
                "find_node_res",
                "peers",
                peer(&own, &text("192.0.2.2"), "i2e"),
                peers(&["192.0.2.2:2", "192.0.2.1:1"]),
            ),
            case("find_node_res", "peers", peer("0:", &here, "i1e"), one()),
            // Not even a bad entry may have a field twice here: the form is checked before anything is read.
            case("find_node_res", "peers", peer(&own, &here, "i1e4:porti1e"), DUPLICATE),
        ];
        for port in ["i0e", "i-1e", "i65536e", "i70000e", "5:40000", "le", "de"] {
            cases.push(case("ping", "sender", contact(&own, &here, port), BAD_SENDER));
            cases.push(case("find_node_res", "peers", peer(&own, &text("192.0.2.2"), port), one()));
        }
        for ip in ["localhost", "", "0.0.0.0", "239.1.2.3", "255.255.255.255", "::", "ff02::1", "192.0.2.002"] {
            cases.push(case("find_node_res", "peers", peer(&own, &text(ip), "i1e"), one()));
        }
        for id in ["2:-1", "i1e", "20:01234567890123456789", "42:0xa94a8fe5ccb19ba61c4c0873d391e987982fbbd3", "le"] {
            cases.push(case("ping", "sender", contact(id, &here, "i1e"), BAD_SENDER));
            cases.push(case("find_node_res", "peers", peer(id, &text("192.0.2.2"), "i1e"), one()));
            cases.push(case("find_node", "target", id, BAD_FIELD));
        }
        for number in [
            "ie",
            "i-e",
            "i-0e",
            "i00e",
            "i01e",
            "i007e",
            "i+1e",
            "i1.5e",
            "i 1e",
            "i1",
            "i0x1e",
            "i1_0e",
            "i9223372036854775808e",
            "i-9223372036854775809e",
            "i99999999999999999999999999e",
            "iNaNe",
        ] {
            cases.push(case("ping", "x", number, MALFORMED));
        }
        for string in [
            "01:x",
            "00:",
            "-1:x",
            "+1:x",
            "1x",
            "1 :x",
            "99999:x",
            "4294967296:x",
            "18446744073709551615:x",
            "18446744073709551616:x",
            "99999999999999999999999999:x",
            ":",
        ] {
            cases.push(case("ping", "x", string, MALFORMED));
        }
        check(Codec::Bencode, &cases, spell);
    }

    #[test]
    fn datagrams_out_of_form() {
        let whole = String::from_utf8(spell(&case("ping", "x", "i1e", ping()))).unwrap();
        let cases: Vec<(String, Outcome)> = vec![
            ("i1e".into(), MALFORMED),
            ("4:ping".into(), MALFORMED),
            ("le".into(), MALFORMED),
            ("e".into(), MALFORMED),
            ("de".into(), MISSING),
            (format!("l{whole}e"), MALFORMED),
            (format!("{whole}{whole}"), MALFORMED),
            (format!("{whole}e"), MALFORMED),
            (format!("{whole}\n"), MALFORMED),
            (format!(" {whole}"), MALFORMED),
            (whole.replace("1:xi1e", "1:xi1e1:xi1e"), DUPLICATE),
            (whole.replace("1:xi1e", "1:ai1e"), MALFORMED),
            (whole.replace("1:xi1e", "4:type4:ping"), DUPLICATE),
            (whole.replace("1:xi1e", "i1ei1e"), MALFORMED),
            (whole.replace("1:xi1e", "lei1e"), MALFORMED),
            (whole.replace("1:xi1e", "1:x"), MALFORMED),
            (whole.replace("1:xi1e", "1:x1:"), MALFORMED),
            ("d".repeat(65_507), MALFORMED),
            ("d1:a".repeat(16_000), TOO_DEEP),
            (format!("d1:a{}", "l".repeat(65_503)), TOO_DEEP),
        ];
        for (datagram, expected) in cases {
            let shown: String = datagram.chars().take(300).collect();
            assert_eq!(outcome(Codec::Bencode, datagram.as_bytes()), expected, "{shown}");
        }
    }
}

mod msgpack {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&[0xd9, text.len() as u8], text.as_bytes()].concat()
    }

    fn bin(bytes: &[u8]) -> Vec<u8> {
        [&[0xc5][..], &(bytes.len() as u16).to_be_bytes(), bytes].concat()
    }

    fn map(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut map = vec![0xde, 0, fields.len() as u8];
        for (name, spelled) in fields {
            map.extend(text(name));
            map.extend(spelled);
        }
        map
    }

    fn sender(node_id: Vec<u8>, ip: Vec<u8>, port: &[u8]) -> Vec<u8> {
        map(&[("node_id", node_id), ("ip", ip), ("port", port.to_vec())])
    }

    fn own() -> Vec<u8> {
        bin(node_id().as_bytes())
    }

    fn spell(case: &Case<'_>) -> Vec<u8> {
        let sender = sender(own(), bin(&[127, 0, 0, 1]), &[0xcd, 0x1f, 0x40]);
        map(&case.fields([("type", text(case.kind)), ("id", bin(&[7; 8])), ("sender", sender)]))
    }

    fn record(ip: &[u8], port: u16) -> Vec<u8> {
        [node_id().as_bytes(), ip, &port.to_be_bytes()].concat()
    }

    #[test]
    fn fields_of_every_kind_of_wrong() {
        const NIL: &[u8] = &[0xc0];
        let k = || text("k");
        let good = record(&[192, 0, 2, 1], 1);
        let mut cases = vec![
            case("ping", "x", NIL, ping()),
            case("ping", "type", "", MISSING),
            case("ping", "type", NIL, MISSING),
            case("ping", "type", [1], BAD_FIELD),
            case("ping", "type", bin(b"ping"), BAD_FIELD),
            case("ping", "type", [0x91, 0xa0], BAD_FIELD),
            case("pings", "x", NIL, UNKNOWN_TYPE),
            case("ping", "id", "", QUERY_ID),
            case("ping", "id", NIL, QUERY_ID),
            case("ping", "id", [7], QUERY_ID),
            case("ping", "id", bin(&[7; 7]), QUERY_ID),
            case("ping", "id", bin(&[7; 9]), QUERY_ID),
            case("ping", "id", bin(&[]), QUERY_ID),
            case("ping", "id", text(&"x".repeat(33)), QUERY_ID),
            case("ping", "id", text(&"x".repeat(32)), ping()),
            case("ping", "id", text(ID), ping()),
            case("ping", "sender", "", BAD_SENDER),
            case("ping", "sender", NIL, BAD_SENDER),
            case("ping", "sender", own(), BAD_SENDER),
            case("ping", "sender", [&[0x93][..], &own(), &bin(&[127, 0, 0, 1]), &[1]].concat(), BAD_SENDER),
            case("ping", "sender", [0x80], BAD_SENDER),
            case("ping", "sender", map(&[("node_id", own()), ("port", vec![1])]), ping()),
            case("ping", "sender", map(&[("node_id", own()), ("port", vec![1]), ("port", vec![1])]), BAD_SENDER),
            case("ping", "sender", sender(bin(&[]), bin(&[]), &[1]), ping()),
            case("ping", "sender", sender(own(), bin(&[0; 16]), &[1]), ping()),
            case("ping", "sender", sender(own(), bin(&[0; 5]), &[1]), BAD_SENDER),
            case("ping", "sender", sender(own(), text("127.0.0.1"), &[1]), BAD_SENDER),
            case("ping", "sender", sender(text(NODE), bin(&[]), &[1]), BAD_SENDER),
            case("ping", "sender", sender(text(""), bin(&[]), &[1]), BAD_SENDER),
            case("ping", "sender", sender(bin(&[0; 19]), bin(&[]), &[1]), BAD_SENDER),
            case("ping", "sender", sender(bin(&[0; 21]), bin(&[]), &[1]), BAD_SENDER),
            case("ping", "sender", sender(NIL.into(), bin(&[]), &[1]), BAD_SENDER),
            case("find_node", "target", "", MISSING),
            case("find_node", "target", NIL, MISSING),
            case("find_node", "target", text(NODE), BAD_FIELD),
            case("find_node", "target", bin(&[]), BAD_FIELD),
            case("find_node", "target", bin(&[0; 19]), BAD_FIELD),
            case("find_value", "key", "", MISSING),
            case("find_value", "key", bin(b"k"), BAD_FIELD),
            case("find_value", "key", [0xa1, 0xff], MALFORMED),
            case("find_value", "key", [0xa0], found("")),
            case("set", "value", "", MISSING).and("key", k()),
            case("set", "value", NIL, MISSING).and("key", k()),
            case("set", "value", [7], BAD_FIELD).and("key", k()),
            case("set", "value", [0x90], BAD_FIELD).and("key", k()),
            case("set", "value", [0x80], BAD_FIELD).and("key", k()),
            case("set", "value", [0xc3], BAD_FIELD).and("key", k()),
            case("set", "value", [0xca, 0, 0, 0, 0], BAD_FIELD).and("key", k()),
            case("set", "value", [0xa1, 0xff], MALFORMED).and("key", k()),
            case("set", "value", [0xd4, 0, 0], MALFORMED).and("key", k()),
            case("set", "value", bin(b"v"), set(b"v")).and("key", k()),
            case("set", "value", text("v"), set("v")).and("key", k()),
            case("set", "ttl", [0xff], BAD_FIELD).and("key", k()).and("value", k()),
            case("set", "ttl", [0xcf, 0, 0, 0, 1, 0, 0, 0, 0], BAD_FIELD).and("key", k()).and("value", k()),
            case("set", "ttl", [0xcb, 0x40, 0, 0, 0, 0, 0, 0, 0], BAD_FIELD).and("key", k()).and("value", k()),
            case("check_store", "size", [0xd3, 0xff, 0, 0, 0, 0, 0, 0, 0], BAD_FIELD).and("key", k()),
            case(
                "check_store",
                "size",
                [0xd3, 0, 0, 0, 0, 0, 0, 0, 8],
                Ok(Body::Request(Request::CheckStore { key: "k".into(), size: Some(8) })),
            )
            .and("key", k()),
            case("check_store_res", "has_key", [1], BAD_FIELD),
            case("set_res", "stored", [0], BAD_FIELD),
            case("set_res", "stored", [0xc2], Ok(Body::Response(Response::Set { stored: false }))),
            case("ping", "v", [0xff], BAD_FIELD),
            case("ping", "target", [7], ping()),
            case("ping", "x", [0xc1], MALFORMED),
            case("ping", "x", [0xc7, 0, 0], MALFORMED),
            case("ping", "x", [0xd6, 0xff, 0, 0, 0, 0], MALFORMED),
            case("ping", "x", [0x81, 0x01, 0x01], MALFORMED),
            case("ping", "x", [0xdf, 0xff, 0xff, 0xff, 0xff], MALFORMED),
            case("ping", "x", [0xdd, 0xff, 0xff, 0xff, 0xff], MALFORMED),
            case("ping", "x", [0xdb, 0xff, 0xff, 0xff, 0xff], MALFORMED),
            case("ping", "x", [0xc6, 0xff, 0xff, 0xff, 0xff], MALFORMED),
            case("ping", "x", [vec![0x91; 7], vec![0x90]].concat(), TOO_DEEP),
            case("ping", "x", [vec![0x91; 6], vec![0x90]].concat(), ping()),
            case("ping", "x", vec![0x91; 30_000], TOO_DEEP),
            case("ping", "sender", b"\x81\xa1a".repeat(20_000), TOO_DEEP),
            case("find_node_res", "peers", "", peers(&[])),
            case("find_node_res", "peers", NIL, peers(&[])),
            case("find_node_res", "peers", [0x90], BAD_FIELD),
            case("find_node_res", "peers", [0x80], BAD_FIELD),
            case("find_node_res", "peers", text("x"), BAD_FIELD),
            case("find_node_res", "peers", bin(&[0; 25]), BAD_FIELD),
            case("find_node_res", "peers", bin(&[1; 38]), BAD_FIELD),
            case("find_node_res", "peers6", bin(&[1; 26]), BAD_FIELD),
            case("find_node_res", "peers6", bin(&record(&[0; 16], 1)), peers(&[])),
            case("find_node_res", "peers6", bin(&record(&[0xff; 16], 1)), peers(&[])),
            case("find_node_res", "peers", bin(&good.repeat(300)), peers(&["192.0.2.1:1"; MAX_PEERS_READ])),
        ];
        for (ip, port) in [([0, 0, 0, 0], 1), ([224, 0, 0, 1], 1), ([255; 4], 1), ([192, 0, 2, 2], 0)] {
            let both = bin(&[record(&ip, port), good.clone()].concat());
            cases.push(case("find_node_res", "peers", both, peers(&["192.0.2.1:1"])));
        }
        for port in [&[0][..], &[0xff], &[0xce, 0, 1, 0, 0], &[0xca, 0x3f, 0x80, 0, 0], &[0xa1, b'1'], NIL, &[0x90]] {
            cases.push(case("ping", "sender", sender(own(), bin(&[]), port), BAD_SENDER));
        }
        check(Codec::MessagePack, &cases, spell);
    }

    #[test]
    fn datagrams_out_of_form() {
        let whole = spell(&case("ping", "x", [1], ping()));
        let fields = &whole[3..];
        let cases: Vec<(Vec<u8>, Outcome)> = vec![
            (vec![0xc0], MALFORMED),
            (vec![0x80], MISSING),
            (vec![0x90], MALFORMED),
            (text("ping"), MALFORMED),
            ([&[0x91][..], &whole].concat(), MALFORMED),
            // A struct as an array: its values in their order.
            ([&[0x93][..], &text("ping"), &bin(&[7; 8]), &own()].concat(), MALFORMED),
            ([&whole[..], &[0xc0]].concat(), MALFORMED),
            ([&whole[..], &whole].concat(), MALFORMED),
            ([&[0xde, 0, 5], fields].concat(), MALFORMED),
            ([&[0xde, 0, 3], fields].concat(), MALFORMED),
            ([&[0xdf, 0xff, 0xff, 0xff, 0xff], fields].concat(), MALFORMED),
            ([&[0x84], fields].concat(), ping()),
            ([&[0xdf, 0, 0, 0, 4], fields].concat(), ping()),
            ([&[0x85], fields, &text("id"), &bin(&[7; 8])].concat(), DUPLICATE),
            ([&[0x86], fields, &text("v"), &[0xc0], &text("v"), &[1]].concat(), DUPLICATE),
            // A name is not an index, nor bytes.
            ([&[0x85], fields, &[0x00], &text("ping")].concat(), MALFORMED),
            ([&[0x85], fields, &bin(b"v"), &[1]].concat(), MALFORMED),
            (vec![0x81; 65_507], MALFORMED),
            (vec![0x91; 65_507], MALFORMED),
            (vec![0xff; 65_507], MALFORMED),
        ];
        for (datagram, expected) in cases {
            let shown = datagram[..datagram.len().min(200)].escape_ascii();
            assert_eq!(outcome(Codec::MessagePack, &datagram), expected, "{shown}");
        }
    }

    #[test]
    fn both_families_together_are_read_up_to_the_same_bound() {
        let v4 = bin(&record(&[192, 0, 2, 1], 1).repeat(30));
        let v6 = bin(&record(&[0x20; 16], 1).repeat(30));
        let datagram = spell(&case("find_node_res", "peers6", v6, ping()).and("peers", v4));
        let Ok(Body::Response(Response::FindNode { peers })) = outcome(Codec::MessagePack, &datagram) else { panic!() };
        assert_eq!(peers.iter().filter(|peer| peer.addr.is_ipv4()).count(), 30);
        assert_eq!(peers.len(), MAX_PEERS_READ);
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
