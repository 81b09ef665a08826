//! Peers, and two properties of their addresses: the scope from which an address can be reached, and the subnet that its owner is
//! likely to own whole.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::{NodeId, ParseNodeIdError};

/// A node of the network: its id and the address it answers at.
///
/// It prints as `ID@ADDR:PORT` with the id's 40 hex digits, and is read from that; in debug output, and so in log lines,
/// the id is cut to 8. With serde it is the wire's dictionary `{"node_id": 40 hex, "ip": string, "port": integer}` (docs/wire.md,
/// 2.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "PeerDictionary", try_from = "PeerDictionary")]
pub struct Peer {
    /// Its id.
    pub id: NodeId,
    /// The address from which and to which its datagrams go.
    pub addr: SocketAddr,
}

impl Peer {
    /// A peer from its two parts. The address is taken in its canonical form (IPv4-mapped IPv6 becomes IPv4).
    pub fn new(id: NodeId, addr: SocketAddr) -> Self {
        Self { id, addr: canonical(addr) }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.addr)
    }
}

impl FromStr for Peer {
    type Err = ParsePeerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, addr) = text.split_once('@').ok_or(ParsePeerError::NoAddress)?;
        let (id, addr) = (id.parse()?, addr.parse()?);
        check_unicast(&addr)?;
        Ok(Self::new(id, addr))
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({}@{})", self.id.short(), self.addr)
    }
}

#[derive(Serialize, Deserialize)]
struct PeerDictionary {
    node_id: NodeId,
    ip: IpAddr,
    port: u16,
}

impl From<Peer> for PeerDictionary {
    fn from(peer: Peer) -> Self {
        Self { node_id: peer.id, ip: peer.addr.ip(), port: peer.addr.port() }
    }
}

impl TryFrom<PeerDictionary> for Peer {
    type Error = AddressError;

    fn try_from(parts: PeerDictionary) -> Result<Self, Self::Error> {
        let addr = SocketAddr::new(parts.ip, parts.port);
        check_unicast(&addr)?;
        Ok(Peer::new(parts.node_id, addr))
    }
}

/// Reasons for which an address cannot be a peer's. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The port is 0, to which nothing can be sent.
    #[error("port 0: a peer's port is 1..=65535")]
    NoPort,
    /// The address is unspecified, multicast or broadcast.
    #[error("{0} is not the address of one host")]
    NotUnicast(IpAddr),
    /// The address cannot be reached from where it was named: loopback is taken from loopback only, a private address
    /// from private or loopback (docs/wire.md, 9.1).
    #[error("{named:?} address named by a {informant:?} one")]
    TooNarrow {
        /// The scope of the address that was named.
        named: AddressScope,
        /// The scope of the one that named it.
        informant: AddressScope,
    },
}

/// The text is not a peer. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePeerError {
    /// The text has no `@`.
    #[error("a peer is ID@ADDR:PORT")]
    NoAddress,
    /// The part before the `@` is not a node id.
    #[error(transparent)]
    Id(#[from] ParseNodeIdError),
    /// The part after the `@` is not a literal address with a port.
    #[error("a peer is ID@ADDR:PORT, with a literal address")]
    Address(#[from] AddrParseError),
    /// The address is not that of one host.
    #[error(transparent)]
    Unusable(#[from] AddressError),
}

/// The part of the internet in which an address means the same host. Ordered from narrow to wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressScope {
    /// This machine.
    Loopback,
    /// This network: private, shared (100.64/10), link-local and unique local ranges.
    Private,
    /// Anywhere.
    Global,
}

impl AddressScope {
    /// The scope of `ip`.
    pub fn of(ip: &IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) if v4.is_loopback() => Self::Loopback,
            IpAddr::V4(v4) if v4.is_private() || v4.is_link_local() || is_shared(&v4) => Self::Private,
            IpAddr::V6(v6) if v6.is_loopback() => Self::Loopback,
            IpAddr::V6(v6) if v6.is_unique_local() || v6.is_unicast_link_local() => Self::Private,
            _ => Self::Global,
        }
    }

    /// Returns whether this is the whole internet.
    pub fn is_global(self) -> bool {
        self == Self::Global
    }
}

fn is_shared(ip: &Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    a == 100 && (64..128).contains(&b)
}

/// Checks that `addr` can be one host's: with a port, and neither unspecified nor multicast nor broadcast.
pub fn check_unicast(addr: &SocketAddr) -> Result<(), AddressError> {
    if addr.port() == 0 {
        return Err(AddressError::NoPort);
    }
    let ip = addr.ip().to_canonical();
    let host = match ip {
        // 0.0.0.0/8 is "this network" and 240.0.0.0/4 is reserved, 255.255.255.255 included (RFC 6890).
        IpAddr::V4(v4) => v4.octets()[0] != 0 && v4.octets()[0] < 224,
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast(),
    };
    if host { Ok(()) } else { Err(AddressError::NotUnicast(ip)) }
}

/// Checks an address that `informant` named: that it is one host's, and of a scope no narrower than the informant's.
pub fn check_named(addr: &SocketAddr, informant: &SocketAddr) -> Result<(), AddressError> {
    check_unicast(addr)?;
    let (named, informant) = (AddressScope::of(&addr.ip()), AddressScope::of(&informant.ip()));
    if named < informant { Err(AddressError::TooNarrow { named, informant }) } else { Ok(()) }
}

/// The address with an IPv4-mapped IPv6 address turned into the IPv4 address that it is.
pub fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// The `count` of `peers` whose ids are nearest to `target`, nearest first.
pub(crate) fn nearest(mut peers: Vec<Peer>, target: &NodeId, count: usize) -> Vec<Peer> {
    let distance = |peer: &Peer| peer.id.distance(target);
    if peers.len() > count {
        peers.select_nth_unstable_by_key(count, distance);
        peers.truncate(count);
    }
    peers.sort_unstable_by_key(distance);
    peers
}

/// The first bits of `ip`, as many as its family is given: the others are zero.
pub(crate) fn first_bits(ip: &IpAddr, v4: u32, v6: u32) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & !u32::MAX.unbounded_shr(v4)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::MAX.unbounded_shr(v6)).into(),
    }
}

/// The host at `ip`: an IPv4 address, or an IPv6 /64, since one host is given that many.
pub(crate) fn host(ip: &IpAddr) -> IpAddr {
    first_bits(ip, 32, 64)
}

/// The network that one owner is likely to own whole: an IPv4 /24 or an IPv6 /64 (docs/wire.md, 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subnet {
    /// The first 24 bits.
    V4([u8; 3]),
    /// The first 64 bits.
    V6([u8; 8]),
}

impl Subnet {
    /// The subnet that `ip` lies in.
    pub fn of(ip: &IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// As one number: a hash takes half as long as of the bytes, one after the other. No two subnets share it.
impl Hash for Subnet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let number = match self {
            Self::V4([a, b, c]) => u128::from(u32::from_be_bytes([0, *a, *b, *c])) << 64,
            Self::V6(head) => u128::from(u64::from_be_bytes(*head)) | 1 << 127,
        };
        state.write_u128(number);
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4([a, b, c]) => write!(f, "{a}.{b}.{c}.0/24"),
            Self::V6(head) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(u64::from_be_bytes(*head)) << 64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_printed_peer_is_read_back(id: [u8; 20], v6: bool, ip: [u8; 16], port: u16) {
            let ip = if v6 { IpAddr::from(ip) } else { IpAddr::from([ip[0], ip[1], ip[2], ip[3]]) };
            let peer = Peer::new(NodeId::from_bytes(id), SocketAddr::new(ip, port));
            let expected = check_unicast(&peer.addr).map(|()| peer).map_err(ParsePeerError::Unusable);
            prop_assert_eq!(peer.to_string().parse(), expected);
        }
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_is_the_wires_dictionary() {
        let peer = Peer::new(NodeId::of_key("x"), addr("192.0.2.7:49152"));
        let json = serde_json::to_value(peer).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"node_id": NodeId::of_key("x").to_string(), "ip": "192.0.2.7", "port": 49152})
        );
        assert_eq!(serde_json::from_value::<Peer>(json).unwrap(), peer);
    }

    #[test]
    fn text_that_is_not_an_id_and_a_literal_address_is_no_peer() {
        let id = NodeId::of_key("x");
        let error = |text: &str| text.parse::<Peer>().unwrap_err();
        assert_eq!(error("127.0.0.1:8000"), ParsePeerError::NoAddress);
        assert!(matches!(error(&format!("{}@127.0.0.1:8000", id.short())), ParsePeerError::Id(_)));
        for addr in ["", "localhost:1", "127.0.0.1", "127.0.0.1:65536", "::1:1"] {
            assert!(matches!(error(&format!("{id}@{addr}")), ParsePeerError::Address(_)), "{addr}");
        }
        assert!(matches!(error(&format!("{id}@0.0.0.0:1")), ParsePeerError::Unusable(_)));
    }

    #[test]
    fn a_dictionary_without_a_usable_address_is_no_peer() {
        let id = NodeId::of_key("x").to_string();
        for (ip, port) in [
            ("0.0.0.0", 1),
            ("224.0.0.1", 1),
            ("255.255.255.255", 1),
            ("127.0.0.1", 0),
            ("localhost", 1),
            ("ff02::1", 1),
        ] {
            let json = serde_json::json!({"node_id": id, "ip": ip, "port": port});
            assert!(serde_json::from_value::<Peer>(json).is_err(), "{ip}:{port}");
        }
    }

    #[test]
    fn an_informant_cannot_name_an_address_narrower_than_its_own() {
        let (loopback, private, global) = (addr("127.0.0.1:1"), addr("10.0.0.1:1"), addr("198.51.100.1:1"));
        for (named, informant, taken) in [
            (loopback, loopback, true),
            (private, loopback, true),
            (global, loopback, true),
            (loopback, private, false),
            (private, private, true),
            (global, private, true),
            (loopback, global, false),
            (private, global, false),
            (global, global, true),
        ] {
            assert_eq!(check_named(&named, &informant).is_ok(), taken, "{named} named by {informant}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address_that_it_is() {
        let peer = Peer::new(NodeId::ZERO, addr("[::ffff:10.0.0.1]:9"));
        assert_eq!(peer.addr, addr("10.0.0.1:9"));
        assert_eq!(Subnet::of(&"::ffff:10.1.2.3".parse().unwrap()).to_string(), "10.1.2.0/24");
        assert_eq!(Subnet::of(&"2001:db8:1:2:3::1".parse().unwrap()).to_string(), "2001:db8:1:2::/64");
    }
}
