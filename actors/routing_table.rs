//! The routing table as an actor: the known peers. It answers for it, keeps it true by asking for pings, and gives lookups
//! their start. The rules of the table are the protocol's.

use std::rc::Rc;
use std::time::Instant;

use actix::{Actor, Context, Supervised};
use kademlia_dynamic::protocol::entropy::Entropy;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::packed::PackedPeer;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::routing::{Change, Insertion, Outcome, RoutingTable as Table, Sighting, TableSnapshot};
use kademlia_dynamic::protocol::store::MAX_REMEMBERED_PEERS;
use kademlia_dynamic::protocol::transfer::{Neighbour, Neighbours};

use super::clock;
use super::counters::Counter;
use super::events::{Event, EventKind};
use super::handling::Receive;
use super::messages::{
    AnswerNearest, AnswerReconcile, CheckTable, DescribeTable, FindNeighbours, LaunchLookup, LookupKey, PeerAnswered,
    PeerEntered, PeerLost, PeerSeen, PingPaid, Priority, Question, ReconcileRanges, RefreshBuckets, RememberPeers,
    SeedLookup, SelectValues, SendQuery, ShareNeighbours, StartLookup, TableEmpty, TransmitAnswer,
};
use super::shared::Shared;

/// Verified peers that outlive the table: they are asked again when it is empty or was lost.
const REMEMBERED: usize = MAX_REMEMBERED_PEERS;
/// While no more are known than these, each newcomer is noted at once where that outlives the process.
const FEW: usize = 8;

/// Peers that a lookup starts from, in multiples of k.
const SEEDS_PER_K: usize = 3;

/// The actor that owns the routing table.
pub struct RoutingTable {
    shared: Rc<Shared>,
    table: Table,
    /// Peers that were in the table when it was last looked at, most recently answered first, then those that were in it
    /// before, those of the last process included: at most [`REMEMBERED`].
    once_known: Vec<PackedPeer>,
    network: Network,
    /// Whether the store keeps peers beyond the process.
    lasting: bool,
    entropy: Box<dyn Entropy>,
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

impl RoutingTable {
    /// A table that begins empty. `once_known` are the peers of the last process; `None` where none outlive it.
    pub(crate) fn new(shared: &Rc<Shared>, once_known: Option<Vec<Peer>>) -> Self {
        Self {
            shared: shared.clone(),
            table: Table::new(shared.id, &shared.config, clock::now()),
            lasting: once_known.is_some(),
            once_known: once_known.unwrap_or_default().into_iter().map(PackedPeer::from).collect(),
            network: Network::Unknown,
            entropy: shared.entropy(2),
        }
    }

    fn ping(&self, peer: Peer) {
        let question = Question::new(peer.addr, Some(peer.id), None);
        self.shared.handles.queries.send(SendQuery { question, request: Request::Ping });
    }

    /// Does what an event of the table asks for.
    fn carry_out(&self, outcome: Outcome) {
        for change in outcome.changes {
            match change {
                Change::Entered(peer) => self.shared.events.emit(EventKind::PeerAdded, || Event::PeerAdded(peer)),
                Change::Left(peer) => self.shared.events.emit(EventKind::PeerRemoved, || Event::PeerRemoved(peer)),
            }
        }
        for peer in outcome.ping {
            self.ping(peer);
        }
    }

    /// Has the known peers noted for the next process: those that have answered lately come first.
    fn remember(&mut self) {
        let mut peers = self.table.verified_peers(REMEMBERED);
        let is_newer = |old: &Peer| peers.iter().all(|peer| peer.id != old.id && peer.addr != old.addr);
        let room = REMEMBERED.saturating_sub(peers.len());
        let before: Vec<Peer> = self.remembered().into_iter().filter(is_newer).take(room).collect();
        peers.extend(before);
        self.once_known = peers.iter().copied().map(PackedPeer::from).collect();
        if self.lasting {
            self.shared.handles.store.remember(RememberPeers(peers));
        }
    }

    /// The peers of `once_known`.
    fn remembered(&self) -> Vec<Peer> {
        self.once_known.iter().copied().map(Peer::from).collect()
    }

    /// The peers that answered when they were last asked.
    fn neighbours(&self) -> Neighbours {
        let answer = self.table.entries().filter(|entry| entry.failures() == 0);
        let known = answer.map(|entry| Neighbour { peer: entry.peer(), version: entry.version() });
        Neighbours::new(self.shared.id, known.collect())
    }

    fn refresh(&mut self, now: Instant, all: bool) {
        let prefixes = if all { self.table.prefixes() } else { self.table.stale(now) };
        for prefix in prefixes {
            let key = LookupKey::Nodes(prefix.random_id(&mut *self.entropy));
            // A bucket whose lookup is refused stays stale.
            let start = StartLookup { key, priority: Priority::Background, own_vote: None, reply: None };
            self.shared.handles.lookups.start(start);
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
        for peer in self.remembered() {
            self.ping(peer);
        }
    }
}

impl Receive<PeerSeen> for RoutingTable {
    fn receive(&mut self, seen: PeerSeen, _: &mut Self::Context) {
        match self.table.peer_asked(seen.peer, clock::now()) {
            // The sender has paid for a ping to itself, and for none to another address.
            Sighting::Verify(peer) if peer.addr == seen.peer.addr => {
                self.shared.handles.queries.ping(PingPaid { to: peer.addr, id: Some(peer.id) });
            }
            Sighting::Verify(peer) => self.ping(peer),
            Sighting::Known | Sighting::Ignored => {}
        }
    }
}

impl Receive<PeerAnswered> for RoutingTable {
    fn receive(&mut self, answered: PeerAnswered, _: &mut Self::Context) {
        if std::mem::replace(&mut self.network, Network::Found) == Network::Lost {
            self.shared.events.emit(EventKind::NetworkFound, || Event::NetworkFound);
        }
        let (insertion, outcome) = self.table.peer_answered(answered.peer, answered.version, clock::now());
        self.carry_out(outcome);
        if insertion == Insertion::Added {
            self.shared.joined.reached();
            if self.table.len() <= FEW {
                self.remember();
            }
        }
        if matches!(insertion, Insertion::Added | Insertion::Moved { .. }) {
            let PeerAnswered { peer, version, .. } = answered;
            self.shared.handles.handoff.entered(PeerEntered(Neighbour { peer, version }));
        }
    }
}

impl Receive<PeerLost> for RoutingTable {
    fn receive(&mut self, lost: PeerLost, _: &mut Self::Context) {
        let outcome = match lost {
            PeerLost::Silent(peer) => self.table.peer_silent(&peer, clock::now()),
            PeerLost::Replaced(peer) => self.table.peer_replaced(&peer),
        };
        self.carry_out(outcome);
    }
}

impl Receive<AnswerNearest> for RoutingTable {
    fn receive(&mut self, asked: AnswerNearest, _: &mut Self::Context) {
        let peers = self.table.nearest_for(&asked.target, self.shared.config.lookup.k, &asked.to.addr);
        let response = if asked.value_missing { Response::NoValue { peers } } else { Response::FindNode { peers } };
        self.shared.handles.socket.answer(TransmitAnswer { to: asked.to, response });
    }
}

impl Receive<FindNeighbours> for RoutingTable {
    fn receive(&mut self, FindNeighbours(cause): FindNeighbours, _: &mut Self::Context) {
        self.shared.handles.store.select(SelectValues { cause, neighbours: self.neighbours() });
    }
}

impl Receive<ShareNeighbours> for RoutingTable {
    fn receive(&mut self, ShareNeighbours(answer): ShareNeighbours, _: &mut Context<Self>) {
        // The pass may have ended.
        let _ = answer.send((self.neighbours(), self.table.has_legacy()));
    }
}

impl Receive<AnswerReconcile> for RoutingTable {
    fn receive(&mut self, AnswerReconcile { peer, ranges, wanted, to }: AnswerReconcile, _: &mut Self::Context) {
        match peer.and_then(|peer| self.table.verified(&peer)) {
            Some(entry) => {
                let peer = Neighbour { peer: entry.peer(), version: entry.version() };
                let neighbours = self.neighbours();
                self.shared.handles.store.reconcile(ReconcileRanges { peer, neighbours, ranges, wanted, to });
            }
            None => {
                self.shared.counters.count(Counter::ReconcileRefused);
                let response = Response::Reconcile { ranges: Vec::new() };
                self.shared.handles.socket.answer(TransmitAnswer { to, response });
            }
        }
    }
}

impl Receive<SeedLookup> for RoutingTable {
    fn receive(&mut self, SeedLookup(key): SeedLookup, _: &mut Self::Context) {
        // More than k, in case that all of the nearest are dead. Without that, the rest is never asked.
        let target = key.target();
        self.table.touch(&target, clock::now());
        let seeds = self.table.nearest(&target, SEEDS_PER_K * self.shared.config.lookup.k);
        self.shared.handles.lookups.seeded(LaunchLookup { key, seeds, legacy: self.table.has_legacy() });
    }
}

impl Receive<RefreshBuckets> for RoutingTable {
    fn receive(&mut self, refresh: RefreshBuckets, _: &mut Self::Context) {
        self.refresh(clock::now(), refresh.all);
    }
}

impl Receive<CheckTable> for RoutingTable {
    fn receive(&mut self, _: CheckTable, _: &mut Self::Context) {
        let none_answers = self.table.entries().all(|entry| entry.failures() > 0);
        if none_answers {
            if self.network == Network::Found {
                self.network = Network::Lost;
                self.shared.events.emit(EventKind::NetworkLost, || Event::NetworkLost);
            }
            self.shared.handles.maintenance.table_empty(TableEmpty { once_known: self.remembered(), attempt: None });
        }
        if !self.table.is_empty() {
            self.remember();
        }
        for peer in self.table.checks_due(clock::now()) {
            self.ping(peer);
        }
    }
}

impl Receive<DescribeTable> for RoutingTable {
    fn receive(&mut self, _: DescribeTable, _: &mut Self::Context) -> TableSnapshot {
        self.table.snapshot(clock::now())
    }
}
