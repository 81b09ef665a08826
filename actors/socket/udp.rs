//! The UDP socket as a [`Transport`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};

use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::peer::canonical;
use socket2::{Domain, Protocol, Socket, Type};
#[cfg(target_os = "linux")]
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::transport::{Datagram, Sent, Transport};
#[cfg(target_os = "linux")]
use super::{losses::Losses, packet_info};

/// The longest datagram there is.
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
    buffer: RefCell<Vec<u8>>,
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
            buffer: RefCell::new(vec![0; LONGEST]),
        })
    }

    /// Receives a datagram, and the address that it came to where that is known.
    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, Option<IpAddr>)> {
        #[cfg(target_os = "linux")]
        if self.everywhere {
            return self.socket.try_io(Interest::READABLE, || packet_info::receive(&self.socket, buffer));
        }
        self.socket.try_recv_from(buffer).map(|(len, addr)| (len, addr, None))
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
        let mut buffer = self.buffer.borrow_mut();
        let before = batch.len();
        // Not `poll_recv_from`: it says that nothing has come when this task has read enough by tokio's measure.
        while batch.len() < before + max {
            match self.try_receive(&mut buffer) {
                Ok((len, addr, local)) => {
                    batch.push(Datagram { addr: canonical(addr), local, payload: buffer[..len].to_vec() });
                }
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
            match ready!(self.poll_send_one(cx, next)) {
                Ok(_) => report.sent += 1,
                Err(error) => {
                    tracing::debug!(to = %next.addr, %error, "not sent");
                    report.failed += 1;
                }
            }
            batch.pop_front();
        }
        Poll::Ready(())
    }
}
