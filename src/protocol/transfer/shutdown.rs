//! The handoff at shutdown: it transfers copies to the remaining peers in limited time. It begins with a liveness check, since peers
//! that have left are in the table still, and would be taken for holders.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::neighbours::{COST, MAX_IN_FLIGHT, Neighbour, Neighbours};
use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;

/// Copies that a handoff transfers. Further ones are left to the restores of the remaining peers.
pub const MAX_HANDOFF_COPIES: usize = 10_000;
/// Peers in the liveness check, in multiples of k.
pub const CHECKED_PER_K: usize = 4;
/// Copies that are deferred in a row because the rate of each of their recipients is used up.
const DEFERRED_IN_A_ROW: usize = 64;
/// The pause that follows.
const PAUSE: Duration = Duration::from_millis(100);

/// A copy to be transferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandoffCopy {
    /// The key.
    pub key: Arc<str>,
    /// The id of the key.
    pub id: NodeId,
}

/// The transfer of all copies of a node that stops. Ping the peers of [`ShutdownHandoff::liveness_check`], then call
/// [`ShutdownHandoff::next`] until it returns `None`, and again after each event.
#[derive(Debug)]
pub struct ShutdownHandoff {
    neighbours: Neighbours,
    k: usize,
    rate_limit: AppliesTo,
    rate: u32,
    burst: u32,
    began: Instant,
    /// The copies left, the most urgent first.
    copies: VecDeque<HandoffCopy>,
    in_flight: usize,
    /// The peers whose liveness check has not ended, and how often their answer was late.
    checked: BTreeMap<NodeId, u32>,
    /// The peers that were slower than expected, and so are no neighbours: they may have left before us.
    slow: Vec<Neighbour>,
    /// The cost of what was sent to each recipient that may have a rate limit.
    sent: HashMap<NodeId, u32>,
    waits_until: Option<Instant>,
}

impl ShutdownHandoff {
    /// A handoff of `copies`, in the order of their urgency, to `neighbours`. A copy without a recipient is left out.
    pub fn new(copies: Vec<HandoffCopy>, neighbours: Neighbours, config: &Config, now: Instant) -> Self {
        Self {
            neighbours,
            k: config.lookup.k,
            rate_limit: config.limits.rate_limit,
            rate: config.limits.source_rate,
            burst: config.limits.source_burst,
            began: now,
            copies: copies.into_iter().take(MAX_HANDOFF_COPIES).collect(),
            in_flight: 0,
            checked: BTreeMap::new(),
            slow: Vec::new(),
            sent: HashMap::new(),
            waits_until: None,
        }
    }

    /// The peers to ping, all at once: the [`CHECKED_PER_K`] k nearest to this node; none if there is nothing to transfer. Each
    /// check ends in [`ShutdownHandoff::answered`], [`ShutdownHandoff::late`] or [`ShutdownHandoff::slow`].
    pub fn liveness_check(&mut self) -> Vec<Peer> {
        if self.copies.is_empty() {
            return Vec::new();
        }
        let checked = self.neighbours.nearest(&self.neighbours.own, CHECKED_PER_K * self.k);
        self.checked = checked.iter().map(|peer| (peer.id, 0)).collect();
        checked
    }

    /// The next copy, and the peers to ask for it one after another; the first that lacks it receives it. The transfer ends in
    /// [`ShutdownHandoff::ended`].
    pub fn next(&mut self, now: Instant) -> Option<(Arc<str>, Vec<Peer>)> {
        if !self.checked.is_empty() || self.waits_until.is_some_and(|until| until > now) {
            return None;
        }
        self.waits_until = None;
        let mut deferred = 0;
        while self.in_flight < MAX_IN_FLIGHT && deferred < DEFERRED_IN_A_ROW.min(self.copies.len()) {
            let copy = self.copies.pop_front()?;
            let mut recipients = self.neighbours.recipients(&copy.id, self.k);
            let Some(first) = recipients.iter().position(|recipient| self.allows(recipient, now)) else {
                if !recipients.is_empty() {
                    self.copies.push_back(copy);
                    deferred += 1;
                }
                continue;
            };
            recipients.drain(..first);
            *self.sent.entry(recipients[0].id).or_default() += COST;
            self.in_flight += 1;
            return Some((copy.key, recipients));
        }
        if deferred > 0 {
            self.waits_until = Some(now + PAUSE);
        }
        None
    }

    /// The time of the next call of [`ShutdownHandoff::next`], unless a transfer ends before.
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.waits_until.filter(|_| self.in_flight < MAX_IN_FLIGHT)
    }

    /// A transfer has ended, successful or not.
    pub fn ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// `id` has answered.
    pub fn answered(&mut self, id: &NodeId) {
        self.checked.remove(id);
        if let Some(at) = self.slow.iter().position(|slow| slow.peer.id == *id) {
            self.neighbours.known.push(self.slow.swap_remove(at));
        }
    }

    /// `id` has not answered the liveness check in the expected time. Returns the peer the first time: it is to be pinged again,
    /// since one lost datagram would make it seem gone.
    pub fn late(&mut self, id: &NodeId) -> Option<Peer> {
        // `None` if the check has ended.
        let times = self.checked.get_mut(id)?;
        *times += 1;
        if *times > 1 {
            self.slow(id);
            return None;
        }
        self.neighbours.known.iter().map(|known| known.peer).find(|peer| peer.id == *id)
    }

    /// `id` is slower than expected, or silent.
    pub fn slow(&mut self, id: &NodeId) {
        self.checked.remove(id);
        if let Some(at) = self.neighbours.known.iter().position(|known| known.peer.id == *id) {
            self.slow.push(self.neighbours.known.swap_remove(at));
        }
    }

    /// Returns whether no copy is left, and none in flight.
    pub fn is_over(&self) -> bool {
        self.copies.is_empty() && self.in_flight == 0
    }

    /// Returns whether `recipient` admits one more transfer now, if it has the rate limit of this node. Half of its burst is left
    /// for what was sent before, and a fifth of its rate for other queries.
    fn allows(&self, recipient: &Peer, now: Instant) -> bool {
        if !self.rate_limit.covers(&recipient.addr.ip()) {
            return true;
        }
        let passed = now.saturating_duration_since(self.began).as_millis() as u64;
        let allowed = u64::from(self.burst / 2) + u64::from(self.rate) * 4 / 5 * passed / 1_000;
        u64::from(self.sent.get(&recipient.id).copied().unwrap_or_default() + COST) <= allowed.max(u64::from(COST))
    }
}
