//! What the socket actor needs of a network: many datagrams a call, in and out. A UDP socket is one, a network in memory
//! another; faster system calls later change one implementation and nothing else.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

/// One datagram and the other side's address: where it came from, or where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The other side.
    pub addr: SocketAddr,
    /// The address of this machine that it came to, or that it is to leave from, where the transport is bound to several.
    /// `None`: the one that the transport is bound to, or that the system chooses.
    pub local: Option<IpAddr>,
    /// What it carries, at most 65,507 bytes over IPv4.
    pub payload: Vec<u8>,
}

impl Datagram {
    /// A datagram of a transport with one address.
    pub fn new(addr: SocketAddr, payload: Vec<u8>) -> Self {
        Self { addr, local: None, payload }
    }
}

/// What became of the datagrams that were handed to [`Transport::poll_send`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Handed to the network.
    pub sent: usize,
    /// Refused by the system (no route, too long, …) and dropped.
    pub failed: usize,
    /// Payloads that have left: further ones are written into their memory. A transport may keep them as well.
    pub spare: Vec<Vec<u8>>,
}

/// A way to send and receive datagrams, in batches. It takes `&self`: it outlives an actor that is restarted.
pub trait Transport: 'static {
    /// The address that it is bound to. Its port is never 0.
    fn local_addr(&self) -> SocketAddr;

    /// Appends at least one and at most `max` datagrams to `batch`, or waits.
    ///
    /// # Errors
    /// What the system says. It may well go on working: the caller counts the error and calls again.
    fn poll_receive(&self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>, max: usize) -> Poll<io::Result<()>>;

    /// Whether it carries datagrams to addresses of the family of `addr` at all.
    fn speaks_family_of(&self, _addr: &SocketAddr) -> bool {
        true
    }

    /// Whether a datagram could be sent to `addr` from the address that this is bound to, as far as the system knows
    /// without sending one.
    ///
    /// # Errors
    /// Why not.
    fn check_reach(&self, _addr: &SocketAddr) -> io::Result<()> {
        Ok(())
    }

    /// Datagrams that the system has dropped since the start before they could be read. `None` where it does not say.
    fn lost(&self) -> Option<u64> {
        None
    }

    /// Sends from the front of `batch` until it is empty (`Ready`) or the network takes no more for now (`Pending`; the
    /// rest stays in `batch`). Adds to `report` what became of those that it took out.
    fn poll_send(&self, cx: &mut Context<'_>, batch: &mut VecDeque<Datagram>, report: &mut Sent) -> Poll<()>;
}
