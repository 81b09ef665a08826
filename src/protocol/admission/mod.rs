//! Admission: the cost that each source may cause. Rates per source, verified addresses, budgets of addresses that only answered
//! a ping, and the queue of items that await verification. This module decides; it sends neither pings nor answers.
//!
//! A source address is easily forged. A request is proved by a token of ours (`tokens.rs`). An address that has echoed a query
//! id of ours is alive, but may not have sent the request: it has a budget of bytes (`budgets.rs`), and its writes count only
//! as those of a node that knows no tokens. Before that, an address gets at most 3 times the bytes of its request, our pings
//! included, and none of its writes takes effect (docs/wire.md, 9.2).

mod budgets;
mod outbound;
mod rates;
mod tokens;
mod unverified;

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use serde::Serialize;

use super::config::{AppliesTo, Config};
use super::lru::Expiring;
use super::message::{TOKEN_VERSION, Token};
use super::peer::{canonical, host};
use budgets::Budgets;
pub use budgets::{HOST_BUDGET, HOST_BUDGET_REFILL, MAX_BUDGETS};
pub use outbound::{Outbound, SendRate};
pub use rates::{Admitted, MAX_RATED_PREFIXES, MAX_RATED_SOURCES};
use rates::{Rate, Rates};
pub use tokens::{TOKEN_EPOCH, Tokens};
use unverified::UnverifiedItems;
pub use unverified::{AwaitingVerification, UnverifiedRefusal};

/// The most bytes that an unverified address gets back, in multiples of its request.
pub const MAX_AMPLIFICATION: usize = 3;
/// The writes that a host may send at once, in seconds of `legacy_write_rate`.
pub const LEGACY_WRITE_BURST: u32 = 16;

/// The knowledge of a request's source address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The address needs no verification.
    Exempt,
    /// The request shows a token that was sent to the address.
    Proved,
    /// The address has echoed a query id of ours within `verified_for`: there is a node of this protocol version, which
    /// may not have sent this request.
    Lives {
        /// The version in its answer; `None` from a legacy node.
        version: Option<u32>,
    },
    /// Nothing is known.
    Unknown,
}

impl Standing {
    /// Returns whether the request comes from its source address, or is taken to.
    pub fn is_proved(self) -> bool {
        matches!(self, Self::Exempt | Self::Proved)
    }

    /// Returns whether a write lacks a token: its sender claims a `version` that knows tokens, or a node that does answered
    /// from its source, whatever the request claims.
    pub fn lacks_token(self, version: Option<u32>) -> bool {
        let has_tokens = |version: Option<u32>| version >= Some(TOKEN_VERSION);
        match self {
            Self::Exempt | Self::Proved => false,
            Self::Lives { version: lives } => has_tokens(lives) || has_tokens(version),
            Self::Unknown => has_tokens(version),
        }
    }
}

/// The decision on a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum WriteAdmission {
    /// It takes effect.
    Take,
    /// It is refused, and the answer brings a token: its source knows tokens, or claims to, and it shows no valid one.
    NoToken,
    /// It is refused: it comes from a legacy node whose host writes faster than `legacy_write_rate`.
    TooFast,
    /// It waits until its source has echoed a query id of ours.
    AwaitVerification,
}

/// Counts of what is remembered and what waits, and of what was refused since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AdmissionCounts {
    /// Sources whose rate is remembered: at most [`MAX_RATED_SOURCES`].
    pub rated_sources: usize,
    /// Networks whose rate is remembered: at most [`MAX_RATED_PREFIXES`].
    pub rated_prefixes: usize,
    /// Addresses remembered as having echoed a query id of ours: at most `max_verified_addresses`.
    pub verified_addresses: usize,
    /// Hosts whose budget of answers is remembered: at most [`MAX_BUDGETS`].
    pub budgets: usize,
    /// Hosts whose rate of legacy writes is remembered: at most [`MAX_RATED_SOURCES`].
    pub legacy_writers: usize,
    /// Items that wait for a pong: at most `max_unverified`.
    pub unverified: usize,
    /// Of these, those that wait for the address with the most of them: at most `max_unverified_per_address`.
    pub unverified_for_one_address: usize,
    /// Datagrams above the rate of their source or of its network.
    pub over_rate: u64,
    /// Answers above the budget of their host, or that of all.
    pub over_budget: u64,
    /// Items refused because too many wait in all.
    pub unverified_full: u64,
    /// Items refused because too many wait for their address.
    pub unverified_address_full: u64,
    /// Items dropped because no pong came.
    pub unverified_expired: u64,
    /// Verified addresses forgotten before their time, for newer ones.
    pub verified_forgotten: u64,
}

/// Decides what each address may cost. `T` is an item that may await the verification of an address.
#[derive(Debug)]
pub struct Admission<T> {
    rate_limit: AppliesTo,
    rates: Rates,
    verification: AppliesTo,
    ping_len: usize,
    /// The addresses that have echoed a query id of ours, each with the version that it named.
    verified: Expiring<SocketAddr, Option<u32>>,
    tokens: Tokens,
    budgets: Budgets,
    legacy_writes: Rate<IpAddr>,
    unverified: UnverifiedItems<T>,
    /// The events only; the sizes are filled in when the counts are read.
    counts: AdmissionCounts,
}

impl<T> Admission<T> {
    /// No address is known. `ping_len` is the length of our ping in bytes, in the encoding of this network.
    pub fn new(config: &Config, ping_len: usize, tokens: Tokens) -> Self {
        let (write_rate, write_burst) =
            (config.limits.legacy_write_rate, config.limits.legacy_write_rate * LEGACY_WRITE_BURST);
        Self {
            rate_limit: config.limits.rate_limit,
            rates: Rates::new(config),
            verification: config.verification.source_verification,
            ping_len,
            verified: Expiring::new(config.verification.max_verified_addresses, config.verification.verified_for),
            tokens,
            budgets: Budgets::new(),
            legacy_writes: Rate::new(write_rate, write_burst, MAX_RATED_SOURCES),
            unverified: UnverifiedItems::new(
                config.verification.max_unverified,
                config.verification.max_unverified_per_address,
                config.verification.verification_time,
                ping_len,
            ),
            counts: AdmissionCounts::default(),
        }
    }

    /// Counts a datagram from `from` against the rate of its source (an IPv4 address, an IPv6 /64) and of its network (a /24, a
    /// /48). The rate of the network does not apply to addresses that are verified or `proved` by a token: where only the network
    /// sends too fast, the token is worth checking. `cost` is the weight of the datagram: 1, and 4 for a `set`. A datagram above
    /// a rate is not counted.
    pub fn admit(&mut self, from: SocketAddr, proved: bool, cost: u32, now: Instant) -> Admitted {
        let from = canonical(from);
        if !self.rate_limit.covers(&from.ip()) {
            return Admitted::Yes;
        }
        let proved = proved || self.version_at(from, now).is_some();
        let admitted = self.rates.admit(&from.ip(), proved, cost, now);
        self.counts.over_rate += u64::from(admitted != Admitted::Yes);
        admitted
    }

    /// The standing of `addr` for a request that shows this token.
    pub fn standing(&self, addr: SocketAddr, shown: Option<Token>, now: Instant) -> Standing {
        self.judge(addr, shown, now).0
    }

    /// The standing of `addr` for a request that shows this token, and the token that the answer is to bring where the address
    /// needs verification.
    pub fn judge(&self, addr: SocketAddr, shown: Option<Token>, now: Instant) -> (Standing, Option<Token>) {
        let addr = canonical(addr);
        if !self.verification.covers(&addr.ip()) {
            return (Standing::Exempt, None);
        }
        let token = self.tokens.make(addr, now);
        let standing = if shown.is_some_and(|shown| self.tokens.is_valid(shown, token, addr, now)) {
            Standing::Proved
        } else {
            self.version_at(addr, now).map_or(Standing::Unknown, |version| Standing::Lives { version })
        };
        (standing, Some(token))
    }

    /// The version in the latest answer from `addr` within `verified_for`, if there was one.
    fn version_at(&self, addr: SocketAddr, now: Instant) -> Option<Option<u32>> {
        self.verified.get(&addr, now).copied()
    }

    /// Notes that `addr` echoed a query id of ours and runs this version. Returns the items that waited for it, in the order
    /// of arrival.
    pub fn verified(&mut self, addr: SocketAddr, version: Option<u32>, now: Instant) -> Vec<T> {
        let addr = canonical(addr);
        if self.verification.covers(&addr.ip()) {
            self.counts.verified_forgotten += u64::from(self.verified.insert(&addr, version, now));
        }
        self.unverified.release(addr)
    }

    /// The number of bytes that may be sent at once in answer to a request of `request_len` bytes from an address of this
    /// standing: any number where it is proved, otherwise [`MAX_AMPLIFICATION`] times the request. Where the request is `named`
    /// (it carries an id, so that the routing table may ping its sender), less our ping.
    pub fn answer_limit(&self, standing: Standing, request_len: usize, named: bool) -> usize {
        if standing.is_proved() {
            return usize::MAX;
        }
        let ping = if named { self.ping_len } else { 0 };
        request_len.saturating_mul(MAX_AMPLIFICATION).saturating_sub(ping)
    }

    /// The number of bytes that may be sent for each item that waits for `addr` once that has answered, without a budget: the
    /// rest of [`Admission::answer_limit`] after our pings. To be read before [`Admission::verified`].
    pub fn released_limit(&self, addr: SocketAddr) -> usize {
        self.unverified.share(canonical(addr))
    }

    /// Takes `bytes` beyond [`Admission::answer_limit`] out of the budget of `addr`, which [is verified](Standing::Lives).
    /// Returns whether the budget allows it; if not, nothing is changed.
    pub fn spend(&mut self, addr: SocketAddr, bytes: usize, now: Instant) -> bool {
        let spent = self.budgets.spend(canonical(addr), bytes, now);
        self.counts.over_budget += u64::from(!spent);
        spent
    }

    /// Decides on a write from `addr`, which has this standing, by a sender that claims to run `version`.
    pub fn admit_write(
        &mut self,
        addr: SocketAddr,
        standing: Standing,
        version: Option<u32>,
        now: Instant,
    ) -> WriteAdmission {
        match standing {
            Standing::Exempt | Standing::Proved => WriteAdmission::Take,
            _ if standing.lacks_token(version) => WriteAdmission::NoToken,
            Standing::Lives { .. } => {
                let host = host(&addr.ip());
                let Some(arrival) = self.legacy_writes.allows(&host, 1, now) else { return WriteAdmission::TooFast };
                self.legacy_writes.take(host, arrival);
                WriteAdmission::Take
            }
            Standing::Unknown => WriteAdmission::AwaitVerification,
        }
    }

    /// Queues `item` until `addr` is verified, or `verification_time` is over. `credit` is the number of bytes that may be
    /// sent there for the request of the item: the pings are taken out of it.
    ///
    /// # Errors
    /// [`UnverifiedRefusal`], with the item back.
    pub fn await_verification(
        &mut self,
        addr: SocketAddr,
        item: T,
        credit: usize,
        now: Instant,
    ) -> Result<AwaitingVerification, (T, UnverifiedRefusal)> {
        let queued = self.unverified.insert(canonical(addr), item, credit, now);
        match &queued {
            Err((_, UnverifiedRefusal::Full)) => self.counts.unverified_full += 1,
            Err((_, UnverifiedRefusal::AddressFull)) => self.counts.unverified_address_full += 1,
            Ok(_) => {}
        }
        queued
    }

    /// Forgets outdated addresses, and returns the items that got no pong in time, the oldest first.
    pub fn expire(&mut self, now: Instant) -> Vec<T> {
        self.verified.forget_outdated(now);
        let expired = self.unverified.expire(now);
        self.counts.unverified_expired += expired.len() as u64;
        expired
    }

    /// The addresses to be pinged again, half of `verification_time` after the last ping: that or its pong was lost, and the
    /// items that wait can pay for another one.
    pub fn ping_again(&mut self, now: Instant) -> Vec<SocketAddr> {
        self.unverified.ping_again(now)
    }

    /// The time at which the next item expires, or the next address is to be pinged again.
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.unverified.next_wakeup()
    }

    /// The current counts.
    pub fn counts(&self) -> AdmissionCounts {
        AdmissionCounts {
            rated_sources: self.rates.sources.len(),
            rated_prefixes: self.rates.prefixes.len(),
            verified_addresses: self.verified.len(),
            budgets: self.budgets.hosts.len(),
            legacy_writers: self.legacy_writes.len(),
            unverified: self.unverified.len(),
            unverified_for_one_address: self.unverified.most_at_one_address(),
            ..self.counts
        }
    }
}

#[cfg(test)]
mod tests;
