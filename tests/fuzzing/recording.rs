//! A transport that keeps what passes: real traffic for the corpus, and for tests that read all of it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use kademlia_dynamic::actors::transport::{Datagram, Sent, Transport};

/// What passed, in both directions.
pub(crate) type Tape = Rc<RefCell<Vec<Vec<u8>>>>;

/// `inner`, and a tape of what passes it.
pub(crate) struct Recording<T> {
    pub(crate) inner: T,
    pub(crate) tape: Tape,
}

impl<T: Transport> Transport for Recording<T> {
    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    fn poll_receive(&self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>, max: usize) -> Poll<io::Result<()>> {
        let before = batch.len();
        let received = self.inner.poll_receive(cx, batch, max);
        self.tape.borrow_mut().extend(batch[before..].iter().map(|datagram| datagram.payload.clone()));
        received
    }

    fn poll_send(&self, cx: &mut Context<'_>, batch: &mut VecDeque<Datagram>, report: &mut Sent) -> Poll<()> {
        let payloads: Vec<Vec<u8>> = batch.iter().map(|datagram| datagram.payload.clone()).collect();
        let sent = self.inner.poll_send(cx, batch, report);
        let taken = payloads.len() - batch.len();
        self.tape.borrow_mut().extend(payloads.into_iter().take(taken));
        sent
    }
}
