//! Tokens: a sender that shows one proves that it receives what is sent to its address. Each is computed anew from the address,
//! the time and a secret, so the node remembers no receivers.
//!
//! The hash is SHA-1 over secret, epoch, address and port, cut to 64 bits: one compression, since all of it is one block of
//! fixed length, to which nothing can be appended. Of the hashes in the tree it is the one that can be given a key; a guess
//! succeeds once in 2^64 datagrams, and collisions are of no use to an attacker.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use sha1::{Digest, Sha1};

use crate::protocol::entropy::Entropy;
use crate::protocol::message::Token;

/// The time for which the tokens of one epoch are issued. They are valid in the next one as well, so 5 to 10 minutes.
pub const TOKEN_EPOCH: Duration = Duration::from_secs(300);

/// Makes and checks the tokens of one node. Two instances from the same entropy and instant are equal.
#[derive(Clone)]
pub struct Tokens {
    secret: [u8; 20],
    start: Instant,
}

impl Tokens {
    /// Draws a new secret, which never leaves this node.
    pub fn new(entropy: &mut dyn Entropy, start: Instant) -> Self {
        let mut secret = [0; 20];
        entropy.fill(&mut secret);
        Self { secret, start }
    }

    /// The current token of `addr`, which is in its canonical form.
    pub fn make(&self, addr: SocketAddr, now: Instant) -> Token {
        self.of_epoch(addr, self.epoch(now))
    }

    /// Returns whether `shown` is a token of `addr`: the `current` one, or that of the epoch before.
    pub(super) fn is_valid(&self, shown: Token, current: Token, addr: SocketAddr, now: Instant) -> bool {
        let before = |epoch| shown == self.of_epoch(addr, epoch);
        shown == current || self.epoch(now).checked_sub(1).is_some_and(before)
    }

    fn epoch(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs() / TOKEN_EPOCH.as_secs()
    }

    fn of_epoch(&self, addr: SocketAddr, epoch: u64) -> Token {
        let ip = match addr.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        // 46 bytes: with its padding one block of 64.
        let mut block = [0; 46];
        block[..20].copy_from_slice(&self.secret);
        block[20..28].copy_from_slice(&epoch.to_be_bytes());
        block[28..44].copy_from_slice(&ip.octets());
        block[44..].copy_from_slice(&addr.port().to_be_bytes());
        let [a, b, c, d, e, f, g, h, ..]: [u8; 20] = Sha1::digest(block).into();
        Token::from_u64(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the secret.
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::entropy::SeededEntropy;

    fn tokens(seed: u64, start: Instant) -> Tokens {
        Tokens::new(&mut SeededEntropy::new(seed), start)
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_token_is_of_one_address_and_one_port_and_one_node() {
        let now = Instant::now();
        let ours = tokens(1, now);
        let token = ours.make(addr("198.51.100.1:7"), now);
        assert_eq!(ours.make(addr("198.51.100.1:7"), now), token);
        for other in ["198.51.100.1:8", "198.51.100.2:7", "[2001:db8::1]:7"] {
            assert_ne!(ours.make(addr(other), now), token, "{other}");
        }
        assert_ne!(tokens(2, now).make(addr("198.51.100.1:7"), now), token);
    }

    #[test]
    fn a_token_is_valid_in_its_epoch_and_the_next_one() {
        let start = Instant::now();
        let (ours, addr) = (tokens(1, start), addr("198.51.100.1:7"));
        let is_valid = |token, at| ours.is_valid(token, ours.make(addr, at), addr, at);
        for given in [0, 1, 299] {
            let token = ours.make(addr, start + Duration::from_secs(given));
            for (at, valid) in [(299, true), (300, true), (599, true), (600, false), (3_600, false)] {
                assert_eq!(is_valid(token, start + Duration::from_secs(at)), valid, "given at {given}, shown at {at}");
            }
        }
        assert!(!is_valid(Token::from_u64(0), start));
    }

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let now = Instant::now();
        let token = tokens(1, now).make(addr("198.51.100.1:7"), now);
        assert_eq!(format!("{:?} {token:?}", tokens(1, now)), "Tokens { .. } Token(..)");
    }
}
