//! Every message type of the wire, sent by hand to one node, with every field of the answer looked at (docs/wire.md, 3).
//! One suite for every kind of node; here legacy nodes go through it, which shows that the suite is right.

use std::net::SocketAddr;

use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::value::Value;

use crate::legacy::Legacy;
use crate::python::Version;
use crate::raw::{Fields, IntoFields, Raw, RawClient, dict};

on_each_version_and_wire! { a_legacy_node_answers_every_message_type }

/// The node that is asked, and how its kind of node may differ on the wire.
pub(crate) struct Subject {
    pub(crate) peer: Peer,
    pub(crate) codec: Codec,
    /// All peers in its table.
    pub(crate) neighbours: Vec<Peer>,
    /// Fields that its answers may have beside those of the table.
    pub(crate) own_fields: &'static [&'static str],
    /// Whether it knows `get`.
    pub(crate) answers_get: bool,
    /// Whether `check_store` takes a cached copy for the value.
    pub(crate) counts_cached_copies: bool,
}

impl Subject {
    /// A client that this node serves and does not insert.
    pub(crate) async fn client(&self) -> RawClient {
        RawClient::to(self.peer.addr, self.codec, &self.peer.id.to_string()).await
    }

    /// Asks a query and sees that the answer is of kind `kind` and has these fields and no others.
    pub(crate) async fn answers<const N: usize>(
        &self,
        client: &RawClient,
        (query, fields): (&str, impl IntoFields),
        (kind, expected): (&str, [(&str, Raw); N]),
    ) {
        let fields = fields.into_fields();
        let what = format!("{query} {:.300}", format!("{fields:?}"));
        let answer = client.ask(query, fields).await;
        assert_eq!(self.fields(&answer, kind), dict(expected), "{what}");
    }

    /// Sees to the envelope of an answer, but for the query id by which it was known; its other fields.
    pub(crate) fn fields(&self, answer: &Raw, kind: &str) -> Fields {
        let Raw::Dict(fields) = answer else { panic!("no dictionary: {answer:?}") };
        let mut fields = fields.clone();
        assert_eq!(fields.remove("type"), Some(kind.into()), "{answer:?}");
        fields.remove("id");
        assert_eq!(fields.remove("sender"), Some(entry(&self.peer)), "{answer:?}");
        fields.retain(|name, _| !self.own_fields.contains(&name.as_str()));
        fields
    }

    /// What it must say of the peers nearest to `target`.
    fn nearest(&self, target: &NodeId) -> Raw {
        let mut nearest = self.neighbours.clone();
        nearest.sort_by_key(|peer| peer.id.distance(target));
        Raw::List(nearest.iter().map(entry).collect())
    }

    async fn pings(&self, client: &RawClient) {
        self.answers(client, ("ping", []), ("pong", [])).await;
        let fields = [("from_the_future", Raw::from([("deep", Raw::List(vec![]))]))];
        self.answers(client, ("ping", fields), ("pong", [])).await;
    }

    async fn nodes_are_found(&self, client: &RawClient) {
        for target in [self.peer.id, self.neighbours[1].id, NodeId::of_key("anywhere")] {
            let nearest = self.nearest(&target);
            let lower = [("target", target.to_string().into())];
            self.answers(client, ("find_node", lower), ("find_node_res", [("peers", nearest.clone())])).await;
            let upper = [("target", target.to_string().to_uppercase().into())];
            self.answers(client, ("find_node", upper), ("find_node_res", [("peers", nearest)])).await;
        }
    }

    async fn values_are_set_and_found(&self, client: &RawClient) {
        for (at, value) in values().into_iter().enumerate() {
            // A key of its own for each, and all values in turn under one key.
            for key in [format!("raw key № {at}"), "overwritten".to_owned()] {
                let key = Raw::from(key);
                let set = [("key", key.clone()), ("value", (&value).into())];
                self.answers(client, ("set", set), ("set_res", [])).await;
                let held = [("value", Raw::from(&value))];
                self.answers(client, ("find_value", [("key", key.clone())]), ("find_value_res", held.clone())).await;
                if self.answers_get {
                    self.answers(client, ("get", [("key", key)]), ("get_res", held)).await;
                }
            }
        }
        let nearest = self.nearest(&NodeId::of_key("не здесь"));
        let not_held = [("key", "не здесь".into())];
        self.answers(client, ("find_value", not_held.clone()), ("find_value_res", [("peers", nearest)])).await;
        if self.answers_get {
            self.answers(client, ("get", not_held), ("get_res", [])).await;
        } else {
            client.ask_in_vain(&client.message("get", "unanswered", not_held).spelled(self.codec)).await;
        }
    }

    async fn the_store_is_checked(&self, client: &RawClient) {
        for (key, size) in [("checked", None), ("checked by size", Some(Raw::Int(6)))] {
            for held in [false, true] {
                let mut query = dict([("key", key.into())]);
                query.extend(size.clone().map(|size| ("size".to_owned(), size)));
                let has_key = [("has_key", Raw::truth(self.codec, held))];
                self.answers(client, ("check_store", query), ("check_store_res", has_key)).await;
                let set = [("key", key.into()), ("value", "a full".into())];
                self.answers(client, ("set", set), ("set_res", [])).await;
            }
        }
    }

    async fn copies_are_cached(&self, client: &RawClient) {
        let target = Raw::from(NodeId::of_key("cached").to_string());
        let (key, value) = (Raw::from("cached"), Raw::Bytes(b"a \xc3 copy".to_vec()));
        let copy = [("key", key.clone()), ("value", value.clone()), ("target_id", target)];
        self.answers(client, ("set_cached", copy), ("set_cached_res", [])).await;
        self.answers(client, ("find_value", [("key", key.clone())]), ("find_value_res", [("value", value)])).await;
        let has_key = Raw::truth(self.codec, self.counts_cached_copies);
        self.answers(client, ("check_store", [("key", key)]), ("check_store_res", [("has_key", has_key)])).await;
    }

    async fn query_ids_come_back_as_they_went(&self, client: &RawClient) {
        for id in ["", "x", "00C0FFEE00C0FFEE", "id with \"quotes\" and spaces", "№ 1", "e", &"y".repeat(32)] {
            client.send(&client.message("ping", id, [])).await;
            let answer = client.answer_to(id).await;
            assert_eq!(self.fields(&answer, "pong"), Fields::new());
        }
    }

    async fn unknown_types_are_not_answered(&self, client: &RawClient) {
        for kind in ["", "hello", "PING", "find_nodes", "__class__"] {
            client.ask_in_vain(&client.message(kind, "unanswered", [("key", "x".into())]).spelled(self.codec)).await;
        }
    }
}

/// How a peer stands in an answer.
pub(crate) fn entry(peer: &Peer) -> Raw {
    Raw::from([
        ("node_id", peer.id.to_string().into()),
        ("ip", peer.addr.ip().to_string().into()),
        ("port", i64::from(peer.addr.port()).into()),
    ])
}

/// One value of each sort that a wire could spoil.
pub(crate) fn values() -> Vec<Value> {
    vec![
        Value::from("text"),
        Value::from(""),
        Value::from("чай \u{0} ☕ 🫖 \"\\\n"),
        Value::from("{\"__bytes_b64__\": \"AAA=\"}"),
        Value::from("5:other"),
        Value::from(b"\x00\xff\xfe bytes"),
        Value::from(b""),
        Value::from(b"bytes that are text"),
        Value::from(b"\0bytes\0twice"),
        Value::from("8 KiB of text, ".repeat(547)[..8_192].to_owned()),
        Value::from((0..8_192u32).map(|at| (at * 7) as u8).collect::<Vec<u8>>()),
    ]
}

/// Sends every message type to `subject` and looks at every field of what it answers; nothing of this inserts the client.
pub(crate) async fn every_message_type(subject: &Subject) {
    let mut client = subject.client().await;
    for node_id in [subject.peer.id.to_string(), String::new()] {
        client.call_itself(&node_id);
        subject.pings(&client).await;
        // Each of these names all neighbours and no other peer.
        subject.nodes_are_found(&client).await;
        subject.query_ids_come_back_as_they_went(&client).await;
        subject.unknown_types_are_not_answered(&client).await;
    }
    client.call_itself(&subject.peer.id.to_string());
    subject.values_are_set_and_found(&client).await;
    subject.the_store_is_checked(&client).await;
    subject.copies_are_cached(&client).await;
    subject.nodes_are_found(&client).await;
}

/// The bytes of a ping as a legacy node writes them, and of the pong up to what cannot be known before.
fn ping_and_pong(codec: Codec, subject: &Peer, client: SocketAddr) -> (String, String) {
    let (id, port, from) = (subject.id, subject.addr.port(), client.port());
    match codec {
        Codec::Json => (
            format!(
                r#"{{"type": "ping", "id": "00c0ffee00c0ffee", "sender": {{"node_id": "{id}", "ip": "127.0.0.1", "port": {from}}}}}"#
            ),
            format!(
                r#"{{"type": "pong", "sender": {{"node_id": "{id}", "ip": "127.0.0.1", "port": {port}}}, "id": "00c0ffee00c0ffee"}}"#
            ),
        ),
        _ => (
            format!("d2:id16:00c0ffee00c0ffee6:senderd2:ip9:127.0.0.17:node_id40:{id}4:porti{from}ee4:type4:pinge"),
            format!("d2:id16:00c0ffee00c0ffee6:senderd2:ip9:127.0.0.17:node_id40:{id}4:porti{port}ee4:type4:ponge"),
        ),
    }
}

async fn a_legacy_node_answers_every_message_type(version: Version, codec: Codec) {
    let Some(legacy) = Legacy::start(version, codec).await else { return };
    let nodes = legacy.nodes(5, &[]).await;
    let subject = Subject {
        peer: nodes[0].peer,
        codec,
        neighbours: nodes[1..].iter().map(|node| node.peer).collect(),
        own_fields: &[],
        answers_get: version == Version::V1_0_0,
        counts_cached_copies: true,
    };
    let client = subject.client().await;
    let (ping, pong) = ping_and_pong(codec, &subject.peer, client.addr());
    client.send_bytes(ping.as_bytes()).await;
    assert_eq!(String::from_utf8_lossy(&client.receive_bytes().await), pong);
    every_message_type(&subject).await;
}
