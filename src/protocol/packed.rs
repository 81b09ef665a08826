//! Peers in few bytes: a `SocketAddr` takes 32, and 18 in its canonical form. They are for what remembers many peers, of which a
//! process of thousands of nodes has millions.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::id::NodeId;
use super::peer::Peer;

/// A peer, with its address in the canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedPeer {
    /// Its id.
    pub(crate) id: NodeId,
    /// Its address.
    pub(crate) addr: PackedAddr,
}

/// An address in its canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedAddr {
    /// The IPv6 address, or the IPv4 address mapped to one.
    ip: [u8; 16],
    port: [u8; 2],
}

impl From<SocketAddr> for PackedAddr {
    fn from(addr: SocketAddr) -> Self {
        let ip = match addr.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self { ip: ip.octets(), port: addr.port().to_be_bytes() }
    }
}

impl From<PackedAddr> for SocketAddr {
    fn from(PackedAddr { ip, port }: PackedAddr) -> Self {
        Self::new(Ipv6Addr::from(ip).to_canonical(), u16::from_be_bytes(port))
    }
}

impl From<Peer> for PackedPeer {
    fn from(Peer { id, addr }: Peer) -> Self {
        Self { id, addr: addr.into() }
    }
}

impl From<PackedPeer> for Peer {
    fn from(PackedPeer { id, addr }: PackedPeer) -> Self {
        Self { id, addr: addr.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_peer_is_unpacked_with_its_canonical_address(id: [u8; 20], ip: [u8; 16], kind in 0u8..3, port: u16) {
            let [.., a, b, c, d] = ip;
            let ip = match kind {
                0 => IpAddr::from([a, b, c, d]),
                1 => std::net::Ipv4Addr::from([a, b, c, d]).to_ipv6_mapped().into(),
                _ => IpAddr::from(ip),
            };
            let (id, addr) = (NodeId::from_bytes(id), SocketAddr::new(ip, port));
            let packed = PackedPeer::from(Peer { id, addr });
            prop_assert_eq!(Peer::from(packed), Peer::new(id, addr));
            prop_assert_eq!(packed, PackedPeer::from(Peer::new(id, addr)));
        }
    }

    #[test]
    fn it_takes_14_bytes_less() {
        assert_eq!((size_of::<PackedPeer>(), size_of::<Peer>()), (38, 52));
    }
}
