//! The kinds of requests that are measured, and what must come back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use kademlia_dynamic::protocol::message::{Body, Message, PROTOCOL_VERSION, QueryId, Request, Response, Sender, Token};
use kademlia_dynamic::{Codec, NodeId, Value};

/// Keys that the node holds from the start.
pub(super) const HELD: u64 = 100;
/// Bytes of a value.
const VALUE_LEN: usize = 200;

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    Ping,
    FindNode,
    Hit,
    Miss,
    Set,
}

impl Row {
    pub(super) const ALL: [Self; 5] = [Self::Ping, Self::FindNode, Self::Hit, Self::Miss, Self::Set];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::FindNode => "find_node",
            Self::Hit => "find_value, hit of 200 B",
            Self::Miss => "find_value, miss",
            Self::Set => "set of 200 B",
        }
    }

    /// Request number `n`. All of a row have the same length.
    fn request(self, n: u64) -> Request {
        match self {
            Self::Ping => Request::Ping,
            Self::FindNode => Request::FindNode { target: NodeId::of_key(&format!("target {n:08}")) },
            Self::Hit => Request::FindValue { key: held_key(n % HELD) },
            Self::Miss => Request::FindValue { key: format!("absent {n:08}").into() },
            Self::Set => set(format!("stored {n:08}").into()),
        }
    }

    fn is_answered_by(self, response: &Response) -> bool {
        match response {
            Response::Pong => self == Self::Ping,
            Response::FindNode { .. } => self == Self::FindNode,
            Response::Value { value, .. } => self == Self::Hit && value.len() == VALUE_LEN,
            Response::NoValue { .. } => self == Self::Miss,
            Response::Set { stored, .. } => self == Self::Set && *stored,
            _ => false,
        }
    }
}

fn held_key(n: u64) -> Arc<str> {
    format!("held {n:08}").into()
}

fn set(key: Arc<str>) -> Request {
    let value = Arc::new(Value::Text("v".repeat(VALUE_LEN)));
    Request::Set { key, value, ttl: None, age: None }
}

/// Writes requests to one node under the node's own id, so that the sender enters no table; and reads the answers.
#[derive(Debug, Clone)]
pub(super) struct Client {
    codec: Codec,
    /// The node's id; `None` as long as it is not known.
    node: Option<NodeId>,
    /// The token that the node gave to each address, if it gives any.
    tokens: HashMap<SocketAddr, Token>,
}

impl Client {
    pub(super) fn new(codec: Codec) -> Self {
        Self { codec, node: None, tokens: HashMap::new() }
    }

    /// The datagram of request number `n` of `row`, sent from `from`.
    pub(super) fn row(&self, row: Row, n: u64, from: SocketAddr) -> Vec<u8> {
        self.write(row.request(n), n, from)
    }

    /// The datagram that lets the node hold key number `n`.
    pub(super) fn hold(&self, n: u64, from: SocketAddr) -> Vec<u8> {
        self.write(set(held_key(n)), n, from)
    }

    fn write(&self, request: Request, n: u64, from: SocketAddr) -> Vec<u8> {
        let sender = Sender::new(self.node, from);
        let body = Body::Request(request);
        let (version, token) = (Some(PROTOCOL_VERSION), self.tokens.get(&from).copied());
        let message = Message { id: QueryId::from_u64(n), sender, version, token, body };
        self.codec.encode(&message).expect("a short request fits a datagram")
    }

    /// Whether `datagram` answers a request of `row`.
    pub(super) fn is_answer(&self, row: Row, datagram: &[u8]) -> bool {
        matches!(self.codec.decode(datagram), Ok(Message { body: Body::Response(response), .. }) if row.is_answered_by(&response))
    }

    /// Notes the id of the node that answered a ping from `to`, and the token that it gave.
    pub(super) fn learn(&mut self, to: SocketAddr, pong: &[u8]) {
        let Ok(message) = self.codec.decode(pong) else { return };
        self.node = message.sender.id;
        self.tokens.extend(message.token.map(|token| (to, token)));
    }

    /// How many peers an answer names.
    pub(super) fn peers_in(&self, datagram: &[u8]) -> usize {
        match self.codec.decode(datagram).map(|message| message.body) {
            Ok(Body::Response(Response::FindNode { peers })) => peers.len(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_requests_of_a_row_have_the_same_length() {
        let from = ([127, 0, 0, 1], 1_000).into();
        for codec in Codec::ALL {
            let client = Client::new(codec);
            for row in Row::ALL {
                let len = |n| client.row(row, n, from).len();
                assert!([1, 99, 54_999].map(len).iter().all(|found| *found == len(0)), "{codec} {row:?}");
            }
        }
    }

    #[test]
    fn a_refused_set_does_not_count_as_an_answer() {
        assert!(Row::Set.is_answered_by(&Response::Set { stored: true, ttl: None }));
        assert!(!Row::Set.is_answered_by(&Response::Set { stored: false, ttl: None }));
        assert!(!Row::Hit.is_answered_by(&Response::NoValue { peers: Vec::new() }));
    }
}
