//! Losses: how many queries to living peers get no answer, and so how many silences in a row distinguish a dead peer from a bad
//! line. It knows no peers.
//!
//! A peer that answers after silences was alive all along: those were losses. Dead peers never answer, so however many there
//! are, they do not count as losses.

/// The weight of each answer, relative to that of the next one: the last hundred or so decide.
const FADING: f64 = 0.99;
/// Answers without a loss that are taken for granted, so that the first loss of all changes little.
const GRANTED: f64 = 15.0;
/// The greatest probability of taking a living peer for dead at the end of a row of silences.
const MISTAKE: f64 = 5e-4;
/// Silences in a row that suffice however bad the lines are, so that no node can keep dead peers in a table by answering now
/// and then.
const MAX_SILENCES: u32 = 8;

/// The share of queries to living peers that are lost.
#[derive(Debug, Clone, Default)]
pub(crate) struct LossRate {
    answers: f64,
    silences: f64,
}

impl LossRate {
    /// A known peer answered after this many `silences` in a row.
    pub(crate) fn answered(&mut self, silences: u32) {
        self.answers = self.answers * FADING + 1.0;
        self.silences = self.silences * FADING + f64::from(silences);
    }

    /// The number of silences in a row after which a peer is unlikely to be alive (1..=[`MAX_SILENCES`]).
    pub(crate) fn patience(&self) -> u32 {
        let lost = self.silences / (self.silences + self.answers.max(GRANTED));
        // A share of 1 has the logarithm 0, and one of 0 an infinite one: the quotient is infinite or 0.
        (MISTAKE.ln() / lost.ln()).ceil().clamp(1.0, f64::from(MAX_SILENCES)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::entropy::{Entropy, SeededEntropy};

    #[test]
    fn the_worse_the_lines_the_more_silences_are_borne() {
        assert_eq!(LossRate::default().patience(), 1);
        let mut entropy = SeededEntropy::new(1);
        for (lost, expected) in [(0.0, 1..=1), (0.02, 1..=3), (0.1, 2..=4), (0.36, 5..=8), (0.9, 8..=8)] {
            let mut losses = LossRate::default();
            for _ in 0..200 {
                let silences = std::iter::from_fn(|| (entropy.unit() < lost).then_some(())).count();
                losses.answered(silences as u32);
            }
            assert!(expected.contains(&losses.patience()), "{lost}: {}", losses.patience());
        }
    }

    #[test]
    fn bad_times_are_forgotten_and_one_loss_is_no_bad_time() {
        let mut losses = LossRate::default();
        losses.answered(1);
        assert!(losses.patience() <= 3);
        losses.answered(u32::MAX);
        assert_eq!(losses.patience(), MAX_SILENCES);
        for _ in 0..4_000 {
            losses.answered(0);
        }
        assert_eq!(losses.patience(), 1);
    }
}
