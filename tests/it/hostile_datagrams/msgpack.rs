//! Hostile MessagePack, field by field and as a whole.

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

const NIL: &[u8] = &[0xc0];

/// Responses that name peers.
fn named_peers() -> Vec<Case<'static>> {
    let good = record(&[192, 0, 2, 1], 1);
    let mut cases = vec![
        case("find_node_res", "peers", "", peers(&[])),
        case("find_node_res", "peers", NIL, peers(&[])),
        case("find_node_res", "peers", [0x90], BAD_FIELD),
        case("find_node_res", "peers", [0x80], BAD_FIELD),
        case("find_node_res", "peers", text("x"), BAD_FIELD),
        case("find_node_res", "peers", bin(&[0; 25]), BAD_FIELD),
        case("find_node_res", "peers", bin(&[1; 38]), BAD_FIELD),
        case("find_node_res", "peers6", bin(&[1; 26]), peers(&[])),
        case("find_node_res", "peers6", bin(&record(&[0; 16], 1)), peers(&[])),
        case("find_node_res", "peers6", bin(&record(&[0xff; 16], 1)), peers(&[])),
        case("find_node_res", "peers", bin(&good.repeat(300)), peers(&["192.0.2.1:1"; MAX_PEERS_READ])),
    ];
    for (ip, port) in [([0, 0, 0, 0], 1), ([224, 0, 0, 1], 1), ([255; 4], 1), ([192, 0, 2, 2], 0)] {
        let both = bin(&[record(&ip, port), good.clone()].concat());
        cases.push(case("find_node_res", "peers", both, peers(&["192.0.2.1:1"])));
    }
    cases
}

/// Messages with a field that is wrong.
fn cases() -> Vec<Case<'static>> {
    let k = || text("k");
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
        case("set", "value", [7], unsupported()).and("key", k()),
        case("set", "value", [0x90], unsupported()).and("key", k()),
        case("set", "value", [0x80], unsupported()).and("key", k()),
        case("set", "value", [0xc3], unsupported()).and("key", k()),
        case("set", "value", [0xca, 0, 0, 0, 0], unsupported()).and("key", k()),
        case("set", "value", [0xa1, 0xff], MALFORMED).and("key", k()),
        case("set", "value", [0xd4, 0, 0], unsupported()).and("key", k()),
        case("set", "value", bin(b"v"), set(b"v")).and("key", k()),
        case("set", "value", text("v"), set("v")).and("key", k()),
        case("set", "ttl", [0xff], set("k")).and("key", k()).and("value", k()),
        case("set", "ttl", [0xcf, 0, 0, 0, 1, 0, 0, 0, 0], set("k")).and("key", k()).and("value", k()),
        case("set", "ttl", [0xcb, 0x40, 0, 0, 0, 0, 0, 0, 0], set("k")).and("key", k()).and("value", k()),
        case("check_store", "size", [0xd3, 0xff, 0, 0, 0, 0, 0, 0, 0], check_store()).and("key", k()),
        case(
            "check_store",
            "size",
            [0xd3, 0, 0, 0, 0, 0, 0, 0, 8],
            Ok(Body::Request(Request::CheckStore { key: "k".into(), size: Some(8) })),
        )
        .and("key", k()),
        case("check_store_res", "has_key", [1], BAD_FIELD),
        case("set_res", "stored", [0], stored()),
        case("set_res", "stored", [0xc2], Ok(Body::Response(Response::Set { stored: false, ttl: None }))),
        case("ping", "v", [0xff], ping()),
        case("find_value_res", "value", [0xd6, 0xff, 0, 0, 0, 0], unsupported_answer()),
        case("ping", "target", [7], ping()),
        case("ping", "x", [0xc1], MALFORMED),
        case("ping", "x", [0xc7, 0, 0], ping()),
        case("ping", "x", [0xd6, 0xff, 0, 0, 0, 0], ping()),
        case("ping", "sender", [0xd6, 0xff, 0, 0, 0, 0], BAD_SENDER),
        case("find_value", "key", [0xc7, 1, 5, b'k'], BAD_FIELD),
        case("ping", "x", [0x81, 0x01, 0x01], MALFORMED),
        case("ping", "x", [0xdf, 0xff, 0xff, 0xff, 0xff], MALFORMED),
        case("ping", "x", [0xdd, 0xff, 0xff, 0xff, 0xff], MALFORMED),
        case("ping", "x", [0xdb, 0xff, 0xff, 0xff, 0xff], MALFORMED),
        case("ping", "x", [0xc6, 0xff, 0xff, 0xff, 0xff], MALFORMED),
        case("ping", "x", [vec![0x91; 7], vec![0x90]].concat(), TOO_DEEP),
        case("ping", "x", [vec![0x91; 6], vec![0x90]].concat(), ping()),
        case("ping", "x", vec![0x91; 30_000], TOO_DEEP),
        case("ping", "sender", b"\x81\xa1a".repeat(20_000), TOO_DEEP),
    ];
    cases.extend(named_peers());
    for port in [&[0][..], &[0xff], &[0xce, 0, 1, 0, 0], &[0xca, 0x3f, 0x80, 0, 0], &[0xa1, b'1'], NIL, &[0x90]] {
        cases.push(case("ping", "sender", sender(own(), bin(&[]), port), BAD_SENDER));
    }
    cases
}

#[test]
fn fields_of_every_kind_of_wrong() {
    check(Codec::MessagePack, &cases(), spell);
}

/// Datagrams that are no message as a whole.
fn out_of_form() -> Vec<(Vec<u8>, Outcome)> {
    let whole = spell(&case("ping", "x", [1], ping()));
    let fields = &whole[3..];
    vec![
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
    ]
}

#[test]
fn datagrams_out_of_form() {
    for (datagram, expected) in out_of_form() {
        let shown = datagram[..datagram.len().min(200)].escape_ascii();
        assert_eq!(outcome(Codec::MessagePack, &datagram), expected, "{shown}");
    }
}

/// All of this file's, and what becomes of each.
pub(crate) fn datagrams() -> Vec<(Vec<u8>, Outcome)> {
    cases().iter().map(|case| (spell(case), case.expected.clone())).chain(out_of_form()).collect()
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
