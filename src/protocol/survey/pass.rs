//! A pass over publications: which values go into which message to which place, and what became of each. It sends nothing and reads no
//! clock; it finds no places.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::protocol::entry::EntryState;
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;

/// Values that wait for the answers of their places at once. Their places lie side by side, so as many fill the messages to all of
/// them.
const MAX_OPEN: usize = 4_096;
/// Messages of a pass that are in flight at once.
const MAX_IN_FLIGHT: usize = 64;
/// How long a value waits for others to the same peer.
const GATHER: Duration = Duration::from_secs(1);
/// Entries that count as one datagram against a peer's rate (docs/wire.md, 9.3).
const ENTRIES_PER_COST: u32 = 4;

/// What the owner of a pass does next.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Send this peer a `renew` of the values with these numbers, at least one, and report by [`Pass::answered`] or
    /// [`Pass::failed`], [`Pass::unsent`] or [`Pass::lost`]. Another one to this peer comes only after that.
    Renew(Peer, Vec<u64>),
    /// This value is done with all of its places that reconcile.
    Ended(Renewed),
    /// Nothing to do before something comes back, a value is added, or this instant.
    Wait {
        /// When a message is due, or its peer takes the next one.
        until: Option<Instant>,
    },
}

/// What became of a value at those of its places that reconcile.
#[derive(Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The key.
    pub key: Arc<str>,
    /// Which version of its value.
    pub version: u64,
    /// Places that hold it.
    pub held: usize,
    /// Places that lack it, or cannot renew it, and are to be sent it.
    pub lacking: Vec<Peer>,
    /// Places that were not even queried.
    pub unsent: usize,
    /// Places that refused it, as where they are full.
    pub refused: usize,
    /// Places that did not answer.
    pub silent: usize,
    /// Whether a place holds a later value, or one of which that is not known.
    pub differs: bool,
}

/// A value whose places have not all answered.
#[derive(Debug)]
struct Open {
    renewed: Renewed,
    /// Places that have not answered.
    waiting: usize,
}

/// A place, and the values that are to be renewed there.
#[derive(Debug)]
struct Recipient {
    peer: Peer,
    queue: VecDeque<u64>,
    /// When the first of them came.
    since: Instant,
    /// The values of the message in flight.
    in_flight: Vec<u64>,
    /// When the rate of the peer bears the next one.
    next_at: Instant,
}

/// Values on their way to their places, many in one message.
#[derive(Debug)]
pub struct Pass {
    per_message: usize,
    /// The time that one datagram takes at the rate of a peer.
    interval: Duration,
    values: HashMap<u64, Open>,
    recipients: BTreeMap<NodeId, Recipient>,
    ended: VecDeque<Renewed>,
    in_flight: usize,
    next: u64,
}

impl Pass {
    /// No values yet. A message takes `per_message` of them, and a peer `rate` datagrams a second, both at least 1.
    pub fn new(per_message: usize, rate: u32) -> Self {
        Self {
            per_message: per_message.max(1),
            interval: Duration::from_secs(1) / rate.max(1),
            values: HashMap::new(),
            recipients: BTreeMap::new(),
            ended: VecDeque::new(),
            in_flight: 0,
            next: 0,
        }
    }

    /// Whether it takes another value now.
    pub fn has_room(&self) -> bool {
        self.values.len() < MAX_OPEN
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.ended.is_empty()
    }

    /// The value with this number: its key and version. `None` once it has ended.
    pub fn value(&self, number: u64) -> Option<(&Arc<str>, u64)> {
        self.values.get(&number).map(|open| (&open.renewed.key, open.renewed.version))
    }

    /// Renews a value at these places, which reconcile: no id twice. `unasked`: its other places, which are to be sent it.
    pub fn add(&mut self, key: Arc<str>, version: u64, places: &[Peer], unasked: Vec<Peer>, now: Instant) {
        let renewed =
            Renewed { key, version, held: 0, lacking: unasked, unsent: 0, refused: 0, silent: 0, differs: false };
        if places.is_empty() {
            return self.ended.push_back(renewed);
        }
        let number = self.next;
        self.next += 1;
        self.values.insert(number, Open { renewed, waiting: places.len() });
        for peer in places {
            let recipient = self.recipients.entry(peer.id).or_insert_with(|| Recipient {
                peer: *peer,
                queue: VecDeque::new(),
                since: now,
                in_flight: Vec::new(),
                next_at: now,
            });
            if recipient.queue.is_empty() {
                recipient.since = now;
            }
            recipient.queue.push_back(number);
        }
    }

    /// The next step.
    pub fn next(&mut self, now: Instant) -> Step {
        if let Some(renewed) = self.ended.pop_front() {
            return Step::Ended(renewed);
        }
        if self.in_flight >= MAX_IN_FLIGHT {
            return Step::Wait { until: None };
        }
        let (mut until, mut due) = (None, None);
        for (id, recipient) in &self.recipients {
            let Some(at) = recipient.due_at(self.per_message) else { continue };
            if at > now {
                until = until.into_iter().chain([at]).min();
            } else if due.is_none_or(|(_, len)| recipient.queue.len() > len) {
                due = Some((*id, recipient.queue.len()));
            }
        }
        let Some(recipient) = due.and_then(|(id, _)| self.recipients.get_mut(&id)) else { return Step::Wait { until } };
        let count = recipient.queue.len().min(self.per_message);
        recipient.in_flight = recipient.queue.drain(..count).collect();
        recipient.since = now;
        let cost = u32::try_from(count).unwrap_or(u32::MAX).div_ceil(ENTRIES_PER_COST);
        recipient.next_at = now + self.interval * cost;
        self.in_flight += 1;
        Step::Renew(recipient.peer, recipient.in_flight.clone())
    }

    /// The peer with this id has answered with the state of each value, in their order. Those without a state were not renewed.
    pub fn answered(&mut self, id: &NodeId, states: &[EntryState]) {
        let Some((peer, numbers)) = self.take_in_flight(id) else { return };
        for (at, number) in numbers.into_iter().enumerate() {
            self.note(number, |renewed| match states.get(at) {
                Some(EntryState::Held) => renewed.held += 1,
                Some(EntryState::Later | EntryState::Unordered) => renewed.differs = true,
                Some(EntryState::Refused) => renewed.refused += 1,
                Some(EntryState::Lacking) | None => renewed.lacking.push(peer),
            });
        }
    }

    /// No answer of the peer with this id comes.
    pub fn failed(&mut self, id: &NodeId) {
        self.not_answered(id, |renewed| renewed.silent += 1);
    }

    /// The message to the peer with this id did not go.
    pub fn unsent(&mut self, id: &NodeId) {
        self.not_answered(id, |renewed| renewed.unsent += 1);
    }

    fn not_answered(&mut self, id: &NodeId, change: fn(&mut Renewed)) {
        let Some((_, numbers)) = self.take_in_flight(id) else { return };
        numbers.into_iter().for_each(|number| self.note(number, change));
    }

    /// The peer with this id is gone: nothing more goes there.
    pub fn lost(&mut self, id: &NodeId) {
        self.failed(id);
        let Some(recipient) = self.recipients.remove(id) else { return };
        recipient.queue.into_iter().for_each(|number| self.note(number, |renewed| renewed.silent += 1));
    }

    /// The value with this number is not to be renewed any more: it is not the current one. It ends without a report.
    pub fn obsolete(&mut self, number: u64) {
        self.values.remove(&number);
    }

    fn take_in_flight(&mut self, id: &NodeId) -> Option<(Peer, Vec<u64>)> {
        let recipient = self.recipients.get_mut(id)?;
        let numbers = std::mem::take(&mut recipient.in_flight);
        let peer = recipient.peer;
        // One that is used no more need not be remembered, but for its rate.
        self.in_flight -= usize::from(!numbers.is_empty());
        Some((peer, numbers)).filter(|(_, numbers)| !numbers.is_empty())
    }

    /// A place of this value is done with.
    fn note(&mut self, number: u64, change: impl FnOnce(&mut Renewed)) {
        let Some(open) = self.values.get_mut(&number) else { return };
        change(&mut open.renewed);
        open.waiting -= 1;
        if open.waiting == 0
            && let Some(open) = self.values.remove(&number)
        {
            self.ended.push_back(open.renewed);
        }
    }

    /// Forgets the peers that nothing goes to now, and whose rate bears any message.
    pub fn forget_idle(&mut self, now: Instant) {
        self.recipients.retain(|_, recipient| {
            !recipient.queue.is_empty() || !recipient.in_flight.is_empty() || recipient.next_at > now
        });
    }
}

impl Recipient {
    /// When its next message is due: at once if that is full.
    fn due_at(&self, per_message: usize) -> Option<Instant> {
        if self.queue.is_empty() || !self.in_flight.is_empty() {
            return None;
        }
        let gathered = if self.queue.len() >= per_message { self.since } else { self.since + GATHER };
        Some(gathered.max(self.next_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::entropy::{Entropy, SeededEntropy};
    use proptest::prelude::*;
    use std::net::SocketAddr;

    fn peer(n: u8) -> Peer {
        Peer::new(NodeId::from_bytes([n; 20]), SocketAddr::from(([192, 0, 2, n], 1)))
    }

    fn key(n: usize) -> Arc<str> {
        n.to_string().into()
    }

    proptest! {
        #[test]
        fn every_value_ends_once_with_what_its_places_said_whatever_answers_come(
            seed: u64, values in 1usize..200, peers in 1u8..30, per_message in 1usize..32,
        ) {
            let (mut entropy, mut now) = (SeededEntropy::new(seed), Instant::now());
            let mut pass = Pass::new(per_message, 50);
            let mut expected: HashMap<Arc<str>, usize> = HashMap::new();
            for n in 0..values {
                let places: Vec<Peer> = (0..peers).filter(|_| entropy.below(2) == 0).map(peer).collect();
                expected.insert(key(n), places.len());
                pass.add(key(n), n as u64, &places, vec![], now);
            }
            let mut asked: Vec<(Peer, Vec<u64>)> = Vec::new();
            let mut lost = Vec::new();
            let mut last_sent: HashMap<NodeId, Instant> = HashMap::new();
            while !pass.is_empty() {
                match pass.next(now) {
                    Step::Renew(to, numbers) => {
                        prop_assert!((1..=per_message).contains(&numbers.len()) && !lost.contains(&to.id));
                        prop_assert!(asked.iter().all(|(other, _)| other.id != to.id), "one at a time");
                        last_sent.insert(to.id, now);
                        asked.push((to, numbers));
                        prop_assert!(asked.len() <= MAX_IN_FLIGHT);
                    }
                    Step::Ended(renewed) => {
                        let places = expected.remove(&renewed.key);
                        prop_assert!(places.is_some_and(|places| renewed.held + renewed.lacking.len() + renewed.unsent + renewed.refused + renewed.silent <= places));
                    }
                    Step::Wait { until } => {
                        prop_assert!(until.is_some() || !asked.is_empty(), "it never waits for nothing");
                        if !asked.is_empty() && entropy.below(3) > 0 {
                            let (from, numbers) = asked.swap_remove(entropy.below(asked.len() as u64) as usize);
                            let states: Vec<_> = numbers.iter().map(|_| EntryState::from_byte(entropy.below(5) as u8)).collect();
                            match entropy.below(9) {
                                0 => pass.failed(&from.id),
                                3 => pass.unsent(&from.id),
                                1 => { pass.lost(&from.id); lost.push(from.id); }
                                2 => pass.answered(&from.id, &states[..states.len() / 2]),
                                _ => pass.answered(&from.id, &states),
                            }
                        } else if let Some(until) = until {
                            prop_assert!(until > now);
                            now = until;
                        }
                    }
                }
            }
            prop_assert!(expected.is_empty() && pass.in_flight == 0);
            pass.forget_idle(now + Duration::from_secs(60));
            prop_assert!(pass.recipients.is_empty());
        }
    }

    #[test]
    fn a_full_message_goes_at_once_and_others_a_second_later_at_the_rate_of_the_peer() {
        let (mut pass, start) = (Pass::new(8, 50), Instant::now());
        (0..19).for_each(|n| pass.add(key(n), 1, &[peer(1)], vec![], start));
        let Step::Renew(to, numbers) = pass.next(start) else { panic!() };
        assert_eq!((to, numbers), (peer(1), (0..8).collect()));
        assert_eq!(pass.next(start), Step::Wait { until: None }, "one at a time");
        pass.answered(&peer(1).id, &[EntryState::Held; 8]);
        (0..8).for_each(|_| assert!(matches!(pass.next(start), Step::Ended(Renewed { held: 1, .. }))));
        // Eight entries count two datagrams, at fifty a second.
        let next = start + Duration::from_millis(40);
        assert_eq!(pass.next(start), Step::Wait { until: Some(next) });
        assert!(matches!(pass.next(next), Step::Renew(_, numbers) if numbers.len() == 8));
        pass.failed(&peer(1).id);
        (0..8).for_each(|_| assert!(matches!(pass.next(next), Step::Ended(Renewed { held: 0, .. }))));
        assert_eq!(pass.next(next), Step::Wait { until: Some(next + GATHER) }, "three are no full message");
        assert!(matches!(pass.next(next + GATHER), Step::Renew(_, numbers) if numbers.len() == 3));
    }

    #[test]
    fn what_the_places_say_of_a_value_is_counted_and_those_that_lack_it_are_named() {
        let (mut pass, start) = (Pass::new(1, 50), Instant::now());
        let places: Vec<Peer> = (1..=7).map(peer).collect();
        pass.add(key(1), 7, &places, vec![peer(9)], start);
        let Step::Renew(to, _) = pass.next(start) else { panic!() };
        pass.unsent(&to.id);
        for state in EntryState::ALL.into_iter().map(Some).chain([None]) {
            let Step::Renew(to, numbers) = pass.next(start) else { panic!() };
            assert_eq!(pass.value(numbers[0]), Some((&key(1), 7)));
            match state {
                Some(state) => pass.answered(&to.id, &[state]),
                None => pass.lost(&to.id),
            }
        }
        let lacking = vec![peer(9), peer(3)];
        let renewed =
            Renewed { key: key(1), version: 7, held: 1, lacking, unsent: 1, refused: 1, silent: 1, differs: true };
        assert_eq!(pass.next(start), Step::Ended(renewed));
        assert!(pass.is_empty());
    }

    #[test]
    fn a_value_that_is_obsolete_ends_without_a_report_and_one_without_places_at_once() {
        let (mut pass, start) = (Pass::new(1, 50), Instant::now());
        pass.add(key(1), 1, &[peer(1)], vec![], start);
        let Step::Renew(_, numbers) = pass.next(start) else { panic!() };
        pass.obsolete(numbers[0]);
        pass.answered(&peer(1).id, &[EntryState::Held]);
        assert!(pass.is_empty());
        pass.add(key(2), 1, &[], vec![peer(2)], start);
        assert!(matches!(pass.next(start), Step::Ended(Renewed { held: 0, .. })));
    }
}
