//! What is at the node while it is measured: slow HTTP clients, watched keys, a flood of datagrams. It comes from a thread of its
//! own, until it is stopped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;
use std::time::Duration;

use kademlia_dynamic::protocol::message::{Body, Message, PROTOCOL_VERSION, QueryId, Request, Sender};
use kademlia_dynamic::{Codec, NodeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

use super::args::StressArgs;
use crate::failure::{Exit, Failure};
use crate::process::Http;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a client that reads nothing stays: longer than the node bears it.
const UNREAD: Duration = Duration::from_secs(30);
/// How often the flood sends what has become due.
const BEAT: Duration = Duration::from_millis(1);
/// How much nicer the thread of the attack is than what is measured.
#[cfg(target_os = "linux")]
const NICER: i32 = 10;
/// Sockets of the flood.
const SOCKETS: u64 = 8;

/// What is at the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    slow: bool,
    watched: bool,
    flood: bool,
}

impl Kind {
    /// The rows, in their order.
    pub(super) const ALL: [Self; 5] = [
        Self { name: "nothing else", slow: false, watched: false, flood: false },
        Self { name: "slow HTTP clients", slow: true, watched: false, flood: false },
        Self { name: "watched keys", slow: false, watched: true, flood: false },
        Self { name: "a flood of datagrams", slow: false, watched: false, flood: true },
        Self { name: "all of that", slow: true, watched: true, flood: true },
    ];
}

/// The node that is attacked.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) udp: SocketAddr,
    pub(super) id: NodeId,
    pub(super) http: Http,
}

/// An attack that goes on.
#[derive(Debug)]
pub(super) struct Attack {
    _stop: oneshot::Sender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Attack {
    /// Begins it. The watch has been accepted when this returns; the clients connect.
    pub(super) async fn begin(kind: Kind, target: Target, args: StressArgs) -> Result<Self, Failure> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, begun) = oneshot::channel();
        let thread = std::thread::Builder::new().name("attack".to_owned()).spawn(move || {
            give_way()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, attack(kind, target, args, ready, stopped))
        });
        let thread = thread.map_err(|error| failed(&error))?;
        let attack = Self { _stop: stop, thread };
        match begun.await {
            Ok(()) => Ok(attack),
            Err(_) => Err(attack.end().err().unwrap_or_else(|| failed(&io::Error::other("it has ended")))),
        }
    }

    /// Ends it, and its connections.
    pub(super) fn end(self) -> Result<(), Failure> {
        let Self { _stop: stop, thread } = self;
        drop(stop);
        let ended = thread.join().map_err(|_| Failure::new(Exit::Internal, "the attack panicked"))?;
        ended.map_err(|error| failed(&error))
    }
}

/// Has the node and its reader go before this thread: attackers have machines of their own.
fn give_way() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::nice(NICER)?;
    Ok(())
}

fn failed(error: &io::Error) -> Failure {
    Failure::new(Exit::System, format!("the attack failed: {error}"))
}

async fn attack(
    kind: Kind,
    target: Target,
    args: StressArgs,
    ready: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let watch = if kind.watched { Some(watch(&target.http, args.watched).await?) } else { None };
    if let Some(stream) = watch {
        tokio::task::spawn_local(read_all(stream));
    }
    for number in 0..if kind.slow { args.slow_clients } else { 0 } {
        tokio::task::spawn_local(slow_client(target.http.clone(), number));
    }
    if kind.flood {
        tokio::task::spawn_local(flood(target, args.flood));
    }
    if ready.send(()).is_ok() {
        let _ = stopped.await;
    }
    Ok(())
}

fn request(http: &Http, line: &str, body: &str) -> String {
    let Http { addr, token } = http;
    let length = body.len();
    format!(
        "{line} HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// A stream of the changes of so many keys that no node holds.
async fn watch(http: &Http, keys: u64) -> io::Result<TcpStream> {
    let keys: Vec<String> = (0..keys).map(|n| format!("watched {n}")).collect();
    let body = serde_json::json!({ "keys": keys }).to_string();
    let mut stream = TcpStream::connect(http.addr).await?;
    stream.write_all(request(http, "POST /v1/watch", &body).as_bytes()).await?;
    let mut status = [0; 12];
    timeout(CONNECT, stream.read_exact(&mut status)).await??;
    match &status {
        b"HTTP/1.1 200" => Ok(stream),
        other => Err(io::Error::other(format!("the watch was refused: {}", String::from_utf8_lossy(other)))),
    }
}

async fn read_all(mut stream: TcpStream) -> io::Result<()> {
    let mut read = vec![0; 1 << 16];
    while stream.read(&mut read).await? > 0 {}
    Ok(())
}

/// Connects again and again, and is slow.
async fn slow_client(http: Http, number: u64) {
    loop {
        // That it is refused or ended is what is to be expected.
        if let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(http.addr)).await {
            let _ = match number % 3 {
                0 => send_slowly(stream, &http).await,
                1 => read_slowly(stream, &http).await,
                _ => read_nothing(stream, &http).await,
            };
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn send_slowly(mut stream: TcpStream, http: &Http) -> io::Result<()> {
    for byte in request(http, "GET /v1/node", "").bytes() {
        stream.write_all(&[byte]).await?;
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// The answer is a list of 1,000 keys, which the node holds.
async fn read_slowly(mut stream: TcpStream, http: &Http) -> io::Result<()> {
    stream.write_all(request(http, "GET /v1/values?limit=1000", "").as_bytes()).await?;
    while stream.read_u8().await.is_ok() {
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Without reading it does not see when the connection ends.
async fn read_nothing(mut stream: TcpStream, http: &Http) -> io::Result<()> {
    stream.write_all(request(http, "GET /v1/values?limit=1000", "").as_bytes()).await?;
    sleep(UNREAD).await;
    Ok(())
}

/// Sends `rate` datagrams a second: pings under the node's own id, which enter no table, and what is no message.
async fn flood(target: Target, rate: u64) -> io::Result<()> {
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(target.udp).await?;
        let body = Body::Request(Request::Ping);
        let sender = Sender::new(Some(target.id), socket.local_addr()?);
        let ping = Message { id: QueryId::from_u64(7), sender, version: Some(PROTOCOL_VERSION), token: None, body };
        sockets.push((socket, Codec::default().encode(&ping).map_err(io::Error::other)?));
    }
    let (begun, mut sent, mut answer) = (Instant::now(), 0_u64, [0; 2_048]);
    loop {
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        while sent < due {
            let (socket, ping) = &sockets[(sent / 2 % SOCKETS) as usize];
            let datagram = if sent.is_multiple_of(2) { ping.as_slice() } else { b"no message of any wire" };
            // Where the system takes no more, it is lost.
            let _ = socket.try_send(datagram);
            while socket.try_recv(&mut answer).is_ok() {}
            sent += 1;
        }
        sleep(BEAT).await;
    }
}
