//! A ping to the node of this process over UDP, which passes its socket and its dispatcher as any other does. The watchdog is
//! fed only while it is answered.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;

use crate::actors::counters::Counter;
use crate::actors::node::Node;
use crate::protocol::codec::Codec;
use crate::protocol::config::DenyList;
use crate::protocol::message::{Body, Message, PROTOCOL_VERSION, QueryId, Request, Response, Sender};

/// The longest answer to a ping, with room to spare.
const LONGEST: usize = 1_024;

/// A stranger to the node: a socket of its own, connected to it.
#[derive(Debug)]
pub(super) struct Stranger {
    socket: UdpSocket,
    codec: Codec,
    asked: AtomicU64,
}

impl Stranger {
    /// A stranger to `node`. `None`, with a line in the log, where the system gives no socket, or the node takes nothing from
    /// its address because that is in `deny`.
    pub(super) async fn to(node: &Node, deny: &DenyList) -> Option<Self> {
        let to = reach(node.local_addr());
        let any = if to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        let connect = async {
            let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
            socket.connect(to).await?;
            io::Result::Ok((socket.local_addr()?.ip(), socket))
        };
        match connect.await {
            Ok((ip, _)) if deny.contains(&ip) => {
                tracing::info!(%ip, "the watchdog asks the node from within only: the setting deny has its address");
                None
            }
            Ok((_, socket)) => Some(Self { socket, codec: node.codec(), asked: AtomicU64::new(0) }),
            Err(error) => {
                tracing::warn!(%error, "the watchdog asks the node from within only: it has no socket");
                None
            }
        }
    }

    /// Whether the node answers within `patience`, be it this query or another: in a flood this one may be dropped, and a
    /// node that answers others is alive.
    pub(super) async fn is_answered(&self, node: &Node, patience: Duration) -> bool {
        let before = node.counters().get(Counter::Answered);
        let asked = tokio::time::timeout(patience, self.ask());
        matches!(asked.await, Ok(Ok(()))) || node.counters().get(Counter::Answered) > before
    }

    async fn ask(&self) -> io::Result<()> {
        let id = QueryId::from_u64(self.asked.fetch_add(1, Ordering::Relaxed));
        // Without a node id it is answered and not inserted (docs/wire.md, 2.4).
        let sender = Sender::new(None, self.socket.local_addr()?);
        let ping =
            Message { id, sender, version: Some(PROTOCOL_VERSION), token: None, body: Body::Request(Request::Ping) };
        let payload = self.codec.encode(&ping).map_err(io::Error::other)?;
        self.socket.send(&payload).await?;
        let mut buffer = [0; LONGEST];
        loop {
            let len = self.socket.recv(&mut buffer).await?;
            let answer = self.codec.decode(&buffer[..len]);
            if answer.is_ok_and(|answer| answer.id == id && answer.body == Body::Response(Response::Pong)) {
                return Ok(());
            }
        }
    }
}

/// Where a node that is bound to `addr` is reached from this machine.
pub(super) fn reach(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_answers_in_each_wire_and_one_that_has_stopped_does_not() {
        for codec in Codec::ALL {
            let node = Node::builder().bind("0.0.0.0:0").codec(codec).start().await.unwrap();
            let stranger = Stranger::to(&node, &DenyList::EMPTY).await.unwrap();
            for _ in 0..2 {
                assert!(stranger.is_answered(&node, Duration::from_secs(60)).await, "{codec}");
            }
            assert_eq!(node.snapshot().await.unwrap().table.peers, 0, "it is not inserted");
            node.stop().await;
            assert!(!stranger.is_answered(&node, Duration::from_millis(50)).await, "{codec}");
        }
    }
}
