//! Whether a value has been published since the copy at hand was: who is asked, and whose copy is fetched. It sends nothing, and
//! what becomes of the copy is the store's business.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::Config;
use super::id::NodeId;
use super::peer::Peer;
use super::store::{ToCompare, is_later};
use super::value::Value;

/// Peers heard: the nearest to the key, which a publication reaches first of all. Three, since one in ten or so may have missed
/// it on a bad line.
pub const COMPARED: usize = 3;
/// Peers asked at most, one more for each that keeps silent.
pub const MAX_ASKED: usize = 6;

/// What the owner of a comparison does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Send this peer `check_store`, and call [`Comparison::next`] again.
    Check(Peer),
    /// Send this peer `find_value`, and call [`Comparison::next`] again.
    Fetch(Peer),
    /// Nothing to do before something comes back, or before this instant.
    Wait {
        /// The comparison's deadline.
        until: Instant,
    },
    /// It is over; it stays so, and whatever still comes back changes nothing.
    Finished,
}

/// A value that was published after the copy at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Later {
    /// The value, which may be the one at hand.
    pub value: Arc<Value>,
    /// Seconds until its copy expires.
    pub ttl: u32,
    /// Seconds since it was published, where its holder knows.
    pub age: Option<u32>,
    /// Who holds it.
    pub from: Peer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    ToDo,
    Checking,
    /// It reports a publication of this age (the greatest, where it does not know), which is later than the one at hand, and was
    /// not asked for it.
    Ahead(u32),
    Fetching,
    /// It reported what it holds.
    Heard,
    /// It did not.
    Failed,
}

/// A peer of a comparison.
#[derive(Debug, Clone, Copy)]
struct Asked {
    peer: Peer,
    state: State,
    /// A query that is slow holds no place.
    slow: bool,
}

impl Asked {
    fn is_in_flight(&self) -> bool {
        matches!(self.state, State::Checking | State::Fetching)
    }
}

/// One comparison. Call [`Comparison::next`] until it is neither [`Step::Check`] nor [`Step::Fetch`], and again after each
/// event. At most two queries for each of [`MAX_ASKED`] peers, none of them twice. It ends when one has given another value of a
/// later publication, the youngest that was claimed first; or when [`COMPARED`] peers were heard and none claims one; or with its
/// deadline, three query timeouts. Events about a peer that is not being waited for are ignored.
#[derive(Debug)]
pub struct Comparison {
    peers: Vec<Asked>,
    value: Arc<Value>,
    /// How old the copy at hand was when it began.
    age: Duration,
    /// Whether whatever others hold is of a later publication.
    lapsed: bool,
    begun: Instant,
    deadline: Instant,
    /// See [`Config::same_publication`].
    margin: Duration,
    later: Option<Later>,
    over: bool,
}

impl Comparison {
    /// A comparison of this copy with those of the nearest of `peers`, which is in the order of distance.
    pub fn new(copy: ToCompare, peers: &[Peer], config: &Config, now: Instant) -> Self {
        let ToCompare { value, age, lapsed } = copy;
        let fresh = |peer: &Peer| Asked { peer: *peer, state: State::ToDo, slow: false };
        Self {
            peers: peers.iter().take(MAX_ASKED).map(fresh).collect(),
            value,
            age,
            lapsed,
            begun: now,
            deadline: now + 3 * config.lookup.query_timeout,
            margin: config.same_publication(),
            later: None,
            over: false,
        }
    }

    /// What to do next.
    pub fn next(&mut self, now: Instant) -> Step {
        self.over |= now >= self.deadline;
        if self.over {
            return Step::Finished;
        }
        // The youngest first, and one after the other: it may be enough.
        let fetching = self.count(|asked| asked.state == State::Fetching && !asked.slow);
        let ahead = self
            .peers
            .iter_mut()
            .filter_map(|asked| if let State::Ahead(age) = asked.state { Some((age, asked)) } else { None });
        if let Some((_, asked)) = ahead.min_by_key(|(age, _)| *age).filter(|_| fetching == 0) {
            (asked.state, asked.slow) = (State::Fetching, false);
            return Step::Fetch(asked.peer);
        }
        let expected = self.count(|asked| match asked.state {
            State::Checking => !asked.slow,
            State::Ahead(_) | State::Fetching | State::Heard => true,
            State::ToDo | State::Failed => false,
        });
        if let Some(asked) = self.peers.iter_mut().find(|asked| asked.state == State::ToDo)
            && expected < COMPARED
        {
            asked.state = State::Checking;
            return Step::Check(asked.peer);
        }
        let heard = self.count(|asked| asked.state == State::Heard);
        let checking = self.count(|asked| asked.state == State::Checking);
        let claimed = self.count(|asked| matches!(asked.state, State::Ahead(_) | State::Fetching));
        self.over = claimed == 0 && (checking == 0 || heard >= COMPARED);
        if self.over { Step::Finished } else { Step::Wait { until: self.deadline } }
    }

    /// `from` answered a `check_store`: how many seconds are left of its full copy, if it holds one, and how many have passed since
    /// that was published, if it knows.
    pub fn handle_checked(&mut self, from: &NodeId, ttl: Option<u32>, age: Option<u32>, now: Instant) {
        let ahead = (ttl.is_some() && self.is_later(age, now)).then_some(age.unwrap_or(u32::MAX));
        if let Some(asked @ Asked { state: State::Checking, .. }) = self.awaited(from) {
            asked.state = ahead.map_or(State::Heard, State::Ahead);
        }
    }

    /// `from` answered a `find_value` with this value. What it does not date, or dates as it did not before, is not taken,
    /// unless the copy at hand has lapsed; and the value at hand, published again, only if no peer gives another one.
    pub fn handle_value(&mut self, from: &NodeId, value: Arc<Value>, ttl: Option<u32>, age: Option<u32>, now: Instant) {
        let ttl = ttl.filter(|_| self.is_later(age, now));
        let Some(asked @ Asked { state: State::Fetching, .. }) = self.awaited(from) else { return };
        asked.state = State::Heard;
        let (from, Some(ttl)) = (asked.peer, ttl) else { return };
        self.over = value != self.value;
        // Of the value at hand the youngest, which came first.
        if self.over || self.later.is_none() {
            self.later = Some(Later { value, ttl, age, from });
        }
    }

    /// `from` is slower than its expected round trip: another one is asked besides, but it may still answer.
    pub fn handle_slow(&mut self, from: &NodeId) {
        if let Some(asked) = self.awaited(from) {
            asked.slow = true;
        }
    }

    /// The query to `from` failed, or brought something else.
    pub fn handle_failure(&mut self, from: &NodeId) {
        if let Some(asked) = self.awaited(from) {
            asked.state = State::Failed;
        }
    }

    /// What was published later, if it found anything, once.
    pub fn take_later(&mut self) -> Option<Later> {
        self.over |= self.later.is_some();
        self.later.take()
    }

    /// The peers that a query went to whose end has not come.
    pub fn in_flight(&self) -> impl Iterator<Item = NodeId> {
        self.peers.iter().filter(|asked| asked.is_in_flight()).map(|asked| asked.peer.id)
    }

    fn is_later(&self, theirs: Option<u32>, now: Instant) -> bool {
        let ours = self.age.saturating_add(now.saturating_duration_since(self.begun));
        let dated = theirs.is_some_and(|theirs| is_later(Duration::from_secs(theirs.into()), ours, self.margin));
        dated || self.lapsed
    }

    fn count(&self, is: fn(&Asked) -> bool) -> usize {
        self.peers.iter().filter(|asked| is(asked)).count()
    }

    /// The query to `from`, if one is in flight and the comparison is not over.
    fn awaited(&mut self, from: &NodeId) -> Option<&mut Asked> {
        let peers = if self.over { &mut [] } else { &mut self.peers[..] };
        peers.iter_mut().find(|asked| asked.peer.id == *from && asked.is_in_flight())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::protocol::entropy::{Entropy, SeededEntropy};
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn peer(number: u8) -> Peer {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 4_000 + u16::from(number)));
        Peer::new(NodeId::from_bytes([number; 20]), addr)
    }

    fn value(text: &str) -> Arc<Value> {
        Arc::new(text.into())
    }

    fn ours(age: Duration) -> ToCompare {
        ToCompare { value: value("ours"), age, lapsed: false }
    }

    /// A comparison of "ours", published an hour ago, that has asked the first three.
    fn begun(peers: u8, now: Instant) -> Comparison {
        let closest: Vec<Peer> = (0..peers).map(peer).collect();
        let mut comparison = Comparison::new(ours(HOUR), &closest, &Config::default(), now);
        for number in 0..peers.min(COMPARED as u8) {
            assert_eq!(comparison.next(now), Step::Check(peer(number)));
        }
        comparison
    }

    fn waits(comparison: &mut Comparison, now: Instant) -> bool {
        matches!(comparison.next(now), Step::Wait { .. })
    }

    #[test]
    fn where_no_peer_holds_a_later_one_three_are_heard_and_no_more_are_asked() {
        let now = Instant::now();
        let mut comparison = begun(9, now);
        assert!(waits(&mut comparison, now));
        // As old, a little younger, and one that cannot tell.
        for (number, age) in [(0, Some(3_600)), (1, Some(3_590)), (2, None)] {
            comparison.handle_checked(&peer(number).id, Some(9), age, now);
        }
        assert_eq!((comparison.next(now), comparison.take_later()), (Step::Finished, None));
        assert_eq!(begun(0, now).next(now), Step::Finished, "there is no holder");
    }

    #[test]
    fn one_more_is_asked_for_each_that_is_silent_or_slow_up_to_six() {
        let now = Instant::now();
        let mut comparison = begun(9, now);
        comparison.handle_failure(&peer(0).id);
        comparison.handle_slow(&peer(1).id);
        assert_eq!(comparison.next(now), Step::Check(peer(3)));
        assert_eq!(comparison.next(now), Step::Check(peer(4)));
        assert!(waits(&mut comparison, now));
        for number in [2, 3, 4] {
            comparison.handle_failure(&peer(number).id);
        }
        assert_eq!(comparison.next(now), Step::Check(peer(5)));
        assert!(waits(&mut comparison, now), "that was the sixth");
        comparison.handle_failure(&peer(5).id);
        assert!(waits(&mut comparison, now), "the slow one may still answer");
        comparison.handle_checked(&peer(1).id, Some(9), Some(60), now);
        assert_eq!(comparison.next(now), Step::Fetch(peer(1)));
    }

    #[test]
    fn the_youngest_publication_is_fetched_and_another_only_if_that_is_not_given() {
        let now = Instant::now();
        let mut comparison = begun(3, now);
        for (number, age) in [(0, 600), (1, 60), (2, 10)] {
            comparison.handle_checked(&peer(number).id, Some(9), Some(age), now);
        }
        assert_eq!(comparison.next(now), Step::Fetch(peer(2)));
        assert!(waits(&mut comparison, now));
        // It takes its word back: what it gives is no younger than ours.
        comparison.handle_value(&peer(2).id, value("another"), Some(9), Some(3_600), now);
        assert_eq!(comparison.next(now), Step::Fetch(peer(1)));
        // It is slow, and gives it when the third has been asked.
        comparison.handle_slow(&peer(1).id);
        assert_eq!(comparison.next(now), Step::Fetch(peer(0)));
        comparison.handle_value(&peer(1).id, value("another"), Some(80_000), Some(60), now);
        assert_eq!(comparison.next(now), Step::Finished);
        comparison.handle_value(&peer(0).id, value("too late"), Some(80_000), Some(10), now);
        let later = Later { value: value("another"), ttl: 80_000, age: Some(60), from: peer(1) };
        assert_eq!(comparison.take_later(), Some(later));
        assert_eq!((comparison.next(now), comparison.take_later()), (Step::Finished, None));
    }

    #[test]
    fn who_echoes_the_value_at_hand_hides_no_other_one() {
        let now = Instant::now();
        for others in [true, false] {
            let mut comparison = begun(3, now);
            comparison.handle_checked(&peer(0).id, Some(9), Some(0), now);
            comparison.handle_checked(&peer(1).id, Some(9), others.then_some(600), now);
            comparison.handle_checked(&peer(2).id, Some(9), None, now);
            assert_eq!(comparison.next(now), Step::Fetch(peer(0)));
            comparison.handle_value(&peer(0).id, value("ours"), Some(86_000), Some(0), now);
            if others {
                assert_eq!(comparison.next(now), Step::Fetch(peer(1)));
                comparison.handle_value(&peer(1).id, value("another"), Some(80_000), Some(600), now);
            }
            assert_eq!(comparison.next(now), Step::Finished);
            let later = comparison.take_later().unwrap();
            let (text, age) = if others { ("another", 600) } else { ("ours", 0) };
            assert_eq!((later.value, later.age), (value(text), Some(age)));
        }
    }

    #[test]
    fn whatever_others_hold_of_a_publication_that_has_lapsed_was_published_since() {
        let now = Instant::now();
        let lapsed = ToCompare { lapsed: true, ..ours(30 * HOUR) };
        let mut comparison = Comparison::new(lapsed, &[peer(0), peer(1)], &Config::default(), now);
        assert_eq!(comparison.next(now), Step::Check(peer(0)));
        assert_eq!(comparison.next(now), Step::Check(peer(1)));
        comparison.handle_checked(&peer(0).id, None, None, now);
        comparison.handle_checked(&peer(1).id, Some(9), None, now);
        assert_eq!(comparison.next(now), Step::Fetch(peer(1)));
        comparison.handle_value(&peer(1).id, value("another"), Some(9), None, now);
        assert_eq!(comparison.next(now), Step::Finished);
        let later = Later { value: value("another"), ttl: 9, age: None, from: peer(1) };
        assert_eq!(comparison.take_later(), Some(later));
    }

    #[test]
    fn it_ends_with_its_deadline_and_without_what_comes_after_it() {
        let now = Instant::now();
        let mut comparison = begun(3, now);
        comparison.handle_checked(&peer(0).id, Some(9), Some(0), now);
        assert_eq!(comparison.next(now), Step::Fetch(peer(0)));
        let Step::Wait { until } = comparison.next(now) else { panic!("it waits") };
        assert_eq!(until, now + Duration::from_secs(6));
        assert_eq!(comparison.next(until), Step::Finished);
        comparison.handle_value(&peer(0).id, value("another"), Some(80_000), Some(10), until);
        assert_eq!((comparison.next(until), comparison.take_later()), (Step::Finished, None));
    }

    #[test]
    fn the_copy_at_hand_grows_older_while_others_are_asked() {
        let now = Instant::now();
        let margin = Config::default().same_publication();
        let mut comparison = Comparison::new(ours(margin), &[peer(0)], &Config::default(), now);
        assert_eq!(comparison.next(now), Step::Check(peer(0)));
        comparison.handle_checked(&peer(0).id, Some(9), Some(0), now + Duration::from_millis(1));
        assert_eq!(comparison.next(now), Step::Fetch(peer(0)));
    }

    proptest! {
        /// Whatever comes back, in whatever order: it ends, with at most two queries to each of six, and what it finds is later.
        #[test]
        fn every_comparison_ends_and_finds_nothing_but_what_is_later(
            seed: u64, peers in 0u8..9, age in 0u64..100_000, lapsed: bool,
        ) {
            let (mut entropy, mut now) = (SeededEntropy::new(seed), Instant::now());
            let closest: Vec<Peer> = (0..peers).map(peer).collect();
            let config = Config::default();
            let copy = ToCompare { value: value("a"), age: Duration::from_secs(age), lapsed };
            let mut comparison = Comparison::new(copy, &closest, &config, now);
            let (mut checked, mut fetched) = ([0; 9], [0; 9]);
            loop {
                match comparison.next(now) {
                    Step::Check(peer) => checked[usize::from(peer.id.as_bytes()[0])] += 1,
                    Step::Fetch(peer) => fetched[usize::from(peer.id.as_bytes()[0])] += 1,
                    Step::Wait { .. } => {
                        let from = peer(entropy.below(9) as u8).id;
                        let said = Some(entropy.below(100_000) as u32).filter(|_| entropy.below(8) > 0);
                        match entropy.below(5) {
                            0 => comparison.handle_failure(&from),
                            1 => comparison.handle_slow(&from),
                            2 => comparison.handle_checked(&from, Some(9), said, now),
                            3 => {
                                let given = value(if entropy.below(2) == 0 { "a" } else { "b" });
                                comparison.handle_value(&from, given, Some(9), said, now);
                            }
                            _ => now += Duration::from_millis(entropy.below(100)),
                        }
                    }
                    Step::Finished => break,
                }
            }
            prop_assert!(checked.iter().chain(&fetched).all(|sent| *sent <= 1));
            prop_assert!(checked.iter().sum::<u32>() <= MAX_ASKED as u32);
            if let Some(later) = comparison.take_later() {
                prop_assert!(lapsed || later.age.is_some_and(|theirs| u64::from(theirs) < age + 7));
            }
        }
    }
}
