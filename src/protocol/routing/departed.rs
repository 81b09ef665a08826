//! Peers that left the table because they fell silent. A network that was cut in two may have forgotten its other half by the
//! time it is whole again, so they are asked again now and then.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::protocol::peer::Peer;

/// Peers that are remembered. Beyond it the one that left first is forgotten.
pub const MAX_DEPARTED: usize = 64;
/// For how long they are asked: longer than most cuts last.
pub const DEPARTED_FOR: Duration = Duration::from_secs(6 * 3_600);

/// Whom to ask whether it is back.
#[derive(Debug, Default)]
pub struct Departed(VecDeque<(Peer, Instant)>);

impl Departed {
    /// `peer` fell silent.
    pub fn left(&mut self, peer: Peer, now: Instant) {
        self.returned(&peer);
        if self.0.len() == MAX_DEPARTED {
            self.0.pop_front();
        }
        self.0.push_back((peer, now));
    }

    /// `peer` has answered.
    pub fn returned(&mut self, peer: &Peer) {
        self.0.retain(|(departed, _)| departed.addr != peer.addr);
    }

    /// Whom to ask next; in turn. `None` if nobody is remembered.
    pub fn next(&mut self, now: Instant) -> Option<Peer> {
        self.0.retain(|(_, since)| now.saturating_duration_since(*since) < DEPARTED_FOR);
        self.0.rotate_left(usize::from(!self.0.is_empty()));
        self.0.back().map(|(peer, _)| *peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::NodeId;

    fn peer(n: u16) -> Peer {
        Peer::new(NodeId::of_key(&n.to_string()), ([10, 0, (n >> 8) as u8, n as u8], 7).into())
    }

    #[test]
    fn they_are_asked_in_turn_until_they_answer_or_their_time_is_over() {
        let (mut departed, now) = (Departed::default(), Instant::now());
        assert_eq!(departed.next(now), None);
        (1..=3).for_each(|n| departed.left(peer(n), now));
        let asked: Vec<_> = (0..6).filter_map(|_| departed.next(now)).collect();
        assert_eq!(asked, [1, 2, 3, 1, 2, 3].map(peer));
        departed.returned(&peer(2));
        assert_eq!([departed.next(now), departed.next(now)], [Some(peer(1)), Some(peer(3))]);
        assert_eq!(departed.next(now + DEPARTED_FOR), None);
    }

    #[test]
    fn however_many_leave_few_are_remembered() {
        let (mut departed, now) = (Departed::default(), Instant::now());
        (0..1_000).for_each(|n| departed.left(peer(n), now));
        assert_eq!(departed.0.len(), MAX_DEPARTED);
        assert_eq!(departed.next(now), Some(peer(1_000 - MAX_DEPARTED as u16)));
    }
}
