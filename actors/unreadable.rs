//! What came back from addresses that this node was asking, and is no message of its wire: the dispatcher notes it, and a
//! bootstrap reports it instead of silence.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::lru::Lru;

/// Addresses that are noted. Beyond it the oldest are forgotten, and count as silent.
const NOTED: usize = 64;

/// The latest addresses whose datagrams could not be read, with the wire that the first byte indicates.
#[derive(Debug, Clone)]
pub(crate) struct Unreadable(Rc<RefCell<Lru<SocketAddr, Option<Codec>>>>);

impl Default for Unreadable {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(Lru::new(NOTED))))
    }
}

impl Unreadable {
    /// `payload` came from `from`, and is no message of the wire `own`.
    pub(crate) fn note(&self, from: SocketAddr, payload: &[u8], own: Codec) {
        self.0.borrow_mut().insert(&from, Codec::guess(payload).filter(|wire| *wire != own));
    }

    /// The wire of what came from `addr`, if anything unreadable did: `None` in it where the wire is not known.
    pub(crate) fn of(&self, addr: &SocketAddr) -> Option<Option<Codec>> {
        self.0.borrow().get(addr).copied()
    }

    /// `addr` is asked anew.
    pub(crate) fn forget(&self, addr: &SocketAddr) {
        self.0.borrow_mut().remove(addr);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_the_wire_and_the_oldest_are_forgotten() {
        let addr = |n: usize| SocketAddr::from(([127, 0, 0, 1], u16::try_from(n).unwrap()));
        let unreadable = Unreadable::default();
        for (n, payload) in [&b"{\"type\""[..], b"d2:id", b"\x84\xa4", b"HTTP", b""].into_iter().enumerate() {
            unreadable.note(addr(n + 1), payload, Codec::Json);
        }
        let wires: Vec<_> = (1..=6).map(|n| unreadable.of(&addr(n))).collect();
        let (bencode, msgpack) = (Some(Some(Codec::Bencode)), Some(Some(Codec::MessagePack)));
        assert_eq!(wires, [Some(None), bencode, msgpack, Some(None), Some(None), None]);
        unreadable.forget(&addr(2));
        assert_eq!(unreadable.of(&addr(2)), None);
        for n in 100..100 + NOTED {
            unreadable.note(addr(n), b"d", Codec::Json);
        }
        assert_eq!((unreadable.of(&addr(1)), unreadable.of(&addr(100))), (None, bencode));
    }
}
