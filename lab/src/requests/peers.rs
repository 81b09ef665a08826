//! Peers for a node's table: they answer pings and find_nodes, and nothing else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use kademlia_dynamic::protocol::message::{Body, Message, PROTOCOL_VERSION, QueryId, Request, Response, Sender};
use kademlia_dynamic::{Codec, NodeId, Peer};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// So many that 20 of them enter any table, however they fall into its buckets.
const PEERS: usize = 32;
/// Peers that an answer names.
const NAMED: usize = 20;

/// Peers on sockets of this process. They end with this handle.
#[derive(Debug)]
pub(super) struct FakePeers {
    codec: Codec,
    peers: Vec<(Peer, Arc<UdpSocket>)>,
    tasks: Vec<JoinHandle<io::Result<()>>>,
}

impl FakePeers {
    /// Peers on addresses like `node`, which serve from now on.
    pub(super) async fn start(codec: Codec, node: SocketAddr) -> io::Result<Self> {
        let mut peers = Vec::new();
        for n in 0..PEERS {
            let socket = UdpSocket::bind((node.ip(), 0)).await?;
            peers.push((Peer::new(NodeId::of_key(&format!("peer {n}")), socket.local_addr()?), Arc::new(socket)));
        }
        let named: Arc<[Peer]> = peers.iter().take(NAMED).map(|(peer, _)| *peer).collect();
        let serve =
            |(peer, socket): &(Peer, Arc<UdpSocket>)| tokio::spawn(serve(codec, *peer, socket.clone(), named.clone()));
        let tasks = peers.iter().map(serve).collect();
        Ok(Self { codec, peers, tasks })
    }

    /// Lets each of them send a query to `node`, which then pings it, and inserts it if it answers.
    pub(super) async fn introduce(&self, node: SocketAddr) -> io::Result<()> {
        for (n, (peer, socket)) in self.peers.iter().enumerate() {
            let query =
                message(QueryId::from_u64(n as u64), *peer, Body::Request(Request::FindNode { target: peer.id }));
            socket.send_to(&written(self.codec, &query), node).await?;
        }
        Ok(())
    }
}

impl Drop for FakePeers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(codec: Codec, own: Peer, socket: Arc<UdpSocket>, named: Arc<[Peer]>) -> io::Result<()> {
    let mut datagram = vec![0; 1 << 16];
    loop {
        let (len, from) = socket.recv_from(&mut datagram).await?;
        let Ok(Message { id, body: Body::Request(request), .. }) = codec.decode(&datagram[..len]) else { continue };
        let response = match request {
            Request::Ping => Response::Pong,
            Request::FindNode { .. } => Response::FindNode { peers: named.to_vec() },
            _ => continue,
        };
        socket.send_to(&written(codec, &message(id, own, Body::Response(response))), from).await?;
    }
}

fn message(id: QueryId, own: Peer, body: Body) -> Message {
    Message { id, sender: Sender::new(Some(own.id), own.addr), version: Some(PROTOCOL_VERSION), token: None, body }
}

fn written(codec: Codec, message: &Message) -> Vec<u8> {
    codec.encode(message).expect("a message with 20 peers fits a datagram")
}
