//! Load on one UDP address, over connected sockets: a window of requests in flight. What the datagrams say is the caller's
//! business.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::failure::{Exit, Failure};

/// Requests in flight.
pub(super) const WINDOW: usize = 64;
/// If nothing comes for so long, what is in flight from that socket is lost.
pub(super) const SILENCE: Duration = Duration::from_millis(500);
/// How many times a single request is sent.
const TRIES: usize = 10;
/// Of how many answers one is read.
pub(super) const READ_OF: usize = 64;

/// Sockets that are connected to one address.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) to: SocketAddr,
    sockets: Vec<UdpSocket>,
}

/// What a row's load came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) elapsed: Duration,
    /// Requests that were not answered.
    pub(super) lost: usize,
}

/// Requests, and the check of their answers.
pub(super) trait Traffic {
    /// Request number `n`, sent from `from`.
    fn request(&self, n: u64, from: SocketAddr) -> Vec<u8>;
    /// Whether it is answered by this datagram.
    fn is_answer(&self, datagram: &[u8]) -> bool;
}

impl Load {
    /// So many sockets.
    pub(super) async fn connect(to: SocketAddr, sockets: usize) -> Result<Self, Failure> {
        let own: IpAddr = if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        let connect = || async move {
            let socket = UdpSocket::bind((own, 0)).await?;
            socket.connect(to).await?;
            Ok(socket)
        };
        let sockets = try_join_all((0..sockets).map(|_| connect())).await.map_err(|error| cannot(to, &error))?;
        Ok(Self { to, sockets })
    }

    /// The sockets.
    pub(super) fn sockets(&self) -> &[UdpSocket] {
        &self.sockets
    }

    /// The address of the socket that [asks](Load::ask).
    pub(super) fn addr(&self) -> Result<SocketAddr, Failure> {
        self.sockets[0].local_addr().map_err(|error| cannot(self.to, &error))
    }

    /// Sends request number `n` until it is answered, and returns the answer.
    pub(super) async fn ask(&self, traffic: &impl Traffic, n: u64) -> Result<Vec<u8>, Failure> {
        self.ask_from(&self.sockets[0], traffic, n).await
    }

    /// The same from this socket.
    pub(super) async fn ask_from(
        &self,
        socket: &UdpSocket,
        traffic: &impl Traffic,
        n: u64,
    ) -> Result<Vec<u8>, Failure> {
        let ask = async {
            let request = traffic.request(n, socket.local_addr()?);
            let mut answer = vec![0; 1 << 16];
            for _ in 0..TRIES {
                socket.send(&request).await?;
                while let Ok(received) = timeout(SILENCE, socket.recv(&mut answer)).await {
                    let len = received?;
                    if traffic.is_answer(&answer[..len]) {
                        return Ok(Some(answer[..len].to_vec()));
                    }
                }
            }
            Ok(None)
        };
        let answer = ask.await.map_err(|error| cannot(self.to, &error))?;
        answer.ok_or_else(|| {
            Failure::new(Exit::Internal, format!("no valid answer from {}; is it on this wire?", self.to))
        })
    }

    /// Sends the requests numbered `from` on, so many.
    pub(super) async fn run(&self, traffic: &impl Traffic, from: u64, requests: u64) -> Result<Run, Failure> {
        let next = Cell::new(from);
        let begun = Instant::now();
        let window = WINDOW / self.sockets.len();
        let loads = self.sockets.iter().map(|socket| send_all(socket, window, traffic, &next, from + requests));
        let lost = try_join_all(loads).await.map_err(|error| cannot(self.to, &error))?;
        Ok(Run { elapsed: begun.elapsed(), lost: lost.into_iter().sum() })
    }
}

pub(super) fn cannot(to: SocketAddr, error: &io::Error) -> Failure {
    Failure::new(Exit::System, format!("cannot exchange datagrams with {to}: {error}"))
}

/// Keeps one socket's part of the window in flight, and returns how many requests were not answered.
async fn send_all(
    socket: &UdpSocket,
    window: usize,
    traffic: &impl Traffic,
    next: &Cell<u64>,
    end: u64,
) -> io::Result<usize> {
    let own = socket.local_addr()?;
    let mut answer = vec![0; 1 << 16];
    let (mut in_flight, mut received, mut lost) = (0, 0, 0);
    loop {
        while in_flight < window && next.get() < end {
            let n = next.replace(next.get() + 1);
            socket.send(&traffic.request(n, own)).await?;
            in_flight += 1;
        }
        if in_flight == 0 {
            return Ok(lost);
        }
        match timeout(SILENCE, socket.readable()).await {
            Ok(readable) => readable?,
            Err(_) => lost += std::mem::take(&mut in_flight),
        }
        while in_flight > 0 {
            match socket.try_recv(&mut answer) {
                Ok(len) => {
                    in_flight -= 1;
                    received += 1;
                    if received % READ_OF == 1 && !traffic.is_answer(&answer[..len]) {
                        return Err(io::Error::other("an answer is not what it should be"));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
}
