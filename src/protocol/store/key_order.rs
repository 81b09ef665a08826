//! The keys that are held in the order of their bytes, for lists. Lists are rare and writes are not: keys come to their places many
//! at a time, or with the next list, and leave them some time after they are no longer held.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

/// Keys beyond twice those that are held, before the others are forgotten.
const SLACK: usize = 64;
/// Keys that are put into their places at once: so many take well below a millisecond, which a list waits for.
const BATCH: usize = 1_024;

/// Keys that are held, and some that were.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyOrder {
    ordered: BTreeSet<Arc<str>>,
    /// Those that came since the last list; some may be there twice.
    added: Vec<Arc<str>>,
}

impl KeyOrder {
    /// `key` is held, with all for which `is_held`: they are `held` in number.
    pub(super) fn add(&mut self, key: Arc<str>, held: usize, is_held: impl Fn(&str) -> bool) {
        self.added.push(key);
        let many = self.ordered.len() + self.added.len() > 2 * held + SLACK;
        if many || self.added.len() >= BATCH {
            self.put_in_order();
        }
        if many {
            self.ordered.retain(|key| is_held(key));
        }
    }

    /// Neighbours after each other, which finds much of the order in the processor's cache.
    fn put_in_order(&mut self) {
        self.added.sort_unstable();
        self.ordered.extend(self.added.drain(..));
    }

    /// All keys from `from` on that are held, and some that were.
    pub(super) fn range(&mut self, from: &str) -> impl Iterator<Item = &Arc<str>> {
        self.put_in_order();
        self.ordered.range::<str, _>((Bound::Included(from), Bound::Unbounded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_that_are_no_longer_held_are_forgotten_beyond_twice_those_that_are() {
        let mut order = KeyOrder::default();
        let key = |n: usize| format!("{n:05}");
        for n in 0..10_000 {
            let held = |key: &str| key.parse::<usize>().unwrap() + 10 > n;
            order.add(key(n).into(), 10.min(n + 1), held);
            assert!(order.ordered.len() + order.added.len() <= 2 * 10 + SLACK);
        }
        let listed: Vec<_> = order.range(&key(9_990)).map(|key| key.to_string()).collect();
        assert_eq!(listed, (9_990..10_000).map(key).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn a_list_has_each_key_that_is_held_once_and_in_order(steps in prop::collection::vec((0u8..40, 0u8..4), 0..400)) {
            let (mut order, mut held) = (KeyOrder::default(), BTreeSet::<Arc<str>>::new());
            for (n, action) in steps {
                let key: Arc<str> = n.to_string().into();
                match action {
                    0 => drop(held.remove(&key)),
                    1 => {
                        let listed: Vec<_> = order.range(&key).filter(|key| held.contains(*key)).collect();
                        prop_assert_eq!(listed, held.range(key..).collect::<Vec<_>>());
                    }
                    _ => {
                        held.insert(key.clone());
                        order.add(key, held.len(), |key| held.contains(key));
                    }
                }
            }
        }
    }
}
