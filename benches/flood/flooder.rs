//! Strangers, in a process of their own: they send what strangers send, at a given rate, and read no answers.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::message::{Body, Message, PROTOCOL_VERSION, QueryId, Request, Response, Sender};
use kademlia_dynamic::{Codec, NodeId};

/// The argument that makes this program a flooder.
pub(crate) const ROLE: &str = "--flooder";
/// How many strangers there are: an address each.
const STRANGERS: usize = 64;
/// Different datagrams.
pub(crate) const DATAGRAMS: usize = 64 * STRANGERS;

/// What a flooder sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sent {
    /// Datagrams that the system took.
    pub(crate) sent: u64,
    /// In this time.
    pub(crate) seconds: f64,
}

pub(crate) struct Flooder(Child);

/// Starts one.
pub(crate) fn start(to: SocketAddr, rate: u32, time: Duration) -> Flooder {
    let program = std::env::current_exe().expect("this program is a file");
    let args = [ROLE.to_owned(), to.to_string(), rate.to_string(), time.as_millis().to_string()];
    Flooder(Command::new(program).args(args).stdout(Stdio::piped()).spawn().expect("it starts"))
}

impl Flooder {
    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Sent {
        let mut text = String::new();
        self.0.stdout.take().expect("it is piped").read_to_string(&mut text).expect("it ends");
        self.0.wait().expect("it ends");
        let mut words = text.split_whitespace();
        let mut word = || words.next().expect("two numbers");
        Sent { sent: word().parse().expect("a number"), seconds: word().parse().expect("a number") }
    }
}

/// Floods `to`, and says on standard output how many datagrams went out in which time.
pub(crate) fn flood(to: SocketAddr, rate: u32, time: Duration) {
    let bind = |host: usize| UdpSocket::bind((Ipv4Addr::new(127, 0, 1, host as u8 + 1), 0)).expect("a free port");
    let strangers: Vec<UdpSocket> = (0..STRANGERS).map(bind).collect();
    let addrs: Vec<SocketAddr> = strangers.iter().map(|from| from.local_addr().expect("it is bound")).collect();
    let mut entropy = SeededEntropy::new(1);
    let datagrams: Vec<Vec<u8>> =
        (0..DATAGRAMS).map(|n| datagram(n as u64, addrs[n % STRANGERS], &mut entropy)).collect();
    let (start, mut sent, mut next) = (Instant::now(), 0, 0);
    while start.elapsed() < time {
        let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as usize;
        while next < due {
            let taken = strangers[next % STRANGERS].send_to(&datagrams[next % DATAGRAMS], to);
            sent += u64::from(taken.is_ok());
            next += 1;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    println!("{sent} {}", start.elapsed().as_secs_f64());
}

/// Of twenty: 7 pings, 7 for nodes, 3 for values, one write, one answer that was not asked for, one that is no message. Half
/// of the queries are by a sender that names an id of its own, each another.
pub(crate) fn datagram(n: u64, from: SocketAddr, entropy: &mut SeededEntropy) -> Vec<u8> {
    let mut random = || {
        let mut id = [0; 20];
        entropy.fill(&mut id);
        NodeId::from_bytes(id)
    };
    let (known, target) = (random(), random());
    // Not the number of the stranger, which sends each 64th.
    let kind = n / STRANGERS as u64 % 20;
    let id = n.is_multiple_of(2).then_some(known);
    let body = match kind {
        0..7 => Body::Request(Request::Ping),
        7..14 => Body::Request(Request::FindNode { target }),
        14..17 => Body::Request(Request::FindValue { key: format!("absent {n}").into() }),
        17 => {
            let value = Arc::new("x".repeat(200).into());
            Body::Request(Request::Set { key: format!("foreign {n}").into(), value, ttl: None, age: None })
        }
        18 => Body::Response(Response::Pong),
        _ => return b"{\"type\": \"ping\", \"query_id\": ".to_vec(),
    };
    let sender = Sender::new(id, from);
    let message = Message { id: QueryId::from_u64(n), sender, version: Some(PROTOCOL_VERSION), token: None, body };
    Codec::Json.encode(&message).expect("it fits")
}
