//! The handle to an endpoint that is read: it sends, receives, and frees its address when it is dropped.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::endpoint::Endpoint;
use crate::actors::socket::transport::{Datagram, Sent, Transport};

/// What carries an endpoint's datagrams: the network.
pub(super) trait Carrier {
    /// Sends a datagram. Says whether the network took it.
    fn carry(&self, from: SocketAddr, to: SocketAddr, payload: Vec<u8>) -> bool;

    /// Whether it is this endpoint that is at `addr`.
    fn has(&self, addr: &SocketAddr, endpoint: &Rc<Endpoint>) -> bool;

    /// Frees `addr`.
    fn detach(&self, addr: SocketAddr);
}

/// An endpoint of a [`MemoryNetwork`](super::MemoryNetwork): what a node is [started over](crate::NodeBuilder::start_local_over), or what a test
/// sends and receives with. Its address is free again when it is dropped.
pub struct MemoryTransport {
    network: Rc<dyn Carrier>,
    addr: SocketAddr,
    endpoint: Rc<Endpoint>,
}

impl MemoryTransport {
    pub(super) fn new(network: Rc<dyn Carrier>, addr: SocketAddr, endpoint: Rc<Endpoint>) -> Self {
        Self { network, addr, endpoint }
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sends a datagram, unless [it was removed](super::MemoryNetwork::remove). Says whether the network took it.
    pub fn send(&self, to: SocketAddr, payload: Vec<u8>) -> bool {
        self.is_attached() && self.network.carry(self.addr, to, payload)
    }

    /// The next datagram that arrives. It can be cancelled without loss.
    pub async fn receive(&self) -> Datagram {
        poll_fn(|cx| match self.try_receive() {
            Some(datagram) => Poll::Ready(datagram),
            None => self.wait(cx),
        })
        .await
    }

    /// The next datagram that has arrived, if any has.
    pub fn try_receive(&self) -> Option<Datagram> {
        match &*self.endpoint {
            Endpoint::Inbox(inbox) => inbox.borrow_mut().pop(),
            Endpoint::Listener(_) => None,
        }
    }

    fn wait<T>(&self, cx: &Context<'_>) -> Poll<T> {
        if let Endpoint::Inbox(inbox) = &*self.endpoint {
            inbox.borrow_mut().wake(cx);
        }
        Poll::Pending
    }

    fn is_attached(&self) -> bool {
        self.network.has(&self.addr, &self.endpoint)
    }
}

impl Transport for MemoryTransport {
    fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    fn poll_receive(&self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>, max: usize) -> Poll<io::Result<()>> {
        let before = batch.len();
        batch.extend(std::iter::from_fn(|| self.try_receive()).take(max));
        if batch.len() > before { Poll::Ready(Ok(())) } else { self.wait(cx) }
    }

    fn poll_send(&self, _: &mut Context<'_>, batch: &mut VecDeque<Datagram>, report: &mut Sent) -> Poll<()> {
        let attached = self.is_attached();
        for Datagram { addr, payload, .. } in batch.drain(..) {
            // What was taken off the network does not notice: its datagrams go nowhere.
            let taken = if attached { self.network.carry(self.addr, addr, payload) } else { true };
            *if taken { &mut report.sent } else { &mut report.failed } += 1;
        }
        Poll::Ready(())
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        if self.is_attached() {
            self.network.detach(self.addr);
        }
    }
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransport").field("addr", &self.addr).finish_non_exhaustive()
    }
}
