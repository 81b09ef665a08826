//! Where a value goes and who still lacks it. It sends nothing: its owner asks whom it names, with the value that the
//! owner holds, and tells it what came back.

use std::time::Instant;

use serde::Serialize;

use super::config::Config;
use super::id::NodeId;
use super::lookup::Failure;
use super::peer::Peer;

/// The peers that a value at `key` goes to, nearest first: the k nearest of `closest`, what a lookup found; with `mixed`
/// also the k nearest of `own_table`, where legacy readers look (WIRE.md, placement). At most 2 k; no id and no address
/// twice, and where the two disagree about an address, the lookup is right: that peer has just answered.
pub fn targets(key: &NodeId, k: usize, closest: &[Peer], own_table: &[Peer], mixed: bool) -> Vec<Peer> {
    let nearest = |peers: &[Peer]| {
        let mut peers = peers.to_vec();
        peers.sort_by_key(|peer| peer.id.distance(key));
        peers.truncate(k);
        peers
    };
    let mut targets: Vec<Peer> = Vec::new();
    for peer in nearest(closest).into_iter().chain(if mixed { nearest(own_table) } else { Vec::new() }) {
        if !targets.iter().any(|known| known.id == peer.id || known.addr == peer.addr) {
            targets.push(peer);
        }
    }
    targets.sort_by_key(|peer| peer.id.distance(key));
    targets
}

/// Why a value is placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Its publisher sets it. Each target gets `set` without `ttl`, whether it holds the key or not: only so does an
    /// overwrite reach the holders.
    Publish,
    /// A holder restores it. Each target is asked by `check_store` first; those that say "not held" get `set` with `ttl`.
    Restore {
        /// Seconds that the publication has left.
        ttl: u32,
    },
}

/// What the owner of a placement does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Send this peer `check_store`, and call [`Placement::next`] again.
    Check(Peer),
    /// Send this peer `set`, with a `ttl` if the mode has one, and call [`Placement::next`] again.
    Store(Peer),
    /// Nothing to do before something comes back, or before this instant.
    Wait {
        /// The placement's deadline.
        until: Instant,
    },
    /// It is over; it stays so, and whatever still comes back changes nothing.
    Finished,
}

/// What became of the targets. Each is counted once, whatever was sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Placed {
    /// Targets that were asked: the sum of `stored`, `refused`, `held_already`, `silent` and `wrong_id`.
    pub asked: usize,
    /// Acknowledged the `set`.
    pub stored: usize,
    /// Answered that they did not store it.
    pub refused: usize,
    /// Held a full copy already, and were left alone (restores only).
    pub held_already: usize,
    /// Did not answer, the second time neither, or not before the deadline.
    pub silent: usize,
    /// Another node answered at the address.
    pub wrong_id: usize,
    /// The query never left this node.
    pub unsent: usize,
    /// The deadline passed before their turn came.
    pub unreached: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its turn has not come.
    ToDo(Duty),
    /// Asked. A slow one holds no slot.
    InFlight {
        duty: Duty,
        slow: bool,
    },
    Done(Fate),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    Check,
    Store,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stored,
    Refused,
    HeldAlready,
    Silent,
    WrongId,
    Unsent,
    Unreached,
}

#[derive(Debug, Clone, Copy)]
struct Target {
    peer: Peer,
    state: State,
    /// It was silent once.
    retried: bool,
    asked: bool,
}

/// One placement. Call [`Placement::next`] until it is neither [`Step::Check`] nor [`Step::Store`], and again after each
/// event.
///
/// Never more than alpha queries hold a slot; a query holds one until it ends or is [slow](Placement::handle_slow). A
/// target that was silent gets one more try, after all others have had their first: a datagram lost would cost a
/// replica until the next restore, and `set` does the same twice as once. So at most two queries for each target (three
/// in a restore), and all ends at [`Config::lookup_deadline`].
///
/// Events about a peer that is not being waited for are ignored.
#[derive(Debug, Clone)]
pub struct Placement {
    mode: Mode,
    targets: Vec<Target>,
    alpha: usize,
    deadline: Instant,
}

impl Placement {
    /// A placement on `targets`, in that order.
    pub fn new(mode: Mode, targets: &[Peer], config: &Config, now: Instant) -> Self {
        let first = match mode {
            Mode::Publish => Duty::Store,
            Mode::Restore { .. } => Duty::Check,
        };
        let fresh = |peer: &Peer| Target { peer: *peer, state: State::ToDo(first), retried: false, asked: false };
        Self {
            mode,
            targets: targets.iter().map(fresh).collect(),
            alpha: config.alpha,
            deadline: now + config.lookup_deadline,
        }
    }

    /// Why the value is placed.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What to do next.
    pub fn next(&mut self, now: Instant) -> Step {
        if now >= self.deadline {
            self.give_up();
        }
        if self.targets.iter().all(|target| matches!(target.state, State::Done(_))) {
            return Step::Finished;
        }
        let holds_slot = |target: &&Target| matches!(target.state, State::InFlight { slow: false, .. });
        if self.targets.iter().filter(holds_slot).count() >= self.alpha {
            return Step::Wait { until: self.deadline };
        }
        let turn = self.targets.iter_mut().filter_map(Target::turn).min_by_key(|(order, ..)| *order);
        let Some((_, target, duty)) = turn else { return Step::Wait { until: self.deadline } };
        target.state = State::InFlight { duty, slow: false };
        target.asked = true;
        match duty {
            Duty::Check => Step::Check(target.peer),
            Duty::Store => Step::Store(target.peer),
        }
    }

    /// `from` answered a `check_store`: whether it holds a full copy with time left.
    pub fn handle_checked(&mut self, from: &NodeId, has_key: bool) {
        if let Some(target) = self.in_flight(from, Duty::Check) {
            target.state = if has_key { State::Done(Fate::HeldAlready) } else { State::ToDo(Duty::Store) };
        }
    }

    /// `from` answered a `set`: whether it stored the value.
    pub fn handle_stored(&mut self, from: &NodeId, stored: bool) {
        if let Some(target) = self.in_flight(from, Duty::Store) {
            target.state = State::Done(if stored { Fate::Stored } else { Fate::Refused });
        }
    }

    /// `from` is slower than its expected round trip: its slot is free, but it may still answer.
    pub fn handle_slow(&mut self, from: &NodeId) {
        for duty in [Duty::Check, Duty::Store] {
            if let Some(target) = self.in_flight(from, duty) {
                target.state = State::InFlight { duty, slow: true };
            }
        }
    }

    /// The query to `from` failed.
    pub fn handle_failure(&mut self, from: &NodeId, why: Failure) {
        for duty in [Duty::Check, Duty::Store] {
            if let Some(target) = self.in_flight(from, duty) {
                target.state = match why {
                    Failure::Silent if !target.retried => State::ToDo(duty),
                    Failure::Silent => State::Done(Fate::Silent),
                    Failure::WrongId { .. } => State::Done(Fate::WrongId),
                    Failure::Unsent => State::Done(Fate::Unsent),
                };
                target.retried |= why == Failure::Silent;
                return;
            }
        }
    }

    /// What became of the targets so far. Once it is finished, each target is counted in exactly one place.
    pub fn outcome(&self) -> Placed {
        let mut placed = Placed::default();
        for target in &self.targets {
            let State::Done(fate) = target.state else { continue };
            let count = match fate {
                Fate::Stored => &mut placed.stored,
                Fate::Refused => &mut placed.refused,
                Fate::HeldAlready => &mut placed.held_already,
                Fate::Silent => &mut placed.silent,
                Fate::WrongId => &mut placed.wrong_id,
                Fate::Unsent => &mut placed.unsent,
                Fate::Unreached => &mut placed.unreached,
            };
            *count += 1;
        }
        placed.asked = placed.stored + placed.refused + placed.held_already + placed.silent + placed.wrong_id;
        placed
    }

    fn in_flight(&mut self, id: &NodeId, asked: Duty) -> Option<&mut Target> {
        let awaited = |target: &Target| matches!(target.state, State::InFlight { duty, .. } if duty == asked);
        self.targets.iter_mut().find(|target| target.peer.id == *id && awaited(target))
    }

    fn give_up(&mut self) {
        for target in &mut self.targets {
            if !matches!(target.state, State::Done(_)) {
                target.state = State::Done(if target.asked { Fate::Silent } else { Fate::Unreached });
            }
        }
    }
}

impl Target {
    /// Its place in the order, if there is something to do: what was checked is stored first, what was silent is tried
    /// again last.
    fn turn(&mut self) -> Option<(u8, &mut Self, Duty)> {
        let State::ToDo(duty) = self.state else { return None };
        let order = match duty {
            _ if self.retried => 2,
            Duty::Store if self.asked => 0,
            _ => 1,
        };
        Some((order, self, duty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::entropy::{Entropy, SeededEntropy};
    use crate::protocol::prefix::Prefix;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    const RESTORE: Mode = Mode::Restore { ttl: 600 };

    /// In order of distance from the key zero.
    fn near(number: u8) -> Peer {
        let mut id = [0; 20];
        id[0] = number + 1;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000 + u16::from(number)));
        Peer::new(NodeId::from_bytes(id), addr)
    }

    fn all_near(numbers: std::ops::Range<u8>) -> Vec<Peer> {
        numbers.map(near).collect()
    }

    fn start(mode: Mode, targets: &[Peer], alpha: usize, now: Instant) -> Placement {
        Placement::new(mode, targets, &Config::builder().alpha(alpha).build().unwrap(), now)
    }

    /// What it sends before it waits or ends.
    fn sends(placement: &mut Placement, now: Instant) -> Vec<Step> {
        let sent = std::iter::from_fn(|| Some(placement.next(now)));
        sent.take_while(|step| matches!(step, Step::Check(_) | Step::Store(_))).collect()
    }

    proptest! {
        #[test]
        fn targets_are_the_nearest_of_both_views_in_order_and_once(
            seed: u64, known in 0usize..60, k in 1usize..25, mixed: bool,
        ) {
            let mut entropy = SeededEntropy::new(seed);
            let key = Prefix::ALL.random_id(&mut entropy);
            let peers: Vec<Peer> = (0..known)
                .map(|number| Peer::new(Prefix::ALL.random_id(&mut entropy), near(number as u8).addr))
                .collect();
            let (found, table): (Vec<_>, Vec<_>) = (
                peers.iter().copied().filter(|_| entropy.below(2) == 0).collect(),
                peers.iter().copied().filter(|_| entropy.below(2) == 0).collect(),
            );
            let nearest = |peers: &[Peer]| {
                let mut peers = peers.to_vec();
                peers.sort_by_key(|peer| peer.id.distance(&key));
                peers.truncate(k);
                peers
            };
            let targets = targets(&key, k, &found, &table, mixed);
            prop_assert!(targets.is_sorted_by(|a, b| a.id.distance(&key) < b.id.distance(&key)));
            let mut expected = nearest(&found);
            if mixed { expected.extend(nearest(&table)); }
            prop_assert!(expected.iter().all(|peer| targets.contains(peer)));
            prop_assert!(targets.iter().all(|peer| expected.contains(peer)));
        }

        /// Whatever comes back, in whatever order: it ends, keeps to alpha slots and its number of queries, and counts
        /// each target once.
        #[test]
        fn every_placement_ends_and_counts_each_target_once(
            seed: u64, size in 0u8..50, alpha in 1usize..6, restore: bool,
        ) {
            let mut entropy = SeededEntropy::new(seed);
            let (mut now, mode) = (Instant::now(), if restore { RESTORE } else { Mode::Publish });
            let mut placement = start(mode, &all_near(0..size), alpha, now);
            // (id, whether it was a check, whether it holds a slot)
            let mut in_flight: Vec<(NodeId, bool, bool)> = Vec::new();
            let mut sent = vec![0; usize::from(size) + 1];
            loop {
                let step = placement.next(now);
                match step {
                    Step::Check(peer) | Step::Store(peer) => {
                        prop_assert!(!in_flight.iter().any(|(id, ..)| *id == peer.id));
                        in_flight.push((peer.id, matches!(step, Step::Check(_)), true));
                        sent[usize::from(peer.id.as_bytes()[0])] += 1;
                        prop_assert!(in_flight.iter().filter(|(.., holds)| *holds).count() <= alpha);
                    }
                    Step::Wait { until } => {
                        let at = entropy.below(in_flight.len() as u64) as usize;
                        let (id, check, _) = in_flight[at];
                        let die = entropy.below(9);
                        now += Duration::from_millis(entropy.below(60));
                        if die == 0 {
                            in_flight[at].2 = false;
                            placement.handle_slow(&id);
                            continue;
                        }
                        in_flight.remove(at);
                        match die {
                            1 | 2 => placement.handle_failure(&id, Failure::Silent),
                            3 => placement.handle_failure(&id, Failure::WrongId { actual: NodeId::ZERO }),
                            4 => placement.handle_failure(&id, Failure::Unsent),
                            5 => now = if entropy.below(20) == 0 { until } else { in_flight.push((id, check, false)); placement.handle_slow(&id); now },
                            _ if check => placement.handle_checked(&id, die == 6),
                            _ => placement.handle_stored(&id, die != 6),
                        }
                    }
                    Step::Finished => break,
                }
            }
            prop_assert_eq!(placement.next(now), Step::Finished);
            let most = if restore { 3 } else { 2 };
            prop_assert!(sent.iter().all(|sent| *sent <= most));
            let placed = placement.outcome();
            prop_assert_eq!(placed.asked + placed.unsent + placed.unreached, usize::from(size));
            let Placed { stored, refused, held_already, silent, wrong_id, .. } = placed;
            prop_assert_eq!(placed.asked, stored + refused + held_already + silent + wrong_id);
        }
    }

    #[test]
    fn a_lookups_word_on_an_address_counts_more_than_the_tables() {
        let moved = Peer::new(near(1).id, near(9).addr);
        assert_eq!(targets(&NodeId::ZERO, 4, &[near(1)], &[moved, near(0)], true), [near(0), near(1)]);
        assert_eq!(targets(&NodeId::ZERO, 4, &[moved], &[near(9)], true), [moved]);
    }

    #[test]
    fn a_publisher_sets_every_target_whether_it_holds_the_key_or_not() {
        let now = Instant::now();
        let mut placement = start(Mode::Publish, &all_near(0..3), 3, now);
        assert_eq!(sends(&mut placement, now), all_near(0..3).into_iter().map(Step::Store).collect::<Vec<_>>());
        placement.handle_stored(&near(0).id, true);
        placement.handle_stored(&near(1).id, false);
        placement.handle_stored(&near(2).id, true);
        assert_eq!(placement.next(now), Step::Finished);
        assert_eq!(placement.outcome(), Placed { asked: 3, stored: 2, refused: 1, ..Placed::default() });
    }

    #[test]
    fn a_restore_sets_only_where_the_key_is_not_held() {
        let now = Instant::now();
        let mut placement = start(RESTORE, &all_near(0..3), 2, now);
        assert_eq!(sends(&mut placement, now), [Step::Check(near(0)), Step::Check(near(1))]);
        placement.handle_checked(&near(0).id, true);
        placement.handle_checked(&near(1).id, false);
        // What was checked comes before the next check.
        assert_eq!(sends(&mut placement, now), [Step::Store(near(1)), Step::Check(near(2))]);
        placement.handle_checked(&near(2).id, true);
        placement.handle_stored(&near(1).id, true);
        assert_eq!(placement.next(now), Step::Finished);
        assert_eq!(placement.outcome(), Placed { asked: 3, stored: 1, held_already: 2, ..Placed::default() });
        assert_eq!(placement.mode(), RESTORE);
    }

    #[test]
    fn a_silent_target_is_tried_once_more_after_all_others() {
        let now = Instant::now();
        let mut placement = start(Mode::Publish, &all_near(0..3), 1, now);
        assert_eq!(sends(&mut placement, now), [Step::Store(near(0))]);
        placement.handle_failure(&near(0).id, Failure::Silent);
        for number in [1, 2] {
            assert_eq!(sends(&mut placement, now), [Step::Store(near(number))]);
            placement.handle_stored(&near(number).id, true);
        }
        assert_eq!(sends(&mut placement, now), [Step::Store(near(0))]);
        placement.handle_failure(&near(0).id, Failure::Silent);
        assert_eq!(placement.next(now), Step::Finished);
        assert_eq!(placement.outcome(), Placed { asked: 3, stored: 2, silent: 1, ..Placed::default() });
    }

    #[test]
    fn a_slow_target_frees_its_slot_and_its_late_answer_counts() {
        let now = Instant::now();
        let mut placement = start(Mode::Publish, &all_near(0..2), 1, now);
        assert_eq!(sends(&mut placement, now), [Step::Store(near(0))]);
        placement.handle_slow(&near(0).id);
        assert_eq!(sends(&mut placement, now), [Step::Store(near(1))]);
        placement.handle_stored(&near(1).id, true);
        assert!(matches!(placement.next(now), Step::Wait { .. }));
        placement.handle_stored(&near(0).id, true);
        assert_eq!(placement.next(now), Step::Finished);
        assert_eq!(placement.outcome().stored, 2);
    }

    #[test]
    fn the_deadline_ends_a_placement_that_hears_nothing() {
        let now = Instant::now();
        let mut placement = start(Mode::Publish, &all_near(0..5), 2, now);
        assert_eq!(sends(&mut placement, now).len(), 2);
        let Step::Wait { until } = placement.next(now) else { panic!("it does not wait") };
        assert_eq!(until, now + Config::default().lookup_deadline);
        assert_eq!(placement.next(until), Step::Finished);
        placement.handle_stored(&near(0).id, true);
        assert_eq!(placement.outcome(), Placed { asked: 2, silent: 2, unreached: 3, ..Placed::default() });
    }

    #[test]
    fn answers_that_nobody_waits_for_change_nothing() {
        let now = Instant::now();
        let mut placement = start(RESTORE, &all_near(0..2), 1, now);
        assert_eq!(sends(&mut placement, now), [Step::Check(near(0))]);
        placement.handle_stored(&near(0).id, true);
        placement.handle_checked(&near(1).id, true);
        placement.handle_failure(&near(7).id, Failure::Silent);
        assert_eq!(placement.outcome(), Placed::default());
        assert!(matches!(placement.next(now), Step::Wait { .. }));
    }
}
