//! The local address of each datagram of a UDP socket that is bound to all addresses of a machine: the system passes it with
//! each datagram that comes in, and takes it with each that goes out (`IP_PKTINFO`, `IPV6_PKTINFO`). Linux only.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};

/// Room for what the system passes with a datagram: an `in6_pktinfo` with its header takes 40 bytes.
const CONTROL: usize = 128;

/// Asks the system to pass the local address of each datagram.
///
/// # Errors
/// What the system says.
pub(super) fn enable(socket: &impl AsFd, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    }
    Ok(())
}

/// Receives a datagram: its length, where it came from, and the local address that it came to.
///
/// # Errors
/// What the system says; [`io::ErrorKind::WouldBlock`] where there is none.
pub(super) fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, Option<IpAddr>)> {
    let mut control = [0_u8; CONTROL];
    let mut parts = [IoSliceMut::new(buffer)];
    let received = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let from = received.address.as_ref().and_then(std_address).ok_or(io::ErrorKind::InvalidData)?;
    let local = received.cmsgs()?.find_map(|message| match message {
        // For a broadcast it is the address to answer from, and not the one that it went to.
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Ipv4Addr::from_bits(u32::from_be(info.ipi_spec_dst.s_addr)).into())
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into()),
        _ => None,
    });
    Ok((received.bytes, from, local.map(|local: IpAddr| local.to_canonical())))
}

fn std_address(addr: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = addr.as_sockaddr_in().map(|addr| SocketAddr::from(*addr));
    v4.or_else(|| addr.as_sockaddr_in6().map(|addr| SocketAddr::from(*addr)))
}

/// Sends a datagram to `to`, which is of the socket's own family, from the local address `from`.
///
/// # Errors
/// What the system says, above all where `from` is no address of this machine any more.
pub(super) fn send(socket: &impl AsRawFd, payload: &[u8], to: SocketAddr, from: IpAddr) -> io::Result<usize> {
    let (fd, parts, addr) = (socket.as_raw_fd(), [IoSlice::new(payload)], SockaddrStorage::from(to));
    let send = |control: ControlMessage<'_>| Ok(sendmsg(fd, &parts, &[control], MsgFlags::empty(), Some(&addr))?);
    match from {
        IpAddr::V4(from) if to.is_ipv4() => {
            let none = libc::in_addr { s_addr: 0 };
            let ipi_spec_dst = libc::in_addr { s_addr: from.to_bits().to_be() };
            send(ControlMessage::Ipv4PacketInfo(&libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr: none }))
        }
        from => {
            let from = match from {
                IpAddr::V4(from) => from.to_ipv6_mapped(),
                IpAddr::V6(from) => from,
            };
            let ipi6_addr = libc::in6_addr { s6_addr: from.octets() };
            send(ControlMessage::Ipv6PacketInfo(&libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: 0 }))
        }
    }
}
