//! A liar in a simulation: it answers every search with peers that nobody else knows, each nearer to what is looked for than
//! any before, and those are itself. It says that it stores everything, and stores nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use super::endpoint::{Listener, MemoryTransport};
use super::network::MemoryNetwork;
use crate::actors::socket::transport::Datagram;
use crate::protocol::codec::Codec;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::id::{NODE_ID_BITS, NodeId};
use crate::protocol::message::{Body, Message, PROTOCOL_VERSION, QueryId, Request, Response, Sender};
use crate::protocol::peer::Peer;
use crate::protocol::prefix::Prefix;

/// The addresses at which it plays the peers that it invents.
const MASKS: usize = 16;
/// Peers that it invents for each answer.
const INVENTED: usize = 8;
/// By how many bits the peers of one answer are nearer than those of the answer before.
const NEARER_BY: u32 = 4;

/// A peer that invents ever nearer peers, so as to lead lookups astray. It leaves the network when it is dropped.
#[derive(Clone)]
pub(super) struct Liar(Rc<Inner>);

struct Inner {
    network: MemoryNetwork,
    codec: Codec,
    own: Peer,
    endpoints: Vec<MemoryTransport>,
    state: RefCell<State>,
}

struct State {
    entropy: SeededEntropy,
    /// As whom it answers at each address. At its first it is always the same, elsewhere whomever it named there last.
    masks: HashMap<SocketAddr, NodeId>,
    next_mask: usize,
}

impl Liar {
    pub(super) fn start(network: &MemoryNetwork, codec: Codec) -> Self {
        let mut entropy = SeededEntropy::new(network.seed());
        let mut id = [0; 20];
        entropy.fill(&mut id);
        let own = NodeId::from_bytes(id);
        Self(Rc::new_cyclic(|weak: &Weak<Inner>| {
            let endpoints: Vec<MemoryTransport> = (0..=MASKS).map(|_| network.listen(weak.clone())).collect();
            let masks = endpoints.iter().map(|endpoint| (endpoint.addr(), own)).collect();
            let own = Peer::new(own, endpoints[0].addr());
            let state = RefCell::new(State { entropy, masks, next_mask: 0 });
            Inner { network: network.clone(), codec, own, endpoints, state }
        }))
    }

    pub(super) fn peer(&self) -> Peer {
        self.0.own
    }

    /// All addresses that it has.
    pub(super) fn addrs(&self) -> Vec<SocketAddr> {
        self.0.endpoints.iter().map(MemoryTransport::addr).collect()
    }

    /// Has itself inserted into the tables of `victims`, by asking them for itself.
    pub(super) fn ingratiate(&self, victims: &[SocketAddr]) {
        for victim in victims {
            let id = QueryId::from_u64(self.0.state.borrow_mut().entropy.next_u64());
            let request = Request::FindNode { target: self.0.own.id };
            self.0.say(self.0.own.addr, *victim, id, Body::Request(request));
        }
    }
}

impl fmt::Debug for Liar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Liar").field("peer", &self.peer()).finish_non_exhaustive()
    }
}

impl Inner {
    fn say(&self, from: SocketAddr, to: SocketAddr, id: QueryId, body: Body) {
        let as_whom = self.state.borrow().masks.get(&from).copied();
        let message =
            Message { id, sender: Sender::new(as_whom, from), version: Some(PROTOCOL_VERSION), token: None, body };
        if let Ok(payload) = self.codec.encode(&message) {
            self.network.send(from, to, payload);
        }
    }

    /// Peers nearer to `target` than the id under which it answers at `at`.
    fn invent(&self, at: SocketAddr, target: &NodeId) -> Vec<Peer> {
        let state = &mut *self.state.borrow_mut();
        let near = state.masks.get(&at).map_or(0, |id| id.common_prefix(target));
        let prefix = Prefix::of(target, (near + NEARER_BY).min(NODE_ID_BITS - 16));
        let invented = (0..INVENTED).map(|_| {
            state.next_mask = state.next_mask % MASKS + 1;
            let peer = Peer::new(prefix.random_id(&mut state.entropy), self.endpoints[state.next_mask].addr());
            state.masks.insert(peer.addr, peer.id);
            peer
        });
        invented.collect()
    }
}

impl Listener for Inner {
    fn receive(&self, to: SocketAddr, Datagram { addr, payload, .. }: Datagram) {
        let Ok(message) = self.codec.decode(&payload) else { return };
        let Body::Request(request) = message.body else { return };
        let response = match request {
            Request::Ping => Response::Pong,
            Request::FindNode { target } => Response::FindNode { peers: self.invent(to, &target) },
            Request::FindValue { key } => Response::NoValue { peers: self.invent(to, &NodeId::of_key(&key)) },
            Request::Set { .. } => Response::Set { stored: true, ttl: None },
            Request::SetUnsupported { cached: false } => Response::Set { stored: true, ttl: None },
            Request::SetCached { .. } | Request::SetUnsupported { cached: true } => Response::SetCached,
            // It was published just now, which nobody can have to give away.
            Request::CheckStore { .. } => Response::CheckStore { has_key: true, ttl: Some(86_400), age: Some(0) },
            Request::Get { .. } => Response::Get { value: None },
        };
        self.say(to, addr, message.id, Body::Response(response));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::node::Node;
    use crate::sim::time::in_virtual_time;

    #[test]
    fn each_answer_names_nearer_peers_and_each_of_them_answers() {
        in_virtual_time(async {
            let network = MemoryNetwork::new(1);
            let liar = Liar::start(&network, Codec::MessagePack);
            let target = NodeId::of_key("key");
            let mut near = 0;
            let mut at = liar.peer().addr;
            for _ in 0..20 {
                let peers = liar.0.invent(at, &target);
                assert!(peers.iter().all(|peer| peer.id.common_prefix(&target) >= near));
                near = peers[0].id.common_prefix(&target).min(NODE_ID_BITS - 16);
                at = peers[0].addr;
            }
            assert!(near > 60);

            // It does not join, or it would have others invented for itself.
            let node = Node::builder().codec(Codec::MessagePack).start_local_over(network.endpoint()).await.unwrap();
            let pong = node.ping(at).await.unwrap();
            assert!(pong.peer.id.common_prefix(&target) >= near, "it plays whomever it invented last");
        });
    }
}
