//! A liar in a simulation: it answers every search with peers that no other node knows, each nearer to the target than any
//! before, and those are itself. It says that it stores everything, and stores nothing.

use std::net::SocketAddr;

use kademlia_dynamic::protocol::entropy::SeededEntropy;
use kademlia_dynamic::protocol::id::NODE_ID_BITS;
use kademlia_dynamic::protocol::message::{Body, Request, Response};
use kademlia_dynamic::protocol::prefix::Prefix;
use kademlia_dynamic::sim::{MemoryNetwork, Others, Participant, Reply, ScriptedPeers, Site};
use kademlia_dynamic::{Codec, NodeId, Peer};

/// The addresses at which it plays the peers that it invents.
const MASKS: usize = 16;
/// Peers that it invents for each answer.
const INVENTED: usize = 8;
/// By how many bits the peers of one answer are nearer than those of the answer before.
const NEARER_BY: u32 = 4;
/// Participants that it queries first, so as to be in their tables.
const VICTIMS: usize = 20;

/// This share (0..=1) of a network's places for liars.
pub fn liars(share: f64) -> Others {
    let start = |site: Site| async move {
        let liar = Liar::start(&site.network, site.codec, site.seed);
        liar.ingratiate(&site.contacts);
        liar
    };
    Others::new(share, start).dishonest().contacts(VICTIMS)
}

/// A peer that invents ever nearer peers, so as to lead lookups astray.
pub struct Liar(ScriptedPeers);

impl Liar {
    fn start(network: &MemoryNetwork, codec: Codec, seed: u64) -> Self {
        let peers = ScriptedPeers::new(network, codec).with(1 + MASKS);
        let mut masks = Masks::new(&peers.all(), SeededEntropy::new(seed));
        peers.on(move |asked| {
            let response = match &asked.request {
                Request::Ping => Response::Pong,
                Request::FindNode { target } => Response::FindNode { peers: masks.invent(asked.peer, target) },
                Request::FindValue { key } => {
                    Response::NoValue { peers: masks.invent(asked.peer, &NodeId::of_key(key)) }
                }
                Request::Set { .. } | Request::SetUnsupported { cached: false } => {
                    Response::Set { stored: true, ttl: None }
                }
                Request::SetCached { .. } | Request::SetUnsupported { cached: true } => Response::SetCached,
                // Published just now: no other copy can be later.
                Request::CheckStore { .. } => Response::CheckStore { has_key: true, ttl: Some(86_400), age: Some(0) },
                Request::Get { .. } => Response::Get { value: None },
                _ => return Reply::Silence,
            };
            Reply::As(masks.of[asked.peer].id, response)
        });
        Self(peers)
    }

    /// Has itself inserted into the tables of `victims`, by asking them for itself.
    fn ingratiate(&self, victims: &[SocketAddr]) {
        let own = self.peer().id;
        for victim in victims {
            self.0.tell(0, Some(own), *victim, Body::Request(Request::FindNode { target: own }));
        }
    }
}

impl Participant for Liar {
    fn peer(&self) -> Peer {
        self.0.peer(0)
    }

    fn addrs(&self) -> Vec<SocketAddr> {
        self.0.all().iter().map(|peer| peer.addr).collect()
    }
}

/// The peers that a liar plays.
struct Masks {
    entropy: SeededEntropy,
    /// The peer that it plays at each address: at its first always the same, elsewhere the one that it named there last.
    of: Vec<Peer>,
    last: usize,
}

impl Masks {
    fn new(peers: &[Peer], entropy: SeededEntropy) -> Self {
        let of = peers.iter().map(|peer| Peer::new(peers[0].id, peer.addr)).collect();
        Self { entropy, of, last: 0 }
    }

    /// Peers nearer to `target` than the one that it plays at address number `at`.
    fn invent(&mut self, at: usize, target: &NodeId) -> Vec<Peer> {
        let near = self.of[at].id.common_prefix(target);
        let prefix = Prefix::of(target, (near + NEARER_BY).min(NODE_ID_BITS - 16));
        let invented = (0..INVENTED).map(|_| {
            self.last = self.last % MASKS + 1;
            self.of[self.last].id = prefix.random_id(&mut self.entropy);
            self.of[self.last]
        });
        invented.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kademlia_dynamic::Node;
    use kademlia_dynamic::sim::in_virtual_time;

    #[test]
    fn each_answer_names_nearer_peers() {
        let addr = |port| Peer::new(NodeId::of_key("liar"), ([127, 0, 0, 1], port).into());
        let peers: Vec<Peer> = (1..=1 + MASKS as u16).map(addr).collect();
        let mut masks = Masks::new(&peers, SeededEntropy::new(1));
        let target = NodeId::of_key("key");
        let (mut near, mut at) = (0, 0);
        for _ in 0..20 {
            let peers = masks.invent(at, &target);
            assert!(peers.iter().all(|peer| peer.id.common_prefix(&target) >= near));
            near = peers[0].id.common_prefix(&target).min(NODE_ID_BITS - 16);
            at = masks.of.iter().position(|mask| mask.addr == peers[0].addr).unwrap();
        }
        assert!(near > 60);
    }

    #[test]
    fn each_peer_that_an_answer_names_answers_itself() {
        in_virtual_time(async {
            let network = MemoryNetwork::new(1);
            let liar = Liar::start(&network, Codec::MessagePack, 1);
            let node = Node::builder().codec(Codec::MessagePack).start_local_over(network.endpoint()).await.unwrap();
            let asker = ScriptedPeers::new(&network, Codec::MessagePack).with(1);
            let request = Request::FindNode { target: NodeId::of_key("key") };
            let answer = asker.ask(0, liar.peer().addr, request).await.unwrap();
            let Response::FindNode { peers } = answer else { panic!("{answer:?}") };
            for peer in peers {
                assert_eq!(node.ping(peer.addr).await.unwrap().peer, peer);
            }
        });
    }
}
