//! The keys that are held in the order of their bytes, for lists. Lists are rare and writes are not: keys come to their places, and
//! leave them, many at a time or with the next list.

use std::sync::Arc;

use super::sorted::Sorted;

/// Changes that are made at once. The node answers nothing else while it makes them.
const BATCH: usize = 16;

/// The keys that are held.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyOrder {
    ordered: Sorted<Ranked>,
    /// What has changed since: each key, and whether it is held from then on.
    changes: Vec<(Ranked, bool)>,
}

/// A key after its first eight bytes as a number, which mostly decide: keys lie all over the memory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Ranked(u64, Arc<str>);

impl Ranked {
    fn new(key: Arc<str>) -> Self {
        let mut first = [0; 8];
        first.iter_mut().zip(key.as_bytes()).for_each(|(to, byte)| *to = *byte);
        Self(u64::from_be_bytes(first), key)
    }
}

impl KeyOrder {
    /// `key` is held from now on.
    pub(super) fn add(&mut self, key: Arc<str>) {
        // A record that is changed is taken out and put back.
        if self.changes.pop_if(|(last, held)| !*held && last.1 == key).is_none() {
            self.change(key, true);
        }
    }

    /// `key` is held no more.
    pub(super) fn remove(&mut self, key: Arc<str>) {
        self.change(key, false);
    }

    fn change(&mut self, key: Arc<str>, held: bool) {
        self.changes.push((Ranked::new(key), held));
        if self.changes.len() >= BATCH {
            self.make_changes();
        }
    }

    /// Neighbours after each other, which finds much of the order in the processor's cache. Changes of one key stay in their order.
    fn make_changes(&mut self) {
        self.changes.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (key, held) in self.changes.drain(..) {
            if held {
                self.ordered.insert(key);
            } else {
                self.ordered.remove(&key);
            }
        }
    }

    /// All keys from `from` on, in their order.
    pub(super) fn range(&mut self, from: &str) -> impl Iterator<Item = &Arc<str>> {
        self.make_changes();
        self.ordered.from(&Ranked::new(from.into())).map(|Ranked(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn changes_wait_in_a_bounded_number() {
        let mut order = KeyOrder::default();
        let key = |n: usize| -> Arc<str> { format!("{n:05}").into() };
        for n in 0..10_000 {
            order.add(key(n));
            if n >= 10 {
                order.remove(key(n - 10));
            }
            assert!(order.changes.len() < BATCH && order.ordered.iter().count() <= 10 + BATCH);
        }
        assert_eq!(order.range("").cloned().collect::<Vec<_>>(), (9_990..10_000).map(key).collect::<Vec<_>>());
    }

    #[test]
    fn a_key_that_is_taken_and_put_back_changes_nothing() {
        let mut order = KeyOrder::default();
        order.add("key".into());
        assert_eq!(order.range("").count(), 1);
        for _ in 0..10 {
            order.remove("key".into());
            order.add("key".into());
        }
        assert!(order.changes.is_empty());
        assert_eq!(order.range("").count(), 1);
    }

    proptest! {
        #[test]
        fn a_list_has_each_key_that_is_held_once_and_in_order(steps in prop::collection::vec((0u8..40, 0u8..4), 0..400)) {
            let (mut order, mut held) = (KeyOrder::default(), BTreeSet::<Arc<str>>::new());
            for (n, action) in steps {
                let key: Arc<str> = n.to_string().into();
                match action {
                    0 => {
                        if held.remove(&key) {
                            order.remove(key);
                        }
                    }
                    1 => {
                        let listed: Vec<_> = order.range(&key).collect();
                        prop_assert_eq!(listed, held.range(key.clone()..).collect::<Vec<_>>());
                    }
                    _ => {
                        if held.insert(key.clone()) {
                            order.add(key);
                        }
                    }
                }
            }
        }
    }
}
