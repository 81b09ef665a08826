//! The queue of the lookups: those that a caller waits for begin before those of the background, but not for ever; each kind in
//! its order. It knows their keys and nothing else of them.

use std::collections::VecDeque;

use super::messages::{LookupKey, Priority};

/// Of those that begin while both kinds wait, one in so many is of the background: an application that always wants more than
/// can run must not keep the node from republishing until its values end.
const BACKGROUND_ONE_IN: u32 = 4;

/// The lookups that run, by number, and those that wait, by key. The background holds at most half of the places, so that a
/// caller that comes during a round need not wait for its end; it has a queue of its own, which fills up no other.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Lookups that run at once.
    limit: usize,
    /// Lookups in each queue.
    max_waiting: usize,
    running: usize,
    running_background: usize,
    /// Those of the foreground that began while the background waited, since one of the background last began.
    preferred: u32,
    foreground: VecDeque<LookupKey>,
    background: VecDeque<LookupKey>,
}

impl Queue {
    /// At most `limit` run at once; of each priority at most `max_waiting` wait.
    pub(crate) fn new(limit: usize, max_waiting: usize) -> Self {
        let (foreground, background) = (VecDeque::new(), VecDeque::new());
        Self { limit, max_waiting, running: 0, running_background: 0, preferred: 0, foreground, background }
    }

    /// How many run, and how many wait.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.running, self.foreground.len() + self.background.len())
    }

    /// Puts `key` at the end of its queue; `false` if that is full.
    pub(crate) fn push(&mut self, key: LookupKey, priority: Priority) -> bool {
        // What can begin at once needs no room in the queue.
        let room = self.max_waiting + usize::from(self.has_place(priority));
        let queue = self.queue_of(priority);
        let fits = queue.len() < room;
        if fits {
            queue.push_back(key);
        }
        fits
    }

    /// A caller waits now for what was of the background so far.
    pub(crate) fn raise(&mut self, key: &LookupKey) {
        if let Some(at) = self.background.iter().position(|waiting| waiting == key)
            && let Some(key) = self.background.remove(at)
        {
            self.foreground.push_back(key);
        }
    }

    /// The next that begins, if there is a place for it.
    pub(crate) fn next(&mut self) -> Option<(LookupKey, Priority)> {
        let mut order = [Priority::Foreground, Priority::Background];
        if self.preferred + 1 >= BACKGROUND_ONE_IN {
            order.reverse();
        }
        order.into_iter().find_map(|priority| {
            let key = if self.has_place(priority) { self.queue_of(priority).pop_front() } else { None };
            key.map(|key| (key, priority))
        })
    }

    /// One runs from now on.
    pub(crate) fn began(&mut self, priority: Priority) {
        self.preferred = match priority {
            Priority::Foreground if !self.background.is_empty() => self.preferred.saturating_add(1),
            Priority::Foreground | Priority::Background => 0,
        };
        self.running += 1;
        self.running_background += usize::from(priority == Priority::Background);
    }

    /// One that [began](Queue::began) so has ended.
    pub(crate) fn ended(&mut self, priority: Priority) {
        self.running -= 1;
        self.running_background -= usize::from(priority == Priority::Background);
    }

    /// Nothing runs and nothing waits any more.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.limit, self.max_waiting);
    }

    fn has_place(&self, priority: Priority) -> bool {
        let for_background = priority == Priority::Foreground || self.running_background < self.limit.div_ceil(2);
        self.running < self.limit && for_background
    }

    fn queue_of(&mut self, priority: Priority) -> &mut VecDeque<LookupKey> {
        match priority {
            Priority::Foreground => &mut self.foreground,
            Priority::Background => &mut self.background,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kademlia_dynamic::protocol::id::NodeId;

    fn key(n: u64) -> LookupKey {
        LookupKey::Nodes(NodeId::of_key(&n.to_string()))
    }

    /// Starts what may start; in which order.
    fn start(queue: &mut Queue) -> Vec<(LookupKey, Priority)> {
        let mut started = Vec::new();
        while let Some((key, priority)) = queue.next() {
            queue.began(priority);
            started.push((key, priority));
        }
        started
    }

    #[test]
    fn those_that_wait_begin_in_the_order_in_which_they_came() {
        let mut queue = Queue::new(2, 10);
        assert!((0..10).all(|n| queue.push(key(n), Priority::Foreground)));
        let mut order = start(&mut queue);
        for _ in 0..8 {
            queue.ended(Priority::Foreground);
            order.extend(start(&mut queue));
        }
        assert_eq!(order, (0..10).map(|n| (key(n), Priority::Foreground)).collect::<Vec<_>>());
        assert_eq!(queue.counts(), (2, 0));
    }

    #[test]
    fn a_round_of_the_background_leaves_half_of_the_places_and_all_of_the_queue_to_callers_that_wait() {
        let mut queue = Queue::new(4, 8);
        let background = (0..20).filter(|n| queue.push(key(*n), Priority::Background)).count();
        // The ninth could have begun at once.
        assert_eq!(background, 9);
        assert_eq!(start(&mut queue).len(), 2);
        assert!((100..108).all(|n| queue.push(key(n), Priority::Foreground)));
        assert_eq!(start(&mut queue), [(key(100), Priority::Foreground), (key(101), Priority::Foreground)]);
        queue.ended(Priority::Background);
        assert_eq!(start(&mut queue), [(key(102), Priority::Foreground)], "before all of the background");
        assert_eq!(queue.counts(), (4, 7 + 5));
    }

    #[test]
    fn every_fourth_that_begins_is_of_the_background_however_many_callers_wait() {
        for limit in [1, 2, 256] {
            let mut queue = Queue::new(limit, 1_000);
            let mut running = VecDeque::from(vec![Priority::Foreground; limit]);
            running.iter().for_each(|priority| queue.began(*priority));
            assert!((0..500).all(|n| queue.push(key(n), Priority::Background)));
            let (mut background, mut came) = (0, 1_000);
            for _ in 0..100 {
                // There are always callers that wait.
                while queue.push(key(came), Priority::Foreground) {
                    came += 1;
                }
                queue.ended(running.pop_front().unwrap());
                let started = start(&mut queue);
                assert_eq!(started.len(), 1);
                running.push_back(started[0].1);
                background += usize::from(started[0].1 == Priority::Background);
            }
            assert_eq!(background, 25, "of 100, {limit} at once");
        }
    }

    #[test]
    fn what_a_caller_comes_to_wait_for_is_of_the_background_no_longer() {
        let mut queue = Queue::new(1, 8);
        assert!((0..3).all(|n| queue.push(key(n), Priority::Background)));
        queue.raise(&key(2));
        queue.raise(&key(7));
        assert_eq!(start(&mut queue), [(key(2), Priority::Foreground)]);
        queue.ended(Priority::Foreground);
        assert_eq!(
            start(&mut queue),
            [(key(0), Priority::Background)],
            "with one place there is one for the background, too"
        );
    }

    #[test]
    fn a_full_queue_takes_no_more_in_and_begins_anew_when_all_is_cleared() {
        let mut queue = Queue::new(1, 1);
        queue.began(Priority::Foreground);
        assert!(queue.push(key(1), Priority::Foreground) && !queue.push(key(2), Priority::Foreground));
        queue.clear();
        assert_eq!((queue.counts(), queue.next()), ((0, 0), None));
    }
}
