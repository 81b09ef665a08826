//! The local address of each datagram of a UDP socket that is bound to all addresses of a machine: the system passes it with
//! each datagram that comes in, and takes it with each that goes out (`IP_PKTINFO`, `IPV6_PKTINFO`). Linux only.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, sendmsg, setsockopt, sockopt};
use nix::{cmsg_space, libc};

/// Room for what the system passes with a datagram: an `in6_pktinfo` with its header takes 40 bytes.
pub(super) const CONTROL: usize = 128;

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

/// The local address that a datagram came to, among what the system passed with it.
pub(super) fn local_of(mut passed: impl Iterator<Item = ControlMessageOwned>) -> Option<IpAddr> {
    let local: IpAddr = passed.find_map(|message| match message {
        // For a broadcast it is the address to answer from, and not the one that it went to.
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Ipv4Addr::from_bits(u32::from_be(info.ipi_spec_dst.s_addr)).into())
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into()),
        _ => None,
    })?;
    Some(local.to_canonical())
}

/// `addr` as the standard library has it, if it is one of IP.
pub(super) fn std_address(addr: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = addr.as_sockaddr_in().map(|addr| SocketAddr::from(*addr));
    v4.or_else(|| addr.as_sockaddr_in6().map(|addr| SocketAddr::from(*addr)))
}

/// Sends a datagram to `to`, which is of the socket's own family, from the local address `from`.
///
/// # Errors
/// What the system says, above all where `from` is no address of this machine any more.
pub(super) fn send(socket: &impl AsRawFd, payload: &[u8], to: SocketAddr, from: IpAddr) -> io::Result<usize> {
    let (fd, parts, addr) = (socket.as_raw_fd(), [IoSlice::new(payload)], SockaddrStorage::from(to));
    naming(from, to.is_ipv4(), |message, _| Ok(sendmsg(fd, &parts, &[message], MsgFlags::empty(), Some(&addr))?))
}

/// What `send` comes to with the message for the system that names `from` as the address to leave from, and with the bytes that
/// the message takes, on the way to an address of IPv4 or of IPv6.
pub(super) fn naming<T>(from: IpAddr, ipv4: bool, send: impl FnOnce(ControlMessage<'_>, usize) -> T) -> T {
    match from {
        IpAddr::V4(from) if ipv4 => {
            let none = libc::in_addr { s_addr: 0 };
            let ipi_spec_dst = libc::in_addr { s_addr: from.to_bits().to_be() };
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr: none };
            send(ControlMessage::Ipv4PacketInfo(&info), cmsg_space!(libc::in_pktinfo).capacity())
        }
        from => {
            let from = match from {
                IpAddr::V4(from) => from.to_ipv6_mapped(),
                IpAddr::V6(from) => from,
            };
            let info = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: from.octets() }, ipi6_ifindex: 0 };
            send(ControlMessage::Ipv6PacketInfo(&info), cmsg_space!(libc::in6_pktinfo).capacity())
        }
    }
}
