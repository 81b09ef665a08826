//! At which of this machine's addresses a peer reaches this node, where the node is bound to all of them: a query to the
//! peer leaves from there too. Otherwise a ping that verifies an address would come from one that the peer's firewall
//! does not let in, and the peer would see this node at an address that it does not know.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Addresses remembered in one generation. There are two, so that at most twice as many are remembered; those not heard from
/// for longest are forgotten first, and queries to them leave from the address that the system prefers.
const GENERATION: usize = 4_096;

/// The local address that each of the latest senders used.
#[derive(Debug, Default)]
pub(super) struct AskedAt {
    current: HashMap<SocketAddr, IpAddr>,
    previous: HashMap<SocketAddr, IpAddr>,
}

impl AskedAt {
    /// A datagram from `sender` came to `local`.
    pub(super) fn note(&mut self, sender: SocketAddr, local: IpAddr) {
        if self.current.len() >= GENERATION && !self.current.contains_key(&sender) {
            self.previous = std::mem::take(&mut self.current);
        }
        self.current.insert(sender, local);
    }

    /// The local address that `peer` used last.
    pub(super) fn of(&self, peer: &SocketAddr) -> Option<IpAddr> {
        self.current.get(peer).or_else(|| self.previous.get(peer)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_senders_are_remembered_up_to_a_bound() {
        let sender = |n: usize| SocketAddr::from(([10, 0, 0, 1], u16::try_from(n).unwrap()));
        let local = |n: u8| IpAddr::from([127, 0, 0, n]);
        let mut asked_at = AskedAt::default();
        for n in 0..=2 * GENERATION {
            asked_at.note(sender(n), local(1));
            asked_at.note(sender(0), local(2));
        }
        assert!(asked_at.current.len() <= GENERATION && asked_at.previous.len() <= GENERATION);
        assert_eq!((asked_at.of(&sender(0)), asked_at.of(&sender(1))), (Some(local(2)), None));
        assert_eq!(asked_at.of(&sender(2 * GENERATION)), Some(local(1)));
    }
}
