//! The UDP socket as a [`Transport`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use kademlia_dynamic::protocol::peer::canonical;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::transport::{Datagram, Sent, Transport};

/// Asked of the system for bursts while the node is busy. The system may give less.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// The longest datagram there is.
const LONGEST: usize = 65_535;

/// A bound UDP socket.
#[derive(Debug)]
pub struct UdpTransport {
    socket: UdpSocket,
    local: SocketAddr,
    buffer: RefCell<Vec<u8>>,
}

impl UdpTransport {
    /// Binds `addr`; port 0 is any free one. A port in use is an error: addresses are not shared.
    ///
    /// # Errors
    /// What the system says, above all [`io::ErrorKind::AddrInUse`]. It must be called within a tokio runtime.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // Less than asked for is no reason not to start.
        if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
            tracing::debug!(%error, "the receive buffer keeps its size");
        }
        socket.bind(&addr.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local, buffer: RefCell::new(vec![0; LONGEST]) })
    }
}

impl Transport for UdpTransport {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn poll_receive(&self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>, max: usize) -> Poll<io::Result<()>> {
        let mut buffer = self.buffer.borrow_mut();
        for received in 0..max {
            let mut read = ReadBuf::new(&mut buffer);
            match self.socket.poll_recv_from(cx, &mut read) {
                Poll::Ready(Ok(addr)) => {
                    batch.push(Datagram { addr: canonical(addr), payload: read.filled().to_vec() });
                }
                Poll::Ready(Err(error)) if received == 0 => return Poll::Ready(Err(error)),
                Poll::Pending if received == 0 => return Poll::Pending,
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_send(&self, cx: &mut Context<'_>, batch: &mut VecDeque<Datagram>, report: &mut Sent) -> Poll<()> {
        while let Some(next) = batch.front() {
            match ready!(self.socket.poll_send_to(cx, &next.payload, next.addr)) {
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
