//! A farewell: what a node that leaves gives to those who stay, in the little time that it has. It begins with a roll call:
//! whoever has left before is in the table still, and would be counted as a holder.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{COST, MAX_IN_FLIGHT, Neighbour, Neighbours};
use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;

/// Values that a node which leaves tries to hand over. Further ones are left to the restores of those who stay.
pub const MAX_PARTING: usize = 10_000;
/// Peers that are asked whether they are there, in multiples of k.
pub const CALLED_PER_K: usize = 4;
/// Values that are passed over in a row because whoever should get them has had enough for the moment.
const PASSED_OVER: usize = 64;
/// How long to wait then.
const PAUSE: Duration = Duration::from_millis(100);

/// A value that is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parting {
    /// The key.
    pub key: Arc<str>,
    /// Its place.
    pub id: NodeId,
}

/// The hand-over of all that a node holds. Ask those whom [`Farewell::roll_call`] names, then call [`Farewell::next`] until
/// it says `None`, and again after each event.
#[derive(Debug)]
pub struct Farewell {
    neighbours: Neighbours,
    k: usize,
    rate_limit: AppliesTo,
    rate: u32,
    burst: u32,
    began: Instant,
    /// What is left, the most urgent first.
    values: VecDeque<Parting>,
    in_flight: usize,
    /// Those of the roll call of whom nothing is known yet, and how often they were late.
    called: BTreeMap<NodeId, u32>,
    /// Those who were slower than expected, and so are no neighbours: they may have left before us.
    slow: Vec<Neighbour>,
    /// What each receiver that may have a rate limit was sent, as that counts it.
    sent: HashMap<NodeId, u32>,
    waits_until: Option<Instant>,
}

impl Farewell {
    /// What `values` go to `neighbours`. The values come in the order of their urgency; those for which there is nobody are
    /// left out in their turn.
    pub fn new(values: Vec<Parting>, neighbours: Neighbours, config: &Config, now: Instant) -> Self {
        Self {
            neighbours,
            k: config.k,
            rate_limit: config.rate_limit,
            rate: config.source_rate,
            burst: config.source_burst,
            began: now,
            values: values.into_iter().take(MAX_PARTING).collect(),
            in_flight: 0,
            called: BTreeMap::new(),
            slow: Vec::new(),
            sent: HashMap::new(),
            waits_until: None,
        }
    }

    /// Those who are to be asked whether they are there, all at once: the [`CALLED_PER_K`] k nearest to this node. Nobody, if
    /// there is nothing to hand over. Each ends in [`Farewell::is_there`], [`Farewell::is_late`] or [`Farewell::is_slow`].
    pub fn roll_call(&mut self) -> Vec<Peer> {
        if self.values.is_empty() {
            return Vec::new();
        }
        let called = self.neighbours.nearest_to_own(CALLED_PER_K * self.k);
        self.called = called.iter().map(|peer| (peer.id, 0)).collect();
        called
    }

    /// The next value, and who is to be asked for it one after another; the first who lacks it gets it. It ends in
    /// [`Farewell::ended`].
    pub fn next(&mut self, now: Instant) -> Option<(Arc<str>, Vec<Peer>)> {
        if !self.called.is_empty() || self.waits_until.is_some_and(|until| until > now) {
            return None;
        }
        self.waits_until = None;
        let mut passed_over = 0;
        while self.in_flight < MAX_IN_FLIGHT && passed_over < PASSED_OVER.min(self.values.len()) {
            let value = self.values.pop_front()?;
            let mut heirs = self.neighbours.heirs(&value.id, self.k);
            let Some(nobody_busy) = heirs.iter().position(|heir| self.bears(heir, now)) else {
                if !heirs.is_empty() {
                    self.values.push_back(value);
                    passed_over += 1;
                }
                continue;
            };
            heirs.drain(..nobody_busy);
            *self.sent.entry(heirs[0].id).or_default() += COST;
            self.in_flight += 1;
            return Some((value.key, heirs));
        }
        if passed_over > 0 {
            self.waits_until = Some(now + PAUSE);
        }
        None
    }

    /// When to call [`Farewell::next`] again, unless something ends before.
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.waits_until.filter(|_| self.in_flight < MAX_IN_FLIGHT)
    }

    /// A value that was on its way is there, or has come to nothing.
    pub fn ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// `id` has answered.
    pub fn is_there(&mut self, id: &NodeId) {
        self.called.remove(id);
        if let Some(at) = self.slow.iter().position(|slow| slow.peer.id == *id) {
            self.neighbours.known.push(self.slow.swap_remove(at));
        }
    }

    /// `id` has not answered the roll call in the time that was expected. The first time it is named: ask it again, since one
    /// datagram lost would make it seem gone.
    pub fn is_late(&mut self, id: &NodeId) -> Option<Peer> {
        // Of whom it is not waited for, enough is known.
        let times = self.called.get_mut(id)?;
        *times += 1;
        if *times > 1 {
            self.is_slow(id);
            return None;
        }
        self.neighbours.known.iter().map(|known| known.peer).find(|peer| peer.id == *id)
    }

    /// `id` is slower than expected, or silent.
    pub fn is_slow(&mut self, id: &NodeId) {
        self.called.remove(id);
        if let Some(at) = self.neighbours.known.iter().position(|known| known.peer.id == *id) {
            self.slow.push(self.neighbours.known.swap_remove(at));
        }
    }

    /// Whether nothing is left, and nothing on its way.
    pub fn is_over(&self) -> bool {
        self.values.is_empty() && self.in_flight == 0
    }

    /// Whether `heir` bears one more now, if it has the rate limit that this node has. The half of its burst is left for
    /// what was sent before, and a fifth of its rate for what else is.
    fn bears(&self, heir: &Peer, now: Instant) -> bool {
        if !self.rate_limit.covers(&heir.addr.ip()) {
            return true;
        }
        let passed = now.saturating_duration_since(self.began).as_millis() as u64;
        let borne = u64::from(self.burst / 2) + u64::from(self.rate) * 4 / 5 * passed / 1_000;
        u64::from(self.sent.get(&heir.id).copied().unwrap_or_default() + COST) <= borne.max(u64::from(COST))
    }
}
