//! Rows on what is said: keys, values, numbers, answers.

use super::contacts::{no_ids, on_bencode};
use super::*;

pub(super) fn keys_and_values() -> Vec<Row> {
    let find = |key: Wild| said("find_value").with("key", key);
    let setting = |value: Wild| said("set").with("key", "k").with("value", value);
    let long = "x".repeat(60_000);
    let mut rows = vec![
        said("find_node").row("a find_node without a target", MISSING),
        said("find_value").row("a find_value without a key", MISSING),
        said("get").row("a get without a key", MISSING),
        said("check_store").row("a check_store without a key", MISSING),
        said("set").with("value", "v").row("a set without a key", MISSING),
        said("set").with("key", "k").row("a set without a value", MISSING),
        said("set_cached").with("key", "k").row("a set_cached without a value", MISSING),
        find(Wild::Null).row("a key that is null", MISSING),
        find(number("7")).row("a key that is a number", BAD_FIELD),
        find(Wild::List(vec!["k".into()])).row("a key that is a list", BAD_FIELD),
        find(Wild::Dict(vec![])).row("a key that is a dictionary", BAD_FIELD),
        find(Wild::Bytes(b"\xff\xfe".to_vec())).row("a key that is no text", BAD_FIELD),
        find(text("")).row("an empty key", found("")),
        find(text("\0")).row("a key of a zero", found("\0")),
        find(text("\u{1f511}")).row("a key of a key", found("\u{1f511}")),
        find(text(&*long)).row("a key of 60,000 bytes", found(&long)),
        find(Wild::Raw(b"\"\\ud800\"".to_vec())).row("a key with a lone surrogate", MALFORMED).only(Codec::Json),
        find(Wild::Raw(b"\"\\udc00\\ud800\"".to_vec()))
            .row("surrogates the wrong way round", MALFORMED)
            .only(Codec::Json),
        find(Wild::Raw(b"\"\xff\"".to_vec())).row("a key that is not UTF-8", MALFORMED).only(Codec::Json),
        find(Wild::Raw(b"3:\xed\xa0\x80".to_vec())).row("a surrogate as UTF-8", BAD_FIELD).only(Codec::Bencode),
        find(Wild::Raw(b"\xa3\xed\xa0\x80".to_vec())).row("a surrogate in a str", MALFORMED).only(Codec::MessagePack),
        setting(Wild::Null).row("a value that is null", MISSING),
        setting(number("7")).row("a value that is a number", unsupported()),
        setting(number("1.5")).row("a value that is a fraction", unsupported()).but(Codec::Bencode, MALFORMED),
        setting(number("NaN")).row("a value that is NaN", unsupported()).but(Codec::Bencode, MALFORMED),
        setting(number("inf")).row("a value that is infinite", MALFORMED).but(Codec::MessagePack, unsupported()),
        setting(Wild::Truth(true)).row("a value that is true", unsupported()),
        setting(Wild::List(vec!["v".into()])).row("a value that is a list", unsupported()),
        setting(Wild::Dict(vec![("x".to_owned(), "v".into())])).row("a value that is a dictionary", unsupported()),
        setting(Wild::Raw(b"\"a\\ud800b\"".to_vec()))
            .row("a value with a lone surrogate", unsupported())
            .only(Codec::Json),
        setting(Wild::Raw(b"{\"\\ud800\":[{}]}".to_vec()))
            .row("a value with a lone surrogate deep within", unsupported())
            .only(Codec::Json),
        setting(Wild::Raw(b"\xd6\xff\0\0\0\0".to_vec()))
            .row("a value that is a timestamp", unsupported())
            .only(Codec::MessagePack),
        setting(Wild::Bytes(b"\xff\0".to_vec())).row("a value of bytes", set(b"\xff\0")),
        setting(text("")).row("an empty value", set("")),
    ];
    for (what, base64) in [
        ("cut short", "{\"__bytes_b64__\":\"dg\"}"),
        ("with a space in it", "{\"__bytes_b64__\":\"d g==\"}"),
        ("of the other alphabet", "{\"__bytes_b64__\":\"_-8=\"}"),
        ("with bits to spare", "{\"__bytes_b64__\":\"dh==\"}"),
        ("that is a number", "{\"__bytes_b64__\":7}"),
        ("within itself", "{\"__bytes_b64__\":{\"__bytes_b64__\":\"\"}}"),
        ("with company", "{\"__bytes_b64__\":\"dg==\",\"x\":1}"),
        ("twice", "{\"__bytes_b64__\":\"dg==\",\"__bytes_b64__\":\"dg==\"}"),
    ] {
        let value = Wild::Raw(base64.into());
        rows.push(setting(value).row(format!("a value in base64 {what}"), unsupported()).only(Codec::Json));
    }
    for (what, no_id) in no_ids() {
        let expected = if what == "null" { MISSING } else { BAD_FIELD };
        rows.push(said("find_node").with("target", no_id).row(format!("a target: {what}"), expected));
    }
    rows
}

pub(super) fn numbers() -> Vec<Row> {
    let mut rows = Vec::new();
    let bad = [("-1", number("-1")), ("text", text("60")), ("1.5", number("1.5")), ("a list", Wild::List(vec![]))];
    for (what, wild) in bad {
        let set = said("set").with("key", "k").with("value", "v").with("ttl", wild.clone());
        rows.push(on_bencode(set.row(format!("a ttl: {what}"), super::set("v")), what, super::set("v")));
        let check = said("check_store").with("key", "k").with("size", wild);
        rows.push(on_bencode(check.row(format!("a size: {what}"), check_store()), what, check_store()));
    }
    let set = said("set").with("key", "k").with("value", "v");
    rows.push(set.clone().with("ttl", number("4294967296")).row("a ttl of 33 bits", super::set("v")));
    rows.push(
        set.with("ttl", number("-9223372036854775809"))
            .row("a ttl far below zero", super::set("v"))
            .but(Codec::Bencode, MALFORMED),
    );
    let size = |size| said("check_store").with("key", "k").with("size", number(size));
    let row = size("18446744073709551616").row("a size of 65 bits", check_store());
    rows.push(row.but(Codec::Bencode, MALFORMED));
    let anything = |spelled: &[u8]| said("ping").and("x", Wild::Raw(spelled.to_vec()));
    for spelled in ["i007e", "i-0e", "i+1e", "ie", "i-e", "i 1e", "i1", "i0x1e", "i9223372036854775808e", "iNaNe"] {
        rows.push(anything(spelled.as_bytes()).row(format!("a number {spelled}"), MALFORMED).only(Codec::Bencode));
    }
    for spelled in ["01:x", "-1:x", "+1:x", "1x", "99999:x", "18446744073709551615:x", "99999999999999999999999:x"] {
        rows.push(anything(spelled.as_bytes()).row(format!("a string {spelled}"), MALFORMED).only(Codec::Bencode));
    }
    for spelled in ["007", "-", "+1", ".5", "0x1", "1_0", "nan", "+Infinity", "1e"] {
        rows.push(anything(spelled.as_bytes()).row(format!("a number {spelled}"), MALFORMED).only(Codec::Json));
    }
    rows.push(anything(b"1e999").row("a number beyond all", ping()).only(Codec::Json));
    for (what, spelled) in [
        ("a str of 4 GiB", &b"\xdb\xff\xff\xff\xff"[..]),
        ("a bin of 4 GiB", b"\xc6\xff\xff\xff\xff"),
        ("an array of 4 G", b"\xdd\xff\xff\xff\xff"),
        ("a map of 4 G", b"\xdf\xff\xff\xff\xff"),
        ("what is never used", b"\xc1"),
        ("a map with a number for a name", b"\x81\x01\x01"),
    ] {
        rows.push(anything(spelled).row(what, MALFORMED).only(Codec::MessagePack));
    }
    for (what, spelled) in [("an extension", &b"\xc7\x01\x05x"[..]), ("a timestamp", b"\xd6\xff\0\0\0\0")] {
        rows.push(anything(spelled).row(what, ping()).only(Codec::MessagePack));
    }
    rows
}

pub(super) fn answers() -> Vec<Row> {
    let answer = |response| Ok(Body::Response(response));
    let value = |wild: Wild| said("find_value_res").with("value", wild);
    vec![
        said("pong").row("an unsolicited pong", answer(Response::Pong)),
        value("v".into())
            .row("an unsolicited value", answer(Response::Value { value: Arc::new("v".into()), ttl: None, age: None })),
        value(number("7")).row("an answer with a number for a value", unsupported_answer()),
        value(Wild::Null).row("an answer with null for a value", answer(Response::NoValue { peers: vec![] })),
        value("v".into()).with("peers", text("none")).row(
            "a value, and peers that are none",
            answer(Response::Value { value: Arc::new("v".into()), ttl: None, age: None }),
        ),
        value("v".into()).with("ttl", number("-1")).row(
            "a value with a ttl below zero",
            answer(Response::Value { value: Arc::new("v".into()), ttl: None, age: None }),
        ),
        said("set_res").with("stored", text("yes")).row("stored: yes", stored()),
        said("set_res").with("stored", number("2")).row("stored: 2", stored()),
        said("check_store_res").with("has_key", number("2")).row("has_key: 2", BAD_FIELD),
        said("check_store_res").with("has_key", text("true")).row("has_key as text", BAD_FIELD),
        said("check_store_res")
            .row("has_key left out", answer(Response::CheckStore { has_key: false, ttl: None, age: None })),
        said("get_res").with("value", number("7")).row("a get_res with a number for a value", BAD_FIELD),
        said("get_res").row("a get_res, which we never asked for", answer(Response::Get { value: None })),
    ]
}
