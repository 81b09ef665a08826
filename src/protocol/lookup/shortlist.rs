//! A lookup's candidates, nearest to the target first: who may be asked, who has been, what became of it, and who named
//! them. When the lookup is over is not decided here.
//!
//! A candidate is an id *at an address*, as an informant named it: what one informant says takes nothing away from what
//! another says. So an id may be a candidate at several addresses and an address under several ids, and what is true is found
//! out by asking. Those go first whose informants have named the fewest that failed.

use std::net::SocketAddr;

use super::outcome::Failure;
use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::id::{Distance, NodeId};
use crate::protocol::peer::{Peer, Subnet};

/// How far a lookup for a value reads on past the k nearest, in multiples of k (docs/wire.md, 9.8).
pub(super) const READ_ON: usize = 5;

/// The unit in which debts are counted.
const QUERY: usize = 5_040;

/// What has become of a candidate so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Not asked yet.
    Fresh,
    /// Asked; `entry` is its place in the trace.
    InFlight { entry: usize, hope: Hope },
    /// Answered, with the value or with peers.
    Answered { with_value: bool },
    /// The query brought no answer from this id at this address.
    Failed(Failure),
}

/// How likely an answer is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hope {
    /// It is in time. It holds a slot.
    Sound,
    /// Its address was silent when it was asked last. It holds one of as many slots again, which are for such.
    Doubted,
    /// It is late. It holds no slot.
    Slow,
}

/// How a peer became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Provenance {
    /// 1 from our own table, otherwise one more than the informant's.
    pub(super) hop: u32,
    /// The informant's place in the trace.
    pub(super) named_by: Option<usize>,
}

impl Provenance {
    /// It stands in our own table.
    pub(super) const OWN_TABLE: Self = Self { hop: 1, named_by: None };
}

/// A peer that may be among the nearest.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) peer: Peer,
    pub(super) state: State,
    /// How it became known first.
    pub(super) origin: Provenance,
    distance: Distance,
    /// Where the number of a subnet's peers is limited.
    subnet: Option<Subnet>,
    /// All that named it, each once: places in the trace, or our own table.
    informants: Vec<Option<usize>>,
    /// The address gave this id itself when it was asked by another one.
    by_own_word: bool,
}

impl Candidate {
    /// `None` if it is not in flight.
    pub(super) fn hope(&self) -> Option<Hope> {
        match self.state {
            State::InFlight { hope, .. } => Some(hope),
            State::Fresh | State::Answered { .. } | State::Failed(_) => None,
        }
    }

    pub(super) fn is_answered(&self) -> bool {
        matches!(self.state, State::Answered { .. })
    }

    /// Whether an answer may still come, now or once it is asked.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Fresh | State::InFlight { .. })
    }

    /// Whether it counts against those that named it: it failed, or an answer is late, or is due where `due_counts`. What was never sent does not.
    fn is_debt(&self, due_counts: bool) -> bool {
        match self.state {
            State::InFlight { hope, .. } => due_counts || hope != Hope::Sound,
            State::Failed(why) => why != Failure::Unsent,
            State::Fresh | State::Answered { .. } => false,
        }
    }
}

/// What became of a peer that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Taken,
    /// It is, or has been, a candidate; or the same informant has named its id at another address.
    Known,
    OwnId,
    /// Its address was asked under another id.
    AddressInUse,
    /// As many of its subnet have answered as count.
    SubnetFull,
}

/// A candidate that was dropped before it was asked: who, whose answer had named it first, and why.
pub(super) type Dropped = (Peer, Option<usize>, Offer);

/// The nearest candidates, as far as they matter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Survey {
    /// Whom to ask next.
    pub(super) fresh: Option<usize>,
    /// An answer is due from one that is in time.
    pub(super) awaited: bool,
    /// Some have answered, and all nearer ones have answered or failed.
    pub(super) complete: bool,
}

/// The candidates, nearest first. At most as many as may be read of each answer, and one more for each query.
#[derive(Debug, Clone)]
pub(super) struct Shortlist {
    own: NodeId,
    target: NodeId,
    /// Sorted by distance; those of one id in the order of naming. No two are equal.
    candidates: Vec<Candidate>,
    /// How many were to be asked.
    asked: usize,
    /// How many of them were not, since the query never left this node.
    unsent: usize,
    /// Who was dropped, until that is [told](Shortlist::take_dropped).
    dropped: Vec<Dropped>,
    diversity: AppliesTo,
    max_per_subnet: usize,
}

impl Shortlist {
    pub(super) fn new(own: NodeId, target: NodeId, config: &Config) -> Self {
        Self {
            own,
            target,
            candidates: Vec::new(),
            asked: 0,
            unsent: 0,
            dropped: Vec::new(),
            diversity: config.diversity,
            max_per_subnet: config.max_per_subnet_lookup,
        }
    }

    /// All candidates, nearest first, those that failed included.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Candidate> {
        self.candidates.iter()
    }

    /// How many queries have been spent: all but `free` of those that never left this node.
    pub(super) fn spent(&self, free: usize) -> usize {
        self.asked - self.unsent.min(free)
    }

    /// How many queries hold one of `alpha` slots. Doubted ones do so only where there are more than `alpha` of them.
    pub(super) fn slots_held(&self, alpha: usize) -> usize {
        let count = |hope| self.iter().filter(|candidate| candidate.hope() == Some(hope)).count();
        count(Hope::Sound) + count(Hope::Doubted).saturating_sub(alpha)
    }

    /// Whether nothing nearer comes: of those that are likely alive the nearest has answered.
    pub(super) fn is_near(&self) -> bool {
        let likely = |candidate: &&Candidate| match candidate.state {
            State::Fresh | State::Answered { .. } => true,
            State::InFlight { hope, .. } => hope == Hope::Sound,
            State::Failed(_) => false,
        };
        self.iter().find(likely).is_some_and(Candidate::is_answered)
    }

    pub(super) fn any_in_flight(&self) -> bool {
        self.iter().any(|candidate| candidate.hope().is_some())
    }

    /// The candidate `peer`, if it was asked and no answer came yet. `None` makes late events harmless.
    pub(super) fn in_flight(&mut self, peer: &Peer) -> Option<&mut Candidate> {
        let at = self.find(peer)?;
        Some(&mut self.candidates[at]).filter(|candidate| candidate.hope().is_some())
    }

    /// Marks the candidate at `at` as asked.
    pub(super) fn ask(&mut self, at: usize) -> &Candidate {
        let candidate = &mut self.candidates[at];
        candidate.state = State::InFlight { entry: self.asked, hope: Hope::Sound };
        self.asked += 1;
        candidate
    }

    /// Takes `peer` in, if it is new, or takes down that one more informant named it.
    pub(super) fn offer(&mut self, peer: Peer, origin: Provenance) -> Offer {
        if peer.id == self.own {
            return Offer::OwnId;
        }
        if let Some(at) = self.find(&peer) {
            let informants = &mut self.candidates[at].informants;
            if !informants.contains(&origin.named_by) {
                informants.push(origin.named_by);
            }
            return Offer::Known;
        }
        if self.of_id(&peer.id).iter().any(|candidate| candidate.informants.contains(&origin.named_by)) {
            return Offer::Known;
        }
        let is_there =
            |is: fn(&State) -> bool| self.iter().any(|other| other.peer.addr == peer.addr && is(&other.state));
        if is_there(|state| matches!(state, State::Answered { .. } | State::Failed(Failure::WrongId { .. }))) {
            return Offer::AddressInUse;
        }
        if self.is_subnet_full(self.subnet_of(&peer), Candidate::is_answered) {
            return Offer::SubnetFull;
        }
        if is_there(|state| *state == State::Failed(Failure::Silent)) {
            // Nothing answers there, so it is not asked; and it has not been heard.
            self.insert(peer, State::Failed(Failure::Silent), origin, vec![origin.named_by], false);
            return Offer::AddressInUse;
        }
        self.insert(peer, State::Fresh, origin, vec![origin.named_by], false);
        Offer::Taken
    }

    /// Who has been dropped since this was asked last.
    pub(super) fn take_dropped(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.dropped)
    }

    /// `peer` answered: the entry in the trace of the query, and how it became known. Its address has no other id then.
    pub(super) fn answered(&mut self, peer: &Peer, with_value: bool) -> Option<(usize, Provenance)> {
        let candidate = self.in_flight(peer)?;
        let State::InFlight { entry, .. } = candidate.state else { return None };
        candidate.state = State::Answered { with_value };
        let origin = candidate.origin;
        self.drop_where(Offer::AddressInUse, |other| other.peer.addr == peer.addr);
        let subnet = self.subnet_of(peer);
        if self.is_subnet_full(subnet, Candidate::is_answered) {
            self.drop_where(Offer::SubnetFull, |other| other.subnet == subnet);
        }
        Some((entry, origin))
    }

    /// The query to `peer` failed. Where nothing answered, one by another id at its address would fail as well: the peers of
    /// these ids count as unheard. Where another id answered, that one alone is asked there, once: otherwise a liar that names a
    /// peer's address with a false id would keep the peer out. What was not sent says nothing of the address.
    pub(super) fn failed(&mut self, peer: &Peer, why: Failure) {
        let Some(candidate) = self.in_flight(peer) else { return };
        let State::InFlight { entry, .. } = candidate.state else { return };
        candidate.state = State::Failed(why);
        let (again, informants) = (candidate.by_own_word, candidate.informants.clone());
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
            Some(at) => self.candidates[at].by_own_word = true,
            None if self.is_subnet_full(self.subnet_of(&itself), Candidate::is_answered) => {}
            None => self.insert(itself, State::Fresh, origin, informants, true),
        }
    }

    /// Those that answered, nearest first, at most `width`: of an id the one that most have named, and no more of a subnet
    /// than count.
    pub(super) fn closest(&self, width: usize) -> Vec<&Candidate> {
        self.nearest(width, Candidate::is_answered)
    }

    /// Looks at the candidates that may be among the `width` nearest.
    pub(super) fn survey(&self, width: usize) -> Survey {
        let end = |nearest: &[&Candidate]| nearest.get(width - 1).map(|last| last.distance);
        let answered = self.nearest(width, Candidate::is_answered);
        let needed = end(&answered);
        let likely = self.nearest(width, |candidate| candidate.is_answered() || candidate.hope() == Some(Hope::Sound));
        Survey {
            fresh: self.choose(width),
            awaited: likely.iter().any(|candidate| candidate.hope() == Some(Hope::Sound)),
            complete: !answered.is_empty() && !self.within(needed).any(Candidate::is_open),
        }
    }

    /// How many ids nearer than the `width`-th that answered have not: they were silent, or were not asked or waited for
    /// to the end. Where another id answers they are not counted.
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

    /// Whom to ask next: of those whose informants are in the least debt the nearest, unless `width` nearer ones answered or
    /// are likely to, without being deeper in debt. So informants take turns as far as what they name fails, and one that
    /// names inventions holds up the others for few queries.
    fn choose(&self, width: usize) -> Option<usize> {
        let ranks = self.ranks();
        let fresh =
            || self.iter().zip(&ranks).enumerate().filter(|(_, (candidate, _))| candidate.state == State::Fresh);
        let mut levels: Vec<usize> = fresh().map(|(_, (_, rank))| *rank).collect();
        levels.sort_unstable();
        levels.dedup();
        levels.into_iter().find_map(|level| {
            let likely = self.iter().zip(&ranks).filter(|(candidate, rank)| {
                candidate.is_answered() || candidate.hope() == Some(Hope::Sound) && **rank <= level
            });
            let end =
                self.nearest_of(likely.map(|(candidate, _)| candidate), width).get(width - 1).map(|last| last.distance);
            let of_level = fresh().filter(|(_, (_, rank))| **rank == level).map(|(at, (candidate, _))| (at, candidate));
            let mut within = of_level.take_while(|(_, candidate)| end.is_none_or(|end| candidate.distance <= end));
            within.find(|(_, candidate)| self.may_be_asked(candidate)).map(|(at, _)| at)
        })
    }

    /// In how much debt the informants of each candidate are: those of a candidate that failed or is late owe one query
    /// together, and once nothing nearer comes, when many are asked at once, so do those of one that is in time. It counts what the one owes that owes
    /// least, in whole queries.
    fn ranks(&self) -> Vec<usize> {
        let due_counts = self.is_near();
        let place = |informant: &Option<usize>| informant.map_or(0, |entry| entry + 1);
        let mut debts = vec![0; self.asked + 1];
        for candidate in self.iter().filter(|candidate| candidate.is_debt(due_counts)) {
            let share = QUERY.div_ceil(candidate.informants.len());
            candidate.informants.iter().for_each(|informant| debts[place(informant)] += share);
        }
        let rank = |candidate: &Candidate| {
            candidate.informants.iter().map(|informant| debts[place(informant)] / QUERY).min().unwrap_or(0)
        };
        self.iter().map(rank).collect()
    }

    /// Whether neither its address nor its subnet stands against it for now.
    fn may_be_asked(&self, candidate: &Candidate) -> bool {
        let holds_place = |other: &Candidate| other.is_answered() || other.hope() == Some(Hope::Sound);
        let is_asked = |other: &Candidate| other.peer.addr == candidate.peer.addr && other.hope().is_some();
        !self.iter().any(is_asked) && !self.is_subnet_full(candidate.subnet, holds_place)
    }

    /// The candidates up to a distance, or all.
    fn within(&self, end: Option<Distance>) -> impl Iterator<Item = &Candidate> {
        self.iter().take_while(move |candidate| end.is_none_or(|end| candidate.distance <= end))
    }

    fn nearest(&self, width: usize, counts: impl Fn(&Candidate) -> bool) -> Vec<&Candidate> {
        self.nearest_of(self.iter().filter(|candidate| counts(candidate)), width)
    }

    /// The first `width` of these: one for each id, and no more of a subnet than count.
    fn nearest_of<'a>(&self, candidates: impl Iterator<Item = &'a Candidate>, width: usize) -> Vec<&'a Candidate> {
        let mut nearest: Vec<&Candidate> = Vec::new();
        for candidate in candidates {
            if let Some(last) = nearest.last_mut().filter(|last| last.peer.id == candidate.peer.id) {
                if candidate.informants.len() > last.informants.len() {
                    *last = candidate;
                }
                continue;
            }
            if nearest.len() == width {
                break;
            }
            if !self.is_full(candidate.subnet, nearest.iter().copied()) {
                nearest.push(candidate);
            }
        }
        nearest
    }

    fn subnet_of(&self, peer: &Peer) -> Option<Subnet> {
        let ip = peer.addr.ip();
        self.diversity.covers(&ip).then(|| Subnet::of(&ip))
    }

    /// Whether of a subnet as many `hold` a place as there are.
    fn is_subnet_full(&self, subnet: Option<Subnet>, holds: impl Fn(&Candidate) -> bool) -> bool {
        self.is_full(subnet, self.iter().filter(|candidate| holds(candidate)))
    }

    fn is_full<'a>(&self, subnet: Option<Subnet>, others: impl Iterator<Item = &'a Candidate>) -> bool {
        subnet.is_some() && others.filter(|other| other.subnet == subnet).count() >= self.max_per_subnet
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

    /// Nothing answers at `addr`: the ids that it was named with and not asked by fail with the one that was.
    fn fail_all_at(&mut self, addr: SocketAddr) {
        let fresh = |candidate: &&mut Candidate| candidate.peer.addr == addr && candidate.state == State::Fresh;
        for candidate in self.candidates.iter_mut().filter(fresh) {
            candidate.state = State::Failed(Failure::Silent);
            self.dropped.push((candidate.peer, candidate.origin.named_by, Offer::AddressInUse));
        }
    }

    /// The candidates of an id, in the order of naming.
    fn of_id(&self, id: &NodeId) -> &[Candidate] {
        let distance = id.distance(&self.target);
        let start = self.candidates.partition_point(|candidate| candidate.distance < distance);
        let end = self.candidates.partition_point(|candidate| candidate.distance <= distance);
        &self.candidates[start..end]
    }

    fn find(&self, peer: &Peer) -> Option<usize> {
        let distance = peer.id.distance(&self.target);
        let start = self.candidates.partition_point(|candidate| candidate.distance < distance);
        let of_id = self.of_id(&peer.id);
        of_id.iter().position(|candidate| candidate.peer == *peer).map(|at| start + at)
    }

    fn insert(
        &mut self,
        peer: Peer,
        state: State,
        origin: Provenance,
        informants: Vec<Option<usize>>,
        by_own_word: bool,
    ) {
        let distance = peer.id.distance(&self.target);
        let at = self.candidates.partition_point(|candidate| candidate.distance <= distance);
        let subnet = self.subnet_of(&peer);
        let candidate = Candidate { peer, state, origin, distance, subnet, informants, by_own_word };
        self.candidates.insert(at, candidate);
    }
}
