//! Whether a value has been published since the copy at hand was: who is asked, and whose copy is fetched. It sends nothing, and
//! what becomes of the copy is the store's business.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::Config;
use super::id::NodeId;
use super::peer::Peer;
use super::store::is_later;
use super::value::Value;

/// Peers asked: the nearest to the key, which a publication reaches first of all. Three, since one in ten or so may have
/// missed it on a bad line.
pub const COMPARED: usize = 3;

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
    /// Seconds since it was published.
    pub age: u32,
    /// Who holds it.
    pub from: Peer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    ToDo,
    Checking,
    /// It says that it holds a later publication, and has not been asked for it.
    Ahead,
    Fetching,
    Done,
}

/// One comparison. Call [`Comparison::next`] until it is neither [`Step::Check`] nor [`Step::Fetch`], and again after each
/// event. At most two queries for each of [`COMPARED`] peers, none of them twice; the first that really holds a later
/// publication ends it, and so does the deadline: two query timeouts. Events about a peer that is not being waited for are
/// ignored.
#[derive(Debug)]
pub struct Comparison {
    peers: Vec<(Peer, State)>,
    /// How old the copy at hand was when it began.
    age: Duration,
    begun: Instant,
    deadline: Instant,
    /// See [`Config::same_publication`].
    margin: Duration,
    later: Option<Later>,
}

impl Comparison {
    /// A comparison of a copy of this `age` with those of the nearest of `closest`, which is in the order of distance.
    pub fn new(age: Duration, closest: &[Peer], config: &Config, now: Instant) -> Self {
        Self {
            peers: closest.iter().take(COMPARED).map(|peer| (*peer, State::ToDo)).collect(),
            age,
            begun: now,
            deadline: now + 2 * config.query_timeout,
            margin: config.same_publication(),
            later: None,
        }
    }

    /// What to do next.
    pub fn next(&mut self, now: Instant) -> Step {
        if self.later.is_some() || now >= self.deadline {
            self.peers.clear();
        }
        let fetching = self.peers.iter().any(|(_, state)| *state == State::Fetching);
        for (peer, state) in &mut self.peers {
            match state {
                State::ToDo => {
                    *state = State::Checking;
                    return Step::Check(*peer);
                }
                // One after the other: the first may be enough.
                State::Ahead if !fetching => {
                    *state = State::Fetching;
                    return Step::Fetch(*peer);
                }
                State::Ahead | State::Checking | State::Fetching | State::Done => {}
            }
        }
        match self.peers.iter().all(|(_, state)| *state == State::Done) {
            true => Step::Finished,
            false => Step::Wait { until: self.deadline },
        }
    }

    /// `from` answered a `check_store`: how many seconds ago its full copy was published, if it holds one and knows.
    pub fn handle_checked(&mut self, from: &NodeId, age: Option<u32>, now: Instant) {
        let ahead = age.is_some_and(|age| self.is_later(age, now));
        if let Some(state) = self.awaited(from, State::Checking) {
            *state = if ahead { State::Ahead } else { State::Done };
        }
    }

    /// `from` answered a `find_value` with this value. What it does not date, or dates as it did not before, is not taken.
    pub fn handle_value(&mut self, from: &NodeId, value: Arc<Value>, ttl: Option<u32>, age: Option<u32>, now: Instant) {
        let peer = self.peers.iter().find(|(peer, _)| peer.id == *from).map(|(peer, _)| *peer);
        let dated = ttl.zip(age).filter(|(_, age)| self.is_later(*age, now));
        let Some(state) = self.awaited(from, State::Fetching) else { return };
        *state = State::Done;
        if let (Some(from), Some((ttl, age))) = (peer, dated) {
            self.later = Some(Later { value, ttl, age, from });
        }
    }

    /// The query to `from` failed, or brought something else.
    pub fn handle_failure(&mut self, from: &NodeId) {
        for awaited in [State::Checking, State::Fetching] {
            if let Some(state) = self.awaited(from, awaited) {
                *state = State::Done;
            }
        }
    }

    /// What was published later, if it found anything, once.
    pub fn take_later(&mut self) -> Option<Later> {
        let later = self.later.take();
        if later.is_some() {
            self.peers.clear();
        }
        later
    }

    fn is_later(&self, theirs: u32, now: Instant) -> bool {
        let ours = self.age.saturating_add(now.saturating_duration_since(self.begun));
        is_later(Duration::from_secs(theirs.into()), ours, self.margin)
    }

    fn awaited(&mut self, from: &NodeId, awaited: State) -> Option<&mut State> {
        let peer = self.peers.iter_mut().find(|(peer, state)| peer.id == *from && *state == awaited);
        peer.map(|(_, state)| state)
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

    fn begun(peers: u8, now: Instant) -> Comparison {
        let closest: Vec<Peer> = (0..peers).map(peer).collect();
        let mut comparison = Comparison::new(HOUR, &closest, &Config::default(), now);
        for number in 0..peers.min(COMPARED as u8) {
            assert_eq!(comparison.next(now), Step::Check(peer(number)));
        }
        comparison
    }

    fn value() -> Arc<Value> {
        Arc::new("value".into())
    }

    #[test]
    fn where_nobody_holds_a_later_one_three_are_asked_and_no_more() {
        let now = Instant::now();
        let mut comparison = begun(9, now);
        assert!(matches!(comparison.next(now), Step::Wait { .. }));
        // As old, a little younger, and one that cannot tell.
        for (number, age) in [(0, Some(3_600)), (1, Some(3_590)), (2, None)] {
            comparison.handle_checked(&peer(number).id, age, now);
        }
        assert_eq!((comparison.next(now), comparison.take_later()), (Step::Finished, None));
        assert_eq!(begun(0, now).next(now), Step::Finished, "there is nobody");
    }

    #[test]
    fn a_later_publication_is_fetched_from_one_after_the_other_until_one_gives_it() {
        let now = Instant::now();
        let mut comparison = begun(3, now);
        comparison.handle_checked(&peer(1).id, Some(60), now);
        assert_eq!(comparison.next(now), Step::Fetch(peer(1)));
        comparison.handle_checked(&peer(0).id, Some(10), now);
        comparison.handle_checked(&peer(2).id, Some(10), now);
        assert!(matches!(comparison.next(now), Step::Wait { .. }));
        comparison.handle_failure(&peer(1).id);
        assert_eq!(comparison.next(now), Step::Fetch(peer(0)));
        // It takes its word back: what it gives is no younger than ours.
        comparison.handle_value(&peer(0).id, value(), Some(9), Some(3_600), now);
        assert_eq!(comparison.next(now), Step::Fetch(peer(2)));
        comparison.handle_value(&peer(2).id, value(), Some(80_000), Some(10), now);
        assert_eq!(comparison.next(now), Step::Finished);
        let later = Later { value: value(), ttl: 80_000, age: 10, from: peer(2) };
        assert_eq!(comparison.take_later(), Some(later));
        assert_eq!((comparison.next(now), comparison.take_later()), (Step::Finished, None));
    }

    #[test]
    fn it_ends_with_its_deadline_and_without_what_comes_after_it() {
        let now = Instant::now();
        let mut comparison = begun(3, now);
        comparison.handle_checked(&peer(0).id, Some(0), now);
        assert_eq!(comparison.next(now), Step::Fetch(peer(0)));
        let Step::Wait { until } = comparison.next(now) else { panic!("it waits") };
        assert_eq!(until, now + Duration::from_secs(4));
        assert_eq!(comparison.next(until), Step::Finished);
        comparison.handle_value(&peer(0).id, value(), Some(80_000), Some(10), until);
        assert_eq!((comparison.next(until), comparison.take_later()), (Step::Finished, None));
    }

    #[test]
    fn the_copy_at_hand_grows_older_while_others_are_asked() {
        let now = Instant::now();
        let margin = Config::default().same_publication();
        let mut comparison = Comparison::new(margin, &[peer(0)], &Config::default(), now);
        assert_eq!(comparison.next(now), Step::Check(peer(0)));
        comparison.handle_checked(&peer(0).id, Some(0), now + Duration::from_millis(1));
        assert_eq!(comparison.next(now), Step::Fetch(peer(0)));
    }

    proptest! {
        /// Whatever comes back, in whatever order: it ends, with at most two queries to each, and what it finds is later.
        #[test]
        fn every_comparison_ends_and_finds_nothing_but_what_is_later(seed: u64, peers in 0u8..6, age in 0u64..100_000) {
            let (mut entropy, mut now) = (SeededEntropy::new(seed), Instant::now());
            let closest: Vec<Peer> = (0..peers).map(peer).collect();
            let config = Config::default();
            let mut comparison = Comparison::new(Duration::from_secs(age), &closest, &config, now);
            let (mut sent, mut asked) = ([0; 6], 0);
            loop {
                match comparison.next(now) {
                    Step::Check(peer) | Step::Fetch(peer) => {
                        sent[usize::from(peer.id.as_bytes()[0])] += 1;
                        asked += 1;
                    }
                    Step::Wait { .. } => {
                        let from = peer(entropy.below(6) as u8).id;
                        let said = Some(entropy.below(100_000) as u32).filter(|_| entropy.below(8) > 0);
                        match entropy.below(4) {
                            0 => comparison.handle_failure(&from),
                            1 => comparison.handle_checked(&from, said, now),
                            2 => comparison.handle_value(&from, value(), Some(9), said, now),
                            _ => now += Duration::from_millis(entropy.below(100)),
                        }
                    }
                    Step::Finished => break,
                }
            }
            prop_assert!(sent.iter().all(|sent| *sent <= 2) && asked <= 2 * COMPARED);
            if let Some(later) = comparison.take_later() {
                prop_assert!(u64::from(later.age) < age + 5);
            }
        }
    }
}
