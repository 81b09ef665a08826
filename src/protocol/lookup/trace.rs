//! What a lookup did, for people: whom it asked, what came back, whom it turned away and how it ended.
//! It is bounded by the lookup's queries and decides nothing.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::outcome::{Ending, Failure, Goal};
use super::shortlist::{Candidate, Offer};
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;
use crate::protocol::store::ValueDigest;

/// Rejected peers that a trace names. The counts tell of all.
pub const MAX_REJECTED: usize = 128;
/// Of these, peers that one informant named, so that a liar does not keep out the others.
pub const MAX_REJECTED_OF_ONE: usize = 8;

/// One lookup, told in order. At most as many entries as the lookup may send queries, and 8 times as many that were not sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Trace {
    /// What was looked for.
    pub target: NodeId,
    /// Peers, or the value.
    pub goal: Goal,
    /// Each query, in the order of sending; those that never left this node are among them.
    pub asked: Vec<Asked>,
    /// Why peers that were named did not become candidates.
    pub turned_away: TurnedAway,
    /// Who they were, in the order of their rejection: at most [`MAX_REJECTED`], and of one informant (or of our own table)
    /// at most [`MAX_REJECTED_OF_ONE`]. Whoever was known, is this node itself or was not even read is not among them.
    pub rejected: Vec<Rejected>,
    /// Which value this node holds itself, where several votes were wanted and it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub here: Option<ValueDigest>,
    /// Of how many ids nearer than the k-th that answered no answer came: the peer was silent for the query timeout, or was
    /// not asked, or not waited for to the end. 0 while the lookup runs.
    pub unheard: usize,
    /// How it ended; `None` while it runs.
    pub ending: Option<Ending>,
    /// How long it took, in microseconds; `None` while it runs.
    pub lasted_us: Option<u64>,
    #[serde(skip)]
    started: Instant,
}

/// One query of a lookup.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Asked {
    /// Who was asked.
    pub peer: Peer,
    /// How far it is from the target: the bit length of the distance (0..=160).
    pub bits: u32,
    /// 1 from our own table, otherwise one more than that of the peer that named it. A peer that gave another id than
    /// it was asked by is asked again at the same hop.
    pub hop: u32,
    /// Whose answer named it: a place in [`Trace::asked`], always an earlier one. `None`: our own table.
    pub named_by: Option<usize>,
    /// When it was asked, in microseconds from the beginning.
    pub asked_us: u64,
    /// When its answer or failure was known, in microseconds from the beginning.
    pub ended_us: Option<u64>,
    /// Whether its address had been silent when it was asked before, so that one more was asked besides.
    pub doubted: bool,
    /// Whether it was slower than its expected round trip.
    pub slow: bool,
    /// What came back.
    pub came_back: CameBack,
    /// For which value it voted, where several votes were wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vote: Option<Vote>,
    /// Why peers that its answer named did not become candidates.
    pub turned_away: TurnedAway,
}

/// A peer's answer with a value, where several are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Vote {
    /// Which value.
    pub value: ValueDigest,
    /// Whether it counts: not if another peer of its network has voted before.
    pub counted: bool,
}

/// What came back from one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CameBack {
    /// Nothing so far; after the end of the lookup: it was not waited for, or not to the end.
    Pending,
    /// Peers; in a lookup for a value that means "not held".
    Peers {
        /// How many were named.
        named: usize,
        /// How many of them became candidates, those included that were turned away later.
        taken: usize,
    },
    /// The value.
    Value,
    /// A value of a kind that this node cannot represent.
    Unsupported,
    /// Nothing within the query's timeout.
    Silent,
    /// An answer from another node than the one asked.
    WrongId {
        /// The id that it gave.
        actual: NodeId,
    },
    /// The query never left this node.
    Unsent,
}

/// A peer that was named and not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// Who.
    pub peer: Peer,
    /// Whose answer named it: a place in [`Trace::asked`]. `None`: our own table.
    pub named_by: Option<usize>,
    /// Why.
    pub why: Rejection,
}

/// Why a peer that was named is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// See [`TurnedAway::bad_address`].
    BadAddress,
    /// See [`TurnedAway::address_in_use`].
    AddressInUse,
    /// See [`TurnedAway::subnet_full`].
    SubnetFull,
}

/// How many named peers did not become candidates, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TurnedAway {
    /// Beyond the number of peers that are read of one answer.
    pub unread: usize,
    /// Candidates already, or asked before. Normal: near peers name each other.
    pub known: usize,
    /// Our own id.
    pub own_id: usize,
    /// An address that is not one host's, or narrower than the informant's (docs/wire.md, 9.1).
    pub bad_address: usize,
    /// An address that was asked under another id before, or since. The latter counts among those that were taken as well.
    pub address_in_use: usize,
    /// Of a subnet of which as many had answered as a lookup counts, before or since. The latter counts among those that
    /// were taken as well.
    pub subnet_full: usize,
}

/// What became of a lookup's queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// Queries in all, sent or not: the sum of the others.
    pub asked: usize,
    /// Answered, with peers or the value.
    pub answered: usize,
    /// Timed out.
    pub silent: usize,
    /// Answered by another node than the one asked.
    pub wrong_id: usize,
    /// Never left this node.
    pub unsent: usize,
    /// Under way, or not waited for.
    pub pending: usize,
}

impl Trace {
    pub(super) fn new(target: NodeId, goal: Goal, now: Instant) -> Self {
        Self {
            target,
            goal,
            asked: Vec::new(),
            turned_away: TurnedAway::default(),
            rejected: Vec::new(),
            here: None,
            unheard: 0,
            ending: None,
            lasted_us: None,
            started: now,
        }
    }

    /// The counts of all queries.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally { asked: self.asked.len(), ..Tally::default() };
        for entry in &self.asked {
            let count = match entry.came_back {
                CameBack::Pending => &mut tally.pending,
                CameBack::Peers { .. } | CameBack::Value | CameBack::Unsupported => &mut tally.answered,
                CameBack::Silent => &mut tally.silent,
                CameBack::WrongId { .. } => &mut tally.wrong_id,
                CameBack::Unsent => &mut tally.unsent,
            };
            *count += 1;
        }
        tally
    }

    pub(super) fn ask(&mut self, candidate: &Candidate, now: Instant) {
        self.asked.push(Asked {
            peer: candidate.peer,
            bits: candidate.peer.id.distance(&self.target).bits(),
            hop: candidate.origin.hop,
            named_by: candidate.origin.named_by,
            asked_us: self.offset(now),
            ended_us: None,
            doubted: false,
            slow: false,
            came_back: CameBack::Pending,
            vote: None,
            turned_away: TurnedAway::default(),
        });
    }

    pub(super) fn doubted(&mut self, entry: usize) {
        self.asked[entry].doubted = true;
    }

    pub(super) fn voted(&mut self, entry: usize, vote: Vote) {
        self.asked[entry].vote = Some(vote);
    }

    pub(super) fn slow(&mut self, entry: usize) {
        self.asked[entry].slow = true;
    }

    pub(super) fn came_back(&mut self, entry: usize, what: CameBack, now: Instant) {
        let at = self.offset(now);
        let entry = &mut self.asked[entry];
        entry.came_back = what;
        entry.ended_us = Some(at);
    }

    /// Peers that an answer named were turned away.
    pub(super) fn turned_away(&mut self, entry: usize, peers: TurnedAway) {
        self.asked[entry].turned_away = peers;
        self.turned_away.add(&peers);
    }

    /// This candidate was turned away before it was asked.
    pub(super) fn dropped(&mut self, peer: Peer, named_by: Option<usize>, why: Offer) {
        self.turned_away.count(why);
        if let Some(entry) = named_by {
            self.asked[entry].turned_away.count(why);
        }
        if let Some(why) = Rejection::of(why) {
            self.rejected(peer, named_by, why);
        }
    }

    /// Names a peer that is not followed, while there is room for it.
    pub(super) fn rejected(&mut self, peer: Peer, named_by: Option<usize>, why: Rejection) {
        let of_one = self.rejected.iter().filter(|rejected| rejected.named_by == named_by);
        if self.rejected.len() < MAX_REJECTED && of_one.count() < MAX_REJECTED_OF_ONE {
            self.rejected.push(Rejected { peer, named_by, why });
        }
    }

    pub(super) fn end(&mut self, ending: Ending, now: Instant) {
        self.ending = Some(ending);
        self.lasted_us = Some(self.offset(now));
    }

    fn offset(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_micros() as u64
    }
}

impl TurnedAway {
    pub(super) fn count(&mut self, offer: Offer) {
        let count = match offer {
            Offer::Taken => return,
            Offer::Known => &mut self.known,
            Offer::OwnId => &mut self.own_id,
            Offer::AddressInUse => &mut self.address_in_use,
            Offer::SubnetFull => &mut self.subnet_full,
        };
        *count += 1;
    }

    fn add(&mut self, other: &TurnedAway) {
        self.unread += other.unread;
        self.known += other.known;
        self.own_id += other.own_id;
        self.bad_address += other.bad_address;
        self.address_in_use += other.address_in_use;
        self.subnet_full += other.subnet_full;
    }
}

impl Rejection {
    /// Why the peer was turned away that was offered; `None` if it was not, or needs no mention.
    pub(super) fn of(offer: Offer) -> Option<Self> {
        match offer {
            Offer::Taken | Offer::Known | Offer::OwnId => None,
            Offer::AddressInUse => Some(Self::AddressInUse),
            Offer::SubnetFull => Some(Self::SubnetFull),
        }
    }
}

impl From<Failure> for CameBack {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Silent => Self::Silent,
            Failure::WrongId { actual } => Self::WrongId { actual },
            Failure::Unsent => Self::Unsent,
        }
    }
}

impl Asked {
    /// How long the answer took, if one came or the query failed.
    pub fn took(&self) -> Option<Duration> {
        self.ended_us.map(|ended| Duration::from_micros(ended - self.asked_us))
    }
}
