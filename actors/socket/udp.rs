//! The UDP socket as a [`Transport`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::peer::canonical;
use socket2::{Domain, Protocol, Socket, Type};
#[cfg(target_os = "linux")]
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::transport::{Datagram, Sent, Transport};
#[cfg(target_os = "linux")]
use super::{
    batches::{BATCH, Batches},
    losses::Losses,
    packet_info,
};

/// The longest datagram there is.
#[cfg(not(target_os = "linux"))]
const LONGEST: usize = 65_535;

/// The families of addresses that a socket can send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Families {
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// IPv6, and IPv4 in its IPv6-mapped form.
    Both,
}

/// A bound UDP socket.
#[derive(Debug)]
pub struct UdpTransport {
    socket: UdpSocket,
    local: SocketAddr,
    /// The families that it can send to.
    families: Families,
    /// Whether it is bound to all addresses of the machine, so that each datagram names the one that it belongs to.
    #[cfg(target_os = "linux")]
    everywhere: bool,
    #[cfg(not(target_os = "linux"))]
    buffer: RefCell<Vec<u8>>,
    #[cfg(target_os = "linux")]
    batches: RefCell<Batches>,
    #[cfg(target_os = "linux")]
    losses: RefCell<Option<Losses>>,
}

impl UdpTransport {
    /// Binds `addr`; port 0 is any free one. A port in use is an error: addresses are not shared. `[::]` is all addresses of
    /// both families, where the system can do that. The system is asked for a receive buffer of
    /// [`receive_buffer`](kademlia_dynamic::protocol::config::LimitsConfig::receive_buffer) bytes.
    ///
    /// # Errors
    /// What the system says, above all [`io::ErrorKind::AddrInUse`]. It must be called within a tokio runtime.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        Self::bind_with(addr, Config::DEFAULT.limits.receive_buffer)
    }

    /// As [`UdpTransport::bind`], with a receive buffer of `receive_buffer` bytes, or as much of it as the system gives.
    ///
    /// # Errors
    /// As [`UdpTransport::bind`].
    pub fn bind_with(addr: SocketAddr, receive_buffer: usize) -> io::Result<Self> {
        // A mapped address is one of IPv4. One of IPv6 keeps its scope.
        let addr = if canonical(addr).is_ipv4() { canonical(addr) } else { addr };
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // Less than asked for is no reason not to start.
        let _ = socket.set_recv_buffer_size(receive_buffer);
        if let Ok(given) = socket.recv_buffer_size()
            && given < receive_buffer
        {
            let hint = if cfg!(target_os = "linux") { " (net.core.rmem_max)" } else { "" };
            tracing::info!(given, asked = receive_buffer, "the system gives a smaller receive buffer{hint}");
        }
        let families = match addr {
            SocketAddr::V4(_) => Families::V4,
            SocketAddr::V6(all) if all.ip().is_unspecified() && socket.set_only_v6(false).is_ok() => Families::Both,
            SocketAddr::V6(_) => Families::V6,
        };
        socket.bind(&addr.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let local = socket.local_addr()?;
        Ok(Self {
            #[cfg(target_os = "linux")]
            losses: RefCell::new(Losses::of(&socket, local.is_ipv6())),
            #[cfg(target_os = "linux")]
            everywhere: local.ip().is_unspecified() && packet_info::enable(&socket, local.is_ipv6()).is_ok(),
            socket,
            local,
            families,
            #[cfg(not(target_os = "linux"))]
            buffer: RefCell::new(vec![0; LONGEST]),
            #[cfg(target_os = "linux")]
            batches: RefCell::new(Batches::new()),
        })
    }

    /// Appends what has come, at most `max` datagrams.
    #[cfg(target_os = "linux")]
    fn try_receive(&self, batch: &mut Vec<Datagram>, max: usize) -> io::Result<()> {
        let before = batch.len();
        let received = self.socket.try_io(Interest::READABLE, || {
            let take = |addr, local, payload: &[u8]| {
                batch.push(Datagram { addr: canonical(addr), local, payload: payload.to_vec() });
            };
            let asked = max.min(BATCH);
            let count = self.batches.borrow_mut().receive(&self.socket, asked, self.everywhere, take)?;
            // Fewer than were asked for: that was all, and to say so now saves the call that would find nothing.
            if count < asked { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        if batch.len() > before { Ok(()) } else { received }
    }

    /// Appends a datagram.
    #[cfg(not(target_os = "linux"))]
    fn try_receive(&self, batch: &mut Vec<Datagram>, _: usize) -> io::Result<()> {
        let mut buffer = self.buffer.borrow_mut();
        let (len, addr) = self.socket.try_recv_from(&mut buffer)?;
        batch.push(Datagram { addr: canonical(addr), local: None, payload: buffer[..len].to_vec() });
        Ok(())
    }

    /// Sends the first datagrams of `batch`, as many as one call takes, and says how many that were.
    #[cfg(target_os = "linux")]
    fn poll_send_some(&self, cx: &mut Context<'_>, batch: &VecDeque<Datagram>) -> Poll<io::Result<usize>> {
        let Some(first) = batch.front() else { return Poll::Ready(Ok(0)) };
        while batch.len() > 1 {
            let from = first.local.filter(|_| self.everywhere);
            let send = || self.batches.borrow_mut().send(&self.socket, batch, from, |addr| self.spelled(addr));
            match self.socket.try_io(Interest::WRITABLE, send) {
                Ok(sent) => return Poll::Ready(Ok(sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.socket.poll_send_ready(cx))?,
                // It is about the first alone.
                Err(_) => break,
            }
        }
        self.poll_send_one(cx, first).map_ok(|_| 1)
    }

    /// Sends the first datagram of `batch`.
    #[cfg(not(target_os = "linux"))]
    fn poll_send_some(&self, cx: &mut Context<'_>, batch: &VecDeque<Datagram>) -> Poll<io::Result<usize>> {
        batch.front().map_or(Poll::Ready(Ok(0)), |first| self.poll_send_one(cx, first).map_ok(|_| 1))
    }

    /// Sends a datagram, from the address that it names if that can be.
    fn poll_send_one(&self, cx: &mut Context<'_>, datagram: &Datagram) -> Poll<io::Result<usize>> {
        let to = self.spelled(datagram.addr);
        #[cfg(target_os = "linux")]
        if let Some(from) = datagram.local.filter(|_| self.everywhere) {
            loop {
                let send = || packet_info::send(&self.socket, &datagram.payload, to, from);
                match self.socket.try_io(Interest::WRITABLE, send) {
                    Ok(len) => return Poll::Ready(Ok(len)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready!(self.socket.poll_send_ready(cx))?;
                    }
                    // The machine may have lost the address: better from another one than not at all.
                    Err(_) => break,
                }
            }
        }
        self.socket.poll_send_to(cx, &datagram.payload, to)
    }

    /// `addr` as the system wants it: a socket of IPv6 takes IPv4 addresses in their mapped form alone.
    fn spelled(&self, addr: SocketAddr) -> SocketAddr {
        match addr {
            SocketAddr::V4(v4) if self.local.is_ipv6() => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
            addr => addr,
        }
    }
}

impl Transport for UdpTransport {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn poll_receive(&self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>, max: usize) -> Poll<io::Result<()>> {
        let before = batch.len();
        // Not `poll_recv_from`: it says that nothing has come when this task has read enough by tokio's measure.
        while batch.len() < before + max {
            match self.try_receive(batch, before + max - batch.len()) {
                Ok(()) => {}
                Err(_) if batch.len() > before => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.socket.poll_recv_ready(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn speaks_family_of(&self, addr: &SocketAddr) -> bool {
        match self.families {
            Families::V4 => canonical(*addr).is_ipv4(),
            Families::V6 => canonical(*addr).is_ipv6(),
            Families::Both => true,
        }
    }

    fn check_reach(&self, addr: &SocketAddr) -> io::Result<()> {
        if !self.speaks_family_of(addr) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the socket does not speak its family"));
        }
        // To connect a UDP socket sends nothing: the system looks for a way from the one address to the other.
        let trial = std::net::UdpSocket::bind(SocketAddr::new(self.local.ip(), 0))?;
        trial.connect(self.spelled(*addr))
    }

    #[cfg(target_os = "linux")]
    fn lost(&self) -> Option<u64> {
        self.losses.borrow_mut().as_mut().map(Losses::total)
    }

    fn poll_send(&self, cx: &mut Context<'_>, batch: &mut VecDeque<Datagram>, report: &mut Sent) -> Poll<()> {
        while let Some(next) = batch.front() {
            match ready!(self.poll_send_some(cx, batch)) {
                Ok(sent) => {
                    report.sent += sent;
                    report.spare.extend(batch.drain(..sent).map(|datagram| datagram.payload));
                }
                Err(error) => {
                    tracing::debug!(to = %next.addr, %error, "not sent");
                    report.failed += 1;
                    batch.pop_front();
                }
            }
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn bound(to: &str) -> UdpTransport {
        UdpTransport::bind(to.parse().unwrap()).unwrap()
    }

    async fn sent(from: &UdpTransport, batch: Vec<Datagram>) -> Sent {
        let (mut batch, mut report) = (VecDeque::from(batch), Sent::default());
        poll_fn(|cx| from.poll_send(cx, &mut batch, &mut report)).await;
        assert!(batch.is_empty());
        report
    }

    /// So many datagrams, in the order in which they came.
    async fn received(at: &UdpTransport, count: usize) -> Vec<Datagram> {
        let mut batch = Vec::new();
        while batch.len() < count {
            let before = batch.len();
            poll_fn(|cx| at.poll_receive(cx, &mut batch, 20)).await.unwrap();
            assert!((before + 1..=before + 20).contains(&batch.len()));
        }
        batch
    }

    #[tokio::test]
    async fn many_datagrams_of_any_length_go_out_and_come_in_whole_and_in_order() {
        let (ours, theirs) = (bound("127.0.0.1:0"), bound("127.0.0.1:0"));
        for round in 0..3 {
            let payload = |n: usize| vec![n as u8; if n == 50 { 60_000 } else { n * round }];
            let batch = (0..100).map(|n| Datagram::new(theirs.local_addr(), payload(n))).collect();
            let report = sent(&ours, batch).await;
            assert_eq!((report.sent, report.failed, report.spare.len()), (100, 0, 100));
            let expected = (0..100).map(|n| Datagram::new(ours.local_addr(), payload(n)));
            assert_eq!(received(&theirs, 100).await, expected.collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn a_datagram_that_the_system_refuses_costs_no_other_one() {
        let (ours, theirs) = (bound("127.0.0.1:0"), bound("127.0.0.1:0"));
        let datagram = |n: usize| Datagram::new(theirs.local_addr(), vec![0; if n % 10 == 3 { 65_508 } else { n }]);
        let report = sent(&ours, (0..50).map(datagram).collect()).await;
        assert_eq!((report.sent, report.failed, report.spare.len()), (45, 5, 45));
        let lens: Vec<usize> = received(&theirs, 45).await.iter().map(|came| came.payload.len()).collect();
        assert_eq!(lens, (0..50).filter(|n| n % 10 != 3).collect::<Vec<_>>());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn answers_of_one_batch_leave_from_the_address_that_each_was_asked_at() {
        for everywhere in ["0.0.0.0:0", "[::]:0"] {
            let (ours, asker) = (bound(everywhere), bound("127.0.0.1:0"));
            let port = ours.local_addr().port();
            let at = |n: usize| SocketAddr::from(([127, 0, 0, 1 + (n / 8 % 2) as u8], port));
            let queries = (0..40).map(|n| Datagram::new(at(n), vec![n as u8])).collect();
            assert_eq!(sent(&asker, queries).await.sent, 40);
            let came = received(&ours, 40).await;
            assert!((0..40).all(|n| came[n].local == Some(at(n).ip()) && came[n].addr == asker.local_addr()));
            let report = sent(&ours, came).await;
            assert_eq!((report.sent, report.failed), (40, 0));
            let answers = received(&asker, 40).await;
            assert!((0..40).all(|n| answers[n] == Datagram::new(at(n), vec![n as u8])), "{everywhere}");
        }
    }
}
