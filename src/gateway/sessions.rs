//! Browsers that are let in: a one-time code, which the terminal shows, becomes a session, whose secret is a cookie.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::token::Token;

/// How long a session lasts.
pub const SESSION_TIME: Duration = Duration::from_secs(12 * 3_600);
/// Sessions at the same time. Beyond it the oldest ends.
pub const MAX_SESSIONS: usize = 16;
/// Codes that were not used yet. Beyond it the oldest is void.
pub const MAX_CODES: usize = 16;

/// Codes and sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    codes: Vec<Token>,
    sessions: Vec<(Token, Instant)>,
}

impl Sessions {
    /// Nothing that is done under this lock panics.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new code. It is good for one session, whenever that begins.
    pub(super) fn code(&self) -> Token {
        let code = Token::random();
        let mut inner = self.lock();
        if inner.codes.len() >= MAX_CODES {
            inner.codes.remove(0);
        }
        inner.codes.push(code.clone());
        code
    }

    /// The secret of a new session, if `code` is one that was not used yet.
    pub(super) fn begin(&self, code: &str, now: Instant) -> Option<Token> {
        let mut inner = self.lock();
        let place = inner.codes.iter().position(|known| known.is(code))?;
        inner.codes.remove(place);
        inner.sessions.retain(|(_, until)| *until > now);
        if inner.sessions.len() >= MAX_SESSIONS {
            inner.sessions.remove(0);
        }
        let session = Token::random();
        inner.sessions.push((session.clone(), now + SESSION_TIME));
        Some(session)
    }

    /// Whether `secret` is that of a session.
    pub(super) fn has(&self, secret: &str, now: Instant) -> bool {
        self.lock().sessions.iter().any(|(session, until)| *until > now && session.is(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_for_one_session_which_ends() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let code = sessions.code();
        assert!(sessions.begin("another", now).is_none());
        let session = sessions.begin(code.reveal(), now).unwrap();
        assert!(sessions.begin(code.reveal(), now).is_none(), "it was used");
        assert!(sessions.has(session.reveal(), now) && !sessions.has(code.reveal(), now));
        assert!(!sessions.has(session.reveal(), now + SESSION_TIME));
    }

    #[test]
    fn codes_and_sessions_are_bounded_and_the_oldest_goes_first() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let codes: Vec<Token> = (0..=MAX_CODES).map(|_| sessions.code()).collect();
        assert!(sessions.begin(codes[0].reveal(), now).is_none());
        let first = sessions.begin(codes[1].reveal(), now).unwrap();
        for _ in 0..MAX_SESSIONS {
            assert!(sessions.has(first.reveal(), now));
            sessions.begin(sessions.code().reveal(), now).unwrap();
        }
        assert!(!sessions.has(first.reveal(), now));
    }
}
