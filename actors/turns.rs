//! Whose turn it is among the lookups that want to run: those that somebody waits for before the node's own upkeep, but not for
//! ever; each kind in its order. It knows their keys and nothing else of them.

use std::collections::VecDeque;

use super::messages::LookupKey;

/// Why a lookup runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Somebody waits for it.
    Wanted,
    /// The node's own upkeep: republications, restores, refreshes. A round of them may be hundreds.
    Upkeep,
}

/// Of those that begin while both kinds wait, one in so many is upkeep: an application that always wants more than can run
/// must not keep the node from republishing until its values end.
const UPKEEP_ONE_IN: u32 = 4;

/// The lookups that run, by number, and those that wait, by key. Upkeep holds at most half of the places, so that whoever
/// comes while a round is under way need not wait for it; it has a queue of its own, so that it fills up nobody's.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Lookups that run at once.
    limit: usize,
    /// Lookups in each queue.
    max_waiting: usize,
    running: usize,
    running_upkeep: usize,
    /// Wanted ones that began while upkeep waited, since upkeep last began.
    preferred: u32,
    wanted: VecDeque<LookupKey>,
    upkeep: VecDeque<LookupKey>,
}

impl Turns {
    /// At most `limit` run at once; of each urgency at most `max_waiting` wait.
    pub(crate) fn new(limit: usize, max_waiting: usize) -> Self {
        let (wanted, upkeep) = (VecDeque::new(), VecDeque::new());
        Self { limit, max_waiting, running: 0, running_upkeep: 0, preferred: 0, wanted, upkeep }
    }

    /// How many run, and how many wait.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.running, self.wanted.len() + self.upkeep.len())
    }

    /// Puts `key` at the end of its queue; `false` if that is full.
    pub(crate) fn queue(&mut self, key: LookupKey, urgency: Urgency) -> bool {
        // Who can begin at once needs no room in the queue.
        let room = self.max_waiting + usize::from(self.has_place(urgency));
        let queue = self.queue_of(urgency);
        let fits = queue.len() < room;
        if fits {
            queue.push_back(key);
        }
        fits
    }

    /// Somebody waits for what was upkeep so far.
    pub(crate) fn hasten(&mut self, key: &LookupKey) {
        if let Some(at) = self.upkeep.iter().position(|waiting| waiting == key)
            && let Some(key) = self.upkeep.remove(at)
        {
            self.wanted.push_back(key);
        }
    }

    /// The next whose turn it is, if there is a place for it.
    pub(crate) fn next(&mut self) -> Option<(LookupKey, Urgency)> {
        let mut order = [Urgency::Wanted, Urgency::Upkeep];
        if self.preferred + 1 >= UPKEEP_ONE_IN {
            order.reverse();
        }
        order.into_iter().find_map(|urgency| {
            let key = if self.has_place(urgency) { self.queue_of(urgency).pop_front() } else { None };
            key.map(|key| (key, urgency))
        })
    }

    /// One runs from now on.
    pub(crate) fn began(&mut self, urgency: Urgency) {
        self.preferred = match urgency {
            Urgency::Wanted if !self.upkeep.is_empty() => self.preferred.saturating_add(1),
            Urgency::Wanted | Urgency::Upkeep => 0,
        };
        self.running += 1;
        self.running_upkeep += usize::from(urgency == Urgency::Upkeep);
    }

    /// One that [began](Turns::began) so has ended.
    pub(crate) fn ended(&mut self, urgency: Urgency) {
        self.running -= 1;
        self.running_upkeep -= usize::from(urgency == Urgency::Upkeep);
    }

    /// Nothing runs and nothing waits any more.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.limit, self.max_waiting);
    }

    fn has_place(&self, urgency: Urgency) -> bool {
        let for_upkeep = urgency == Urgency::Wanted || self.running_upkeep < self.limit.div_ceil(2);
        self.running < self.limit && for_upkeep
    }

    fn queue_of(&mut self, urgency: Urgency) -> &mut VecDeque<LookupKey> {
        match urgency {
            Urgency::Wanted => &mut self.wanted,
            Urgency::Upkeep => &mut self.upkeep,
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

    /// Starts whatever may start; in which order.
    fn start(turns: &mut Turns) -> Vec<(LookupKey, Urgency)> {
        let mut started = Vec::new();
        while let Some((key, urgency)) = turns.next() {
            turns.began(urgency);
            started.push((key, urgency));
        }
        started
    }

    #[test]
    fn those_that_wait_have_their_turn_in_the_order_in_which_they_came() {
        let mut turns = Turns::new(2, 10);
        assert!((0..10).all(|n| turns.queue(key(n), Urgency::Wanted)));
        let mut order = start(&mut turns);
        for _ in 0..8 {
            turns.ended(Urgency::Wanted);
            order.extend(start(&mut turns));
        }
        assert_eq!(order, (0..10).map(|n| (key(n), Urgency::Wanted)).collect::<Vec<_>>());
        assert_eq!(turns.counts(), (2, 0));
    }

    #[test]
    fn a_round_of_upkeep_leaves_half_of_the_places_and_all_of_the_queue_to_whoever_waits() {
        let mut turns = Turns::new(4, 8);
        let upkeep = (0..20).filter(|n| turns.queue(key(*n), Urgency::Upkeep)).count();
        // The ninth could have begun at once.
        assert_eq!(upkeep, 9);
        assert_eq!(start(&mut turns).len(), 2);
        assert!((100..108).all(|n| turns.queue(key(n), Urgency::Wanted)));
        assert_eq!(start(&mut turns), [(key(100), Urgency::Wanted), (key(101), Urgency::Wanted)]);
        turns.ended(Urgency::Upkeep);
        assert_eq!(start(&mut turns), [(key(102), Urgency::Wanted)], "before all upkeep");
        assert_eq!(turns.counts(), (4, 7 + 5));
    }

    #[test]
    fn upkeep_has_every_fourth_turn_however_many_are_waited_for() {
        for limit in [1, 2, 256] {
            let mut turns = Turns::new(limit, 1_000);
            let mut running = VecDeque::from(vec![Urgency::Wanted; limit]);
            running.iter().for_each(|urgency| turns.began(*urgency));
            assert!((0..500).all(|n| turns.queue(key(n), Urgency::Upkeep)));
            let (mut upkeep, mut came) = (0, 1_000);
            for _ in 0..100 {
                // Whoever waits never ends.
                while turns.queue(key(came), Urgency::Wanted) {
                    came += 1;
                }
                turns.ended(running.pop_front().unwrap());
                let started = start(&mut turns);
                assert_eq!(started.len(), 1);
                running.push_back(started[0].1);
                upkeep += usize::from(started[0].1 == Urgency::Upkeep);
            }
            assert_eq!(upkeep, 25, "of 100, {limit} at once");
        }
    }

    #[test]
    fn upkeep_that_somebody_comes_to_wait_for_is_upkeep_no_more() {
        let mut turns = Turns::new(1, 8);
        assert!((0..3).all(|n| turns.queue(key(n), Urgency::Upkeep)));
        turns.hasten(&key(2));
        turns.hasten(&key(7));
        assert_eq!(start(&mut turns), [(key(2), Urgency::Wanted)]);
        turns.ended(Urgency::Wanted);
        assert_eq!(start(&mut turns), [(key(0), Urgency::Upkeep)], "with one place there is one for upkeep, too");
    }

    #[test]
    fn a_full_queue_takes_nobody_in_and_begins_anew_when_all_is_cleared() {
        let mut turns = Turns::new(1, 1);
        turns.began(Urgency::Wanted);
        assert!(turns.queue(key(1), Urgency::Wanted) && !turns.queue(key(2), Urgency::Wanted));
        turns.clear();
        assert_eq!((turns.counts(), turns.next()), ((0, 0), None));
    }
}
