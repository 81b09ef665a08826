//! Hostile JSON, field by field and as a whole.

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

const BAD_IDS: &[&str] = &[
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
];

const BAD_PORTS: &[&str] = &[
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
];

const BAD_ADDRESSES: &[&str] = &[
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
];

const BAD_VALUES: &[&str] = &[
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
    "\"a\\ud800b\"",
    "\"\\udc00\\ud800\"",
    "{\"\\ud800\":1}",
    "[\"\\udfff\"]",
    "{\"__bytes_b64__\":\"\\ud800\"}",
    "1e999",
    "NaN",
    "[-Infinity,\"\\\"NaN\"]",
    "99999999999999999999999",
    "-1",
    "{\"__bytes_b64__\":\"dg==\",\"__bytes_b64__\":\"dg==\"}",
];

/// A list of a peer that is wrong and of one that is right.
fn peer(id: &str, ip: &str, port: &str) -> String {
    format!("[{},{}]", sender(id, ip, port), good("192.0.2.1"))
}

fn one() -> Outcome {
    peers(&["192.0.2.1:1"])
}

/// What each message has: its type, the id of its query, its sender.
fn envelopes() -> Vec<Case<'static>> {
    let own = format!("{NODE:?}");
    vec![
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
    ]
}

/// What requests ask.
fn requests() -> Vec<Case<'static>> {
    vec![
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
    ]
}

/// Fields that a message does not read do not matter to it.
fn unread_fields() -> Vec<Case<'static>> {
    let own = format!("{NODE:?}");
    vec![
        case("ping", "target", "-1", ping()),
        case("ping", "peers", "\"none\"", ping()),
        case("ping", "value", "[[]]", ping()),
        case("ping", "peers6", "7", ping()),
        case("ping", "x", "1e999", ping()),
        case("ping", "x", "NaN", ping()),
        case("ping", "x", "[-Infinity,{\"NaN\":Infinity}]", ping()),
        case("ping", "x", "1NaN", MALFORMED),
        case("ping", "x", "-NaN", MALFORMED),
        case("ping", "x", "nan", MALFORMED),
        case("ping", "x", "NaN 1", MALFORMED),
        case("ping", "x", "1e999", ping()).and("v", "1e999"),
        case("ping", "sender", sender(&own, "\"127.0.0.1\"", "1e999"), BAD_SENDER),
        case("ping", "sender", sender(&own, "\"127.0.0.1\"", "NaN"), BAD_SENDER),
        case("find_value", "key", "\"NaN\\\"\"", found("NaN\"")).and("x", "NaN"),
        case("ping", "x", "01", MALFORMED),
        case("ping", "x", b"\"\xff\"", MALFORMED),
        case("ping", "x", "{\"y\":[null,{\"y\":1,\"y\":2}]}", ping()),
        case("ping", "v", "-1", ping()),
        case("ping", "v", "4294967296", ping()),
        case("ping", "v", "1.0", ping()),
        case("ping", "v", "\"1\"", ping()),
        case("ping", "v", "null", ping()),
    ]
}

/// What responses say.
fn responses() -> Vec<Case<'static>> {
    let own = format!("{NODE:?}");
    vec![
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
        case("find_value_res", "value", "7", unsupported_answer()),
        case("find_value_res", "value", "\"a\\ud800b\"", unsupported_answer()),
        case("get_res", "value", "7", BAD_FIELD),
        case("get_res", "value", "null", Ok(Body::Response(Response::Get { value: None }))),
        case("set_res", "stored", "0", stored()),
        case("set_res", "stored", "null", Ok(Body::Response(Response::Set { stored: true, ttl: None }))),
        case("check_store_res", "has_key", "1", BAD_FIELD),
        case("check_store_res", "has_key", "\"true\"", BAD_FIELD),
        case(
            "check_store_res",
            "x",
            "1",
            Ok(Body::Response(Response::CheckStore { has_key: false, ttl: None, age: None })),
        ),
        case("check_store_res", "ttl", "-1", checked(false)),
        case("check_store_res", "age", "\"1\"", checked(false)),
    ]
}

/// Messages with a field that is wrong.
fn cases() -> Vec<Case<'static>> {
    let own = format!("{NODE:?}");
    let all = [envelopes(), requests(), unread_fields(), responses()];
    let mut cases: Vec<_> = all.into_iter().flatten().collect();
    for &id in BAD_IDS {
        cases.push(case("ping", "sender", sender(id, "\"127.0.0.1\"", "1"), BAD_SENDER));
        cases.push(case("find_node_res", "peers", peer(id, "\"192.0.2.2\"", "1"), one()));
        let expected = if id == "null" { MISSING } else { BAD_FIELD };
        cases.push(case("find_node", "target", id, expected));
        let no_target = Request::SetCached { key: "k".into(), value: Arc::new("v".into()), target: None, ttl: None };
        cases.push(
            case("set_cached", "target_id", id, Ok(Body::Request(no_target))).and("key", "\"k\"").and("value", "\"v\""),
        );
    }
    for &port in BAD_PORTS {
        cases.push(case("ping", "sender", sender(&own, "\"127.0.0.1\"", port), BAD_SENDER));
        cases.push(case("find_node_res", "peers", peer(&own, "\"192.0.2.2\"", port), one()));
    }
    for &ip in BAD_ADDRESSES {
        cases.push(case("find_node_res", "peers", peer(&own, ip, "1"), one()));
    }
    for &value in BAD_VALUES {
        cases.push(case("set", "value", value, unsupported()).and("key", "\"k\""));
        let cached = Ok(Body::Request(Request::SetUnsupported { cached: true }));
        cases.push(case("set_cached", "value", value, cached).and("key", "\"k\""));
        cases.push(case("set", "value", value, MISSING));
        cases.push(case("set", "value", value, BAD_FIELD).and("key", "7"));
    }
    cases.push(case("set", "value", "{\"__bytes_b64__\":\"dg==\"}", set(b"v")).and("key", "\"k\""));
    cases.push(case("set", "value", "{\"__bytes_b64__\":\"\"}", set(b"")).and("key", "\"k\""));
    for number in ["-1", "1.5", "4294967296", "1e2", "\"60\"", "true", "[]"] {
        cases.push(case("set", "age", number, set("v")).and("key", "\"k\"").and("value", "\"v\""));
        cases.push(case("set", "ttl", number, set("v")).and("key", "\"k\"").and("value", "\"v\""));
    }
    for size in ["-1", "1.5", "\"8\"", "true", "[]", "18446744073709551616"] {
        cases.push(case("check_store", "size", size, check_store()).and("key", "\"k\""));
    }
    cases.push(case("check_store", "size", "null", check_store()).and("key", "\"k\""));
    cases.push(case("check_store", "key", "\"k\"", check_store()));
    cases
}

#[test]
fn fields_of_every_kind_of_wrong() {
    check(Codec::Json, &cases(), spell);
}

/// Datagrams that are no message as a whole.
fn out_of_form() -> Vec<(String, Outcome)> {
    let whole = String::from_utf8(spell(&case("ping", "x", "1", ping()))).unwrap();
    vec![
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
    ]
}

#[test]
fn datagrams_out_of_form() {
    for (datagram, expected) in out_of_form() {
        let shown: String = datagram.chars().take(300).collect();
        assert_eq!(outcome(Codec::Json, datagram.as_bytes()), expected, "{shown}");
    }
}

/// All of this file's, and what becomes of each.
pub(crate) fn datagrams() -> Vec<(Vec<u8>, Outcome)> {
    let whole = out_of_form().into_iter().map(|(datagram, expected)| (datagram.into_bytes(), expected));
    cases().iter().map(|case| (spell(case), case.expected.clone())).chain(whole).collect()
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
