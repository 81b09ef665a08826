//! Ten thousand random histories of the table, compared with its model after each step.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::model::{Model, Peered, compare};
use super::*;
use crate::protocol::routing::claims::MAX_CLAIMANTS;

/// The peers that the table has reported as entered and not as left.
#[derive(Default)]
struct Reported(BTreeSet<Peered>);

impl Reported {
    /// Applies an event's changes: no peer enters twice, and none leaves that is not there. Returns how many left, and how many
    /// entered for others.
    fn take(&mut self, outcome: &Outcome) -> (u32, u32) {
        let (mut left, mut entered) = (0, 0);
        for change in &outcome.changes {
            match change {
                Change::Entered(peer) => {
                    assert!(self.0.insert((peer.id, peer.addr)), "{peer} came in twice");
                    entered += 1;
                }
                Change::Left(peer) => {
                    assert!(self.0.remove(&(peer.id, peer.addr)), "{peer} was not there");
                    left += 1;
                }
            }
        }
        assert!(outcome.ping.len() <= MAX_CLAIMANTS + 2);
        (left, entered)
    }
}

/// The number of each outcome, so that the histories cannot become vacuous unnoticed.
#[derive(Debug, Default)]
struct Met {
    added: u32,
    refreshed: u32,
    moved: u32,
    waiting: u32,
    contested: u32,
    refused: u32,
    evicted: u32,
    promoted: u32,
    restored: u32,
}

impl Met {
    fn insertion(&mut self, insertion: &Insertion) {
        *match insertion {
            Insertion::Added => &mut self.added,
            Insertion::Refreshed => &mut self.refreshed,
            Insertion::Moved { .. } => &mut self.moved,
            Insertion::Waiting => &mut self.waiting,
            Insertion::Contested => &mut self.contested,
            Insertion::Refused(_) => &mut self.refused,
        } += 1;
    }
}

const ADDRESSES: [&str; 12] = [
    "198.51.100.1:1",
    "198.51.100.1:2",
    "198.51.100.2:1",
    "198.51.100.3:1",
    "203.0.113.1:1",
    "203.0.113.2:1",
    "192.0.2.1:1",
    "10.0.0.1:1",
    "10.0.0.2:1",
    "127.0.0.1:1",
    "[2001:db8::1]:1",
    "[2001:db8::2]:1",
];

fn history(seed: u64, addresses: &[SocketAddr], met: &mut Met) {
    let mut entropy = SeededEntropy::new(seed);
    let mut below = |bound: u64| entropy.below(bound);
    let config = Config::builder()
        .k(1 + below(3) as usize)
        .max_failures(1 + below(4) as u32)
        .max_per_subnet_bucket(1 + below(3) as usize)
        .max_per_subnet_table(1 + below(5) as usize)
        .diversity([AppliesTo::Global, AppliesTo::Always, AppliesTo::Off][below(3) as usize]);
    let config = config.build().unwrap();
    let own = NodeId::of_key(&seed.to_string());
    // Ids that part from ours at any bit, most of them early; a few addresses each, some shared.
    let peers: Vec<Peer> = (0..16)
        .map(|number| {
            let shared = if below(5) == 0 { below(160) } else { below(4) } as u32;
            let prefix = Prefix::of(&own.with_bit(shared, !own.bit(shared)), shared + 1);
            let id = prefix.random_id(&mut SeededEntropy::new(seed ^ (number << 32)));
            Peer::new(id, addresses[below(12) as usize])
        })
        .collect();
    let mut now = Instant::now();
    let mut table = RoutingTable::new(own, &config, now);
    let mut model =
        Model { own, config, splits: 0, known: Vec::new(), log: Vec::new(), losses: Vec::new(), away: Vec::new() };
    let mut reported = Reported::default();
    for _ in 0..75 {
        let longest = [200, 4_000][below(2) as usize];
        now += Duration::from_millis(1 + below(longest));
        let mut peer = peers[below(16) as usize];
        if below(5) == 0 {
            peer.addr = addresses[below(12) as usize];
        }
        let version = (below(2) == 0).then_some(1);
        if !model.known.is_empty() && below(2) == 0 {
            peer = model.known[below(model.known.len().min(3) as u64) as usize].peer;
        }
        let mut event = below(16);
        // Now and then a check goes on, an id moves, or moves back.
        let checked = model.known.iter().find(|known| known.claims.check.is_some()).map(|known| known.peer);
        let gone = model.known.iter().find(|known| model.may_move(known, now)).map(|known| known.peer);
        let displaced = model.away.iter().find(|away| away.displaced).map(|away| away.peer);
        match (below(6), checked, gone, displaced) {
            (0, Some(checked), ..) => (peer, event) = (checked, 7),
            (1, _, Some(gone), _) => (peer, event) = (Peer { addr: addresses[below(12) as usize], ..gone }, 0),
            (2, .., Some(displaced)) if below(4) == 0 => (peer, event) = (displaced, [0, 15][below(2) as usize]),
            _ => {}
        }
        match event {
            0..7 => {
                let (insertion, outcome) = table.peer_answered(peer, version, now);
                reported.take(&outcome);
                met.insertion(&insertion);
                assert_eq!(insertion, model.answered(peer, version, now));
            }
            7..14 => {
                let (evicted, promoted) = reported.take(&table.peer_silent(&peer, now));
                model.silent(&peer, now);
                met.evicted += evicted;
                met.promoted += promoted;
            }
            14 if below(8) == 0 => {
                reported.take(&table.forget_all(now));
                model.known.clear();
                model.log.clear();
                model.losses.clear();
                model.splits = 0;
            }
            14 => {
                reported.take(&table.peer_replaced(&peer));
                model.replaced(&peer);
            }
            _ => {
                let known = model.known.iter().any(|known| known.peer == peer);
                assert_eq!(table.peer_asked(peer, now) == Sighting::Known, known);
                model.asked(peer, now);
            }
        }
        assert_eq!(reported.0, model.entries());
        compare(&table, &model);
        let (target, count) = (peers[below(16) as usize].id, below(8) as usize);
        assert_eq!(table.nearest(&target, count), model.nearest(&target, count, None));
        let asker = addresses[below(12) as usize];
        assert_eq!(table.nearest_for(&target, count, &asker), model.nearest(&target, count, Some(&asker)));
    }
    met.restored += table.counters.restored as u32;
}

#[test]
fn the_table_equals_its_naive_model_over_ten_thousand_histories() {
    let addresses = ADDRESSES.map(|text| text.parse().unwrap());
    let mut met = Met::default();
    for seed in 0..10_000 {
        let run = std::panic::AssertUnwindSafe(|| history(seed, &addresses, &mut met));
        assert!(std::panic::catch_unwind(run).is_ok(), "the history of seed {seed} parts from the model");
    }
    let Met { added, refreshed, moved, waiting, contested, refused, evicted, promoted, restored } = met;
    let least = [added, refreshed, moved, waiting, contested, refused, evicted, promoted, restored].into_iter().min();
    assert!(least > Some(250), "{met:?}");
}
