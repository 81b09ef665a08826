//! What is at an address of the network: an inbox that is read, or a listener that is called. How datagrams get there is
//! `network.rs`; the handle to an inbox is `transport.rs`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Weak;
use std::task::{Context, Waker};

use crate::actors::socket::transport::Datagram;

/// Datagrams that wait at an endpoint to be read. A further one is dropped and counted.
pub const INBOX: usize = 1_024;

/// What is at an address.
pub(super) enum Endpoint {
    /// An inbox that is read.
    Inbox(RefCell<Inbox>),
    /// A listener that is called. It may be gone.
    Listener(Weak<dyn Listener>),
}

#[derive(Default)]
pub(super) struct Inbox {
    datagrams: VecDeque<Datagram>,
    reader: Option<Waker>,
}

/// What is called with each datagram that arrives at `to`.
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

    pub(super) fn pop(&mut self) -> Option<Datagram> {
        self.datagrams.pop_front()
    }

    /// Has `cx` woken by the next datagram.
    pub(super) fn wake(&mut self, cx: &Context<'_>) {
        self.reader = Some(cx.waker().clone());
    }
}
