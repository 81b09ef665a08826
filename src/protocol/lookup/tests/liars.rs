//! The law of liars: informants of which fewer than half lie hide no peer that an honest one has named.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Instant;

use super::simulation::{Network, Reply, address, random_id, run};
use super::*;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::prefix::Prefix;

/// The kinds of lies. Each answer is made of one of them, or of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Two addresses without a node for each of the nearest.
    FalseAddresses,
    /// Each of the nearest under a false id.
    FalseIds,
    /// Nearer ids at addresses without a node.
    Inventions,
    /// The same, in the subnets of the nearest.
    InventionsBeside,
    /// Nearer ids at addresses that are not queried any more.
    Unsent,
    /// Accomplices that answer under the ids of the nearest.
    Impersonators,
    /// Accomplices that answer under any id, and lie.
    Accomplices,
    /// Accomplices that claim to be one of the nearest when they are asked by another id.
    Claimants,
    /// No node.
    Silence,
    /// The peers that an honest node would name, and similar ones.
    Truth,
}

const LIES: [Lie; 10] = [
    Lie::FalseAddresses,
    Lie::FalseIds,
    Lie::Inventions,
    Lie::InventionsBeside,
    Lie::Unsent,
    Lie::Impersonators,
    Lie::Accomplices,
    Lie::Claimants,
    Lie::Silence,
    Lie::Truth,
];

/// The nodes at the addresses that liars name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    NoNode,
    Unasked,
    /// Answers under each id by which it is queried, with lies.
    Accomplice,
    /// Claims this id, and answers under it.
    Claimant(NodeId),
}

/// A network some of whose nodes lie.
struct Liars<'a> {
    network: &'a Network,
    target: NodeId,
    /// The true nearest.
    truth: Vec<Peer>,
    /// By place in the network.
    lies: Vec<bool>,
    kinds: Vec<Lie>,
    named: Vec<(SocketAddr, Behind)>,
    /// The peers that honest informants named.
    honest: Vec<(Peer, Vec<Peer>)>,
    dice: SeededEntropy,
}

impl Liars<'_> {
    fn place(&self, peer: &Peer) -> Option<usize> {
        self.network.peers.iter().position(|other| other.addr == peer.addr)
    }

    fn is_honest(&self, peer: &Peer) -> bool {
        self.place(peer).is_some_and(|place| !self.lies[place] && self.network.peers[place].id == peer.id)
    }

    /// An address that was not named so far, of a subnet of its own or of that of `beside`.
    fn name(&mut self, behind: Behind, beside: Option<&Peer>) -> SocketAddr {
        let mut addr = address(2_000 + self.named.len());
        if let Some(SocketAddr::V4(beside)) = beside.map(|peer| peer.addr) {
            let [a, b, c, _] = beside.ip().octets();
            addr = SocketAddr::from(([a, b, c, 2 + (self.named.len() % 250) as u8], 5_000 + self.named.len() as u16));
        }
        self.named.push((addr, behind));
        addr
    }

    fn nearer(&mut self) -> NodeId {
        // Nearer than the nearest, among the nearest, or somewhat farther.
        let bits = self.truth[0].id.common_prefix(&self.target);
        let len = (bits + 6).saturating_sub(self.dice.below(10) as u32).min(150);
        Prefix::of(&self.target, len).random_id(&mut self.dice)
    }

    fn lie(&mut self, asked: &Peer) -> Vec<Peer> {
        let is_accomplice = self.place(asked).is_none();
        let mut named = Vec::new();
        let truth = self.truth.clone();
        let count = 1 + self.dice.below(3);
        for _ in 0..count {
            let kind = self.kinds[self.dice.below(self.kinds.len() as u64) as usize];
            match kind {
                // An accomplice names no further ones: more than half would lie.
                Lie::Impersonators | Lie::Accomplices | Lie::Claimants if is_accomplice => {}
                Lie::FalseAddresses => {
                    for honest in truth.iter().chain(&truth) {
                        named.push(Peer::new(honest.id, self.name(Behind::NoNode, None)));
                    }
                }
                Lie::FalseIds => named.extend(truth.iter().map(|honest| Peer::new(self.nearer(), honest.addr))),
                Lie::Inventions => {
                    named.extend((0..32).map(|_| Peer::new(self.nearer(), self.name(Behind::NoNode, None))));
                }
                Lie::InventionsBeside => named.extend(
                    truth
                        .iter()
                        .flat_map(|honest| [honest; 4])
                        .map(|honest| Peer::new(self.nearer(), self.name(Behind::NoNode, Some(honest)))),
                ),
                Lie::Unsent => {
                    named.extend((0..32).map(|_| Peer::new(self.nearer(), self.name(Behind::Unasked, None))));
                }
                Lie::Impersonators => {
                    named.extend(truth.iter().map(|honest| Peer::new(honest.id, self.name(Behind::Accomplice, None))))
                }
                Lie::Accomplices => {
                    named.extend((0..3).map(|_| Peer::new(self.nearer(), self.name(Behind::Accomplice, None))));
                }
                Lie::Claimants => named.extend(
                    truth.iter().map(|honest| Peer::new(self.nearer(), self.name(Behind::Claimant(honest.id), None))),
                ),
                Lie::Silence => named.clear(),
                Lie::Truth if self.place(asked).is_some() => {
                    let id = self.network.peers[self.place(asked).unwrap()].id;
                    named.extend(self.network.answer(&id, &self.target, true));
                }
                Lie::Truth => {}
            }
        }
        // Any order, so that what is read of a long answer differs.
        for last in (1..named.len()).rev() {
            named.swap(last, self.dice.below(last as u64 + 1) as usize);
        }
        named
    }

    fn reply(&mut self, asked: &Peer) -> Reply {
        if let Some(place) = self.place(asked) {
            let there = self.network.peers[place];
            return match (there.id == asked.id, self.lies[place]) {
                _ if !self.network.alive[place] => Reply::Fails(Failure::Silent),
                (true, false) => {
                    let named = self.network.answer(&there.id, &self.target, true);
                    self.honest.push((there, named.clone()));
                    Reply::Peers(named)
                }
                (true, true) => Reply::Peers(self.lie(asked)),
                (false, _) => Reply::Fails(Failure::WrongId { actual: there.id }),
            };
        }
        match self.named.iter().find(|(addr, _)| *addr == asked.addr).map(|(_, behind)| *behind) {
            Some(Behind::Accomplice) => Reply::Peers(self.lie(asked)),
            Some(Behind::Claimant(id)) if id != asked.id => Reply::Fails(Failure::WrongId { actual: id }),
            Some(Behind::Claimant(_)) => Reply::Peers(self.lie(asked)),
            Some(Behind::Unasked) => Reply::Fails(Failure::Unsent),
            Some(Behind::NoNode) | None => Reply::Fails(Failure::Silent),
        }
    }
}

/// The results of lookups among liars.
#[derive(Debug, Default)]
struct Figures {
    /// Lookups in which fewer than half of the peers that answered lied, and some did.
    tried: usize,
    /// The true nearest that honest ones among them named, and those of them that were not found.
    named: usize,
    hidden: usize,
    /// Of the latter, those of lookups whose queries were too few for all that answered and two lies of each liar.
    beyond: usize,
    /// Lookups whose queries or time were spent on lies in the end.
    cut_short: usize,
}

/// One lookup in a network of `size` nodes of which a part is dead, and a random part of up to a half lies in the ways of
/// `kinds`.
fn look(figures: &mut Figures, seed: u64, size: usize, config: &Config, dead: f64, kinds: &[Lie]) {
    let mut entropy = SeededEntropy::new(seed);
    let target = random_id(&mut entropy);
    let mut network = Network::random(size, config.lookup.k, dead, &target, &mut entropy);
    network.alive[0] = true;
    let share = entropy.unit() / 2.0;
    let own = network.peers[0];
    let truth: Vec<Peer> =
        network.living(&target).into_iter().filter(|peer| peer.id != own.id).take(config.lookup.k).collect();
    let lies = network.peers.iter().map(|_| entropy.unit() < share).collect();
    let seeds = network.answer(&own.id, &target, true);
    let kinds = kinds.to_vec();
    let dice = SeededEntropy::new(!seed);
    let mut liars =
        Liars { network: &network, target, truth, lies, kinds, named: Vec::new(), honest: Vec::new(), dice };
    let start = Instant::now();
    let goal = if seed.is_multiple_of(2) { Goal::Nodes } else { Goal::Value };
    let mut lookup = Lookup::new(own.id, target, goal, config, false, &seeds, start);
    let run = run(&mut lookup, config, start, &mut entropy, |asked| liars.reply(asked));

    let trace = lookup.trace();
    let answered: Vec<Peer> = trace
        .asked
        .iter()
        .filter(|asked| matches!(asked.came_back, CameBack::Peers { .. }))
        .map(|asked| asked.peer)
        .collect();
    let honest: Vec<&Peer> = answered.iter().filter(|peer| liars.is_honest(peer)).collect();
    if honest.len() == answered.len() || 2 * (answered.len() - honest.len()) >= answered.len() {
        return;
    }
    // All that answered are among the living, accomplices included.
    let mut living: Vec<NodeId> =
        network.living(&target).iter().chain(&answered).map(|peer| peer.id).filter(|id| *id != own.id).collect();
    living.sort_by_key(|id| id.distance(&target));
    living.dedup();
    let nearest: HashSet<NodeId> = living.into_iter().take(config.lookup.k).collect();
    let named: HashSet<Peer> = liars
        .honest
        .iter()
        .filter(|(informant, _)| answered.contains(informant))
        .flat_map(|(_, named)| named.iter().take(MAX_PEERS_READ).copied())
        .chain(seeds)
        .filter(|peer| nearest.contains(&peer.id))
        .collect();
    figures.tried += 1;
    figures.named += named.len();
    let closest: HashSet<NodeId> = lookup.closest().iter().map(|peer| peer.id).collect();
    // It was asked where it is, and its id is among the nearest.
    let is_found = |peer: &Peer| answered.contains(peer) && closest.contains(&peer.id);
    let hidden = named.iter().filter(|peer| !is_found(peer)).count();
    figures.hidden += hidden;
    let liars = answered.len() - honest.len();
    figures.beyond += if answered.len() + 2 * liars > config.lookup_queries() { hidden } else { 0 };
    figures.cut_short += usize::from(run.ending != Ending::Complete);
}

/// Each way of lying alone, and then all of them mixed.
fn ways() -> impl Iterator<Item = &'static [Lie]> {
    LIES.iter().map(std::slice::from_ref).chain([&LIES[..]])
}

#[test]
fn liars_among_fewer_than_half_of_the_informants_hide_no_peer_that_an_honest_one_named() {
    let (mut hidden, mut named) = (0, 0);
    for (number, kinds) in (0..).zip(ways()) {
        let mut figures = Figures::default();
        for seed in 0..300 {
            let mut dice = SeededEntropy::new(seed);
            let k = 2 + dice.below(7) as usize;
            let config = Config::builder().k(k).alpha(1 + dice.below(5) as usize).build().unwrap();
            look(&mut figures, seed * 101 + number, 5 + dice.below(76) as usize, &config, 0.0, kinds);
        }
        for seed in 300..324 {
            look(&mut figures, seed * 101 + number, 200, &Config::default(), 0.0, kinds);
        }
        println!("{kinds:?}: {figures:?}");
        assert!(figures.tried > 15 && figures.hidden == figures.beyond, "{kinds:?}: {figures:?}");
        (hidden, named) = (hidden + figures.hidden, named + figures.named);
    }
    // A liar costs its own query and that of a lie, since before the first lie has failed it is like an honest one. So where
    // more answer than half of the queries, and almost half of them lie, 60 queries cannot always be enough.
    assert!(hidden * 1_000 <= named, "{hidden} of {named}");
}

#[test]
fn dead_peers_beside_the_liars_hide_hardly_any_of_the_nearest() {
    let mut figures = Figures::default();
    for (number, kinds) in (0..).zip(ways()) {
        for seed in 0..24 {
            look(&mut figures, seed * 101 + number, 200, &Config::default(), 0.2, kinds);
        }
    }
    println!("{figures:?}");
    // 60 queries must suffice for the 20 nearest, for the dead before them and for the lies.
    assert!(figures.hidden * 1_000 <= figures.named, "{figures:?}");
}
