//! Our node on the wire, asked by hand: the suite of `messages.rs`, and what ours does otherwise than a legacy node
//! (docs/wire.md, 9 and 10).

use std::net::SocketAddr;

use kademlia_dynamic::Codec;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::PROTOCOL_VERSION;
use kademlia_dynamic::protocol::peer::Peer;

use crate::messages::{Subject, entry, every_message_type};
use crate::ours::{Ours, eventually};
use crate::raw::{Fields, Raw, RawClient, dict};

/// Turns functions of a wire into a test for each wire.
macro_rules! on_each_wire {
    ($($test:ident),+ $(,)?) => {
        on_each_wire!(@ in_json, Json, $($test),+);
        on_each_wire!(@ in_bencode, Bencode, $($test),+);
    };
    (@ $name:ident, $codec:ident, $($test:ident),+) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(kademlia_dynamic::Codec::$codec).await;
                }
            )+
        }
    };
}

on_each_wire! {
    it_answers_every_message_type,
    its_version_stands_in_every_answer,
    a_newcomer_is_inserted_once_it_has_answered_a_ping,
    a_newcomer_in_upper_case_is_inserted_in_lower_case,
    an_unsolicited_pong_inserts_no_peer,
    a_pong_under_another_id_inserts_no_peer,
    an_answer_goes_to_where_the_query_came_from,
    a_set_that_is_refused_is_acknowledged_as_such,
    a_restore_lives_no_longer_than_it_says,
    a_cached_copy_never_takes_the_place_of_a_full_one,
    a_value_of_almost_a_datagram_is_served,
    a_query_id_that_is_too_long_or_no_text_is_not_answered,
    garbage_is_not_answered,
}

/// A node of ours that knows `neighbours` others, which are kept alive beside it.
async fn subject(codec: Codec, neighbours: usize) -> (Subject, Vec<Ours>) {
    let mut nodes = vec![Ours::start(codec, &[]).await];
    for _ in 0..neighbours {
        nodes.push(Ours::start(codec, &[nodes[0].addr()]).await);
    }
    let subject = Subject {
        peer: nodes[0].peer,
        codec,
        neighbours: nodes[1..].iter().map(|node| node.peer).collect(),
        own_fields: &["v", "ttl", "stored", "token"],
        answers_get: true,
        counts_cached_copies: false,
    };
    let client = subject.client().await;
    eventually("all neighbours are in its table", async || named(&subject, &client).await.len() == neighbours).await;
    (subject, nodes)
}

/// The peers that it names when asked for some.
async fn named(subject: &Subject, client: &RawClient) -> Vec<Raw> {
    let answer = client.ask("find_node", [("target", subject.peer.id.to_string().into())]).await;
    match answer.field("peers") {
        Some(Raw::List(peers)) => peers.clone(),
        _ => panic!("no peers in {answer:?}"),
    }
}

/// A client that says that it is a node, and that node.
async fn newcomer(subject: &Subject, spelled: &str) -> (RawClient, Peer) {
    let client = RawClient::to(subject.peer.addr, subject.codec, spelled).await;
    let id = NodeId::from_hex(spelled).expect("40 hex digits");
    let peer = Peer::new(id, client.addr());
    (client, peer)
}

/// Has the newcomer ask something; the ping that this earns it.
async fn is_pinged(subject: &Subject, client: &RawClient) -> Raw {
    client.send(&client.message("ping", "the newcomer's", [])).await;
    let (one, other) = (client.receive().await, client.receive().await);
    let (pong, ping) = if one.says("type", "pong") { (one, other) } else { (other, one) };
    assert!(pong.says("id", "the newcomer's"), "{pong:?}");
    assert_eq!(subject.fields(&pong, "pong"), Fields::new());
    assert_eq!(subject.fields(&ping, "ping"), Fields::new());
    ping
}

fn query_id(query: &Raw) -> &str {
    let id = query.field("id").and_then(Raw::text).unwrap_or_else(|| panic!("no id in {query:?}"));
    assert!(id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
    id
}

async fn it_answers_every_message_type(codec: Codec) {
    let (subject, _nodes) = subject(codec, 4).await;
    every_message_type(&subject).await;
}

async fn its_version_stands_in_every_answer(codec: Codec) {
    let (subject, _nodes) = subject(codec, 1).await;
    let client = subject.client().await;
    let (key, value) = (("key", Raw::from("x")), ("value", Raw::from("y")));
    let target = |name| (name, Raw::from(NodeId::of_key("x").to_string()));
    for (query, fields) in [
        ("ping", dict([])),
        ("find_node", dict([target("target")])),
        ("set", dict([key.clone(), value.clone()])),
        ("set_cached", dict([key.clone(), value, target("target_id")])),
        ("check_store", dict([key.clone()])),
        ("find_value", dict([key.clone()])),
        ("get", dict([key])),
    ] {
        let answer = client.ask(query, fields).await;
        assert_eq!(answer.field("v"), Some(&Raw::Int(PROTOCOL_VERSION.into())), "{answer:?}");
    }
}

async fn a_newcomer_is_inserted_once_it_has_answered_a_ping(codec: Codec) {
    let (subject, _nodes) = subject(codec, 2).await;
    let (client, peer) = newcomer(&subject, &NodeId::of_key("newcomer").to_string()).await;
    let onlooker = subject.client().await;

    let ping = is_pinged(&subject, &client).await;
    assert!(!named(&subject, &onlooker).await.contains(&entry(&peer)), "it has not answered yet");
    client.send(&client.message("pong", query_id(&ping), [])).await;
    eventually("the newcomer is named", async || named(&subject, &onlooker).await.contains(&entry(&peer))).await;
}

async fn a_newcomer_in_upper_case_is_inserted_in_lower_case(codec: Codec) {
    let (subject, _nodes) = subject(codec, 1).await;
    let (client, peer) = newcomer(&subject, &NodeId::of_key("newcomer").to_string().to_uppercase()).await;
    let onlooker = subject.client().await;

    let ping = is_pinged(&subject, &client).await;
    client.send(&client.message("pong", query_id(&ping), [])).await;
    eventually("the newcomer is named", async || named(&subject, &onlooker).await.contains(&entry(&peer))).await;
    assert_eq!(named(&subject, &onlooker).await.len(), 2, "under one name only");
}

async fn an_unsolicited_pong_inserts_no_peer(codec: Codec) {
    let (subject, _nodes) = subject(codec, 2).await;
    let (client, peer) = newcomer(&subject, &NodeId::of_key("newcomer").to_string()).await;
    for id in ["", "00c0ffee00c0ffee"] {
        client.send(&client.message("pong", id, [])).await;
    }
    let named = named(&subject, &subject.client().await).await;
    assert!(!named.contains(&entry(&peer)) && named.len() == 2, "{named:?}");
}

async fn a_pong_under_another_id_inserts_no_peer(codec: Codec) {
    let (subject, _nodes) = subject(codec, 2).await;
    let (mut client, _) = newcomer(&subject, &NodeId::of_key("newcomer").to_string()).await;
    let ping = is_pinged(&subject, &client).await;
    client.call_itself(&NodeId::of_key("another peer").to_string());
    client.send(&client.message("pong", query_id(&ping), [])).await;
    let named = named(&subject, &subject.client().await).await;
    assert_eq!(named.len(), 2, "{named:?}");
}

async fn an_answer_goes_to_where_the_query_came_from(codec: Codec) {
    let (subject, _nodes) = subject(codec, 1).await;
    let client = subject.client().await;
    for ip in ["192.0.2.1", "0.0.0.0", "localhost"] {
        let id = subject.peer.id.to_string();
        let sender = Raw::from([("node_id", id.into()), ("ip", ip.into()), ("port", 9.into())]);
        let pong = client.ask("ping", [("sender", sender)]).await;
        assert_eq!(subject.fields(&pong, "pong"), Fields::new());
    }
}

async fn a_set_that_is_refused_is_acknowledged_as_such(codec: Codec) {
    let (subject, _nodes) = subject(codec, 1).await;
    let client = subject.client().await;
    let (key, value) = (("key", Raw::from("too large")), ("value", Raw::from("x".repeat(60_001))));
    let answer = client.ask("set", [key.clone(), value]).await;
    assert_eq!(subject.fields(&answer, "set_res"), Fields::new());
    assert_eq!(answer.field("stored"), Some(&Raw::truth(codec, false)), "{answer:?}");
    assert_eq!(client.ask("find_value", [key]).await.field("value"), None);
}

async fn a_restore_lives_no_longer_than_it_says(codec: Codec) {
    let (subject, _nodes) = subject(codec, 1).await;
    let client = subject.client().await;
    // A full copy is counted as one while it has more than one restore interval, an hour, left.
    for (ttl, counted) in [(7_200, true), (100, false)] {
        let key = ("key", Raw::from(format!("restored for {ttl}")));
        let set = [key.clone(), ("value", "v".into()), ("ttl", ttl.into())];
        subject.answers(&client, ("set", set), ("set_res", [])).await;
        let answer = client.ask("check_store", [key.clone()]).await;
        assert_eq!(answer.field("has_key"), Some(&Raw::truth(codec, counted)), "{answer:?}");
        if let Some(left) = answer.field("ttl") {
            assert!(matches!(left, Raw::Int(left) if *left <= ttl), "{answer:?}");
        }
        assert_eq!(client.ask("find_value", [key]).await.field("value"), Some(&"v".into()));
    }
}

async fn a_cached_copy_never_takes_the_place_of_a_full_one(codec: Codec) {
    let (subject, _nodes) = subject(codec, 1).await;
    let client = subject.client().await;
    let key = ("key", Raw::from("full"));
    subject.answers(&client, ("set", [key.clone(), ("value", "full".into())]), ("set_res", [])).await;
    // The key's hash is the subject's own id, as this sender has it: no node believes that.
    let target = ("target_id", Raw::from(subject.peer.id.to_string()));
    let cached = [key.clone(), ("value", "cached".into()), target];
    subject.answers(&client, ("set_cached", cached), ("set_cached_res", [])).await;
    let held = [("value", Raw::from("full"))];
    subject.answers(&client, ("find_value", [key.clone()]), ("find_value_res", held)).await;
    let has_key = [("has_key", Raw::truth(codec, true))];
    subject.answers(&client, ("check_store", [key]), ("check_store_res", has_key)).await;
}

async fn a_value_of_almost_a_datagram_is_served(codec: Codec) {
    let (subject, _nodes) = subject(codec, 1).await;
    let client = subject.client().await;
    let (key, value) = (("key", Raw::from("large")), ("value", Raw::from("x".repeat(60_000))));
    subject.answers(&client, ("set", [key.clone(), value.clone()]), ("set_res", [])).await;
    subject.answers(&client, ("find_value", [key]), ("find_value_res", [value])).await;
}

async fn a_query_id_that_is_too_long_or_no_text_is_not_answered(codec: Codec) {
    let (subject, _nodes) = subject(codec, 1).await;
    let client = subject.client().await;
    let long = client.message("ping", &"y".repeat(33), []);
    client.ask_in_vain(&long.spelled(codec)).await;
    for id in [Raw::Int(7), Raw::List(vec!["x".into()]), Raw::Dict(Fields::new())] {
        let message = client.message("ping", "", [("id", id)]);
        client.ask_in_vain(&message.spelled(codec)).await;
    }
}

async fn garbage_is_not_answered(codec: Codec) {
    let (subject, _nodes) = subject(codec, 1).await;
    let client = subject.client().await;
    let ping = client.message("ping", "unanswered", []).spelled(codec);

    // The other wire, cut short, with something after the end, and without what every message has.
    let other = if codec == Codec::Json { Codec::Bencode } else { Codec::Json };
    client.ask_in_vain(&client.message("ping", "unanswered", []).spelled(other)).await;
    for len in [0, 1, ping.len() / 2, ping.len() - 1] {
        client.ask_in_vain(&ping[..len]).await;
    }
    client.ask_in_vain(&[&ping[..], b"i7e"].concat()).await;
    let Raw::Dict(whole) = client.message("find_value", "unanswered", [("key", "x".into())]) else { return };
    for missing in whole.keys() {
        let mut fields = whole.clone();
        fields.remove(missing);
        client.ask_in_vain(&Raw::Dict(fields).spelled(codec)).await;
    }

    // Fields of the wrong form.
    for (query, field, form) in [
        ("find_value", "key", Raw::Int(1)),
        ("find_node", "target", "-1".into()),
        ("find_node", "target", "0x".into()),
        ("find_node", "target", Raw::Int(0)),
        ("find_value", "sender", "nobody".into()),
        ("find_value", "sender", bad_sender("-1", client.addr())),
        ("find_value", "sender", bad_sender(&"g".repeat(40), client.addr())),
    ] {
        let mut fields = dict([("type", query.into()), ("id", "unanswered".into()), ("sender", client.sender())]);
        fields.insert("key".to_owned(), "x".into());
        fields.insert(field.to_owned(), form);
        client.ask_in_vain(&Raw::Dict(fields).spelled(codec)).await;
    }

    // A value that cannot be held is no garbage among nodes of the package: it is refused, and acknowledged.
    for value in [Raw::Int(1), Raw::List(vec![])] {
        let id = client.query_id();
        client.send(&client.message("set", &id, [("key", "x".into()), ("value", value)])).await;
        assert!(client.answer_to(&id).await.says("type", "set_res"));
    }

    // Deep enough to overflow the stack of a recursive decoder.
    for deep in ["l", "d1:a", "[", "{\"a\":"] {
        client.ask_in_vain(deep.repeat(60_000 / deep.len()).as_bytes()).await;
    }
    for bomb in
        ["99999999999999999999:", "i99999999999999999999e", "4294967295:x", "\u{0}\u{1}\u{2}", "null", "[]", "{}", "de"]
    {
        client.ask_in_vain(bomb.as_bytes()).await;
    }
    assert_eq!(named(&subject, &client).await.len(), 1);
}

fn bad_sender(node_id: &str, addr: SocketAddr) -> Raw {
    Raw::from([("node_id", node_id.into()), ("ip", "127.0.0.1".into()), ("port", i64::from(addr.port()).into())])
}
