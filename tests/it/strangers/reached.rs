//! Whether strangers reach a node, and what its traffic is.

use std::time::Duration;

use kademlia_dynamic::protocol::message::{Body, PROTOCOL_VERSION, Request, Response};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::sim::{MemoryNetwork, MemoryTransport, in_virtual_time};
use kademlia_dynamic::{Codec, Node};
use tokio::time::sleep;

use crate::support::{drain, spell, start};

async fn ping(end: &MemoryTransport, node: &Node) {
    let body = Body::Request(Request::Ping);
    end.send(node.local_addr(), spell(Codec::Json, end.addr(), None, 7, Some(PROTOCOL_VERSION), body));
    sleep(Duration::from_millis(50)).await;
    assert!(drain(end).iter().any(|message| message.body == Body::Response(Response::Pong)));
}

#[test]
fn a_node_is_reached_once_a_global_host_asks_that_was_sent_nothing_for_ten_minutes() {
    for scope in [AddressScope::Global, AddressScope::Private] {
        in_virtual_time(async move {
            let network = MemoryNetwork::new(7).with_scope(scope);
            let node = start(&network, Node::builder()).await;
            let (early, late) = (network.endpoint(), network.endpoint());
            let reached = async || node.snapshot().await.unwrap().reached;
            ping(&early, &node).await;
            sleep(Duration::from_secs(601)).await;
            ping(&early, &node).await;
            assert_eq!(reached().await, None, "what was sent before may have opened the way");
            ping(&late, &node).await;
            sleep(Duration::from_secs(9)).await;
            ping(&early, &node).await;
            match scope {
                AddressScope::Global => assert_eq!(reached().await.expect("it was reached").as_secs(), 9),
                _ => assert_eq!(reached().await, None, "a neighbour is no stranger"),
            }
            let traffic = node.snapshot().await.unwrap().traffic;
            let row = |name: &str| *traffic.iter().find(|row| row.message == name).unwrap();
            assert_eq!((row("ping").received, row("pong").sent), (4, 4));
            assert!(row("ping").received_bytes > 4 * 60 && row("pong").sent_bytes > 4 * 60);
            assert_eq!((row("pong").received, row("set").received), (0, 0));
        });
    }
}
