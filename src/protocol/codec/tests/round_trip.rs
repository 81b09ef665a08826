//! Laws of every codec: a written message is read back, and no input does harm.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::protocol::config::LARGE_VALUE_LEN;
use crate::protocol::entry::tests::any_entries;
use crate::protocol::entry::{Entries, Entry, EntryDigest, EntryState, MAX_ENTRIES, Nonce};
use crate::protocol::id::NodeId;
use crate::protocol::message::{Body, QueryId, Request, Response, Sender, Token};
use crate::protocol::peer::check_unicast;
use crate::protocol::ranges::tests::{any_answers, any_places, any_ranges};

fn any_node_id() -> impl Strategy<Value = NodeId> {
    any::<[u8; 20]>().prop_map(NodeId::from_bytes)
}

fn any_query_id() -> impl Strategy<Value = QueryId> {
    prop_oneof![
        any::<u64>().prop_map(QueryId::from_u64),
        ".{0,8}".prop_map(|text| QueryId::from_text(&text).expect("eight characters are at most 32 bytes")),
    ]
}

fn any_sender() -> impl Strategy<Value = Sender> {
    (option::of(any_node_id()), any::<Option<IpAddr>>(), 1u16..).prop_map(|(id, ip, port)| Sender { id, ip, port })
}

fn any_peer(ip: impl Strategy<Value = IpAddr>) -> impl Strategy<Value = Peer> {
    (any_node_id(), ip, 1u16..)
        .prop_map(|(id, ip, port)| Peer::new(id, SocketAddr::new(ip, port)))
        .prop_filter("not the address of one host", |peer| check_unicast(&peer.addr).is_ok())
}

/// Peers as an answer names them; IPv4 before IPv6, since MessagePack keeps the order within each family only.
fn any_peers() -> impl Strategy<Value = Vec<Peer>> {
    let v4 = any::<[u8; 4]>().prop_map(IpAddr::from);
    let v6 = any::<[u8; 16]>().prop_map(IpAddr::from);
    (vec(any_peer(v4), 0..=24), vec(any_peer(v6), 0..=8)).prop_map(|(mut peers, v6)| {
        peers.extend(v6);
        peers.sort_by_key(|peer| peer.addr.is_ipv6());
        peers
    })
}

fn any_key() -> impl Strategy<Value = Arc<str>> {
    any::<String>().prop_map(Arc::from)
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>().prop_map(Value::from),
        "\\PC{0,300}".prop_map(Value::from),
        vec(any::<u8>(), 0..300).prop_map(Value::from),
    ]
    // The one text that bencode cannot tell from bytes has a test of its own.
    .prop_filter("begins with bencode's prefix", |value| {
        !value.as_text().is_some_and(|text| text.starts_with("\0bytes\0"))
    })
}

fn any_body() -> impl Strategy<Value = Body> {
    let key = any_key;
    let value = || any_value().prop_map(Arc::new);
    let (ttl, age) = (any::<Option<u32>>, any::<Option<u32>>);
    prop_oneof![
        prop_oneof![
            Just(Request::Ping),
            any_node_id().prop_map(|target| Request::FindNode { target }),
            key().prop_map(|key| Request::FindValue { key }),
            (key(), value(), ttl(), age()).prop_map(|(key, value, ttl, age)| Request::Set { key, value, ttl, age }),
            (key(), value(), option::of(any_node_id()), ttl())
                .prop_map(|(key, value, target, ttl)| Request::SetCached { key, value, target, ttl }),
            any::<bool>().prop_map(|cached| Request::SetUnsupported { cached }),
            (key(), option::of(0..=i64::MAX as u64)).prop_map(|(key, size)| Request::CheckStore { key, size }),
            key().prop_map(|key| Request::Get { key }),
            any_entries().prop_map(|entries| Request::Renew { entries }),
            (any_ranges(), option::of(any_places()))
                .prop_map(|(ranges, wanted)| Request::Reconcile { ranges, wanted: wanted.unwrap_or_default() }),
        ]
        .prop_map(Body::Request),
        prop_oneof![
            Just(Response::Pong),
            Just(Response::SetCached),
            Just(Response::UnsupportedValue),
            any_peers().prop_map(|peers| Response::FindNode { peers }),
            any_peers().prop_map(|peers| Response::NoValue { peers }),
            (value(), ttl(), age()).prop_map(|(value, ttl, age)| Response::Value { value, ttl, age }),
            (any::<bool>(), ttl()).prop_map(|(stored, ttl)| Response::Set { stored, ttl }),
            (any::<bool>(), ttl(), age()).prop_map(|(has_key, ttl, age)| Response::CheckStore { has_key, ttl, age }),
            option::of(value()).prop_map(|value| Response::Get { value }),
            vec(proptest::sample::select(&EntryState::ALL[..]), 0..=MAX_ENTRIES)
                .prop_map(|states| Response::Renew { states }),
            any_answers().prop_map(|ranges| Response::Reconcile { ranges }),
        ]
        .prop_map(Body::Response),
    ]
}

pub(super) fn any_message() -> impl Strategy<Value = Message> {
    (any_query_id(), any_sender(), any::<Option<u32>>(), any::<Option<u64>>(), any_body()).prop_map(
        |(id, sender, version, token, body)| Message { id, sender, version, token: token.map(Token::from_u64), body },
    )
}

pub(super) fn any_codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(&Codec::ALL[..])
}

/// The message with `peers` in place of those that it names.
fn naming(message: &Message, peers: &[Peer]) -> Message {
    let mut message = message.clone();
    if let Body::Response(Response::FindNode { peers: named } | Response::NoValue { peers: named }) = &mut message.body
    {
        *named = peers.to_vec();
    }
    message
}

#[test]
fn a_size_of_more_than_63_bits_reads_as_the_largest_that_is_written() {
    let check = |size| {
        let body = Body::Request(Request::CheckStore { key: "key".into(), size: Some(size) });
        Message {
            id: QueryId::from_u64(1),
            sender: Sender::new(None, "192.0.2.1:4000".parse().unwrap()),
            version: None,
            token: None,
            body,
        }
    };
    let datagram = String::from_utf8(Codec::Json.encode(&check(7)).unwrap()).unwrap();
    for size in [i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        let larger = datagram.replacen("\"size\":7", &format!("\"size\":{size}"), 1);
        assert_eq!(Codec::Json.decode(larger.as_bytes()).unwrap(), check(i64::MAX as u64), "{larger}");
    }
}

proptest! {
    #[test]
    fn a_written_message_is_read_back(codec in any_codec(), message in any_message()) {
        let datagram = codec.encode(&message).unwrap();
        prop_assert_eq!(codec.decode(&datagram).unwrap(), message);
    }

    #[test]
    fn an_answer_within_a_limit_names_the_nearest_peers_and_a_sample_of_the_others(
        codec in any_codec(), message in any_message(), limit in 100usize..2_000,
    ) {
        let peers = wire::peers_of(&message);
        let len_with = |count: usize| codec.encode(&naming(&message, &peers[..count])).unwrap().len();
        match codec.encode_within(&message, limit, b"what was before".to_vec()) {
            Ok(datagram) => {
                let read = codec.decode(&datagram).unwrap();
                let named = wire::peers_of(&read);
                prop_assert!(peers.is_empty() || datagram.len() <= limit);
                let fit = (0..=peers.len()).take_while(|count| *count == 0 || len_with(*count) <= limit).count() - 1;
                if peers.is_empty() || fit == peers.len() {
                    prop_assert_eq!(&read, &message);
                } else {
                    prop_assert_eq!(&read, &naming(&message, named), "only peers are cut");
                    prop_assert!(named.iter().all(|peer| peers.contains(peer)));
                    prop_assert!(peers[..fit.div_ceil(2)].iter().all(|near| named.contains(near)));
                    // The sample may take more bytes a peer than the nearest: IPv6 addresses are longer.
                    prop_assert!(named.len() <= peers.len() && named.len() * 4 + 4 >= fit * 3, "{} of {}", named.len(), fit);
                }
            }
            Err(EncodeError::TooLarge { len, .. }) => {
                prop_assert!(!peers.is_empty());
                prop_assert_eq!(len, len_with(0));
                prop_assert!(len > limit);
            }
        }
    }

    #[test]
    fn no_bytes_do_harm(codec in any_codec(), datagram in vec(any::<u8>(), 0..600)) {
        let _ = codec.decode(&datagram);
    }

    #[test]
    fn no_byte_changed_cut_out_or_put_in_does_harm(
        codec in any_codec(), message in any_message(), at: proptest::sample::Index, byte: u8, how in 0..3,
    ) {
        let mut datagram = codec.encode(&message).unwrap();
        let at = at.index(datagram.len());
        match how {
            0 => datagram[at] = byte,
            1 => drop(datagram.remove(at)),
            _ => datagram.insert(at, byte),
        }
        if let Ok(read) = codec.decode(&datagram) {
            // The message that was read can be written again.
            prop_assert_eq!(codec.decode(&codec.encode(&read).unwrap()).unwrap(), read);
        }
    }

    #[test]
    fn an_answer_is_never_longer_than_computed_from_its_value(
        codec in any_codec(), id: u64, port in 1u16.., value in any_value(), ttl: Option<u32>, age: Option<u32>, version: Option<u32>,
        token: Option<u64>,
    ) {
        let message = Message {
            id: QueryId::from_u64(id),
            sender: Sender { id: Some(NodeId::ZERO), ip: Some([192, 168, 100, 200].into()), port },
            version,
            token: token.map(Token::from_u64),
            body: Body::Response(Response::Value { value: Arc::new(value.clone()), ttl, age }),
        };
        prop_assert!(codec.encode(&message).unwrap().len() <= codec.legacy_answer_len(&value));
    }
}

fn answer(value: Value) -> Message {
    Message {
        id: QueryId::from_u64(u64::MAX),
        sender: Sender { id: Some(NodeId::ZERO), ip: Some([255; 4].into()), port: u16::MAX },
        version: Some(u32::MAX),
        token: Some(Token::from_u64(u64::MAX)),
        body: Body::Response(Response::Value { value: Arc::new(value), ttl: Some(u32::MAX), age: Some(u32::MAX) }),
    }
}

#[test]
fn the_longest_answer_is_exactly_as_long_as_computed() {
    for len in [0, 1, 9, 10, 31, 32, 99, 255, 256, 999, 9_999, 60_000] {
        for value in [Value::from(vec![0xff; len]), Value::from("x".repeat(len))] {
            let longest = Codec::Bencode.encode(&answer(value.clone())).unwrap().len();
            assert_eq!(Codec::Bencode.legacy_answer_len(&value), longest, "{value:?}");

            let mut by_ipv6 = answer(value.clone());
            by_ipv6.sender.ip = Some([0xff; 16].into());
            let longest = Codec::MessagePack.encode(&by_ipv6).unwrap().len();
            assert_eq!(Codec::MessagePack.legacy_answer_len(&value), longest, "{value:?}");
        }
    }
}

#[test]
fn in_json_other_text_is_longer_than_ascii() {
    let len = |character: char| {
        let text: String = std::iter::repeat_n(character, 100).collect();
        Codec::Json.legacy_answer_len(&text.into()) - Codec::Json.legacy_answer_len(&"".into())
    };
    for (character, each) in
        [('x', 1), ('"', 2), ('\\', 2), ('\n', 2), ('\0', 6), ('\u{7f}', 6), ('/', 1), ('ä', 6), ('鍵', 6), ('🔑', 12)]
    {
        assert_eq!(len(character), 100 * each, "{character:?}");
    }
    assert_eq!(Codec::Json.legacy_answer_len(&vec![0; 48_000].into()) / 1_000, 64);
}

#[test]
fn a_message_that_no_datagram_carries_is_refused() {
    for codec in Codec::ALL {
        let len = codec.encode(&answer(Value::from("x".repeat(60_000)))).unwrap().len();
        let longest = 60_000 + MAX_DATAGRAM - len;
        assert_eq!(codec.encode(&answer(Value::from("x".repeat(longest)))).unwrap().len(), MAX_DATAGRAM);
        assert_eq!(
            codec.encode(&answer(Value::from("x".repeat(longest + 1)))),
            Err(EncodeError::TooLarge { len: MAX_DATAGRAM + 1, limit: MAX_DATAGRAM })
        );
    }
}

#[test]
fn a_text_that_begins_with_bencodes_prefix_is_read_as_bytes_there_and_as_text_elsewhere() {
    let text = Value::from("\0bytes\0text");
    for (codec, read) in [(Codec::Json, &text), (Codec::Bencode, &b"text".into()), (Codec::MessagePack, &text)] {
        let datagram = codec.encode(&answer(text.clone())).unwrap();
        assert_eq!(codec.decode(&datagram).unwrap(), answer(read.clone()), "{codec}");
    }
}

#[test]
fn twenty_peers_fit_seven_hundred_bytes_of_messagepack() {
    let peers = (1..=20).map(|n| Peer::new(NodeId::from_bytes([n; 20]), SocketAddr::from(([192, 0, 2, n], 40_000))));
    let message = Message { body: Body::Response(Response::FindNode { peers: peers.collect() }), ..answer("".into()) };
    let len = Codec::MessagePack.encode(&message).unwrap().len();
    assert!(len <= 700, "{len} bytes");
}

#[test]
fn peers_of_both_families_keep_their_order_within_each_in_messagepack() {
    let peer = |n: u8, addr: &str| Peer::new(NodeId::from_bytes([n; 20]), addr.parse().unwrap());
    let (a, b) = (peer(1, "192.0.2.1:1"), peer(2, "[2001:db8::1]:2"));
    let (c, d) = (peer(3, "192.0.2.3:3"), peer(4, "[2001:db8::2]:4"));
    let message = |peers| Message { body: Body::Response(Response::FindNode { peers }), ..answer("".into()) };
    for (codec, read) in
        [(Codec::Json, vec![a, b, c, d]), (Codec::Bencode, vec![a, b, c, d]), (Codec::MessagePack, vec![a, c, b, d])]
    {
        let datagram = codec.encode(&message(vec![a, b, c, d])).unwrap();
        assert_eq!(codec.decode(&datagram).unwrap(), message(read), "{codec}");
    }
}

#[test]
fn a_token_of_another_type_or_form_reads_as_absent_and_costs_nothing_else() {
    let ping =
        |token: &str| format!(r#"{{"type":"ping","id":"x","sender":{{"node_id":"","port":1}},"token":{token}}}"#);
    let read = |token| Codec::Json.decode(ping(token).as_bytes()).expect("the rest is a ping").token;
    assert_eq!(read(r#""00c0ffee00c0ffee""#), Some(Token::from_u64(0x00c0_ffee_00c0_ffee)));
    for other in ["null", "7", "true", "[]", "{}", r#""""#, r#""00C0FFEE00C0FFEE""#, r#""00c0ffee00c0ffee0""#] {
        assert_eq!(read(other), None, "{other}");
    }
    let bencode = |token: &str| format!("d2:id1:x6:senderd7:node_id0:4:porti1ee5:token{token}4:type4:pinge");
    let spellings = [("16:00c0ffee00c0ffee", Some(0x00c0_ffee_00c0_ffee)), ("i7e", None), ("le", None), ("2:00", None)];
    for (spelled, token) in spellings {
        let read = Codec::Bencode.decode(bencode(spelled).as_bytes()).expect("the rest is a ping");
        assert_eq!(read.token, token.map(Token::from_u64), "{spelled}");
    }
}

#[test]
fn as_many_entries_are_sent_as_fit_one_frame_and_no_more() {
    let entry = Entry { place: NodeId::ZERO, digest: EntryDigest([0; 8]), age: None, life: None, kind: 0 };
    for codec in Codec::ALL {
        let len = |count| {
            let entries = Entries { nonce: Nonce([0; 8]), entries: vec![entry; count] };
            let mut longest = Message { body: Body::Request(Request::Renew { entries }), ..answer("".into()) };
            // The longest text of an IPv6 address.
            longest.sender.ip = Some([0xff; 16].into());
            codec.encode(&longest).unwrap().len()
        };
        let count = codec.entries_per_datagram();
        assert!(count <= MAX_ENTRIES && len(count) <= LARGE_VALUE_LEN, "{codec}: {}", len(count));
        assert!(len(count + 1) > LARGE_VALUE_LEN, "{codec}: one more would fit: {}", len(count + 1));
    }
}

#[test]
fn packed_bytes_that_are_none_of_their_field_cost_the_message() {
    let said = |type_: &str, field: &str| {
        format!(r#"{{"type":"{type_}","id":"x","sender":{{"node_id":"","port":1}},{field}}}"#)
    };
    let read = |type_, field: &str| Codec::Json.decode(said(type_, field).as_bytes()).map(|read| read.body.name());
    for (type_, field, found) in [
        ("renew", r#""x":1"#, Err(DecodeError::Missing("entries"))),
        ("renew", r#""entries":7"#, Err(DecodeError::BadField("entries"))),
        ("renew", r#""entries":"AAAA""#, Err(DecodeError::BadField("entries"))),
        ("renew", r#""entries":"AAAAAAAAAAA""#, Err(DecodeError::BadField("entries"))),
        ("renew_res", r#""states":"""#, Ok("renew_res")),
        ("renew_res", r#""states":"/w==""#, Ok("renew_res")),
        ("renew_res", r#""states":"!""#, Err(DecodeError::BadField("states"))),
        ("reconcile", r#""ranges":"AAAAAAAAAAA=""#, Ok("reconcile")),
        ("reconcile", r#""ranges":"AAAAAAAAAAA=","wanted":"""#, Err(DecodeError::BadField("wanted"))),
        ("reconcile", r#""ranges":"AAAAAAAAAAA=","wanted":null"#, Ok("reconcile")),
        ("reconcile_res", r#""ranges":"AAA=""#, Ok("reconcile_res")),
        ("reconcile_res", r#""ranges":"AAM=""#, Err(DecodeError::BadField("ranges"))),
        ("ping", r#""ranges":"AAM=""#, Ok("ping")),
    ] {
        assert_eq!(read(type_, field), found, "{type_} {field}");
    }
    let bencode = |states: &str| format!("d2:id1:x6:senderd7:node_id0:4:porti1ee6:states{states}4:type9:renew_rese");
    assert!(Codec::Bencode.decode(bencode("2:\0\u{1}").as_bytes()).is_ok());
    let error = DecodeError::BadField("states");
    for other in ["i1e", "le"] {
        assert_eq!(Codec::Bencode.decode(bencode(other).as_bytes()).unwrap_err(), error);
    }
}
