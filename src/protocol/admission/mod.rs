//! Who may cost us what: rates per source, addresses that proved themselves, and what waits until they have.
//!
//! A source address is easily forged. Until one has echoed a query id of ours it gets at most 3 times the bytes of its
//! request, our ping included, and nothing that it writes takes effect (DESIGN.md, return-routability). This module
//! decides; it sends neither pings nor answers.

mod held;
mod rates;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::config::{AppliesTo, Config};
use super::peer::canonical;
use super::recency::RecencyMap;
use held::HeldItems;
pub use held::HoldRefused;
use rates::Rates;
pub use rates::{MAX_RATED_PREFIXES, MAX_RATED_SOURCES};

/// How many times its request's bytes an unverified address gets back.
pub const MAX_AMPLIFICATION: usize = 3;

/// An item waits for its address to prove itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what waits for an address waits for a pong that only a ping brings"]
pub struct Held {
    /// Whether the address is to be pinged now: nothing waited for it, or what did could not pay for a ping. All others
    /// wait for the same pong, and for a second ping after half of the hold time ([`Admission::ping_again`]).
    pub ping: bool,
}

/// What is remembered, what waits, and what was turned away since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AdmissionCounts {
    /// Sources whose rate is remembered: at most [`MAX_RATED_SOURCES`].
    pub rated_sources: usize,
    /// Networks whose rate is remembered: at most [`MAX_RATED_PREFIXES`].
    pub rated_prefixes: usize,
    /// Addresses remembered as verified: at most [`Config::max_verified_addresses`].
    pub verified_addresses: usize,
    /// Items that wait for a pong: at most [`Config::max_held`].
    pub held: usize,
    /// Of these, those that wait for the address with the most of them: at most [`Config::max_held_per_address`].
    pub held_for_one_address: usize,
    /// Datagrams above the rate of their source or of its network.
    pub over_rate: u64,
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
    verified_for: Duration,
    ping_len: usize,
    /// When each address last proved itself, in that order.
    verified: RecencyMap<SocketAddr, Instant>,
    held: HeldItems<T>,
    /// The events only; the sizes are filled in when it is read.
    counts: AdmissionCounts,
}

impl<T> Admission<T> {
    /// Knows nobody. `ping_len` is the length of our ping in bytes, as it is spelled on this network.
    pub fn new(config: &Config, ping_len: usize) -> Self {
        Self {
            rate_limit: config.rate_limit,
            rates: Rates::new(config),
            verification: config.source_verification,
            verified_for: config.verified_for,
            ping_len,
            verified: RecencyMap::new(config.max_verified_addresses),
            held: HeldItems::new(config.max_held, config.max_held_per_address, config.hold_time, ping_len),
            counts: AdmissionCounts::default(),
        }
    }

    /// Whether a datagram from `from` is within the rate of its source (an IPv4 address, an IPv6 /64) and of the network
    /// that it is in (a /24, a /48), which only those are held to who have not proved their address. `cost` is what it counts: 1, and 4 for a `set`. One above a rate costs nothing further.
    pub fn admit(&mut self, from: SocketAddr, cost: u32, now: Instant) -> bool {
        let ip = from.ip().to_canonical();
        let proved = self.verified.get(&canonical(from)).is_some_and(|at| self.is_fresh(at, now));
        let admitted = !self.rate_limit.covers(&ip) || self.rates.admit(&ip, proved, cost, now);
        self.counts.over_rate += u64::from(!admitted);
        admitted
    }

    /// Whether `addr` need not prove itself, or has done so within [`Config::verified_for`].
    pub fn is_verified(&self, addr: SocketAddr, now: Instant) -> bool {
        let addr = canonical(addr);
        !self.verification.covers(&addr.ip()) || self.verified.get(&addr).is_some_and(|at| self.is_fresh(at, now))
    }

    /// Whether what was proved then still counts.
    fn is_fresh(&self, at: &Instant, now: Instant) -> bool {
        now.saturating_duration_since(*at) < self.verified_for
    }

    /// Takes in that `addr` echoed a query id of ours, and releases what waited for it, in the order of its coming.
    pub fn verified(&mut self, addr: SocketAddr, now: Instant) -> Vec<T> {
        let addr = canonical(addr);
        if self.verification.covers(&addr.ip()) {
            self.forget_outdated(now);
            let forgotten = self.verified.touch(addr, now);
            self.counts.verified_forgotten += u64::from(forgotten.is_some());
        }
        self.held.release(addr)
    }

    /// How many bytes may be sent to `addr` at once in answer to a request of `request_len` bytes: any number to a
    /// verified address, otherwise [`MAX_AMPLIFICATION`] times the request. Where it is `named`, so that the routing table may
    /// ping its sender, less our ping.
    pub fn answer_limit(&self, addr: SocketAddr, request_len: usize, named: bool, now: Instant) -> usize {
        if self.is_verified(addr, now) {
            return usize::MAX;
        }
        let ping = if named { self.ping_len } else { 0 };
        request_len.saturating_mul(MAX_AMPLIFICATION).saturating_sub(ping)
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
        self.forget_outdated(now);
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
            held: self.held.len(),
            held_for_one_address: self.held.most_at_one_address(),
            ..self.counts
        }
    }

    /// An address that proves itself again becomes the newest, so the outdated ones are the oldest.
    fn forget_outdated(&mut self, now: Instant) {
        while self.verified.oldest().is_some_and(|(_, at)| now.saturating_duration_since(*at) >= self.verified_for) {
            self.verified.pop_oldest();
        }
    }
}

#[cfg(test)]
mod tests;
