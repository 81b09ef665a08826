//! The asker's side of an exchange: which ranges the next datagram asks about, and what follows from the answer. It changes nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::answering::{Contents, MAX_LISTED, MAX_READ};
use crate::protocol::entry::{Entry, Nonce};
use crate::protocol::id::NodeId;
use crate::protocol::prefix::Prefix;
use crate::protocol::ranges::{Fingerprint, MAX_RANGES, PARTS, Range, RangeAnswer, RangeState, Ranges};
use crate::protocol::store::{PlacedCopy, Records, is_later};
use crate::protocol::transfer::QueuedCopy;

/// Copies of one range at most: more are asked about in halves, so that no answer reads too many at once.
const MAX_IN_RANGE: usize = 4_096;

/// What was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The ranges.
    pub ranges: Ranges,
    /// How many copies of this node each of them has.
    pub held: Vec<usize>,
}

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// What the peer lacks, or holds an earlier publication of.
    pub lacking_there: Vec<QueuedCopy>,
    /// The places of what this node lacks, or holds an earlier publication of.
    pub wanted_here: Vec<NodeId>,
    /// What is still to be asked about.
    pub open: Vec<Prefix>,
    /// The ranges that were asked about and not answered.
    pub unanswered: Vec<Prefix>,
    /// Copies of this node that are settled: they are equal, or listed above, or of an order that is unknown.
    pub settled: usize,
    /// Whether any range is settled.
    pub progress: bool,
}

/// Takes ranges from the end of `open`: as many as fit `room` packed bytes, and as need no more than [`MAX_READ`] copies to be read.
pub fn ask(records: &Records, open: &mut Vec<Prefix>, nonce: Nonce, room: usize, now: Instant) -> Asked {
    let (mut ranges, mut held, mut used, mut read) = (Vec::new(), Vec::new(), 8, 0);
    while let Some(prefix) = open.pop() {
        let len = 1 + prefix.fixed_bits().div_ceil(8) as usize + 8;
        let full = used + len > room || ranges.len() == MAX_RANGES || read + MAX_IN_RANGE > MAX_READ;
        if full && !ranges.is_empty() {
            open.push(prefix);
            break;
        }
        match (Contents::read(records, &prefix, nonce, MAX_IN_RANGE, now), prefix.split()) {
            (Some(Contents { fingerprint, count, .. }), _) => {
                ranges.push(Range { prefix, fingerprint });
                held.push(count);
                used += len;
                read += count;
            }
            (None, Some((zero, one))) => open.extend([one, zero]),
            (None, None) => {}
        }
    }
    Asked { ranges: Ranges { nonce, ranges }, held }
}

/// Compares what is held with the `answers` to what was `asked`. What a peer says about other ranges, or twice, counts for nothing.
pub fn compare(records: &Records, asked: &Asked, answers: Vec<RangeAnswer>, now: Instant) -> Compared {
    let mut compared = Compared::default();
    let ranges = asked.ranges.ranges.iter().zip(&asked.held);
    let mut open: BTreeMap<(NodeId, u32), (Range, usize)> =
        ranges.map(|(range, held)| (order(&range.prefix), (*range, *held))).collect();
    for RangeAnswer { prefix, state } in answers {
        let Some((range, held)) = open.remove(&order(&prefix)) else { continue };
        compared.progress |= !matches!(state, RangeState::Split(_));
        match state {
            RangeState::Equal => compared.settled += held,
            RangeState::List(entries) => {
                compared.settled += held;
                compared.list(records, &range.prefix, asked.ranges.nonce, &entries, now);
            }
            RangeState::Split(parts) => compared.split(records, &range.prefix, asked.ranges.nonce, &parts, now),
        }
    }
    compared.unanswered = open.into_values().map(|(range, _)| range.prefix).collect();
    compared
}

fn order(prefix: &Prefix) -> (NodeId, u32) {
    (prefix.first(), prefix.fixed_bits())
}

impl Compared {
    fn push(&mut self, copy: &PlacedCopy) {
        self.lacking_there.push(QueuedCopy { key: copy.key().clone(), bytes: copy.bytes() });
    }

    fn list(&mut self, records: &Records, prefix: &Prefix, nonce: Nonce, entries: &[Entry], now: Instant) {
        let theirs = entries.iter().filter(|entry| prefix.covers(&entry.place)).map(|entry| (entry.place, entry));
        let mut theirs: BTreeMap<NodeId, &Entry> = theirs.collect();
        for copy in records.counted(prefix, now) {
            match theirs.remove(&copy.place) {
                None => self.push(&copy),
                Some(entry) => self.meet(&copy, entry, nonce, records.same_publication(), now),
            }
        }
        for entry in theirs.into_values() {
            // It may be held, and be about to end.
            match records.at_place(&entry.place, now) {
                Some(copy) => self.meet(&copy, entry, nonce, records.same_publication(), now),
                None if entry.kind == Entry::PLAIN => self.wanted_here.push(entry.place),
                None => {}
            }
        }
    }

    /// Both hold something at the place of `copy`. Where it is unknown which was published later, nothing follows.
    fn meet(&mut self, copy: &PlacedCopy, entry: &Entry, nonce: Nonce, margin: Duration, now: Instant) {
        let Some(theirs) = entry.age.filter(|_| entry.kind == Entry::PLAIN) else { return };
        let theirs = Duration::from_secs(theirs.into());
        // Of one value, a publisher's own copy needs no renewal by others.
        let own = copy.stands || copy.is_published() && copy.digest().keyed(nonce) == entry.digest;
        if is_later(theirs, copy.age_at_least(now), margin) && !own {
            self.wanted_here.push(copy.place);
        } else if copy.age(now).is_some_and(|ours| is_later(ours, theirs, margin)) {
            self.push(copy);
        }
    }

    fn split(&mut self, records: &Records, prefix: &Prefix, nonce: Nonce, theirs: &[Fingerprint; PARTS], now: Instant) {
        let Some(parts) = prefix.sixteenths() else { return };
        let ours = Contents::read(records, prefix, nonce, MAX_READ, now);
        for (at, part) in parts.iter().enumerate() {
            let ours = ours.as_ref().map(|ours| ours.parts[at]);
            if ours == Some(theirs[at]) {
                self.settled += records.counted(part, now).count();
                self.progress = true;
                continue;
            }
            // Few, and all of them: there is nothing to ask.
            let few =
                theirs[at] == Fingerprint(0) && records.counted(part, now).take(MAX_LISTED + 1).count() <= MAX_LISTED;
            if few {
                records.counted(part, now).for_each(|copy| self.push(&copy));
            } else {
                self.open.push(*part);
            }
        }
    }
}
