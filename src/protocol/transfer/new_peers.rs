//! Transfers to new peers: the peers that have entered the routing table, the copies queued for each, and their rates. Strangers
//! can enter the table as fast as they invent ids, so all of this has a bound; peers beyond it get their copies by the restores of
//! each hour.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::neighbours::{COST, MAX_IN_FLIGHT, Neighbour};
use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::id::NodeId;

/// New peers that wait for a selection, and new peers with a queue. A further one receives nothing.
pub const MAX_NEW_PEERS: usize = 64;
/// Copies that one new peer receives. It receives no further ones.
pub const MAX_COPIES_PER_PEER: usize = 10_000;
/// The time for which new peers are collected before copies are selected for all of them.
const COLLECTING: Duration = Duration::from_secs(1);
/// Bytes a second to one new peer: copies that need more take longer than their rate.
const BYTES_PER_SECOND: u64 = 512 * 1024;
/// The rate of all new peers together, in copies and in bytes, in multiples of that of one.
const TOGETHER: u32 = 4;

/// A copy to be transferred to a new peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedCopy {
    /// The key.
    pub key: Arc<str>,
    /// Bytes of key and value.
    pub bytes: usize,
}

/// A peer that has entered the routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewPeer {
    /// The peer.
    pub neighbour: Neighbour,
    /// The time at which it entered.
    pub since: Instant,
}

/// The new peers for which copies are to be selected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// The peers that have entered since the last selection.
    pub new_peers: Vec<NewPeer>,
    /// The peers that entered before, and have a queue.
    pub in_progress: Vec<NodeId>,
}

/// The new peers of a node, with their queues.
#[derive(Debug, Default)]
pub struct NewPeers {
    /// Copies a second for each; 0: none receives any.
    rate: u32,
    rate_limit: AppliesTo,
    source_rate: u32,
    /// The peers that wait for a selection.
    entered: Vec<NewPeer>,
    select_at: Option<Instant>,
    queues: Vec<Queue>,
    /// The time of the next transfer, to any of them.
    ready_at: Option<Instant>,
}

#[derive(Debug)]
struct Queue {
    to: Neighbour,
    copies: VecDeque<QueuedCopy>,
    ready_at: Instant,
    in_flight: usize,
}

impl NewPeers {
    /// No peers. A node with a rate of 0 transfers nothing.
    pub fn new(config: &Config) -> Self {
        Self {
            rate: config.values.handoff_rate,
            rate_limit: config.limits.rate_limit,
            source_rate: config.limits.source_rate,
            ..Self::default()
        }
    }

    /// A peer has entered the routing table by an answer of its own. `false`: too many have, and it receives nothing.
    pub fn entered(&mut self, neighbour: Neighbour, now: Instant) -> bool {
        if self.rate == 0 {
            return true;
        }
        // A peer that comes back has lost its copies, or has moved.
        self.left(&neighbour.peer.id);
        if self.entered.len() >= MAX_NEW_PEERS {
            return false;
        }
        self.entered.push(NewPeer { neighbour, since: now });
        self.select_at.get_or_insert(now + COLLECTING);
        true
    }

    /// A new peer has left, or does not answer: it receives nothing more.
    pub fn left(&mut self, id: &NodeId) {
        self.entered.retain(|new| new.neighbour.peer.id != *id);
        self.queues.retain(|queue| queue.to.peer.id != *id);
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.entered.clear();
        self.queues.clear();
        self.select_at = None;
    }

    /// The time of the next call of [`NewPeers::selection`] and [`NewPeers::next`], unless a transfer ends before.
    pub fn next_wakeup(&self) -> Option<Instant> {
        let ready = self.queues.iter().filter(|queue| queue.may_send()).map(|queue| queue.ready_at).min();
        let ready = ready.map(|at| self.ready_at.map_or(at, |all| all.max(at)));
        self.select_at.into_iter().chain(ready).min()
    }

    /// The peers for which copies are to be selected now, if it is time. The copies go to [`NewPeers::queue`].
    pub fn selection(&mut self, now: Instant) -> Option<Selection> {
        self.select_at.filter(|at| *at <= now)?;
        self.select_at = None;
        let new_peers = std::mem::take(&mut self.entered);
        let in_progress = self.queues.iter().map(|queue| queue.to.peer.id).collect();
        (!new_peers.is_empty()).then_some(Selection { new_peers, in_progress })
    }

    /// Queues `copies` for a new peer. `false`: too many peers have a queue, and this one receives none of them.
    pub fn queue(&mut self, to: Neighbour, copies: Vec<QueuedCopy>, now: Instant) -> bool {
        if copies.is_empty() {
            return true;
        }
        self.queues.retain(|queue| queue.to.peer.id != to.peer.id);
        if self.queues.len() >= MAX_NEW_PEERS {
            return false;
        }
        let copies = copies.into_iter().take(MAX_COPIES_PER_PEER).collect();
        self.queues.push(Queue { to, copies, ready_at: now, in_flight: 0 });
        true
    }

    /// The next transfer that may begin now; `None` if there is none. Each ends in [`NewPeers::ended`].
    pub fn next(&mut self, now: Instant) -> Option<(Neighbour, QueuedCopy)> {
        if self.ready_at.is_some_and(|at| at > now) {
            return None;
        }
        let ready = self.queues.iter_mut().filter(|queue| queue.may_send() && queue.ready_at <= now);
        // The queue that has waited longest: later ones do not delay it.
        let queue = ready.min_by_key(|queue| queue.ready_at)?;
        let copy = queue.copies.pop_front()?;
        let pause = pause(self.rate, copy.bytes);
        let least = least_pause(self.rate_limit, self.source_rate, &queue.to.peer.addr);
        queue.ready_at = now + pause.max(least);
        queue.in_flight += 1;
        self.ready_at = Some(now + pause / TOGETHER);
        Some((queue.to, copy))
    }

    /// A transfer to `to` has ended, successful or not. `alive`: the peer answered.
    pub fn ended(&mut self, to: &NodeId, alive: bool) {
        if !alive {
            return self.left(to);
        }
        let Some(at) = self.queues.iter().position(|queue| queue.to.peer.id == *to) else { return };
        let queue = &mut self.queues[at];
        queue.in_flight = queue.in_flight.saturating_sub(1);
        if queue.in_flight == 0 && queue.copies.is_empty() {
            self.queues.remove(at);
        }
    }
}

impl Queue {
    fn may_send(&self) -> bool {
        !self.copies.is_empty() && self.in_flight < MAX_IN_FLIGHT
    }
}

/// The pause after a transfer of `bytes` bytes.
fn pause(rate: u32, bytes: usize) -> Duration {
    // Rounded up: three pauses of a third of a second are no shorter than a second.
    let by_number = Duration::from_nanos(1_000_000_000_u64.div_ceil(rate.max(1).into()));
    let by_bytes = Duration::from_micros(bytes as u64 * 1_000_000 / BYTES_PER_SECOND);
    by_number.max(by_bytes)
}

/// The least pause between two transfers to `addr`, if the peer there has the rate limit of this node: at four fifths of that rate,
/// so that there is room for other queries. Datagrams that the peer drops would make it seem dead.
fn least_pause(limit: AppliesTo, source_rate: u32, addr: &SocketAddr) -> Duration {
    if limit.covers(&addr.ip()) { Duration::from_secs(1) * COST * 5 / (source_rate.max(1) * 4) } else { Duration::ZERO }
}
