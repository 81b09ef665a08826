//! Where this node is to be found: another node that answers with its id is a copy of it.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use kademlia_dynamic::protocol::peer::canonical;

/// Whether what answers at `addr` with the id of a node that is bound to `bound` is that node.
pub(crate) fn is_at(addr: &SocketAddr, bound: SocketAddr) -> bool {
    let (addr, bound) = (canonical(*addr), canonical(bound));
    addr.port() == bound.port()
        && (addr.ip() == bound.ip() || (bound.ip().is_unspecified() && is_of_this_machine(addr.ip())))
}

/// Whether `ip` is an address of this machine: to no other can a socket be bound.
fn is_of_this_machine(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_id_at_an_own_address_is_this_node_and_anywhere_else_a_copy_of_it() {
        let itself = |addr: &str, bound: &str| is_at(&addr.parse().unwrap(), bound.parse().unwrap());
        assert!(itself("127.0.0.1:8000", "127.0.0.1:8000"));
        assert!(itself("127.0.0.1:8000", "[::ffff:127.0.0.1]:8000"));
        assert!(itself("127.0.0.1:8000", "0.0.0.0:8000"));
        assert!(itself("127.0.0.1:8000", "[::]:8000"));
        assert!(!itself("127.0.0.1:8001", "127.0.0.1:8000"));
        assert!(!itself("127.0.0.1:8001", "0.0.0.0:8000"));
        // A machine's image runs elsewhere, at the same port. TEST-NET-1 is no address of this machine.
        assert!(!itself("192.0.2.1:8000", "0.0.0.0:8000"));
    }
}
