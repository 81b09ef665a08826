//! One iterative lookup: its own shortlist, who is asked next, when it is over, why.
//! It sends nothing, times nothing out and holds no value: its owner asks whom it names and tells it what came back.

mod ballot;
mod outcome;
mod shortlist;
mod trace;

#[cfg(test)]
mod tests;

use std::time::Instant;

pub use self::ballot::{Ballot, Votes};
pub use self::outcome::{Ending, Failure, Goal, Next};
use self::shortlist::{Hope, Offer, Provenance, READ_ON, Shortlist, State};
pub use self::trace::{
    Asked, CameBack, MAX_REJECTED, MAX_REJECTED_OF_ONE, Rejected, Rejection, Tally, Trace, TurnedAway, Vote,
};
use super::config::Config;
use super::id::NodeId;
use super::message::MAX_PEERS_READ;
use super::peer::{self, Peer};
use super::store::ValueDigest;

/// Queries that were [not sent](Failure::Unsent) cost a lookup nothing, up to so many for each that it may send; a further
/// one counts as sent. Each answer names [`MAX_PEERS_READ`] at most, so whoever wants a lookup to have spent its queries on
/// addresses that are not asked has to answer a quarter of them.
pub const UNSENT_PER_QUERY: usize = 8;

/// One lookup. Call [`Lookup::next`] until it is not [`Next::Query`], and again after each event.
///
/// Never more than alpha queries hold a slot, or k in a lookup for a value once nothing nearer comes; a query holds one until it ends or is [slow](Lookup::handle_slow). Those
/// that are [doubted](Lookup::handle_doubted) hold alpha slots of their own. For each query that is one or the other, one
/// peer more is asked: so the dead are waited for together, and have been replaced by then. Each of the nearest is waited
/// for until it has answered or failed.
///
/// What informants say is taken as their word. Each may name one address for an id, and an id that several name at
/// different addresses is asked at each. The nearest are asked first, but informants of whose names some have failed, or are
/// late, wait for those of whose names fewer have. So a minority that lies about ids and addresses costs queries and hides
/// nobody: who lies is held up by the first lie, and a peer that another informant named is asked at its turn.
///
/// No peer is asked twice, and no address, except that a peer that answered under another id is asked once more by the id
/// that it gave. All ends after [`Config::lookup_queries`] queries or at [`Config::lookup_deadline`], whatever peers answer.
/// What was not sent (`Failure::Unsent`) is none of these queries, up to `UNSENT_PER_QUERY` for each of them.
///
/// Events about a peer that is not being waited for are ignored.
#[derive(Debug, Clone)]
pub struct Lookup {
    shortlist: Shortlist,
    trace: Trace,
    k: usize,
    alpha: usize,
    max_queries: usize,
    reads_on: bool,
    deadline: Instant,
}

impl Lookup {
    /// A lookup of `target` that starts from `seeds`: the nearest of our own table, whose addresses are not checked
    /// again. With `read_on` a lookup for a value asks on past the k nearest to 5 k on a miss (docs/wire.md, 9.8).
    pub fn new(
        own: NodeId,
        target: NodeId,
        goal: Goal,
        config: &Config,
        read_on: bool,
        seeds: &[Peer],
        now: Instant,
    ) -> Self {
        let mut lookup = Self {
            shortlist: Shortlist::new(own, target, config),
            trace: Trace::new(target, goal, now),
            k: config.k,
            alpha: config.alpha,
            max_queries: config.lookup_queries(),
            reads_on: read_on && goal == Goal::Value,
            deadline: now + config.lookup_deadline,
        };
        for seed in seeds {
            let offer = lookup.shortlist.offer(*seed, Provenance::OWN_TABLE);
            lookup.trace.turned_away.count(offer);
            lookup.note_rejection(*seed, None, offer);
        }
        lookup
    }

    /// What to do next.
    pub fn next(&mut self, now: Instant) -> Next {
        if let Some(ending) = self.trace.ending {
            return Next::Finished(ending);
        }
        if self.shortlist.iter().all(|candidate| matches!(candidate.state, State::Failed(_))) {
            return self.finish(Ending::NoPeers, now);
        }
        let core = self.shortlist.survey(self.k);
        if core.complete && !self.reads_on {
            return self.finish(Ending::Complete, now);
        }
        let short_of = |ending| if core.complete { Ending::Complete } else { ending };
        if now >= self.deadline {
            return self.finish(short_of(Ending::DeadlinePassed), now);
        }
        let may_ask = self.shortlist.spent(UNSENT_PER_QUERY * self.max_queries) < self.max_queries;
        let miss = core.fresh.is_none() && !core.awaited;
        let window = if self.reads_on && miss { self.shortlist.survey(READ_ON * self.k) } else { core };
        let over = match window.fresh {
            Some(at) if may_ask => {
                let slots = self.slots();
                if self.shortlist.slots_held(slots) < slots {
                    let candidate = self.shortlist.ask(at);
                    self.trace.ask(candidate, now);
                    return Next::Query(candidate.peer);
                }
                None
            }
            // What is under way may still be better than what there is, and what is not sent in the end is not spent.
            Some(_) => (!self.shortlist.any_in_flight()).then(|| short_of(Ending::OutOfQueries)),
            None => window.complete.then_some(Ending::Complete),
        };
        match over {
            Some(ending) => self.finish(ending, now),
            None => Next::Wait { until: self.deadline },
        }
    }

    /// `from` answered with peers; in a lookup for a value that says "not held". They are taken as `from`'s word:
    /// checked against its address, and only the first [`MAX_PEERS_READ`] are read.
    pub fn handle_peers(&mut self, from: &Peer, peers: &[Peer], now: Instant) {
        let Some((entry, hop)) = self.answered(from, false) else { return };
        let origin = Provenance { hop: hop + 1, named_by: Some(entry) };
        let read = peers.len().min(MAX_PEERS_READ.max(self.k));
        let mut turned_away = TurnedAway { unread: peers.len() - read, ..TurnedAway::default() };
        let mut taken = 0;
        for named in &peers[..read] {
            if peer::check_named(&named.addr, &from.addr).is_err() {
                turned_away.bad_address += 1;
                self.trace.rejected(*named, Some(entry), Rejection::BadAddress);
                continue;
            }
            let offer = self.shortlist.offer(*named, origin);
            taken += usize::from(offer == Offer::Taken);
            turned_away.count(offer);
            self.note_rejection(*named, Some(entry), offer);
        }
        self.trace.turned_away(entry, turned_away);
        self.trace.came_back(entry, CameBack::Peers { named: peers.len(), taken }, now);
    }

    /// `from` answered with the value, which the lookup's owner keeps. This ends the lookup.
    pub fn handle_value(&mut self, from: &Peer, now: Instant) {
        let Some((entry, _)) = self.answered(from, true) else { return };
        self.trace.came_back(entry, CameBack::Value, now);
        self.end(Ending::Found, now);
    }

    /// `from` answered with a value, one of several that are wanted: the lookup goes on until there are enough
    /// ([`Lookup::found`]), or nobody is left to ask. Whose vote counts is decided elsewhere; `vote` is for the trace.
    pub fn handle_vote(&mut self, from: &Peer, vote: Vote, now: Instant) {
        let Some((entry, _)) = self.answered(from, true) else { return };
        self.trace.voted(entry, vote);
        self.trace.came_back(entry, CameBack::Value, now);
    }

    /// `from` holds a value of a kind that this node cannot represent. Another may hold one that it can, so the lookup goes on.
    pub fn handle_unsupported(&mut self, from: &Peer, now: Instant) {
        let Some((entry, _)) = self.answered(from, true) else { return };
        self.trace.came_back(entry, CameBack::Unsupported, now);
    }

    /// This node itself holds the value of this digest, and votes for it.
    pub fn voted_here(&mut self, value: ValueDigest) {
        self.trace.here = Some(value);
    }

    /// As many have answered with the value as were wanted. This ends the lookup.
    pub fn found(&mut self, now: Instant) {
        if self.trace.ending.is_none() {
            self.end(Ending::Found, now);
        }
    }

    /// The address of `from`, which has just been asked, was silent when it was asked last: most likely it is dead, so
    /// the next nearest is asked besides.
    pub fn handle_doubted(&mut self, from: &Peer) {
        if let Some((hope, entry)) = self.hope(from)
            && *hope == Hope::Sound
        {
            *hope = Hope::Doubted;
            self.trace.doubted(entry);
        }
    }

    /// `from` is slower than its expected round trip: its slot is free, but it may still answer until its query fails. The
    /// next nearest is asked besides, so that dead peers cost one timeout together.
    pub fn handle_slow(&mut self, from: &Peer) {
        if let Some((hope, entry)) = self.hope(from) {
            *hope = Hope::Slow;
            self.trace.slow(entry);
        }
    }

    /// The query to `from` failed: the next nearest takes its place.
    pub fn handle_failure(&mut self, from: &Peer, why: Failure, now: Instant) {
        if self.trace.ending.is_some() {
            return;
        }
        let Some(State::InFlight { entry, .. }) = self.shortlist.in_flight(from).map(|asked| asked.state) else {
            return;
        };
        self.trace.came_back(entry, why.into(), now);
        self.shortlist.failed(from, why);
        self.note_dropped();
    }

    /// The peers that answered, at most k, nearest first. Of those that answered under one id it is the one that most
    /// informants named.
    pub fn closest(&self) -> Vec<Peer> {
        self.shortlist.closest(self.k).into_iter().map(|candidate| candidate.peer).collect()
    }

    /// The nearest that answered "not held": where a cached copy goes (Kademlia paper, section 2.3). `None` in a
    /// lookup for nodes.
    pub fn nearest_without_value(&self) -> Option<Peer> {
        if self.trace.goal == Goal::Nodes {
            return None;
        }
        let mut candidates = self.shortlist.iter();
        candidates.find(|candidate| candidate.state == State::Answered { with_value: false }).map(|found| found.peer)
    }

    /// What became of the queries.
    pub fn tally(&self) -> Tally {
        self.trace.tally()
    }

    /// What it did so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// All that it did, once it is over.
    pub fn into_trace(self) -> Trace {
        self.trace
    }

    /// How many queries may hold a slot. All of the k nearest have to be heard before a value is said to be absent: once
    /// nothing nearer comes they are asked at once, so that the dead among them are waited for together.
    fn slots(&self) -> usize {
        if self.trace.goal == Goal::Value && self.shortlist.is_near() { self.k.max(self.alpha) } else { self.alpha }
    }

    /// What is hoped of `from`, and its place in the trace, if it is waited for.
    fn hope(&mut self, from: &Peer) -> Option<(&mut Hope, usize)> {
        if self.trace.ending.is_some() {
            return None;
        }
        match &mut self.shortlist.in_flight(from)?.state {
            State::InFlight { entry, hope } => Some((hope, *entry)),
            State::Fresh | State::Answered { .. } | State::Failed(_) => None,
        }
    }

    /// Ends the wait for `from`, unless it is not waited for: its entry in the trace and its hop.
    fn answered(&mut self, from: &Peer, with_value: bool) -> Option<(usize, u32)> {
        if self.trace.ending.is_some() {
            return None;
        }
        let (entry, origin) = self.shortlist.answered(from, with_value)?;
        self.note_dropped();
        Some((entry, origin.hop))
    }

    fn note_rejection(&mut self, peer: Peer, named_by: Option<usize>, offer: Offer) {
        if let Some(why) = Rejection::of(offer) {
            self.trace.rejected(peer, named_by, why);
        }
    }

    fn note_dropped(&mut self) {
        for (peer, named_by, why) in self.shortlist.take_dropped() {
            self.trace.dropped(peer, named_by, why);
        }
    }

    fn finish(&mut self, ending: Ending, now: Instant) -> Next {
        self.end(ending, now);
        Next::Finished(ending)
    }

    fn end(&mut self, ending: Ending, now: Instant) {
        self.trace.unheard = self.shortlist.unheard(self.k);
        self.trace.end(ending, now);
    }
}
