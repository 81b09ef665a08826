//! When an exchange with which peer is due. It begins none.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::protocol::entropy::Entropy;
use crate::protocol::id::NodeId;

/// Exchanges that run at once.
pub const MAX_EXCHANGES: usize = 4;
/// By what part the interval is varied.
const JITTER: f64 = 0.1;
/// A new partner is due within this part of the interval, and one that did not answer again after it: so that a node that joins
/// does not exchange with all at once, and copies that are brought to it arrive first.
const SOON: u32 = 12;
/// When an exchange that found more than it could hold is due again.
const MORE_AFTER: Duration = Duration::from_secs(10);

/// How an exchange has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All was compared.
    Complete,
    /// There is more to compare with a peer that lacks something.
    Partial,
    /// The peer did not answer, or its answers led to nothing that can be brought there.
    Failed,
}

/// The peers with which this node should hold values, and when an exchange with each is due.
#[derive(Debug)]
pub struct Schedule {
    interval: Duration,
    partners: BTreeMap<NodeId, Partner>,
    running: usize,
}

#[derive(Debug, Clone, Copy)]
struct Partner {
    due_at: Instant,
    runs: bool,
    /// Whether the peer was compared with since it became a partner.
    met: bool,
}

impl Schedule {
    /// No partners yet. An exchange with each is due once in an `interval`.
    pub fn new(interval: Duration) -> Self {
        Self { interval, partners: BTreeMap::new(), running: 0 }
    }

    /// These are the partners from now on.
    pub fn update(&mut self, partners: impl Iterator<Item = NodeId>, now: Instant, entropy: &mut dyn Entropy) {
        let mut before = std::mem::take(&mut self.partners);
        // Collected, they take half the memory that they take where each is inserted after the one before.
        self.partners = partners
            .map(|id| {
                let mut due_at = || now + (self.interval / SOON).mul_f64(entropy.unit());
                let new = || Partner { due_at: due_at(), runs: false, met: false };
                (id, before.remove(&id).unwrap_or_else(new))
            })
            .collect();
        // An exchange that runs ends by itself.
        before.retain(|_, partner| partner.runs);
        self.partners.extend(before);
    }

    /// This peer is new, or has come back: what it holds is not known any more.
    pub fn entered(&mut self, id: &NodeId, now: Instant, entropy: &mut dyn Entropy) {
        if let Some(partner) = self.partners.get_mut(id) {
            partner.met = false;
            partner.due_at = partner.due_at.min(now + (self.interval / SOON).mul_f64(entropy.unit()));
        }
    }

    /// The partner whose exchange is due longest, if one may begin now. It ends in [`Schedule::ended`].
    pub fn next(&mut self, now: Instant) -> Option<NodeId> {
        if self.running >= MAX_EXCHANGES {
            return None;
        }
        let due = self.partners.iter_mut().filter(|(_, partner)| !partner.runs && partner.due_at <= now);
        let (id, partner) = due.min_by_key(|(_, partner)| partner.due_at)?;
        partner.runs = true;
        self.running += 1;
        Some(*id)
    }

    /// An exchange with `id` that [`Schedule::next`] began has ended.
    pub fn ended(&mut self, id: &NodeId, how: Ending, now: Instant, entropy: &mut dyn Entropy) {
        self.running = self.running.saturating_sub(1);
        let Some(partner) = self.partners.get_mut(id) else { return };
        partner.runs = false;
        partner.met |= how == Ending::Complete;
        let pause = match how {
            Ending::Complete => self.interval,
            Ending::Partial => MORE_AFTER.min(self.interval / SOON),
            Ending::Failed => self.interval / SOON,
        };
        partner.due_at = now + entropy.jitter(pause, JITTER);
    }

    /// `id` has begun an exchange, which counts for both, once this node has begun one itself: one of two that differ in much
    /// brings the other more than the other asks for.
    pub fn was_begun(&mut self, id: &NodeId, now: Instant, entropy: &mut dyn Entropy) {
        if let Some(partner) = self.partners.get_mut(id).filter(|partner| partner.met && !partner.runs) {
            partner.due_at = partner.due_at.max(now + entropy.jitter(self.interval, JITTER));
        }
    }

    /// How many partners there are, how many of them were not compared with yet, and how many exchanges run.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.partners.len(), self.partners.values().filter(|partner| !partner.met).count(), self.running)
    }

    /// When the last of the partners is due that is due within the interval: until then each is compared with once more.
    pub fn last_due(&self) -> Option<Instant> {
        self.partners.values().map(|partner| partner.due_at).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::entropy::SeededEntropy;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn ids(count: u8) -> Vec<NodeId> {
        (0..count).map(|number| NodeId::from_bytes([number; 20])).collect()
    }

    #[test]
    fn each_partner_is_due_soon_and_then_once_in_an_interval() {
        let (mut schedule, mut entropy, start) = (Schedule::new(HOUR), SeededEntropy::new(1), Instant::now());
        let mut begun: BTreeMap<NodeId, Vec<Duration>> = BTreeMap::new();
        for minute in 0..24 * 60 {
            let now = start + Duration::from_secs(60) * minute;
            schedule.update(ids(60).into_iter(), now, &mut entropy);
            while let Some(id) = schedule.next(now) {
                begun.entry(id).or_default().push(now - start);
                schedule.ended(&id, Ending::Complete, now, &mut entropy);
            }
        }
        assert_eq!(begun.len(), 60);
        for times in begun.values() {
            assert!(times[0] <= HOUR / 12 && (22..=26).contains(&times.len()), "{times:?}");
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= HOUR * 112 / 100), "{times:?}");
        }
        assert_eq!(schedule.counts(), (60, 0, 0));
    }

    #[test]
    fn four_run_at_once_and_a_partner_that_goes_frees_its_place_when_its_exchange_ends() {
        let (mut schedule, mut entropy, start) = (Schedule::new(HOUR), SeededEntropy::new(1), Instant::now());
        schedule.update(ids(9).into_iter(), start, &mut entropy);
        let later = start + HOUR;
        let running: Vec<NodeId> = std::iter::from_fn(|| schedule.next(later)).collect();
        assert_eq!((running.len(), schedule.counts()), (4, (9, 9, 4)));
        schedule.update(std::iter::empty(), later, &mut entropy);
        assert_eq!(schedule.counts(), (4, 4, 4));
        for id in &running {
            schedule.ended(id, Ending::Failed, later, &mut entropy);
        }
        schedule.update(std::iter::empty(), later, &mut entropy);
        assert_eq!((schedule.counts(), schedule.next(later + HOUR)), ((0, 0, 0), None));
    }

    #[test]
    fn what_the_partner_began_counts_and_what_failed_or_found_more_is_due_again_before() {
        let (mut schedule, mut entropy, start) = (Schedule::new(HOUR), SeededEntropy::new(1), Instant::now());
        let [id] = ids(1)[..] else { unreachable!() };
        schedule.update([id].into_iter(), start, &mut entropy);
        schedule.was_begun(&id, start, &mut entropy);
        assert_eq!(schedule.next(start + HOUR / 12), Some(id), "this node has not asked it yet");
        schedule.ended(&id, Ending::Complete, start, &mut entropy);
        schedule.was_begun(&id, start + HOUR / 2, &mut entropy);
        assert_eq!(schedule.next(start + HOUR * 13 / 10), None);
        let mut now = start + HOUR * 17 / 10;
        for (how, before, after) in [
            (Ending::Failed, HOUR / 14, HOUR / 10),
            (Ending::Partial, HOUR / 600, HOUR / 300),
            (Ending::Complete, HOUR * 8 / 10, HOUR * 12 / 10),
        ] {
            assert_eq!(schedule.next(now), Some(id));
            schedule.ended(&id, how, now, &mut entropy);
            assert_eq!(schedule.next(now + before), None, "{how:?}");
            now += after;
        }
        schedule.ended(&id, Ending::Complete, now, &mut entropy);
        schedule.entered(&id, now, &mut entropy);
        assert_eq!((schedule.counts(), schedule.next(now + HOUR / 12)), ((1, 1, 0), Some(id)), "it has come back");
    }
}
