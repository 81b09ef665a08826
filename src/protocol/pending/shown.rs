//! The tokens that nodes have given us, to be shown to them with later queries. What they mean is their makers' business.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::protocol::message::Token;
use crate::protocol::recency::RecencyMap;

/// Addresses whose token is remembered. Beyond it the one that was given longest ago is forgotten: its node then gives
/// another one, for a round trip more.
pub const MAX_TOKENS: usize = 16_384;
/// How long a token is shown: as long as one can be valid.
pub const TOKEN_FOR: Duration = Duration::from_secs(600);

/// The latest token of each address.
#[derive(Debug)]
pub(super) struct Shown {
    tokens: RecencyMap<SocketAddr, (Token, Instant)>,
}

impl Default for Shown {
    fn default() -> Self {
        Self { tokens: RecencyMap::new(MAX_TOKENS) }
    }
}

impl Shown {
    /// What is to be shown to `addr`.
    pub(super) fn to(&self, addr: SocketAddr, now: Instant) -> Option<Token> {
        let (token, at) = self.tokens.get(&addr)?;
        is_fresh(at, now).then_some(*token)
    }

    /// The node at `addr` gave us this one.
    pub(super) fn given(&mut self, addr: SocketAddr, token: Token, now: Instant) {
        while self.tokens.oldest().is_some_and(|(_, (_, at))| !is_fresh(at, now)) {
            self.tokens.pop_oldest();
        }
        self.tokens.touch(addr, (token, now));
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }
}

fn is_fresh(at: &Instant, now: Instant) -> bool {
    now.saturating_duration_since(*at) < TOKEN_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(host: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, (host >> 8) as u8, host as u8], 7))
    }

    #[test]
    fn the_latest_token_of_an_address_is_shown_for_ten_minutes() {
        let (mut shown, now) = (Shown::default(), Instant::now());
        assert_eq!(shown.to(addr(1), now), None);
        shown.given(addr(1), Token::from_u64(1), now);
        shown.given(addr(1), Token::from_u64(2), now);
        assert_eq!(shown.to(addr(1), now + TOKEN_FOR - Duration::from_secs(1)), Some(Token::from_u64(2)));
        assert_eq!(shown.to(addr(1), now + TOKEN_FOR), None);
        assert_eq!(shown.to(addr(2), now), None);
    }

    #[test]
    fn the_tokens_are_bounded_and_go_with_their_time() {
        let (mut shown, now) = (Shown::default(), Instant::now());
        (0..20_000).for_each(|host| shown.given(addr(host), Token::from_u64(host.into()), now));
        assert_eq!((shown.len(), shown.to(addr(0), now)), (MAX_TOKENS, None));
        shown.given(addr(0), Token::from_u64(0), now + TOKEN_FOR);
        assert_eq!(shown.len(), 1);
    }
}
