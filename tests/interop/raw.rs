//! The wire by hand: a message as a bare dictionary, spelled and read without the library, and a client that sends it
//! to one node and looks at the answer field by field. It is no node: it keeps nothing and answers nothing by itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::value::Value;
use serde_json::{Value as Json, json};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::bencode;

/// How long an answer may take on this machine before the test fails.
const ANSWER: Duration = Duration::from_secs(10);

/// Fields by name.
pub(crate) type Fields = BTreeMap<String, Raw>;

/// Anything that a datagram can say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Raw {
    Int(i64),
    /// JSON alone can tell it from a number.
    Truth(bool),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Raw>),
    Dict(Fields),
}

impl Raw {
    /// The field `name` of a dictionary.
    pub(crate) fn field(&self, name: &str) -> Option<&Raw> {
        match self {
            Raw::Dict(fields) => fields.get(name),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Raw::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether the message has this text in this field.
    pub(crate) fn says(&self, name: &str, text: &str) -> bool {
        self.field(name).and_then(Raw::text) == Some(text)
    }

    /// How `codec` spells a boolean.
    pub(crate) fn truth(codec: Codec, truth: bool) -> Raw {
        if codec == Codec::Bencode { Raw::Int(truth.into()) } else { Raw::Truth(truth) }
    }

    /// The datagram, as a legacy node could have written it.
    pub(crate) fn spelled(&self, codec: Codec) -> Vec<u8> {
        match codec {
            Codec::Json => self.to_json().to_string().into_bytes(),
            Codec::Bencode => bencode::write(self),
            Codec::MessagePack => panic!("no legacy wire"),
        }
    }

    /// What a datagram says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(codec: Codec, datagram: &[u8]) -> Result<Raw, String> {
        match codec {
            Codec::Json => serde_json::from_slice(datagram).map_err(|error| error.to_string()).and_then(Raw::from_json),
            Codec::Bencode => bencode::read(datagram),
            Codec::MessagePack => panic!("no legacy wire"),
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Raw::Int(number) => json!(number),
            Raw::Truth(truth) => json!(truth),
            Raw::Text(text) => json!(text),
            Raw::Bytes(bytes) => json!({"__bytes_b64__": STANDARD.encode(bytes)}),
            Raw::List(items) => items.iter().map(Raw::to_json).collect(),
            Raw::Dict(fields) => fields.iter().map(|(name, field)| (name.clone(), field.to_json())).collect(),
        }
    }

    fn from_json(json: Json) -> Result<Raw, String> {
        Ok(match json {
            Json::Null => return Err("null: an absent value is an absent field".to_owned()),
            Json::Bool(truth) => Raw::Truth(truth),
            Json::Number(number) => Raw::Int(number.as_i64().ok_or_else(|| format!("{number} is no integer"))?),
            Json::String(text) => Raw::Text(text),
            Json::Array(items) => Raw::List(items.into_iter().map(Raw::from_json).collect::<Result<_, _>>()?),
            Json::Object(fields) => {
                if let (1, Some(encoded)) = (fields.len(), fields.get("__bytes_b64__").and_then(Json::as_str)) {
                    return STANDARD.decode(encoded).map(Raw::Bytes).map_err(|error| error.to_string());
                }
                let read = |(name, json)| Raw::from_json(json).map(|field| (name, field));
                Raw::Dict(fields.into_iter().map(read).collect::<Result<_, _>>()?)
            }
        })
    }
}

impl From<&str> for Raw {
    fn from(text: &str) -> Self {
        Raw::Text(text.to_owned())
    }
}

impl From<String> for Raw {
    fn from(text: String) -> Self {
        Raw::Text(text)
    }
}

impl From<i64> for Raw {
    fn from(number: i64) -> Self {
        Raw::Int(number)
    }
}

impl From<&Value> for Raw {
    fn from(value: &Value) -> Self {
        match value {
            Value::Text(text) => Raw::Text(text.clone()),
            Value::Bytes(bytes) => Raw::Bytes(bytes.clone()),
        }
    }
}

impl<const N: usize> From<[(&str, Raw); N]> for Raw {
    fn from(fields: [(&str, Raw); N]) -> Self {
        Raw::Dict(dict(fields))
    }
}

/// Fields from their names and what is in them.
pub(crate) fn dict<const N: usize>(fields: [(&str, Raw); N]) -> Fields {
    fields.into_iter().map(|(name, field)| (name.to_owned(), field)).collect()
}

/// What a message can be given as its fields.
pub(crate) trait IntoFields {
    /// The fields by name.
    fn into_fields(self) -> Fields;
}

impl IntoFields for Fields {
    fn into_fields(self) -> Fields {
        self
    }
}

impl<const N: usize> IntoFields for [(&str, Raw); N] {
    fn into_fields(self) -> Fields {
        dict(self)
    }
}

/// A socket that talks to one node.
pub(crate) struct RawClient {
    socket: UdpSocket,
    codec: Codec,
    /// What it says that its node id is.
    node_id: String,
    next_query: AtomicU64,
}

impl RawClient {
    /// A client that talks to the node at `addr` and says that its id is `node_id`: the node's own id or nothing, if it
    /// is not to be inserted.
    pub(crate) async fn to(addr: SocketAddr, codec: Codec, node_id: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        socket.connect(addr).await.expect("UDP connects without asking");
        Self { socket, codec, node_id: node_id.to_owned(), next_query: AtomicU64::new(0x00c0_ffee) }
    }

    /// Where it is.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    /// Who it says that it is.
    pub(crate) fn sender(&self) -> Raw {
        Raw::from([
            ("node_id", self.node_id.as_str().into()),
            ("ip", self.addr().ip().to_string().into()),
            ("port", i64::from(self.addr().port()).into()),
        ])
    }

    /// The same client under another id.
    pub(crate) fn call_itself(&mut self, node_id: &str) {
        self.node_id = node_id.to_owned();
    }

    /// A query id in the form that legacy nodes use, different each time.
    pub(crate) fn query_id(&self) -> String {
        format!("{:016x}", self.next_query.fetch_add(1, Ordering::Relaxed))
    }

    /// A message of this kind, from this client.
    pub(crate) fn message(&self, kind: &str, id: &str, fields: impl IntoFields) -> Raw {
        let mut message = dict([("type", kind.into()), ("id", id.into()), ("sender", self.sender())]);
        message.extend(fields.into_fields());
        Raw::Dict(message)
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_bytes(&self, datagram: &[u8]) {
        self.socket.send(datagram).await.expect("a datagram can be sent on this machine");
    }

    /// Sends a message.
    pub(crate) async fn send(&self, message: &Raw) {
        self.send_bytes(&message.spelled(self.codec)).await;
    }

    /// The next datagram that the node sends, as it came.
    pub(crate) async fn receive_bytes(&self) -> Vec<u8> {
        let mut datagram = vec![0; 65_536];
        let len = match timeout(ANSWER, self.socket.recv(&mut datagram)).await {
            Ok(received) => received.expect("the node's port is open"),
            Err(_) => panic!("nothing came for {ANSWER:?}"),
        };
        datagram.truncate(len);
        datagram
    }

    /// The next message that the node sends.
    pub(crate) async fn receive(&self) -> Raw {
        let datagram = self.receive_bytes().await;
        Raw::read(self.codec, &datagram)
            .unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&datagram).escape_debug()))
    }

    /// Sends a query and waits for the message with its id; what else comes meanwhile, such as pings, is passed over.
    pub(crate) async fn ask(&self, kind: &str, fields: impl IntoFields) -> Raw {
        let id = self.query_id();
        self.send(&self.message(kind, &id, fields)).await;
        self.answer_to(&id).await
    }

    /// The message with this query id; what else comes before it is passed over.
    pub(crate) async fn answer_to(&self, id: &str) -> Raw {
        loop {
            let message = self.receive().await;
            if message.says("id", id) {
                return message;
            }
        }
    }

    /// Sends bytes and sees that the node says nothing to them: what it says is only to a ping sent after them, and
    /// to one after that, should it answer the first one out of turn.
    pub(crate) async fn ask_in_vain(&self, datagram: &[u8]) {
        self.send_bytes(datagram).await;
        for _ in 0..2 {
            let id = self.query_id();
            self.send(&self.message("ping", &id, [])).await;
            loop {
                let message = self.receive().await;
                if message.says("id", &id) {
                    break;
                }
                let said_unasked = message.says("type", "ping");
                let what = String::from_utf8_lossy(datagram);
                assert!(said_unasked, "{:.300} was answered: {message:?}", what.escape_debug().to_string());
            }
        }
    }
}

#[test]
fn a_message_reads_as_it_was_spelled() {
    let message = Raw::from([
        ("type", "set".into()),
        ("value", Raw::Bytes(b"\0\xff".to_vec())),
        ("sender", Raw::from([("node_id", "".into()), ("port", 1.into())])),
        ("key", "ключ".into()),
        ("peers", Raw::List(vec![Raw::Bytes(vec![]), (-1).into()])),
    ]);
    for codec in [Codec::Json, Codec::Bencode] {
        assert_eq!(Raw::read(codec, &message.spelled(codec)), Ok(message.clone()), "{codec:?}");
    }
    assert!(Raw::read(Codec::Json, br#"{"value": null}"#).is_err());
}
