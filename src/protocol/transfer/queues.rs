//! The copies that wait to be brought to peers, and the rates at which they are: copies for new peers, what an exchange has found
//! lacking, and restores. All of it has a bound; what is beyond it is found again by the next exchange or restore.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::neighbours::{COST, MAX_IN_FLIGHT, Neighbour};
use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::id::NodeId;

/// Peers with a queue. A further one receives nothing.
pub const MAX_QUEUES: usize = 256;
/// Copies in one queue. Further ones are left out.
pub const MAX_COPIES_PER_PEER: usize = 10_000;
/// Copies in all queues. Further ones are left out.
pub const MAX_QUEUED: usize = 100_000;
/// Bytes a second to one peer: copies that need more take longer than their rate.
const BYTES_PER_SECOND: u64 = 512 * 1024;
/// The rate of all peers together, in copies and in bytes, in multiples of that of one.
const TOGETHER: u32 = 4;
/// Bytes of the copies that are named in one message, if they are more than one.
const BATCH_BYTES: usize = 64 * 1024;
/// Copies that are named in one message to a peer with a rate limit: its burst bears the writes that may follow.
const LIMITED_BATCH: usize = 8;

/// A copy that waits to be brought to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedCopy {
    /// The key.
    pub key: Arc<str>,
    /// Bytes of key and value.
    pub bytes: usize,
}

/// The queues of a node.
#[derive(Debug, Default)]
pub struct Queues {
    /// Copies a second to each.
    rate: u32,
    rate_limit: AppliesTo,
    source_rate: u32,
    /// Copies in one message to a peer that reconciles.
    batch: usize,
    queues: Vec<Queue>,
    queued: usize,
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

impl Queues {
    /// No queues. A message to a peer that reconciles names `batch` copies; others are asked for one at a time.
    pub fn new(config: &Config, batch: usize) -> Self {
        // With a rate of 0 nothing is brought to new peers, but what exchanges find is.
        let rate = if config.values.handoff_rate > 0 { config.values.handoff_rate } else { 250 };
        Self {
            rate,
            rate_limit: config.limits.rate_limit,
            source_rate: config.limits.source_rate,
            batch: batch.max(1),
            ..Self::default()
        }
    }

    /// A peer has left, does not answer, or has come back: it receives nothing of what waits for it.
    pub fn left(&mut self, id: &NodeId) {
        self.queues.retain(|queue| queue.to.peer.id != *id);
        self.queued = self.queues.iter().map(|queue| queue.copies.len()).sum();
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.queues.clear();
        self.queued = 0;
    }

    /// The peers with a queue.
    pub fn recipients(&self) -> impl Iterator<Item = NodeId> {
        self.queues.iter().map(|queue| queue.to.peer.id)
    }

    /// How many copies wait.
    pub fn len(&self) -> usize {
        self.queued
    }

    /// The time of the next call of [`Queues::next`], unless a transfer ends before.
    pub fn next_wakeup(&self) -> Option<Instant> {
        let ready = self.queues.iter().filter(|queue| queue.may_send()).map(|queue| queue.ready_at).min();
        ready.map(|at| self.ready_at.map_or(at, |all| all.max(at)))
    }

    /// Queues `copies` for a peer, behind those that wait for it already. `false`: too many peers have a queue, and this one receives
    /// none of them.
    pub fn push(&mut self, to: Neighbour, copies: Vec<QueuedCopy>, now: Instant) -> bool {
        if copies.is_empty() {
            return true;
        }
        let at = self.queues.iter().position(|queue| queue.to.peer.id == to.peer.id);
        if at.is_none() && self.queues.len() >= MAX_QUEUES {
            return false;
        }
        let at = at.unwrap_or_else(|| {
            self.queues.push(Queue { to, copies: VecDeque::new(), ready_at: now, in_flight: 0 });
            self.queues.len() - 1
        });
        let queue = &mut self.queues[at];
        queue.to = to;
        let room = (MAX_COPIES_PER_PEER - queue.copies.len()).min(MAX_QUEUED - self.queued);
        self.queued += copies.len().min(room);
        queue.copies.extend(copies.into_iter().take(room));
        if queue.copies.is_empty() && queue.in_flight == 0 {
            self.queues.remove(at);
        }
        true
    }

    /// The next transfer that may begin now: several copies to a peer that reconciles, one to another; `None` if there is none. Each
    /// ends in [`Queues::ended`].
    pub fn next(&mut self, now: Instant) -> Option<(Neighbour, Vec<QueuedCopy>)> {
        if self.ready_at.is_some_and(|at| at > now) {
            return None;
        }
        let ready = self.queues.iter_mut().filter(|queue| queue.may_send() && queue.ready_at <= now);
        // The queue that has waited longest: later ones do not delay it.
        let queue = ready.min_by_key(|queue| queue.ready_at)?;
        let least = least_pause(self.rate_limit, self.source_rate, &queue.to.peer.addr);
        let most = match queue.to.reconciles() {
            false => 1,
            true if least.is_zero() => self.batch.min(self.rate as usize),
            true => self.batch.min(self.rate as usize).min(LIMITED_BATCH),
        };
        let (mut copies, mut bytes) = (Vec::new(), 0);
        while copies.len() < most
            && let Some(next) = queue.copies.front()
            && (copies.is_empty() || bytes + next.bytes <= BATCH_BYTES)
        {
            bytes += next.bytes;
            copies.extend(queue.copies.pop_front());
        }
        let count = u32::try_from(copies.len()).unwrap_or(u32::MAX);
        let pause = pause(self.rate, count, bytes);
        queue.ready_at = now + pause.max(least * count);
        queue.in_flight += copies.len();
        self.queued -= copies.len();
        self.ready_at = Some(now + pause / TOGETHER);
        Some((queue.to, copies))
    }

    /// A transfer of `count` copies to `to` has ended, successful or not. `alive`: the peer answered.
    pub fn ended(&mut self, to: &NodeId, count: usize, alive: bool) {
        if !alive {
            return self.left(to);
        }
        let Some(at) = self.queues.iter().position(|queue| queue.to.peer.id == *to) else { return };
        let queue = &mut self.queues[at];
        queue.in_flight = queue.in_flight.saturating_sub(count);
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

/// The pause after a transfer of `count` copies of `bytes` bytes.
fn pause(rate: u32, count: u32, bytes: usize) -> Duration {
    // Rounded up: three pauses of a third of a second are no shorter than a second.
    let by_number = Duration::from_nanos((1_000_000_000 * u64::from(count)).div_ceil(rate.max(1).into()));
    let by_bytes = Duration::from_micros(bytes as u64 * 1_000_000 / BYTES_PER_SECOND);
    by_number.max(by_bytes)
}

/// The least pause for each copy that is brought to `addr`, if the peer there has the rate limit of this node: at four fifths of that
/// rate, so that there is room for other queries. Datagrams that the peer drops would make it seem dead.
fn least_pause(limit: AppliesTo, source_rate: u32, addr: &SocketAddr) -> Duration {
    if limit.covers(&addr.ip()) { Duration::from_secs(1) * COST * 5 / (source_rate.max(1) * 4) } else { Duration::ZERO }
}
