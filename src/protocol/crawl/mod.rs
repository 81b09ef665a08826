//! A crawl: it finds the nodes of a network by asking each of them for its neighbours and for peers far away. It decides whom to
//! ask what, and when; it sends nothing itself.
//!
//! Each node gets two queries, each sent twice at most, and all queries together a rate. What others name is bounded: addresses
//! in all, and those of one global host.

mod estimate;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

pub use self::estimate::Estimate;
use self::estimate::{MIN_NEIGHBOURS, density, estimate};
use super::entropy::Entropy;
use super::id::{NODE_ID_BITS, NodeId};
use super::message::{MAX_PEERS_READ, QueryId, Token};
use super::peer::{AddressScope, Peer, check_named};

/// How long a query waits for its answer; it is sent again after half of that.
pub const CRAWL_TIMEOUT: Duration = Duration::from_secs(2);
/// Addresses of one global host that are asked: others may name any number at one host, which may be no node.
pub const MAX_PER_HOST: u32 = 16;
/// Queries that each node gets, beside a first one to a contact whose id is not known.
const QUERIES_PER_NODE: u8 = 2;

/// What a crawl may cost.
#[derive(Debug, Clone, Copy)]
pub struct CrawlLimits {
    /// Queries a second, those sent again included.
    pub rate: u32,
    /// Nodes that are remembered. Further ones are counted, and not asked.
    pub max_nodes: usize,
}

/// The progress of a crawl.
#[derive(Debug)]
pub struct Crawl {
    limits: CrawlLimits,
    nodes: HashMap<SocketAddr, Found>,
    /// Whom to ask next: each address once for each query that it is to get.
    queue: VecDeque<SocketAddr>,
    in_flight: HashMap<QueryId, Flight>,
    /// When each send is looked at again, the earliest first.
    due: VecDeque<(Instant, QueryId)>,
    /// Queries to be sent again.
    again: VecDeque<QueryId>,
    /// Addresses taken at each global host.
    hosts: HashMap<IpAddr, u32>,
    next_send: Option<Instant>,
    counts: CrawlCounts,
}

/// What a crawl has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CrawlCounts {
    /// Nodes that answered.
    pub answered: usize,
    /// Nodes that did not.
    pub silent: usize,
    /// Queries sent.
    pub queries: u64,
    /// Addresses that were named and not asked, since a limit was reached: each time that one was named.
    pub beyond: u64,
}

/// A node that was named, or is a contact.
#[derive(Debug)]
struct Found {
    /// Its id: by the node that named it, or by its own answer.
    id: Option<NodeId>,
    token: Option<Token>,
    answer: Option<Answered>,
    /// Queries with a target of their own that were begun.
    begun: u8,
    /// The size of the network by the density of its neighbours.
    density: Option<f64>,
}

/// A node's answer to the first query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The node.
    pub peer: Peer,
    /// Its protocol version; `None`: it is a legacy node.
    pub version: Option<u32>,
    /// The round trip; `None` where the query had been sent twice, so that it is not known which send was answered.
    pub rtt: Option<Duration>,
}

#[derive(Debug)]
struct Flight {
    query: CrawlQuery,
    sent_at: Instant,
    again: bool,
}

/// A `find_node` to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrawlQuery {
    /// Where to.
    pub to: SocketAddr,
    /// Its id.
    pub id: QueryId,
    /// The id of the node asked, where it is known.
    pub asked: Option<NodeId>,
    /// The id whose nearest peers are asked for.
    pub target: NodeId,
    /// The token that the node asked gave with its last answer.
    pub token: Option<Token>,
}

/// What a crawl needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum CrawlStep {
    /// Send this.
    Send(CrawlQuery),
    /// Wait for an answer, at most until then.
    Wait(Instant),
    /// All nodes that were named have been asked.
    Done,
}

/// An answer to a query of a crawl.
#[derive(Debug)]
pub struct CrawlAnswer<'a> {
    /// Where it came from.
    pub from: SocketAddr,
    /// The query's id.
    pub id: QueryId,
    /// The id of its sender.
    pub sender: Option<NodeId>,
    /// Its sender's protocol version.
    pub version: Option<u32>,
    /// The token for the next query.
    pub token: Option<Token>,
    /// The peers that it names.
    pub peers: &'a [Peer],
}

impl Crawl {
    /// A crawl that knows no node yet.
    pub fn new(limits: CrawlLimits) -> Self {
        Self {
            limits,
            nodes: HashMap::new(),
            queue: VecDeque::new(),
            in_flight: HashMap::new(),
            due: VecDeque::new(),
            again: VecDeque::new(),
            hosts: HashMap::new(),
            next_send: None,
            counts: CrawlCounts::default(),
        }
    }

    /// A contact to begin at.
    pub fn contact(&mut self, addr: SocketAddr) {
        self.find(addr, None);
    }

    /// Whether `addr` is among those that are asked.
    pub fn knows(&self, addr: &SocketAddr) -> bool {
        self.nodes.contains_key(addr)
    }

    /// What it has done so far.
    pub fn counts(&self) -> CrawlCounts {
        self.counts
    }

    /// How many nodes it knows.
    pub fn known(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes that answered, in the order of their ids.
    pub fn answers(&self) -> Vec<Answered> {
        let mut all: Vec<Answered> = self.nodes.values().filter_map(|found| found.answer).collect();
        all.sort_by_key(|answered| (answered.peer.id, answered.peer.addr));
        all
    }

    /// The size of the network, by how near the neighbours of its nodes are. `None` where too few were named.
    pub fn estimate(&self) -> Option<Estimate> {
        let densities = self.nodes.values().filter_map(|found| found.density).collect();
        estimate(densities, self.counts.answered, self.counts.silent, self.nodes.len())
    }

    /// What to do now.
    pub fn poll(&mut self, now: Instant, entropy: &mut impl Entropy) -> CrawlStep {
        self.expire(now);
        if self.again.is_empty() && self.queue.is_empty() {
            return self.due.front().map_or(CrawlStep::Done, |(due, _)| CrawlStep::Wait(*due));
        }
        if let Some(next) = self.next_send.filter(|next| *next > now) {
            return CrawlStep::Wait(self.due.front().map_or(next, |(due, _)| next.min(*due)));
        }
        let Some(query) = self.next_again(now).or_else(|| self.next_new(now, entropy)) else {
            // What was to be sent again has been answered meanwhile.
            return self.due.front().map_or(CrawlStep::Done, |(due, _)| CrawlStep::Wait(*due));
        };
        self.next_send = Some(now + Duration::from_secs(1) / self.limits.rate.max(1));
        self.counts.queries += 1;
        self.due.push_back((now + CRAWL_TIMEOUT / 2, query.id));
        CrawlStep::Send(query)
    }

    /// Takes an answer; `keep` says which of the addresses that it names can be asked. Returns whether it was one.
    pub fn answer(&mut self, answer: CrawlAnswer<'_>, now: Instant, keep: impl Fn(&SocketAddr) -> bool) -> bool {
        let CrawlAnswer { from, id, sender, version, token, peers } = answer;
        if self.in_flight.get(&id).is_none_or(|flight| flight.query.to != from) {
            return false;
        }
        let Some(flight) = self.in_flight.remove(&id) else { return false };
        let Some(found) = self.nodes.get_mut(&from) else { return false };
        found.token = token.or(found.token);
        if let Some(sender) = sender
            && found.answer.is_none()
        {
            let rtt = (!flight.again).then(|| now.saturating_duration_since(flight.sent_at));
            found.answer = Some(Answered { peer: Peer::new(sender, from), version, rtt });
            // A contact has to be asked for its neighbours once its id is known, and so has a node of another id than was named.
            found.begun = found.begun.min(if found.id == Some(sender) { QUERIES_PER_NODE } else { 0 });
            found.id = Some(sender);
            self.counts.answered += 1;
        }
        if found.answer.is_some() && found.begun < QUERIES_PER_NODE {
            self.queue.push_back(from);
        }
        let peers = &peers[..peers.len().min(MAX_PEERS_READ)];
        if Some(flight.query.target) == found.id {
            found.density = density(flight.query.target, peers).or(found.density);
        }
        for peer in peers {
            if check_named(&peer.addr, &from).is_ok() && keep(&peer.addr) {
                self.find(peer.addr, Some(peer.id));
            }
        }
        true
    }

    /// Takes `addr` among those to be asked, unless it is or there are too many.
    fn find(&mut self, addr: SocketAddr, id: Option<NodeId>) {
        if self.nodes.contains_key(&addr) {
            return;
        }
        let here = AddressScope::of(&addr.ip()).is_global().then(|| self.hosts.entry(addr.ip()).or_default());
        if self.nodes.len() >= self.limits.max_nodes || here.as_ref().is_some_and(|here| **here >= MAX_PER_HOST) {
            self.counts.beyond += 1;
            return;
        }
        if let Some(here) = here {
            *here += 1;
        }
        self.nodes.insert(addr, Found { id, token: None, answer: None, begun: 0, density: None });
        self.queue.push_back(addr);
    }

    /// A query that no answer came to yet, once more.
    fn next_again(&mut self, now: Instant) -> Option<CrawlQuery> {
        while let Some(id) = self.again.pop_front() {
            if let Some(flight) = self.in_flight.get_mut(&id) {
                (flight.again, flight.sent_at) = (true, now);
                return Some(flight.query);
            }
        }
        None
    }

    /// The next query of its own.
    fn next_new(&mut self, now: Instant, entropy: &mut impl Entropy) -> Option<CrawlQuery> {
        let to = self.queue.pop_front()?;
        // Half of the id space, a quarter and so on, down to a part with some k nodes: none of them is overlooked from there.
        let levels = u64::from((self.nodes.len() / MIN_NEIGHBOURS).max(1).ilog2()) + 1;
        let found = self.nodes.get_mut(&to)?;
        let mut random = [0; 20];
        entropy.fill(&mut random);
        let random = NodeId::from_bytes(random);
        // The neighbours last: by then there is a token, with which the answer is whole.
        let target = match found.id {
            Some(id) if found.begun > 0 => id,
            Some(id) => elsewhere(id, entropy.below(levels) as u32, random),
            None => random,
        };
        found.begun += 1;
        let id = QueryId::from_u64(entropy.next_u64());
        let query = CrawlQuery { to, id, asked: found.id, target, token: found.token };
        self.in_flight.insert(id, Flight { query, sent_at: now, again: false });
        Some(query)
    }

    /// Sends again, or gives up, what was not answered in time.
    fn expire(&mut self, now: Instant) {
        while let Some((_, id)) = self.due.front().copied().filter(|(due, _)| *due <= now) {
            self.due.pop_front();
            match self.in_flight.get(&id) {
                None => {}
                Some(flight) if !flight.again => self.again.push_back(id),
                Some(_) => self.give_up(id),
            }
        }
    }

    fn give_up(&mut self, id: QueryId) {
        let Some(found) = self.in_flight.remove(&id).and_then(|flight| self.nodes.get_mut(&flight.query.to)) else {
            return;
        };
        // One that answered once is not asked further.
        found.begun = QUERIES_PER_NODE;
        self.counts.silent += usize::from(found.answer.is_none());
    }
}

/// An id that has the first `level` bits of `id`, and not the next one.
fn elsewhere(id: NodeId, level: u32, random: NodeId) -> NodeId {
    let level = level.min(NODE_ID_BITS - 1);
    let same = (0..level).fold(random, |target, bit| target.with_bit(bit, id.bit(bit)));
    same.with_bit(level, !id.bit(level))
}
