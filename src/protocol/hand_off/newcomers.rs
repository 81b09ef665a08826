//! Newcomers: who has entered the routing table, what each is given, and how fast. Strangers can enter it as fast as they
//! make up ids, so all of this has a bound; what is turned away is made up for by the restores of each hour.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{COST, MAX_IN_FLIGHT, Neighbour};
use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::id::NodeId;

/// Newcomers that wait to be looked at, and newcomers that are being served. A further one gets nothing.
pub const MAX_NEWCOMERS: usize = 64;
/// Values that one newcomer is given. Further ones it is not.
pub const MAX_GIFTS: usize = 10_000;
/// How long newcomers are gathered before what is held is looked through for all of them.
const GATHERING: Duration = Duration::from_secs(1);
/// Bytes a second to one newcomer: beyond it values take longer than their rate says.
const BYTES_PER_SECOND: u64 = 512 * 1024;
/// How many newcomers' rates, in values and in bytes, all of them have together.
const TOGETHER: u32 = 4;

/// A value for a newcomer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gift {
    /// The key.
    pub key: Arc<str>,
    /// Bytes of key and value.
    pub bytes: usize,
}

/// A peer that has entered the routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newcomer {
    /// Who.
    pub who: Neighbour,
    /// When it entered.
    pub since: Instant,
}

/// For whom what is held is to be looked through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// Those who have come since the last look.
    pub newcomers: Vec<Newcomer>,
    /// Those who came before, and are still being served.
    pub unsettled: Vec<NodeId>,
}

/// The newcomers of a node.
#[derive(Debug)]
pub struct Newcomers {
    /// Values a second for each; 0: none gets anything.
    rate: u32,
    rate_limit: AppliesTo,
    source_rate: u32,
    /// Those who wait to be looked at.
    entered: Vec<Newcomer>,
    look_at: Option<Instant>,
    /// Those who are being served.
    served: Vec<Served>,
    /// When the next value may go, to whomever.
    ready_at: Option<Instant>,
}

#[derive(Debug)]
struct Served {
    to: Neighbour,
    gifts: VecDeque<Gift>,
    ready_at: Instant,
    in_flight: usize,
}

impl Newcomers {
    /// Nobody. A node that gives nothing has a rate of 0.
    pub fn new(config: &Config) -> Self {
        Self {
            rate: config.hand_off_rate,
            rate_limit: config.rate_limit,
            source_rate: config.source_rate,
            entered: Vec::new(),
            look_at: None,
            served: Vec::new(),
            ready_at: None,
        }
    }

    /// A peer has entered the routing table, which it does by an answer of its own. `false`: too many have, and this one is
    /// not looked at.
    pub fn entered(&mut self, who: Neighbour, now: Instant) -> bool {
        if self.rate == 0 {
            return true;
        }
        // Whoever comes back has lost what it had, or has moved.
        self.left(&who.peer.id);
        if self.entered.len() >= MAX_NEWCOMERS {
            return false;
        }
        self.entered.push(Newcomer { who, since: now });
        self.look_at.get_or_insert(now + GATHERING);
        true
    }

    /// A newcomer has gone, or does not answer: it gets nothing more.
    pub fn left(&mut self, id: &NodeId) {
        self.entered.retain(|newcomer| newcomer.who.peer.id != *id);
        self.served.retain(|served| served.to.peer.id != *id);
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.entered.clear();
        self.served.clear();
        self.look_at = None;
    }

    /// When to call [`Newcomers::look`] and [`Newcomers::next`] again, unless something ends before.
    pub fn next_wakeup(&self) -> Option<Instant> {
        let ready = self.served.iter().filter(|served| served.has_turn()).map(|served| served.ready_at).min();
        let ready = ready.map(|at| self.ready_at.map_or(at, |all| all.max(at)));
        self.look_at.into_iter().chain(ready).min()
    }

    /// Those for whom what is held is to be looked through now, if it is time. What is found goes to [`Newcomers::serve`].
    pub fn look(&mut self, now: Instant) -> Option<Look> {
        self.look_at.filter(|at| *at <= now)?;
        self.look_at = None;
        let newcomers = std::mem::take(&mut self.entered);
        let unsettled = self.served.iter().map(|served| served.to.peer.id).collect();
        (!newcomers.is_empty()).then_some(Look { newcomers, unsettled })
    }

    /// A newcomer shall have `gifts`. `false`: too many are being served, and it gets none of them.
    pub fn serve(&mut self, to: Neighbour, gifts: Vec<Gift>, now: Instant) -> bool {
        if gifts.is_empty() {
            return true;
        }
        self.served.retain(|served| served.to.peer.id != to.peer.id);
        if self.served.len() >= MAX_NEWCOMERS {
            return false;
        }
        let gifts = gifts.into_iter().take(MAX_GIFTS).collect();
        self.served.push(Served { to, gifts, ready_at: now, in_flight: 0 });
        true
    }

    /// What is to be given to whom now: until it says `None`. Each ends in [`Newcomers::ended`].
    pub fn next(&mut self, now: Instant) -> Option<(Neighbour, Gift)> {
        if self.ready_at.is_some_and(|at| at > now) {
            return None;
        }
        let turns = self.served.iter_mut().filter(|served| served.has_turn() && served.ready_at <= now);
        // The one who has waited longest: nobody waits behind those who come after him.
        let served = turns.min_by_key(|served| served.ready_at)?;
        let gift = served.gifts.pop_front()?;
        let pause = pause(self.rate, gift.bytes);
        let borne = least_pause(self.rate_limit, self.source_rate, &served.to.peer.addr);
        served.ready_at = now + pause.max(borne);
        served.in_flight += 1;
        self.ready_at = Some(now + pause / TOGETHER);
        Some((served.to, gift))
    }

    /// A value that was on its way to `to` is there, or has come to nothing. `alive`: somebody answered.
    pub fn ended(&mut self, to: &NodeId, alive: bool) {
        if !alive {
            return self.left(to);
        }
        let Some(at) = self.served.iter().position(|served| served.to.peer.id == *to) else { return };
        let served = &mut self.served[at];
        served.in_flight = served.in_flight.saturating_sub(1);
        if served.in_flight == 0 && served.gifts.is_empty() {
            self.served.remove(at);
        }
    }
}

impl Served {
    fn has_turn(&self) -> bool {
        !self.gifts.is_empty() && self.in_flight < MAX_IN_FLIGHT
    }
}

/// The pause that a value of so many bytes makes before the next one.
fn pause(rate: u32, bytes: usize) -> Duration {
    // Rounded up: three pauses of a third of a second are no shorter than a second.
    let by_number = Duration::from_nanos(1_000_000_000_u64.div_ceil(rate.max(1).into()));
    let by_bytes = Duration::from_micros(bytes as u64 * 1_000_000 / BYTES_PER_SECOND);
    by_number.max(by_bytes)
}

/// The pause between two values that the peer at `addr` bears, if it has the rate limit that this node has: four fifths of
/// that, so that there is room for other queries. What it dropped would make it seem dead.
fn least_pause(limit: AppliesTo, source_rate: u32, addr: &SocketAddr) -> Duration {
    if limit.covers(&addr.ip()) { Duration::from_secs(1) * COST * 5 / (source_rate.max(1) * 4) } else { Duration::ZERO }
}
