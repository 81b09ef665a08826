//! Many peers of one owner: all at addresses of one /24, with ids chosen to lie round a key, about which they lie alike.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use kademlia_dynamic::protocol::entropy::SeededEntropy;
use kademlia_dynamic::protocol::message::{Body, Message, PROTOCOL_VERSION, QueryId, Request, Response, Sender};
use kademlia_dynamic::protocol::prefix::Prefix;
use kademlia_dynamic::sim::{MemoryNetwork, MemoryTransport};
use kademlia_dynamic::{Codec, NodeId, Peer, Value};

/// Hosts of a /24.
const HOSTS: u16 = 250;

/// They leave the network with the runtime.
pub(crate) struct Sybils(Vec<(Peer, Rc<MemoryTransport>)>);

impl Sybils {
    /// `count` of them in 45.6.`net`.0/24, each nearer to `key` than any honest peer can be. To a request for
    /// the key they give `lie`, and for anything else they name 20 of each other.
    pub(crate) fn start(network: &MemoryNetwork, count: u16, net: u8, key: &str, lie: &str) -> Self {
        Self::within(network, Prefix::of(&NodeId::of_key(key), 40), count, net, key, lie)
    }

    /// The same with ids of any kind.
    pub(crate) fn anywhere(network: &MemoryNetwork, count: u16, net: u8) -> Self {
        Self::within(network, Prefix::ALL, count, net, "", "a lie")
    }

    fn within(network: &MemoryNetwork, ids: Prefix, count: u16, net: u8, key: &str, lie: &str) -> Self {
        let entropy = &mut SeededEntropy::new(net.into());
        let addr = |n: u16| ([45, 6, net, (n % HOSTS + 1) as u8], 7_000 + n / HOSTS).into();
        let peers: Vec<Peer> = (0..count).map(|n| Peer::new(ids.random_id(entropy), addr(n))).collect();
        let lie: Arc<Value> = Arc::new(lie.into());
        let join = |peer: &Peer| {
            let end = Rc::new(network.endpoint_at(peer.addr).expect("the address is free"));
            let mut friends = peers.clone();
            friends.sort_by_key(|friend| friend.id.distance(&peer.id));
            friends.truncate(20);
            actix_rt::spawn(serve(end.clone(), peer.id, friends, key.into(), lie.clone()));
            (*peer, end)
        };
        Self(peers.iter().map(join).collect())
    }

    /// Lets each of them ask each of `victims` something, so that they are pinged and known.
    pub(crate) fn introduce(&self, victims: &[SocketAddr]) {
        for (peer, end) in &self.0 {
            for victim in victims {
                say(end, peer.id, *victim, QueryId::from_u64(1), Body::Request(Request::FindNode { target: peer.id }));
            }
        }
    }
}

fn say(end: &MemoryTransport, own: NodeId, to: SocketAddr, id: QueryId, body: Body) {
    let sender = Sender::new(Some(own), end.addr());
    let message = Message { id, sender, version: Some(PROTOCOL_VERSION), token: None, body };
    end.send(to, Codec::MessagePack.encode(&message).expect("it fits a datagram"));
}

async fn serve(end: Rc<MemoryTransport>, own: NodeId, peers: Vec<Peer>, about: Arc<str>, lie: Arc<Value>) {
    loop {
        let datagram = end.receive().await;
        let Ok(Message { id, body: Body::Request(request), .. }) = Codec::MessagePack.decode(&datagram.payload) else {
            continue;
        };
        let response = match request {
            Request::Ping => Response::Pong,
            Request::FindNode { .. } => Response::FindNode { peers: peers.clone() },
            Request::FindValue { key } if key == about => {
                Response::Value { value: lie.clone(), ttl: Some(80_000), age: None }
            }
            Request::FindValue { .. } => Response::NoValue { peers: peers.clone() },
            Request::Set { .. } | Request::SetUnsupported { cached: false } => {
                Response::Set { stored: true, ttl: None }
            }
            Request::SetCached { .. } | Request::SetUnsupported { cached: true } => Response::SetCached,
            Request::CheckStore { .. } => Response::CheckStore { has_key: true, ttl: None, age: None },
            Request::Get { .. } => Response::Get { value: Some(lie.clone()) },
            other => panic!("{other:?} is to be answered too"),
        };
        say(&end, own, datagram.addr, id, Body::Response(response));
    }
}
