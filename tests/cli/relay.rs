//! A relay that loses datagrams, as lines do: what comes to its port goes on to a node, and the answers go back.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};

/// Which datagrams a relay loses.
#[derive(Clone, Copy)]
pub(crate) enum Loses {
    /// This part of them, each way.
    Part(f64),
    /// The first of each sender.
    First,
}

/// It forwards until it is dropped. To the node each sender is a port of the relay's own.
pub(crate) struct Relay {
    pub(crate) addr: String,
    over: Arc<AtomicBool>,
    forwarding: Option<JoinHandle<()>>,
}

impl Relay {
    pub(crate) fn start(to: &str, loses: Loses, seed: u64) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let addr = socket.local_addr().unwrap().to_string();
        let over = Arc::new(AtomicBool::new(false));
        let (to, ends) = (to.parse().unwrap(), over.clone());
        let forwarding = std::thread::spawn(move || forward(&socket, to, loses, SeededEntropy::new(seed), &ends));
        Self { addr, over, forwarding: Some(forwarding) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(forwarding) = self.forwarding.take() {
            let _ = forwarding.join();
        }
    }
}

fn forward(socket: &UdpSocket, to: SocketAddr, loses: Loses, mut entropy: SeededEntropy, over: &AtomicBool) {
    let mut senders: HashMap<SocketAddr, UdpSocket> = HashMap::new();
    let mut datagram = [0; 65_536];
    while !over.load(Ordering::Relaxed) {
        if let Ok((len, from)) = socket.recv_from(&mut datagram) {
            let is_first = !senders.contains_key(&from);
            let on = senders.entry(from).or_insert_with(|| {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.set_nonblocking(true).unwrap();
                socket.connect(to).unwrap();
                socket
            });
            let lost = match loses {
                Loses::Part(part) => entropy.unit() < part,
                Loses::First => is_first,
            };
            if !lost {
                let _ = on.send(&datagram[..len]);
            }
        }
        for (from, on) in &senders {
            while let Ok(len) = on.recv(&mut datagram) {
                if !matches!(loses, Loses::Part(part) if entropy.unit() < part) {
                    let _ = socket.send_to(&datagram[..len], from);
                }
            }
        }
    }
}
