//! Which addresses a network gives out. Whether one is taken is the network's business.

use std::net::{Ipv4Addr, SocketAddr};

use crate::protocol::peer::AddressScope;

/// The port of endpoints that have a host of their own.
const PORT: u16 = 7_000;
/// The ports of endpoints that share a host.
const SHARED_PORTS: std::ops::Range<u32> = 10_000..60_000;

/// Gives out addresses of one scope, no address twice before all have been given out.
#[derive(Debug)]
pub(super) struct Addresses {
    scope: AddressScope,
    next: u32,
}

impl Addresses {
    pub(super) const fn new(scope: AddressScope) -> Self {
        Self { scope, next: 0 }
    }

    /// Loopback: ports of 127.0.0.1, then of 127.0.0.2 and so on. Private: hosts of 10/8. Global: one host of each
    /// global /24, 14 million of them, then a second one of each.
    pub(super) fn next(&mut self) -> SocketAddr {
        loop {
            let n = self.next;
            self.next = self.next.wrapping_add(1);
            let (ip, port) = match self.scope {
                AddressScope::Loopback => {
                    let ports = SHARED_PORTS.len() as u32;
                    let host = 0x7f00_0001 + (n / ports) % 0x00ff_fffe;
                    (host, SHARED_PORTS.start + n % ports)
                }
                AddressScope::Private => (0x0a00_0001 + n % 0x00ff_fffe, PORT.into()),
                AddressScope::Global => ((n << 8) | ((n >> 24) + 1), PORT.into()),
            };
            let ip = Ipv4Addr::from(ip);
            if self.scope != AddressScope::Global || is_public(&ip) {
                return SocketAddr::new(ip.into(), u16::try_from(port).unwrap_or(PORT));
            }
        }
    }
}

/// Whether the address is one that a host on the internet can have: of global scope, and of no special range
/// (RFC 6890).
fn is_public(ip: &Ipv4Addr) -> bool {
    let reserved = matches!(ip.octets(), [0 | 224..=255, ..] | [198, 18 | 19, ..] | [192, 0, 0, _] | [192, 88, 99, _]);
    let documentation = matches!(ip.octets(), [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _]);
    !reserved && !documentation && AddressScope::of(&(*ip).into()).is_global()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::peer::{Subnet, check_unicast};
    use std::collections::HashSet;

    #[test]
    fn every_address_is_new_and_of_its_scope() {
        for scope in [AddressScope::Loopback, AddressScope::Private, AddressScope::Global] {
            let mut addresses = Addresses::new(scope);
            let given: HashSet<SocketAddr> = (0..120_000).map(|_| addresses.next()).collect();
            assert_eq!(given.len(), 120_000);
            assert!(given.iter().all(|addr| check_unicast(addr).is_ok() && AddressScope::of(&addr.ip()) == scope));
        }
    }

    #[test]
    fn global_addresses_lie_in_distinct_subnets_and_skip_the_special_ones() {
        let mut addresses = Addresses::new(AddressScope::Global);
        let subnets: HashSet<Subnet> = (0..120_000).map(|_| Subnet::of(&addresses.next().ip())).collect();
        assert_eq!(subnets.len(), 120_000);
        for (before, after) in [(0x09_ff_ff, "11.0.0.1"), (0x64_3f_ff, "100.128.0.1"), (0xcb_00_70, "203.0.114.1")] {
            let mut addresses = Addresses { scope: AddressScope::Global, next: before };
            addresses.next();
            assert_eq!(addresses.next().ip().to_string(), after);
        }
        let mut last = Addresses { scope: AddressScope::Global, next: 0xdf_ff_ff };
        assert_eq!(last.next().ip().to_string(), "223.255.255.1");
        assert_eq!(last.next().ip().to_string(), "1.0.0.2", "every /24 has been given out once");
    }
}
