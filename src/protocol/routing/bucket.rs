//! One k-bucket: its live entries, its replacement cache and its limits on pings. The table decides which peers may enter.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::claims::Claim;
use crate::protocol::growth::reserve_one;
use crate::protocol::id::NodeId;
use crate::protocol::liveness::Streak;
use crate::protocol::peer::Peer;
use crate::protocol::prefix::Prefix;

/// The least time between two checks of old entries in one bucket.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A peer that has answered a query of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub(super) peer: Peer,
    pub(super) version: Option<u32>,
    pub(super) answered: Instant,
    /// Boxed, since few have one and each entry counts in a process full of nodes.
    pub(super) streak: Option<Box<Streak>>,
    /// Uses of its id from other addresses. Boxed for the same reason.
    pub(super) claim: Option<Box<Claim>>,
}

impl Entry {
    pub(super) fn new(peer: Peer, version: Option<u32>, now: Instant) -> Self {
        Self { peer, version, answered: now, streak: None, claim: None }
    }

    /// The peer.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The protocol version of its last answer; `None`: a legacy node's.
    pub fn version(&self) -> Option<u32> {
        self.version
    }

    /// Whether its last answer was a legacy node's.
    pub fn is_legacy(&self) -> bool {
        self.version.is_none()
    }

    /// Queries in a row that it has left unanswered. Queries that were in flight together count once.
    pub fn failures(&self) -> u32 {
        self.streak.as_ref().map_or(0, |streak| streak.count)
    }

    /// Its peer at the addresses from which its id was used since its last answer.
    pub(super) fn claimants(&self) -> impl Iterator<Item = Peer> {
        let claimants = self.claim.iter().flat_map(|claim| claim.claimants());
        claimants.map(|addr| Peer { addr: *addr, ..self.peer })
    }

    /// Counts a silence. Returns the streak, or `None` if the silence [does not count](Streak::after).
    pub(super) fn count_silence(&mut self, now: Instant, query_timeout: Duration) -> Option<Streak> {
        let streak = Streak::after(self.streak.as_deref().copied(), query_timeout, now)?;
        self.streak = Some(Box::new(streak));
        Some(streak)
    }
}

/// The place of a peer in its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Among the live entries.
    Live(usize),
    /// In the replacement cache.
    Waiting(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Bucket {
    pub(super) prefix: Prefix,
    /// Least recently answered first, at most k.
    pub(super) live: Vec<Entry>,
    /// The replacement cache: peers that answered while the bucket was full, least recently answered first, at most k.
    pub(super) waiting: Vec<Entry>,
    /// Newcomers pinged within the last query timeout, at most k: the limit is on pings in flight.
    pub(super) invited: Vec<(SocketAddr, Instant)>,
    last_check: Option<Instant>,
    /// The time at which a lookup last touched these ids.
    pub(super) touched: Instant,
}

impl Bucket {
    pub(super) fn new(prefix: Prefix, touched: Instant) -> Self {
        Self { prefix, live: Vec::new(), waiting: Vec::new(), invited: Vec::new(), last_check: None, touched }
    }

    /// The two halves, the one that covers `own` last. `None` for a single id.
    pub(super) fn split(&self, own: &NodeId) -> Option<(Bucket, Bucket)> {
        let (zero, one) = self.prefix.split()?;
        let (far, near) = if one.covers(own) { (zero, one) } else { (one, zero) };
        let of = |entries: &[Entry], prefix: Prefix| {
            let mut half: Vec<Entry> = entries.iter().filter(|entry| prefix.covers(&entry.peer.id)).cloned().collect();
            half.shrink_to_fit();
            half
        };
        let half = |prefix: Prefix| Bucket {
            prefix,
            live: of(&self.live, prefix),
            waiting: of(&self.waiting, prefix),
            invited: self.invited.clone(),
            last_check: self.last_check,
            touched: self.touched,
        };
        Some((half(far), half(near)))
    }

    pub(super) fn find(&self, id: &NodeId) -> Option<Place> {
        let at = |entries: &[Entry]| entries.iter().position(|entry| entry.peer.id == *id);
        at(&self.live).map(Place::Live).or_else(|| at(&self.waiting).map(Place::Waiting))
    }

    /// The id at `addr`, if it is in this bucket.
    pub(super) fn id_at(&self, addr: &SocketAddr) -> Option<NodeId> {
        let mut entries = self.live.iter().chain(&self.waiting);
        entries.find(|entry| entry.peer.addr == *addr).map(|entry| entry.peer.id)
    }

    pub(super) fn entry(&self, place: Place) -> &Entry {
        match place {
            Place::Live(at) => &self.live[at],
            Place::Waiting(at) => &self.waiting[at],
        }
    }

    pub(super) fn entry_mut(&mut self, place: Place) -> &mut Entry {
        match place {
            Place::Live(at) => &mut self.live[at],
            Place::Waiting(at) => &mut self.waiting[at],
        }
    }

    /// Puts an entry among the live ones, at its place by the time of its answer.
    pub(super) fn insert_live(&mut self, entry: Entry) {
        let at = self.live.partition_point(|other| other.answered <= entry.answered);
        reserve_one(&mut self.live);
        self.live.insert(at, entry);
    }

    /// Puts an entry into the replacement cache, as the latest.
    pub(super) fn push_waiting(&mut self, entry: Entry) {
        reserve_one(&mut self.waiting);
        self.waiting.push(entry);
    }

    /// Returns whether an entry may be checked now; if so, the next check may be [`CHECK_INTERVAL`] later.
    pub(super) fn take_check(&mut self, now: Instant) -> bool {
        let due = self.last_check.is_none_or(|last| now.saturating_duration_since(last) >= CHECK_INTERVAL);
        if due {
            self.last_check = Some(now);
        }
        due
    }

    /// Returns whether the newcomer at `addr` may be pinged now, while at most `limit` such pings are in flight and none of
    /// them to that address. If so, its ping counts as in flight for `in_flight`.
    pub(super) fn invite(&mut self, addr: SocketAddr, limit: usize, in_flight: Duration, now: Instant) -> bool {
        self.invited.retain(|(_, at)| now.saturating_duration_since(*at) < in_flight);
        let free = self.invited.len() < limit && self.invited.iter().all(|(other, _)| *other != addr);
        if free {
            self.invited.push((addr, now));
        }
        free
    }

    /// The newcomer at `addr` has answered: its ping is no longer in flight.
    pub(super) fn arrived(&mut self, addr: SocketAddr) {
        self.invited.retain(|(other, _)| *other != addr);
        if self.invited.is_empty() {
            self.invited = Vec::new();
        }
    }
}
