//! A lookup's candidates, nearest to the target first: their states and their informants. It does not decide when the lookup is
//! over.
//!
//! A candidate is an id *at an address*, as an informant named it. Informants may contradict each other, so an id may be a
//! candidate at several addresses and an address under several ids, until a query shows what is true. Candidates whose informants
//! have named the fewest that failed come first.

use std::net::SocketAddr;
use std::ops::Range;

use super::candidate::{Candidate, Expectation, Provenance, State};
use super::outcome::Failure;
use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::id::{Distance, NodeId};
use crate::protocol::peer::{Peer, Subnet};

/// The number of nearest peers up to which a lookup for a value reads on, in multiples of k (docs/wire.md, 9.8).
pub(super) const READ_ON: usize = 5;

/// The debt of one query, divisible by the usual numbers of informants.
const QUERY: usize = 5_040;

/// The result of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Taken,
    /// It is beyond the number of peers that is read of one answer.
    Unread,
    /// The peer is, or has been, a candidate; or the same informant has named its id at another address.
    Known,
    OwnId,
    /// Its address is not one host's, or narrower than the informant's.
    BadAddress,
    /// Its address was queried under another id.
    AddressInUse,
    /// As many peers of its subnet have answered as count.
    SubnetFull,
}

/// A candidate that was dropped before it was queried: the peer, its first informant, and the reason.
pub(super) type Dropped = (Peer, Option<usize>, Offer);

/// The nearest candidates, as far as they matter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Survey {
    /// The next candidate to query.
    pub(super) fresh: Option<usize>,
    /// Whether an answer is due from one that is in time.
    pub(super) awaited: bool,
    /// Whether some have answered, and all nearer ones have answered or failed.
    pub(super) complete: bool,
}

/// The candidates, nearest first: at most as many as are read of each answer, and one more for each query.
#[derive(Debug, Clone, Default)]
pub(super) struct Shortlist {
    own: NodeId,
    target: NodeId,
    /// Sorted by distance; those of one id in the order of naming. No two are equal.
    candidates: Vec<Candidate>,
    /// The number of queries begun.
    asked: usize,
    /// Of these, the queries that never left this node.
    unsent: usize,
    /// The dropped candidates that were not [taken](Shortlist::take_dropped) yet.
    dropped: Vec<Dropped>,
    diversity: AppliesTo,
    max_per_subnet: usize,
    /// The subnets of all that were candidates, each once. Candidates have the index: an informant alone does not make
    /// an entry, so these are at most as many as there were candidates.
    subnets: Vec<Subnet>,
}

impl Shortlist {
    pub(super) fn new(own: NodeId, target: NodeId, config: &Config) -> Self {
        let (diversity, max_per_subnet) = (config.table.diversity, config.table.max_per_subnet_lookup);
        Self { own, target, diversity, max_per_subnet, ..Self::default() }
    }

    /// All candidates, nearest first, those that failed included.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Candidate> {
        self.candidates.iter()
    }

    /// The number of queries spent: all but `free` of those that never left this node.
    pub(super) fn spent(&self, free: usize) -> usize {
        self.asked - self.unsent.min(free)
    }

    /// The next candidate to query that has one of `slots`. Of peers that only one informant named at most alpha hold one, and once
    /// no answer names a nearer peer, at most one of each informant: before the first of a liar's inventions has failed, it is like
    /// an honest one.
    pub(super) fn next_with_slot(&self, width: usize, slots: usize, alpha: usize) -> Option<usize> {
        if self.slots_held(slots, |_| true) >= slots {
            return None;
        }
        let room = self.slots_held(alpha, |other| !other.is_confirmed()) < alpha;
        let near = self.is_near();
        let is_tried = |informants: &[Option<usize>]| {
            let mut due = self.iter().filter(|other| other.expectation() == Some(Expectation::InTime));
            near && due.any(|other| other.informants == informants)
        };
        self.choose(width, |candidate| candidate.is_confirmed() || room && !is_tried(&candidate.informants))
    }

    /// The number of slots that queries to such candidates hold. Suspects do so only beyond `slots` of them.
    fn slots_held(&self, slots: usize, counts: impl Fn(&Candidate) -> bool) -> usize {
        let of =
            |expectation| self.iter().filter(|other| other.expectation() == Some(expectation) && counts(other)).count();
        of(Expectation::InTime) + of(Expectation::Suspect).saturating_sub(slots)
    }

    /// The number of queries that failed, or whose answer is late.
    pub(super) fn in_vain(&self) -> usize {
        self.iter().filter(|candidate| candidate.is_debt()).count()
    }

    /// The same of the candidates nearer than the `width`-th that answered.
    pub(super) fn in_vain_within(&self, width: usize) -> usize {
        let needed = self.closest(width).get(width - 1).map(|last| last.distance);
        self.within(needed).filter(|candidate| candidate.is_debt()).count()
    }

    /// Whether no answer names a nearer peer: of the candidates that are likely alive the nearest has answered.
    pub(super) fn is_near(&self) -> bool {
        let likely = |candidate: &&Candidate| candidate.state == State::Fresh || candidate.is_likely();
        self.iter().find(likely).is_some_and(Candidate::is_answered)
    }

    pub(super) fn any_in_flight(&self) -> bool {
        self.iter().any(|candidate| candidate.expectation().is_some())
    }

    /// The candidate `peer`, if its query is in flight. `None` makes late events harmless.
    pub(super) fn in_flight(&mut self, peer: &Peer) -> Option<&mut Candidate> {
        let at = self.find(peer)?;
        Some(&mut self.candidates[at]).filter(|candidate| candidate.expectation().is_some())
    }

    /// Marks the candidate at `at` as queried.
    pub(super) fn ask(&mut self, at: usize) -> &Candidate {
        let candidate = &mut self.candidates[at];
        candidate.state = State::InFlight { entry: self.asked, expectation: Expectation::InTime };
        self.asked += 1;
        candidate
    }

    /// Inserts `peer` if it is new; otherwise notes that one more informant named it.
    pub(super) fn offer(&mut self, peer: Peer, origin: Provenance) -> Offer {
        if peer.id == self.own {
            return Offer::OwnId;
        }
        let of_id = self.places_of(&peer.id);
        let of_id = &mut self.candidates[of_id];
        if let Some(known) = of_id.iter_mut().find(|candidate| candidate.peer == peer) {
            if !known.informants.contains(&origin.named_by) {
                known.informants.push(origin.named_by);
            }
            return Offer::Known;
        }
        if of_id.iter().any(|candidate| candidate.informants.contains(&origin.named_by)) {
            return Offer::Known;
        }
        let is_there =
            |is: fn(&State) -> bool| self.iter().any(|other| other.peer.addr == peer.addr && is(&other.state));
        if is_there(|state| matches!(state, State::Answered { .. } | State::Failed(Failure::WrongId { .. }))) {
            return Offer::AddressInUse;
        }
        if self.is_subnet_full(self.subnet(&peer), Candidate::is_answered) {
            return Offer::SubnetFull;
        }
        let silent = is_there(|state| *state == State::Failed(Failure::Silent));
        let candidate = self.candidate(peer, origin);
        if silent {
            // Nothing answers there, so it is not queried, and counts as unheard.
            self.insert(Candidate { state: State::Failed(Failure::Silent), ..candidate });
            return Offer::AddressInUse;
        }
        self.insert(candidate);
        Offer::Taken
    }

    /// The candidates dropped since the last call.
    pub(super) fn take_dropped(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.dropped)
    }

    /// `peer` answered: the query's index in the trace, and the candidate's origin. Its address has no other id then.
    pub(super) fn answered(&mut self, peer: &Peer, with_value: bool) -> Option<(usize, Provenance)> {
        let candidate = self.in_flight(peer)?;
        let State::InFlight { entry, .. } = candidate.state else { return None };
        candidate.state = State::Answered { with_value };
        let (origin, subnet) = (candidate.origin, candidate.subnet);
        self.drop_where(Offer::AddressInUse, |other| other.peer.addr == peer.addr);
        if self.is_subnet_full(subnet, Candidate::is_answered) {
            self.drop_where(Offer::SubnetFull, |other| other.subnet == subnet);
        }
        Some((entry, origin))
    }

    /// The query to `peer` failed. Where nothing answered, a query by another id at its address would fail as well: these ids
    /// count as unheard. Where another id answered, that one alone is queried there, once: otherwise a liar that names a peer's
    /// address with a false id would exclude the peer. A query that was not sent shows nothing about the address.
    pub(super) fn failed(&mut self, peer: &Peer, why: Failure) {
        let Some(candidate) = self.in_flight(peer) else { return };
        let State::InFlight { entry, .. } = candidate.state else { return };
        candidate.state = State::Failed(why);
        let (again, informants) = (candidate.self_named, candidate.informants.clone());
        let origin = Provenance { named_by: Some(entry), ..candidate.origin };
        self.unsent += usize::from(why == Failure::Unsent);
        let itself = match why {
            Failure::Unsent => return,
            Failure::Silent => return self.fail_all_at(peer.addr),
            Failure::WrongId { actual } => Some(Peer::new(actual, peer.addr)).filter(|it| !again && it.id != self.own),
        };
        self.drop_where(Offer::AddressInUse, |other| other.peer.addr == peer.addr && Some(other.peer) != itself);
        let Some(itself) = itself else { return };
        match self.find(&itself) {
            Some(at) => self.candidates[at].self_named = true,
            None if self.is_subnet_full(self.subnet(&itself), Candidate::is_answered) => {}
            None => {
                let candidate = self.candidate(itself, origin);
                self.insert(Candidate { informants, self_named: true, ..candidate });
            }
        }
    }

    /// The candidates that answered, nearest first, at most `width`: of an id the one with the most informants, and no more of a
    /// subnet than count.
    pub(super) fn closest(&self, width: usize) -> Vec<&Candidate> {
        self.nearest(width, Candidate::is_answered)
    }

    /// Surveys the candidates that may be among the `width` nearest.
    pub(super) fn survey(&self, width: usize) -> Survey {
        let end = |nearest: &[&Candidate]| nearest.get(width - 1).map(|last| last.distance);
        let answered = self.nearest(width, Candidate::is_answered);
        let needed = end(&answered);
        let likely = self.nearest(width, Candidate::is_likely);
        Survey {
            fresh: self.choose(width, |_| true),
            awaited: likely.iter().any(|candidate| candidate.expectation() == Some(Expectation::InTime)),
            complete: !answered.is_empty() && !self.within(needed).any(Candidate::is_open),
        }
    }

    /// The number of ids nearer than the `width`-th that answered which have not: they were silent, or were not queried, or
    /// their query had not ended. An id at whose address another one answers does not count.
    pub(super) fn unheard(&self, width: usize) -> usize {
        let needed = self.closest(width).get(width - 1).map(|last| last.distance);
        let mut ids: Vec<&NodeId> = Vec::new();
        for candidate in self.within(needed) {
            let unheard =
                candidate.is_open() || matches!(candidate.state, State::Failed(Failure::Silent | Failure::Unsent));
            let id = &candidate.peer.id;
            if unheard && ids.last() != Some(&id) && !self.of_id(id).iter().any(Candidate::is_answered) {
                ids.push(id);
            }
        }
        ids.len()
    }

    /// The next candidate to query: the nearest of those whose informants have the least debt, unless `width` nearer ones of no
    /// more debt answered or are likely to. So informants alternate as far as their candidates fail, and one that names
    /// inventions delays the others by few queries.
    fn choose(&self, width: usize, counts: impl Fn(&Candidate) -> bool) -> Option<usize> {
        let ranks = self.ranks();
        let fresh =
            || self.iter().zip(&ranks).enumerate().filter(|(_, (candidate, _))| candidate.state == State::Fresh);
        let mut levels: Vec<usize> = fresh().map(|(_, (_, rank))| *rank).collect();
        levels.sort_unstable();
        levels.dedup();
        levels.into_iter().find_map(|level| {
            let likely = self.iter().zip(&ranks).filter(|(candidate, rank)| {
                candidate.is_answered() || candidate.expectation() == Some(Expectation::InTime) && **rank <= level
            });
            let end =
                self.nearest_of(likely.map(|(candidate, _)| candidate), width).get(width - 1).map(|last| last.distance);
            let of_level = fresh().filter(|(_, (_, rank))| **rank == level).map(|(at, (candidate, _))| (at, candidate));
            let mut within = of_level.take_while(|(_, candidate)| end.is_none_or(|end| candidate.distance <= end));
            within.find(|(_, candidate)| counts(candidate) && self.may_be_asked(candidate)).map(|(at, _)| at)
        })
    }

    /// The debt of each candidate that may still answer, in whole queries: the least debt among its informants. The informants of a
    /// candidate that failed or is late owe one query together.
    fn ranks(&self) -> Vec<usize> {
        let place = |informant: &Option<usize>| informant.map_or(0, |entry| entry + 1);
        if !self.iter().any(Candidate::is_debt) {
            return vec![0; self.candidates.len()];
        }
        let mut debts = vec![0; self.asked + 1];
        for candidate in self.iter().filter(|candidate| candidate.is_debt()) {
            let share = QUERY.div_ceil(candidate.informants.len());
            candidate.informants.iter().for_each(|informant| debts[place(informant)] += share);
        }
        // Of the others it does not matter.
        let rank = |candidate: &Candidate| match candidate.is_open() {
            false => 0,
            true => candidate.informants.iter().map(|informant| debts[place(informant)] / QUERY).min().unwrap_or(0),
        };
        self.iter().map(rank).collect()
    }

    /// Whether the candidate may be queried now: no query to its address is in flight, and its subnet is not full.
    fn may_be_asked(&self, candidate: &Candidate) -> bool {
        let is_asked = |other: &Candidate| other.peer.addr == candidate.peer.addr && other.expectation().is_some();
        !self.iter().any(is_asked) && !self.is_subnet_full(candidate.subnet, Candidate::is_likely)
    }

    /// The candidates up to the distance `end`, or all.
    fn within(&self, end: Option<Distance>) -> impl Iterator<Item = &Candidate> {
        self.iter().take_while(move |candidate| end.is_none_or(|end| candidate.distance <= end))
    }

    fn nearest(&self, width: usize, counts: impl Fn(&Candidate) -> bool) -> Vec<&Candidate> {
        self.nearest_of(self.iter().filter(|candidate| counts(candidate)), width)
    }

    /// The first `width` of these candidates: one for each id, and no more of a subnet than count.
    fn nearest_of<'a>(&self, candidates: impl Iterator<Item = &'a Candidate>, width: usize) -> Vec<&'a Candidate> {
        let mut nearest: Vec<&Candidate> = Vec::with_capacity(width);
        let mut places = vec![0; self.subnets.len()];
        for candidate in candidates {
            if let Some(last) = nearest.last_mut().filter(|last| last.distance == candidate.distance) {
                if candidate.informants.len() > last.informants.len() {
                    last.subnet.into_iter().for_each(|subnet| places[subnet] -= 1);
                    candidate.subnet.into_iter().for_each(|subnet| places[subnet] += 1);
                    *last = candidate;
                }
                continue;
            }
            if nearest.len() == width {
                break;
            }
            let has_room = |subnet: usize| places[subnet] < self.max_per_subnet;
            if candidate.subnet.is_none_or(has_room) {
                candidate.subnet.into_iter().for_each(|subnet| places[subnet] += 1);
                nearest.push(candidate);
            }
        }
        nearest
    }

    /// Whether as many candidates of the subnet as count `hold` a place.
    fn is_subnet_full(&self, subnet: Option<usize>, holds: impl Fn(&Candidate) -> bool) -> bool {
        let held = || self.iter().filter(|candidate| candidate.subnet == subnet && holds(candidate)).count();
        subnet.is_some() && held() >= self.max_per_subnet
    }

    /// The index of the subnet of `peer`, if the number of its peers is limited and one of them is or was a candidate.
    fn subnet(&self, peer: &Peer) -> Option<usize> {
        let subnet = self.diversity.subnet(&peer.addr.ip())?;
        self.subnets.iter().position(|known| *known == subnet)
    }

    fn drop_where(&mut self, why: Offer, goes: impl Fn(&Candidate) -> bool) {
        let dropped = &mut self.dropped;
        self.candidates.retain(|candidate| {
            let stays = candidate.state != State::Fresh || !goes(candidate);
            if !stays {
                dropped.push((candidate.peer, candidate.origin.named_by, why));
            }
            stays
        });
    }

    /// Fails the candidates at `addr` that were not queried, since nothing answers there.
    fn fail_all_at(&mut self, addr: SocketAddr) {
        let fresh = |candidate: &&mut Candidate| candidate.peer.addr == addr && candidate.state == State::Fresh;
        for candidate in self.candidates.iter_mut().filter(fresh) {
            candidate.state = State::Failed(Failure::Silent);
            self.dropped.push((candidate.peer, candidate.origin.named_by, Offer::AddressInUse));
        }
    }

    /// Where the candidates of an id stand, in the order of naming, or where the first one would.
    fn places_of(&self, id: &NodeId) -> Range<usize> {
        let distance = id.distance(&self.target);
        let start = self.candidates.partition_point(|candidate| candidate.distance < distance);
        let of_id = self.candidates[start..].iter().take_while(|candidate| candidate.distance == distance);
        start..start + of_id.count()
    }

    fn of_id(&self, id: &NodeId) -> &[Candidate] {
        &self.candidates[self.places_of(id)]
    }

    fn find(&self, peer: &Peer) -> Option<usize> {
        self.places_of(&peer.id).find(|at| self.candidates[*at].peer == *peer)
    }

    /// A new candidate, which was not queried.
    fn candidate(&mut self, peer: Peer, origin: Provenance) -> Candidate {
        let subnet = self.subnet(&peer).or_else(|| {
            self.subnets.push(self.diversity.subnet(&peer.addr.ip())?);
            Some(self.subnets.len() - 1)
        });
        let (distance, informants) = (peer.id.distance(&self.target), vec![origin.named_by]);
        Candidate { peer, state: State::Fresh, origin, distance, subnet, informants, self_named: false }
    }

    fn insert(&mut self, candidate: Candidate) {
        let at = self.candidates.partition_point(|other| other.distance <= candidate.distance);
        self.candidates.insert(at, candidate);
    }
}
