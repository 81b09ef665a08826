//! Writes that came lately, by their source and query id: a sender that gets no answer sends its query again, and a datagram
//! may arrive twice or late. It holds no values and applies nothing.

use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hashlink::DefaultHashBuilder;

use crate::protocol::lru::Lru;
use crate::protocol::message::QueryId;
use crate::protocol::peer::canonical;
use crate::protocol::value::Value;

/// Writes that are remembered. Beyond it the oldest is forgotten, and if it comes again, it is applied again: with a `set`
/// in between, the older value is then back.
pub const MAX_RECENT_WRITES: usize = 8_192;
/// For how many query timeouts of ours a write is remembered: a sender may send it again within one, and it may be late.
pub const REMEMBERED_TIMEOUTS: u32 = 3;

/// Whether a write has come before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a write that has come before is not to be applied again"]
pub enum Seen {
    /// It has not: apply it, and say how that [ended](RecentWrites::ended).
    New,
    /// It has, and is not acknowledged yet. Its acknowledgement answers this one too.
    UnderWay,
    /// It has, and this is how it was acknowledged: whether the value was stored.
    Acknowledged {
        /// Whether the value was stored.
        stored: bool,
    },
}

/// The writes of the last [`REMEMBERED_TIMEOUTS`] query timeouts.
#[derive(Debug)]
pub struct RecentWrites {
    remembered_for: Duration,
    /// By source and query id.
    writes: Lru<(SocketAddr, QueryId), Write>,
    /// A quick one, over all of a value. A sender that finds two writes of one hash can only lose its own second one.
    content: DefaultHashBuilder,
}

#[derive(Debug, Clone, Copy)]
struct Write {
    at: Instant,
    /// A hash of what is to be written: another write under an id that was used before is no repeat.
    content: u64,
    stored: Option<bool>,
}

impl RecentWrites {
    /// None yet, on a network with this query timeout.
    pub fn new(query_timeout: Duration) -> Self {
        let remembered_for = query_timeout * REMEMBERED_TIMEOUTS;
        Self { remembered_for, writes: Lru::new(MAX_RECENT_WRITES), content: DefaultHashBuilder::default() }
    }

    /// A write of `value` under `key` comes from `from`, as the query `id`. It is remembered.
    pub fn came(&mut self, from: SocketAddr, id: QueryId, key: &str, value: &Value, now: Instant) -> Seen {
        let is_over = |write: &Write| now.saturating_duration_since(write.at) >= self.remembered_for;
        self.writes.forget_while(is_over);
        let (query, content) = ((canonical(from), id), self.content.hash_one((key, value)));
        match self.writes.get(&query) {
            Some(write) if write.content == content && !is_over(write) => {
                write.stored.map_or(Seen::UnderWay, |stored| Seen::Acknowledged { stored })
            }
            _ => {
                self.writes.insert(&query, Write { at: now, content, stored: None });
                Seen::New
            }
        }
    }

    /// Forgets the writes that are not acknowledged: their owner has lost them.
    pub fn forget_unacknowledged(&mut self) {
        self.writes.retain(|write| write.stored.is_some());
    }

    /// The write that came from `from` as the query `id` is acknowledged: whether the value was stored.
    pub fn ended(&mut self, from: SocketAddr, id: QueryId, stored: bool) {
        if let Some(write) = self.writes.get_mut(&(canonical(from), id)) {
            write.stored = Some(stored);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    const TIMEOUT: Duration = Duration::from_secs(2);

    #[test]
    fn a_repeat_is_known_by_source_id_and_content_for_three_query_timeouts() {
        let (mut writes, start) = (RecentWrites::new(TIMEOUT), Instant::now());
        let mut came = |port, id, value: &str, at: Instant| {
            let seen = writes.came(addr(port), QueryId::from_u64(id), "key", &value.into(), at);
            if seen == Seen::New {
                writes.ended(addr(port), QueryId::from_u64(id), value != "refused");
            }
            seen
        };
        assert_eq!(came(1, 1, "v", start), Seen::New);
        assert_eq!(came(1, 1, "v", start + TIMEOUT), Seen::Acknowledged { stored: true });
        assert_eq!(came(2, 1, "v", start), Seen::New, "another source");
        assert_eq!(came(1, 2, "v", start), Seen::New, "another query");
        assert_eq!(came(1, 3, "refused", start), Seen::New);
        assert_eq!(came(1, 3, "refused", start + TIMEOUT), Seen::Acknowledged { stored: false });
        assert_eq!(came(1, 1, "other", start + TIMEOUT), Seen::New, "an id that is used again");
        assert_eq!(came(1, 2, "v", start + TIMEOUT * 3), Seen::New, "its time is over");
    }

    #[test]
    fn a_repeat_of_what_is_under_way_is_not_acknowledged_before_that() {
        let (mut writes, now, id) = (RecentWrites::new(TIMEOUT), Instant::now(), QueryId::from_u64(1));
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:1".parse().unwrap();
        assert_eq!(writes.came(addr(1), id, "key", &"v".into(), now), Seen::New);
        assert_eq!(writes.came(mapped, id, "key", &"v".into(), now), Seen::UnderWay);
        writes.ended(addr(1), id, false);
        assert_eq!(writes.came(addr(1), id, "key", &"v".into(), now), Seen::Acknowledged { stored: false });
        writes.ended(addr(2), id, true);
        assert_eq!(writes.came(addr(2), id, "key", &"v".into(), now), Seen::New, "it never came");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_goes_with_its_time() {
        let (mut writes, now) = (RecentWrites::new(TIMEOUT), Instant::now());
        for id in 0..MAX_RECENT_WRITES as u64 + 10 {
            assert_eq!(writes.came(addr(1), QueryId::from_u64(id), "key", &"v".into(), now), Seen::New);
        }
        assert_eq!(writes.writes.len(), MAX_RECENT_WRITES);
        assert_eq!(writes.came(addr(1), QueryId::from_u64(9), "key", &"v".into(), now), Seen::New, "it was forgotten");
        assert_eq!(writes.came(addr(1), QueryId::from_u64(11), "key", &"v".into(), now), Seen::UnderWay);
        assert_eq!(writes.came(addr(1), QueryId::from_u64(0), "key", &"v".into(), now + TIMEOUT * 3), Seen::New);
        assert_eq!(writes.writes.len(), 1);
    }

    #[test]
    fn what_was_acknowledged_outlives_a_restart_and_what_was_under_way_is_new_then() {
        let (mut writes, now) = (RecentWrites::new(TIMEOUT), Instant::now());
        let value: Value = "v".into();
        for id in [1, 2] {
            assert_eq!(writes.came(addr(1), QueryId::from_u64(id), "key", &value, now), Seen::New);
        }
        writes.ended(addr(1), QueryId::from_u64(1), true);
        writes.forget_unacknowledged();
        let came = [1, 2].map(|id| writes.came(addr(1), QueryId::from_u64(id), "key", &value, now));
        assert_eq!(came, [Seen::Acknowledged { stored: true }, Seen::New]);
    }
}
