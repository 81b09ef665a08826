//! One iterative lookup: its shortlist, the next peer to query, when and why it ends. It sends nothing, has no timers and stores
//! no value: its owner queries the peers that it names and reports the results.

mod ballot;
mod candidate;
mod outcome;
mod recent_peers;
mod shortlist;
mod trace;

#[cfg(test)]
mod tests;

use std::time::Instant;

pub use self::ballot::{Ballot, Found, Votes};
use self::candidate::{Expectation, Provenance, State};
pub use self::outcome::{Ending, Failure, Goal, Next};
pub use self::recent_peers::{MAX_RECENT_PEERS, RecentPeers};
use self::shortlist::{Offer, READ_ON, Shortlist};
pub use self::trace::{
    Asked, CameBack, MAX_REJECTED, MAX_REJECTED_OF_ONE, Rejected, Rejection, Tally, Trace, TurnedAway, Vote,
};
use super::config::Config;
use super::id::NodeId;
use super::message::MAX_PEERS_READ;
use super::peer::{self, Peer};
use super::store::ValueDigest;

/// Queries [not sent](Failure::Unsent) that cost a lookup nothing, for each query that it may send; a further one counts as
/// sent. Each answer names [`MAX_PEERS_READ`] at most, so an attacker that wants a lookup to spend its queries on addresses
/// that are not queried has to answer a quarter of them.
pub const UNSENT_PER_QUERY: usize = 8;

/// One lookup. Call [`Lookup::next`] until it is not [`Next::Query`], and again after each event.
///
/// At most alpha queries hold a slot, or k once no answer names a nearer peer, as the Kademlia paper has it (section 2.3): so the
/// lookup waits for the last of them together, unless it is to [keep alpha](Lookup::keep_alpha). Of peers that only one
/// informant named alpha do. A query holds its slot until it ends or is [slow](Lookup::handle_slow). Queries to
/// [suspects](Lookup::handle_suspect) hold as many slots of their own. For each slow query and each suspect, one more peer is
/// queried: so the lookup waits for dead peers together, and has replaced them by then. It waits for each of the nearest until
/// that has answered or failed; in a lookup for a value these are more than k where more than k of them have gone.
///
/// Informants may lie. Each may name one address for an id, and an id that several name at different addresses is queried at
/// each. The nearest are queried first, but peers whose informants named some that failed, or are late, come after those whose
/// informants named fewer. So a minority that lies about ids and addresses costs queries and hides no peer: the first lie puts
/// a liar's other names behind, and a peer that another informant named is queried in its order.
///
/// No peer is queried twice, and no address, except that a peer that answered under another id is queried once more by that
/// id. The lookup ends after [`Config::lookup_queries`] queries or at `lookup_deadline`, whatever peers answer.
/// Queries that were not sent (`Failure::Unsent`) do not count, up to `UNSENT_PER_QUERY` for each that does.
///
/// Events about a peer without a query in flight are ignored.
#[derive(Debug, Clone)]
pub struct Lookup {
    shortlist: Shortlist,
    trace: Trace,
    k: usize,
    alpha: usize,
    max_queries: usize,
    reads_on: bool,
    /// Whether alpha queries are all that may hold a slot.
    keeps_alpha: bool,
    deadline: Instant,
}

impl Lookup {
    /// A lookup of `target` that starts from `seeds`: the nearest of our own table, and then the nearest of the [`RecentPeers`].
    /// All of these have answered this node, so their addresses are not checked again, and they count as one informant. With
    /// `read_on` a lookup for a value goes on past the k nearest to 5 k on a miss (docs/wire.md, 9.8).
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
            k: config.lookup.k,
            alpha: config.lookup.alpha,
            max_queries: config.lookup_queries(),
            reads_on: read_on && goal == Goal::Value,
            keeps_alpha: false,
            deadline: now + config.lookup.lookup_deadline,
        };
        for seed in seeds {
            let offer = lookup.shortlist.offer(*seed, Provenance::KNOWN);
            lookup.trace.offered(*seed, None, offer);
        }
        lookup
    }

    /// Never more than alpha queries are to hold a slot from now on.
    pub fn keep_alpha(&mut self) {
        self.keeps_alpha = true;
    }

    /// Returns whether more than alpha queries may hold a slot, since no answer names a nearer peer.
    pub fn is_wide(&self) -> bool {
        self.slots() > self.alpha
    }

    /// The next step.
    pub fn next(&mut self, now: Instant) -> Next {
        if let Some(ending) = self.trace.ending {
            return Next::Finished(ending);
        }
        if self.shortlist.iter().all(|candidate| matches!(candidate.state, State::Failed(_))) {
            return self.finish(Ending::NoPeers, now);
        }
        let core_width = self.core_width();
        let core = self.shortlist.survey(core_width);
        if core.complete && !self.reads_on {
            return self.finish(Ending::Complete, now);
        }
        let short_of = |ending| if core.complete { Ending::Complete } else { ending };
        if now >= self.deadline {
            return self.finish(short_of(Ending::DeadlinePassed), now);
        }
        let may_ask = self.shortlist.spent(UNSENT_PER_QUERY * self.max_queries) < self.max_queries;
        let miss = core.fresh.is_none() && !core.awaited;
        let width = if self.reads_on && miss { READ_ON * self.k } else { core_width };
        let window = if width > core_width { self.shortlist.survey(width) } else { core };
        let over = match window.fresh {
            Some(_) if may_ask => {
                if let Some(at) = self.shortlist.next_with_slot(width, self.slots(), self.alpha) {
                    let candidate = self.shortlist.ask(at);
                    self.trace.ask(candidate, now);
                    return Next::Query(candidate.peer);
                }
                None
            }
            // Queries in flight may still bring a better result, and one that turns out unsent is not spent.
            Some(_) => (!self.shortlist.any_in_flight()).then(|| short_of(Ending::OutOfQueries)),
            None => window.complete.then_some(Ending::Complete),
        };
        match over {
            Some(ending) => self.finish(ending, now),
            None => Next::Wait { until: self.deadline },
        }
    }

    /// `from` answered with peers; in a lookup for a value that means "not held". Their addresses are checked against that of
    /// `from`, and only the first [`MAX_PEERS_READ`] are read.
    pub fn handle_peers(&mut self, from: &Peer, peers: &[Peer], now: Instant) {
        let Some((entry, hop)) = self.answered(from, false) else { return };
        let origin = Provenance { hop: hop + 1, named_by: Some(entry) };
        let read = MAX_PEERS_READ.max(self.k);
        let mut taken = 0;
        for (at, named) in peers.iter().enumerate() {
            let offer = match peer::check_named(&named.addr, &from.addr) {
                _ if at >= read => Offer::Unread,
                Ok(()) => self.shortlist.offer(*named, origin),
                Err(_) => Offer::BadAddress,
            };
            taken += usize::from(offer == Offer::Taken);
            self.trace.offered(*named, Some(entry), offer);
        }
        self.trace.came_back(entry, CameBack::Peers { named: peers.len(), taken }, now);
    }

    /// `from` answered with the value, which the lookup's owner stores. This ends the lookup.
    pub fn handle_value(&mut self, from: &Peer, now: Instant) {
        let Some((entry, _)) = self.answered(from, true) else { return };
        self.trace.came_back(entry, CameBack::Value, now);
        self.end(Ending::Found, now);
    }

    /// `from` answered with a value, one of several that are wanted: the lookup goes on until there are enough
    /// ([`Lookup::found`]), or no peer is left to query. The caller decides whether the vote counts; `vote` is for the trace.
    pub fn handle_vote(&mut self, from: &Peer, vote: Vote, now: Instant) {
        let Some((entry, _)) = self.answered(from, true) else { return };
        self.trace.asked[entry].vote = Some(vote);
        self.trace.came_back(entry, CameBack::Value, now);
    }

    /// `from` holds a value of a kind that this node cannot represent. Another peer may hold one that it can, so the lookup
    /// goes on.
    pub fn handle_unsupported(&mut self, from: &Peer, now: Instant) {
        let Some((entry, _)) = self.answered(from, true) else { return };
        self.trace.came_back(entry, CameBack::Unsupported, now);
    }

    /// This node itself holds the value of this digest, and votes for it.
    pub fn voted_here(&mut self, value: ValueDigest) {
        self.trace.here = Some(value);
    }

    /// All wanted votes are cast. This ends the lookup.
    pub fn found(&mut self, now: Instant) {
        if self.trace.ending.is_none() {
            self.end(Ending::Found, now);
        }
    }

    /// The peer `from`, to which a query has just been sent, did not answer the one before: it is a suspect, most likely dead,
    /// so the next nearest is queried besides.
    pub fn handle_suspect(&mut self, from: &Peer) {
        if let Some((expectation, entry)) = self.expectation(from)
            && *expectation == Expectation::InTime
        {
            *expectation = Expectation::Suspect;
            self.trace.asked[entry].suspect = true;
        }
    }

    /// `from` is slower than its expected round trip: its slot is free, but it may still answer until its query fails. The
    /// next nearest is queried besides, so that dead peers cost one timeout together.
    pub fn handle_slow(&mut self, from: &Peer) {
        if let Some((expectation, entry)) = self.expectation(from) {
            *expectation = Expectation::Slow;
            self.trace.asked[entry].slow = true;
        }
    }

    /// The query to `from` failed: the next nearest takes its slot.
    pub fn handle_failure(&mut self, from: &Peer, why: Failure, now: Instant) {
        let Some((_, entry)) = self.expectation(from) else { return };
        self.trace.came_back(entry, why.into(), now);
        self.shortlist.failed(from, why);
        self.note_dropped();
    }

    /// The peers that answered, at most k, nearest first. Of several that answered under one id, the one that most informants
    /// named.
    pub fn closest(&self) -> Vec<Peer> {
        self.shortlist.closest(self.k).into_iter().map(|candidate| candidate.peer).collect()
    }

    /// The nearest peer that answered "not held": the recipient of a cached copy (Kademlia paper, section 2.3). `None` in a
    /// lookup for nodes.
    pub fn nearest_without_value(&self) -> Option<Peer> {
        if self.trace.goal == Goal::Nodes {
            return None;
        }
        let mut candidates = self.shortlist.iter();
        candidates.find(|candidate| candidate.state == State::Answered { with_value: false }).map(|found| found.peer)
    }

    /// The trace so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The whole trace, once the lookup is over.
    pub fn into_trace(self) -> Trace {
        self.trace
    }

    /// The number of peers that must answer: k, but in a lookup for a value as many as failed or are late among the nearest, up to
    /// 2 k. Where more of the nearest have gone than there are places, the others still name those, so k answers do not name all
    /// that live, and a holder may be among the rest.
    fn core_width(&self) -> usize {
        // Few lookups meet so many that it matters where they are.
        if self.trace.goal != Goal::Value || self.shortlist.in_vain() <= self.k {
            return self.k;
        }
        self.shortlist.in_vain_within(self.k).clamp(self.k, 2 * self.k)
    }

    /// The number of queries that may hold a slot: alpha while answers name nearer peers, then k. Not once half of k queries
    /// were in vain: informants that vouch for each other's inventions waste one such round, and no more.
    fn slots(&self) -> usize {
        let at_once = !self.keeps_alpha && self.shortlist.is_near() && self.shortlist.in_vain() < self.k.div_ceil(2);
        if at_once { self.k.max(self.alpha) } else { self.alpha }
    }

    /// The expectation of an answer from `from`, and its index in the trace, if a query to it is in flight.
    fn expectation(&mut self, from: &Peer) -> Option<(&mut Expectation, usize)> {
        if self.trace.ending.is_some() {
            return None;
        }
        let State::InFlight { entry, expectation } = &mut self.shortlist.in_flight(from)?.state else { return None };
        Some((expectation, *entry))
    }

    /// Ends the query to `from`, if one is in flight: its index in the trace and its hop.
    fn answered(&mut self, from: &Peer, with_value: bool) -> Option<(usize, u32)> {
        if self.trace.ending.is_some() {
            return None;
        }
        let (entry, origin) = self.shortlist.answered(from, with_value)?;
        self.note_dropped();
        Some((entry, origin.hop))
    }

    fn note_dropped(&mut self) {
        for (peer, named_by, why) in self.shortlist.take_dropped() {
            self.trace.offered(peer, named_by, why);
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
