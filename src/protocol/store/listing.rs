//! Pages of the keys that are held, in the order of their bytes. It changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::record::{Class, Record};
use super::records::Records;
use crate::protocol::seconds;

/// The most keys of one page. A request for more gets as many.
pub const MAX_PAGE: usize = 1_000;

/// A key that is held, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldKey {
    /// The key.
    pub key: Arc<str>,
    /// Published by this node, or held for others.
    pub class: Class,
    /// Whether the key is pinned, so that no other writer supersedes the publication.
    pub pinned: bool,
    /// Bytes of the value.
    pub bytes: usize,
    /// How long the copy lives, unless it is renewed. Zero: what this node publishes has ended, and is about to be published
    /// again.
    #[serde(serialize_with = "seconds::serialize")]
    pub expires_in: Duration,
}

/// A page of the keys that are held.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct KeyPage {
    /// The keys, in the order of their bytes.
    pub keys: Vec<HeldKey>,
    /// Whether more keys follow.
    pub more: bool,
}

impl Records {
    /// The published and held keys that begin with `prefix` and follow `after`: at most `limit` and [`MAX_PAGE`].
    pub fn page(&mut self, prefix: &str, after: Option<&str>, limit: usize, now: Instant) -> KeyPage {
        let limit = if limit == 0 { MAX_PAGE } else { limit.min(MAX_PAGE) };
        let begins = |record: &&Record| record.stored.key.starts_with(prefix);
        // What begins with a prefix stands together, from the prefix itself on.
        let from = after.filter(|after| *after >= prefix);
        let records =
            self.holdings.by_key(from.unwrap_or(prefix)).skip_while(|record| from == Some(&*record.stored.key));
        let listed = |record: &&Record| record.is_published() || record.is_full() && !record.is_expired(now);
        let mut listed = records.take_while(begins).filter(listed);
        let keys = listed.by_ref().take(limit).map(|record| held_key(record, now)).collect();
        KeyPage { keys, more: listed.next().is_some() }
    }
}

fn held_key(record: &Record, now: Instant) -> HeldKey {
    HeldKey {
        key: record.stored.key.clone(),
        class: record.stored.class,
        pinned: record.stored.pinned,
        bytes: record.stored.value.len(),
        expires_in: record.stored.expires_at.saturating_duration_since(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::config::Config;
    use crate::protocol::entropy::SeededEntropy;
    use crate::protocol::id::NodeId;
    use crate::protocol::store::{StoredRecord, Writer};
    use crate::protocol::value::Value;

    fn records(keys: &[&str], now: Instant) -> Records {
        let mut records = Records::new(NodeId::ZERO, &Config::default(), now);
        let stored = keys.iter().zip(1..).map(|(key, version)| StoredRecord {
            key: (*key).into(),
            value: Arc::new(Value::from("value")),
            class: if version % 2 == 0 { Class::Held } else { Class::Published },
            pinned: false,
            version,
            writer: Writer::Own,
            source: None,
            stored_at: now,
            expires_at: now + Duration::from_secs(60),
            published_at: now,
            dated: true,
            replaced: Vec::new(),
        });
        records.load(stored.collect(), now, &mut SeededEntropy::new(1));
        records
    }

    fn keys(page: &KeyPage) -> Vec<&str> {
        page.keys.iter().map(|held| &*held.key).collect()
    }

    #[test]
    fn pages_follow_each_other_without_a_gap_in_the_order_of_the_keys() {
        let now = Instant::now();
        let mut records = records(&["b", "a\u{0}", "a", "é", "ab", ""], now);
        let all = records.page("", None, 0, now);
        assert_eq!((keys(&all), all.more), (vec!["", "a", "a\u{0}", "ab", "b", "é"], false));
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = records.page("", after.as_deref(), 2, now);
            seen.extend(keys(&page).into_iter().map(str::to_owned));
            after = seen.last().cloned();
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, keys(&all));
        let held = &all.keys[1];
        assert_eq!((held.class, held.bytes, held.expires_in), (Class::Published, 5, Duration::from_secs(60)));
    }

    #[test]
    fn a_page_has_only_what_begins_with_its_prefix_and_nothing_that_has_ended() {
        let now = Instant::now();
        let mut records = records(&["a", "ab", "abc", "b", "ac"], now);
        assert_eq!(keys(&records.page("ab", None, 9, now)), ["ab", "abc"]);
        assert_eq!(keys(&records.page("ab", Some("ab"), 9, now)), ["abc"]);
        assert_eq!(keys(&records.page("ab", Some("a"), 1, now)), ["ab"]);
        assert_eq!(keys(&records.page("x", None, 9, now)), [""; 0]);
        // A publication is listed even where its time has run out: it begins again.
        let later = now + Duration::from_secs(61);
        assert_eq!(keys(&records.page("", None, 9, later)), ["a", "abc", "ac"]);
    }
}
