//! The trace of a lookup, for people: its queries and their results, the peers that it rejected, and its end. It is bounded by the
//! lookup's queries and decides nothing.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::candidate::Candidate;
use super::outcome::{Ending, Failure, Goal};
use super::shortlist::Offer;
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;
use crate::protocol::store::ValueDigest;

/// Rejected peers that a trace names. The counts cover all.
pub const MAX_REJECTED: usize = 128;
/// Of these, peers that one informant named, so that a liar does not displace the others.
pub const MAX_REJECTED_OF_ONE: usize = 8;

/// The trace of one lookup: at most as many entries as it may send queries, and 8 times as many that were not sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Trace {
    /// The id or the key's hash that was looked up.
    pub target: NodeId,
    /// Peers, or the value.
    pub goal: Goal,
    /// Each query, in the order of sending; those that never left this node are among them.
    pub asked: Vec<Asked>,
    /// The reasons for which named peers did not become candidates.
    pub turned_away: TurnedAway,
    /// The rejected peers, in the order of rejection: at most [`MAX_REJECTED`], and of one informant (or of our own table) at
    /// most [`MAX_REJECTED_OF_ONE`]. Peers that were known, unread or this node itself are not among them.
    pub rejected: Vec<Rejected>,
    /// The value that this node holds itself, where several votes were wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub here: Option<ValueDigest>,
    /// The number of ids nearer than the k-th that answered which did not: the peer was silent for the query timeout, or was not
    /// queried, or its query had not ended. 0 while the lookup runs.
    pub unheard: usize,
    /// The reason for its end; `None` while it runs.
    pub ending: Option<Ending>,
    /// Its duration in microseconds; `None` while it runs.
    pub lasted_us: Option<u64>,
    #[serde(skip)]
    started: Instant,
}

/// One query of a lookup.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Asked {
    /// The peer queried.
    pub peer: Peer,
    /// The bit length of its distance from the target (0..=160).
    pub bits: u32,
    /// 1 from our own table or the peers that answered other lookups lately, otherwise one more than that of the peer that named
    /// it. A peer that answered with another id than it was queried by is queried again at the same hop.
    pub hop: u32,
    /// The query whose answer named it: an earlier index in [`Trace::asked`]. `None`: our own table, or a peer that answered
    /// another lookup lately.
    pub named_by: Option<usize>,
    /// The time of the query, in microseconds from the beginning.
    pub asked_us: u64,
    /// The time of its answer or failure, in microseconds from the beginning.
    pub ended_us: Option<u64>,
    /// Whether its address did not answer the last query before, so that one more peer was queried.
    pub suspect: bool,
    /// Whether it was slower than its expected round trip.
    pub slow: bool,
    /// The result.
    pub came_back: CameBack,
    /// Its vote, where several votes were wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vote: Option<Vote>,
    /// The reasons for which peers in its answer did not become candidates.
    pub turned_away: TurnedAway,
}

/// A peer's answer with a value, where several are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Vote {
    /// The digest of the value.
    pub value: ValueDigest,
    /// Whether it counts: not if another peer of its network has voted before.
    pub counted: bool,
}

/// The result of one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CameBack {
    /// Nothing so far; after the end of the lookup: the query had not ended.
    Pending,
    /// Peers; in a lookup for a value that means "not held".
    Peers {
        /// The number of peers in the answer.
        named: usize,
        /// The number of them that became candidates, those rejected later included.
        taken: usize,
    },
    /// The value.
    Value,
    /// A value of a kind that this node cannot represent.
    Unsupported,
    /// No answer within the query's timeout.
    Silent,
    /// An answer from another node than the one asked.
    WrongId {
        /// The id in its answer.
        actual: NodeId,
    },
    /// The query never left this node.
    Unsent,
}

/// A peer that was named and is not queried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// The peer.
    pub peer: Peer,
    /// The query whose answer named it: an index in [`Trace::asked`]. `None`: our own table, or a peer that answered another lookup
    /// lately.
    pub named_by: Option<usize>,
    /// The reason.
    pub why: Rejection,
}

/// The reason for which a named peer is not queried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rejection {
    /// See [`TurnedAway::bad_address`].
    BadAddress,
    /// See [`TurnedAway::address_in_use`].
    AddressInUse,
    /// See [`TurnedAway::subnet_full`].
    SubnetFull,
}

/// Counts of named peers that did not become candidates, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct TurnedAway {
    /// Peers beyond the number that is read of one answer.
    pub unread: usize,
    /// Candidates already, or queried before. Normal: near peers name each other.
    pub known: usize,
    /// Our own id.
    pub own_id: usize,
    /// Peers with an address that is not one host's, or narrower than the informant's (docs/wire.md, 9.1).
    pub bad_address: usize,
    /// Peers at an address that was queried under another id before, or since. The latter count among those taken as well.
    pub address_in_use: usize,
    /// Peers of a subnet of which as many had answered as a lookup counts, before or since. The latter count among those taken
    /// as well.
    pub subnet_full: usize,
}

/// Counts of a lookup's queries, by result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
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
    /// In flight, or not ended with the lookup.
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
            suspect: false,
            slow: false,
            came_back: CameBack::Pending,
            vote: None,
            turned_away: TurnedAway::default(),
        });
    }

    pub(super) fn came_back(&mut self, entry: usize, what: CameBack, now: Instant) {
        let at = self.offset(now);
        let entry = &mut self.asked[entry];
        entry.came_back = what;
        entry.ended_us = Some(at);
    }

    /// Counts a named peer that was offered, or dropped before it was queried, and shows it among the rejected while there is room.
    pub(super) fn offered(&mut self, peer: Peer, named_by: Option<usize>, offer: Offer) {
        self.turned_away.count(offer);
        if let Some(entry) = named_by {
            self.asked[entry].turned_away.count(offer);
        }
        let Some(why) = Rejection::of(offer) else { return };
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
    fn count(&mut self, offer: Offer) {
        let count = match offer {
            Offer::Taken => return,
            Offer::Unread => &mut self.unread,
            Offer::Known => &mut self.known,
            Offer::OwnId => &mut self.own_id,
            Offer::BadAddress => &mut self.bad_address,
            Offer::AddressInUse => &mut self.address_in_use,
            Offer::SubnetFull => &mut self.subnet_full,
        };
        *count += 1;
    }
}

impl Rejection {
    /// The reason for which an offered peer was rejected; `None` if it was not, or is not to be mentioned.
    fn of(offer: Offer) -> Option<Self> {
        match offer {
            Offer::Taken | Offer::Unread | Offer::Known | Offer::OwnId => None,
            Offer::BadAddress => Some(Self::BadAddress),
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
    /// The time from the query to its answer or failure.
    pub fn took(&self) -> Option<Duration> {
        self.ended_us.map(|ended| Duration::from_micros(ended - self.asked_us))
    }
}
