//! A lookup's candidates, nearest to the target first: who may be asked, who has been, and who is turned away.
//! When the lookup is over is not decided here.

use std::net::SocketAddr;

use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::id::{Distance, NodeId};
use crate::protocol::peer::{AddressScope, Peer, Subnet};

/// Candidates of one lookup, unless 5 k are more. The farthest that has not been asked makes room for a nearer one.
const MIN_CANDIDATES: usize = 100;

/// How far a lookup for a value reads on past the k nearest, in multiples of k (WIRE.md, placement).
pub(super) const READ_ON: usize = 5;

/// What has become of a candidate so far. One that failed is a candidate no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Not asked yet.
    Fresh,
    /// Asked; `entry` is its place in the trace. Where it is `parked`, its query has not left this node, and may never.
    InFlight { entry: usize, hope: Hope, parked: bool },
    /// Answered, with the value or with peers.
    Answered { with_value: bool },
}

/// How likely an answer is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hope {
    /// It is in time. It holds a slot.
    Sound,
    /// Its address was silent when it was asked last. It holds one of as many slots again, which are for such.
    Doubted,
    /// It is late, but waited for. It holds no slot.
    Slow,
    /// It is not waited for, unless it is known at another address too.
    Overdue,
}

/// How a peer became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// 1 from our own table, otherwise one more than the informant's.
    pub(super) hop: u32,
    /// The informant's place in the trace.
    pub(super) named_by: Option<usize>,
}

impl Origin {
    /// It stands in our own table.
    pub(super) const OWN_TABLE: Self = Self { hop: 1, named_by: None };
}

/// A peer that may be among the nearest.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) peer: Peer,
    pub(super) state: State,
    /// How it became known.
    pub(super) origin: Origin,
    distance: Distance,
    /// Another address named for the same id: tried if the first one fails, since a peer that came back on another
    /// port is named by both for a while, and a liar may name a false one.
    alternative: Option<Alternative>,
    /// It told us this id itself when it was asked by another one.
    by_own_word: bool,
}

impl Candidate {
    /// `None` if it is not in flight.
    pub(super) fn hope(&self) -> Option<Hope> {
        match self.state {
            State::InFlight { hope, .. } => Some(hope),
            State::Fresh | State::Answered { .. } => None,
        }
    }

    /// Whether nothing is hoped for any more. Where another address is to be tried, it is waited until the query has
    /// failed: otherwise a liar that names a false one first would keep the peer out.
    pub(super) fn is_given_up(&self) -> bool {
        self.hope() == Some(Hope::Overdue) && self.alternative.is_none()
    }
}

#[derive(Debug, Clone, Copy)]
struct Alternative {
    addr: SocketAddr,
    by_own_word: bool,
    named_by: Option<usize>,
}

/// What became of a peer that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Taken,
    /// It is, or has been, a candidate.
    Known,
    OwnId,
    /// Its address was asked under another id, or belongs to a nearer candidate.
    AddressInUse,
    /// Its subnet has all its places taken by candidates that were asked or are nearer.
    SubnetFull,
    /// The list is full, and of nearer ones.
    TooFar,
}

/// The candidates, nearest first, and whom has been asked.
#[derive(Debug, Clone)]
pub(super) struct Shortlist {
    own: NodeId,
    target: NodeId,
    /// Sorted by distance, at most one for each id, at most `capacity`.
    candidates: Vec<Candidate>,
    /// Whoever was to be asked, in the order of the trace.
    asked: Vec<Peer>,
    /// How many of them were not, since the query never left this node.
    unsent: usize,
    /// Candidates that made room for nearer ones, until they are [told of](Shortlist::take_displaced), and whose answer had
    /// named them.
    displaced: Vec<(Peer, Option<usize>)>,
    capacity: usize,
    diversity: AppliesTo,
    max_per_subnet: usize,
}

impl Shortlist {
    pub(super) fn new(own: NodeId, target: NodeId, config: &Config) -> Self {
        Self {
            own,
            target,
            candidates: Vec::new(),
            asked: Vec::new(),
            unsent: 0,
            displaced: Vec::new(),
            capacity: MIN_CANDIDATES.max(READ_ON * config.k),
            diversity: config.diversity,
            max_per_subnet: config.max_per_subnet_lookup,
        }
    }

    /// All candidates, nearest first.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Candidate> {
        self.candidates.iter()
    }

    /// How many queries have been spent: all but `free` of those that never left this node.
    pub(super) fn spent(&self, free: usize) -> usize {
        self.asked.len() - self.unsent.min(free)
    }

    /// How many queries hold one of `alpha` slots. Doubted ones do so only where there are more than `alpha` of them.
    pub(super) fn slots_held(&self, alpha: usize) -> usize {
        let count = |hope| self.iter().filter(|candidate| candidate.hope() == Some(hope)).count();
        count(Hope::Sound) + count(Hope::Doubted).saturating_sub(alpha)
    }

    /// Whether an answer is waited for: before anybody has answered, all that may still come.
    pub(super) fn any_awaited(&self) -> bool {
        let in_flight = || self.iter().filter(|candidate| candidate.hope().is_some());
        in_flight().any(|candidate| !candidate.is_given_up()) || !self.any_answered() && in_flight().next().is_some()
    }

    /// Whether a query waits in this node, and may still turn out not to have been sent.
    pub(super) fn any_parked(&self) -> bool {
        self.iter().any(|candidate| matches!(candidate.state, State::InFlight { parked: true, .. }))
    }

    pub(super) fn any_answered(&self) -> bool {
        self.iter().any(|candidate| matches!(candidate.state, State::Answered { .. }))
    }

    /// The candidate that was asked by `id` and has not answered. `None` makes late events harmless.
    pub(super) fn in_flight(&mut self, id: &NodeId) -> Option<&mut Candidate> {
        let at = self.find(id).ok()?;
        let candidate = &mut self.candidates[at];
        matches!(candidate.state, State::InFlight { .. }).then_some(candidate)
    }

    /// Marks the candidate at `at` as asked.
    pub(super) fn ask(&mut self, at: usize) -> &Candidate {
        let candidate = &mut self.candidates[at];
        candidate.state = State::InFlight { entry: self.asked.len(), hope: Hope::Sound, parked: false };
        self.asked.push(candidate.peer);
        candidate
    }

    /// Takes `peer` in, if it is new and there is room.
    pub(super) fn offer(&mut self, peer: Peer, origin: Origin) -> Offer {
        if peer.id == self.own {
            return Offer::OwnId;
        }
        if let Ok(at) = self.find(&peer.id) {
            let candidate = &mut self.candidates[at];
            if candidate.peer.addr != peer.addr {
                let named_by = origin.named_by;
                candidate.alternative.get_or_insert(Alternative { addr: peer.addr, by_own_word: false, named_by });
            }
            return Offer::Known;
        }
        match self.asked.iter().find(|asked| asked.addr == peer.addr) {
            Some(asked) if asked.id == peer.id => Offer::Known,
            Some(_) => Offer::AddressInUse,
            None => self.insert(peer, origin, false),
        }
    }

    /// Who has been displaced since this was asked last.
    pub(super) fn take_displaced(&mut self) -> Vec<(Peer, Option<usize>)> {
        std::mem::take(&mut self.displaced)
    }

    /// Removes a candidate whose query failed. Its other address takes its place, if one was named.
    pub(super) fn remove(&mut self, id: &NodeId) {
        if let Ok(at) = self.find(id) {
            let failed = self.candidates.remove(at);
            if let Some(Alternative { addr, by_own_word, named_by }) = failed.alternative {
                let peer = Peer::new(failed.peer.id, addr);
                let origin = Origin { named_by, ..failed.origin };
                if by_own_word {
                    self.insert(peer, origin, true);
                } else {
                    self.offer(peer, origin);
                }
            }
        }
    }

    /// Removes a candidate whose query never left this node. It was named all the same, and is not tried there again.
    pub(super) fn remove_unsent(&mut self, id: &NodeId) {
        self.unsent += 1;
        self.remove(id);
    }

    /// Replaces the candidate asked by `id` by the id that it gave itself, to be asked by that: otherwise a liar that
    /// names a peer's address with a false id would keep the peer out. This happens once for an address.
    pub(super) fn rename(&mut self, id: &NodeId, actual: NodeId) {
        let Some(candidate) = self.in_flight(id) else { return };
        let State::InFlight { entry, .. } = candidate.state else { return };
        let origin = Origin { hop: candidate.origin.hop, named_by: Some(entry) };
        let (peer, again) = (Peer::new(actual, candidate.peer.addr), candidate.by_own_word);
        self.remove(id);
        if again || actual == self.own {
            return;
        }
        match self.find(&actual) {
            // Who is right is open: the address that others named is asked first.
            Ok(at) => {
                let (addr, named_by) = (peer.addr, origin.named_by);
                self.candidates[at].alternative = Some(Alternative { addr, by_own_word: true, named_by });
            }
            Err(_) => {
                self.insert(peer, origin, true);
            }
        }
    }

    fn find(&self, id: &NodeId) -> Result<usize, usize> {
        let distance = id.distance(&self.target);
        self.candidates.binary_search_by(|candidate| candidate.distance.cmp(&distance))
    }

    fn insert(&mut self, peer: Peer, origin: Origin, by_own_word: bool) -> Offer {
        let distance = peer.id.distance(&self.target);
        match self.place_for(&peer, distance) {
            Err(refusal) => return refusal,
            Ok(Some(victim)) => {
                let victim = self.candidates.remove(victim);
                self.displaced.push((victim.peer, victim.origin.named_by));
            }
            Ok(None) => {}
        }
        let at = self.candidates.partition_point(|candidate| candidate.distance < distance);
        let candidate = Candidate { peer, state: State::Fresh, origin, distance, alternative: None, by_own_word };
        self.candidates.insert(at, candidate);
        Offer::Taken
    }

    /// The fresh candidate that must go to make room for `peer`, if any must. One is always enough: who has the same
    /// address is of the same subnet.
    fn place_for(&self, peer: &Peer, distance: Distance) -> Result<Option<usize>, Offer> {
        let gives_way = |at: usize, refusal: Offer| {
            if self.candidates[at].distance > distance { Ok(Some(at)) } else { Err(refusal) }
        };
        let fresh = |candidate: &Candidate| candidate.state == State::Fresh;
        if let Some(at) = self.iter().position(|candidate| fresh(candidate) && candidate.peer.addr == peer.addr) {
            return gives_way(at, Offer::AddressInUse);
        }
        if self.is_limited(peer) {
            let subnet = Subnet::of(&peer.addr.ip());
            let of_subnet = |candidate: &Candidate| Subnet::of(&candidate.peer.addr.ip()) == subnet;
            if self.iter().filter(|candidate| of_subnet(candidate)).count() >= self.max_per_subnet {
                let last = self.iter().rposition(|candidate| fresh(candidate) && of_subnet(candidate));
                return last.map_or(Err(Offer::SubnetFull), |at| gives_way(at, Offer::SubnetFull));
            }
        }
        if self.candidates.len() >= self.capacity {
            let last = self.iter().rposition(fresh);
            return last.map_or(Err(Offer::TooFar), |at| gives_way(at, Offer::TooFar));
        }
        Ok(None)
    }

    fn is_limited(&self, peer: &Peer) -> bool {
        match self.diversity {
            AppliesTo::Global => AddressScope::of(&peer.addr.ip()).is_global(),
            AppliesTo::Always => true,
            AppliesTo::Off => false,
        }
    }
}
