//! Nodes of ours among themselves, over UDP on this machine.

use kademlia_dynamic::{Codec, Node, Value};

#[tokio::test]
async fn three_nodes_share_values_on_every_wire() {
    for codec in [Codec::Json, Codec::Bencode, Codec::MessagePack] {
        let first = Node::builder().codec(codec).start().await.unwrap();
        let second = Node::builder().codec(codec).bootstrap([first.local_addr()]).start().await.unwrap();
        let third = Node::builder().codec(codec).bootstrap([first.local_addr()]).start().await.unwrap();
        let outcome = first.set("greeting", "hello").await.unwrap();
        assert_eq!((outcome.asked, outcome.stored), (2, 2), "{codec}: {outcome:?}");
        assert_eq!(third.get("greeting").await.unwrap(), Some(Value::from("hello")), "{codec}");
        assert_eq!(second.get("absent").await.unwrap(), None, "{codec}");
        let addr = first.local_addr();
        first.stop().await;
        drop(std::net::UdpSocket::bind(addr).unwrap());
    }
}
