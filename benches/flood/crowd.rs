//! The peers of the flooded node: on a thread of their own, with a count of what they send to it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll};

use kademlia_dynamic::actors::transport::UdpTransport;
use kademlia_dynamic::actors::transport::{Datagram, Sent, Transport};
use kademlia_dynamic::{Config, Node};

/// Values that the node reads in turn, held by it and by others each.
const VALUES: usize = 100;

pub(crate) struct Crowd {
    nodes: Vec<Node>,
    sent: Arc<AtomicU64>,
}

/// The keys that are read.
pub(crate) struct Keys {
    /// Of values that the node holds.
    pub(crate) here: Vec<String>,
    /// Of values that only others hold.
    pub(crate) elsewhere: Vec<String>,
}

/// The value of `key`.
pub(crate) fn value(key: &str) -> String {
    format!("the value of {key}")
}

impl Crowd {
    /// `size` peers that know each other. What they send to `counted` is counted.
    pub(crate) fn gather(size: usize, config: Config, counted: SocketAddr) -> Self {
        let sent = Arc::new(AtomicU64::new(0));
        let (ready, gathered) = mpsc::channel();
        let to_it = sent.clone();
        std::thread::spawn(move || {
            actix::System::new().block_on(async move {
                let mut nodes: Vec<Node> = Vec::new();
                for _ in 0..size {
                    let inner = UdpTransport::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
                    let builder = Node::builder().config(config.clone()).bootstrap(nodes.first().map(Node::local_addr));
                    let transport = Counting { inner, counted, sent: to_it.clone() };
                    nodes.push(builder.start_local_over(transport).await.expect("it starts"));
                }
                let _ = ready.send(nodes.clone());
                for node in nodes {
                    node.stopped().await;
                }
            });
        });
        Self { nodes: gathered.recv().expect("they start"), sent }
    }

    /// Whom to join through.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.nodes[0].local_addr()
    }

    /// Datagrams that went to the node so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sets values: some by `node`, and others that it does not get to hold.
    pub(crate) async fn keys(&self, node: &Node) -> Keys {
        let mut keys = Keys { here: Vec::new(), elsewhere: Vec::new() };
        for number in 0..VALUES {
            let key = format!("here {number}");
            let _ = node.set(&key, value(&key)).await.expect("it is set");
            keys.here.push(key);
        }
        for number in 0.. {
            let key = format!("elsewhere {number}");
            let _ = self.nodes[number % self.nodes.len()].set(&key, value(&key)).await.expect("it is set");
            if node.copy_of(&key).await.expect("it runs").is_none() {
                keys.elsewhere.push(key);
            }
            if keys.elsewhere.len() == VALUES {
                break;
            }
        }
        keys
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.nodes.iter().for_each(|node| node.actor().do_send(kademlia_dynamic::actors::requests::Stop));
    }
}

struct Counting {
    inner: UdpTransport,
    counted: SocketAddr,
    sent: Arc<AtomicU64>,
}

impl Transport for Counting {
    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    fn poll_receive(&self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>, max: usize) -> Poll<io::Result<()>> {
        self.inner.poll_receive(cx, batch, max)
    }

    fn poll_send(&self, cx: &mut Context<'_>, batch: &mut VecDeque<Datagram>, report: &mut Sent) -> Poll<()> {
        let to_it = |batch: &VecDeque<Datagram>| batch.iter().filter(|datagram| datagram.addr == self.counted).count();
        let (before, failed) = (to_it(batch), report.failed);
        let outcome = self.inner.poll_send(cx, batch, report);
        assert_eq!(report.failed, failed, "loopback takes them all");
        self.sent.fetch_add((before - to_it(batch)) as u64, Ordering::Relaxed);
        outcome
    }
}
