//! Who may cost us what: rates per source, addresses that proved themselves, budgets of those that only answered a ping, and
//! what waits until they have.
//!
//! A source address is easily forged. A request is proved by a token of ours (`tokens.rs`). An address that has echoed a query
//! id of ours lives, but may not have sent the request: it has a budget of bytes (`budgets.rs`), and writes only as a node
//! that knows no tokens. Until it has done even that it gets at most 3 times the bytes of its request, our pings included, and
//! nothing that it writes takes effect (docs/wire.md, 9.2). This module decides; it sends neither pings nor answers.

mod budgets;
mod held;
mod rates;
mod tokens;

use std::net::SocketAddr;
use std::time::Instant;

use serde::Serialize;

use super::config::{AppliesTo, Config};
use super::lru::Expiring;
use super::message::{TOKEN_VERSION, Token};
use super::peer::canonical;
use budgets::Budgets;
pub use budgets::{HOST_BUDGET, HOST_BUDGET_REFILL, MAX_BUDGETS};
use held::HeldItems;
pub use held::{Held, HoldRefused};
pub use rates::{Admitted, MAX_RATED_PREFIXES, MAX_RATED_SOURCES};
use rates::{Rate, Rates, Source};
pub use tokens::{TOKEN_EPOCH, Tokens};

/// How many times its request's bytes an unverified address gets back.
pub const MAX_AMPLIFICATION: usize = 3;
/// For how many seconds of [`Config::legacy_write_rate`] a host may write at once.
pub const LEGACY_WRITE_BURST: u32 = 16;

/// What is known of a request's source address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It need not prove itself.
    Exempt,
    /// The request shows a token that went there.
    Proved,
    /// It has echoed a query id of ours within [`Config::verified_for`]: a node of this protocol version lives there, and may
    /// not have sent this request.
    Lives {
        /// The version that its answer named; `None` from a legacy node.
        version: Option<u32>,
    },
    /// Nothing.
    Unknown,
}

impl Standing {
    /// Whether the request is its source's own, or is taken for that.
    pub fn is_proved(self) -> bool {
        matches!(self, Self::Exempt | Self::Proved)
    }

    /// Whether a write must show a token that this request does not: its sender says that it runs a `version` that knows tokens,
    /// or such a node lives at its source, whatever the request says.
    pub fn lacks_token(self, version: Option<u32>) -> bool {
        let has_tokens = |version: Option<u32>| version >= Some(TOKEN_VERSION);
        match self {
            Self::Exempt | Self::Proved => false,
            Self::Lives { version: lives } => has_tokens(lives) || has_tokens(version),
            Self::Unknown => has_tokens(version),
        }
    }
}

/// What becomes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum WriteAdmission {
    /// It takes effect.
    Take,
    /// Its source, or who it says that it is, knows tokens, and it shows none that is valid: it is refused, and the answer
    /// brings a token.
    NoToken,
    /// It comes from a legacy node whose host writes faster than [`Config::legacy_write_rate`]: it is refused.
    TooFast,
    /// It waits until its source has echoed a query id of ours.
    Hold,
}

/// What is remembered, what waits, and what was turned away since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AdmissionCounts {
    /// Sources whose rate is remembered: at most [`MAX_RATED_SOURCES`].
    pub rated_sources: usize,
    /// Networks whose rate is remembered: at most [`MAX_RATED_PREFIXES`].
    pub rated_prefixes: usize,
    /// Addresses remembered as having echoed a query id of ours: at most [`Config::max_verified_addresses`].
    pub verified_addresses: usize,
    /// Hosts whose budget of answers is remembered: at most [`MAX_BUDGETS`].
    pub budgets: usize,
    /// Hosts whose rate of legacy writes is remembered: at most [`MAX_RATED_SOURCES`].
    pub legacy_writers: usize,
    /// Items that wait for a pong: at most [`Config::max_held`].
    pub held: usize,
    /// Of these, those that wait for the address with the most of them: at most [`Config::max_held_per_address`].
    pub held_for_one_address: usize,
    /// Datagrams above the rate of their source or of its network.
    pub over_rate: u64,
    /// Answers that the budget of their host, or that of all, did not bear.
    pub over_budget: u64,
    /// Items refused because too many wait in all.
    pub hold_full: u64,
    /// Items refused because too many wait for their address.
    pub hold_address_full: u64,
    /// Items dropped because no pong came.
    pub hold_expired: u64,
    /// Verified addresses forgotten before their time, for newer ones.
    pub verified_forgotten: u64,
}

/// Decides what each address may cost. `T` is what is held until an address has proved itself.
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
    legacy_writes: Rate<Source>,
    held: HeldItems<T>,
    /// The events only; the sizes are filled in when it is read.
    counts: AdmissionCounts,
}

impl<T> Admission<T> {
    /// Knows nobody. `ping_len` is the length of our ping in bytes, as it is spelled on this network.
    pub fn new(config: &Config, ping_len: usize, tokens: Tokens) -> Self {
        let (write_rate, write_burst) = (config.legacy_write_rate, config.legacy_write_rate * LEGACY_WRITE_BURST);
        Self {
            rate_limit: config.rate_limit,
            rates: Rates::new(config),
            verification: config.source_verification,
            ping_len,
            verified: Expiring::new(config.max_verified_addresses, config.verified_for),
            tokens,
            budgets: Budgets::new(),
            legacy_writes: Rate::new(write_rate, write_burst, MAX_RATED_SOURCES),
            held: HeldItems::new(config.max_held, config.max_held_per_address, config.hold_time, ping_len),
            counts: AdmissionCounts::default(),
        }
    }

    /// Whether a datagram from `from` is within the rate of its source (an IPv4 address, an IPv6 /64) and of the network
    /// that it is in (a /24, a /48), which those are not held to that live or have proved their address: where only the network
    /// sends too fast, a token is worth a look. `cost` is what the datagram counts: 1, and 4 for a `set`. One above a rate costs
    /// nothing further.
    pub fn admit(&mut self, from: SocketAddr, proved: bool, cost: u32, now: Instant) -> Admitted {
        let ip = from.ip().to_canonical();
        let lives = || self.version_at(canonical(from), now).is_some();
        let admitted = if self.rate_limit.covers(&ip) {
            let proved = proved || lives();
            self.rates.admit(&ip, proved, cost, now)
        } else {
            Admitted::Yes
        };
        self.counts.over_rate += u64::from(admitted != Admitted::Yes);
        admitted
    }

    /// What is known of `addr`, from which came a request that shows this token.
    pub fn standing(&self, addr: SocketAddr, shown: Option<Token>, now: Instant) -> Standing {
        self.judge(addr, shown, now).0
    }

    /// What is known of `addr`, from which came a request that shows this token; and the token that the answer is to bring,
    /// where the address must prove itself.
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

    /// The version that `addr` named in an answer to us within [`Config::verified_for`], if there was one.
    fn version_at(&self, addr: SocketAddr, now: Instant) -> Option<Option<u32>> {
        self.verified.get(&addr, now).copied()
    }

    /// Takes in that `addr` echoed a query id of ours, and names this version, and releases what waited for it, in the order
    /// of its coming.
    pub fn verified(&mut self, addr: SocketAddr, version: Option<u32>, now: Instant) -> Vec<T> {
        let addr = canonical(addr);
        if self.verification.covers(&addr.ip()) {
            self.counts.verified_forgotten += u64::from(self.verified.insert(addr, version, now));
        }
        self.held.release(addr)
    }

    /// How many bytes may be sent at once in answer to a request of `request_len` bytes from an address of this standing: any
    /// number where it is proved, otherwise [`MAX_AMPLIFICATION`] times the request. Where it is `named`, so that the routing
    /// table may ping its sender, less our ping.
    pub fn answer_limit(&self, standing: Standing, request_len: usize, named: bool) -> usize {
        if standing.is_proved() {
            return usize::MAX;
        }
        let ping = if named { self.ping_len } else { 0 };
        request_len.saturating_mul(MAX_AMPLIFICATION).saturating_sub(ping)
    }

    /// How many bytes may be sent for each item that waits for `addr` once that has answered, without a budget: what our pings
    /// have left of [`Admission::answer_limit`]. To be read before [`Admission::verified`].
    pub fn released_limit(&self, addr: SocketAddr) -> usize {
        self.held.share(canonical(addr))
    }

    /// Whether the budget of `addr`, which [lives](Standing::Lives), bears `bytes` beyond [`Admission::answer_limit`]. If so, they
    /// are taken out of it; if not, nothing is.
    pub fn spend(&mut self, addr: SocketAddr, bytes: usize, now: Instant) -> bool {
        let spent = self.budgets.spend(canonical(addr), bytes, now);
        self.counts.over_budget += u64::from(!spent);
        spent
    }

    /// What becomes of a write from `addr`, which has this standing, by a sender that says it runs `version`.
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
                let host = Source::of(&addr.ip());
                let Some(arrival) = self.legacy_writes.bears(&host, 1, now) else { return WriteAdmission::TooFast };
                self.legacy_writes.take(host, arrival);
                WriteAdmission::Take
            }
            Standing::Unknown => WriteAdmission::Hold,
        }
    }

    /// Holds `item` until `addr` has proved itself, or [`Config::hold_time`] is over. `credit` is how many bytes may be sent
    /// there for the request that it belongs to: the pings are taken out of it.
    ///
    /// # Errors
    /// [`HoldRefused`], with the item back.
    pub fn hold(&mut self, addr: SocketAddr, item: T, credit: usize, now: Instant) -> Result<Held, (T, HoldRefused)> {
        let held = self.held.hold(canonical(addr), item, credit, now);
        match &held {
            Err((_, HoldRefused::Full)) => self.counts.hold_full += 1,
            Err((_, HoldRefused::AddressFull)) => self.counts.hold_address_full += 1,
            Ok(_) => {}
        }
        held
    }

    /// Gives up the items whose pong has not come in time, the oldest first, and forgets outdated addresses.
    pub fn expire(&mut self, now: Instant) -> Vec<T> {
        self.verified.forget_outdated(now);
        let expired = self.held.expire(now);
        self.counts.hold_expired += expired.len() as u64;
        expired
    }

    /// The addresses to be pinged again, half of [`Config::hold_time`] after they were last: a ping or its pong was lost, and
    /// something waits for them that can pay for another one.
    pub fn ping_again(&mut self, now: Instant) -> Vec<SocketAddr> {
        self.held.ping_again(now)
    }

    /// When the next held item is given up, or the next address pinged again.
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.held.next_wakeup()
    }

    /// What is remembered and waits now, and what was turned away since the start.
    pub fn counts(&self) -> AdmissionCounts {
        AdmissionCounts {
            rated_sources: self.rates.sources(),
            rated_prefixes: self.rates.prefixes(),
            verified_addresses: self.verified.len(),
            budgets: self.budgets.hosts(),
            legacy_writers: self.legacy_writes.len(),
            held: self.held.len(),
            held_for_one_address: self.held.most_at_one_address(),
            ..self.counts
        }
    }
}

#[cfg(test)]
mod tests;
