//! Everybody whom a node under test can talk to, in one piece: it hears every datagram that the node sends, sees that it is
//! one that a node may send, and answers as a world full of peers would. What the node is made to hear is not decided here.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use kademlia_dynamic::actors::transport::{Datagram, Sent, Transport};
use kademlia_dynamic::internals::MAX_AMPLIFICATION;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::message::{Body, Message, QueryId, Request, Response, Sender};
use kademlia_dynamic::protocol::peer::{AddressScope, check_unicast};
use kademlia_dynamic::sim::{MemoryNetwork, MemoryTransport};
use kademlia_dynamic::{Codec, NodeId, Peer, Value};

/// Ids under which one address has answered that are remembered.
const IDS: usize = 32;
/// Peers that an answer of the world names.
const NAMED: u64 = 8;

/// One address of the world.
#[derive(Default)]
struct Host {
    /// Under which id it answers; `None`: it does not.
    id: Option<NodeId>,
    /// The ids under which it has answered.
    was: VecDeque<NodeId>,
    /// Whether it has ever echoed a query id of the node.
    proved: bool,
    /// Whether a peer named it to the node, which then asks it at its own expense.
    named: bool,
    /// Bytes that the node got from there.
    said: usize,
    /// Bytes that the node sent there.
    heard: usize,
}

/// The world.
pub(crate) struct World {
    codec: Codec,
    own: Peer,
    entropy: SeededEntropy,
    hosts: HashMap<SocketAddr, Host>,
    /// Those who answer, in the order in which they began to.
    live: Vec<SocketAddr>,
    /// The next query of this name is not answered but left open.
    pub(crate) wanted: Option<&'static str>,
    /// The query left open, and who was asked.
    pub(crate) open: Option<(Peer, QueryId)>,
    /// The query id of the last pong to an address that never answers, but asks.
    pub(crate) last_pong: Option<QueryId>,
    /// Peers that the node has named to others.
    pub(crate) relayed: u64,
    /// What the node did first that it must not do.
    pub(crate) broken: Option<String>,
}

impl World {
    pub(crate) fn new(codec: Codec, own: Peer, seed: u64) -> Self {
        Self {
            codec,
            own,
            entropy: SeededEntropy::new(seed),
            hosts: HashMap::new(),
            live: Vec::new(),
            wanted: None,
            open: None,
            last_pong: None,
            relayed: 0,
            broken: None,
        }
    }

    /// From now on `addr` answers under this id, or not at all.
    pub(crate) fn assign(&mut self, addr: SocketAddr, id: Option<NodeId>) {
        self.live.retain(|live| *live != addr);
        if id.is_some() {
            self.live.push(addr);
        }
        self.hosts.entry(addr).or_default().id = id;
    }

    /// How many answer.
    pub(crate) fn live(&self) -> usize {
        self.live.len()
    }

    /// The peer that has answered for longest stops to.
    pub(crate) fn silence_the_oldest(&mut self) {
        if let Some(addr) = self.live.first().copied() {
            self.assign(addr, None);
        }
    }

    /// The node hears so many bytes from `addr`.
    pub(crate) fn says(&mut self, addr: SocketAddr, len: usize) {
        self.hosts.entry(addr).or_default().said += len;
    }

    /// A peer names `addr` to the node.
    pub(crate) fn is_named(&mut self, addr: SocketAddr) {
        // An address that has sent nothing has no account.
        if self.hosts.len() < 1 << 20 {
            self.hosts.entry(addr).or_default().named = true;
        }
    }

    /// `peer` has answered a query of the node.
    pub(crate) fn proves(&mut self, peer: Peer) {
        let host = self.hosts.entry(peer.addr).or_default();
        host.proved = true;
        if !host.was.contains(&peer.id) {
            host.was.truncate(IDS - 1);
            host.was.push_front(peer.id);
        }
    }

    /// Whether `peer` has ever answered the node under its id.
    pub(crate) fn has_answered(&self, peer: &Peer) -> bool {
        self.hosts.get(&peer.addr).is_some_and(|host| host.was.contains(&peer.id))
    }

    fn breaks(&mut self, what: impl Display) {
        self.broken.get_or_insert_with(|| what.to_string());
    }

    /// Takes what the node sends; what comes back for it.
    fn hear(&mut self, to: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
        if check_unicast(&to).is_err() || to == self.own.addr {
            self.breaks(format_args!("it sent to {to}"));
        }
        let message = match self.codec.decode(payload) {
            Ok(message) if message.sender.id == Some(self.own.id) => message,
            other => {
                self.breaks(format_args!("it sent {}: {other:?}", payload.escape_ascii()));
                return None;
            }
        };
        let host = self.hosts.entry(to).or_default();
        host.heard += payload.len();
        let (said, heard) = (host.said, host.heard);
        let must_prove_itself = AddressScope::of(&to.ip()).is_global() && !host.proved && !host.named;
        if must_prove_itself && heard > MAX_AMPLIFICATION * said {
            self.breaks(format_args!("{heard} bytes to {to} for the {said} that came from there"));
        }
        match message.body {
            Body::Response(response) => {
                self.judge(to, message.id, &response);
                None
            }
            Body::Request(request) => self.answer(to, message.id, &request),
        }
    }

    /// An answer of the node: it may name only those who have answered it themselves.
    fn judge(&mut self, to: SocketAddr, id: QueryId, response: &Response) {
        match response {
            Response::Pong => self.last_pong = Some(id),
            Response::FindNode { peers } | Response::NoValue { peers } => {
                self.relayed += peers.len() as u64;
                if let Some(made_up) = peers.iter().find(|peer| !self.has_answered(peer)) {
                    let made_up = *made_up;
                    self.breaks(format_args!("it named {made_up} to {to}, which never answered it"));
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, to: SocketAddr, query: QueryId, request: &Request) -> Option<Vec<u8>> {
        let id = self.hosts.get(&to)?.id?;
        if self.wanted == Some(request.name()) {
            self.wanted = None;
            self.open = Some((Peer::new(id, to), query));
            return None;
        }
        let response = match request {
            Request::Ping => Response::Pong,
            Request::FindNode { .. } => Response::FindNode { peers: self.some_peers() },
            Request::FindValue { .. } if self.entropy.below(4) == 0 => {
                Response::Value { value: Arc::new(Value::from("of the world")), ttl: Some(9_999), age: Some(0) }
            }
            Request::FindValue { .. } => Response::NoValue { peers: self.some_peers() },
            Request::Set { .. } => Response::Set { stored: self.entropy.below(8) > 0, ttl: None },
            Request::SetUnsupported { cached: false } => Response::Set { stored: false, ttl: None },
            Request::SetCached { .. } | Request::SetUnsupported { cached: true } => Response::SetCached,
            Request::CheckStore { .. } => Response::CheckStore {
                has_key: self.entropy.below(2) == 0,
                ttl: Some(self.entropy.next_u64() as u32),
                age: Some(self.entropy.below(100_000) as u32).filter(|age| age % 2 == 0),
            },
            // `get` among them, which nodes never send.
            _ => return None,
        };
        self.proves(Peer::new(id, to));
        let version = self.entropy.below(2) as u32;
        let sender = Sender::new(Some(id), to);
        let message = Message {
            id: query,
            sender,
            version: (version > 0).then_some(version),
            token: None,
            body: Body::Response(response),
        };
        let answer = self.codec.encode(&message).expect("a short answer");
        self.says(to, answer.len());
        Some(answer)
    }

    fn some_peers(&mut self) -> Vec<Peer> {
        let number = if self.live.is_empty() { 0 } else { self.entropy.below(NAMED) };
        let mut peers = Vec::new();
        for _ in 0..number {
            let addr = self.live[self.entropy.below(self.live.len() as u64) as usize];
            self.is_named(addr);
            peers.extend(self.hosts[&addr].id.map(|id| Peer::new(id, addr)));
        }
        peers
    }
}

/// The node's end of all its lines. What comes in is a memory network's, what goes out goes to the world.
pub(crate) struct Line {
    pub(crate) inner: MemoryTransport,
    pub(crate) network: MemoryNetwork,
    pub(crate) world: Rc<RefCell<World>>,
}

impl Transport for Line {
    fn local_addr(&self) -> SocketAddr {
        self.inner.addr()
    }

    fn poll_receive(&self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>, max: usize) -> Poll<io::Result<()>> {
        self.inner.poll_receive(cx, batch, max)
    }

    fn poll_send(&self, _: &mut Context<'_>, batch: &mut VecDeque<Datagram>, report: &mut Sent) -> Poll<()> {
        for Datagram { addr, payload, .. } in batch.drain(..) {
            report.sent += 1;
            if let Some(answer) = self.world.borrow_mut().hear(addr, &payload) {
                self.network.send(addr, self.inner.addr(), answer);
            }
        }
        Poll::Ready(())
    }
}
