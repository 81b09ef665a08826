//! The routing table as an actor: who we know. It answers for it, keeps it true by asking for pings, and gives lookups
//! their start. The rules of the table are the protocol's.

use std::time::Instant;

use actix::{Actor, Context, MessageResult, Recipient, Supervised};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::Entropy;
use kademlia_dynamic::protocol::hand_off::{Neighbour, Neighbours};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::routing::{Change, Insertion, Outcome, RoutingTable as Table, Sighting};
use kademlia_dynamic::protocol::store::MAX_REMEMBERED_PEERS;

use super::clock;
use super::events::{Event, Events};
use super::handling::Handler;
use super::join_state::JoinState;
use super::messages::{
    AnswerNearest, CheckTable, DescribeTable, FindNeighbours, LaunchLookup, LookupDone, LookupKey, PeerAnswered,
    PeerEntered, PeerReplaced, PeerSeen, PeerSilent, PingPaid, Purpose, RefreshBuckets, RememberPeers, SeedLookup,
    SelectValues, SendQuery, StartLookup, TableEmpty, TransmitAnswer,
};

/// Verified peers that outlive the table: they are asked again when it is empty or was lost.
const REMEMBERED: usize = MAX_REMEMBERED_PEERS;
/// While no more are known than these, each newcomer is noted at once where that outlives the process.
const FEW: usize = 8;

/// Peers that a lookup starts from, in multiples of k.
const SEEDS_PER_K: usize = 3;

/// The actor that owns the routing table.
pub struct RoutingTable {
    own: NodeId,
    config: Config,
    table: Table,
    /// Peers that were in the table when it was last looked at, most recently answered first, then those that were in it
    /// before, those of the last process included: at most [`REMEMBERED`].
    once_known: Vec<Peer>,
    network: Network,
    entropy: Box<dyn Entropy>,
    events: Events,
    links: TableLinks,
}

/// Whether any peer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    /// None has ever answered.
    Unknown,
    /// One has, since the last look that found none.
    Found,
    /// None does: [`Event::NetworkLost`] was emitted.
    Lost,
}

/// Whom the routing table tells.
pub(crate) struct TableLinks {
    pub(crate) answer: Recipient<TransmitAnswer>,
    /// Hears that this node has company.
    pub(crate) joined: JoinState,
    pub(crate) ping: Recipient<SendQuery>,
    pub(crate) newcomer: Recipient<PingPaid>,
    pub(crate) launch: Recipient<LaunchLookup>,
    pub(crate) lookup: Recipient<StartLookup>,
    pub(crate) empty: Recipient<TableEmpty>,
    pub(crate) entered: Recipient<PeerEntered>,
    pub(crate) select: Recipient<SelectValues>,
    /// `None` where nothing outlives the process.
    pub(crate) remember: Option<Recipient<RememberPeers>>,
}

impl RoutingTable {
    pub(crate) fn new(
        own: NodeId,
        config: Config,
        once_known: Vec<Peer>,
        entropy: Box<dyn Entropy>,
        events: Events,
        links: TableLinks,
    ) -> Self {
        let table = Table::new(own, &config, clock::now());
        Self { own, config, table, once_known, network: Network::Unknown, entropy, events, links }
    }

    fn ping(&self, peer: Peer) {
        self.links.ping.do_send(SendQuery { to: peer.addr, id: Some(peer.id), request: Request::Ping, asker: None });
    }

    /// Does what an event of the table asks for.
    fn carry_out(&self, outcome: Outcome) {
        for change in outcome.changes {
            self.events.emit(match change {
                Change::Entered(peer) => Event::PeerAdded(peer),
                Change::Left(peer) => Event::PeerRemoved(peer),
            });
        }
        for peer in outcome.ping {
            self.ping(peer);
        }
    }

    /// Has noted who is known, for the next process: those who have answered lately come first.
    fn remember(&mut self) {
        let mut peers = self.table.verified_peers(REMEMBERED);
        let is_newer = |old: &Peer| peers.iter().all(|peer| peer.id != old.id && peer.addr != old.addr);
        let before: Vec<Peer> = self.once_known.iter().copied().filter(is_newer).collect();
        peers.extend(before);
        peers.truncate(REMEMBERED);
        self.once_known = peers;
        if let Some(remember) = &self.links.remember {
            remember.do_send(RememberPeers(self.once_known.clone()));
        }
    }

    /// Those who answered when they were last asked.
    fn neighbours(&self) -> Neighbours {
        let answer = self.table.entries().filter(|entry| entry.failures() == 0);
        let known = answer.map(|entry| Neighbour { peer: entry.peer(), legacy: entry.is_legacy() });
        Neighbours::new(self.own, known.collect())
    }

    fn refresh(&mut self, now: Instant, all: bool) {
        let prefixes = if all { self.table.prefixes() } else { self.table.stale(now) };
        for prefix in prefixes {
            let key = LookupKey::Nodes(prefix.random_id(&mut *self.entropy));
            self.links.lookup.do_send(StartLookup { key, purpose: Purpose::Refresh });
        }
    }
}

impl Actor for RoutingTable {
    type Context = Context<Self>;
}

impl Supervised for RoutingTable {
    fn restarting(&mut self, _: &mut Self::Context) {
        // The peers are real, the table's state may not be: build it anew, and let them prove themselves again.
        self.remember();
        let outcome = self.table.forget_all(clock::now());
        self.carry_out(outcome);
        for peer in self.once_known.clone() {
            self.ping(peer);
        }
    }
}

impl Handler<PeerSeen> for RoutingTable {
    type Result = ();

    fn handle(&mut self, seen: PeerSeen, _: &mut Self::Context) {
        match self.table.peer_asked(seen.peer, clock::now()) {
            // Who asked has paid for a ping to itself, and for none to another address.
            Sighting::Verify(peer) if peer.addr == seen.peer.addr => {
                self.links.newcomer.do_send(PingPaid { to: peer.addr, id: Some(peer.id) });
            }
            Sighting::Verify(peer) => self.ping(peer),
            Sighting::Known | Sighting::Ignored => {}
        }
    }
}

impl Handler<PeerAnswered> for RoutingTable {
    type Result = ();

    fn handle(&mut self, answered: PeerAnswered, _: &mut Self::Context) {
        if std::mem::replace(&mut self.network, Network::Found) == Network::Lost {
            self.events.emit(Event::NetworkFound);
        }
        let (insertion, outcome) = self.table.peer_answered(answered.peer, answered.version, clock::now());
        self.carry_out(outcome);
        if insertion == Insertion::Added {
            self.links.joined.reached();
            if self.table.len() <= FEW {
                self.remember();
            }
        }
        if matches!(insertion, Insertion::Added | Insertion::Moved { .. }) {
            let legacy = answered.version.is_none();
            self.links.entered.do_send(PeerEntered(Neighbour { peer: answered.peer, legacy }));
        }
    }
}

impl Handler<PeerSilent> for RoutingTable {
    type Result = ();

    fn handle(&mut self, silent: PeerSilent, _: &mut Self::Context) {
        let outcome = self.table.peer_silent(&silent.0, clock::now());
        self.carry_out(outcome);
    }
}

impl Handler<PeerReplaced> for RoutingTable {
    type Result = ();

    fn handle(&mut self, replaced: PeerReplaced, _: &mut Self::Context) {
        let outcome = self.table.peer_replaced(&replaced.0);
        self.carry_out(outcome);
    }
}

impl Handler<AnswerNearest> for RoutingTable {
    type Result = ();

    fn handle(&mut self, asked: AnswerNearest, _: &mut Self::Context) {
        let peers = self.table.nearest_for(&asked.target, self.config.k, &asked.to.addr);
        let response = if asked.value_missing { Response::NoValue { peers } } else { Response::FindNode { peers } };
        self.links.answer.do_send(TransmitAnswer { to: asked.to, response });
    }
}

impl Handler<FindNeighbours> for RoutingTable {
    type Result = ();

    fn handle(&mut self, FindNeighbours(cause): FindNeighbours, _: &mut Self::Context) {
        self.links.select.do_send(SelectValues { cause, neighbours: self.neighbours() });
    }
}

impl Handler<SeedLookup> for RoutingTable {
    type Result = ();

    fn handle(&mut self, SeedLookup(key): SeedLookup, _: &mut Self::Context) {
        // More than k, in case that all of the nearest are dead. Without that, the rest is never asked.
        let seeds = self.table.nearest(&key.target(), SEEDS_PER_K * self.config.k);
        self.links.launch.do_send(LaunchLookup { key, seeds, legacy: self.table.has_legacy() });
    }
}

impl Handler<RefreshBuckets> for RoutingTable {
    type Result = ();

    fn handle(&mut self, refresh: RefreshBuckets, _: &mut Self::Context) {
        self.refresh(clock::now(), refresh.all);
    }
}

impl Handler<LookupDone> for RoutingTable {
    type Result = ();

    fn handle(&mut self, done: LookupDone, _: &mut Self::Context) {
        self.table.lookup_done(&done.0, clock::now());
    }
}

impl Handler<CheckTable> for RoutingTable {
    type Result = ();

    fn handle(&mut self, _: CheckTable, _: &mut Self::Context) {
        let nobody_answers = self.table.entries().all(|entry| entry.failures() > 0);
        if nobody_answers {
            if self.network == Network::Found {
                self.network = Network::Lost;
                self.events.emit(Event::NetworkLost);
            }
            self.links.empty.do_send(TableEmpty { once_known: self.once_known.clone(), attempt: None });
        }
        if !self.table.is_empty() {
            self.remember();
        }
        for peer in self.table.checks_due(clock::now()) {
            self.ping(peer);
        }
    }
}

impl Handler<DescribeTable> for RoutingTable {
    type Result = MessageResult<DescribeTable>;

    fn handle(&mut self, _: DescribeTable, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.table.snapshot(clock::now()))
    }
}
