//! Nodes of the last two protocol versions in one network. One of version 2 is a node of today whose messages are rewritten on
//! their way: it names version 2 and takes the others to be of it, neither sends nor sees a `renew` or a `reconcile`, and none is
//! sent to it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use kademlia_dynamic::actors::transport::{Datagram, Sent, Transport};
use kademlia_dynamic::protocol::message::PROTOCOL_VERSION;
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::sim::{MemoryNetwork, MemoryTransport, in_virtual_time};
use kademlia_dynamic::{Codec, Node, Value};

/// The endpoint of a node of the version before.
struct VersionBefore {
    end: MemoryTransport,
    codec: Codec,
}

impl VersionBefore {
    /// What it sends, and what it knows of what it receives.
    fn rewritten(&self, payload: &[u8]) -> Vec<u8> {
        let mut message = self.codec.decode(payload).unwrap();
        let name = message.body.name();
        assert!(!name.starts_with("renew") && !name.starts_with("reconcile"), "it does not know {name}");
        message.version = message.version.map(|version| version.min(PROTOCOL_VERSION - 1));
        self.codec.encode(&message).unwrap()
    }
}

impl Transport for VersionBefore {
    fn local_addr(&self) -> SocketAddr {
        self.end.local_addr()
    }

    fn poll_receive(&self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>, max: usize) -> Poll<io::Result<()>> {
        let from = batch.len();
        ready!(self.end.poll_receive(cx, batch, max))?;
        for datagram in &mut batch[from..] {
            datagram.payload = self.rewritten(&datagram.payload);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_send(&self, cx: &mut Context<'_>, batch: &mut VecDeque<Datagram>, report: &mut Sent) -> Poll<()> {
        for datagram in batch.iter_mut() {
            datagram.payload = self.rewritten(&datagram.payload);
        }
        self.end.poll_send(cx, batch, report)
    }
}

#[test]
fn nodes_of_this_version_and_the_one_before_store_and_find_each_others_values_on_every_wire() {
    assert_eq!(PROTOCOL_VERSION, 3, "what the version before lacks is to be taken from the messages above");
    for codec in [Codec::Json, Codec::Bencode, Codec::MessagePack] {
        in_virtual_time(async {
            let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
            let mut nodes: Vec<Node> = Vec::new();
            for number in 0..10 {
                let builder = Node::builder().codec(codec).seed(number).bootstrap(nodes.first().map(Node::local_addr));
                let end = network.endpoint();
                nodes.push(match number % 2 {
                    0 => builder.start_local_over(end).await.unwrap(),
                    _ => builder.start_local_over(VersionBefore { end, codec }).await.unwrap(),
                });
            }
            for (number, node) in nodes.iter().enumerate() {
                let stored = node.set(format!("key {number}"), format!("value {number}")).await.unwrap();
                assert_eq!((stored.stored, stored.refused, stored.silent), (9, 0, 0), "{codec}: {number}");
            }
            for reader in &nodes {
                for number in 0..nodes.len() {
                    let read = reader.find_value(format!("key {number}")).await.unwrap();
                    let value =
                        kademlia_dynamic::actors::outcome::FoundValue::Value(Value::from(format!("value {number}")));
                    assert_eq!(read, value, "{codec}: {number}");
                }
                assert_eq!(reader.health("key 1").await.unwrap().confirmed(), 9, "{codec}");
            }
        });
    }
}
