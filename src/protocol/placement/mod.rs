//! Where a value goes and who still lacks it. It sends nothing: its owner asks whom it names, with the value that the
//! owner holds, and tells it what came back.

#[cfg(test)]
mod tests;

use std::time::Instant;

use serde::Serialize;

use super::config::Config;
use super::id::NodeId;
use super::lookup::Failure;
use super::peer::Peer;

/// The peers that a value at `key` goes to, nearest first: the k nearest of `closest`, what a lookup found; with `mixed`
/// also the k nearest of `own_table`, where legacy readers look (docs/wire.md, 9.8). At most 2 k; no id and no address
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
    Restore,
    /// A copy is transferred to one peer: the targets are asked by `check_store` one after another, in their order, and
    /// the first that says "not held" gets `set` with `ttl`. That is all, once it has stored it.
    Transfer,
    /// Nothing is placed: each target is asked by `check_store`, and that is all. See [`Audit`](super::audit::Audit).
    Audit,
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
    /// Targets that were asked: the sum of `stored`, `refused`, `held_already`, `lacking`, `silent` and `wrong_id`.
    pub asked: usize,
    /// Acknowledged the `set`.
    pub stored: usize,
    /// Answered that they did not store it.
    pub refused: usize,
    /// Held a full copy already, and were left alone (restores and audits only).
    pub held_already: usize,
    /// Held none, and were left alone (audits, and those that were [left out](Placement::leave_out)).
    pub lacking: usize,
    /// Did not answer, the second time neither, or not before the deadline.
    pub silent: usize,
    /// Another node answered at the address.
    pub wrong_id: usize,
    /// The query never left this node, the second time neither.
    pub unsent: usize,
    /// Their turn did not come, before the deadline or before another one had it (transfers only).
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

/// What became of one target. [`Placed`] counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It acknowledged the `set`.
    Stored,
    /// It answered that it did not store it.
    Refused,
    /// It held a full copy already.
    HeldAlready,
    /// It holds none, and was only to be asked, or was left out.
    Lacking,
    /// It did not answer.
    Silent,
    /// Another node answered at the address.
    WrongId,
    /// The query never left this node.
    Unsent,
    /// Its turn did not come, or its answer made no difference any more.
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

/// Bytes of a value's copies that a publication may have under way together beyond those to alpha targets: as many as a line of
/// 10 Mbit/s takes in 50 ms. A larger value goes to alpha targets at a time.
pub const MAX_BURST: usize = 64 * 1_024;

/// One placement. Call [`Placement::next`] until it is neither [`Step::Check`] nor [`Step::Store`], and again after each
/// event.
///
/// Never more than alpha queries hold a slot, in a transfer one, and in a publication of a small value [one for each
/// target](Placement::at_once); a query holds one until it ends or is [slow](Placement::handle_slow). A target that was silent, or to which nothing was sent, gets one more try, after all others have had their first: a datagram lost would cost a
/// replica until the next restore, and `set` does the same twice as once. So at most two queries for each target (three
/// in a restore), and all ends at `lookup_deadline`.
///
/// Events about a peer that is not being waited for are ignored.
#[derive(Debug, Clone)]
pub struct Placement {
    mode: Mode,
    targets: Vec<Target>,
    slots: usize,
    deadline: Instant,
}

impl Placement {
    /// A placement on `targets`, in that order.
    pub fn new(mode: Mode, targets: &[Peer], config: &Config, now: Instant) -> Self {
        let first = match mode {
            Mode::Publish => Duty::Store,
            Mode::Restore | Mode::Transfer | Mode::Audit => Duty::Check,
        };
        let fresh = |peer: &Peer| Target { peer: *peer, state: State::ToDo(first), retried: false, asked: false };
        Self {
            mode,
            targets: targets.iter().map(fresh).collect(),
            slots: if mode == Mode::Transfer { 1 } else { config.lookup.alpha },
            deadline: now + config.lookup.lookup_deadline,
        }
    }

    /// The same, of a value of this length in bytes: a publication goes to as many targets at once as [`MAX_BURST`] permits.
    /// The places are known, so nothing is learned by asking one after another.
    #[must_use]
    pub fn at_once(self, value_len: usize) -> Self {
        if self.mode != Mode::Publish {
            return self;
        }
        Self { slots: (MAX_BURST / value_len.max(1)).min(self.targets.len()).max(self.slots), ..self }
    }

    /// What to do next.
    pub fn next(&mut self, now: Instant) -> Step {
        if now >= self.deadline {
            self.end(Fate::Silent);
        }
        if self.mode == Mode::Transfer && self.fates().any(|(_, fate)| fate == Some(Fate::Stored)) {
            // One has it, and that is enough.
            self.end(Fate::Unreached);
        }
        if self.targets.iter().all(|target| matches!(target.state, State::Done(_))) {
            return Step::Finished;
        }
        let holds_slot = |target: &&Target| matches!(target.state, State::InFlight { slow: false, .. });
        if self.targets.iter().filter(holds_slot).count() >= self.slots {
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

    /// `from` answered a `check_store`: whether it holds a full copy with time left. `false` if no check of it was awaited.
    pub fn handle_checked(&mut self, from: &NodeId, has_key: bool) -> bool {
        let audit = self.mode == Mode::Audit;
        let Some((target, Duty::Check)) = self.in_flight(from) else { return false };
        target.state = match has_key {
            true => State::Done(Fate::HeldAlready),
            false if audit => State::Done(Fate::Lacking),
            false => State::ToDo(Duty::Store),
        };
        true
    }

    /// `from` answered a `check_store` with "not held", and is to be given nothing all the same.
    pub fn leave_out(&mut self, from: &NodeId) {
        if let Some((target, Duty::Check)) = self.in_flight(from) {
            target.state = State::Done(Fate::Lacking);
        }
    }

    /// `from` answered a `set`: whether it stored the value.
    pub fn handle_stored(&mut self, from: &NodeId, stored: bool) {
        if let Some((target, Duty::Store)) = self.in_flight(from) {
            target.state = State::Done(if stored { Fate::Stored } else { Fate::Refused });
        }
    }

    /// `from` is slower than its expected round trip: its slot is free, but it may still answer.
    pub fn handle_slow(&mut self, from: &NodeId) {
        if let Some((target, duty)) = self.in_flight(from) {
            target.state = State::InFlight { duty, slow: true };
        }
    }

    /// The query to `from` failed.
    pub fn handle_failure(&mut self, from: &NodeId, why: Failure) {
        let Some((target, duty)) = self.in_flight(from) else { return };
        target.state = match why {
            Failure::Silent | Failure::Unsent if !target.retried => State::ToDo(duty),
            Failure::Silent => State::Done(Fate::Silent),
            Failure::WrongId { .. } => State::Done(Fate::WrongId),
            Failure::Unsent => State::Done(Fate::Unsent),
        };
        target.retried |= matches!(why, Failure::Silent | Failure::Unsent);
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
                Fate::Lacking => &mut placed.lacking,
                Fate::Silent => &mut placed.silent,
                Fate::WrongId => &mut placed.wrong_id,
                Fate::Unsent => &mut placed.unsent,
                Fate::Unreached => &mut placed.unreached,
            };
            *count += 1;
        }
        placed.asked =
            placed.stored + placed.refused + placed.held_already + placed.lacking + placed.silent + placed.wrong_id;
        placed
    }

    /// What became of each target, in their order; `None` while that is open.
    pub fn fates(&self) -> impl Iterator<Item = (Peer, Option<Fate>)> {
        self.targets.iter().map(|target| match target.state {
            State::Done(fate) => (target.peer, Some(fate)),
            State::ToDo(_) | State::InFlight { .. } => (target.peer, None),
        })
    }

    /// The target with this id and the purpose of its query, if one is in flight. No two targets have the same id.
    fn in_flight(&mut self, id: &NodeId) -> Option<(&mut Target, Duty)> {
        let target = self.targets.iter_mut().find(|target| target.peer.id == *id)?;
        let State::InFlight { duty, .. } = target.state else { return None };
        Some((target, duty))
    }

    /// Ends it. This is what becomes of the targets that were asked and have not answered.
    fn end(&mut self, asked: Fate) {
        for target in self.targets.iter_mut().filter(|target| !matches!(target.state, State::Done(_))) {
            target.state = State::Done(if target.asked { asked } else { Fate::Unreached });
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
