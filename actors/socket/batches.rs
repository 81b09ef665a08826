//! Many datagrams a system call: `recvmmsg` and `sendmmsg`. Linux only; elsewhere each datagram is a call of its own.

use std::array;
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg, sendmmsg};

use super::packet_info;
use super::transport::Datagram;

/// Datagrams a call at most.
pub(super) const BATCH: usize = 32;
/// The longest datagram there is.
const LONGEST: usize = 65_535;
/// Bytes from the start of one buffer to that of the next: more than the longest datagram, and no multiple of a power of two,
/// since the first lines of all buffers would then compete for the same few places of a processor's cache.
const STRIDE: usize = LONGEST + 513;

/// The buffers and headers of these calls. Of the buffers only the pages that datagrams have filled take memory.
#[derive(Debug)]
pub(super) struct Batches {
    buffers: Vec<u8>,
    received: MultiHeaders<SockaddrStorage>,
    sent: MultiHeaders<SockaddrStorage>,
}

impl Batches {
    pub(super) fn new() -> Self {
        let headers = || MultiHeaders::preallocate(BATCH, None);
        Self { buffers: vec![0; BATCH * STRIDE], received: headers(), sent: headers() }
    }

    /// Receives up to `max` datagrams, at most [`BATCH`], and gives each to `take`: where it came from, with `local` the address
    /// that it came to, and its bytes. Returns how many there were.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::WouldBlock`] where there is none.
    pub(super) fn receive(
        &mut self,
        socket: &impl AsRawFd,
        max: usize,
        local: bool,
        mut take: impl FnMut(SocketAddr, Option<IpAddr>, &[u8]),
    ) -> io::Result<usize> {
        let mut buffers = self.buffers.chunks_exact_mut(STRIDE);
        let mut parts: [_; BATCH] =
            array::from_fn(|_| [IoSliceMut::new(buffers.next().map_or(&mut [], |buffer| &mut buffer[..LONGEST]))]);
        // The system notes in a header how long what it passed was, and takes that for the room there is: so a new one each time.
        let mut with_room;
        let headers = if local {
            with_room = MultiHeaders::preallocate(BATCH, Some(Vec::with_capacity(packet_info::CONTROL)));
            &mut with_room
        } else {
            &mut self.received
        };
        let parts = parts.iter_mut().take(max.min(BATCH));
        let received = recvmmsg(socket.as_raw_fd(), headers, parts, MsgFlags::empty(), None)?;
        let mut count = 0;
        for datagram in received {
            count += 1;
            let Some((from, local)) = ends_of(&datagram, local) else { continue };
            take(from, local, datagram.iovs().next().unwrap_or_default());
        }
        Ok(count)
    }

    /// Sends from the front of `batch`, which is not empty, up to [`BATCH`] datagrams that leave from the same address, each to
    /// where `spelled` says. Returns how many the system took.
    ///
    /// # Errors
    /// What the system says of the first; [`io::ErrorKind::WouldBlock`] where it takes none now.
    pub(super) fn send(
        &mut self,
        socket: &impl AsRawFd,
        batch: &VecDeque<Datagram>,
        from: Option<IpAddr>,
        spelled: impl Fn(SocketAddr) -> SocketAddr,
    ) -> io::Result<usize> {
        let count = batch.iter().take(BATCH).take_while(|next| next.local == batch[0].local).count();
        let parts: [_; BATCH] =
            array::from_fn(|at| [IoSlice::new(batch.get(at).map_or(&[], |next| next.payload.as_slice()))]);
        let to: [_; BATCH] = array::from_fn(|at| batch.get(at).map(|next| SockaddrStorage::from(spelled(next.addr))));
        let fd = socket.as_raw_fd();
        let parts = parts.iter().take(count);
        let sent = match from {
            None => sendmmsg(fd, &mut self.sent, parts, to, [], MsgFlags::empty())?.count(),
            Some(from) => {
                packet_info::naming(from, spelled(batch[0].addr).is_ipv4(), |message: ControlMessage<'_>, len| {
                    let mut headers = MultiHeaders::preallocate(BATCH, Some(Vec::with_capacity(len)));
                    Ok::<_, io::Error>(sendmmsg(fd, &mut headers, parts, to, [message], MsgFlags::empty())?.count())
                })?
            }
        };
        Ok(sent)
    }
}

/// Where a datagram came from, and, with `local`, the address that it came to.
fn ends_of(datagram: &RecvMsg<'_, '_, SockaddrStorage>, local: bool) -> Option<(SocketAddr, Option<IpAddr>)> {
    let from = packet_info::std_address(datagram.address.as_ref()?)?;
    let local = if local { datagram.cmsgs().ok().and_then(packet_info::local_of) } else { None };
    Some((from, local))
}
