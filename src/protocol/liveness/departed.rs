//! Departed peers: those that left the table because they fell silent, and are queried again now and then.
//!
//! Silence is no proof that a peer is gone: a network may have been partitioned, and a flood can cause silence. Where the id of
//! a departed peer is known at another address meanwhile (*displaced*), the earlier address gets it back if it answers in time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::protocol::peer::Peer;

/// Silent peers that are remembered. Beyond it the one that left first is forgotten.
pub const MAX_DEPARTED: usize = 64;
/// How long they are queried: longer than most partitions last.
pub const DEPARTED_FOR: Duration = Duration::from_secs(6 * 3_600);
/// Displaced peers that are remembered. Beyond it the one that was displaced first is forgotten, and its id stays where it is.
pub const MAX_DISPLACED: usize = 256;
/// How long after it fell silent a displaced peer gets its id back by answering.
pub const DISPLACED_FOR: Duration = Duration::from_secs(3_600);
/// The least time between two queries to a displaced peer that sends nothing itself.
const DISPLACED_ROUND: Duration = Duration::from_secs(300);

/// The peers to query whether they are back, and those that have an id to get back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Departed {
    silent: VecDeque<(Peer, Instant)>,
    displaced: VecDeque<Displaced>,
}

#[derive(Debug, Clone)]
struct Displaced {
    peer: Peer,
    since: Instant,
    asked: Instant,
}

impl Displaced {
    fn is_valid(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < DISPLACED_FOR
    }

    fn take_turn(&mut self, pause: Duration, now: Instant) -> bool {
        let due = now.saturating_duration_since(self.asked) >= pause;
        if due {
            self.asked = now;
        }
        due
    }
}

impl Departed {
    /// `peer` fell silent and left the table.
    pub(crate) fn left(&mut self, peer: Peer, now: Instant) {
        self.silent.retain(|(departed, _)| departed.addr != peer.addr);
        if self.silent.len() == MAX_DEPARTED {
            self.silent.pop_front();
        }
        self.silent.push_back((peer, now));
    }

    /// The id of `peer` moved to another address. Of an id that moves from address to address the first one is remembered.
    pub(crate) fn displaced(&mut self, peer: Peer, since: Instant, now: Instant) {
        self.displaced.retain(|other| other.is_valid(now));
        if self.displaced.iter().any(|other| other.peer.id == peer.id) {
            return;
        }
        if self.displaced.len() == MAX_DISPLACED {
            self.displaced.pop_front();
        }
        self.displaced.push_back(Displaced { peer, since, asked: now });
    }

    /// The id of `peer` is known at its address from now on. Returns the peer that fell silent lately under that id at another
    /// address, which is to be queried.
    pub(crate) fn entered_elsewhere(&mut self, peer: &Peer, now: Instant) -> Option<Peer> {
        let at = self.silent.iter().position(|(silent, _)| silent.id == peer.id && silent.addr != peer.addr)?;
        let (silent, since) = self.silent.remove(at)?;
        if now.saturating_duration_since(since) >= DISPLACED_FOR {
            return None;
        }
        self.displaced(silent, since, now);
        Some(silent)
    }

    /// Returns whether `peer` had its id at its address before it was displaced.
    pub(crate) fn is_displaced(&self, peer: &Peer, now: Instant) -> bool {
        self.displaced.iter().any(|displaced| displaced.peer == *peer && displaced.is_valid(now))
    }

    /// Returns whether the displaced `peer`, which has sent a query, is to be queried now: once within `pause`.
    pub(crate) fn take_turn(&mut self, peer: &Peer, pause: Duration, now: Instant) -> bool {
        let mut of_peer = self.displaced.iter_mut().filter(|displaced| displaced.peer == *peer);
        of_peer.next().is_some_and(|displaced| displaced.take_turn(pause, now))
    }

    /// `peer` has answered: it is no longer departed, nor is another one that was at its address.
    pub(crate) fn answered(&mut self, peer: &Peer) {
        self.silent.retain(|(departed, _)| departed.addr != peer.addr);
        self.displaced.retain(|displaced| displaced.peer.addr != peer.addr);
    }

    /// The peers to query in this round: one of the silent in turn, and those displaced that were not queried lately.
    pub(crate) fn round(&mut self, now: Instant) -> Vec<Peer> {
        self.silent.retain(|(_, since)| now.saturating_duration_since(*since) < DEPARTED_FOR);
        self.displaced.retain(|displaced| displaced.is_valid(now));
        self.silent.rotate_left(usize::from(!self.silent.is_empty()));
        let silent = self.silent.back().map(|(peer, _)| *peer);
        let displaced = self
            .displaced
            .iter_mut()
            .filter_map(|displaced| displaced.take_turn(DISPLACED_ROUND, now).then_some(displaced.peer));
        displaced.chain(silent).collect()
    }

    /// The number of silent peers, and of displaced ones.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.silent.len(), self.displaced.len())
    }
}
