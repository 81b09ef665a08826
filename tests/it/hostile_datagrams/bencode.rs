//! Hostile bencode, field by field and as a whole.

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

const BAD_NUMBERS: &[&str] = &[
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
];

const BAD_STRINGS: &[&str] = &[
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
];

/// Messages with a field that is wrong.
fn cases() -> Vec<Case<'static>> {
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
        case("set", "value", "i1e", unsupported()).and("key", "1:k"),
        case("set", "value", "le", unsupported()).and("key", "1:k"),
        case("set", "value", "d13:__bytes_b64__4:dg==e", unsupported()).and("key", "1:k"),
        case("set", "value", "7:\0bytes\0", set(b"")).and("key", "1:k"),
        case("set", "value", "6:\0bytes", set("\0bytes")).and("key", "1:k"),
        case("set", "value", b"2:\xffv", set(b"\xffv")).and("key", "1:k"),
        case("set", "value", b"8:\0bytes\0v", set(b"v")).and("key", "1:k"),
        case("set", "ttl", "i-1e", set("v")).and("key", "1:k").and("value", "1:v"),
        case("set", "ttl", "i4294967296e", set("v")).and("key", "1:k").and("value", "1:v"),
        case("set", "ttl", "2:60", set("v")).and("key", "1:k").and("value", "1:v"),
        case("check_store", "size", "i-1e", check_store()).and("key", "1:k"),
        case("check_store", "size", "1:8", check_store()).and("key", "1:k"),
        case("check_store_res", "has_key", "i2e", BAD_FIELD),
        case("check_store_res", "has_key", "i-1e", BAD_FIELD),
        case("check_store_res", "has_key", "4:true", BAD_FIELD),
        case(
            "check_store_res",
            "has_key",
            "i1e",
            Ok(Body::Response(Response::CheckStore { has_key: true, ttl: None, age: None })),
        ),
        case("set_res", "stored", "i0e", Ok(Body::Response(Response::Set { stored: false, ttl: None }))),
        case("ping", "v", "i-1e", ping()),
        case("set_res", "stored", "i2e", stored()),
        case("find_value_res", "value", "d1:ai1ee", unsupported_answer()),
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
        case("find_node_res", "peers", peer(&own, &text("192.0.2.2"), "i2e"), peers(&["192.0.2.2:2", "192.0.2.1:1"])),
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
    for &number in BAD_NUMBERS {
        cases.push(case("ping", "x", number, MALFORMED));
    }
    for &string in BAD_STRINGS {
        cases.push(case("ping", "x", string, MALFORMED));
    }
    cases
}

#[test]
fn fields_of_every_kind_of_wrong() {
    check(Codec::Bencode, &cases(), spell);
}

/// Datagrams that are no message as a whole.
fn out_of_form() -> Vec<(String, Outcome)> {
    let whole = String::from_utf8(spell(&case("ping", "x", "i1e", ping()))).unwrap();
    vec![
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
    ]
}

#[test]
fn datagrams_out_of_form() {
    for (datagram, expected) in out_of_form() {
        let shown: String = datagram.chars().take(300).collect();
        assert_eq!(outcome(Codec::Bencode, datagram.as_bytes()), expected, "{shown}");
    }
}

/// All of this file's, and what becomes of each.
pub(crate) fn datagrams() -> Vec<(Vec<u8>, Outcome)> {
    let whole = out_of_form().into_iter().map(|(datagram, expected)| (datagram.into_bytes(), expected));
    cases().iter().map(|case| (spell(case), case.expected.clone())).chain(whole).collect()
}
