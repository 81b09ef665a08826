//! Repeats: when a query is sent again, and which further answers that brings.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::protocol::liveness::MAX_SENDS;
use crate::protocol::lru::Lru;
use crate::protocol::message::QueryId;

/// Queries in flight to one address that are sent again at the same time; the others wait for a further timeout. Where more
/// are late together, the peer is more likely gone, or drops what comes too fast, than all of them lost.
pub const MAX_RESENT_AT_ONCE: usize = 4;
/// Queries that are remembered as sent several times and answered. Beyond it the one answered longest ago is forgotten, and
/// a further answer to it counts as an answer to no query.
pub const MAX_ANSWERED_RESENDS: usize = 4_096;

/// When a query that was last sent at `now`, for the `sends`th time, is to be sent again: RFC 6298, 5.5, doubles the wait.
pub(super) fn next_send(now: Instant, timeout: Duration, sends: u32) -> Option<Instant> {
    (sends < MAX_SENDS).then(|| now + timeout * (1 << (sends - 1)))
}

/// The queries that were sent several times and are answered, with the further answers that are expected.
#[derive(Debug)]
pub(super) struct AnsweredResends(Lru<QueryId, Further>);

#[derive(Debug, Clone, Copy)]
struct Further {
    from: SocketAddr,
    until: Instant,
    left: u32,
}

impl Default for AnsweredResends {
    fn default() -> Self {
        Self(Lru::new(MAX_ANSWERED_RESENDS))
    }
}

impl AnsweredResends {
    /// The query `id`, sent `sends` times to `from`, is answered. The other answers may come before `until`.
    pub(super) fn answered(&mut self, id: QueryId, from: SocketAddr, sends: u32, now: Instant, until: Instant) {
        self.0.forget_while(|further| further.until <= now);
        if sends > 1 {
            self.0.insert(&id, Further { from, until, left: sends - 1 });
        }
    }

    /// Returns whether an answer to `id` that came from `from` is one more to an answered query. Each send brings one, and no more.
    pub(super) fn expects(&mut self, id: &QueryId, from: SocketAddr, now: Instant) -> bool {
        let known = self.0.get(id).copied();
        let Some(further) = known.filter(|further| further.from == from && further.until > now) else { return false };
        if further.left == 1 {
            self.0.remove(id);
        } else {
            self.0.insert(id, Further { left: further.left - 1, ..further });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    #[test]
    fn each_send_brings_one_answer_from_the_address_that_was_asked_and_only_for_a_time() {
        let (now, id) = (Instant::now(), QueryId::from_u64);
        let mut resends = AnsweredResends::default();
        let until = now + Duration::from_secs(2);
        resends.answered(id(1), addr(1), 1, now, until);
        resends.answered(id(2), addr(1), 2, now, until);
        resends.answered(id(3), addr(1), 3, now, until);
        assert!(!resends.expects(&id(1), addr(1), now), "it was sent once");
        assert!(!resends.expects(&id(2), addr(2), now));
        assert!(resends.expects(&id(2), addr(1), now) && !resends.expects(&id(2), addr(1), now));
        assert!(resends.expects(&id(3), addr(1), now) && !resends.expects(&id(3), addr(1), until));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let now = Instant::now();
        let mut resends = AnsweredResends::default();
        for n in 0..=MAX_ANSWERED_RESENDS as u64 {
            resends.answered(QueryId::from_u64(n), addr(1), 2, now, now + Duration::from_secs(2));
        }
        assert_eq!(resends.0.len(), MAX_ANSWERED_RESENDS);
        assert!(!resends.expects(&QueryId::from_u64(0), addr(1), now));
        assert!(resends.expects(&QueryId::from_u64(1), addr(1), now));
        resends.answered(QueryId::from_u64(0), addr(1), 1, now + Duration::from_secs(2), now);
        assert_eq!(resends.0.len(), 0, "their time is over");
    }

    #[test]
    fn the_wait_doubles_and_three_sends_are_all() {
        let (now, timeout) = (Instant::now(), Duration::from_millis(200));
        let waits = [1, 2, 3].map(|sends| next_send(now, timeout, sends).map(|at| at - now));
        assert_eq!(waits, [Some(timeout), Some(timeout * 2), None]);
    }
}
