//! Who takes what arrives at an address: somebody who reads from a bounded inbox, or somebody who is called. How it gets
//! there is the network's business.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use super::network::MemoryNetwork;
use crate::actors::socket::transport::{Datagram, Sent, Transport};

/// Datagrams that wait at an endpoint to be read. A further one is dropped and counted.
pub const INBOX: usize = 1_024;

/// Who is at an address.
pub(super) enum Endpoint {
    /// Somebody who reads.
    Inbox(RefCell<Inbox>),
    /// Somebody who is called. It may be gone.
    Listener(Weak<dyn Listener>),
}

#[derive(Default)]
pub(super) struct Inbox {
    datagrams: VecDeque<Datagram>,
    reader: Option<Waker>,
}

/// Somebody who is called with each datagram that arrives at `to`.
pub(super) trait Listener {
    fn receive(&self, to: SocketAddr, datagram: Datagram);
}

impl Inbox {
    /// Says whether there was room.
    pub(super) fn push(&mut self, datagram: Datagram) -> bool {
        let fits = self.datagrams.len() < INBOX;
        if fits {
            self.datagrams.push_back(datagram);
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
        fits
    }
}

/// An endpoint of a [`MemoryNetwork`]: what a node is [started over](crate::NodeBuilder::start_local_over), or what a test
/// sends and receives with. Its address is free again when it is dropped.
pub struct MemoryTransport {
    network: MemoryNetwork,
    addr: SocketAddr,
    endpoint: Rc<Endpoint>,
}

impl MemoryTransport {
    pub(super) fn new(network: MemoryNetwork, addr: SocketAddr, endpoint: Rc<Endpoint>) -> Self {
        Self { network, addr, endpoint }
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sends a datagram, unless [it was removed](MemoryNetwork::remove). Says whether the network took it.
    pub fn send(&self, to: SocketAddr, payload: Vec<u8>) -> bool {
        self.is_attached() && self.network.send(self.addr, to, payload)
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
            Endpoint::Inbox(inbox) => inbox.borrow_mut().datagrams.pop_front(),
            Endpoint::Listener(_) => None,
        }
    }

    fn wait<T>(&self, cx: &Context<'_>) -> Poll<T> {
        if let Endpoint::Inbox(inbox) = &*self.endpoint {
            inbox.borrow_mut().reader = Some(cx.waker().clone());
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
            // Who was taken off the network does not notice: its datagrams go nowhere.
            let taken = if attached { self.network.send(self.addr, addr, payload) } else { true };
            *if taken { &mut report.sent } else { &mut report.failed } += 1;
        }
        Poll::Ready(())
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        if self.is_attached() {
            self.network.remove(self.addr);
        }
    }
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransport").field("addr", &self.addr).finish_non_exhaustive()
    }
}
