//! Claims: uses of a known id from another address. Its peer may have moved, or another one wants its place. So the table pings
//! the known address, and the claimants only where that misses [`MISSED_QUERIES`] queries over at least [`MISSED_FOR`]. This
//! file counts; `moves.rs` acts on the counts.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Queries in a row, each sent when the one before has timed out, that a known address must miss before its id may move.
/// With the default query timeout of 2 s they take 6 s.
pub const MISSED_QUERIES: u32 = 3;
/// The least time for which a known address must be silent before its id may move, however short the query timeout is.
pub const MISSED_FOR: Duration = Duration::from_secs(3);
/// Addresses that are remembered as claimants of one id. A further one is not pinged in this round; one that has answered
/// under the id takes the place of one that has not.
pub const MAX_CLAIMANTS: usize = 3;
/// The least time between two checks of a peer that answers them: claims in between wait for the next one.
pub const CLAIM_INTERVAL: Duration = Duration::from_secs(10);
/// The time for which the id of a silent address may move without another check.
pub const GONE_FOR: Duration = Duration::from_secs(60);

/// The next step of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// None.
    Wait,
    /// Ping the known address (again).
    AskKnown,
    /// The known address has missed enough: ping the claimants, and it once more.
    AskClaimants,
}

/// The claims of one id that is known at another address.
///
/// Invariant: a check under way (`began`) has asked the known address within the last query timeout, unless that query could
/// not be sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Claim {
    /// The claimants, those that have answered under the id first; at most [`MAX_CLAIMANTS`].
    claimants: Vec<SocketAddr>,
    /// The beginning of the check under way.
    began: Option<Instant>,
    /// Its missed queries.
    missed: u32,
    /// The time of the last ping to the known address because of a claim.
    asked: Option<Instant>,
    /// The time at which a check found it gone.
    gone: Option<Instant>,
}

impl Claim {
    /// The id was used from `addr`; `proved` where an answer of ours came from there. A query to the known address is in
    /// flight for `timeout` at most.
    pub(super) fn note(&mut self, addr: SocketAddr, proved: bool, timeout: Duration, now: Instant) -> Step {
        if proved {
            self.claimants.retain(|other| *other != addr);
            self.claimants.insert(0, addr);
            self.claimants.truncate(MAX_CLAIMANTS);
        } else if self.claimants.len() < MAX_CLAIMANTS && !self.claimants.contains(&addr) {
            self.claimants.push(addr);
        }
        self.begin(timeout, now)
    }

    /// Begins a check if there is a claimant and none was begun lately.
    pub(super) fn begin(&mut self, timeout: Duration, now: Instant) -> Step {
        let pause = CLAIM_INTERVAL.max(timeout);
        if self.claimants.is_empty() || self.asked.is_some_and(|asked| now.saturating_duration_since(asked) < pause) {
            return Step::Wait;
        }
        (self.began, self.asked, self.missed, self.gone) = (Some(now), Some(now), 0, None);
        Step::AskKnown
    }

    /// Returns whether a check is under way.
    pub(super) fn is_checking(&self) -> bool {
        self.began.is_some()
    }

    /// A query to the known address was not answered within `timeout`. One that was in flight at the last ping of the check
    /// shows nothing new.
    pub(super) fn missed(&mut self, timeout: Duration, now: Instant) -> Step {
        let since = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if self.began.is_none() || since(self.asked) < timeout {
            return Step::Wait;
        }
        self.missed += 1;
        self.asked = Some(now);
        if self.missed < MISSED_QUERIES || since(self.began) < MISSED_FOR {
            return Step::AskKnown;
        }
        (self.began, self.gone) = (None, Some(now));
        Step::AskClaimants
    }

    /// Returns whether the known address was found gone lately, so that the id may move.
    pub(super) fn is_gone(&self, now: Instant) -> bool {
        self.gone.is_some_and(|gone| now.saturating_duration_since(gone) < GONE_FOR)
    }

    /// The addresses to ping when the known address is found gone.
    pub(super) fn claimants(&self) -> &[SocketAddr] {
        &self.claimants
    }

    /// Takes the claimants, which are pinged now.
    pub(super) fn take_claimants(&mut self) -> Vec<SocketAddr> {
        std::mem::take(&mut self.claimants)
    }

    /// The known address answered: all claims so far are void. The time of the last check stays.
    pub(super) fn refuted(self) -> Self {
        Self { asked: self.asked, ..Self::default() }
    }
}
