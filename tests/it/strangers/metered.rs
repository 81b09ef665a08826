//! A transport that counts what a node sends.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use kademlia_dynamic::actors::transport::{Datagram, Sent, Transport};
use kademlia_dynamic::sim::MemoryTransport;

/// Bytes that a node has sent to each address.
pub(crate) type Bytes = Rc<RefCell<HashMap<SocketAddr, usize>>>;

/// An endpoint that counts the bytes sent to each address.
pub(crate) struct Metered(pub(crate) MemoryTransport, pub(crate) Bytes);

impl Transport for Metered {
    fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    fn poll_receive(&self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>, max: usize) -> Poll<io::Result<()>> {
        self.0.poll_receive(cx, batch, max)
    }

    fn poll_send(&self, cx: &mut Context<'_>, batch: &mut VecDeque<Datagram>, report: &mut Sent) -> Poll<()> {
        for datagram in batch.iter() {
            *self.1.borrow_mut().entry(datagram.addr).or_default() += datagram.payload.len();
        }
        self.0.poll_send(cx, batch, report)
    }
}
